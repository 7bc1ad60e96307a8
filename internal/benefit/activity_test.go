package benefit_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// setUp puts a catalogue of activities and scenes in place, under the open merchant and its app.
func (d *desk) setUp(templates []*Template, activities []*Activity, scenes ...*Scene) {
	version := d.committer.Catalogue.Version + 1
	d.committer.Catalogue = NewCatalogue(version, []*Merchant{{ID: 1, Name: "open", Open: true, UserTypes: []string{AlipayID, TaobaoID, OpenID}}, {ID: 2, Name: "registered"}},
		[]*App{{ID: 1, Name: "app", Merchant: 1}}, templates, activities, scenes)
}

// activity returns an open one that gives template 1.
func activity(n ActivityID, changes ...func(*Activity)) *Activity {
	a := &Activity{
		ID: n, Name: fmt.Sprint("a", n), Merchant: 1, ActCode: fmt.Sprint("A", n), Status: Active,
		Items: []Item{{DetailID: 1, Template: 1, MaxSends: 9, Quantity: 1}},
	}
	for _, change := range changes {
		change(a)
	}
	return a
}

// from asks for so many sends of two vouchers each, of an activity.
func from(n ActivityID, sends int) func(*Request) {
	return func(r *Request) {
		r.Lines = []Line{{Template: 1, Activity: n, DetailID: 1, Sends: sends, Quantity: 2}}
		r.Guarded = true
	}
}

func card(name string) func(*Request) { return func(r *Request) { r.Params.Card = name } }

// guardDesk has three activities; the third has no guard.
func guardDesk(t *testing.T) *desk {
	d := newDesk(t)
	d.setUp([]*Template{template(1)}, []*Activity{activity(1), activity(2), activity(3, func(a *Activity) { a.NoGuard = true })})
	d.users(&User{ID: 11, Identifiers: []Identifier{{Type: TaobaoID, Value: "a"}, {Type: Login, Value: "a@"}}})
	return d
}

func TestGuardHoldsForASecond(t *testing.T) {
	for _, c := range []struct {
		after Instant
		want  Reason
	}{{0, Guarded}, {1, Guarded}, {999, Guarded}, {1000, NotRefused}, {1001, NotRefused}, {-5000, Guarded}} {
		d := guardDesk(t)
		d.wants(NotRefused, request("k1", "a", 1, from(1, 1)))
		d.clock += c.after // a step back leaves now where it was
		d.wants(c.want, request("k2", "a", 1, from(1, 1)))
	}
}

// Refused calls neither start the second nor make it longer.
func TestGuardCountsFromWhatWasIssued(t *testing.T) {
	d := guardDesk(t)
	d.setUp([]*Template{template(1, count(0))}, []*Activity{activity(1)})
	d.wants(StockEmpty, request("k1", "a", 1, from(1, 1)))
	d.setUp([]*Template{template(1)}, []*Activity{activity(1)})
	d.wants(NotRefused, request("k2", "a", 1, from(1, 1)))
	d.clock += 900
	d.wants(Guarded, request("k3", "a", 1, from(1, 1)))
	d.clock += 100
	d.wants(NotRefused, request("k3", "a", 1, from(1, 1)))
}

// In the second everything else goes on: replays, other activities, other users, and who is not under the guard.
func TestGuardHoldsBackNothingElse(t *testing.T) {
	d := guardDesk(t)
	first := d.wants(NotRefused, request("k1", "a", 1, from(1, 3)))
	if again := d.wants(NotRefused, request("k1", "a", 1, from(1, 3))); !again.Replayed || again.Issuance != first.Issuance {
		t.Error("a retry within the second is no replay")
	}
	d.wants(NotRefused, request("k2", "a", 1, from(2, 1)))
	d.wants(NotRefused, request("k3", "b", 1, from(1, 1)))
	d.wants(NotRefused, request("k4", "a", 1, from(1, 1), func(r *Request) { r.Guarded = false }))
	d.wants(NotRefused, request("k5", "a", 1))
	d.wants(NotRefused, request("k6", "a", 1, from(3, 1)))
	d.wants(NotRefused, request("k7", "a", 1, from(3, 1)))
	d.wants(Guarded, request("k8", "a", 1, from(1, 1), func(r *Request) { r.Recipient = Identifier{Type: Login, Value: "a@"} }))
}

