package audit

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// soonSoldOut is a template of which there are two. No world and no stage has it.
const soonSoldOut = 90

// feedReader is a reader with another feed.
type feedReader struct {
	store.Reader
	commits []*store.Commit
	err     error // at the end
}

func (r *feedReader) AllCommits(context.Context) iter.Seq2[*store.Commit, error] {
	return func(yield func(*store.Commit, error) bool) {
		for _, c := range r.commits {
			if !yield(c, nil) {
				return
			}
		}
		if r.err != nil {
			yield(nil, r.err)
		}
	}
}

// The commits of sellOut.
const (
	feedCreated = iota
	feedIssued
	feedSoldOut
	feedVoided // and restocked
	feedSoldOutAgain
	feedRedeemed
)

// sellOut sells a template out twice on a store, each command in a commit of its own.
func sellOut(t testing.TB, st store.Store) {
	t.Helper()
	template := storetest.Template(soonSoldOut)
	template.Stock.Count = 2
	e, err := benefit.EntityOf(template)
	if err != nil {
		t.Fatal(err)
	}
	cat := storetest.Catalogue(template)
	write(t, st, storetest.Start, &benefit.Changes{
		Catalogue: cat.Version, Rows: benefit.RowsOf(benefit.Entities.Rows(e), benefit.EntityVersions.Rows(benefit.EntityVersion{Version: cat.Version, Entity: e})),
		Steps: []benefit.Step{{Templates: template.ChangeEvents(nil, cat.Version, benefit.TemplateCount{Template: soonSoldOut})}},
	})
	c := storetest.NewCommitter(st, cat, 3)
	clock := storetest.Start
	do := func(one benefit.Command) {
		t.Helper()
		clock += 1000
		if err := c.Do(t.Context(), clock, one); err != nil {
			t.Fatal(err)
		}
	}
	issue := func(key string) *benefit.Issue {
		one := &benefit.Issue{Request: storetest.Request(key, "20881", storetest.Line(soonSoldOut))}
		do(one)
		if one.Outcome.Reason != benefit.NotRefused {
			t.Fatal(one.Outcome.Reason)
		}
		return one
	}
	first, second := issue("a"), issue("b")
	do(&benefit.OnVoucher{Action: &benefit.Void{ReturnStock: true}, App: storetest.App, Key: "v", Voucher: first.Outcome.Issuance.ID})
	issue("c")
	do(&benefit.OnVoucher{
		Action: &benefit.Redeem{OrderAmount: 1000, HasOrderAmount: true}, App: storetest.App, Key: "r", Voucher: second.Outcome.Issuance.ID,
	})
}

