package outage

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lines is a Reporter with a clock of its own and what it has logged.
type lines struct {
	*Reporter
	at  time.Time
	log bytes.Buffer
}

func newLines() *lines {
	l := &lines{at: time.Date(2026, 11, 11, 0, 0, 0, 0, time.UTC)}
	drop := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	l.Reporter = New(slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{ReplaceAttr: drop})), func() time.Time { return l.at })
	return l
}

func (l *lines) want(t *testing.T, want string) {
	t.Helper()
	if diff := cmp.Diff(want, l.log.String()); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
	l.log.Reset()
}

func TestOutage(t *testing.T) {
	l := newLines()
	l.Worked("again")
	l.want(t, "")
	for n := range 2500 { // 25 s
		l.Failed(slog.LevelError, "no", fmt.Errorf("e%d", n), "requests", n)
		l.at = l.at.Add(10 * time.Millisecond)
	}
	l.want(t, `level=ERROR msg=no requests=0 failures=1 err=e0
level=ERROR msg=no requests=1000 failures=1000 err=e1000
level=ERROR msg=no requests=2000 failures=1000 err=e2000
`)
	l.Worked("again")
	l.Worked("again")
	l.want(t, "level=INFO msg=again failures=499\n")
}

// What fails and works in turn is logged no more often.
func TestFlapping(t *testing.T) {
	l := newLines()
	for range 1000 { // 20 s
		l.Failed(slog.LevelWarn, "no", errors.New("e"))
		l.Worked("again")
		l.at = l.at.Add(20 * time.Millisecond)
	}
	l.want(t, `level=WARN msg=no failures=1 err=e
level=INFO msg=again failures=0
level=WARN msg=no failures=500 err=e
level=INFO msg=again failures=0
`)
}

// A clock that steps back silences nothing.
func TestClockStepsBack(t *testing.T) {
	l := newLines()
	l.Failed(slog.LevelError, "no", errors.New("e"))
	l.at = l.at.Add(-time.Hour)
	l.Failed(slog.LevelError, "no", errors.New("e"))
	l.Failed(slog.LevelError, "no", errors.New("e"))
	l.want(t, "level=ERROR msg=no failures=1 err=e\nlevel=ERROR msg=no failures=1 err=e\n")
}
