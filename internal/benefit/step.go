package benefit

import "reflect"

// Step is one thing that a batch did to vouchers or templates. The steps of a commit are in the order in which the batch
// did them; the feed of events is made of them. They are stored with the commit, as no other row keeps that order.
type Step struct {
	Issuance  *Issuance  // that issued something; nil: the step is of another kind
	Lines     []int      // of the issuance, ascending: those that issued in this step. A line issues once
	Operation *Operation // on a voucher; nil: the step is of another kind
	Templates []TemplateEvent
	Expired   []ExpiredVoucher // whose ends have passed by themselves
}

// Vouchers lists what the step issued, in id order.
func (s *Step) Vouchers() (all []Voucher) {
	for _, k := range s.Lines {
		l := &s.Issuance.Lines[k]
		for n := range l.issuedVouchers() {
			all = append(all, l.voucher(s.Issuance, n))
		}
	}
	return all
}

func (s *Step) empty() bool {
	return len(s.Lines) == 0 && s.Operation == nil && len(s.Templates)+len(s.Expired) == 0
}

func (e *Effect) step() Step {
	s := Step{Operation: e.Operation, Templates: e.Templates, Expired: e.Expired}
	if len(e.issuedLines) > 0 { // others only close lines
		s.Issuance, s.Lines = e.Issuance, e.issuedLines
	}
	return s
}

// TemplateEvent is something that became of a template, and its counters just after it.
type TemplateEvent struct {
	Type      EventType
	Template  TemplateID
	Catalogue int64 // the version in force
	Count     int64 // vouchers that count as issued
	Amount    int64 // fen that count as issued
	Stock     Stock // without the caps per day
}

// soldOut reports whether not even the smallest voucher fits into what is left of the stock and the budget in total.
func (t *Template) soldOut(issued TemplateCount) bool {
	var smallest int64
	switch t.Kind {
	case Cash:
		smallest = int64(t.Amount.Min)
	case Reduction:
		smallest = int64(t.Face.Reduction)
	}
	//guard:TestSteps t.Stock.Amount.Room(issued.Amount) < smallest -> t.Stock.Amount.Room(issued.Amount) < 1
	return t.Stock.Count.Room(issued.Count) < 1 || t.Stock.Amount.Room(issued.Amount) < smallest
}

// event returns an event of the template.
func (t *Template) event(kind EventType, version int64, issued TemplateCount) TemplateEvent {
	return TemplateEvent{
		Type: kind, Template: t.ID, Catalogue: version, Count: issued.Count, Amount: issued.Amount,
		Stock: Stock{Count: t.Stock.Count, Amount: t.Stock.Amount},
	}
}

// stockEvents returns the event of a template whose counters reach the end of its stock, or leave it; none if they do not.
func stockEvents(cat *Catalogue, before, after TemplateCount) []TemplateEvent {
	t := cat.Templates[after.Template]
	if t == nil {
		return nil
	}
	return t.stockEvents(t.soldOut(before), cat.Version, after)
}

// stockEvents returns the event of a template that was sold out before, or was not; none if it still is, or is not.
func (t *Template) stockEvents(before bool, version int64, issued TemplateCount) []TemplateEvent {
	switch after := t.soldOut(issued); {
	case after && !before: //guard:TestChangeEvents without !before
		return []TemplateEvent{t.event(TemplateSoldOutEvent, version, issued)}
	case before && !after: //guard:TestChangeEvents without before
		return []TemplateEvent{t.event(TemplateRestockedEvent, version, issued)}
	}
	return nil
}

// ChangeEvents returns the events of a template that a new version of the catalogue adds or changes. Before is the template
// in the version in force; nil when it is not there. Issued are its counters.
func (t *Template) ChangeEvents(before *Template, version int64, issued TemplateCount) (all []TemplateEvent) {
	add := func(kind EventType) { all = append(all, t.event(kind, version, issued)) }
	if before == nil {
		add(TemplateCreatedEvent)
		return all
	}
	same := *before
	same.Status = t.Status
	opened := before.Status == Draft && t.Status == Active
	if opened || !reflect.DeepEqual(&same, t) { //guard:TestChangeEvents without opened
		add(TemplateChangedEvent) // not for a status that has an event of its own
	}
	switch {
	case before.Status == t.Status:
	case t.Status == Paused:
		add(TemplatePausedEvent)
	case t.Status == Ended:
		add(TemplateEndedEvent)
	case before.Status == Paused && t.Status == Active:
		add(TemplateResumedEvent)
	}
	return append(all, t.stockEvents(before.soldOut(issued), version, issued)...)
}
