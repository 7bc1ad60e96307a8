package benefit_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

func count(n Cap) func(*Template) { return func(t *Template) { t.Stock.Count = n } }

func status(s Status) func(*Template) { return func(t *Template) { t.Status = s } }

// threeLines asks for templates 1, 2 and 3, to be continued.
func threeLines() *Request {
	line := func(n TemplateID) Line { return Line{Template: n, Sends: 1, Quantity: 1} }
	return request("k", "a", 1, lines(line(1), line(2), line(3)), continues)
}

func reasons(o Outcome) (all []Reason) {
	for _, l := range o.Lines {
		all = append(all, l.Reason)
	}
	return all
}

func wantReasons(t *testing.T, when string, o Outcome, want ...Reason) {
	t.Helper()
	if diff := cmp.Diff(want, reasons(o)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// A retry continues the lines that are not final, with the ids and amounts that were frozen, and no others.
func TestRetryContinuesOpenLines(t *testing.T) {
	d := newDesk(t, template(1), template(2, status(Paused), cash(Random, 10, 1_000_000)), template(3, status(Ended)))
	first := d.ask(threeLines())
	wantReasons(t, "at first", first, NotRefused, TemplatePaused, TemplateEnded)

	d.clock += hour
	again := d.ask(threeLines())
	wantReasons(t, "nothing has changed", again, NotRefused, TemplatePaused, TemplateEnded)
	if !again.Replayed || again.Issuance != first.Issuance {
		t.Error("a retry that issued nothing is a replay of what stands under the key")
	}

	d.catalogue(template(1), template(2, cash(Random, 10, 1_000_000)), template(3))
	more := d.ask(threeLines())
	wantReasons(t, "all templates are active", more, NotRefused, NotRefused, TemplateEnded)
	if more.Replayed {
		t.Error("a retry that issued something is no replay")
	}
	before, after := first.Issuance, more.Issuance
	if diff := cmp.Diff(before.Lines[0], after.Lines[0]); diff != "" {
		t.Errorf("a line that was issued has changed (-before +after):\n%s", diff)
	}
	if before.ID != after.ID || before.Lines[1].First != after.Lines[1].First || before.Catalogue != after.Catalogue {
		t.Errorf("the ids have changed from %+v to %+v", before, after)
	}
	if diff := cmp.Diff(before.Lines[1].Amounts, after.Lines[1].Amounts); diff != "" {
		t.Errorf("the frozen amounts have changed (-before +after):\n%s", diff)
	}
	if l := after.Lines[1]; l.At != d.clock || l.Catalogue != 2 || l.Valid.Start != d.clock {
		t.Errorf("the line that came later tells %+v", l)
	}
	if before.Lines[1].Issued != 0 {
		t.Error("the earlier record was changed in place")
	}

	last := d.ask(threeLines())
	wantReasons(t, "a replay of all", last, NotRefused, NotRefused, TemplateEnded)
	if !last.Replayed || last.Issuance != more.Issuance || len(d.contents().Issuances) != 1 {
		t.Error("the last retry is not a replay of the one issuance")
	}
}

// A line that a retry refuses for good is closed in the record, also when the retry issues nothing: it is never issued
// later, whatever changes. Nothing else of the record changes, and an unchanged record is not written again.
func TestFinalReasonIsStored(t *testing.T) {
	a := Identifier{Type: TaobaoID, Value: "a"}
	limit := func(per func(*Template) *int64) func(d *desk) {
		return func(d *desk) {
			t1 := template(1)
			*per(t1) = 1
			d.catalogue(t1, template(2, func(t *Template) { *per(t) = 1 }), template(3, status(Paused)))
			d.ask(request("another", "a", 2))
		}
	}
	for want, refuse := range map[Reason]func(d *desk){
		TemplateEnded: func(d *desk) { d.catalogue(template(1), template(2, status(Ended)), template(3, status(Paused))) },
		UserFrozen: func(d *desk) {
			d.catalogue(template(1), template(2), template(3, status(Paused)))
			d.users(&User{ID: 11, Identifiers: []Identifier{a}, Frozen: true})
		},
		UserLimit:   limit(func(t *Template) *int64 { return &t.Limits.PerUser }),
		PersonLimit: limit(func(t *Template) *int64 { return &t.Limits.PerPerson }),
	} {
		d := newDesk(t, template(1), template(2, count(0)), template(3, status(Paused)))
		d.users(&User{ID: 11, Identifiers: []Identifier{a}, Person: "p"})
		first := d.ask(threeLines())
		wantReasons(t, "at first", first, NotRefused, StockEmpty, TemplatePaused)

		refuse(d)
		closed := d.ask(threeLines())
		wantReasons(t, "refused for good", closed, NotRefused, want, TemplatePaused)
		if !closed.Replayed || closed.Reason != NotRefused || closed.Attempt == nil {
			t.Errorf("%s: an attempt that issued nothing came to %+v", want, closed)
		}
		stored := d.contents().Issuances[0]
		if l := stored.Lines[1]; l.Reason != want || l.Issued != 0 {
			t.Errorf("%s: the stored line is %+v", want, l)
		}
		unchanged := *stored
		unchanged.Lines = slices.Clone(stored.Lines)
		unchanged.Lines[1] = first.Issuance.Lines[1]
		if diff := cmp.Diff(first.Issuance, &unchanged); diff != "" {
			t.Errorf("%s: more than the line has changed (-before +after):\n%s", want, diff)
		}
		if again := d.ask(threeLines()); again.Issuance != closed.Issuance {
			t.Errorf("%s: the record was written again though nothing changed", want)
		}

		d.users(&User{ID: 11, Identifiers: []Identifier{a}, Person: "p"})
		d.catalogue(template(1), template(2), template(3))
		wantReasons(t, "when nothing holds it back any more", d.ask(threeLines()), NotRefused, want, NotRefused)
	}
}

// Where lines are not continued a retry never tops up.
func TestReplayNeverTopsUp(t *testing.T) {
	r := func() *Request { return request("k", "a", 1, lines(Line{Template: 1, Sends: 3, Quantity: 1})) }
	for _, continued := range []bool{false, true} {
		d := newDesk(t, template(1, count(2)))
		ask := func() *Request {
			again := r()
			again.Continues = continued
			return again
		}
		first := d.ask(ask())
		want := LineOutcome{Template: 1, Issued: 2, Refused: 1, Reason: StockEmpty}
		if first.Lines[0] != want || first.Reason != NotRefused {
			t.Errorf("at first: %s, %+v", first.Reason, first.Lines[0])
		}
		d.catalogue(template(1))
		d.clock += 24 * hour
		if again := d.ask(ask()); again.Lines[0] != want || !again.Replayed {
			t.Errorf("continued %v: a line that issued something is done, but a retry gets %+v", continued, again.Lines[0])
		}
	}
}

// A retry that does not say that it continues is answered, and issues nothing.
func TestRetryThatDoesNotContinue(t *testing.T) {
	d := newDesk(t, template(1), template(2, status(Paused)), template(3))
	first := d.ask(threeLines())
	d.catalogue(template(1), template(2), template(3))
	plain := threeLines()
	plain.Continues = false
	if o := d.ask(plain); !o.Replayed || o.Issuance != first.Issuance {
		t.Errorf("it came to %+v", o)
	}
	wantReasons(t, "one that does", d.ask(threeLines()), NotRefused, NotRefused, NotRefused)
}

// A claim binds its lines only when it issues something.
func TestRefusedRequestFreezesNothing(t *testing.T) {
	d := newDesk(t, template(1, status(Paused)), template(2, status(Paused)), template(3, count(0)))
	o := d.ask(threeLines())
	wantReasons(t, "at first", o, TemplatePaused, TemplatePaused, StockEmpty)
	if o.Reason != TemplatePaused || o.Issuance != nil {
		t.Errorf("%s, %+v", o.Reason, o.Issuance)
	}
	d.catalogue(template(1), template(2))
	d.wants(NotRefused, request("k", "a", 1)) // asks for less under the same key, which is free still
	d.wants(KeyConflict, threeLines())
}

// The frozen lines are what a retry continues, even when it would ask for others today.
func TestRetryWithOtherLines(t *testing.T) {
	d := newDesk(t, template(1), template(2, status(Paused)), template(3), template(4))
	fingerprint := FingerprintOf(nil, "scene")
	ask := func(n ...TemplateID) *Request {
		r := &Request{Scope: "app/1", Key: "k", App: 1, Recipient: Identifier{Type: TaobaoID, Value: "a"}, Fingerprint: fingerprint, Continues: true}
		for _, n := range n {
			r.Lines = append(r.Lines, Line{Template: n, Sends: 1, Quantity: 1})
		}
		return r
	}
	wantReasons(t, "at first", d.ask(ask(1, 2)), NotRefused, TemplatePaused)
	d.catalogue(template(1), template(2), template(3), template(4))
	wantReasons(t, "again", d.ask(ask(3, 4)), NotRefused, NotRefused)
	counts := storetest.RowsOf(d.contents(), TemplateCounts)
	if c := d.contents(); len(c.Issuances) != 1 || len(counts) != 2 || counts[1].Template != 2 {
		t.Errorf("the store holds %d issuances and the counts %+v", len(c.Issuances), counts)
	}
}

// A line whose template did not exist when it was frozen has nothing to give, also when it exists later.
func TestLineFrozenWithoutTemplate(t *testing.T) {
	d := newDesk(t, template(1), template(3))
	wantReasons(t, "at first", d.ask(threeLines()), NotRefused, TemplateNotFound, NotRefused)
	d.catalogue(template(1), template(2), template(3))
	wantReasons(t, "again", d.ask(threeLines()), NotRefused, TemplateNotFound, NotRefused)
}

// What is continued belongs to the user of the first time: whoever has the identifier now gets nothing of it.
func TestContinuedForTheFirstUser(t *testing.T) {
	d := newDesk(t, template(1), template(2, status(Paused)), template(3, func(t *Template) { t.Limits.PerUser = 1 }))
	a := Identifier{Type: TaobaoID, Value: "a"}
	d.users(&User{ID: 11, Identifiers: []Identifier{a}}, &User{ID: 12})
	wantReasons(t, "at first", d.ask(threeLines()), NotRefused, TemplatePaused, NotRefused)
	d.users(&User{ID: 11}, &User{ID: 12, Identifiers: []Identifier{a}})
	d.catalogue(template(1), template(2), template(3))
	wantReasons(t, "after it moved", d.ask(threeLines()), NotRefused, UserNotFound, NotRefused)
	d.users(&User{ID: 12}, &User{ID: 11, Identifiers: []Identifier{a}})
	wantReasons(t, "after it came back", d.ask(threeLines()), NotRefused, NotRefused, NotRefused)
	for _, q := range storetest.RowsOf(d.contents(), Quotas) {
		if q.User != 11 {
			t.Errorf("user %d has a quota", q.User)
		}
	}
}

// Lines are decided one after the other: what one takes the next does not have.
func TestLinesShareTheCaps(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Template)
		want   Reason
	}{
		"stock":     {count(3), StockEmpty},
		"day stock": {func(t *Template) { t.Stock.CountPerDay = 3 }, DayStockEmpty},
		"budget":    {func(t *Template) { t.Stock.Amount = 1999 }, BudgetEmpty},
		"day":       {func(t *Template) { t.Stock.AmountPerDay = 1999 }, DayBudgetEmpty},
		"limit":     {func(t *Template) { t.Limits.PerUser = 3 }, UserLimit},
		"day limit": {func(t *Template) { t.Limits.PerUserPerDay = 3 }, UserDayLimit},
		"person":    {func(t *Template) { t.Limits.PerPerson = 3 }, PersonLimit},
	} {
		d := newDesk(t, template(1, c.change), template(2))
		two, one := Line{Template: 1, Sends: 1, Quantity: 2}, Line{Template: 1, Sends: 1, Quantity: 1}
		o := d.ask(request("k", "a", 1, lines(two, two, one, one, Line{Template: 2, Sends: 1, Quantity: 1})))
		wantReasons(t, name, o, NotRefused, c.want, NotRefused, c.want, NotRefused)
		if got := storetest.RowsOf(d.contents(), TemplateCounts)[0]; got.Count != 3 || got.Amount != 1500 {
			t.Errorf("%s: counted %+v", name, got)
		}
	}
}
