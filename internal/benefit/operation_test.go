package benefit_test

import (
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
)

// An operation is one that the store has, or that the batch has made. One that nobody loaded is a mistake.
func TestOperation(t *testing.T) {
	st := NewState()
	st.Reset(now)
	here, absent, other := Operation{Claim: Digest{1}, Key: "here"}, Digest{2}, Digest{3}
	Operations.Load(st.Rows(), 1, here)
	Operations.Want(st.Rows(), absent)
	for _, keys := range st.Rows().Wanted() {
		keys.Absent(0)
	}
	if op, uncommitted := st.Operation(here.Claim); op == nil || op.Key != "here" || uncommitted {
		t.Errorf("one of the store: %+v, %v", op, uncommitted)
	}
	if op, _ := st.Operation(absent); op != nil {
		t.Errorf("one that is not there: %+v", op)
	}
	st.Absorb(&Effect{Rows: RowsOf(Operations.Rows(Operation{Claim: absent, Key: "new"}))})
	if op, uncommitted := st.Operation(absent); op == nil || op.Key != "new" || !uncommitted {
		t.Errorf("one of the batch: %+v, %v", op, uncommitted)
	}
	defer func() {
		if recover() == nil {
			t.Error("one that was not loaded is not there")
		}
	}()
	st.Operation(other)
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
