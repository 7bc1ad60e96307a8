package benefit_test

import (
	"strings"
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
)

// What stands under a key is an operation that the store has, or that the batch has made; of something else it is a
// conflict. One that nobody loaded is a mistake.
func TestOperation(t *testing.T) {
	b := &Batch{State: NewState()}
	b.Reset(now)
	here, free := Keyed{2, "s", "here", Digest{1}}, Keyed{2, "s", "free", Digest{2}}
	stored := here.Operation(b, 7, []byte("done"))
	Operations.Load(b.State.Rows(), 1, stored)
	free.Names(b)
	for _, keys := range b.State.Rows().Wanted() {
		keys.Absent(0)
	}
	if op, uncommitted, reason := here.Bound(b); op == nil || op.ID != 7 || string(op.Result) != "done" || uncommitted || reason != NotRefused {
		t.Errorf("one of the store: %+v, %v, %s", op, uncommitted, reason)
	}
	for _, other := range []Keyed{{3, "s", "here", Digest{1}}, {2, "s", "here", Digest{3}}} {
		if op, _, reason := other.Bound(b); op != nil || reason != KeyConflict {
			t.Errorf("%+v, of something else: %+v, %s", other, op, reason)
		}
	}
	if op, _, reason := free.Bound(b); op != nil || reason != NotRefused {
		t.Errorf("a free key: %+v, %s", op, reason)
	}
	b.Absorb(&Effect{Rows: RowsOf(Operations.Rows(free.Operation(b, 8, nil)))})
	if op, uncommitted, reason := free.Bound(b); op == nil || op.ID != 8 || op.At != now || !uncommitted || reason != NotRefused {
		t.Errorf("one of the batch: %+v, %v, %s", op, uncommitted, reason)
	}
	defer func() {
		if recover() == nil {
			t.Error("one that was not loaded is not there")
		}
	}()
	(&Keyed{2, "s", "other", Digest{}}).Bound(b)
}

func TestKeyOfAnOperation(t *testing.T) {
	for _, k := range []Keyed{{}, {Scope: "s"}, {Key: "k"}, {Scope: "s", Key: strings.Repeat("k", MaxKey+1)}} {
		if err := k.Check(); err == nil {
			t.Errorf("%+v is valid", k)
		}
	}
	if err := (&Keyed{Scope: "s", Key: "k"}).Check(); err != nil {
		t.Error(err)
	}
}

// A command sees the vouchers that an earlier one of its batch has issued.
func TestVouchersOfABatch(t *testing.T) {
	st := NewState()
	st.Reset(now)
	issued := &Issuance{ID: 7, Lines: []IssuedLine{{Line: Line{Quantity: 1}, First: 7, Issued: 2, Amounts: make([]money.Fen, 2)}}}
	for v := range id.ID(10) {
		st.SetVoucher(v, nil)
	}
	st.Absorb(&Effect{Issuance: issued})
	for v, want := range map[id.ID]*Issuance{6: nil, 7: issued, 8: issued, 9: nil} {
		if got := st.Voucher(v); got != want {
			t.Errorf("voucher %d: %+v", v, got)
		}
	}
}
