package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// live runs a random history on a store, and returns every catalogue there was.
func live(t testing.TB, st store.Store, seed uint64, steps int) *History {
	t.Helper()
	w := storetest.NewWorld(storetest.Seeded(seed))
	c := storetest.NewCommitter(st, w.Catalogue(), seed)
	history := NewHistory()
	for n := range steps {
		s := w.Setup()
		if n > 0 {
			s = w.Next()
		}
		if err := w.Do(t.Context(), s, c); err != nil {
			t.Fatal(err)
		}
		if s.Changes == nil {
			continue
		}
		if err := history.Add(s.Changes.Catalogue, benefit.Entities.Of(s.Changes.Rows)); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	return history
}

// typedChanges are what a test writes, with the types of the rows, so that it can damage them.
type typedChanges struct {
	Issuances      []*benefit.Issuance
	Users          []*benefit.User
	Quotas         []benefit.Quota
	Participations []benefit.Participation
	Templates      []benefit.TemplateCount
	Days           []benefit.TemplateDay
	Entities       []benefit.Entity
	Operations     []benefit.Operation
	States         []benefit.VoucherState
	Entries        []benefit.VoucherOperation
	Orders         []benefit.OrderRedemption
	Catalogue      int64
}

func (c *typedChanges) rows() *benefit.Changes {
	return &benefit.Changes{
		Issuances: c.Issuances, Users: c.Users, Catalogue: c.Catalogue,
		Rows: benefit.RowsOf(
			benefit.Quotas.Rows(c.Quotas...), benefit.Participations.Rows(c.Participations...), benefit.TemplateCounts.Rows(c.Templates...),
			benefit.TemplateDays.Rows(c.Days...), benefit.Entities.Rows(c.Entities...),
			benefit.Operations.Rows(c.Operations...), benefit.VoucherStates.Rows(c.States...),
			benefit.VoucherOperations.Rows(c.Entries...), benefit.OrderRedemptions.Rows(c.Orders...),
		),
	}
}

func write(t testing.TB, st store.Store, clock benefit.Instant, changes *benefit.Changes) {
	t.Helper()
	if err := storetest.Write(t.Context(), st, clock, changes); err != nil {
		t.Fatalf("writing rows: %v", err)
	}
}

func auditOf(t testing.TB, st store.Store, o Options) *Report {
	t.Helper()
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	defer r.Close()
	report, err := Store(t.Context(), r, o)
	if err != nil {
		t.Fatalf("Store: %v", err)
	}
	return report
}

// wantFindings compares findings with what they should be, each as "invariant: a part of it & another part".
func wantFindings(t testing.TB, report *Report, want ...string) {
	t.Helper()
	var got []string
	for _, f := range report.Findings {
		got = append(got, f.String())
	}
	ok := len(got) == len(want)
	for k := 0; ok && k < len(got); k++ {
		ok = matches(report.Findings[k], want[k])
	}
	if !ok {
		t.Errorf("%d findings:\n\t%s\nwant:\n\t%s", len(got), strings.Join(got[:min(len(got), 10)], "\n\t"), strings.Join(want, "\n\t"))
	}
}

// matches reports whether the finding is what wantFindings writes so.
func matches(f Finding, want string) bool {
	invariant, parts, _ := strings.Cut(want, ": ")
	ok := string(f.Invariant) == invariant
	for _, part := range strings.Split(parts, " & ") {
		ok = ok && strings.Contains(f.String(), part)
	}
	return ok
}

// A healthy store has no findings, whatever has happened to it; and by the rules of their day, none of its rows is
// in doubt.
func TestHealthy(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			st := memory.New()
			history := live(t, st, seed, 80)
			wantFindings(t, auditOf(t, st, Options{LookupEvery: 1}))
			report := auditOf(t, st, Options{LookupEvery: 1, History: history})
			wantFindings(t, report)
			for _, d := range report.Doubts {
				if d.Rule != rulePerPerson { // how users were linked is not in the catalogue
					t.Errorf("a doubt: %+v", d)
				}
			}
		})
	}
}

// crowdTemplate has no caps, and no world has it.
const crowdTemplate = 50

