package storetest

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// Recent collects what RecentIssuances gives, at most limit.
func Recent(t testing.TB, st store.Finder, user benefit.UserID, limit int) (all []*benefit.Issuance) {
	t.Helper()
	for i, err := range st.RecentIssuances(t.Context(), user, 0) {
		if err != nil {
			t.Fatalf("RecentIssuances: %v", err)
		}
		if all = append(all, i); len(all) == limit {
			break
		}
	}
	return all
}

// testRecent: a user's issuances come with the newest first, wherever they lie, however many of them share a
// millisecond, and whatever is issued meanwhile.
func testRecent(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	newest := map[benefit.UserID][]*benefit.Issuance{}
	n := 0
	write := func(count int) {
		c := &benefit.Changes{}
		for range count {
			i := plain(g.take(Start+benefit.Instant(n/9), 2), fmt.Sprint(n), benefit.UserID(1+n%3), benefit.TemplateID(1+n%7), 1)
			if n%5 == 0 { // two lines: of the first template, and of a second one or the same
				i.Lines[0].Amounts = i.Lines[0].Amounts[:1]
				second := i.Lines[0]
				second.Template, second.First = benefit.TemplateID(1+n%4), i.ID+1
				i.Lines = append(i.Lines, second)
			}
			c.Issuances = append(c.Issuances, i)
			newest[i.User] = slices.Insert(newest[i.User], 0, i)
			n++
		}
		mustWrite(t, st, Start+benefit.Instant(n/9), c)
	}
	check := func(when string) {
		t.Helper()
		for user := range benefit.UserID(5) {
			all := newest[user]
			for _, limit := range []int{1, 7, len(all), len(all) + 1} {
				want(t, fmt.Sprintf("%s: of user %d at most %d", when, user, limit), all[:min(max(limit, 1), len(all))], Recent(t, st, user, limit))
			}
		}
	}
	check("at first")
	for _, count := range []int{1, 2, 10, 1, 40, 300, 3, 1, 700, 5} {
		write(count)
		check(fmt.Sprint("after ", n))
		if count == 40 {
			st = h.reopen(t, st)
			check("after opening again")
		}
	}

	// What is issued during an iteration may appear in it or not; everything else is there, once and in order.
	for _, begin := range []int{0, 1, 20, 200} {
		before := idsOf(newest[1])
		next, stop := iter.Pull2(st.RecentIssuances(t.Context(), 1, 0))
		var got []id.ID
		for k := 0; ; k++ {
			if k >= begin && k < begin+6 {
				write(9)
				_ = mustRead(t, st).Close() // which moves rows, in some stores
			}
			i, err, ok := next()
			if !ok {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, i.ID)
		}
		stop()
		got = slices.DeleteFunc(got, func(i id.ID) bool { return i > before[0] })
		want(t, fmt.Sprint("commits from element ", begin), before, got)
	}
	st = h.reopen(t, st)
	check("at last")
	_ = st.Close()
}

func idsOf(all []*benefit.Issuance) (ids []id.ID) {
	for _, i := range all {
		ids = append(ids, i.ID)
	}
	return ids
}

// testFinder: what callers ask without a reader is answered as a reader would, at once after each commit.
func testFinder(t *testing.T, h Harness) {
	st := h.open(t)
	g := newIDs()
	var keys []*benefit.Issuance
	idents := []benefit.Identifier{{Type: benefit.AlipayID, Value: "nobody"}, benefit.RefTo(0), benefit.RefTo(1 << 40)}
	check := func(when string) {
		t.Helper()
		type answer struct {
			issuance *benefit.Issuance
			user     *benefit.User
			err      error
		}
		ask := func(f store.Lookup) (all []answer) {
			for _, i := range keys {
				found, err := f.Claim(t.Context(), i.Scope, i.Key)
				all = append(all, answer{found, nil, err})
				for _, code := range i.Lines[0].Codes {
					found, err := f.Claim(t.Context(), benefit.CodeScope, code)
					all = append(all, answer{found, nil, err})
				}
			}
			found, err := f.Claim(t.Context(), "t/1", "never")
			all = append(all, answer{found, nil, err})
			for _, ident := range idents {
				user, err := f.Recipient(t.Context(), ident)
				all = append(all, answer{nil, user, err})
			}
			return all
		}
		got := ask(st) // before the reader, which moves rows in some stores
		r := mustRead(t, st)
		defer r.Close()
		want(t, when, ask(r), got)
	}
	user := &benefit.User{
		ID: g.take(Start, 1), Name: "a", Alipay: "20881",
		Identifiers: []benefit.Identifier{{Type: benefit.AlipayID, Value: "20881"}, {Type: benefit.Login, Value: "l"}},
	}
	idents = append(append(idents, user.Identifiers...), benefit.RefTo(user.ID))
	check("at first")
	for n := range 24 {
		c := &benefit.Changes{}
		switch n % 6 {
		case 0: // the user is changed
			next := *user
			next.Frozen = !user.Frozen
			if n%12 == 6 { // the login goes and comes
				next.Identifiers = next.Identifiers[:1]
			} else {
				next.Identifiers = []benefit.Identifier{{Type: benefit.AlipayID, Value: "20881"}, {Type: benefit.Login, Value: "l"}}
			}
			user = &next
			c.Users = []*benefit.User{user}
		default:
			i := plain(g.take(Start+benefit.Instant(n), 1), fmt.Sprint(n), g.take(Start+benefit.Instant(n), 1), 1, 1)
			i.Lines[0].Codes = []string{fmt.Sprintf("%012d", n)}
			keys = append(keys, i)
			c.Issuances = []*benefit.Issuance{i}
			c.Users = []*benefit.User{benefit.PlainUser(i.User, i.Recipient)}
			idents = append(idents, i.Recipient, benefit.RefTo(i.User))
		}
		mustWrite(t, st, Start+benefit.Instant(n), c)
		if n%3 != 1 {
			check(fmt.Sprint("after ", n))
		}
		if n%8 == 7 {
			st = h.reopen(t, st)
			check("after opening again")
		}
	}
	_ = st.Close()
}