// Of two keys in one batch the guard lets one pass, also when the batch makes the user.
func TestGuardInABatch(t *testing.T) {
	d := guardDesk(t)
	for _, user := range []string{"a", "new"} {
		o := d.batch(request("1"+user, user, 1, from(1, 2)), request("2"+user, user, 1, from(1, 2)))
		if o[0].Reason != NotRefused || o[0].Lines[0].Issued != 2 || o[1].Reason != Guarded {
			t.Errorf("user %s: %s and %s", user, o[0].Reason, o[1].Reason)
		}
	}
}

// One request is not held back by what it got itself, however many lines of an activity it has.
func TestGuardAndLinesOfOneRequest(t *testing.T) {
	d := guardDesk(t)
	line := Line{Template: 1, Activity: 1, Sends: 1, Quantity: 1}
	wantReasons(t, "three lines", d.ask(request("k", "a", 1, lines(line, line, line), from1)), NotRefused, NotRefused, NotRefused)
}

func from1(r *Request) { r.Guarded = true }

// What a user did in an activity is counted in vouchers and sends.
func TestParticipationRow(t *testing.T) {
	d := guardDesk(t)
	d.ask(request("k1", "a", 1, from(1, 3)))
	first := d.clock
	d.clock += 24 * hour
	d.ask(request("k2", "a", 1, from(1, 1)))
	d.ask(request("k3", "a", 1, from(2, 1)))
	want := []Participation{
		{ParticipationKey: ParticipationKey{User: 11, Activity: 1}, Total: 8, At: first + 24*hour, DayTotal: 2, DaySends: 1},
		{ParticipationKey: ParticipationKey{User: 11, Activity: 2}, Total: 2, At: first + 24*hour, DayTotal: 2, DaySends: 1},
	}
	if diff := cmp.Diff(want, storetest.RowsOf(d.contents(), Participations)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// boxDesk has a treasure box that is done after so many.
func boxDesk(t *testing.T, after int, sends bool) *desk {
	d := newDesk(t)
	d.box(after, sends)
	return d
}

func (d *desk) box(after int, sends bool, changes ...func(*Template)) {
	d.setUp([]*Template{template(1, changes...)}, []*Activity{
		activity(1, func(a *Activity) {
			a.NoGuard, a.Box = true, &Box{Cards: []string{"game", "beauty", "car"}, DoneAfter: after, CountSends: sends}
		}),
	})
}

// play asks for a send with the card, and fails unless the task is done or not, as it should be.
func (d *desk) play(key, cardName string, sends int, reason Reason, done bool) Outcome {
	d.t.Helper()
	o := d.wants(reason, request(key, "a", 1, from(1, sends), card(cardName)))
	if o.BoxDone != done {
		d.t.Errorf("key %s: the task is done: %v", key, o.BoxDone)
	}
	return o
}

func TestBoxOfDifferentCards(t *testing.T) {
	d := boxDesk(t, 2, false)
	d.play("1", "game", 3, NotRefused, false)
	d.play("2", "game", 1, NotRefused, false)
	d.play("3", "beauty", 1, NotRefused, true)
	d.play("4", "game", 1, NotRefused, true)
	d.play("1", "game", 3, NotRefused, false) // a replay tells what was told first
	d.play("3", "beauty", 1, NotRefused, true)
	want := Participation{Total: 12, At: now, DayTotal: 12, DaySends: 6, Cards: []string{"game", "beauty"}, Done: true}
	got := storetest.RowsOf(d.contents(), Participations)[0]
	got.ParticipationKey = ParticipationKey{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBoxOfSends(t *testing.T) {
	d := boxDesk(t, 4, true)
	d.play("1", "game", 3, NotRefused, false)
	d.play("2", "game", 1, NotRefused, true)
	d.play("3", "game", 1, NotRefused, true)

	d = boxDesk(t, 2, true)
	d.box(2, true, count(3)) // room for one send of two
	d.play("1", "game", 3, NotRefused, false)
	d.play("2", "game", 1, StockEmpty, false)
}

// The task is of a day at +08:00.
func TestBoxAtMidnight(t *testing.T) {
	d := boxDesk(t, 2, false)
	midnight := (now.Day() + 1).Start()
	d.clock = midnight - 2
	d.play("1", "game", 1, NotRefused, false)
	d.clock = midnight - 1
	d.play("2", "beauty", 1, NotRefused, true)
	d.clock = midnight
	d.play("2", "beauty", 1, NotRefused, true)
	d.play("3", "beauty", 1, NotRefused, false)
	d.clock = midnight - hour // the clock steps back, the day does not
	d.play("4", "beauty", 1, NotRefused, false)
	d.play("5", "car", 1, NotRefused, true)
}

// A refusal tells how far the task is; nothing of it counts.
func TestBoxAndRefusals(t *testing.T) {
	d := boxDesk(t, 2, false)
	d.play("1", "game", 1, NotRefused, false)
	d.box(2, false, count(0))
	d.play("2", "beauty", 1, StockEmpty, false)
	d.box(2, false)
	d.play("3", "beauty", 1, NotRefused, true)
	d.box(2, false, count(0))
	d.play("4", "car", 1, StockEmpty, true)
	if o := d.ask(request("5", "stranger", 1, from(1, 1), card("car"))); o.BoxDone {
		t.Error("a user who received nothing has done the task")
	}
}

// What is done stays done for the day, and what an operator lowers counts from the next send on.
func TestBoxThatIsChanged(t *testing.T) {
	d := boxDesk(t, 3, false)
	d.play("1", "game", 1, NotRefused, false)
	d.play("2", "beauty", 1, NotRefused, false)
	d.box(2, false)
	d.play("2", "beauty", 1, NotRefused, false)
	d.play("3", "beauty", 1, NotRefused, true)
	d.box(9, false)
	d.play("4", "car", 1, NotRefused, true)
}

// A card is counted for its user alone, and where there is no box it counts for nothing.
func TestBoxOfTheUser(t *testing.T) {
	d := boxDesk(t, 2, false)
	d.play("1", "game", 1, NotRefused, false)
	if o := d.ask(request("2", "b", 1, from(1, 1), card("beauty"))); o.BoxDone {
		t.Error("another user's card was counted")
	}
	d.setUp([]*Template{template(1)}, []*Activity{activity(1)})
	d.play("3", "beauty", 1, Guarded, false)
	d.clock += 1000
	d.play("3", "beauty", 1, NotRefused, false)
	for _, p := range storetest.RowsOf(d.contents(), Participations) {
		if len(p.Cards) > 1 {
			t.Errorf("cards %v", p.Cards)
		}
	}
}

// Sends are issued as far as they go, and what was issued once is never more.
func TestPartialSends(t *testing.T) {
	d := newDesk(t)
	d.setUp([]*Template{template(1, count(5))}, []*Activity{activity(1)})
	o := d.ask(request("k", "a", 1, from(1, 4)))
	want := []LineOutcome{{Template: 1, Issued: 2, Refused: 2, Reason: StockEmpty}}
	if diff := cmp.Diff(want, o.Lines); diff != "" || o.Reason != NotRefused || len(o.Issuance.Vouchers()) != 4 {
		t.Errorf("%d vouchers (-want +got):\n%s", len(o.Issuance.Vouchers()), diff)
	}
	d.setUp([]*Template{template(1)}, []*Activity{activity(1)})
	if again := d.ask(request("k", "a", 1, from(1, 4))); storetest.Diff(o.Lines, again.Lines) != "" || !again.Replayed {
		t.Errorf("a retry came to %+v", again.Lines)
	}
}