// crowdOf issues one voucher of crowdTemplate to so many users, each so often.
func crowdOf(t testing.TB, st store.Store, users, times int) {
	t.Helper()
	template := storetest.Template(crowdTemplate)
	e, err := benefit.EntityOf(template)
	if err != nil {
		t.Fatalf("EntityOf: %v", err)
	}
	write(t, st, storetest.Start, &benefit.Changes{Catalogue: 1, Rows: benefit.RowsOf(benefit.Entities.Rows(e))})
	before := st.LastIDMillis()
	for n := range times {
		var requests []*benefit.Request
		for u := range users {
			requests = append(requests, storetest.Request(fmt.Sprint(before, "/", n, "/", u), fmt.Sprint("2088", u), storetest.Line(crowdTemplate)))
		}
		storetest.Issue(t, st, storetest.Catalogue(template), requests...)
	}
}

// A pass that holds little memory sees the same in more passes.
func TestPasses(t *testing.T) {
	st := memory.New()
	crowdOf(t, st, 50, 5)
	write(t, st, storetest.Start, &benefit.Changes{Rows: benefit.RowsOf(benefit.Quotas.Rows(benefit.Quota{QuotaKey: benefit.QuotaKey{User: 5, Template: 5}, Total: 1}))})
	roomy, tight := auditOf(t, st, Options{}), auditOf(t, st, Options{Memory: 1})
	if tight.Checked.Passes < 3 {
		t.Errorf("%d passes in no memory", tight.Checked.Passes)
	}
	tight.Checked.Passes = roomy.Checked.Passes
	if diff := cmp.Diff(roomy, tight); diff != "" {
		t.Errorf("many passes see something else (-one +many):\n%s", diff)
	}
}

// shop is a store with a few rows, one of which a test gets wrong.
type shop struct {
	user      *benefit.User
	other     *benefit.User // of the same person
	templates []*benefit.Template
	changes   *typedChanges
}

const (
	capped = iota + 1 // a REDUCTION with every cap and limit
	cash
	drawn
)

// newShop is two users, three templates, and four issuances: two of capped by one user, on two days, and one each
// of the others by the other one.
func newShop() *shop {
	g := id.NewGenerator(storetest.Env(memory.New(), 1).Rand, 0)
	user := func(n int) *benefit.User {
		ident := benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("2088", n)}
		return &benefit.User{
			ID: g.Block(int64(storetest.Start), n, 1), Person: "p", Alipay: ident.Value, Identifiers: []benefit.Identifier{ident},
		}
	}
	s := &shop{user: user(1), other: user(2)}
	s.templates = []*benefit.Template{
		storetest.Template(capped, func(t *benefit.Template) {
			t.Stock = benefit.Stock{Count: 3, Amount: 1500, CountPerDay: 2, AmountPerDay: 1000}
			t.Limits = benefit.Limits{PerUser: 3, PerUserPerDay: 2, PerPerson: 4}
		}),
		storetest.Template(cash, cashOf(benefit.FromRequest)), storetest.Template(drawn, cashOf(benefit.Random)),
	}
	day := storetest.Start.Day()
	one, two, three, four := s.issue(g, s.user, capped, storetest.Start, 500, 500), s.issue(g, s.user, capped, storetest.Start+oneDay, 500),
		s.issue(g, s.other, cash, storetest.Start+oneDay, 70), s.issue(g, s.other, drawn, storetest.Start+oneDay, 30)
	two.Lines[0].Seen = benefit.Counters{Count: 2, Amount: 1000, User: 2}
	s.changes = &typedChanges{
		Issuances: []*benefit.Issuance{one, two, three, four}, Users: []*benefit.User{s.user, s.other},
		Quotas: []benefit.Quota{
			quota(s.user, capped, 3, day+1, 1), quota(s.other, cash, 1, day+1, 1), quota(s.other, drawn, 1, day+1, 1),
		},
		Templates: []benefit.TemplateCount{{Template: capped, Count: 3, Amount: 1500}, {Template: cash, Count: 1, Amount: 70}, {Template: drawn, Count: 1, Amount: 30}},
		Days: []benefit.TemplateDay{
			{Template: capped, Day: day, Count: 2, Amount: 1000}, {Template: capped, Day: day + 1, Count: 1, Amount: 500},
			{Template: cash, Day: day + 1, Count: 1, Amount: 70}, {Template: drawn, Day: day + 1, Count: 1, Amount: 30},
		},
		Catalogue: 1,
	}
	return s
}

