package storetest

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// list is one of the lists of a store.Finder.
type list struct {
	name string
	of   func(ctx context.Context, f store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error]
}

func userList(user benefit.UserID) list {
	return list{fmt.Sprint("user ", user), func(ctx context.Context, f store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error] {
		return f.RecentIssuances(ctx, user, before)
	}}
}

func templateList(template benefit.TemplateID) list {
	return list{fmt.Sprint("template ", template), func(ctx context.Context, f store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error] {
		return f.RecentOfTemplate(ctx, template, before)
	}}
}

func traceList(trace string) list {
	return list{fmt.Sprintf("trace %q", trace), func(ctx context.Context, f store.Finder, before id.ID) iter.Seq2[*benefit.Issuance, error] {
		return f.RecentOfTrace(ctx, trace, before)
	}}
}

// page returns the first issuances of a list, at most limit.
func (l list) page(t testing.TB, f store.Finder, before id.ID, limit int) (all []*benefit.Issuance) {
	t.Helper()
	for i, err := range l.of(t.Context(), f, before) {
		if err != nil {
			t.Fatalf("the list of %s before %d: %v", l.name, before, err)
		}
		if all = append(all, i); len(all) == limit {
			break
		}
	}
	return all
}

// listWorld writes issuances as decisions make them, to a store and to the plain one: of users of several buckets, with one line
// or two, some of which can be continued, and are, once or twice or at once.
type listWorld struct {
	r      *rand.Rand
	g      ids
	now    benefit.Instant
	still  bool // the clock stands still
	n      int
	users  []benefit.UserID
	open   []*benefit.Issuance // that have an open line
	stores []store.Store
}

func newListWorld(seed uint64, stores ...store.Store) *listWorld {
	w := &listWorld{r: rand.New(rand.NewPCG(seed, 3)), g: newIDs(), now: Start, stores: stores}
	for k := range id.ID(4) {
		w.users = append(w.users, k*300<<13|1+k)
	}
	return w
}

func (w *listWorld) lists() []list {
	all := []list{userList(12345), templateList(0), templateList(9), traceList(""), traceList("never")}
	for _, user := range w.users {
		all = append(all, userList(user))
	}
	for template := range benefit.TemplateID(4) {
		all = append(all, templateList(1+template))
	}
	return append(all, traceList("a"), traceList("b"))
}

// commit writes a few issuances, the most to the first user.
func (w *listWorld) commit(t testing.TB) {
	t.Helper()
	if !w.still {
		w.now += benefit.Instant(w.r.IntN(3))
	}
	c := &benefit.Changes{}
	for range 1 + w.r.IntN(5) {
		if len(w.open) > 0 && w.r.IntN(3) == 0 {
			c.Issuances = append(c.Issuances, w.continued())
		} else {
			c.Issuances = append(c.Issuances, w.issued())
		}
	}
	for _, s := range w.stores {
		one := *c
		mustWrite(t, s, w.now, &one)
	}
}

func (w *listWorld) issued() *benefit.Issuance {
	w.n++
	user := w.users[w.r.IntN(len(w.users))*w.r.IntN(2)]
	template := benefit.TemplateID(1 + w.r.IntN(4))
	i := plain(w.g.Block(int64(w.now), user.Bucket(), 3), fmt.Sprint(w.n), user, template, 1)
	i.Note.TraceID = []string{"", "", "a", "b"}[w.r.IntN(4)]
	i.Lines[0].At = w.now
	for range w.r.IntN(3) {
		line := i.Lines[0]
		line.Template, line.First = benefit.TemplateID(1+w.r.IntN(4)), i.ID+id.ID(len(i.Lines))
		i.Lines = append(i.Lines, line)
	}
	if i.Continues = w.r.IntN(2) == 0; i.Continues {
		for k := range i.Lines[1:] {
			if w.r.IntN(2) == 0 {
				l := &i.Lines[1+k]
				l.Issued, l.Reason, l.At = 0, benefit.StockEmpty, 0
			}
		}
	}
	w.keepOpen(i)
	return i
}

