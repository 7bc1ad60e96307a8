package oracle_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/oracle"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// wrongs change an outcome in one way each. They report whether there was something to change. The lines and the
// issuances of the outcome are copies.
var wrongs = map[string]func(o *benefit.Outcome) bool{
	"nothing":       func(o *benefit.Outcome) bool { *o = benefit.Outcome{}; return true },
	"a reason":      func(o *benefit.Outcome) bool { o.Reason += 3; return true },
	"replayed":      func(o *benefit.Outcome) bool { o.Replayed = !o.Replayed; return true },
	"the box":       func(o *benefit.Outcome) bool { o.BoxDone = !o.BoxDone; return true },
	"fewer errors":  func(o *benefit.Outcome) bool { return cutLast(&o.Errors) },
	"fewer lines":   func(o *benefit.Outcome) bool { return cutLast(&o.Lines) },
	"no attempt":    func(o *benefit.Outcome) bool { was := o.Attempt; o.Attempt = nil; return was != nil },
	"a line":        ofLine(func(l *benefit.LineOutcome) { l.Issued++; l.Refused-- }),
	"a line's":      ofLine(func(l *benefit.LineOutcome) { l.Reason++ }),
	"the app":       ofRecord(func(i *benefit.Issuance) bool { i.App++; return true }),
	"the catalogue": ofRecord(func(i *benefit.Issuance) bool { i.Catalogue++; return true }),
	"no record of what was read": ofRecord(func(i *benefit.Issuance) bool {
		was := i.Basis
		i.Basis = nil
		return was != nil
	}),
	"other counters": ofRecord(func(i *benefit.Issuance) bool {
		if i.Basis == nil || len(i.Basis.Templates) == 0 {
			return false
		}
		b := *i.Basis
		b.Templates = slices.Clone(b.Templates)
		b.Templates[0].DayCount++
		i.Basis = &b
		return true
	}),
	"the first id":  ofRecordLine(func(l *benefit.IssuedLine) bool { l.First++; return true }),
	"the counters":  ofRecordLine(func(l *benefit.IssuedLine) bool { l.Seen.Person++; return true }),
	"the instant":   ofRecordLine(func(l *benefit.IssuedLine) bool { l.At++; return true }),
	"fewer amounts": ofRecordLine(func(l *benefit.IssuedLine) bool { return cutLast(&l.Amounts) }),
	"an amount": ofRecordLine(func(l *benefit.IssuedLine) bool {
		l.Amounts = slices.Clone(l.Amounts)
		for k := range l.Amounts {
			l.Amounts[k] += money.Fen(1000)
		}
		return len(l.Amounts) > 0
	}),
	"a code": ofRecordLine(func(l *benefit.IssuedLine) bool {
		l.Codes = slices.Clone(l.Codes)
		for k := range l.Codes {
			l.Codes[k] += "0"
		}
		return len(l.Codes) > 0
	}),
	"a code too few": ofRecordLine(func(l *benefit.IssuedLine) bool {
		return len(l.Codes) == l.Issued*l.Quantity && cutLast(&l.Codes)
	}),
}

func cutLast[V any](all *[]V) bool {
	if len(*all) == 0 {
		return false
	}
	*all = (*all)[:len(*all)-1]
	return true
}

func ofLine(change func(*benefit.LineOutcome)) func(*benefit.Outcome) bool {
	return func(o *benefit.Outcome) bool {
		if len(o.Lines) == 0 {
			return false
		}
		change(&o.Lines[0])
		return true
	}
}

// ofRecord changes what was decided: the attempt, or else what is stored.
func ofRecord(change func(*benefit.Issuance) bool) func(*benefit.Outcome) bool {
	return func(o *benefit.Outcome) bool {
		if o.Attempt != nil {
			return change(o.Attempt)
		}
		return o.Issuance != nil && change(o.Issuance)
	}
}

func ofRecordLine(change func(*benefit.IssuedLine) bool) func(*benefit.Outcome) bool {
	return ofRecord(func(i *benefit.Issuance) bool { return len(i.Lines) > 0 && change(&i.Lines[0]) })
}

