package engine_test

import (
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
)

// redeem returns a command that redeems a voucher.
func redeem(a answer) *benefit.OnVoucher {
	return &benefit.OnVoucher{
		Action: &benefit.Redeem{OrderAmount: 10_000, HasOrderAmount: true}, Key: "redeem", Voucher: a.Issuance.FirstVoucher(),
	}
}

// A replay in a repeat window has the state of the voucher at that moment. When the state is of a batch that failed, so is
// the replay.
func TestStateOfAFailedCommit(t *testing.T) {
	b := newBench(t)
	r := dryRun("window", 1, 1)
	r.BindMillis = 60_000
	first := b.issue(r)[0]
	b.want("the first", first, nil, benefit.NotRefused)
	if again := b.issue(r)[0]; !again.Replayed || again.State != (benefit.VoucherState{}) {
		t.Errorf("a replay before anything happened to the voucher: %v, %+v", again.Replayed, again.State)
	}

	b.store.commit = failing(store.ErrNotCommitted, false)
	if _, err := b.engine.Submit(redeem(first)); err != nil {
		t.Fatal(err)
	}
	b.want("a replay of a batch that failed", b.issue(r)[0], engine.ErrNotIssued, 0)

	b.store.commit = nil
	if _, err := b.engine.Submit(redeem(first)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"in the batch that redeemed", "in a later batch"} {
		again := b.issue(r)[0]
		if b.want(name, again, nil, benefit.NotRefused); !again.Replayed || again.State.Status != benefit.Used {
			t.Errorf("%s: replayed %v, %+v", name, again.Replayed, again.State)
		}
	}
}
