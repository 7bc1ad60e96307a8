package embedded

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// Pages of a template's list are right when many blocks share a millisecond, begin in one that others fill, or
// name an issuance again that was continued.
func TestPagesOfACrowdedMillisecond(t *testing.T) {
	for seed := uint64(0); seed < 20; seed += uint64(sparse(5)) {
		r := rand.New(rand.NewPCG(seed, 0))
		s, model := newMemPlace(t, Options{}).open(t), memory.New()
		open := storetest.Catalogue(storetest.Template(1), storetest.Template(2))
		half := storetest.Catalogue(storetest.Template(1), storetest.Template(2, func(t *benefit.Template) { t.Status = benefit.Paused }))
		real, plain := storetest.NewCommitter(s, open, seed), storetest.NewCommitter(model, open, seed)
		for n := range 40 {
			lines := []benefit.Line{storetest.Line(1), storetest.Line(2)}
			q := storetest.Request(fmt.Sprint("k", n), fmt.Sprint("2088", r.IntN(9)), lines...)
			q.Continues = true
			if n > 0 && r.IntN(4) == 0 { // continue an old one, perhaps
				k := r.IntN(n)
				q.Key, q.Recipient.Value = fmt.Sprint("k", k), model2088(t, model, k)
			}
			cat := open
			if r.IntN(2) == 0 {
				cat = half
			}
			for _, c := range []*storetest.Committer{real, plain} {
				c.Catalogue = cat
				if _, err := c.Issue(t.Context(), storetest.Start, q); err != nil {
					t.Fatal(err)
				}
			}
			if r.IntN(2) == 0 {
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			if r.IntN(6) == 0 { // a process that starts again goes on in the next millisecond
				again := r.Uint64()
				real.Env, plain.Env = storetest.Env(model, again), storetest.Env(model, again)
			}
		}
		wantPages(t, s, model)
		s.abandon()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// model2088 returns the recipient of a key in the plain store.
func model2088(t *testing.T, model *memory.Store, k int) string {
	t.Helper()
	r, err := model.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	i, err := r.Claim(t.Context(), scope.Template(1), fmt.Sprint("k", k))
	if err != nil || i == nil {
		return "20880"
	}
	return i.Recipient.Value
}

// wantPages compares every page of every size.
func wantPages(t *testing.T, s *Store, model *memory.Store) {
	t.Helper()
	real, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	plain, err := model.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	after := []id.ID{0}
	for _, i := range contentsOf(t, model).Issuances {
		after = append(after, i.ID)
	}
	for _, from := range after {
		for _, limit := range []int{1, 2, 3, 7, 100} {
			for template := range benefit.TemplateID(3) {
				want, _ := plain.TemplateIssuances(t.Context(), template, from, limit)
				got, err := real.TemplateIssuances(t.Context(), template, from, limit)
				if diff := storetest.Diff(idsOf(want), idsOf(got)); diff != "" || err != nil {
					t.Fatalf("%d of template %d after %d: %v\n%s", limit, template, from, err, diff)
				}
				want, got = newestOf(t, model, template, from, limit), newestOf(t, s, template, from, limit)
				if diff := storetest.Diff(idsOf(want), idsOf(got)); diff != "" {
					t.Fatalf("%d of template %d before %d:\n%s", limit, template, from, diff)
				}
			}
		}
	}
}

// newestOf returns the newest issuances of a template with an id below before, at most limit.
func newestOf(t *testing.T, st store.Finder, template benefit.TemplateID, before id.ID, limit int) (all []*benefit.Issuance) {
	t.Helper()
	for i, err := range st.RecentOfTemplate(t.Context(), template, before) {
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, i); len(all) == limit {
			break
		}
	}
	return all
}

func idsOf(all []*benefit.Issuance) (ids []id.ID) {
	for _, i := range all {
		ids = append(ids, i.ID)
	}
	return ids
}
