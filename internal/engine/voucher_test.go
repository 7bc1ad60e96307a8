package engine_test

import (
	"errors"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
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
