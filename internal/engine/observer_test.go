package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// observed notes what it is told. Each reading of its clock is a second later.
type observed struct {
	now  time.Duration
	told []string
}

func (o *observed) Now() time.Duration {
	o.now += time.Second
	return o.now
}

func (o *observed) note(format string, args ...any) {
	o.told = append(o.told, fmt.Sprintf(format, args...))
}

func (o *observed) Batch(waited []time.Duration)           { o.note("batch %v", waited) }
func (o *observed) Step(s engine.Step, took time.Duration) { o.note("%s %v", s, took) }
func (o *observed) Issued(vouchers int64)                  { o.note("issued %d", vouchers) }
func (o *observed) Conflict()                              { o.note("conflict") }
func (o *observed) Failed(s engine.Step)                   { o.note("%s failed", s) }

// want compares what was told since the last call.
func (o *observed) want(t *testing.T, what string, want ...string) {
	t.Helper()
	if !slices.Equal(o.told, want) {
		t.Errorf("%s: told %q, want %q", what, o.told, want)
	}
	o.told = nil
}

func TestObserver(t *testing.T) {
	o := &observed{}
	b := newBench(t, func(options *engine.Options) { options.Observer = o })
	steps := []string{"load 1s", "decide 1s", "commit 1s"}
	batch := func(waited string, more ...string) []string {
		return append(append([]string{"batch " + waited}, steps...), more...)
	}

	pair := storetest.Request("pair", "2088", benefit.Line{Template: 1, Sends: 2, Quantity: 3})
	b.issue(dryRun("a", 1, 1), pair)
	o.want(t, "two requests", batch("[2s 1s]", "issued 7")...)
	b.issue(pair)
	o.want(t, "a replay", batch("[1s]", "issued 0")...)

	tries := 0
	b.store.commit = func(write func() error) error {
		if tries++; tries == 1 {
			return store.ErrConflict
		}
		return write()
	}
	b.issue(dryRun("b", 1, 1))
	o.want(t, "a conflict", append([]string{"batch [1s]", "load 1s", "decide 1s", "conflict"}, append(steps, "issued 1")...)...)

	b.store.commit = failing(errDisk, true)
	b.issue(dryRun("c", 1, 1))
	o.want(t, "an unknown commit", "batch [1s]", "load 1s", "decide 1s", "commit failed")
	b.store.commit = nil
	b.store.begin = func() error { return errDisk }
	b.issue(dryRun("d", 1, 1))
	o.want(t, "no store", "batch [1s]", "load failed")
	b.store.begin = nil

	b.store.most = 1
	b.issue(dryRun("e", 1, 1), dryRun("f", 2, 1))
	o.want(t, "a batch in parts", append(append([]string{"batch [2s 1s]", "load 1s", "decide 1s"},
		append(steps, "issued 1")...), append(steps, "issued 1")...)...)
	b.store.most = 0

	b.run()
	if err := b.engine.Change(t.Context(), setStatus(benefit.Paused)); err != nil {
		t.Error(err)
	}
	if _, _, err := b.engine.DryIssue(t.Context(), dryRun("g", 1, 1)); err != nil {
		t.Error(err)
	}
	o.want(t, "a change and a dry run")
}
