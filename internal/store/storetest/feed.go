package storetest

import (
	"context"
	"fmt"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// feedCommit is a commit of a feed, with that of its steps which never changes.
type feedCommit struct {
	Now   benefit.Instant
	Steps []feedStep
}

type feedStep struct {
	Issuance  id.ID
	Vouchers  []id.ID
	Operation benefit.Operation
	Templates []benefit.TemplateEvent
	Expired   []benefit.ExpiredVoucher
}

func feedCommitOf(c *store.Commit) feedCommit {
	f := feedCommit{Now: c.Now}
	for _, s := range c.Steps {
		step := feedStep{Templates: s.Templates, Expired: s.Expired}
		if s.Operation != nil {
			step.Operation = *s.Operation
		}
		if s.Issuance != nil {
			step.Issuance = s.Issuance.ID
			for _, v := range s.Vouchers() {
				step.Vouchers = append(step.Vouchers, v.ID)
			}
		}
		f.Steps = append(f.Steps, step)
	}
	return f
}

// sequencer is a store whose commits are in its feed some time later.
type sequencer interface {
	// SequenceFeed puts all commits into the feed that were acknowledged before the call.
	SequenceFeed(ctx context.Context) error
}

// settleFeed has everything that was acknowledged in the feed.
func settleFeed(ctx context.Context, st store.Store) error {
	if s, ok := st.(sequencer); ok {
		return s.SequenceFeed(ctx)
	}
	return nil
}

// readFeed reads the feed from a place to its end, limit commits at a time, and drops the commits without steps. It also
// returns the places behind all of them.
func readFeed(ctx context.Context, st store.Feed, from store.Place, limit int) (all []feedCommit, places []store.Place, err error) {
	end, err := st.FeedEnd(ctx)
	if err != nil {
		return nil, nil, err
	}
	for from != end {
		page, err := st.Commits(ctx, from, limit)
		if err != nil {
			return nil, nil, err
		}
		before := from
		for k, c := range page {
			switch {
			case k == 0 && c.Place == before: // that of the place
				continue
			case c.Seq <= from.Seq:
				return nil, nil, fmt.Errorf("commit %d behind commit %d", c.Seq, from.Seq)
			}
			from = c.Place
			if len(c.Steps) > 0 {
				all, places = append(all, feedCommitOf(c)), append(places, from)
			}
		}
		if from == before {
			return nil, nil, fmt.Errorf("the feed ends at %d, and there is nothing behind %d", end.Seq, from.Seq)
		}
	}
	return all, places, nil
}

// wantJudged compares the feed with the events of what the oracle has judged.
func wantJudged(t testing.TB, o *oracle.Oracle, st store.Store) {
	t.Helper()
	r := mustRead(t, st)
	var got []oracle.Event
	for c, err := range r.AllCommits(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for k := range c.Steps {
			all, err := oracle.EventsOf(&c.Steps[k])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, all...)
		}
	}
	want(t, "the events, by the oracle", o.Events, got)
}

// allCommits reads the commits of a store's state that have steps.
func allCommits(t testing.TB, st store.Store) []feedCommit {
	t.Helper()
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return commitsOf(t, r)
}

func commitsOf(t testing.TB, r store.Reader) (all []feedCommit) {
	t.Helper()
	for c, err := range r.AllCommits(t.Context()) {
		if err != nil {
			t.Fatalf("all commits: %v", err)
		}
		if len(c.Steps) > 0 {
			all = append(all, feedCommitOf(c))
		}
	}
	return all
}

// wantFeed compares the feed of a store with that of the plain one, read in different ways.
func wantFeed(t testing.TB, when string, model *memory.Store, st store.Store) {
	t.Helper()
	ctx := t.Context()
	want(t, when+": all commits before they are in the feed", allCommits(t, model), allCommits(t, st))
	if err := settleFeed(ctx, st); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	start := found[store.Place](t)(model.FeedSince(ctx, 0))
	all, _, err := readFeed(ctx, model, start, 1000)
	if err != nil {
		t.Fatalf("%s: the plain feed: %v", when, err)
	}
	start = found[store.Place](t)(st.FeedSince(ctx, 0))
	got, places, err := readFeed(ctx, st, start, 1000)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	want(t, when+": the feed", all, got)
	want(t, when+": all commits", all, allCommits(t, st))
	for _, from := range []int{len(places) / 3, len(places) - 1} {
		if from < 0 || from >= len(places) {
			continue
		}
		rest, _, err := readFeed(ctx, st, places[from], 2)
		if err != nil {
			t.Fatalf("%s: from %v: %v", when, places[from], err)
		}
		want(t, when+": the feed from a place", all[from+1:], rest)
		page, err := st.Commits(ctx, places[from], 1)
		if err != nil || len(page) != 1 || page[0].Place != places[from] {
			t.Fatalf("%s: the commit of %v: %v, %v", when, places[from], page, err)
		}
		since, err := st.FeedSince(ctx, all[from].Now)
		if err != nil || since.Seq >= places[from].Seq {
			t.Errorf("%s: since %v is %v, want a place before %v; %v", when, all[from].Now, since, places[from], err)
		}
	}
}
