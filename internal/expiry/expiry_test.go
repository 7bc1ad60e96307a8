package expiry_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/expiry"
	"faquan/internal/id"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/memory"
	"faquan/internal/store/postgres"
)

var noon = benefit.InstantOf(time.Date(2026, 11, 22, 12, 0, 0, 0, benefit.Shanghai))

const (
	minute benefit.Instant = 60_000
	hour                   = 60 * minute
)

// stores are those on which the tests run.
var stores = map[string]func(t *testing.T) store.Store{
	"memory": func(*testing.T) store.Store { return memory.New() },
	"embedded": func(t *testing.T) store.Store {
		s, err := embedded.Open(embedded.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	},
	"postgres": func(t *testing.T) store.Store {
		s, err := postgres.Open(t.Context(), postgres.Options{URL: pgtest.Shared(t).Database(t), CallerClock: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	},
}

// world is an engine on a store, and what is known of the vouchers without looking at cursors.
type world struct {
	*testing.T
	rng    *rand.Rand
	store  store.Store
	engine *engine.Engine
	finder *expiry.Finder
	now    benefit.Instant
	keys   int

	open      []*benefit.Request // that may be continued
	vouchers  []id.ID
	since     map[benefit.TemplateID]benefit.Instant // from when on the ends of the template's vouchers are wanted
	passed    map[string]bool                        // the ends that were looked at
	byCommand map[id.ID]benefit.Instant              // the ends of vouchers that were ended by a command, whose event it is
	want      map[string]bool                        // all events that must be there
}

func newWorld(t *testing.T, s store.Store, seed uint64) *world {
	t.Cleanup(func() { s.Close() })
	w := &world{
		T: t, rng: rand.New(rand.NewPCG(seed, 1)), store: s, finder: &expiry.Finder{}, now: noon,
		since: map[benefit.TemplateID]benefit.Instant{}, want: map[string]bool{}, passed: map[string]bool{}, byCommand: map[id.ID]benefit.Instant{},
	}
	var err error
	w.engine, err = engine.New(t.Context(), engine.Options{
		Store: s, Clock: func() benefit.Instant { return w.now }, Rand: w.rng, DrawSecret: []byte("secret"), AcceptClock: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.apply(
		&benefit.Merchant{ID: 1, Name: "m1", Open: true}, &benefit.Merchant{ID: 2, Name: "m2", Open: true}, &benefit.App{ID: 1, Name: "app", Merchant: 1},
		template(1, benefit.Validity{ForMillis: int64(2 * hour)}), template(2, benefit.Validity{Absolute: benefit.Window{End: noon + 3*hour}}),
		template(3, benefit.Validity{ForMillis: int64(hour), ToDayEnd: true}),
	)
	return w
}

func template(n benefit.TemplateID, valid benefit.Validity) *benefit.Template {
	t := &benefit.Template{
		ID: n, Name: fmt.Sprint("t", n), Merchant: 1, Status: benefit.Active, Stock: benefit.UnlimitedStock(), Valid: valid, Kind: benefit.Exchange,
	}
	if n == 1 {
		t.Kind, t.Amount = benefit.Cash, benefit.AmountRule{From: benefit.Fixed, Min: 5, Max: 5}
	}
	if n == 3 {
		t.Merchant, t.GrantedTo = 2, []benefit.AppID{1}
	}
	return t
}

func subscription(n benefit.SubscriptionID, m benefit.MerchantID, status benefit.Status, templates ...benefit.TemplateID) *benefit.Subscription {
	return &benefit.Subscription{ID: n, Name: fmt.Sprint("s", n), Merchant: m, Types: []benefit.EventPattern{"voucher.expired"}, Status: status, Templates: templates}
}

func (w *world) pick(n int) int { return w.rng.IntN(n) }

// step carries out what waits.
func (w *world) step() {
	w.Helper()
	if _, err := w.engine.Step(); err != nil {
		w.Fatal(err)
	}
}

// Catalogue and Do make the world an [expiry.Engine].
func (w *world) Catalogue() *benefit.Catalogue { return w.engine.Catalogue() }

func (w *world) Do(_ context.Context, c benefit.Command) error {
	pending, err := w.engine.Submit(c)
	if err != nil {
		return err
	}
	w.step()
	err, _ = pending.Result()
	return err
}

// apply makes the next version of the catalogue.
func (w *world) apply(entities ...any) {
	w.Helper()
	pending, err := w.engine.SubmitChange(w.Context(), func(
		context.Context, store.Reader, *benefit.Catalogue, benefit.Env,
	) (*benefit.Changes, error) {
		c := &benefit.Changes{Catalogue: w.Catalogue().Version + 1}
		for _, one := range entities {
			e, err := benefit.EntityOf(one)
			if err != nil {
				return nil, err
			}
			c.Rows = append(c.Rows, benefit.Entities.Rows(e))
		}
		return c, nil
	})
	if err != nil {
		w.Fatal(err)
	}
	w.step()
	if err, ok := pending.Result(); err != nil || !ok {
		w.Fatal(err, ok)
	}
	wanted := w.Catalogue().ExpiryWanted()
	for _, t := range wanted {
		if _, was := w.since[t]; !was {
			w.since[t] = w.now
		}
	}
	maps.DeleteFunc(w.since, func(t benefit.TemplateID, _ benefit.Instant) bool { return !slices.Contains(wanted, t) })
}

func (w *world) issue(r *benefit.Request) {
	w.Helper()
	c := &benefit.Issue{Request: r}
	if err := w.Do(w.Context(), c); err != nil {
		w.Fatal(err)
	}
	if i := c.Outcome.Issuance; i != nil {
		for _, v := range i.Vouchers() {
			if !slices.Contains(w.vouchers, v.ID) {
				w.vouchers = append(w.vouchers, v.ID)
			}
		}
	}
}

// request asks for vouchers of the templates.
func (w *world) request(templates ...benefit.TemplateID) *benefit.Request {
	w.keys++
	r := &benefit.Request{
		Scope: "s", Key: fmt.Sprint("k", w.keys), App: 1, Continues: len(templates) > 1,
		Recipient: benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint(2088302001456000 + w.pick(20))},
	}
	for _, t := range templates {
		r.Lines = append(r.Lines, benefit.Line{Template: t, Sends: 1 + w.pick(2), Quantity: 1})
	}
	r.Fingerprint = benefit.FingerprintOf(r.Lines)
	return r
}

func (w *world) do(v id.ID, a benefit.Action) *benefit.OnVoucher {
	w.Helper()
	w.keys++
	c := &benefit.OnVoucher{Key: fmt.Sprint("k", w.keys), Voucher: v, Action: a}
	if _, reverses := a.(*benefit.Reverse); reverses {
		c.Voucher = 0
	}
	if err := w.Do(w.Context(), c); err != nil {
		w.Fatal(err)
	}
	if _, ended := a.(benefit.Expire); ended && c.Outcome.Reason == benefit.NotRefused {
		w.byCommand[v] = c.Outcome.Voucher.OwnEnd
	}
	return c
}

// voucher returns a voucher as it is now, and its issuance.
func (w *world) voucher(v id.ID) (benefit.Voucher, *benefit.Issuance) {
	w.Helper()
	i, err := w.store.IssuanceOf(w.Context(), v)
	if err != nil || i == nil {
		w.Fatal(i, err)
	}
	state, _, err := store.Get(w.Context(), w.store, benefit.VoucherStates, v)
	if err != nil {
		w.Fatal(err)
	}
	one, _ := i.Voucher(v)
	return one.With(state), i
}

// expect adds what a record as of now must bring: each end that has passed while it was wanted, of a voucher that was not
// used or voided.
func (w *world) expect() {
	for _, v := range w.vouchers {
		one, i := w.voucher(v)
		since, wanted := w.since[one.Template]
		end := one.End()
		if !wanted || end <= max(since, one.IssuedAt) || end > w.now-minute || i.ID.Millis() > int64(w.now-minute) || w.byCommand[v] == end {
			continue
		}
		passed := fmt.Sprintf("%d until %d", v, end)
		if !w.passed[passed] && one.Status == benefit.Issued { // not if a redemption was reversed later
			w.want[fmt.Sprintf("%d-%d until %d, %d redeemed", v, one.Operations, end, one.Redeemed)] = true
		}
		w.passed[passed] = true
	}
}

// check compares the events of the feed with what must be there: no more, no fewer, none twice.
func (w *world) check() {
	w.Helper()
	r, err := w.store.Read(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	defer r.Close()
	got := map[string]bool{}
	for c, err := range r.AllCommits(w.Context()) {
		if err != nil {
			w.Fatal(err)
		}
		for _, s := range c.Steps {
			for _, e := range s.Expired {
				one := fmt.Sprintf("%d-%d until %d, %d redeemed", e.Voucher, e.Operations, e.End, e.Redeemed)
				if got[one] {
					w.Errorf("twice: %s", one)
				}
				got[one] = true
			}
		}
	}
	for one := range w.want {
		if !got[one] {
			w.Errorf("missing: %s", one)
		}
	}
	for one := range got {
		if !w.want[one] {
			w.Errorf("unexpected: %s", one)
		}
	}
}

func (w *world) record() {
	w.Helper()
	w.expect()
	if err := w.finder.Record(w.Context(), w.store.Read, w); err != nil {
		w.Fatal(err)
	}
	w.check()
}

// stale has one finder find what another one records first.
func (w *world) stale() {
	w.Helper()
	r, err := w.store.Read(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	commands, err := w.finder.Next(w.Context(), r, w.Catalogue(), w.now)
	if err != nil {
		w.Fatal(err)
	}
	if err := r.Close(); err != nil {
		w.Fatal(err)
	}
	w.finder = &expiry.Finder{}
	w.record()
	for _, c := range commands {
		if err := w.Do(w.Context(), c); err != nil || c.Moved {
			w.Fatalf("moved again: %v, %v", c.Moved, err)
		}
	}
	w.check()
}

// live does one thing.
func (w *world) live() {
	any := benefit.TemplateID(1 + w.pick(3))
	switch n := w.pick(100); {
	case n < 30:
		w.issue(w.request(any))
	case n < 35:
		r := w.request(1, 2, 3)
		w.issue(r)
		w.open = append(w.open, r)
	case n < 40 && len(w.open) > 0:
		w.issue(w.open[w.pick(len(w.open))])
	case n < 60 && len(w.vouchers) > 0:
		v := w.vouchers[w.pick(len(w.vouchers))]
		switch one, _ := w.voucher(v); w.pick(8) {
		case 0, 1, 2, 3:
			w.do(v, &benefit.Extend{End: max(one.End(), w.now) + []benefit.Instant{1, minute, hour, 30 * hour}[w.pick(4)]})
		case 4:
			w.do(v, &benefit.Void{})
		case 5:
			w.do(v, benefit.Expire{})
		case 6:
			w.do(v, &benefit.Redeem{HasAmount: one.Kind == benefit.Cash, Amount: 2})
		default:
			w.do(v, &benefit.Reverse{Redemption: benefit.OperationID{Voucher: v, Number: 1}})
		}
	case n < 66:
		t := *w.Catalogue().Templates[any]
		t.Valid = []benefit.Validity{
			{Absolute: benefit.Window{End: w.now + hour}}, {Absolute: benefit.Window{End: w.now + 40*hour}}, {Absolute: benefit.Window{Start: 1}},
			{ForMillis: int64(hour)}, {ForMillis: int64(9 * hour), ToDayEnd: true}, {Absolute: benefit.Window{End: w.now - hour}},
		}[w.pick(6)]
		w.apply(&t)
	case n < 72:
		t := *w.Catalogue().Templates[any]
		t.Status = []benefit.Status{benefit.Active, benefit.Active, benefit.Paused}[w.pick(3)]
		w.apply(&t)
	case n < 78:
		status := []benefit.Status{benefit.Active, benefit.Active, benefit.Paused, benefit.Ended}[w.pick(4)]
		switch w.pick(3) {
		case 0:
			w.apply(subscription(1, 1, status))
		case 1:
			w.apply(subscription(2, 1, status, 1))
		default:
			w.apply(subscription(3, 2, status))
		}
	case n < 90:
		w.now += []benefit.Instant{1, minute / 2, minute, 10 * minute, hour, 5 * hour, 26 * hour}[w.pick(7)]
	case n < 92:
		w.stale()
	default:
		w.record()
	}
}

// TestEnds: of random lives each end that passes by itself has one event, if it was wanted before it passed.
func TestEnds(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			seeds, events := 12, 0
			if name != "memory" {
				seeds = 2
			}
			for seed := range seeds {
				w := newWorld(t, open(t), uint64(seed))
				for range 400 {
					w.live()
					if t.Failed() {
						t.Fatalf("seed %d", seed)
					}
				}
				w.now += 60 * hour
				w.record()
				events += len(w.want)
			}
			if events < 50*seeds {
				t.Errorf("%d events in %d lives", events, seeds)
			}
		})
	}
}

// TestClockAhead: commands of a process whose clock is ahead of that of the store pass no voucher that lives.
func TestClockAhead(t *testing.T) {
	w := newWorld(t, memory.New(), 1)
	w.apply(subscription(1, 1, benefit.Active))
	w.issue(w.request(1))
	for _, ahead := range []benefit.Instant{3 * hour, 2*hour + minute} {
		r, err := w.store.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		commands, err := (&expiry.Finder{}).Next(t.Context(), r, w.Catalogue(), w.now+ahead)
		if err != nil || len(commands) == 0 {
			t.Fatal(commands, err)
		}
		for _, c := range commands {
			if err := w.Do(t.Context(), c); err != nil || c.Moved {
				t.Fatal(c.Moved, err)
			}
		}
		w.now += 2*hour + minute - 1000 // the end has passed less than a minute ago
	}
	w.now += 1000
	w.record()
	w.now += minute
	w.record()
	if len(w.want) == 0 {
		t.Error("nothing has expired")
	}
}

// TestEndedByCommand: a voucher that is ended by a command at an end that it once had, has one event: that of the command.
func TestEndedByCommand(t *testing.T) {
	w := newWorld(t, memory.New(), 1)
	w.apply(subscription(1, 1, benefit.Active))
	w.issue(w.request(1))
	v := w.vouchers[0]
	w.do(v, &benefit.Extend{End: w.now + 5*hour})
	w.do(v, &benefit.Extend{End: w.now + 9*hour})
	w.now += 5 * hour
	if c := w.do(v, benefit.Expire{}); c.Outcome.Reason != benefit.NotRefused {
		t.Fatal(c.Outcome.Reason)
	}
	w.now += 10 * hour
	w.record()
}

// TestOldCursorsEnd: a cursor of a validity that nothing is issued under any more ends, however slowly others are issued.
func TestOldCursorsEnd(t *testing.T) {
	w := newWorld(t, memory.New(), 1)
	w.apply(subscription(1, 1, benefit.Active, 1))
	for range 3 {
		w.issue(w.request(1))
		w.now += 5 * hour
		changed := template(1, benefit.Validity{ForMillis: int64(w.now)}) // another each time, and a long one
		w.apply(changed)
	}
	for range 20 {
		w.issue(w.request(1))
		w.now += minute / 4
		w.record()
	}
	r, err := w.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	live := 0
	for c, err := range store.All(t.Context(), r, benefit.ExpiryCursors) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Template == 1 && c.Version != 0 && c.ID != benefit.LastExpiry {
			live++
		}
	}
	if live != 3 { // those of vouchers that live
		t.Errorf("%d cursors have not ended", live)
	}
}

// TestWorkAtRest: a finder reads no issuance until the end of one passes.
func TestWorkAtRest(t *testing.T) {
	w := newWorld(t, memory.New(), 1)
	w.apply(subscription(1, 1, benefit.Active, 2))
	for range 50 {
		w.issue(w.request(2))
	}
	w.now += 2 * minute
	w.record()
	reads := 0
	read := func(ctx context.Context) (store.Reader, error) {
		r, err := w.store.Read(ctx)
		return counting{r, &reads}, err
	}
	for range 10 {
		w.now += minute
		if err := w.finder.Record(t.Context(), read, w); err != nil {
			t.Fatal(err)
		}
	}
	if reads != 0 {
		t.Errorf("%d reads of issuances", reads)
	}
	w.now += 3 * hour
	w.record()
	if len(w.want) < 50 {
		t.Errorf("%d events", len(w.want))
	}
}

type counting struct {
	store.Reader
	reads *int
}

func (c counting) TemplateIssuances(ctx context.Context, t benefit.TemplateID, after id.ID, limit int) ([]*benefit.Issuance, error) {
	*c.reads++
	return c.Reader.TemplateIssuances(ctx, t, after, limit)
}