const oneDay benefit.Instant = 86_400_000

func cashOf(from benefit.AmountFrom) func(*benefit.Template) {
	return func(t *benefit.Template) {
		t.Kind, t.Face, t.Amount = benefit.Cash, benefit.Face{}, benefit.AmountRule{From: from, Min: 20, Max: 100}
	}
}

func quota(u *benefit.User, t benefit.TemplateID, total int64, day benefit.Day, dayTotal int64) benefit.Quota {
	return benefit.Quota{QuotaKey: benefit.QuotaKey{User: u.ID, Template: t}, Total: total, Day: day, DayTotal: dayTotal}
}

// issue makes an issuance with one voucher of each amount.
func (s *shop) issue(g *id.Generator, u *benefit.User, template benefit.TemplateID, at benefit.Instant, amounts ...money.Fen) *benefit.Issuance {
	t := s.templates[template-1]
	line := benefit.Line{Template: template, Sends: len(amounts), Quantity: 1, HasAmount: t.TakesAmount()}
	if line.HasAmount {
		line.Amount = amounts[0]
	}
	first := g.Block(int64(at), u.ID.Bucket(), len(amounts))
	start := at - at%1000
	return &benefit.Issuance{
		ID: first, Scope: scope.Template(template), Key: fmt.Sprint("k", first), App: storetest.App,
		Recipient: u.Identifiers[0], User: u.ID, Catalogue: 1,
		Lines: []benefit.IssuedLine{{
			Line: line, First: first, Amounts: amounts, Issued: len(amounts), At: at, Catalogue: 1,
			Valid: benefit.Window{Start: start, End: start + 7*oneDay}, Kind: t.Kind, Face: t.Face,
		}},
	}
}

// line returns the line of the n-th issuance, counted from 0.
func (s *shop) line(n int) *benefit.IssuedLine { return &s.changes.Issuances[n].Lines[0] }

// open returns a store with the rows.
func (s *shop) open(t testing.TB) store.Store {
	t.Helper()
	st := memory.New()
	if err := s.write(t, st); err != nil {
		t.Fatalf("writing rows: %v", err)
	}
	return st
}

func (s *shop) write(t testing.TB, st store.Store) error {
	t.Helper()
	for _, template := range s.templates {
		e, err := benefit.EntityOf(template)
		if err != nil {
			t.Fatalf("EntityOf: %v", err)
		}
		s.changes.Entities = append(s.changes.Entities, e)
	}
	// The first issuance is committed when it says.
	first := &typedChanges{
		Issuances: s.changes.Issuances[:1], Users: s.changes.Users, Catalogue: s.changes.Catalogue, Entities: s.changes.Entities,
	}
	rest := *s.changes
	rest.Issuances, rest.Users, rest.Entities = rest.Issuances[1:], nil, nil
	if err := storetest.Write(t.Context(), st, storetest.Start, first.rows()); err != nil {
		return err
	}
	return storetest.Write(t.Context(), st, storetest.Start+oneDay, rest.rows())
}

