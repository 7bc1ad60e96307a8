package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// The stage is a small catalogue in which activities, boxes, scenes and certificates happen. No world has its ids.
const (
	coupon = 60 + iota
	certificate
	gift
)

const (
	boxed = 60 + iota
	paired
	certified
)

// midnight is the first instant of a day, at +08:00; a day in UTC has no midnight near it.
var midnight = (storetest.Start.Day() + 1).Start()

// stage is a store's rows, some of which a test gets wrong.
type stage struct {
	templates  []*benefit.Template
	activities []*benefit.Activity
	scenes     []*benefit.Scene
	changes    *typedChanges
	times      []benefit.Instant // of the issuances
}

func newStage() *stage {
	item := func(t benefit.TemplateID, detail int64, quantity int) benefit.Item {
		return benefit.Item{Template: t, DetailID: detail, MaxSends: 5, Quantity: quantity}
	}
	entries := func(all ...benefit.ActivityID) (list []benefit.SceneEntry) {
		for _, a := range all {
			list = append(list, benefit.SceneEntry{Activity: a, Weight: 1})
		}
		return list
	}
	return &stage{
		templates: []*benefit.Template{
			storetest.Template(coupon, func(t *benefit.Template) { t.RightID = 11 }),
			storetest.Template(certificate, func(t *benefit.Template) {
				t.Kind, t.Face, t.Code.Digits, t.RightID = benefit.Certificate, benefit.Face{}, 12, 12
			}),
			storetest.Template(gift, func(t *benefit.Template) { t.Kind, t.Face, t.RightID = benefit.Exchange, benefit.Face{}, 13 }),
		},
		activities: []*benefit.Activity{
			{
				ID: boxed, Name: "boxed", Merchant: storetest.OpenMerchant, ActCode: "A1", RelationID: 5, Status: benefit.Active,
				Box: &benefit.Box{Cards: []string{"game", "beauty"}, DoneAfter: 2}, Items: []benefit.Item{item(coupon, 7, 1)},
			},
			{
				ID: paired, Name: "paired", Merchant: storetest.OpenMerchant, ActCode: "A2", Status: benefit.Active,
				Items: []benefit.Item{item(gift, 8, 2), item(coupon, 9, 1)},
			},
			{
				ID: certified, Name: "certified", Merchant: storetest.OpenMerchant, ActCode: "A3", Status: benefit.Active,
				Items: []benefit.Item{item(certificate, 10, 1)},
			},
		},
		scenes: []*benefit.Scene{
			{ID: 61, Name: "all", Merchant: storetest.OpenMerchant, SceneCode: "stage all", Strategy: benefit.ChooseAll, Activities: entries(paired, certified), Status: benefit.Active},
			{ID: 62, Name: "first", Merchant: storetest.OpenMerchant, SceneCode: "stage first", Strategy: benefit.ChooseFirst, Activities: entries(paired, certified), Status: benefit.Active},
		},
	}
}

func (s *stage) catalogue() *benefit.Catalogue {
	return benefit.NewCatalogue(1, []*benefit.Merchant{{ID: storetest.OpenMerchant, Name: "open", Open: true}},
		[]*benefit.App{{ID: storetest.App, Name: "app", Merchant: storetest.OpenMerchant}}, s.templates, s.activities, s.scenes)
}

func (s *stage) entities(t testing.TB) (all []benefit.Entity) {
	t.Helper()
	add := func(v any) {
		e, err := benefit.EntityOf(v)
		if err != nil {
			t.Fatalf("EntityOf: %v", err)
		}
		all = append(all, e)
	}
	for _, v := range s.templates {
		add(v)
	}
	for _, v := range s.activities {
		add(v)
	}
	for _, v := range s.scenes {
		add(v)
	}
	return all
}