// Each way in which the feed can differ from the rows is found, and named.
func TestEvents(t *testing.T) {
	st := memory.New()
	sellOut(t, st)
	const differs = "events: template 90: the events of the feed: want one for each of the 7 & got "
	for _, test := range []struct {
		name   string
		damage func(commits []*store.Commit) []*store.Commit
		want   []string
	}{
		{"nothing", func(c []*store.Commit) []*store.Commit { return c }, nil},
		{"an issue without an event", without(feedIssued), []string{differs + "6"}},
		{"an operation without an event", without(feedRedeemed), []string{differs + "6"}},
		{"the last commit but one", func(c []*store.Commit) []*store.Commit { return slices.Delete(c, feedSoldOutAgain, feedRedeemed) }, []string{
			differs + "5", "events: template 90: the last event of its stock: want template.sold_out, by its vouchers: 2 vouchers, 1000 fen, got template.restocked",
		}},
		{"all commits but one", func(c []*store.Commit) []*store.Commit { return c[:1] }, []string{
			differs + "0", "events: template 90: the last event of its stock: want template.sold_out & got template.restocked",
		}},
		{"an operation twice", func(c []*store.Commit) []*store.Commit { return append(c, c[feedRedeemed]) }, []string{differs + "8"}},
		{"an issue twice in one commit", func(c []*store.Commit) []*store.Commit {
			c[feedIssued].Steps = append(c[feedIssued].Steps, c[feedIssued].Steps[0])
			return c
		}, []string{differs + "8"}},
		{"an issue twice, and another not at all", func(c []*store.Commit) []*store.Commit {
			c[feedRedeemed].Steps = c[feedIssued].Steps
			return c
		}, []string{differs + "7, some of which are others"}},
		{"another instant", func(c []*store.Commit) []*store.Commit {
			c[feedRedeemed].Now++
			return c
		}, []string{differs + "7, some of which are others"}},
		{"an issue of no line", func(c []*store.Commit) []*store.Commit {
			c[feedIssued].Steps[0].Lines = []int{0, 1}
			return c
		}, []string{"events: issuance  & want events of its 1 lines, got one of line 1"}},
		{"a template that was never sold out", func(c []*store.Commit) []*store.Commit {
			c[feedSoldOutAgain].Steps[0].Templates = nil
			return c
		}, []string{differs + "6", "events: template 90: the last event of its stock"}},
		{"sold out twice", func(c []*store.Commit) []*store.Commit {
			c[feedVoided].Steps[0].Templates = nil
			return c
		}, []string{"events: template 90: template.sold_out at 2 vouchers, 1000 fen: want it and its opposite by turns"}},
		{"sold out too soon", func(c []*store.Commit) []*store.Commit {
			c[feedSoldOut].Steps[0].Templates[0].Count = 1
			return c
		}, []string{"events: template 90: its event at 1 vouchers, 1000 fen: want template.restocked, got template.sold_out"}},

		{"a feed that begins later", func(c []*store.Commit) []*store.Commit { return c[feedVoided:] }, nil},
		{"a feed that begins with nothing", func(c []*store.Commit) []*store.Commit {
			for _, one := range c[:feedVoided] {
				one.Steps = nil
			}
			return c
		}, nil},
		{"no feed", func([]*store.Commit) []*store.Commit { return nil }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			report := auditFeed(t, st, &feedReader{}, test.damage)
			wantFindings(t, report, test.want...)
		})
	}
	report := auditFeed(t, st, &feedReader{err: store.ErrDamaged}, without(feedIssued))
	wantFindings(t, report, "events: the feed: want commits that can be read")
}

// without returns a damage that removes the steps of a commit.
func without(n int) func(commits []*store.Commit) []*store.Commit {
	return func(c []*store.Commit) []*store.Commit {
		c[n].Steps = nil
		return c
	}
}

// auditFeed audits a store with a feed to which damage was done.
func auditFeed(t testing.TB, st store.Store, r *feedReader, damage func(commits []*store.Commit) []*store.Commit) *Report {
	t.Helper()
	var err error
	if r.Reader, err = st.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for c, err := range r.Reader.AllCommits(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		copied := *c
		copied.Steps = slices.Clone(c.Steps)
		for k := range copied.Steps {
			copied.Steps[k].Templates = slices.Clone(c.Steps[k].Templates)
			copied.Steps[k].Expired = slices.Clone(c.Steps[k].Expired)
		}
		r.commits = append(r.commits, &copied)
	}
	r.commits = damage(r.commits)
	report, err := Store(t.Context(), r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// What the feed no longer has, or did not have yet, is not compared, and the report says so.
func TestWhereEventsBegin(t *testing.T) {
	st := memory.New()
	sellOut(t, st)
	for _, test := range []struct {
		from   int
		seq    int64 // of the first commit
		want   string
		events int64
	}{
		{feedCreated, 1, "", 9},
		{feedSoldOut, 1, "that everything up to " + (storetest.Start + 2000).String(), 6},
		{feedSoldOut, 7, "that everything up to " + (storetest.Start + 2000 + feedDelay).String(), 3},
		{feedRedeemed + 1, 1, "the store has no events yet", 0},
	} {
		report := auditFeed(t, st, &feedReader{}, func(c []*store.Commit) []*store.Commit {
			c = c[test.from:]
			if len(c) > 0 {
				c[0].Seq = test.seq
			}
			return c
		})
		wantFindings(t, report)
		if text := fmt.Sprint(report.NotKept); !strings.Contains(text, test.want) || test.want == "" && strings.Contains(text, "event") {
			t.Errorf("from commit %d: %s", test.from, text)
		}
		if report.Checked.Events != test.events {
			t.Errorf("from commit %d: %d events", test.from, report.Checked.Events)
		}
	}
}