// Each way in which a row can be wrong is one finding, and that names it.
func TestFindings(t *testing.T) {
	stranger := id.ID(12345)
	for _, test := range []struct {
		name   string
		damage func(s *shop)
		want   []string
	}{
		{"nothing", func(*shop) {}, nil},

		{"a total", func(s *shop) { s.changes.Templates[0].Count++ }, []string{"totals: template 1: want 3 vouchers, 1500 fen, by its vouchers, got 4 vouchers"}},
		{"an amount", func(s *shop) { s.changes.Templates[1].Amount-- }, []string{"totals: template 2: want 1 vouchers, 70 fen"}},
		{"a total without vouchers", func(s *shop) {
			s.changes.Templates = append(s.changes.Templates, benefit.TemplateCount{Template: 9, Count: 1})
		}, []string{"totals: template 9: want 0 vouchers"}},
		{"a missing total", func(s *shop) { s.changes.Templates = s.changes.Templates[1:] }, []string{"totals: template 1: want 3 vouchers"}},
		{"the total of a day", func(s *shop) { s.changes.Days[0].Count-- }, []string{"totals: template 1 on 2026-11-11: want 2 vouchers"}},
		{"the amount of a day", func(s *shop) { s.changes.Days[0].Amount-- }, []string{"totals: template 1 on 2026-11-11: want 2 vouchers"}},
		{"a day on which nothing was issued", func(s *shop) {
			s.changes.Days = append(s.changes.Days, benefit.TemplateDay{Template: 1, Day: 1, Count: 1})
		}, []string{"totals: template 1 on 1970-01-02: want 0 vouchers"}},
		{"a missing day", func(s *shop) { s.changes.Days = s.changes.Days[1:] }, []string{"totals: template 1 on 2026-11-11: want 2 vouchers"}},
		{"the counter kept with a voucher", func(s *shop) { s.line(1).Seen.Count = 1 }, []string{"totals: the counters of its template that it keeps"}},
		{"the amount kept with a voucher", func(s *shop) { s.line(1).Seen.Amount = 1 }, []string{"totals: the counters of its template that it keeps"}},
		{"the counter of the day kept with a voucher", func(s *shop) { s.line(1).Seen.DayCount = 1 }, []string{"totals: the counters of its template that it keeps"}},
		{"the amount of the day kept with a voucher", func(s *shop) { s.line(1).Seen.DayAmount = 1 }, []string{"totals: the counters of its template that it keeps"}},

		{"more than the stock", func(s *shop) { s.templates[0].Stock.Count = 2 }, []string{"totals: template 1: stock: want at most 2, got 3, of which 2 before"}},
		{"more than the budget", func(s *shop) { s.templates[0].Stock.Amount = 1499 }, []string{"totals: template 1: budget: want at most 1499"}},
		{"more than the stock of a day", func(s *shop) { s.templates[0].Stock.CountPerDay = 1 }, []string{"totals: stock of the day: want at most 1"}},
		{"more than the budget of a day", func(s *shop) { s.templates[0].Stock.AmountPerDay = 999 }, []string{"totals: budget of the day: want at most 999"}},
		{"more than the user may have", func(s *shop) { s.templates[0].Limits.PerUser = 2 }, []string{"limits: limit per user: want at most 2, got 3"}},
		{"more than the user may have a day", func(s *shop) { s.templates[0].Limits.PerUserPerDay = 1 }, []string{"limits: limit per user and day: want at most 1"}},

		{"a user's counter", func(s *shop) { s.changes.Quotas[0].Total++ }, []string{"limits: template 1: want 3, of which 1 on 2026-11-12, by the vouchers, got 4"}},
		{"a user's day", func(s *shop) { s.changes.Quotas[0].Day-- }, []string{"limits: template 1: want 3, of which 1 on 2026-11-12"}},
		{"a user's counter of the day", func(s *shop) { s.changes.Quotas[0].DayTotal++ }, []string{"limits: template 1: want 3, of which 1 on"}},
		{"a missing counter of a user", func(s *shop) { s.changes.Quotas = s.changes.Quotas[1:] }, []string{"limits: template 1: want 3, of which 1 on 2026-11-12, by the vouchers, got no counters"}},
		{"the last user's missing counter", func(s *shop) { s.changes.Quotas = s.changes.Quotas[:2] }, []string{"limits: template 3: want 1, of which 1 on 2026-11-12, by the vouchers, got no counters"}},
		{"a counter without vouchers", func(s *shop) {
			s.changes.Quotas = append(s.changes.Quotas, quota(s.other, capped, 1, 1, 1))
		}, []string{"limits: template 1: want nothing"}},
		{"a user's counter kept with a voucher", func(s *shop) { s.line(1).Seen.User = 1 }, []string{"limits: template 1: want vouchers that follow one another"}},
		{"a user's counter of the day kept with a voucher", func(s *shop) { s.line(1).Seen.UserDay = 1 }, []string{"limits: template 1: want vouchers that follow one another"}},

		{"days that go back", func(s *shop) {
			first, second := s.line(0), s.line(1)
			first.At, second.At, first.Valid, second.Valid = second.At, first.At, second.Valid, first.Valid
			s.changes.Days[0], s.changes.Days[1] = benefit.TemplateDay{Template: 1, Day: second.At.Day(), Count: 1, Amount: 500},
				benefit.TemplateDay{Template: 1, Day: first.At.Day(), Count: 2, Amount: 1000}
			s.changes.Quotas[0].Day--
		}, []string{"limits: template 1: want vouchers that follow one another, got issuance  & comes after one of a later day"}},

		{"a key that stands twice", func(s *shop) {
			s.changes.Issuances[1].Key = s.changes.Issuances[0].Key
		}, []string{"lookups: asked for by its key", "one outcome: issuances"}},
		{"a key that is none", func(s *shop) { s.changes.Issuances[1].Key = "" }, []string{"vouchers: its key"}},
		{"ids that overlap", func(s *shop) {
			first := s.line(0) // one more is asked for than was issued
			first.Sends, first.Amounts, first.Reason = 3, append(first.Amounts, 500), benefit.StockEmpty
			i := s.changes.Issuances[1]
			i.ID = first.First + 2
			i.Lines[0].First = i.ID
		}, []string{"vouchers: its ids"}},
		{"a voucher outside its issuance", func(s *shop) { s.line(1).First += 5 }, []string{"vouchers: its first voucher"}},
		{"an unknown user", func(s *shop) {
			s.changes.Issuances[1].User = stranger
		}, []string{"vouchers: its user 12345: want a user that is there", "limits: user 12345", "limits: template 1"}},
		{"the last user is missing", func(s *shop) { s.changes.Users = s.changes.Users[:1] }, []string{"vouchers: want a user that is there"}},
		{"nothing issued", func(s *shop) {
			s.line(3).Issued, s.line(3).Reason, s.line(3).At = 0, benefit.StockEmpty, 0
			s.changes.Templates, s.changes.Days, s.changes.Quotas = s.changes.Templates[:2], s.changes.Days[:3], s.changes.Quotas[:2]
		}, []string{"vouchers: vouchers: want at least one"}},
		{"an instant without an issue", func(s *shop) {
			i := s.changes.Issuances[0]
			i.Lines = append(i.Lines, benefit.IssuedLine{
				Line: storetest.Line(capped), First: i.ID + 2, Reason: benefit.StockEmpty, At: storetest.Start,
			})
		}, []string{"vouchers: line 1, template 1: the instant of its issue"}},
		{"a reason without a refusal", func(s *shop) { s.line(0).Reason = benefit.StockEmpty }, []string{"vouchers: its reason"}},
		{"more sends than were asked", func(s *shop) { s.line(3).Sends = 0 }, []string{
			"vouchers: sends issued", "vouchers: amounts", "vouchers: its reason",
		}},
		{"amounts that are missing", func(s *shop) { s.line(0).Sends, s.line(0).Reason = 3, benefit.StockEmpty }, []string{"vouchers: amounts"}},
		{"an unknown template", func(s *shop) { s.templates = s.templates[1:] }, []string{"vouchers: its template", "vouchers: its template"}},
		{"a version to come", func(s *shop) { s.line(0).Catalogue = 2 }, []string{"vouchers: its catalogue version"}},
		{"a version before that of its key", func(s *shop) { s.changes.Issuances[0].Catalogue = 2 }, []string{"vouchers: its catalogue version"}},
		{"another kind", func(s *shop) { s.line(2).Kind = benefit.Exchange }, []string{"vouchers: kind and face", "vouchers: the amount of voucher"}},
		{"another face", func(s *shop) { s.line(0).Face.Threshold = 1 }, []string{"vouchers: kind and face"}},
		{"another validity", func(s *shop) { s.line(0).Valid.End += 1000 }, []string{"vouchers: validity"}},
		{"an amount that its face does not give", func(s *shop) {
			s.line(0).Amounts[0]--
			s.line(1).Seen.Amount--
			s.changes.Templates[0].Amount--
			s.changes.Days[0].Amount--
		}, []string{"vouchers: the amount of voucher"}},
		{"an amount that was not asked for", func(s *shop) { s.line(2).Amount++ }, []string{"vouchers: the amount of voucher"}},
		{"an amount below what is drawn", func(s *shop) { s.templates[2].Amount.Min = 31 }, []string{"vouchers: the amount of voucher"}},
		{"an amount above what is drawn", func(s *shop) { s.templates[2].Amount.Max = 29 }, []string{"vouchers: the amount of voucher"}},
		{"an amount in the request", func(s *shop) { s.line(3).HasAmount = true }, []string{"vouchers: an amount in the request"}},
		{"an identifier of two users", func(s *shop) { s.user.Identifiers = s.other.Identifiers }, []string{"lookups: asked for by its identifier 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShop()
			test.damage(s)
			report := auditOf(t, s.open(t), Options{LookupEvery: 1})
			wantFindings(t, report, test.want...)
			if len(report.Doubts) > 0 {
				t.Errorf("doubts: %+v", report.Doubts)
			}
		})
	}
}