// play issues what the stage shows, each call in a commit of its own.
func (s *stage) play(t testing.TB, st store.Store) {
	t.Helper()
	write(t, st, midnight-10_000, &benefit.Changes{Catalogue: 1, Rows: benefit.RowsOf(benefit.Entities.Rows(s.entities(t)...))})
	cat := s.catalogue()
	c := storetest.NewCommitter(st, cat, 3)
	ask := func(clock benefit.Instant, r *benefit.Request, want int) {
		t.Helper()
		r.App, r.Recipient = storetest.App, benefit.Identifier{Type: benefit.AlipayID, Value: "20880"}
		r.Fingerprint, r.Note.TraceID = benefit.FingerprintOf(nil, r.Key), "trace "+r.Key
		all, err := c.Issue(t.Context(), clock, r)
		if err != nil {
			t.Fatalf("%s: %v", r.Key, err)
		}
		if got := all[0].Issuance; got == nil || len(got.Lines) != want {
			t.Fatalf("%s: %+v, want %d lines", r.Key, all[0], want)
		}
	}
	send := func(key, card string, sends int) *benefit.Request {
		act := cat.Activities[boxed]
		return &benefit.Request{
			Scope: scope.Relation(storetest.App, 5), Key: key, Guarded: true, Params: benefit.Params{Card: card},
			Lines: []benefit.Line{act.Items[0].Line(cat, act, sends)},
		}
	}
	decide := func(key string, asked benefit.Params) *benefit.Request {
		return &benefit.Request{Scope: scope.Biz(storetest.App, "b"), Key: key, Continues: true, Params: asked}
	}
	bind := func() *benefit.Request {
		return &benefit.Request{
			Scope: scope.Certificate(storetest.App), Key: "window", BindMillis: 60_000, Lines: []benefit.Line{storetest.Line(certificate)},
		}
	}
	ask(midnight-1500, send("send 0", "game", 2), 1)
	ask(midnight-500, send("send 1", "beauty", 1), 1)
	ask(midnight+500, send("send 2", "game", 1), 1)
	ask(midnight+10_000, decide("decide 3", benefit.Params{SceneCode: "stage all"}), 3)
	ask(midnight+20_000, decide("decide 4", benefit.Params{SceneCode: "stage first", ActCodes: []string{"A2", "ZZ"}}), 2)
	ask(midnight+30_000, decide("decide 5", benefit.Params{SceneCode: "stage all", Rights: []benefit.ActRight{{ActCode: "A2", RightID: 13}}}), 1)
	ask(midnight+40_000, bind(), 1)
	ask(midnight+100_000, bind(), 1)
}

// played returns a stage with the rows of a memory store on which it was played.
func played(t testing.TB) *stage {
	t.Helper()
	st, s := memory.New(), newStage()
	s.play(t, st)
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	defer r.Close()
	s.changes = &typedChanges{Catalogue: 1}
	for i, err := range r.AllIssuances(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		s.changes.Issuances = append(s.changes.Issuances, clone(i))
		s.times = append(s.times, i.Lines[0].At)
	}
	for p := range store.All(t.Context(), r, benefit.Participations) {
		p.Cards = slices.Clone(p.Cards)
		s.changes.Participations = append(s.changes.Participations, p)
	}
	all, err := storetest.ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	s.changes.Users, s.changes.Quotas = all.Users, storetest.RowsOf(all, benefit.Quotas)
	s.changes.Templates, s.changes.Days = storetest.RowsOf(all, benefit.TemplateCounts), storetest.RowsOf(all, benefit.TemplateDays)
	return s
}

// clone copies as deep as tests do damage.
func clone(i *benefit.Issuance) *benefit.Issuance {
	c := *i
	c.Lines = slices.Clone(i.Lines)
	for k := range c.Lines {
		c.Lines[k].Codes = slices.Clone(c.Lines[k].Codes)
	}
	if i.Basis != nil {
		b := *i.Basis
		c.Basis = &b
	}
	return &c
}

// open returns a store with the rows.
func (s *stage) open(t testing.TB) store.Store {
	t.Helper()
	st := memory.New()
	s.changes.Entities = s.entities(t)
	write(t, st, midnight+200_000, s.changes.rows())
	return st
}

func (s *stage) issuance(n int) *benefit.Issuance { return s.changes.Issuances[n] }

// participation returns the row of an activity.
func (s *stage) participation(a benefit.ActivityID) *benefit.Participation {
	for k := range s.changes.Participations {
		if p := &s.changes.Participations[k]; p.Activity == a {
			return p
		}
	}
	panic("there is no such row")
}

