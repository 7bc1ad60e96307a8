package audit

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// The templates of vouchers to which things happen. No world and no stage has their ids.
const (
	lifeCash = 80 + iota
	lifeReduction
	lifeDiscount
	lifePrice
	lifeExchange
	lifeCertificate
)

func lifeTemplates() []*benefit.Template {
	of := func(kind benefit.Kind, face benefit.Face) func(*benefit.Template) {
		return func(t *benefit.Template) { t.Kind, t.Face = kind, face }
	}
	return []*benefit.Template{
		storetest.Template(lifeCash, storetest.Cash(benefit.Fixed, 100, 100)),
		storetest.Template(lifeReduction, of(benefit.Reduction, benefit.Face{Reduction: 500, Threshold: 1000})),
		storetest.Template(lifeDiscount, of(benefit.Discount, benefit.Face{Percent: 8800, Threshold: 1000, Ceiling: 300})),
		storetest.Template(lifePrice, of(benefit.FixedPrice, benefit.Face{Price: 990})),
		storetest.Template(lifeExchange, of(benefit.Exchange, benefit.Face{})),
		storetest.Template(lifeCertificate, storetest.Certificate(12)),
	}
}

// The vouchers of a story, in the order of their issue.
const (
	paidInParts  = iota // CASH of 100: redeemed 30 and 70, of the first 20 reversed
	reduced             // REDUCTION, redeemed
	discounted          // DISCOUNT, redeemed at its ceiling
	priced              // FIXED_PRICE, redeemed and reversed
	extended            // EXCHANGE, extended and redeemed
	returned            // REDUCTION, voided and returned on the day of its issue
	keptVoid            // REDUCTION, voided
	returnedLate        // REDUCTION, voided and returned after the user received one on a later day
	untouched           // REDUCTION, of the later day
	ended               // EXCHANGE, expired
	repeated            // CERTIFICATE in a window that a void ends
	boundAgain          // the same, under the same key
)

// story is a store's rows of vouchers to which everything has happened, some of which a test gets wrong.
type story struct {
	templates []*benefit.Template
	vouchers  []id.ID
	changes   *typedChanges
}

// now is when a story is audited: a day after it, with nothing expired by itself.
const storyNow = storetest.Start + 3*oneDay

func newStory() *story { return &story{templates: lifeTemplates()} }

// tell plays the story on a store, each command in a commit of its own.
func (s *story) tell(t testing.TB, st store.Store) {
	t.Helper()
	var entities []benefit.Entity
	for _, template := range s.templates {
		e, err := benefit.EntityOf(template)
		if err != nil {
			t.Fatal(err)
		}
		entities = append(entities, e)
	}
	clock, cat := storetest.Start, storetest.Catalogue(s.templates...)
	cat.Version = versionOf(t, st) + 1
	write(t, st, clock, &benefit.Changes{Catalogue: cat.Version, Rows: benefit.RowsOf(benefit.Entities.Rows(entities...))})
	c := storetest.NewCommitter(st, cat, 3)
	issue := func(template benefit.TemplateID, key string, window int64) {
		t.Helper()
		clock += 1000
		r := storetest.Request(key, "20881", storetest.Line(template))
		r.BindMillis = window
		all, err := c.Issue(t.Context(), clock, r)
		if err != nil || all[0].Issuance == nil || all[0].Replayed {
			t.Fatalf("%s: %+v, %v", key, all, err)
		}
		s.vouchers = append(s.vouchers, all[0].Issuance.ID)
	}
	commands := 0
	do := func(voucher int, a benefit.Action) {
		t.Helper()
		clock += 1000
		commands++
		one := &benefit.OnVoucher{Action: a, App: storetest.App, Key: fmt.Sprint("c", commands)}
		if _, ok := a.(*benefit.Reverse); !ok {
			one.Voucher = s.vouchers[voucher]
		}
		if err := c.Do(t.Context(), clock, one); err != nil || one.Outcome.Reason != benefit.NotRefused {
			t.Fatalf("%s: %v, %v", one, one.Outcome.Reason, err)
		}
	}
	pay := func(voucher int, order string, amount, orderAmount money.Fen) {
		t.Helper()
		do(voucher, &benefit.Redeem{Order: order, Amount: amount, HasAmount: amount > 0, OrderAmount: orderAmount, HasOrderAmount: orderAmount > 0})
	}
	back := func(voucher int, number int64, amount money.Fen) {
		t.Helper()
		redemption := benefit.OperationID{Voucher: s.vouchers[voucher], Number: number}
		do(voucher, &benefit.Reverse{Redemption: redemption, Amount: amount, HasAmount: amount > 0})
	}
	for n, template := range []benefit.TemplateID{lifeCash, lifeReduction, lifeDiscount, lifePrice, lifeExchange, lifeReduction} {
		issue(template, fmt.Sprint("k", n), 0)
	}
	pay(paidInParts, "o1", 30, 0)
	pay(paidInParts, "", 70, 80)
	back(paidInParts, 1, 20)
	pay(reduced, "o2", 0, 1200)
	pay(discounted, "o3", 0, 5000)
	pay(priced, "o1", 0, 1000)
	back(priced, 1, 0)
	do(extended, &benefit.Extend{End: clock + 30*oneDay})
	pay(extended, "", 0, 0)
	do(returned, &benefit.Void{ReturnStock: true})
	issue(lifeReduction, "k6", 0)
	do(keptVoid, &benefit.Void{})
	issue(lifeReduction, "k7", 0)
	clock += oneDay
	issue(lifeReduction, "k8", 0)
	do(returnedLate, &benefit.Void{ReturnStock: true})
	issue(lifeExchange, "k9", 0)
	do(ended, benefit.Expire{})
	issue(lifeCertificate, "window", 60_000)
	do(repeated, &benefit.Void{ReturnStock: true})
	issue(lifeCertificate, "window", 60_000)
}