func (w *listWorld) keepOpen(i *benefit.Issuance) {
	if slices.ContainsFunc(i.Lines, func(l benefit.IssuedLine) bool { return l.Reason == benefit.StockEmpty }) {
		w.open = append(w.open, i)
	}
}

// continued issues an open line, or closes it.
func (w *listWorld) continued() *benefit.Issuance {
	k := w.r.IntN(len(w.open))
	i := *w.open[k]
	w.open = slices.Delete(w.open, k, k+1)
	i.Lines = slices.Clone(i.Lines)
	l := &i.Lines[slices.IndexFunc(i.Lines, func(l benefit.IssuedLine) bool { return l.Reason == benefit.StockEmpty })]
	if l.Reason = benefit.UserFrozen; w.r.IntN(3) > 0 {
		l.Issued, l.Reason, l.At = 1, benefit.NotRefused, w.now
	}
	w.keepOpen(&i)
	return &i
}

// wantLists compares beginnings of all lists, from everywhere, with those of the plain store.
func (w *listWorld) wantLists(t testing.TB, when string, st store.Store, model *memory.Store) {
	t.Helper()
	for _, l := range w.lists() {
		all := l.page(t, model, 0, -1)
		want(t, fmt.Sprintf("%s, the list of %s", when, l.name), all, l.page(t, st, 0, -1))
		for range 4 {
			before, limit := id.ID(1+w.r.Int64N(math.MaxInt64)), 1+w.r.IntN(40)
			if len(all) > 0 {
				before = all[w.r.IntN(len(all))].ID + id.ID(w.r.IntN(3)-1)
			}
			what := fmt.Sprintf("%s, %d of the list of %s before %d", when, limit, l.name, before)
			want(t, what, idsOf(l.page(t, model, before, limit)), idsOf(l.page(t, st, before, limit)))
		}
	}
}

// testLists: each list is what the plain store has, by descending id, from the newest and from any id on, at once after each
// commit, and wherever the rows lie.
func testLists(t *testing.T, h Harness) { runLists(t, h, 1, false) }

// testListsOfOneMoment does so while the clock stands still.
func testListsOfOneMoment(t *testing.T, h Harness) { runLists(t, h, 2, true) }

func runLists(t *testing.T, h Harness, seed uint64, still bool) {
	st, model := h.open(t), memory.New()
	w := newListWorld(seed, st, model)
	w.still = still
	w.wantLists(t, "at first", st, model)
	for n := range 120 {
		w.commit(t)
		if n < 5 || n%15 == 0 {
			w.wantLists(t, fmt.Sprint("after commit ", n), st, model)
		}
		switch {
		case n%50 == 49:
			st = h.reopen(t, st)
			w.stores[0] = st
			w.wantLists(t, fmt.Sprint("opened again after commit ", n), st, model)
		case w.r.IntN(7) == 0:
			_ = mustRead(t, st).Close() // which moves rows, in some stores
		}
	}
	w.wantLists(t, "at last", st, model)
	_ = st.Close()
}

// testPagesBeside reads lists page by page, each page from the last id of the one before, while rows come and issuances are
// continued: what there was when the first page was read comes once and in order, and nothing comes twice.
func testPagesBeside(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	w := newListWorld(3, st, model)
	for range 60 {
		w.commit(t)
	}
	for _, l := range w.lists() {
		at := idsOf(l.page(t, model, 0, -1))
		var got []id.ID
		for before := id.ID(0); ; {
			page := idsOf(l.page(t, st, before, 7))
			if len(page) == 0 {
				break
			}
			got, before = append(got, page...), page[len(page)-1]
			w.commit(t)
			if w.r.IntN(2) == 0 {
				_ = mustRead(t, st).Close()
			}
		}
		got = slices.DeleteFunc(got, func(i id.ID) bool { return !slices.Contains(at, i) }) // it came later, in the same millisecond
		want(t, "the pages of "+l.name, at, got)
	}
	_ = st.Close()
}