// Each way in which rows of activities, codes, windows and decisions can be wrong is one finding, and that names it.
func TestStage(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(s *stage)
		want   []string
	}{
		{"nothing", func(*stage) {}, nil},

		{"a total", func(s *stage) { s.participation(boxed).Total++ }, []string{"participations: activity 60: want 4 vouchers & got 5 vouchers"}},
		{"vouchers of the day", func(s *stage) { s.participation(paired).DayTotal-- }, []string{"participations: activity 61"}},
		{"sends of the day", func(s *stage) { s.participation(boxed).DaySends++ }, []string{"participations: activity 60 & by 1 sends & by 2 sends"}},
		{"the last issue", func(s *stage) { s.participation(boxed).At-- }, []string{"participations: activity 60"}},
		{"another card", func(s *stage) { s.participation(boxed).Cards[0] = "beauty" }, []string{"participations: activity 60: want the cards that were played"}},
		{"one card more", func(s *stage) {
			s.participation(boxed).Cards = []string{"game", "beauty"}
		}, []string{"participations: activity 60 & 1 cards & 2 cards"}},
		{"a task that is done", func(s *stage) { s.participation(boxed).Done = true }, []string{"participations: activity 60 & done false & done true"}},
		{"a missing row", func(s *stage) { s.changes.Participations = s.changes.Participations[1:] }, []string{"participations: activity 60 & got no row"}},
		{"all rows are missing", func(s *stage) { s.changes.Participations = nil }, []string{"participations: got no row", "participations: got no row", "participations: got no row"}},
		{"a row without vouchers", func(s *stage) {
			s.changes.Participations = append(s.changes.Participations, benefit.Participation{
				ParticipationKey: benefit.ParticipationKey{User: s.changes.Users[0].ID, Activity: 9}, Total: 1,
			}, benefit.Participation{ParticipationKey: benefit.ParticipationKey{User: 1, Activity: boxed}, Total: 1}, benefit.Participation{
				ParticipationKey: benefit.ParticipationKey{User: 1 << 62, Activity: boxed}, Total: 1,
			})
		}, []string{"participations: user 1, activity 60: want nothing", "participations: activity 9: want nothing", "participations: user 4611686018427387904, activity 60: want nothing"}},

		{"too soon", func(s *stage) { s.issuance(0).Lines[0].At++ }, []string{"guard: issuances  & activity 60: want 1000 ms between them or more, got 999 ms"}},
		{"too soon after midnight", func(s *stage) { s.issuance(1).Lines[0].At++ }, []string{"guard: got 999 ms"}},
		{"too soon, unguarded", func(s *stage) { s.issuance(0).Lines[0].At++; s.activities[0].NoGuard = true }, nil},
		{"too soon after another activity's", func(s *stage) { s.issuance(0).Lines[0].At, s.activities[1].NoGuard = s.times[0], false }, nil},

		{"a box that is not told to be done", func(s *stage) { s.issuance(1).BoxDone = false }, []string{"boxes: a treasure box is done: want true, got false"}},
		{"a box that is told to be done", func(s *stage) { s.issuance(0).BoxDone = true }, []string{"boxes: a treasure box is done: want false, got true"}},
		{"a box that is done for ever", func(s *stage) { s.issuance(2).BoxDone = true }, []string{"boxes: a treasure box is done: want false, got true"}},
		{"a box that takes more", func(s *stage) { s.activities[0].Box.DoneAfter = 3 }, []string{"boxes: want false, got true"}},
		{"a box that counts sends", func(s *stage) { s.activities[0].Box.CountSends = true }, []string{"boxes: want true, got false"}},
		{"a box without one", func(s *stage) { s.issuance(3).BoxDone = true }, []string{"boxes: want false, got true"}},
		{"a box without an activity", func(s *stage) { s.issuance(6).BoxDone = true }, []string{"boxes: as there is no activity"}},

		{"a code that is no number", func(s *stage) { s.issuance(6).Lines[0].Codes[0] = "12345678901x" }, []string{"codes: certificate code 1: want 12 digits, got something else"}},
		{"a code that is short", func(s *stage) { s.issuance(6).Lines[0].Codes[0] = "12345678901" }, []string{"codes: certificate code 1: want 12 digits"}},
		{"another length", func(s *stage) { s.templates[1].Code.Digits = 13 }, []string{"codes: want 13 digits", "codes: want 13 digits", "codes: want 13 digits"}},
		{"a missing code", func(s *stage) { s.issuance(6).Lines[0].Codes = nil }, []string{"codes: certificate codes: want 1 to 1, got 0"}},
		{"one code more", func(s *stage) {
			l := &s.issuance(6).Lines[0]
			l.Codes = append(l.Codes, "123456789012")
		}, []string{"codes: certificate codes: want 1 to 1, got 2"}},
		{"a code where there is none", func(s *stage) { s.issuance(0).Lines[0].Codes = []string{"123456789012"} }, []string{"codes: certificate codes: want 0 to 0, got 1"}},
		{"one code twice", func(s *stage) { s.issuance(3).Lines[2].Codes = s.issuance(6).Lines[0].Codes }, []string{"codes: issuances  & want certificate codes of their own"}},

		{"a key bound for longer", func(s *stage) { s.issuance(6).BindMillis++ }, []string{"one outcome: issuances  & the second at"}},
		{"a key bound for ever", func(s *stage) { s.issuance(6).BindMillis = 0 }, []string{"one outcome: issuances  & keys of their own"}},
		{"a key bound for less", func(s *stage) { s.issuance(6).BindMillis-- }, nil},

		{"no basis", func(s *stage) { s.issuance(3).Basis = nil }, []string{"decisions: the basis of its choice: want kept"}},
		{"a basis from later", func(s *stage) { s.issuance(3).Basis.Now++ }, []string{"decisions: the instant of its choice"}},
		{"a basis of no instant", func(s *stage) { s.issuance(3).Basis.Now = 0 }, []string{"decisions: the instant of its choice"}},
		{"a basis where nothing was chosen", func(s *stage) { s.issuance(0).Basis = &benefit.Basis{} }, []string{"decisions: the basis of its choice: want none"}},
		{"missing names where nothing was chosen", func(s *stage) {
			s.issuance(0).Errors = []benefit.DecisionError{{Kind: benefit.ActivityError, ActCode: "ZZ", Reason: benefit.ActivityNotFound}}
		}, []string{"decisions: the basis of its choice: want none"}},
		{"a line that was chosen from no activity", func(s *stage) {
			l := &s.issuance(3).Lines[2]
			s.changes.Participations = slices.DeleteFunc(s.changes.Participations, func(p benefit.Participation) bool { return p.Activity == l.Activity })
			l.Activity = 0
		}, []string{"decisions: its lines: want each of an activity"}},
		{"a choice that no scene would make", func(s *stage) {
			s.scenes, s.activities[1].Status = nil, benefit.Paused
			s.issuance(4).Errors, s.issuance(3).Basis.Templates = nil, nil
		}, nil},

		{"more than one request may issue", func(s *stage) {
			l := &s.issuance(0).Lines[0]
			l.Sends, l.Reason = benefit.MaxRequestVouchers+1, benefit.StockEmpty
			for len(l.Amounts) < l.Sends {
				l.Amounts = append(l.Amounts, money.Fen(500))
			}
		}, []string{"vouchers: vouchers that it may issue: want at most 4096, got 4097"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := played(t)
			test.damage(s)
			report := auditOf(t, s.open(t), Options{LookupEvery: -1})
			wantFindings(t, report, test.want...)
			if len(report.Doubts) > 0 {
				t.Errorf("doubts: %+v", report.Doubts)
			}
			for _, f := range report.Findings {
				if strings.Contains(f.String(), "123456789012") {
					t.Errorf("a finding tells a code: %s", f)
				}
			}
		})
	}
}