// versionOf returns the version of a store's catalogue; 0 when there is none.
func versionOf(t testing.TB, st store.Store) int64 {
	t.Helper()
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, version, err := r.Entities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// told returns a story with the rows of a memory store on which it was told.
func told(t testing.TB) *story {
	t.Helper()
	st, s := memory.New(), newStory()
	s.tell(t, st)
	all, err := storetest.ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	s.changes = &typedChanges{Catalogue: 1, Users: all.Users}
	for _, i := range all.Issuances {
		s.changes.Issuances = append(s.changes.Issuances, clone(i))
	}
	s.changes.Quotas, s.changes.Templates = storetest.RowsOf(all, benefit.Quotas), storetest.RowsOf(all, benefit.TemplateCounts)
	s.changes.Days, s.changes.Entities = storetest.RowsOf(all, benefit.TemplateDays), storetest.RowsOf(all, benefit.Entities)
	s.changes.Operations, s.changes.States = storetest.RowsOf(all, benefit.Operations), storetest.RowsOf(all, benefit.VoucherStates)
	s.changes.Entries, s.changes.Orders = storetest.RowsOf(all, benefit.VoucherOperations), storetest.RowsOf(all, benefit.OrderRedemptions)
	return s
}

func (s *story) open(t testing.TB) store.Store {
	t.Helper()
	st := memory.New()
	write(t, st, storyNow, s.changes.rows())
	return st
}

// the returns the row that the condition is true of; a test that changes it does damage.
func the[V any](all []V, is func(*V) bool) *V {
	if k := slices.IndexFunc(all, func(v V) bool { return is(&v) }); k >= 0 {
		return &all[k]
	}
	panic("there is no such row")
}

func (s *story) state(voucher int) *benefit.VoucherState {
	return the(s.changes.States, func(v *benefit.VoucherState) bool { return v.Voucher == s.vouchers[voucher] })
}

func (s *story) entry(voucher int, number int64) *benefit.VoucherOperation {
	return the(s.changes.Entries, func(e *benefit.VoucherOperation) bool {
		return e.OperationID == benefit.OperationID{Voucher: s.vouchers[voucher], Number: number}
	})
}

func (s *story) operation(voucher int, number int64) *benefit.Operation {
	return the(s.changes.Operations, func(o *benefit.Operation) bool {
		t, err := benefit.DecodeTransition(o)
		return err == nil && t.OperationID == benefit.OperationID{Voucher: s.vouchers[voucher], Number: number}
	})
}

// edit changes what an operation did.
func (s *story) edit(voucher int, number int64, change func(*benefit.Transition)) {
	o := s.operation(voucher, number)
	t, err := benefit.DecodeTransition(o)
	if err != nil {
		panic(err)
	}
	change(&t)
	if o.Result, err = json.Marshal(t); err != nil {
		panic(err)
	}
}

// remove removes an operation, and with entry its entry in the list.
func (s *story) remove(voucher int, number int64, entry bool) {
	claim := s.operation(voucher, number).Claim
	s.changes.Operations = slices.DeleteFunc(s.changes.Operations, func(o benefit.Operation) bool { return o.Claim == claim })
	if entry {
		s.changes.Entries = slices.DeleteFunc(s.changes.Entries, func(e benefit.VoucherOperation) bool { return e.Claim == claim })
	}
}

func (s *story) count(template benefit.TemplateID) *benefit.TemplateCount {
	return the(s.changes.Templates, func(c *benefit.TemplateCount) bool { return c.Template == template })
}

func (s *story) day(template benefit.TemplateID, day benefit.Day) *benefit.TemplateDay {
	return the(s.changes.Days, func(d *benefit.TemplateDay) bool { return d.Template == template && d.Day == day })
}

func (s *story) quota(template benefit.TemplateID) *benefit.Quota {
	return the(s.changes.Quotas, func(q *benefit.Quota) bool { return q.Template == template })
}

func (s *story) issuance(voucher int) *benefit.Issuance {
	return *the(s.changes.Issuances, func(i **benefit.Issuance) bool { return (*i).ID == s.vouchers[voucher] })
}

// Each way in which what happened to vouchers can be wrong is found, and named.
func TestLives(t *testing.T) {
	day := storetest.Start.Day()
	for _, test := range []struct {
		name   string
		damage func(s *story)
		want   []string
	}{
		{"nothing", func(*story) {}, nil},

		{"a status", func(s *story) { s.state(reduced).Status = benefit.Issued }, []string{"redemptions: its state: want USED, 1 operations, 1 redeemed & got ISSUED"}},
		{"a status of none", func(s *story) { s.state(reduced).Status = 9 }, []string{"redemptions: its state: want USED", "conservation: template 81"}},
		{"a voided voucher that lives", func(s *story) { s.state(returned).Status = benefit.Issued }, []string{
			"redemptions: its state: want VOIDED & got ISSUED", "conservation: template 81: want 4 vouchers, 2000 fen, by the states & got 3 vouchers, 1500 fen, by its counters",
		}},
		{"how much is redeemed", func(s *story) { s.state(paidInParts).Redeemed-- }, []string{"redemptions: its state: want ISSUED, 3 operations, 80 redeemed & 79 redeemed"}},
		{"how many operations", func(s *story) { s.state(reduced).Operations++ }, []string{"redemptions: its state: & 2 operations"}},
		{"an end", func(s *story) { s.state(extended).End++ }, []string{"redemptions: its state"}},
		{"an end where there is none", func(s *story) { s.state(reduced).End = 5 }, []string{"redemptions: its state"}},
		{"the last instant", func(s *story) { s.state(reduced).At++ }, []string{"redemptions: its state"}},
		{"a missing state", func(s *story) { s.changes.States = s.changes.States[1:] }, []string{"redemptions: its state & got none"}},
		{"a state without operations", func(s *story) {
			s.changes.States = append(s.changes.States, benefit.VoucherState{Voucher: s.vouchers[untouched], Status: benefit.Issued})
		}, []string{"redemptions: its state: want none, as there are no operations"}},
		{"a state of no voucher", func(s *story) {
			s.changes.States = append(s.changes.States, benefit.VoucherState{Voucher: 5, Status: benefit.Issued}, benefit.VoucherState{Voucher: 1 << 62, Status: benefit.Issued})
		}, []string{"redemptions: voucher 5 & want a voucher that was issued", "redemptions: voucher 4611686018427387904 & want a voucher that was issued"}},

		{"a missing operation", func(s *story) { s.remove(paidInParts, 3, false) }, []string{"redemptions: operation 3 in its list: want none"}},
		{"an operation without its entry", func(s *story) { s.remove(paidInParts, 3, true) }, []string{"redemptions: operation 1 in its list: want redeem, value 30, 0 reversed"}},
		{"an operation that leaves a gap", func(s *story) { s.remove(paidInParts, 2, true) }, []string{"redemptions: operation 2: want operations that are numbered without a gap, got number 3"}},
		{"a void that never was", func(s *story) { s.remove(returned, 1, true) }, []string{
			"redemptions: its state: want none", "totals: template 81: want 4 vouchers", "totals: template 81 on 2026-11-11: want 3 vouchers", "limits: template 81: want 4",
		}},
		{"an operation with another number", func(s *story) {
			s.edit(paidInParts, 3, func(t *benefit.Transition) { t.Number = 4 })
		}, []string{"redemptions: operation 3: want operations that are numbered without a gap, got number 4"}},
		{"two operations with one number", func(s *story) {
			s.edit(paidInParts, 3, func(t *benefit.Transition) { t.Number = 2 })
		}, []string{"redemptions: operation 3: want operations that are numbered without a gap, got number 2"}},
		{"an operation of another voucher", func(s *story) {
			s.operation(reduced, 1).ID = s.vouchers[untouched]
			s.edit(untouched, 1, func(t *benefit.Transition) { t.Order = "" })
			s.operation(untouched, 1).At += oneDay + 60_000
			s.changes.Orders = slices.DeleteFunc(s.changes.Orders, func(o benefit.OrderRedemption) bool { return o.Voucher == s.vouchers[reduced] })
		}, []string{
			"redemptions: operation 1 in its list: want none", "redemptions: operation 1, redeem: the voucher after it",
		}},
		{"an operation of no voucher", func(s *story) {
			s.operation(discounted, 1).ID = 5
			s.edit2(5, func(t *benefit.Transition) { t.Order = "" })
			s.changes.Orders = slices.DeleteFunc(s.changes.Orders, func(o benefit.OrderRedemption) bool { return o.Voucher == s.vouchers[discounted] })
		}, []string{"redemptions: voucher 5, to which something has happened", "redemptions: operation 1 in its list: want none"}},
		{"an operation that cannot be read", func(s *story) { s.operation(keptVoid, 1).Result = []byte("{") }, []string{"redemptions: operation 1: want a result that can be read"}},
		{"a template", func(s *story) {
			s.edit(keptVoid, 1, func(t *benefit.Transition) { t.Template = lifeCash })
		}, []string{"redemptions: operation 1, void: its template: want 81, got 80"}},

		{"a value", func(s *story) {
			s.edit(paidInParts, 1, func(t *benefit.Transition) { t.Value++; t.Discount++ })
		}, []string{"redemptions: operation 1, redeem: the voucher after it: want ISSUED, 31 redeemed"}},
		{"more than the balance", func(s *story) {
			s.edit(paidInParts, 2, func(t *benefit.Transition) { t.Value++ })
		}, []string{"redemptions: operation 2, redeem: its value: want 1 to 70, which is left, got 71"}},
		{"nothing redeemed", func(s *story) {
			s.edit(reduced, 1, func(t *benefit.Transition) { t.Value = 0 })
		}, []string{"redemptions: operation 1, redeem: its value"}},
		{"a value of a void", func(s *story) {
			s.edit(keptVoid, 1, func(t *benefit.Transition) { t.Value = 1 })
		}, []string{"redemptions: operation 1, void: its value: want 0"}},
		{"more reversed than redeemed", func(s *story) {
			s.edit(paidInParts, 3, func(t *benefit.Transition) { t.Value = 31 })
		}, []string{"redemptions: operation 3, reverse: what it gives back of redemption 1: want 1 to 30, which is left of it, got 31"}},
		{"the reversal of another redemption", func(s *story) {
			s.edit(paidInParts, 3, func(t *benefit.Transition) { t.Redemption = 2 })
			o := s.operation(paidInParts, 3)
			o.Scope = benefit.ReversalScope(benefit.OperationID{Voucher: s.vouchers[paidInParts], Number: 2})
			o.Claim = benefit.ClaimIDOf(o.Scope, o.Key)
			s.entry(paidInParts, 3).Claim = o.Claim
		}, []string{"redemptions: operation 1 in its list: want redeem, value 30, 0 reversed"}},
		{"the reversal of a reversal", func(s *story) {
			s.edit(paidInParts, 3, func(t *benefit.Transition) { t.Redemption = 3 })
		}, []string{"one outcome: its key", "redemptions: operation 3, reverse: what it gives back of redemption 3: want 1 to 0"}},
		{"a reversal of a part of what is whole", func(s *story) {
			s.edit(priced, 2, func(t *benefit.Transition) { t.Value = 0 })
		}, []string{"redemptions: operation 2, reverse: what it gives back"}},

		{"a discount", func(s *story) { s.edit(reduced, 1, func(t *benefit.Transition) { t.Discount++ }) }, []string{"redemptions: its discount in fen: want 500, got 501"}},
		{"a discount beyond the ceiling", func(s *story) {
			s.edit(discounted, 1, func(t *benefit.Transition) { t.Discount = 600 })
		}, []string{"redemptions: its discount in fen: want 300, got 600"}},
		{"a discount below the ceiling", func(s *story) {
			s.edit(discounted, 1, func(t *benefit.Transition) { t.OrderAmount = 1009 })
		}, []string{"redemptions: its discount in fen: want 121, got 300"}},
		{"an order below the threshold", func(s *story) {
			s.edit(reduced, 1, func(t *benefit.Transition) { t.OrderAmount = 999 })
		}, []string{"redemptions: the amount of its order in fen"}},
		{"an order at the fixed price", func(s *story) {
			s.edit(priced, 1, func(t *benefit.Transition) { t.OrderAmount, t.Discount = 990, 0 })
		}, []string{"redemptions: the amount of its order in fen"}},
		{"cash beyond the order", func(s *story) {
			s.edit(paidInParts, 2, func(t *benefit.Transition) { t.OrderAmount = 69 })
		}, []string{"redemptions: the amount of its order in fen"}},
		{"a status after", func(s *story) {
			s.edit(reduced, 1, func(t *benefit.Transition) { t.Status = benefit.Issued })
		}, []string{"redemptions: operation 1, redeem: the voucher after it"}},
		{"an end after", func(s *story) { s.edit(reduced, 1, func(t *benefit.Transition) { t.End++ }) }, []string{"redemptions: the voucher after it"}},

		{"before the issue", func(s *story) {
			s.operation(keptVoid, 1).At = s.issuance(keptVoid).At() - 1
		}, []string{"redemptions: operation 1, void: its instant"}},
		{"before the operation before", func(s *story) { s.operation(extended, 2).At -= 2000 }, []string{"redemptions: operation 2, redeem: its instant"}},
		{"redeemed at the end", func(s *story) {
			i := s.issuance(reduced)
			s.operation(reduced, 1).At = i.Lines[0].Valid.End + 1000
		}, []string{"redemptions: operation 1, redeem: its instant & to before", "redemptions: the instant by which its order is found"}},
		{"redeemed before the start", func(s *story) {
			s.templates[lifeExchange-lifeCash].Valid.AfterMillis = int64(oneDay)
			for _, n := range []int{extended, ended} {
				l := &s.issuance(n).Lines[0]
				l.Valid.Start += oneDay
				l.Valid.End += oneDay
			}
			s.edit(extended, 1, func(t *benefit.Transition) { t.Seen = benefit.Counters{} })
		}, []string{"redemptions: operation 2, redeem: its instant"}},
		{"used twice", func(s *story) {
			s.again(reduced, "twice", func(t *benefit.Transition) { t.Redeemed = 1 })
		}, []string{"redemptions: operation 2, redeem: the voucher before it: want ISSUED, got USED"}},
		{"voided with something redeemed", func(s *story) {
			o := s.operation(reduced, 1)
			o.Kind, o.Scope = benefit.VoidOperation, benefit.VoucherScope(benefit.VoidOperation, storetest.App)
			o.Claim = benefit.ClaimIDOf(o.Scope, o.Key)
			s.edit(paidInParts, 2, func(t *benefit.Transition) { t.Value, t.Redeemed, t.Status = 1, 31, benefit.Issued })
			p := s.operation(paidInParts, 2)
			p.Kind, p.Scope = benefit.VoidOperation, benefit.VoucherScope(benefit.VoidOperation, storetest.App)
			p.Claim = benefit.ClaimIDOf(p.Scope, p.Key)
		}, []string{"redemptions: operation 2, void: redeemed before it: want 0, got 30", "redemptions: operation 1, void: its value", "redemptions: an order by which it is found"}},
		{"an end that is not later", func(s *story) {
			s.edit(extended, 1, func(t *benefit.Transition) { t.End = s.issuance(extended).Lines[0].Valid.End + 1000 })
		}, []string{"redemptions: operation 1, extend: the new end"}},
		{"an end that is too far", func(s *story) {
			s.edit(extended, 1, func(t *benefit.Transition) { t.End = storetest.Start + 3700*oneDay })
		}, []string{"redemptions: operation 1, extend: the new end"}},
		{"expired when it was", func(s *story) {
			s.operation(ended, 1).At = s.issuance(ended).Lines[0].Valid.End + 1000
		}, []string{"redemptions: operation 1, expire: its instant: want before"}},
		{"a kind that there is not", func(s *story) { s.operation(keptVoid, 1).Kind = 77 }, []string{"one outcome: its key", "redemptions: operation 1, operation 77: its kind"}},

		{"an entry", func(s *story) { s.entry(paidInParts, 2).Value++ }, []string{"redemptions: operation 2 in its list: want redeem, value 70 & got redeem, value 71"}},
		{"an entry's kind", func(s *story) { s.entry(paidInParts, 2).Kind = benefit.VoidOperation }, []string{"redemptions: operation 2 in its list: want redeem & got void"}},
		{"an entry's claim", func(s *story) { s.entry(paidInParts, 2).Claim[0]++ }, []string{"redemptions: operation 2 in its list: want & leading to itself & leading to another operation"}},
		{"how much is reversed", func(s *story) { s.entry(paidInParts, 1).Reversed-- }, []string{"redemptions: operation 1 in its list: want redeem, value 30, 20 reversed & 19 reversed"}},
		{"an entry with another number", func(s *story) { s.entry(paidInParts, 3).Number = 4 }, []string{"redemptions: operation 3 in its list: want an entry, got one of number 4"}},
		{"a missing entry", func(s *story) {
			gone := *s.entry(reduced, 1)
			s.changes.Entries = slices.DeleteFunc(s.changes.Entries, func(e benefit.VoucherOperation) bool { return e == gone })
		}, []string{"redemptions: operation 1 in its list: want an entry, got none"}},
		{"an entry without an operation", func(s *story) {
			s.changes.Entries = append(s.changes.Entries, benefit.VoucherOperation{OperationID: benefit.OperationID{Voucher: s.vouchers[untouched], Number: 1}})
		}, []string{"redemptions: operation 1 in its list: want none"}},

		{"a missing order", func(s *story) { s.changes.Orders = s.changes.Orders[1:] }, []string{"redemptions: its order: want a row by which it is found, got none"}},
		{"an order of none", func(s *story) {
			o := s.changes.Orders[0]
			o.Number += 7
			s.changes.Orders = append(s.changes.Orders, o)
		}, []string{"redemptions: an order by which it is found: want none"}},
		{"an order's instant", func(s *story) { s.changes.Orders[0].At++ }, []string{"redemptions: the instant by which its order is found"}},
		{"another order", func(s *story) { s.changes.Orders[0].Order[0]++ }, []string{"redemptions: ", "redemptions: "}},

		{"a key", func(s *story) { s.operation(reduced, 1).Key += "x" }, []string{"one outcome: operation & its key"}},
		{"a key of another command", func(s *story) {
			o := s.operation(reduced, 1)
			o.Scope = benefit.VoucherScope(benefit.VoidOperation, storetest.App)
			o.Claim = benefit.ClaimIDOf(o.Scope, o.Key)
			s.entry(reduced, 1).Claim = o.Claim
		}, []string{"one outcome: operation & a scope for redeem"}},
		{"a key of another app", func(s *story) { s.edit(reduced, 1, func(t *benefit.Transition) { t.App++ }) }, []string{"one outcome: operation & its key"}},
		{"a key of another redemption", func(s *story) {
			o := s.operation(priced, 2)
			o.Scope = benefit.ReversalScope(benefit.OperationID{Voucher: s.vouchers[priced], Number: 2})
			o.Claim = benefit.ClaimIDOf(o.Scope, o.Key)
			s.entry(priced, 2).Claim = o.Claim
		}, []string{"one outcome: operation & a scope for reverse"}},

		{"a total that was not given back", func(s *story) { s.count(lifeReduction).Count++ }, []string{"totals: template 81: want 3 vouchers, 1500 fen, by its vouchers, got 4 vouchers"}},
		{"a total that was given back twice", func(s *story) { s.count(lifeReduction).Count-- }, []string{"totals: template 81: want 3 vouchers & got 2"}},
		{"an amount that was not given back", func(s *story) { s.count(lifeReduction).Amount += 500 }, []string{"totals: template 81: want 3 vouchers, 1500 fen"}},
		{"given back on the wrong day", func(s *story) {
			s.day(lifeReduction, day).Count++
			s.day(lifeReduction, day+1).Count--
		}, []string{"totals: template 81 on 2026-11-11: want 2 vouchers", "totals: template 81 on 2026-11-12: want 1 vouchers"}},
		{"a user's total that was not given back", func(s *story) { s.quota(lifeReduction).Total++ }, []string{"limits: template 81: want 3, of which 1 on 2026-11-12, by the vouchers, got 4"}},
		{"a user's day that was given back too late", func(s *story) { s.quota(lifeReduction).DayTotal-- }, []string{"limits: template 81: want 3, of which 1 on 2026-11-12"}},
		{"the same of the day", func(s *story) { s.quota(lifeCertificate).DayTotal++ }, []string{"limits: template 85: want 1, of which 1 on"}},
		{"nothing voided that was returned", func(s *story) {
			s.edit(returned, 1, func(t *benefit.Transition) { t.ReturnStock = false })
		}, []string{"totals: template 81: want 4 vouchers", "totals: template 81 on 2026-11-11: want 3 vouchers", "limits: template 81: want 4"}},
		{"returned what was voided", func(s *story) {
			s.edit(keptVoid, 1, func(t *benefit.Transition) { t.ReturnStock = true })
		}, []string{"totals: template 81: want 2 vouchers", "totals: template 81 on 2026-11-11: want 1 vouchers", "limits: template 81: want 2"}},
		{"what a void saw of the template", func(s *story) {
			s.edit(returnedLate, 1, func(t *benefit.Transition) { t.Seen.Count++ })
		}, []string{"totals: operation & the counters of its template that it keeps: want those that a line or a void of the template left behind, such as"}},
		{"what a void saw of the day", func(s *story) {
			s.edit(returnedLate, 1, func(t *benefit.Transition) { t.Seen.DayCount++ })
		}, []string{"totals: operation & the counters of its template that it keeps"}},
		{"what a line saw after a void", func(s *story) { s.issuance(keptVoid).Lines[0].Seen.Count++ }, []string{"totals: issuance & the counters of its template that it keeps"}},
		{"what a void saw of the user", func(s *story) {
			s.edit(returnedLate, 1, func(t *benefit.Transition) { t.Seen.User++ })
		}, []string{"limits: template 81: want vouchers that follow one another, got one that saw 3 in total and one that left 4 in total"}},
		{"what a void saw of the user's day", func(s *story) {
			s.edit(returned, 1, func(t *benefit.Transition) { t.Seen.UserDay-- })
		}, []string{"limits: template 81: want vouchers that follow one another"}},
		{"what a line saw of the user after a void", func(s *story) { s.issuance(keptVoid).Lines[0].Seen.UserDay++ }, []string{"limits: template 81: want vouchers that follow one another"}},

		{"a key bound again before a void", func(s *story) {
			s.operation(repeated, 1).At += 2000
			s.state(repeated).At += 2000
		}, []string{"one outcome: issuances  & the second at"}},
		{"bound again in the millisecond of the void", func(s *story) {
			one, two := &s.issuance(repeated).Lines[0], &s.issuance(boundAgain).Lines[0]
			one.At, one.Valid = two.At, two.Valid
			s.operation(repeated, 1).At, s.state(repeated).At = two.At, two.At
			s.edit(repeated, 1, func(t *benefit.Transition) { t.End = two.Valid.End + 1000 })
		}, nil},
		{"the same, under a lesser id", func(s *story) {
			one, two := &s.issuance(repeated).Lines[0], &s.issuance(boundAgain).Lines[0]
			one.At, one.Valid = two.At, two.Valid
			o, e, v := s.operation(repeated, 1), s.entry(repeated, 1), s.state(repeated)
			o.ID, o.At, v.At = s.vouchers[boundAgain], two.At, two.At
			e.Voucher, v.Voucher = o.ID, o.ID
			s.edit(boundAgain, 1, func(t *benefit.Transition) { t.End = two.Valid.End + 1000 })
		}, []string{"one outcome: issuances  & the second at"}},
		{"a key bound again without a void", func(s *story) {
			s.remove(repeated, 1, true)
			s.changes.States = slices.DeleteFunc(s.changes.States, func(v benefit.VoucherState) bool { return v.Voucher == s.vouchers[repeated] })
			s.count(lifeCertificate).Count++
			s.day(lifeCertificate, day+1).Count++
			s.quota(lifeCertificate).Total++
			s.quota(lifeCertificate).DayTotal++
			l := &s.issuance(boundAgain).Lines[0]
			l.Seen.Count, l.Seen.DayCount, l.Seen.User, l.Seen.UserDay = 1, 1, 1, 1
		}, []string{"one outcome: issuances  & the second at"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := told(t)
			test.damage(s)
			s.changes.Entities = nil
			for _, template := range s.templates {
				e, err := benefit.EntityOf(template)
				if err != nil {
					t.Fatal(err)
				}
				s.changes.Entities = append(s.changes.Entities, e)
			}
			report := auditOf(t, s.open(t), Options{LookupEvery: 1, Now: storyNow})
			wantInAnyOrder(t, report, test.want...)
			if len(report.Doubts) > 0 {
				t.Errorf("doubts: %+v", report.Doubts)
			}
		})
	}
}

// edit2 changes what the only operation on a voucher did.
func (s *story) edit2(voucher id.ID, change func(*benefit.Transition)) {
	s.vouchers = append(s.vouchers, voucher)
	s.edit(len(s.vouchers)-1, 1, change)
}

// again adds the first operation on a voucher once more, under another key, as the second one.
func (s *story) again(voucher int, key string, change func(*benefit.Transition)) {
	o, e := *s.operation(voucher, 1), *s.entry(voucher, 1)
	o.Key = key
	o.Claim = benefit.ClaimIDOf(o.Scope, key)
	e.Number, e.Claim = 2, o.Claim
	t, err := benefit.DecodeTransition(&o)
	if err != nil {
		panic(err)
	}
	t.Number, t.Order = 2, ""
	change(&t)
	if o.Result, err = json.Marshal(t); err != nil {
		panic(err)
	}
	s.changes.Operations, s.changes.Entries = append(s.changes.Operations, o), append(s.changes.Entries, e)
	s.state(voucher).Operations++
}

// wantInAnyOrder compares findings with what they should be, of which each is for one.
func wantInAnyOrder(t testing.TB, report *Report, want ...string) {
	t.Helper()
	left := slices.Clone(report.Findings)
	for _, w := range want {
		k := slices.IndexFunc(left, func(f Finding) bool { return matches(f, w) })
		if k < 0 {
			t.Errorf("no finding %q among %v", w, report.Findings)
			continue
		}
		left = slices.Delete(left, k, k+1)
	}
	if len(left) > 0 {
		t.Errorf("findings that were not expected: %v", left)
	}
}

// randomLives issues to a few users, who are linked to persons, and does random things to their vouchers. Batches are of several
// commands, the clock jumps, and windows are short.
// It returns how often each command was carried out, and how often a key was bound for a while.
func randomLives(t testing.TB, st store.Store, seed uint64, steps int, jumps ...benefit.Instant) (done map[string]int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	templates := lifeTemplates()
	for _, template := range templates {
		template.Limits = benefit.Limits{PerUser: r.Int64N(9), PerPerson: r.Int64N(15), PerUserPerDay: r.Int64N(5)}
		template.Stock = benefit.Stock{
			Count: 30, Amount: benefit.Cap(500 + r.Int64N(19000)), CountPerDay: 3 + benefit.Cap(r.IntN(9)), AmountPerDay: 3000,
		}
		template.Valid.ForMillis = int64(oneDay) * (1 + r.Int64N(4))
	}
	var entities []benefit.Entity
	for _, template := range templates {
		e, err := benefit.EntityOf(template)
		if err != nil {
			t.Fatal(err)
		}
		entities = append(entities, e)
	}
	var users []*benefit.User
	g := id.NewGenerator(r, 0)
	for n := range 5 {
		ident := benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20889", n)}
		users = append(users, &benefit.User{
			ID: g.Block(int64(storetest.Start)-1000, 100*n, 1), Person: []string{"p", "p", "q", "", ""}[n], Alipay: ident.Value,
			Identifiers: []benefit.Identifier{ident},
		})
	}
	clock := storetest.Start
	write(t, st, clock, &benefit.Changes{Catalogue: 1, Users: users, Rows: benefit.RowsOf(benefit.Entities.Rows(entities...))})
	c := storetest.NewCommitter(st, storetest.Catalogue(templates...), seed)
	var vouchers []id.ID
	var redemptions []benefit.OperationID
	done = map[string]int{}
	pick := func() id.ID { return vouchers[r.IntN(len(vouchers))] }
	action := func() benefit.Action {
		switch r.IntN(12) {
		case 0, 1:
			return &benefit.Void{ReturnStock: r.IntN(3) > 0, Memo: "why"}
		case 2:
			return &benefit.Extend{End: clock + benefit.Instant(r.Int64N(int64(9*oneDay)))}
		case 3:
			return benefit.Expire{}
		case 4, 5, 6, 7:
			if len(redemptions) > 0 {
				a := money.Fen(r.IntN(60))
				return &benefit.Reverse{Redemption: redemptions[r.IntN(len(redemptions))], Amount: a, HasAmount: a > 0 && r.IntN(4) == 0}
			}
		}
		a, o := money.Fen(r.IntN(60)), money.Fen(r.IntN([]int{100, 3000}[r.IntN(2)]))
		return &benefit.Redeem{Order: []string{"", "a", "b"}[r.IntN(3)], Shop: "s", Amount: a, HasAmount: a > 0 && r.IntN(5) == 0, OrderAmount: o, HasOrderAmount: r.IntN(5) > 0}
	}
	for n := range steps {
		clock += jumps[r.IntN(len(jumps))]
		var commands []benefit.Command
		var issues []*benefit.Issue
		var ons []*benefit.OnVoucher
		for k := range 1 + r.IntN(4) {
			if len(vouchers) == 0 || r.IntN(3) == 0 {
				line := storetest.Line(lifeCash + benefit.TemplateID(r.IntN(6)))
				line.Quantity = 1 + r.IntN(2)
				request := storetest.Request(fmt.Sprint(n, "/", k), users[r.IntN(5)].Alipay, line)
				if r.IntN(3) == 0 {
					request = storetest.Request("window", users[0].Alipay, storetest.Line(lifeCertificate))
					request.BindMillis = 5000
				}
				issue := &benefit.Issue{Request: request}
				issues, commands = append(issues, issue), append(commands, issue)
				continue
			}
			one := &benefit.OnVoucher{Action: action(), App: benefit.AppID(r.IntN(2)), Key: fmt.Sprint("c", r.IntN(3*steps))}
			if _, ok := one.Action.(*benefit.Reverse); !ok {
				one.Voucher = pick()
			}
			ons, commands = append(ons, one), append(commands, one)
		}
		if err := c.Do(t.Context(), clock, commands...); err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, n, err)
		}
		for _, i := range issues {
			if o := i.Outcome; o.Issuance != nil && !o.Replayed {
				if o.Issuance.BindMillis > 0 {
					done["bind"]++
				}
				for _, v := range o.Issuance.Vouchers() {
					vouchers = append(vouchers, v.ID)
				}
			}
		}
		for _, one := range ons {
			if o := one.Outcome; o.Reason == benefit.NotRefused && !o.Replayed {
				done[o.Transition.Kind.String()]++
				if o.Transition.Kind == benefit.RedeemOperation {
					redemptions = append(redemptions, o.Transition.OperationID)
				}
			}
		}
	}
	return done
}

