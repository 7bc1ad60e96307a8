package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// setStatus plans another status for template 1.
func setStatus(status benefit.Status) engine.ChangeFunc {
	return func(_ context.Context, _ store.Reader, cat *benefit.Catalogue, _ benefit.Env) (*benefit.Changes, error) {
		t := *cat.Templates[1]
		t.Status = status
		e, err := benefit.EntityOf(&t)
		return &benefit.Changes{Catalogue: cat.Version + 1, Rows: benefit.RowsOf(benefit.Entities.Rows(e))}, err
	}
}

// When Change has returned, a paused template issues nothing more, however many ask.
func TestChangeIsExact(t *testing.T) {
	b := newBench(t)
	b.run()
	var paused atomic.Bool
	var work sync.WaitGroup
	for caller := range 4 {
		work.Go(func() {
			for n := range 60 {
				before := paused.Load()
				o, err := b.engine.Issue(t.Context(), dryRun(fmt.Sprint(caller, "-", n), caller, 1))
				if err != nil || before && o.Reason != benefit.TemplatePaused {
					t.Errorf("after the pause (%v): %v, %v", before, o.Reason, err)
				}
			}
		})
	}
	soon(t, "something is issued", func() bool {
		o, err := b.engine.Issue(t.Context(), dryRun("one", 1, 1))
		return err == nil && o.Issuance != nil
	})
	if err := b.engine.Change(t.Context(), setStatus(benefit.Paused)); err != nil {
		t.Fatalf("Change: %v", err)
	}
	paused.Store(true)
	if got := b.engine.Catalogue(); got.Version != 2 || got.Templates[1].Status != benefit.Paused {
		t.Errorf("the catalogue after Change: version %d, status %d", got.Version, got.Templates[1].Status)
	}
	work.Wait()
	o, err := b.engine.Issue(t.Context(), dryRun("one", 1, 1))
	if err != nil || o.Issuance == nil || !o.Replayed {
		t.Errorf("a replay of before the pause: %+v, %v", o, err)
	}
}

// A change is decided by where it stands in the queue: what came before it still goes by the old catalogue.
func TestChangeKeepsItsPlace(t *testing.T) {
	b := newBench(t)
	before := b.submit(dryRun("before", 1, 1))
	planned, err := b.engine.SubmitChange(t.Context(), setStatus(benefit.Paused))
	if err != nil {
		t.Fatal(err)
	}
	after := b.submit(dryRun("after", 2, 1))
	for range 3 {
		b.step()
	}
	b.want("before", b.result(before), nil, benefit.NotRefused)
	b.want("the change", b.result(submitted{Pending: planned}), nil, 0)
	b.want("after", b.result(after), nil, benefit.TemplatePaused)
}

// A change that goes wrong, wherever it does, changes nothing.
func TestChangeErrors(t *testing.T) {
	broken := func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return &benefit.Changes{Catalogue: 2, Rows: benefit.RowsOf(benefit.Entities.Rows(benefit.Entity{Kind: benefit.TemplateEntity, ID: 1, Body: []byte("{")}))}, nil
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		plan   engine.ChangeFunc
		spoil  func(*faulty)
		wanted error
	}{
		"the plan": {plan: func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
			return nil, errDisk
		}, wanted: errDisk},
		"the catalogue does not load": {plan: broken},
		"reading":                     {spoil: func(f *faulty) { f.read = func() error { return errDisk } }, wanted: errDisk},
		"begin":                       {spoil: func(f *faulty) { f.begin = func() error { return errDisk } }, wanted: engine.ErrNotIssued},
		"not committed":               {spoil: func(f *faulty) { f.commit = failing(store.ErrNotCommitted, false) }, wanted: store.ErrNotCommitted},
		"perhaps committed":           {spoil: func(f *faulty) { f.commit = failing(errDisk, false) }, wanted: engine.ErrChangeUnknown},
		"the caller is gone":          {ctx: gone, wanted: engine.ErrGaveUp},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			before, err := storetest.ContentsOf(t.Context(), b.store)
			if err != nil {
				t.Fatal(err)
			}
			if c.spoil != nil {
				c.spoil(b.store)
			}
			if c.plan == nil {
				c.plan = setStatus(benefit.Paused)
			}
			if c.ctx == nil {
				c.ctx = t.Context()
			}
			p, err := b.engine.SubmitChange(c.ctx, c.plan)
			if err != nil {
				t.Fatal(err)
			}
			b.step()
			if a := b.result(submitted{Pending: p}); a.err == nil || !errors.Is(a.err, c.wanted) && c.wanted != nil {
				t.Errorf("Change: %v, want %v", a.err, c.wanted)
			} else if unknown := errors.Is(a.err, engine.ErrChangeUnknown); unknown != (c.wanted == engine.ErrChangeUnknown) {
				t.Errorf("Change: %v: unknown is %v", a.err, unknown)
			}
			if got := b.engine.Catalogue().Version; got != 1 {
				t.Errorf("the catalogue of version %d is in force", got)
			}
			*b.store = faulty{Store: b.store.Store}
			after, err := storetest.ContentsOf(t.Context(), b.store)
			if err != nil {
				t.Fatal(err)
			}
			if diff := storetest.Diff(before, after); diff != "" {
				t.Errorf("the store changed:\n%s", diff)
			}
			b.want("issuing afterwards", b.issue(dryRun("k", 1, 1))[0], nil, benefit.NotRefused)
		})
	}
}

// A change without rows commits nothing.
func TestEmptyChange(t *testing.T) {
	b := newBench(t)
	b.store.commit = func(func() error) error { t.Error("something was committed"); return nil }
	p, err := b.engine.SubmitChange(t.Context(), func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.step()
	b.want("the change", b.result(submitted{Pending: p}), nil, 0)
}

// A caller that gives up while its change is under way still hears how it went: what it derived from the old state
// is no longer true.
func TestGaveUpInChange(t *testing.T) {
	b := newBench(t)
	b.run()
	ctx, cancel := context.WithCancel(t.Context())
	err := b.engine.Change(ctx, func(c context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error) {
		cancel()
		time.Sleep(20 * time.Millisecond) // the caller has noticed
		return setStatus(benefit.Paused)(c, r, cat, env)
	})
	if err != nil || b.engine.Catalogue().Templates[1].Status != benefit.Paused {
		t.Errorf("Change: %v, and the template has status %d", err, b.engine.Catalogue().Templates[1].Status)
	}
}

// A change of a template is in the feed with the template's counters.
func TestChangeInTheFeed(t *testing.T) {
	b := newBench(t)
	b.run()
	if _, err := b.engine.Issue(t.Context(), dryRun("one", 1, 1)); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Change(t.Context(), setStatus(benefit.Paused)); err != nil {
		t.Fatal(err)
	}
	end, err := b.store.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	commits, err := b.store.Commits(t.Context(), end, 1)
	if err != nil || len(commits) != 1 || len(commits[0].Steps) != 1 || len(commits[0].Steps[0].Templates) != 1 {
		t.Fatalf("the last commit: %+v, %v", commits, err)
	}
	if e := commits[0].Steps[0].Templates[0]; e.Type != benefit.TemplatePausedEvent || e.Template != 1 || e.Catalogue != 2 || e.Count != 1 {
		t.Errorf("the event: %+v", e)
	}
}
