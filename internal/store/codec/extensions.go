package codec

import "faquan/internal/benefit"

// What an issuance has only sometimes follows its lines, in groups: a byte tells which are there. An issuance of the
// first format ends with its lines, and so does one that has none of these.
const (
	extParams = 1 << iota
	extScene
	extBind
	extBoxDone
	extErrors
	extBasis
	extPersons // Seen.Person of the lines
	extSending // of the lines
)

func groupsOf(i *benefit.Issuance) (groups uint8) {
	a := &i.Params
	set := func(group uint8, there bool) {
		if there {
			groups |= group
		}
	}
	set(extParams, a.Card != "" || a.BizCode != "" || a.Channel != 0)
	set(extScene, a.SceneCode != "" || len(a.ActCodes) > 0 || len(a.Rights) > 0)
	set(extBind, i.BindMillis != 0)
	set(extBoxDone, i.BoxDone)
	set(extErrors, len(i.Errors) > 0)
	set(extBasis, i.Basis != nil)
	for k := range i.Lines {
		set(extPersons, i.Lines[k].Seen.Person != 0)
		set(extSending, i.Lines[k].Sending)
	}
	return groups
}

func (c *coder) extensions(i *benefit.Issuance) {
	var groups uint8
	if !c.reading {
		groups = groupsOf(i)
	}
	if groups == 0 && (!c.reading || len(c.b) == 0) {
		return
	}
	c.byte(&groups)
	if groups&extParams != 0 {
		c.text(&i.Params.Card, &i.Params.BizCode)
		c.int(&i.Params.Channel)
	}
	if groups&extScene != 0 {
		c.text(&i.Params.SceneCode)
		for k := range list(c, &i.Params.ActCodes, 1) {
			c.text(&i.Params.ActCodes[k])
		}
		for k := range list(c, &i.Params.Rights, 2) {
			r := &i.Params.Rights[k]
			c.text(&r.ActCode)
			c.int(&r.RightID)
		}
	}
	if groups&extBind != 0 {
		c.int(&i.BindMillis)
	}
	if c.reading {
		i.BoxDone = groups&extBoxDone != 0
	}
	if groups&extErrors != 0 {
		for k := range list(c, &i.Errors, 4) {
			x := &i.Errors[k]
			c.byte((*uint8)(&x.Kind))
			c.text(&x.ActCode)
			c.int(&x.RightID)
			c.byte((*uint8)(&x.Reason))
		}
	}
	if groups&extBasis != 0 {
		if c.reading {
			i.Basis = &benefit.Basis{}
		}
		c.basis(i.Basis)
	}
	if groups&extPersons != 0 {
		for k := range i.Lines {
			c.int(&i.Lines[k].Seen.Person)
		}
	}
	if groups&extSending != 0 {
		for k := range i.Lines {
			c.bool(&i.Lines[k].Sending)
		}
	}
}

func (c *coder) basis(b *benefit.Basis) {
	c.int((*int64)(&b.Now))
	c.bool(&b.Known)
	flags := userFlags(b.Frozen, b.Unregistered)
	if c.byte(&flags); c.reading {
		if flags > flagFrozen|flagUnregistered { //guard:TestUnknownFlagsOfABasis
			c.fail()
		}
		b.Frozen, b.Unregistered = flags&flagFrozen != 0, flags&flagUnregistered != 0
	}
	c.bytes(&b.Attributes)
	for k := range list(c, &b.Templates, 8) {
		t := &b.Templates[k]
		c.int((*int64)(&t.Template))
		c.counters(&t.Counters)
		c.int(&t.Person)
	}
	for k := range list(c, &b.Participations, 8) {
		c.participation(&b.Participations[k])
	}
}

// participation has its key before the stored form of the rest.
func (c *coder) participation(p *benefit.Participation) {
	c.id(&p.User)
	c.int((*int64)(&p.Activity))
	if !c.reading {
		c.b = p.AppendCounts(c.b)
		return
	}
	rest, err := p.ReadCounts(c.b)
	if err != nil {
		c.fail()
		return
	}
	c.b = rest
}