// jumps of a clock that stands still, turns the day and steps back.
var jumps = []benefit.Instant{0, 0, 1, 500, 4000, oneDay / 5, -oneDay / 3}

// Whatever happens to vouchers, a healthy store has no findings; and each template's balance adds up.
func TestHealthyLives(t *testing.T) {
	often := map[string]int{}
	for seed := range uint64(30) {
		st := memory.New()
		done := randomLives(t, st, seed, 150, jumps...)
		for what, n := range done {
			often[what] += n
		}
		report := auditOf(t, st, Options{LookupEvery: 1})
		wantFindings(t, report)
		if len(report.Balances) == 0 {
			t.Error("no balances")
		}
		for _, b := range report.Balances {
			var sum Tally
			for _, one := range []Tally{b.Sending, b.Live, b.Used, b.Expired, b.Voided, b.Returned} {
				sum.add(one.Vouchers, one.Fen)
			}
			if sum != b.Issued {
				t.Errorf("seed %d: %+v does not add up", seed, b)
			}
		}
		tight := auditOf(t, st, Options{LookupEvery: 1, Memory: 1})
		tight.Checked.Passes = report.Checked.Passes
		if diff := storetest.Diff(report, tight); diff != "" {
			t.Errorf("seed %d: in no memory (-one +many):\n%s", seed, diff)
		}
	}
	for _, what := range []string{"redeem", "reverse", "void", "extend", "expire", "bind"} {
		if often[what] < 60 {
			t.Errorf("only %d times %s", often[what], what)
		}
	}
}

