package embedded

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// Quotas are loaded, looked up and listed the same, in the same versions, whether they have their own path or that of all
// other rows; wherever they lie.
func TestQuotasEitherWay(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 5))
		own, generic := tiny, tiny
		generic.genericQuotas = true
		ways := []*pair{{place: newMemPlace(t, own), r: r}, {place: newMemPlace(t, generic), r: r}}
		for _, x := range ways {
			x.s = x.place.open(t)
		}
		var known []benefit.QuotaKey
		for n := range 40 {
			changes := quotasOf(r, n, &known)
			for _, x := range ways {
				if err := commit(t, x.s, changes); err != nil {
					t.Fatal(err)
				}
				x.disturb(t)
			}
			var asked []benefit.QuotaKey
			for range 5 {
				asked = append(asked, known[r.IntN(len(known))], randomQuotaKey(r))
			}
			what := fmt.Sprintf("seed %d, step %d", seed, n)
			if diff := storetest.Diff(loadedQuotas(t, ways[0].s, asked), loadedQuotas(t, ways[1].s, asked)); diff != "" {
				t.Fatalf("%s (-own path +generic):\n%s", what, diff)
			}
			if n%5 == 0 {
				if diff := storetest.Diff(listedQuotas(t, ways[0].s, asked), listedQuotas(t, ways[1].s, asked)); diff != "" {
					t.Fatalf("%s, listed (-own path +generic):\n%s", what, diff)
				}
			}
		}
		for _, x := range ways {
			x.s.abandon()
		}
	}
}

func randomQuotaKey(r *rand.Rand) benefit.QuotaKey {
	return benefit.QuotaKey{User: id.ID(1 + r.IntN(9)), Template: benefit.TemplateID(1 + r.IntN(3))}
}

// quotasOf returns a commit of up to three quotas, of which some belong to an issuance, and of issuances without one. It adds their keys.
func quotasOf(r *rand.Rand, n int, known *[]benefit.QuotaKey) *benefit.Changes {
	c := &benefit.Changes{}
	var quotas []benefit.Quota
	for range 1 + r.IntN(3) {
		k := randomQuotaKey(r)
		if slices.ContainsFunc(quotas, func(q benefit.Quota) bool { return q.QuotaKey == k }) {
			continue
		}
		*known = append(*known, k)
		quotas = append(quotas, benefit.Quota{QuotaKey: k, Total: int64(n + 1), Day: benefit.Day(r.IntN(3)), DayTotal: int64(r.IntN(5))})
		if r.IntN(2) == 0 {
			c.Issuances = append(c.Issuances, issuanceOf(k, 10*n+len(quotas)))
		}
	}
	if r.IntN(2) == 0 { // whose quota stays as it is
		c.Issuances = append(c.Issuances, issuanceOf((*known)[r.IntN(len(*known))], 10*n))
	}
	c.Rows = benefit.RowsOf(benefit.Quotas.Rows(quotas...))
	return c
}

func issuanceOf(k benefit.QuotaKey, n int) *benefit.Issuance {
	one := manyIssuances(1).Issuances[0]
	one.ID += id.ID(n)
	one.Key, one.User, one.Lines[0].First, one.Lines[0].Template = fmt.Sprint(one.ID), k.User, one.ID, k.Template
	return one
}

// loadedQuotas loads quotas and looks them up.
func loadedQuotas(t testing.TB, s *Store, asked []benefit.QuotaKey) (all []any) {
	t.Helper()
	tx, err := s.Begin(t.Context(), storetest.Start)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	state := benefit.NewState()
	for _, k := range asked {
		benefit.Quotas.Want(state.Rows(), k)
	}
	if err := tx.Load(t.Context(), &benefit.Keys{Rows: state.Rows().Wanted()}, state); err != nil {
		t.Fatal(err)
	}
	for _, k := range asked {
		loaded, ok := benefit.Quotas.Get(state.Rows(), k)
		found, there, err := store.Get(t.Context(), s, benefit.Quotas, k)
		if err != nil || !ok || there != benefit.Quotas.Exists(state.Rows(), k) || there && found != loaded {
			t.Fatalf("%+v is loaded as %+v, %v, and found as %+v, %v, %v", k, loaded, ok, found, there, err)
		}
		all = append(all, there, loaded)
	}
	for _, k := range asked { // so that the versions can be seen
		benefit.Quotas.Put(state.Rows(), benefit.Quota{QuotaKey: k})
	}
	rows := state.Rows().Changed()[0]
	for i := range rows.Len() {
		all = append(all, rows.Version(i))
	}
	return all
}

// listedQuotas reads quotas: all, those of the users, and each.
func listedQuotas(t testing.TB, s *Store, asked []benefit.QuotaKey) (all []any) {
	t.Helper()
	r, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	prefixes := [][]table.Datum{nil}
	for _, k := range asked {
		key := benefit.Quotas.DatumsOf(k)
		prefixes = append(prefixes, key[:1], key)
		found, there, err := store.Get(t.Context(), r, benefit.Quotas, k)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found, there)
	}
	for _, prefix := range prefixes {
		for q, err := range store.All(t.Context(), r, benefit.Quotas, prefix...) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, q)
		}
		all = append(all, "end")
	}
	return all
}

// A batch of a thousand users: their quotas are loaded, and committed with an issuance for each. B/issuance is
// the size of the view.
func BenchmarkQuotas(b *testing.B) {
	for _, generic := range []bool{false, true} {
		b.Run(map[bool]string{false: "own path", true: "generic"}[generic], func(b *testing.B) {
			p := newMemPlace(b, Options{genericQuotas: generic})
			p.o.SegmentBytes = 64 << 20
			s := p.open(b)
			defer s.abandon()
			const users, size = 200_000, 1000
			state, n := benefit.NewState(), 0
			for b.Loop() {
				changes := manyIssuances(size)
				state.Reset(0)
				for k, i := range changes.Issuances {
					i.ID += id.ID(size * n)
					i.User, i.Key, i.Lines[0].First = id.ID(1+(size*n+k)*7919%users), fmt.Sprint(i.ID), i.ID
					benefit.Quotas.Want(state.Rows(), benefit.QuotaKey{User: i.User, Template: 1})
				}
				tx, err := s.Begin(b.Context(), storetest.Start)
				if err == nil {
					err = tx.Load(b.Context(), &benefit.Keys{Rows: state.Rows().Wanted()}, state)
				}
				for _, i := range changes.Issuances {
					q, _ := benefit.Quotas.Get(state.Rows(), benefit.QuotaKey{User: i.User, Template: 1})
					q.Total++
					benefit.Quotas.Put(state.Rows(), q)
				}
				changes.Now, changes.Rows = tx.Now(), state.Rows().Changed()
				if err == nil {
					err = tx.Commit(b.Context(), changes)
				}
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if err := s.Flush(); err != nil {
				b.Fatal(err)
			}
			pages, err := textOf(s.writer, "SELECT page_count*page_size FROM pragma_page_count, pragma_page_size")
			if err != nil {
				b.Fatal(err)
			}
			var bytes float64
			fmt.Sscan(pages, &bytes)
			b.ReportMetric(bytes/float64(n*size), "B/issuance")
		})
	}
}
