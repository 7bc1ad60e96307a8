package storetest

import (
	"errors"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// testDamage: a key whose issuance is gone is not free, nor is the identifier of a user who is gone. The store may end as a
// whole then, when what names the row may be wrong about others, too.
func testDamage(t *testing.T, h Harness) {
	if h.Lose == nil {
		t.Skip("this store can lose nothing on its own")
	}
	st := h.open(t)
	cat := Catalogue(Template(1))
	g := newIDs()
	registered := named(g.take(Start, 1), "somebody", benefit.Identifier{Type: benefit.Login, Value: "somebody"})
	mustWrite(t, st, Start, &benefit.Changes{Users: []*benefit.User{registered}})
	bound, free := Request("bound", "2088", Line(1)), Request("free", "2089", Line(1))
	Issue(t, st, cat, bound)
	st = h.reopen(t, st)

	// refused wants a request to be neither issued nor refused.
	refused := func(what string, r *benefit.Request) {
		t.Helper()
		if o, err := NewCommitter(st, cat, 2).Issue(t.Context(), Start, r); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %+v, %v", what, o, err)
		}
	}
	h.Lose(t, st, LostIssuances)
	refused("the key of a lost issuance", bound)
	if o, err := NewCommitter(st, cat, 3).Issue(t.Context(), Start, free); !errors.Is(err, store.ErrFailed) {
		want(t, "another key", nil, err)
		want(t, "another key", benefit.NotRefused, o[0].Reason)
	}
	_ = st.Close() // fails where the store has ended
	st = h.Open(t)
	t.Cleanup(func() { _ = st.Close() })

	h.Lose(t, st, LostUsers)
	lost := Request("of a lost user", "", Line(1))
	lost.Recipient = benefit.Identifier{Type: benefit.Login, Value: "somebody"}
	refused("the identifier of a lost user", lost)
}