// A stage is looked at whole, and found by every look-up.
func TestStageLookups(t *testing.T) {
	s := played(t)
	report := auditOf(t, s.open(t), Options{LookupEvery: 1})
	wantFindings(t, report)
	got := fmt.Sprintf("%d codes, %d decisions, %d participations", report.Checked.Codes, report.Checked.Decisions, report.Checked.Participations)
	if got != "3 codes, 3 decisions, 3 participations" {
		t.Error(got)
	}
	s.issuance(3).Lines[2].Codes = s.issuance(6).Lines[0].Codes
	wantFindings(t, auditOf(t, s.open(t), Options{LookupEvery: 1}), "lookups: asked for by code 1 of line", "codes: want certificate codes of their own")
}

// In no memory the same is found in more passes.
func TestStagePasses(t *testing.T) {
	for name, damage := range map[string]func(*stage){"whole": func(*stage) {}, "damaged": func(s *stage) {
		s.participation(boxed).Total++
		s.issuance(0).Lines[0].At++
		s.issuance(1).BoxDone = false
		s.issuance(6).BindMillis++
	}} {
		s := played(t)
		damage(s)
		st := s.open(t)
		crowdOf(t, st, 40, 2)
		roomy, tight := auditOf(t, st, Options{}), auditOf(t, st, Options{Memory: 1})
		if tight.Checked.Passes < 3 {
			t.Errorf("%s: %d passes in no memory", name, tight.Checked.Passes)
		}
		tight.Checked.Passes = roomy.Checked.Passes
		if diff := storetest.Diff(roomy, tight); diff != "" {
			t.Errorf("%s: many passes see something else (-one +many):\n%s", name, diff)
		}
	}
}