// A rule of today that rows of an older version break is a doubt, and a finding or nothing where it is known how
// the rule was then.
func TestDoubts(t *testing.T) {
	s := newShop()
	then := slices.Clone(s.templates)
	tighter := *s.templates[0]
	tighter.Limits, tighter.Stock.CountPerDay = benefit.Limits{PerUser: 1, PerUserPerDay: 1, PerPerson: 1}, 1
	tighter.Valid.AfterMillis = 1000
	s.templates[0] = &tighter
	s.changes.Catalogue = 2
	st := s.open(t)
	report := auditOf(t, st, Options{})
	wantFindings(t, report)
	var rules []string
	for _, d := range report.Doubts {
		rules = append(rules, fmt.Sprintf("%s: %s of template %s, %d rows", d.Invariant, d.Rule, d.Template, d.Rows))
	}
	if diff := cmp.Diff([]string{
		"limits: limit per person of template template, 1 rows", "limits: limit per user of template template, 2 rows",
		"limits: limit per user and day of template template, 1 rows", "totals: stock of the day of template template, 1 rows",
		"vouchers: validity of template template, 2 rows",
	}, rules); diff != "" {
		t.Errorf("doubts (-want +got):\n%s", diff)
	}

	lenient, strict := NewHistory(), NewHistory()
	for _, h := range []struct {
		history *History
		first   *benefit.Template
	}{{lenient, then[0]}, {strict, &tighter}} {
		for _, template := range append([]*benefit.Template{h.first}, then[1:]...) {
			e, err := benefit.EntityOf(template)
			if err != nil {
				t.Fatalf("EntityOf: %v", err)
			}
			if err := h.history.Add(1, []benefit.Entity{e}); err != nil {
				t.Fatalf("Add: %v", err)
			}
		}
	}
	wantFindings(t, auditOf(t, st, Options{History: lenient}))
	wantFindings(t, auditOf(t, st, Options{History: strict}),
		"vouchers: validity", "totals: stock of the day", "limits: limit per user", "limits: limit per user and day",
		"vouchers: validity", "limits: limit per user")
}

