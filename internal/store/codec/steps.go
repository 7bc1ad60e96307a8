package codec

import (
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// StepRef is a step of a commit, with names in the place of what it changed.
type StepRef struct {
	Issuance  id.ID           // 0: none
	Lines     []int           // of the issuance: see benefit.Step
	Operation benefit.ClaimID // zero: none
	Templates []benefit.TemplateEvent
	Expired   []benefit.ExpiredVoucher
}

// AppendSteps appends steps to b, as references.
func AppendSteps(b []byte, steps []benefit.Step) []byte {
	e := coder{b: b}
	for _, s := range list(&e, &steps, 1) {
		r := StepRef{Lines: s.Lines, Templates: s.Templates, Expired: s.Expired}
		if s.Issuance != nil {
			r.Issuance = s.Issuance.ID
		}
		if s.Operation != nil {
			r.Operation = s.Operation.Claim
		}
		e.step(&r)
	}
	return e.b
}

// DecodeSteps reads what AppendSteps wrote.
func DecodeSteps(b []byte) ([]StepRef, error) {
	d := coder{b: b, reading: true}
	refs := d.stepRefs()
	return refs, d.whole()
}

func (c *coder) stepRefs() (refs []StepRef) {
	for k := range list(c, &refs, 1) {
		c.step(&refs[k])
	}
	return refs
}

// What a step has.
const (
	stepIssued = 1 << iota // an issuance with one line
	stepLines              // an issuance with others
	stepOperation
	stepTemplates
	stepExpired
)

var onlyLine = []int{0}

func (c *coder) step(r *StepRef) {
	var has uint8
	switch {
	case r.Issuance == 0:
	case slices.Equal(r.Lines, onlyLine):
		has = stepIssued
	default:
		has = stepLines
	}
	if r.Operation != (benefit.ClaimID{}) {
		has |= stepOperation
	}
	if len(r.Templates) > 0 {
		has |= stepTemplates
	}
	if len(r.Expired) > 0 {
		has |= stepExpired
	}
	c.byte(&has)
	if has&(stepIssued|stepLines) != 0 {
		c.id(&r.Issuance)
	}
	switch {
	case has&stepLines != 0:
		for k := range list(c, &r.Lines, 1) {
			small(c, &r.Lines[k])
		}
	case has&stepIssued != 0 && c.reading:
		r.Lines = onlyLine
	}
	if has&stepOperation != 0 {
		c.digest(&r.Operation)
	}
	if has&stepTemplates != 0 {
		for k := range list(c, &r.Templates, 7) {
			e := &r.Templates[k]
			c.byte((*uint8)(&e.Type))
			c.int((*int64)(&e.Template), &e.Catalogue, &e.Count, &e.Amount, (*int64)(&e.Stock.Count), (*int64)(&e.Stock.Amount))
		}
	}
	if has&stepExpired != 0 {
		for k := range list(c, &r.Expired, 12) {
			e := &r.Expired[k]
			c.id(&e.Voucher)
			c.int((*int64)(&e.Template), &e.Operations, &e.Redeemed, (*int64)(&e.End))
		}
	}
}

func (c *coder) digest(d *benefit.Digest) {
	if !c.reading {
		c.b = append(c.b, d[:]...)
	} else if len(c.b) < len(d) {
		c.fail()
	} else {
		c.b = c.b[copy(d[:], c.b):]
	}
}

// fits reports whether the lines of the reference are lines of the issuance that have issued something.
func (r *StepRef) fits(i *benefit.Issuance) bool {
	for _, k := range r.Lines {
		if k < 0 || k >= len(i.Lines) || i.Lines[k].Issued == 0 {
			return false
		}
	}
	return len(r.Lines) > 0
}

// Resolve returns the step with the issuance and the operation that it names, and whether they are those.
func (r *StepRef) Resolve(i *benefit.Issuance, o *benefit.Operation) (s benefit.Step, ok bool) {
	s = benefit.Step{Issuance: i, Lines: r.Lines, Operation: o, Templates: r.Templates, Expired: r.Expired}
	if (i == nil) != (r.Issuance == 0) || i != nil && (i.ID != r.Issuance || !r.fits(i)) {
		return benefit.Step{}, false
	}
	return s, (o == nil) == (r.Operation == benefit.ClaimID{}) && (o == nil || o.Claim == r.Operation)
}
