package engine_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// Many callers with one key get one issuance.
func TestOneKeyManyCallers(t *testing.T) {
	b := newBench(t)
	b.run()
	for key := range 50 {
		var got [8]id.ID
		var work sync.WaitGroup
		for caller := range got {
			work.Go(func() {
				o, err := b.engine.Issue(t.Context(), dryRun(fmt.Sprint("key ", key), 1, 1))
				if err != nil || o.Issuance == nil {
					t.Errorf("caller %d: %v, %v", caller, o.Reason, err)
					return
				}
				got[caller] = o.Issuance.ID
			})
		}
		work.Wait()
		for _, i := range got {
			if i != got[0] {
				t.Fatalf("key %d came to several issuances: %v", key, got)
			}
		}
	}
	b.wantIssued(50)
}

// Many callers for the last voucher: one gets it, and all of the others are told why not.
func TestLastVoucher(t *testing.T) {
	b := newBench(t)
	b.run()
	var issued, refused atomic.Int64
	var work sync.WaitGroup
	for caller := range 8 {
		work.Go(func() {
			for n := range 20 {
				o, err := b.engine.Issue(t.Context(), dryRun(fmt.Sprint(caller, " ", n), caller, 2))
				switch {
				case err != nil:
					t.Errorf("caller %d: %v", caller, err)
				case o.Issuance != nil:
					issued.Add(1)
				case o.Reason == benefit.StockEmpty:
					refused.Add(1)
				}
			}
		})
	}
	work.Wait()
	if issued.Load() != 1 || refused.Load() != 159 {
		t.Errorf("%d issued and %d refused, want 1 and 159", issued.Load(), refused.Load())
	}
	b.wantIssued(1)
}