// Findings beyond the most are counted.
func TestMaxFindings(t *testing.T) {
	s := newShop()
	s.changes.Quotas, s.changes.Templates = nil, nil
	report := auditOf(t, s.open(t), Options{MaxFindings: 2})
	if len(report.Findings) != 2 || report.More != 4 {
		t.Errorf("%d findings and %d more, want 2 and 4", len(report.Findings), report.More)
	}
	if report.OK() {
		t.Error("OK() of a report with findings")
	}
}

// What is drawn is drawn when the key is bound: the range of that version counts, not that of the version which
// issued it.
func TestFrozenAmounts(t *testing.T) {
	s := newShop()
	history := NewHistory()
	narrow := *s.templates[drawn-1]
	narrow.Amount.Min = 50
	for version, of := range [][]*benefit.Template{1: s.templates, 2: {&narrow}} {
		for _, template := range of {
			e, err := benefit.EntityOf(template)
			if err != nil {
				t.Fatalf("EntityOf: %v", err)
			}
			if err := history.Add(int64(version), []benefit.Entity{e}); err != nil {
				t.Fatalf("Add: %v", err)
			}
		}
	}
	s.templates[drawn-1], s.changes.Catalogue, s.line(3).Catalogue = &narrow, 2, 2
	wantFindings(t, auditOf(t, s.open(t), Options{History: history}))
	s.changes.Issuances[3].Catalogue, s.changes.Entities = 2, nil
	wantFindings(t, auditOf(t, s.open(t), Options{History: history}), "vouchers: the amount of voucher & want 50 to 100, got 30")
}
