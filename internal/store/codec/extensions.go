package codec

import (
	"faquan/internal/benefit"
	"faquan/internal/id"
)

// What an issuance says only sometimes follows its lines, in groups: a byte tells which are there. An issuance of the
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

func (e *encoder) extensions(i *benefit.Issuance) {
	groups := groupsOf(i)
	if groups == 0 {
		return
	}
	e.byte(groups)
	if groups&extParams != 0 {
		e.text(i.Params.Card)
		e.text(i.Params.BizCode)
		e.int(i.Params.Channel)
	}
	if groups&extScene != 0 {
		e.scene(&i.Params)
	}
	if groups&extBind != 0 {
		e.int(i.BindMillis)
	}
	if groups&extErrors != 0 {
		e.uint(uint64(len(i.Errors)))
		for _, x := range i.Errors {
			e.byte(uint8(x.Kind))
			e.text(x.ActCode)
			e.int(x.RightID)
			e.byte(uint8(x.Reason))
		}
	}
	if groups&extBasis != 0 {
		e.basis(i.Basis)
	}
	if groups&extPersons != 0 {
		for k := range i.Lines {
			e.int(i.Lines[k].Seen.Person)
		}
	}
	if groups&extSending != 0 {
		for k := range i.Lines {
			e.bool(i.Lines[k].Sending)
		}
	}
}

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

func (d *decoder) extensions(i *benefit.Issuance) {
	if d.err != nil || len(d.b) == 0 {
		return
	}
	groups := d.byte()
	if groups&extParams != 0 {
		i.Params.Card, i.Params.BizCode, i.Params.Channel = d.text(), d.text(), d.int()
	}
	if groups&extScene != 0 {
		d.scene(&i.Params)
	}
	if groups&extBind != 0 {
		i.BindMillis = d.int()
	}
	i.BoxDone = groups&extBoxDone != 0
	if groups&extErrors != 0 {
		for range d.size(4) {
			i.Errors = append(i.Errors, benefit.DecisionError{
				Kind: benefit.ErrorKind(d.byte()), ActCode: d.text(), RightID: d.int(), Reason: benefit.Reason(d.byte()),
			})
		}
	}
	if groups&extBasis != 0 {
		i.Basis = d.basis()
	}
	if groups&extPersons != 0 {
		for k := range i.Lines {
			i.Lines[k].Seen.Person = d.int()
		}
	}
	if groups&extSending != 0 {
		for k := range i.Lines {
			i.Lines[k].Sending = d.bool()
		}
	}
}

func (e *encoder) scene(a *benefit.Params) {
	e.text(a.SceneCode)
	e.uint(uint64(len(a.ActCodes)))
	for _, code := range a.ActCodes {
		e.text(code)
	}
	e.uint(uint64(len(a.Rights)))
	for _, r := range a.Rights {
		e.text(r.ActCode)
		e.int(r.RightID)
	}
}

func (d *decoder) scene(a *benefit.Params) {
	a.SceneCode = d.text()
	for range d.size(1) {
		a.ActCodes = append(a.ActCodes, d.text())
	}
	for range d.size(2) {
		a.Rights = append(a.Rights, benefit.ActRight{ActCode: d.text(), RightID: d.int()})
	}
}

func (e *encoder) basis(b *benefit.Basis) {
	e.int(int64(b.Now))
	e.bool(b.Known)
	e.byte(userFlags(b.Frozen, b.Unregistered))
	e.bytes(b.Attributes)
	e.uint(uint64(len(b.Templates)))
	for _, t := range b.Templates {
		e.int(int64(t.Template))
		for _, n := range [...]int64{t.Count, t.Amount, t.DayCount, t.DayAmount, t.User, t.UserDay, t.Person} {
			e.int(n)
		}
	}
	e.uint(uint64(len(b.Participations)))
	for k := range b.Participations {
		e.participation(&b.Participations[k])
	}
}

func (d *decoder) basis() *benefit.Basis {
	b := &benefit.Basis{Now: benefit.Instant(d.int()), Known: d.bool()}
	flags := d.byte()
	if flags > flagFrozen|flagUnregistered { //guard:TestUnknownFlagsOfABasis
		d.fail()
	}
	b.Frozen, b.Unregistered = flags&flagFrozen != 0, flags&flagUnregistered != 0
	b.Attributes = d.bytes()
	for range d.size(8) {
		t := benefit.TemplateSeen{Template: benefit.TemplateID(d.int())}
		for _, n := range [...]*int64{&t.Count, &t.Amount, &t.DayCount, &t.DayAmount, &t.User, &t.UserDay, &t.Person} {
			*n = d.int()
		}
		b.Templates = append(b.Templates, t)
	}
	for range d.size(8) {
		b.Participations = append(b.Participations, d.participation())
	}
	return b
}

// participation writes one with its key.
func (e *encoder) participation(p *benefit.Participation) {
	e.fixed(int64(p.User))
	e.int(int64(p.Activity))
	e.b = p.AppendCounts(e.b)
}

func (d *decoder) participation() benefit.Participation {
	p := benefit.Participation{ParticipationKey: benefit.ParticipationKey{User: id.ID(d.fixed()), Activity: benefit.ActivityID(d.int())}}
	rest, err := p.ReadCounts(d.b)
	if err != nil {
		d.fail()
		return p
	}
	d.b = rest
	return p
}
