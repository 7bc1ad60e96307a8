package postgres_test

import (
	"errors"
	"net/url"
	"testing"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

// pair is two databases.
type pair struct {
	claims, rest string
	options      postgres.Options
}

func newPair(t *testing.T) *pair {
	p := &pair{claims: pgtest.Shared(t).Database(t), rest: pgtest.Shared(t).Database(t)}
	p.options = postgres.Options{URL: p.rest + "&claims=" + url.QueryEscape(p.claims), CallerClock: true}
	return p
}

func (p *pair) open(t testing.TB) *postgres.Split {
	t.Helper()
	s, err := postgres.OpenSplit(t.Context(), p.options)
	if err != nil {
		t.Fatalf("OpenSplit: %v", err)
	}
	return s
}

// crash kills all connections to both databases.
func (p *pair) crash(t testing.TB, st store.Store) {
	crash(t, p.claims, store.Store(nothing{}))
	crash(t, p.rest, st)
}

// nothing is a store to close.
type nothing struct{ store.Store }

func (nothing) Close() error { return nil }

// TestSplitConformance: without a crash between the two commits it is a store like any other.
func TestSplitConformance(t *testing.T) {
	storetest.Cases(t, func(t *testing.T) storetest.Harness {
		p := newPair(t)
		return storetest.Harness{Open: func(t testing.TB) store.Store { return p.open(t) }, Crash: p.crash}
	})
}

// Nobody opens a store whose claims are apart, however he asks.
func TestSplitIsNotServed(t *testing.T) {
	for _, url := range []string{
		"postgres://postgres@127.0.0.1:1/rest?claims=postgres://postgres@127.0.0.1:1/claims",
		"postgres://postgres@127.0.0.1:1/rest?claims=",
		newPair(t).options.URL,
	} {
		st, err := postgres.Open(t.Context(), postgres.Options{URL: url})
		if !errors.Is(err, postgres.ErrSplit) {
			t.Errorf("Open: %v, want %v", err, postgres.ErrSplit)
		}
		if err == nil {
			st.Close()
		}
	}
}

// works is a store on two databases that is issued on, and stopped.
type works struct {
	*pair
	t         *testing.T
	st        *postgres.Split
	committer *storetest.Committer
	clock     benefit.Instant
}

func newWorks(t *testing.T, cat *benefit.Catalogue) *works {
	w := &works{pair: newPair(t), t: t, clock: storetest.Start}
	w.st = w.open(t)
	t.Cleanup(func() { _ = w.st.Close() })
	w.committer = storetest.NewCommitter(w.st, cat, 1)
	return w
}

// stop has the next commit end at the moment, as a crash would, and opens the store again after it.
func (w *works) stop(at storetest.Moment, requests ...*benefit.Request) {
	w.t.Helper()
	w.st.StopAt(func(now storetest.Moment) error {
		if now != at {
			return nil
		}
		w.crash(w.t, w.st)
		return storetest.ErrStopped
	})
	if _, err := w.committer.Issue(w.t.Context(), w.clock, requests...); !errors.Is(err, storetest.ErrStopped) {
		w.t.Fatalf("the commit was not stopped: %v", err)
	}
	w.st = w.open(w.t)
	w.committer.Store = w.st
	w.committer.Env = storetest.Env(w.st, uint64(w.clock)+2) // another process draws something else
}

func (w *works) ask(r *benefit.Request) benefit.Outcome {
	w.t.Helper()
	o, err := w.committer.Issue(w.t.Context(), w.clock, r)
	if err != nil {
		w.t.Fatalf("issuing: %v", err)
	}
	return o[0]
}

// wants asks, and compares the reason.
func (w *works) wants(want benefit.Reason, r *benefit.Request) benefit.Outcome {
	w.t.Helper()
	o := w.ask(r)
	if o.Reason != want {
		w.t.Errorf("key %s: %s, want %s", r.Key, o.Reason, want)
	}
	return o
}

// catalogue puts other templates in place.
func (w *works) catalogue(templates ...*benefit.Template) {
	cat := storetest.Catalogue(templates...)
	cat.Version = w.committer.Catalogue.Version + 1
	w.committer.Catalogue = cat
}

// auditRows counts everything again from the rows. The catalogue must be in the store.
func auditRows(t *testing.T, st store.Store) {
	t.Helper()
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	report, err := audit.Store(t.Context(), r, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("audit: %s", f)
	}
}

// claimOf is the claim that is kept under the request's key.
func (w *works) claimOf(r *benefit.Request) *benefit.Issuance {
	w.t.Helper()
	c, err := w.st.ClaimOf(w.t.Context(), r.Claim())
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}
