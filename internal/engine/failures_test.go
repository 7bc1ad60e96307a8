package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// While the store is away the log has a line for the first batch that fails, and then one in ten seconds, however many
// fail and wherever. The way back is one line.
func TestFailuresInTheLog(t *testing.T) {
	for name, spoil := range map[string]func(*faulty){
		"loading":    func(f *faulty) { f.begin = func() error { return errDisk } },
		"committing": func(f *faulty) { f.commit = failing(errDisk, false) },
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			now := storetest.Start
			b := newBench(t, func(o *engine.Options) {
				o.Log = slog.New(slog.NewTextHandler(&log, nil))
				o.Clock = func() benefit.Instant { return now }
			})
			spoil(b.store)
			for n := range 1500 { // 15 s
				if got := b.issue(dryRun(fmt.Sprint(n), 1, 1))[0]; !errors.Is(got.err, engine.ErrUnknown) {
					t.Fatalf("answered %+v", got)
				}
				now += 10
			}
			*b.store = faulty{Store: b.store.Store}
			for n := range 3 {
				b.want("the store is back", b.issue(dryRun(fmt.Sprint("back", n), 1, 1))[0], nil, benefit.NotRefused)
			}
			text := log.String()
			if bad, again := strings.Count(text, "level=ERROR"), strings.Count(text, "batches are committed again"); bad != 2 || again != 1 {
				t.Errorf("%d lines of failures and %d of the end:\n%s", bad, again, text)
			}
			if !strings.Contains(text, "failures=1000 ") || !strings.Contains(text, errDisk.Error()) {
				t.Errorf("the log tells neither how many failed nor why:\n%s", text)
			}
		})
	}
}

// A change that is too large for one commit is its caller's mistake, and no failure of the store.
func TestChangeTooLarge(t *testing.T) {
	var log bytes.Buffer
	b := newBench(t, func(o *engine.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	b.store.commit = failing(store.ErrTooLarge, false)
	p, err := b.engine.SubmitChange(t.Context(), setStatus(benefit.Paused))
	if err != nil {
		t.Fatal(err)
	}
	b.step()
	if a := b.result(submitted{Pending: p}); !errors.Is(a.err, store.ErrTooLarge) {
		t.Errorf("Change: %v", a.err)
	}
	if log.Len() > 0 {
		t.Errorf("the log has:\n%s", &log)
	}
}
