package engine_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/storetest"
)

// do submits the commands as one batch, takes it through and returns what their callers are told.
func (b *bench) do(commands ...benefit.Command) []error {
	b.t.Helper()
	all := make([]*engine.Pending, len(commands))
	for k, c := range commands {
		var err error
		if all[k], err = b.engine.Submit(c); err != nil {
			b.t.Fatalf("Submit: %v", err)
		}
	}
	b.step()
	errs := make([]error, len(all))
	for k, p := range all {
		var answered bool
		if errs[k], answered = p.Result(); !answered {
			b.t.Fatalf("command %d was not answered", k)
		}
	}
	return errs
}

// A batch that was not committed, or perhaps: whoever was answered with a voucher as the commit would leave it does not know,
// nor does whoever was to change it; who was refused knows that nothing was done for him. What was done before is answered.
func TestVoucherOfAFailedCommit(t *testing.T) {
	for failure, lost := range map[error]error{store.ErrNotCommitted: engine.ErrNotIssued, errDisk: engine.ErrUnknown} {
		b := newBench(t)
		voucher := b.issue(dryRun("k", 1, 1))[0].Issuance.FirstVoucher()
		redeem := func() *benefit.OnVoucher {
			return &benefit.OnVoucher{Action: &benefit.Redeem{OrderAmount: 900, HasOrderAmount: true}, Key: "redeem", Voucher: voucher}
		}
		reverse := func(key string) *benefit.OnVoucher {
			return &benefit.OnVoucher{Action: &benefit.Reverse{Redemption: benefit.OperationID{Voucher: voucher, Number: 1}}, Key: key}
		}
		if err := b.do(redeem())[0]; err != nil {
			t.Fatal(err)
		}
		b.store.commit = failing(failure, false)
		before, after, twice, conflict := redeem(), redeem(), reverse("twice"), reverse("once")
		conflict.Holder = benefit.Identifier{Type: benefit.Login, Value: "another"}
		got := b.do(before, reverse("once"), after, twice, conflict)
		for k, want := range []error{nil, lost, lost, engine.ErrNotIssued, engine.ErrNotIssued} {
			if !errors.Is(got[k], want) {
				t.Errorf("%v: command %d is answered %v, want %v", failure, k, got[k], want)
			}
		}
		if o := before.Outcome; !o.Replayed || o.Voucher.Status != benefit.Used {
			t.Errorf("%v: what was done before is answered %+v", failure, o)
		}
		b.store.commit = nil
		again := redeem()
		if err := b.do(again)[0]; err != nil || !again.Outcome.Replayed || again.Outcome.Voucher.Status != benefit.Used {
			t.Errorf("%v: then it is answered %v, %+v", failure, err, again.Outcome)
		}
	}
}

// A CASH voucher of 100 fen that many callers redeem by one fen each is worth 100 fen, and the store holds that much.
func TestCashVoucherOfManyCallers(t *testing.T) {
	dir := t.TempDir()
	open := func() *embedded.Store {
		st, err := embedded.Open(embedded.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := open()
	catalogue := &benefit.Changes{Catalogue: 1}
	for _, v := range []any{
		&benefit.Merchant{ID: storetest.OpenMerchant, Name: "open", Open: true}, storetest.Template(1, storetest.Cash(benefit.Fixed, 100, 100)),
	} {
		entity, err := benefit.EntityOf(v)
		if err != nil {
			t.Fatal(err)
		}
		catalogue.Rows = append(catalogue.Rows, benefit.Entities.Rows(entity))
	}
	if err := storetest.Write(t.Context(), st, storetest.Start, catalogue); err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(t.Context(), engine.Options{Store: st, Clock: func() benefit.Instant { return storetest.Start }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Run() }()
	o, err := e.Issue(t.Context(), dryRun("k", 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	voucher := o.Issuance.FirstVoucher()
	var redeemed, refused, others atomic.Int64
	var callers sync.WaitGroup
	for n := range 64 {
		callers.Go(func() {
			for k := range 2 {
				c := &benefit.OnVoucher{Action: &benefit.Redeem{Amount: 1, HasAmount: true}, Key: fmt.Sprint(n, "-", k), Voucher: voucher}
				switch err := e.Do(t.Context(), c); {
				case err != nil:
					t.Error(err)
				case c.Outcome.Reason == benefit.NotRefused:
					redeemed.Add(c.Outcome.Transition.Value)
				case c.Outcome.Reason == benefit.VoucherUsed:
					refused.Add(1)
				default:
					others.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if redeemed.Load() != 100 || refused.Load() != 28 || others.Load() != 0 {
		t.Errorf("%d fen redeemed, %d callers refused, %d others; want 100, 28 and 0", redeemed.Load(), refused.Load(), others.Load())
	}
	e.Stop()
	if err := errors.Join(<-ended, st.Close()); err != nil {
		t.Fatal(err)
	}
	st = open()
	defer st.Close()
	all, err := storetest.ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	if states := storetest.RowsOf(all, benefit.VoucherStates); len(states) != 1 || states[0].Redeemed != 100 || states[0].Status != benefit.Used {
		t.Errorf("the store holds %+v", states)
	}
	if operations := storetest.RowsOf(all, benefit.VoucherOperations); len(operations) != 100 {
		t.Errorf("the store holds %d operations, want 100", len(operations))
	}
	if err := oracle.CheckConservation(all.Issuances, all.Rows); err != nil {
		t.Error(err)
	}
}