// What activities are today is no proof of what they were: it makes doubts, and findings or nothing where it is known how
// they were.
func TestStageDoubts(t *testing.T) {
	s := played(t)
	then := NewHistory()
	if err := then.Add(1, s.entities(t)); err != nil {
		t.Fatal(err)
	}
	box := *s.activities[0].Box
	box.DoneAfter = 3
	first := *s.activities[0]
	first.Box = &box
	first.NoGuard = true
	s.activities[0] = &first
	s.changes.Catalogue = 2
	s.issuance(0).Lines[0].At++ // too soon, by the rule of then
	st := s.open(t)
	report := auditOf(t, st, Options{})
	wantFindings(t, report)
	var doubts []string
	for _, d := range report.Doubts {
		doubts = append(doubts, fmt.Sprintf("%s: %s of %s", d.Invariant, d.Rule, d.Of()))
	}
	if diff := storetest.Diff([]string{"boxes: a treasure box that is done of activity boxed"}, doubts); diff != "" {
		t.Errorf("doubts (-want +got):\n%s", diff)
	}
	wantFindings(t, auditOf(t, st, Options{History: then}), "guard: got 999 ms")
}

// A box that is done is told by an issuance whose line in it was refused, or issued earlier; also when nobody knows
// what came first within a millisecond.
func TestBoxOfOtherCommits(t *testing.T) {
	for _, test := range []struct {
		name string
		// again is when the retry comes, which issues the second line.
		again benefit.Instant
		want  []string // when its flag is turned
	}{
		{"after the box is done", midnight - 5000, []string{"boxes: a treasure box is done: want true, got false"}},
		{"in the millisecond in which it is done", midnight - 6000, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, st := newStage(), memory.New()
			write(t, st, midnight-10_000, &benefit.Changes{Catalogue: 1, Rows: benefit.RowsOf(benefit.Entities.Rows(s.entities(t)...))})
			open := s.catalogue()
			paused := *s.templates[1]
			paused.Status = benefit.Paused
			s.templates[1] = &paused
			half := s.catalogue()
			s.templates[1] = open.Templates[certificate]

			c := storetest.NewCommitter(st, half, 3)
			ask := func(clock benefit.Instant, key, card string, continues bool, lines ...benefit.Line) *benefit.Issuance {
				t.Helper()
				r := storetest.Request(key, "20880", lines...)
				r.Params.Card, r.Continues = card, continues
				all, err := c.Issue(t.Context(), clock, r)
				if err != nil || all[0].Issuance == nil {
					t.Fatalf("%s: %+v, %v", key, all, err)
				}
				return all[0].Issuance
			}
			line := func(template benefit.TemplateID, a benefit.ActivityID) benefit.Line {
				return benefit.Line{Template: template, Activity: a, Sends: 1, Quantity: 1}
			}
			both := []benefit.Line{line(coupon, boxed), line(certificate, certified)}
			ask(midnight-8000, "continued", "game", true, both...)
			ask(midnight-6000, "play", "beauty", false, line(coupon, boxed))
			c.Catalogue = open
			retried := ask(test.again, "continued", "game", true, both...)
			refused := ask(midnight-4000, "refused", "", false, line(gift, paired), line(999, boxed))
			if !retried.BoxDone || !refused.BoxDone || retried.Lines[1].Issued != 1 {
				t.Fatalf("the box is not done: %+v, %+v", retried, refused)
			}
			wantFindings(t, auditOf(t, st, Options{}))
			for _, turned := range []struct {
				i    *benefit.Issuance
				want []string
			}{{retried, test.want}, {refused, []string{"boxes: a treasure box is done: want true, got false"}}} {
				wrong := clone(turned.i)
				wrong.BoxDone = false
				write(t, st, midnight, &benefit.Changes{Issuances: []*benefit.Issuance{wrong}})
				wantFindings(t, auditOf(t, st, Options{}), turned.want...)
				write(t, st, midnight, &benefit.Changes{Issuances: []*benefit.Issuance{turned.i}})
			}
		})
	}
}