// The oracle finds every wrong outcome, explanation and row of random histories wrong.
func TestWrongOutcomes(t *testing.T) {
	found := map[string]int{}
	for seed := range uint64(20) {
		w, st := storetest.NewWorld(storetest.Seeded(seed)), memory.New()
		c, o := storetest.NewCommitter(st, w.Catalogue(), seed), storetest.NewOracle(1)
		var now benefit.Instant
		for step, s := 0, w.Setup(); step < 60; step, s = step+1, w.Next() {
			c.Catalogue = w.Catalogue()
			o.SetCatalogue(c.Catalogue)
			now = max(now, s.Clock)
			if s.Changes != nil {
				if err := storetest.Write(t.Context(), st, s.Clock, s.Changes); err != nil {
					t.Fatal(err)
				}
				o.SetUsers(s.Changes.Users...)
				continue
			}
			for _, r := range s.Requests() {
				outcomes, err := c.Issue(t.Context(), now, r)
				if err != nil {
					t.Fatal(err)
				}
				judgeWrong(t, o, r, outcomes[0], now, found)
				if err := o.JudgeIssue(r, outcomes[0], now); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
		checkWrongRows(t, o, st, found)
	}
	for name := range wrongs {
		if found[name] == 0 {
			t.Errorf("no history had %s to change", name)
		}
	}
	t.Log(found)
}

func judgeWrong(t *testing.T, o *oracle.Oracle, r *benefit.Request, right benefit.Outcome, now benefit.Instant, found map[string]int) {
	t.Helper()
	for name, change := range wrongs {
		wrong := right
		wrong.Lines = slices.Clone(right.Lines)
		wrong.Issuance, wrong.Attempt = clone(right.Issuance), clone(right.Attempt)
		if found[name] == 100 || !change(&wrong) { // a comparison that finds something takes its time
			continue
		}
		if found[name]++; o.JudgeIssue(r, wrong, now) == nil {
			t.Fatalf("%s was changed, and the oracle finds nothing wrong: %+v, and not %+v", name, wrong, right)
		}
	}
	explain := o.Explain
	o.Explain = func(cat *benefit.Catalogue, i *benefit.Issuance) *benefit.Explanation {
		e := explain(cat, i)
		if len(e.Candidates) > 0 {
			found["an explanation"]++
			e.Candidates[0].Open = false
			e.Candidates[0].Chosen = !e.Candidates[0].Chosen
		} else {
			e.Errors = append(slices.Clone(e.Errors), benefit.DecisionError{Reason: benefit.CodesEmpty})
		}
		return e
	}
	decided := right.Attempt != nil || right.Issuance != nil
	if found["an explanation"] < 100 && decided && r.Params.SceneCode != "" && o.Bound(oracle.KeyOf(r), now) == nil && o.JudgeIssue(r, right, now) == nil {
		t.Fatal("the explanation was changed, and the oracle finds nothing wrong")
	}
	o.Explain = explain
}

func clone(i *benefit.Issuance) *benefit.Issuance {
	if i == nil {
		return nil
	}
	c := *i
	c.Lines = slices.Clone(i.Lines)
	return &c
}

func checkWrongRows(t *testing.T, o *oracle.Oracle, st *memory.Store, found map[string]int) {
	t.Helper()
	c, err := storetest.ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.CheckRows(c.Issuances, c.Rows); err != nil {
		t.Fatal(err)
	}
	if issuances := slices.Clone(c.Issuances); cutLast(&issuances) && o.CheckRows(issuances, c.Rows) == nil {
		t.Error("an issuance is missing, and the oracle finds nothing wrong")
	}
	for _, kind := range []*table.Kind{benefit.Quotas.Kind, benefit.Participations.Kind, benefit.TemplateCounts.Kind, benefit.TemplateDays.Kind} {
		rows := maps.Clone(c.Rows)
		if one := rows[kind.Name]; cutLast(&one) {
			rows[kind.Name] = one
			if o.CheckRows(c.Issuances, rows) == nil {
				t.Errorf("a row is missing, and the oracle finds nothing wrong: %s", kind.Name)
			}
		}
	}
}

// What can never be is found, also in an issuance that nobody judged.
func TestBook(t *testing.T) {
	stored := func(user benefit.UserID, key string, first int64) *benefit.Issuance {
		return &benefit.Issuance{ID: id.ID(first), Scope: "w", Key: key, User: user, Continues: true, Lines: []benefit.IssuedLine{
			{Line: storetest.Line(1), First: id.ID(first), Amounts: []money.Fen{5}, Issued: 1, At: storetest.Start, Codes: []string{key}},
			{Line: storetest.Line(1), First: id.ID(first + 1), Amounts: []money.Fen{5}, Codes: []string{key + "2"}},
		}}
	}
	cat := storetest.Catalogue(storetest.Template(1, func(t *benefit.Template) { t.Stock.Count, t.Stock.AmountPerDay = 2, 10 }))
	for _, c := range []struct {
		want string
		next *benefit.Issuance
		make func(i *benefit.Issuance)
	}{
		{"", stored(1, "k", 10), func(i *benefit.Issuance) { i.Lines[1].Issued, i.Lines[1].At = 1, storetest.Start+1 }},
		{"", stored(2, "l", 20), func(*benefit.Issuance) {}},
		{"second issuance", stored(1, "k", 20), func(*benefit.Issuance) {}},
		{"what was frozen", stored(2, "k", 10), func(*benefit.Issuance) {}},
		{"User:", stored(1, "k", 10), func(i *benefit.Issuance) { i.Lines[0].Seen.User = 2 }},
		{"Amounts:", stored(1, "k", 10), func(i *benefit.Issuance) { i.Lines[1].Amounts[0] = 6 }},
		{"codes", stored(1, "k", 10), func(i *benefit.Issuance) { i.Lines[1].Codes = nil }},
		{"code k went to", stored(1, "l", 20), func(i *benefit.Issuance) { i.Lines[1].Codes = []string{"k"} }},
		{"issued twice", stored(1, "l", 10), func(*benefit.Issuance) {}},
		{"above", stored(1, "l", 20), func(i *benefit.Issuance) { i.Lines[1].Issued, i.Lines[1].At = 1, storetest.Start }},
	} {
		o := storetest.NewOracle(1)
		o.SetCatalogue(cat)
		err := o.Book(stored(1, "k", 10))
		if err != nil {
			t.Fatal(err)
		}
		if c.make(c.next); err == nil {
			err = o.Book(c.next)
		}
		if err == nil && c.want != "" || err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("want %q: %v", c.want, err)
		}
	}
	o := storetest.NewOracle(1)
	o.SetCatalogue(cat)
	for k, first := range []int64{10, 20, 19} {
		i := stored(1, "window", first)
		i.Continues, i.BindMillis = false, 1000
		i.Lines[0].At += benefit.Instant(k) * 1000
		i.Lines[0].Codes, i.Lines[1].Codes = nil, nil
		if err := o.Book(i); (err != nil) != (k == 2) || k == 2 && !strings.Contains(err.Error(), "not after 20") {
			t.Errorf("a window's key bound by %d: %v", first, err)
		}
	}
}