// The same of a directory and of a database, which have the same checksum as well.
func TestHealthyLivesOnDisk(t *testing.T) {
	for seed := range uint64(3) {
		d, model := newDirectory(t), memory.New()
		randomLives(t, model, seed, 150, jumps...)
		st := d.open(t)
		randomLives(t, st, seed, 150, jumps...)
		if got := checksumOf(t, model).Differences(checksumOf(t, st)); len(got) > 0 {
			t.Errorf("seed %d: %q", seed, got)
		}
		closeStore(t, st)
		report := d.audit(t)
		wantFindings(t, report)
		if report.Checked.Operations == 0 || report.Checked.VoucherStates == 0 || report.Checked.Events < 20 || len(report.Doubts) > 0 {
			t.Errorf("seed %d: %+v, doubts %v", seed, report.Checked, report.Doubts)
		}
	}
}

func TestHealthyLivesInADatabase(t *testing.T) {
	ahead := []benefit.Instant{1, 1, 1, 500, 4000, oneDay / 5} // then the clocks of both stores are the same: see TestHealthyDatabase
	for seed := range uint64(2) {
		at, model := pgtest.Shared(t).Database(t), memory.New()
		randomLives(t, model, seed, 150, ahead...)
		st := openPostgres(t, at)
		randomLives(t, st, seed, 150, ahead...)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		report := auditPostgres(t, at)
		wantFindings(t, report)
		if got := checksumOf(t, model).Differences(report.Checksum); len(got) > 0 {
			t.Errorf("seed %d: %q", seed, got)
		}
	}
}
