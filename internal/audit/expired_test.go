package audit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/expiry"
	"faquan/internal/id"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// The templates of vouchers whose ends pass. No world, stage or story has their ids.
const (
	passExchange  = 100 + iota // valid for two hours
	passCash                   // the same, of 5 fen
	passEnded                  // its vouchers have ended when they are issued
	passUnwatched              // no subscription wants its events
)

const passMinute benefit.Instant = 60_000

// passing is a store whose vouchers end, with an engine that has their events recorded.
type passing struct {
	testing.TB
	store  store.Store
	engine *engine.Engine
	finder expiry.Finder
	now    benefit.Instant
	keys   int
}

func newPassing(t testing.TB, st store.Store) *passing {
	t.Helper()
	w := &passing{TB: t, store: st, now: storetest.Start}
	var err error
	w.engine, err = engine.New(t.Context(), engine.Options{
		Store: st, Clock: func() benefit.Instant { return w.now }, Rand: rand.New(rand.NewPCG(1, 1)), DrawSecret: []byte("secret"), AcceptClock: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	template := func(n benefit.TemplateID, changes ...func(*benefit.Template)) *benefit.Template {
		template := storetest.Template(n, changes...)
		template.Name = fmt.Sprint("t", n)
		return template
	}
	exchange := func(t *benefit.Template) {
		t.Kind, t.Face, t.Valid = benefit.Exchange, benefit.Face{}, benefit.Validity{ForMillis: int64(120 * passMinute)}
	}
	w.apply(
		&benefit.Merchant{ID: storetest.OpenMerchant, Name: "open", Open: true}, &benefit.App{ID: storetest.App, Name: "app", Merchant: storetest.OpenMerchant},
		template(passExchange, exchange), template(passCash, exchange, storetest.Cash(benefit.Fixed, 5, 5)), template(passUnwatched, exchange),
		template(passEnded, exchange, func(t *benefit.Template) {
			t.Valid = benefit.Validity{Absolute: benefit.Window{Start: 1, End: w.now - passMinute}}
		}),
		&benefit.Subscription{
			ID: 1, Name: "s", Merchant: storetest.OpenMerchant, Types: []benefit.EventPattern{"voucher.expired"}, Status: benefit.Active,
			Templates: []benefit.TemplateID{passExchange, passCash, passEnded},
		},
	)
	return w
}

func (w *passing) apply(entities ...any) {
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
	if _, err := w.engine.Step(); err != nil {
		w.Fatal(err)
	}
	if err, ok := pending.Result(); err != nil || !ok {
		w.Fatal(err, ok)
	}
}

// Catalogue and Do make it an [expiry.Engine].
func (w *passing) Catalogue() *benefit.Catalogue { return w.engine.Catalogue() }

func (w *passing) Do(_ context.Context, c benefit.Command) error {
	pending, err := w.engine.Submit(c)
	if err != nil {
		return err
	}
	if _, err := w.engine.Step(); err != nil {
		return err
	}
	err, _ = pending.Result()
	return err
}

// issue issues a voucher.
func (w *passing) issue(template benefit.TemplateID) id.ID {
	w.Helper()
	w.keys++
	c := &benefit.Issue{Request: storetest.Request(fmt.Sprint("k", w.keys), "20881", storetest.Line(template))}
	if err := w.Do(w.Context(), c); err != nil || c.Outcome.Reason != benefit.NotRefused {
		w.Fatal(c.Outcome.Reason, err)
	}
	return c.Outcome.Issuance.ID
}

// try carries out an action on a voucher, unless it is refused.
func (w *passing) try(v id.ID, a benefit.Action) benefit.Reason {
	w.Helper()
	w.keys++
	c := &benefit.OnVoucher{Key: fmt.Sprint("k", w.keys), Voucher: v, Action: a}
	if _, reverses := a.(*benefit.Reverse); reverses {
		c.Voucher = 0
	}
	if err := w.Do(w.Context(), c); err != nil {
		w.Fatal(err)
	}
	return c.Outcome.Reason
}

func (w *passing) do(v id.ID, a benefit.Action) {
	w.Helper()
	if reason := w.try(v, a); reason != benefit.NotRefused {
		w.Fatal(reason)
	}
}

func (w *passing) record() {
	w.Helper()
	if err := w.finder.Record(w.Context(), w.store.Read, w); err != nil {
		w.Fatal(err)
	}
}

// The vouchers of TestExpired.
const (
	passedPlain      = iota // nothing happened to it
	passedLater             // extended before its end
	passedTwice             // extended after its end
	passedInPart            // CASH, redeemed in part
	passedReversed          // CASH, redeemed in part, which was reversed after its end
	passedByCommand         // ended by a command
	passedUsed              // redeemed
	passedAtOnce            // issued after its end
	passedUnwatched         // of a template without a subscription
	passedOfTemplate        // how many there are
)

// expiredFeed is a feed that a test damages.
type expiredFeed struct {
	commits  []*store.Commit
	vouchers []id.ID
}

// event returns an event of a voucher, and its commit.
func (f *expiredFeed) event(voucher, n int) (*benefit.ExpiredVoucher, *store.Commit) {
	for _, c := range f.commits {
		for k := range c.Steps {
			for m := range c.Steps[k].Expired {
				if e := &c.Steps[k].Expired[m]; e.Voucher == f.vouchers[voucher] {
					if n--; n < 0 {
						return e, c
					}
				}
			}
		}
	}
	panic("there is no such event")
}

// add adds an event in a commit of its own.
func (f *expiredFeed) add(at benefit.Instant, e benefit.ExpiredVoucher) {
	f.commits = append(f.commits, &store.Commit{Now: at, Steps: []benefit.Step{{Expired: []benefit.ExpiredVoucher{e}}}})
}

// move moves the first event of a voucher to another instant.
func (f *expiredFeed) move(voucher int, at benefit.Instant, change func(*benefit.ExpiredVoucher)) {
	e, c := f.event(voucher, 0)
	was := *e
	for k := range c.Steps {
		c.Steps[k].Expired = slices.DeleteFunc(c.Steps[k].Expired, func(one benefit.ExpiredVoucher) bool { return one == was })
	}
	change(&was)
	f.add(at, was)
}

// Each way in which the event of an end that has passed can be wrong is found, and named.
func TestExpired(t *testing.T) {
	st := newDirectory(t).open(t)
	defer closeStore(t, st)
	w := newPassing(t, st)
	start := w.now
	var vouchers []id.ID
	for _, template := range [passedOfTemplate]benefit.TemplateID{
		passExchange, passExchange, passExchange, passCash, passCash, passExchange, passExchange, passEnded, passUnwatched,
	} {
		vouchers = append(vouchers, w.issue(template))
	}
	w.now += 60 * passMinute
	byCommand := w.now
	w.do(vouchers[passedLater], &benefit.Extend{End: start + 300*passMinute})
	w.do(vouchers[passedInPart], &benefit.Redeem{HasAmount: true, Amount: 2})
	w.do(vouchers[passedReversed], &benefit.Redeem{HasAmount: true, Amount: 2})
	w.do(vouchers[passedByCommand], benefit.Expire{})
	w.do(vouchers[passedUsed], &benefit.Redeem{})
	w.now = start + 122*passMinute
	w.record()
	w.now = start + 180*passMinute
	reversed := w.now
	w.do(vouchers[passedReversed], &benefit.Reverse{Redemption: benefit.OperationID{Voucher: vouchers[passedReversed], Number: 1}})
	w.do(vouchers[passedTwice], &benefit.Extend{End: start + 360*passMinute})
	w.now = start + 420*passMinute
	w.record()
	end := start + 120*passMinute + 1000 // of all that were not extended
	nothing := func(*benefit.ExpiredVoucher) {}

	for _, test := range []struct {
		name   string
		damage func(f *expiredFeed)
		want   []string
	}{
		{"nothing", func(*expiredFeed) {}, nil},
		{"an end without an event", func(f *expiredFeed) {
			_, c := f.event(passedTwice, 1)
			c.Steps = nil
		}, nil},
		{"twice in one commit", func(f *expiredFeed) {
			e, c := f.event(passedPlain, 0)
			c.Steps[0].Expired = append(c.Steps[0].Expired, *e)
		}, []string{"events: its event after 0 operations that its end has passed: its end: want one event, and after it a later end than"}},
		{"twice in two commits", func(f *expiredFeed) {
			e, _ := f.event(passedPlain, 0)
			f.add(w.now, *e)
		}, []string{"events: its end: want one event, and after it a later end than"}},
		{"the same end once more after an operation", func(f *expiredFeed) {
			e, _ := f.event(passedReversed, 0)
			again := *e
			again.Operations, again.Redeemed = 2, 0
			f.add(w.now, again)
		}, []string{"events: its event after 2 operations & its end: want one event, and after it a later end than"}},
		{"no voucher", func(f *expiredFeed) {
			f.move(passedPlain, w.now, func(e *benefit.ExpiredVoucher) { e.Voucher = 5 })
		}, []string{"events: voucher 5, to which something has happened: want a voucher that was issued"}},
		{"a voucher to come", func(f *expiredFeed) {
			f.move(passedPlain, w.now, func(e *benefit.ExpiredVoucher) { e.Voucher = 1 << 62 })
		}, []string{"events: voucher 4611686018427387904, to which something has happened: want a voucher that was issued"}},
		{"another template", func(f *expiredFeed) {
			f.move(passedPlain, w.now, func(e *benefit.ExpiredVoucher) { e.Template = passCash })
		}, []string{"events: its template: want 100, got 101"}},
		{"a voucher that was used", func(f *expiredFeed) {
			f.add(w.now, benefit.ExpiredVoucher{Voucher: f.vouchers[passedUsed], Template: passExchange, Operations: 1, Redeemed: 1, End: end})
		}, []string{"events: the voucher before it: want ISSUED, got USED"}},
		{"how much was redeemed", func(f *expiredFeed) {
			e, _ := f.event(passedInPart, 0)
			e.Redeemed--
		}, []string{"events: the voucher before it: want ISSUED, 2 redeemed & got ISSUED, 1 redeemed"}},
		{"another end", func(f *expiredFeed) {
			e, _ := f.event(passedLater, 0)
			e.End = end
		}, []string{"events: its event after 1 operations & the voucher before it: want ISSUED, 0 redeemed, end"}},
		{"an end that came later", func(f *expiredFeed) {
			f.move(passedLater, w.now, func(e *benefit.ExpiredVoucher) { e.Operations = 0 })
		}, []string{"events: its event after 0 operations & the voucher before it: want ISSUED, 0 redeemed, end"}},
		{"more operations than there are", func(f *expiredFeed) {
			e, _ := f.event(passedInPart, 0)
			e.Operations++
		}, []string{"events: the operations before it: want 0 to 1, got 2"}},
		{"fewer operations than none", func(f *expiredFeed) {
			e, _ := f.event(passedPlain, 0)
			e.Operations = -1
		}, []string{"events: the operations before it: want 0 to 0, got -1"}},
		{"an end by a command", func(f *expiredFeed) {
			f.add(w.now, benefit.ExpiredVoucher{Voucher: f.vouchers[passedByCommand], Template: passExchange, Operations: 1, End: byCommand})
		}, []string{"events: its end: want one that passes by itself"}},
		{"an end before the issue", func(f *expiredFeed) {
			ended := start - passMinute
			f.add(w.now, benefit.ExpiredVoucher{Voucher: f.vouchers[passedAtOnce], Template: passEnded, End: ended - ended%1000 + 1000})
		}, []string{"events: its end: want later than the issue at"}},
		{"before the end", func(f *expiredFeed) { f.move(passedPlain, end-1, nothing) }, []string{
			fmt.Sprintf("events: its instant: want %d or later, got %d", end, end-1),
		}},
		{"before the operation that it follows", func(f *expiredFeed) {
			f.move(passedReversed, end, func(e *benefit.ExpiredVoucher) { e.Operations, e.Redeemed = 2, 0 })
		}, []string{fmt.Sprintf("events: its instant: want %d or later, got %d", reversed, end)}},
		{"after the operation that follows it", func(f *expiredFeed) { f.move(passedReversed, reversed+1, nothing) }, []string{
			fmt.Sprintf("events: its instant: want %d or earlier & got %d", reversed, reversed+1),
		}},
		{"no subscription", func(f *expiredFeed) {
			f.add(w.now, benefit.ExpiredVoucher{Voucher: f.vouchers[passedUnwatched], Template: passUnwatched, End: end})
		}, []string{"events: template 103: events of vouchers whose end has passed: want a cursor over the ends of its vouchers"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			report := auditFeed(t, st, &feedReader{}, func(commits []*store.Commit) []*store.Commit {
				f := &expiredFeed{commits, vouchers}
				test.damage(f)
				return f.commits
			})
			wantFindings(t, report, test.want...)
		})
	}
	report := auditFeed(t, st, &feedReader{err: store.ErrDamaged}, func(c []*store.Commit) []*store.Commit {
		f := &expiredFeed{c, vouchers}
		f.move(passedPlain, end-1, nothing)
		return f.commits
	})
	wantFindings(t, report, "events: the feed: want commits that can be read")
}

// What is kept to find ends is of templates that exist.
func TestExpiryRows(t *testing.T) {
	st := newDirectory(t).open(t)
	defer closeStore(t, st)
	newPassing(t, st)
	wantFindings(t, auditOf(t, st, Options{}))
	write(t, st, storetest.Start+1, &benefit.Changes{Rows: benefit.RowsOf(
		benefit.ExpiryCursors.Rows(benefit.ExpiryCursor{ExpiryKey: benefit.ExpiryKey{Template: 7}}, benefit.ExpiryCursor{ExpiryKey: benefit.ExpiryKey{Template: 7, Version: 1}}),
		benefit.ExpiryDues.Rows(benefit.ExpiryDue{ExpiryDueKey: benefit.DueKey(8, 5, 5), Template: 8}, benefit.ExpiryDue{ExpiryDueKey: benefit.DueKey(8, 6, 5), Template: 8}),
	)})
	wantFindings(t, auditOf(t, st, Options{}),
		"events: template 7: a cursor over the ends of its vouchers: want a template of the catalogue, got none",
		"events: template 8: an end of one of its vouchers: want a template of the catalogue, got none",
	)
}

// randomEnds issues vouchers whose ends pass, and does things to them before and after that.
func (w *passing) randomEnds(steps int) {
	r := rand.New(rand.NewPCG(3, 3))
	var vouchers []id.ID
	for range steps {
		switch n := r.IntN(10); {
		case n < 4 || len(vouchers) == 0:
			vouchers = append(vouchers, w.issue([]benefit.TemplateID{passExchange, passCash}[r.IntN(2)]))
		case n < 7:
			v := vouchers[r.IntN(len(vouchers))]
			switch r.IntN(9) {
			case 0, 1, 2, 3:
				w.try(v, &benefit.Extend{End: w.now + benefit.Instant(1+r.IntN(300))*passMinute})
			case 4, 5:
				w.try(v, &benefit.Redeem{HasAmount: true, Amount: 2})
			case 6:
				w.try(v, &benefit.Reverse{Redemption: benefit.OperationID{Voucher: v, Number: int64(1 + r.IntN(3))}})
			case 7:
				w.try(v, benefit.Expire{})
			default:
				w.try(v, &benefit.Void{ReturnStock: true})
			}
		case n < 9:
			w.now += benefit.Instant(r.IntN(20)) * passMinute
		default:
			w.record()
		}
	}
	w.now += 1000 * passMinute
	w.record()
}

// A healthy store with many ends that have passed has no findings, also when they do not fit into memory.
func TestHealthyExpiry(t *testing.T) {
	d := newDirectory(t)
	st := d.open(t)
	w := newPassing(t, st)
	w.randomEnds(1200)
	w.healthy(st)
	closeStore(t, st)
	report := d.audit(t)
	wantFindings(t, report)
	if len(report.Doubts) > 0 {
		t.Error(report.Doubts)
	}
}

func TestHealthyExpiryInADatabase(t *testing.T) {
	at := pgtest.Shared(t).Database(t)
	st := openPostgres(t, at)
	w := newPassing(t, st)
	w.randomEnds(400)
	w.healthy(st)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	wantFindings(t, auditPostgres(t, at))
}

// healthy audits the store, in much memory and in little, and with an event that is wrong: the last in the order of vouchers.
func (w *passing) healthy(st store.Store) {
	w.Helper()
	ends, others := int64(0), int64(0)
	last := benefit.ExpiredVoucher{}
	report := auditFeed(w, st, &feedReader{}, func(commits []*store.Commit) []*store.Commit {
		for _, c := range commits {
			for _, s := range c.Steps {
				ends += int64(len(s.Expired))
				others += int64(len(s.Lines) + len(s.Templates))
				if s.Operation != nil {
					others++
				}
				for _, e := range s.Expired {
					if e.Voucher > last.Voucher {
						last = e
					}
				}
			}
		}
		return commits
	})
	wantFindings(w, report)
	if ends < 100 {
		w.Errorf("%d events of ends", ends)
	}
	roomy, tight := auditOf(w, st, Options{LookupEvery: 1, Now: w.now}), auditOf(w, st, Options{LookupEvery: 1, Now: w.now, Memory: 1})
	tight.Checked.Passes = roomy.Checked.Passes
	if diff := storetest.Diff(roomy, tight); diff != "" {
		w.Errorf("in no memory (-one +many):\n%s", diff)
	}
	if got := roomy.Checked.Events; got <= ends || got > ends+others {
		w.Errorf("%d events were checked, %d of ends and %d others", got, ends, others)
	}
	r, err := st.Read(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	defer r.Close()
	f := &feedReader{Reader: r}
	for c, err := range r.AllCommits(w.Context()) {
		if err != nil {
			w.Fatal(err)
		}
		f.commits = append(f.commits, c)
	}
	f.commits = append(f.commits, &store.Commit{Now: w.now, Steps: []benefit.Step{{Expired: []benefit.ExpiredVoucher{last}}}})
	report, err = Store(w.Context(), f, Options{Memory: 1})
	if err != nil {
		w.Fatal(err)
	}
	wantFindings(w, report, "events: want one event, and after it a later end than")
}
