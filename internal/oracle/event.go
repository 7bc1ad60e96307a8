package oracle

import (
	"maps"
	"math"
	"reflect"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Event is something that happened to a voucher or a template.
type Event struct {
	Type     benefit.EventType
	Template benefit.TemplateID

	Voucher id.ID // of an event of a voucher, as what follows
	Number  int64 // of the operation; 0: of the issue; of an end that passed by itself: how many operations there were
	At      benefit.Instant

	Count, Amount int64 // what counts as issued of the template, of an event of a template
}

// operationEvents are the types of the events of operations.
var operationEvents = map[benefit.OperationKind]benefit.EventType{
	benefit.RedeemOperation: benefit.VoucherRedeemedEvent, benefit.ReverseOperation: benefit.VoucherReversedEvent,
	benefit.VoidOperation: benefit.VoucherVoidedEvent, benefit.ExtendOperation: benefit.VoucherExtendedEvent,
	benefit.ExpireOperation: benefit.VoucherExpiredEvent,
}

// EventsOf returns the events of a step. It must be one that a store can have.
func EventsOf(s *benefit.Step) (all []Event, err error) {
	for _, v := range s.Vouchers() {
		all = append(all, Event{Type: benefit.VoucherIssuedEvent, Template: v.Template, Voucher: v.ID, At: v.IssuedAt})
	}
	if s.Operation != nil {
		t, err := benefit.DecodeTransition(s.Operation)
		if err != nil {
			return nil, err
		}
		all = append(all, eventOf(&t))
	}
	for _, e := range s.Expired {
		all = append(all, expiredEvent(&e))
	}
	for _, e := range s.Templates {
		all = append(all, Event{Type: e.Type, Template: e.Template, Count: e.Count, Amount: e.Amount})
	}
	return all, nil
}

func eventOf(t *benefit.Transition) Event {
	return Event{Type: operationEvents[t.Kind], Template: t.Template, Voucher: t.Voucher, Number: t.Number, At: t.At}
}

func expiredEvent(e *benefit.ExpiredVoucher) Event {
	return Event{Type: benefit.VoucherExpiredEvent, Template: e.Template, Voucher: e.Voucher, Number: e.Operations, At: e.End}
}

// bookIssued takes the events of a line that was issued.
func (o *Oracle) bookIssued(l *benefit.IssuedLine) {
	for n := range l.Issued * l.Quantity {
		o.Events = append(o.Events, Event{Type: benefit.VoucherIssuedEvent, Template: l.Template, Voucher: l.First + id.ID(n), At: l.At})
	}
}

// bookStock takes the events of templates that are sold out now, or are no longer.
func (o *Oracle) bookStock(templates ...benefit.TemplateID) {
	for _, t := range templates {
		n := amount{}
		for _, s := range o.booked {
			if s.template == t {
				n.add(s.vouchers, s.fen)
			}
		}
		now := soldOut(o.Catalogue.Templates[t], n)
		switch before, known := o.soldOut[t]; {
		case before == now:
		case now && known:
			o.bookTemplate(benefit.TemplateSoldOutEvent, t)
		case known:
			o.bookTemplate(benefit.TemplateRestockedEvent, t)
		}
		o.soldOut[t] = now
	}
}

// soldOut reports whether there is no voucher so small that it could be issued.
func soldOut(t *benefit.Template, issued amount) bool {
	if t == nil {
		return false
	}
	smallest := amount{1, 0}
	if t.Kind == benefit.Cash {
		smallest.fen = int64(t.Amount.Min)
	} else if t.Kind == benefit.Reduction {
		smallest.fen = int64(t.Face.Reduction)
	}
	fits := func(limit benefit.Cap, have, more int64) bool {
		return limit == benefit.Unlimited && have <= math.MaxInt64-more || have+more <= int64(limit)
	}
	return !fits(t.Stock.Count, issued.vouchers, smallest.vouchers) || !fits(t.Stock.Amount, issued.fen, smallest.fen)
}

func (o *Oracle) bookTemplate(kind benefit.EventType, t benefit.TemplateID) {
	e := Event{Type: kind, Template: t}
	for _, s := range o.booked {
		if s.template == t {
			e.Count, e.Amount = e.Count+s.vouchers, e.Amount+s.fen
		}
	}
	o.Events = append(o.Events, e)
}

// bookCatalogue takes the events of the templates that a catalogue adds to the one before, or changes; those of several
// templates are in the order of their ids.
func (o *Oracle) bookCatalogue(before, after *benefit.Catalogue) {
	for _, id := range slices.Sorted(maps.Keys(after.Templates)) {
		var was *benefit.Template
		if before != nil {
			was = before.Templates[id]
		}
		t := after.Templates[id]
		if was == nil {
			o.bookTemplate(benefit.TemplateCreatedEvent, id)
			o.bookStock(id)
			continue
		}
		other := *was
		other.Status = t.Status
		if !reflect.DeepEqual(&other, t) || was.Status == benefit.Draft && t.Status == benefit.Active {
			o.bookTemplate(benefit.TemplateChangedEvent, id)
		}
		if was.Status != t.Status {
			switch {
			case t.Status == benefit.Paused:
				o.bookTemplate(benefit.TemplatePausedEvent, id)
			case t.Status == benefit.Ended:
				o.bookTemplate(benefit.TemplateEndedEvent, id)
			case t.Status == benefit.Active && was.Status == benefit.Paused:
				o.bookTemplate(benefit.TemplateResumedEvent, id)
			}
		}
		o.bookStock(id)
	}
}
