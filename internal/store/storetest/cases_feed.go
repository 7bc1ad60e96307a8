package storetest

import (
	"errors"
	"fmt"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// testFeed: the feed has everything that happened to vouchers and templates, in order, also after the store was opened
// again.
func testFeed(t *testing.T, h Harness) {
	ctx := t.Context()
	st, model := h.open(t), memory.New()
	template := Template(1)
	template.Stock.Count = 2
	cat := Catalogue(template, Template(2))
	real, plain := NewCommitter(st, cat, 1), NewCommitter(model, cat, 1)
	both := func(clock benefit.Instant, requests ...*benefit.Request) {
		t.Helper()
		for _, c := range []*Committer{real, plain} {
			if _, err := c.Issue(ctx, clock, requests...); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantFeed(t, "empty", model, st)
	both(Start, Request("a", "2088", benefit.Line{Template: 1, Sends: 1, Quantity: 1}))
	before := mustRead(t, st)
	more := Request("b", "2089",
		benefit.Line{Template: 1, Sends: 2, Quantity: 1}, benefit.Line{Template: 2, Sends: 1, Quantity: 1}, benefit.Line{Template: 1, Sends: 1, Quantity: 1})
	more.Continues = true
	both(Start, more)
	wantFeed(t, "sold out", model, st)
	if n := len(commitsOf(t, before)); n != 1 {
		t.Errorf("a reader from before has %d commits", n)
	}
	_ = before.Close()
	both(Start) // nothing
	first := found[*benefit.Issuance](t)(st.Claim(ctx, more.Scope, more.Key)).FirstVoucher()
	void := voids("v", first)
	void.Action = &benefit.Void{ReturnStock: true}
	carryOut(t, real, void.Again())
	carryOut(t, plain, void)
	wantFeed(t, "restocked", model, st)
	both(Start, more) // its last line
	real.Store = h.reopen(t, st)
	wantFeed(t, "continued", model, real.Store)
	for k, p := range []store.Place{
		{Seq: 1 << 40, Check: found[store.Place](t)(real.Store.FeedEnd(ctx)).Check}, {Seq: 1, Check: [4]byte{1, 2, 3, 4}}, {Seq: -1},
	} {
		if _, err := real.Store.Commits(ctx, p, 10); !errors.Is(err, store.ErrForeignPlace) {
			t.Errorf("foreign place %d: %v", k, err)
		}
	}
	end := found[store.Place](t)(real.Store.FeedEnd(ctx))
	if since := found[store.Place](t)(real.Store.FeedSince(ctx, Start+1e9)); since != end {
		t.Errorf("since the future: %v, want the end %v", since, end)
	}
	if err := real.Store.Close(); err != nil {
		t.Error(fmt.Errorf("Close: %w", err))
	}
}
