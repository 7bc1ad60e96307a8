package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/vfs/faultfs"
)

// faultHistory returns a small history of two lives: it opens the store, issues, flushes, closes, opens again. It ends
// early where the process would. It returns what the client was told.
func faultHistory(t *testing.T, p *testPlace) *client {
	c := &client{told: map[string]*benefit.Issuance{}, not: map[string]bool{}}
	for life := range 2 {
		p.o.JournalFS = p.disk
		s, err := Open(p.o)
		if err != nil {
			var damage *journal.DamageError
			if errors.As(err, &damage) {
				t.Fatalf("Open: %v", err)
			}
			return c
		}
		c.Committer = newClient(s).Committer
		alive := c.live(t, s, life)
		s.abandonOrClose(alive)
		if !alive {
			return c
		}
	}
	return c
}

// live issues a few times. It says whether the store came through.
func (c *client) live(t *testing.T, s *Store, life int) bool {
	t.Helper()
	for n := 10 * life; n < 10*life+8; n++ {
		err := c.ask(n)
		switch {
		case errors.Is(err, store.ErrFailed):
			if errors.Is(err, store.ErrNotCommitted) {
				t.Errorf("both: %v", err)
			}
			if _, again := s.Begin(t.Context(), 0); !errors.Is(again, store.ErrFailed) {
				t.Errorf("Begin after %v: %v", err, again)
			}
			return false
		case err != nil && !errors.Is(err, store.ErrNotCommitted):
			t.Errorf("an error that says nothing about the outcome: %v", err)
		}
		if n%3 == 0 {
			if err := s.Flush(); err != nil {
				t.Errorf("Flush: %v", err)
			}
		}
	}
	return true
}

func (s *Store) abandonOrClose(inOrder bool) {
	if inOrder {
		_ = s.Close() // may meet the fault: the next start copes
	} else {
		s.abandon()
	}
}

// Each operation on the journal's disk fails once, in each way, and after each of them the process is killed or
// the power cut. What was acknowledged is there, what was refused is not.
func TestEveryFault(t *testing.T) {
	total := newMemPlace(t, Options{})
	faultHistory(t, total)
	ops := total.disk.Ops()
	if ops < 60 {
		t.Fatalf("the history has only %d operations", ops)
	}
	faults := map[string]faultfs.Fault{
		"EIO": {Err: syscall.EIO}, "ENOSPC, short": {Err: syscall.ENOSPC, Short: true}, "EIO, but done": {Err: syscall.EIO, Done: true},
	}
	unknown, refused := 0, 0
	for name, fault := range faults {
		p := newMemPlace(t, Options{MaxMemtable: 8, GenerationSize: 5})
		for n := 1; n <= ops; n += sparse(5) {
			p.disk = faultfs.New(rand.New(rand.NewPCG(uint64(n), 0)))
			if err := removeView(ViewPath(p.dir)); err != nil {
				t.Fatal(err)
			}
			p.disk.FailAt(n, fault)
			c := faultHistory(t, p)
			if n%2 == 0 {
				p.disk = p.disk.CrashProcess()
			} else {
				p.disk = p.disk.Crash(rand.New(rand.NewPCG(uint64(n), 1)))
			}
			s := p.open(t)
			c.wantTold(t, s)
			refused += len(c.not)
			unknown += 16 - len(c.told) - len(c.not)
			p.kill(s)
			if t.Failed() {
				t.Fatalf("%s at operation %d", name, n)
			}
		}
	}
	if !testing.Short() && (unknown == 0 || refused == 0) {
		t.Errorf("%d commits refused and %d of unknown outcome: the faults did not meet them", refused, unknown)
	}
}

// logBuffer is a log that goroutines may write to.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A full disk refuses commits and nothing else; with room again they go on.
func TestFullDisk(t *testing.T) {
	var log logBuffer
	p := newMemPlace(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	p.o.SegmentBytes, p.o.Foreground = 32<<10, false
	s := p.open(t)
	c := newClient(s)
	c.mustAsk(t, 0, 2)
	p.disk.SetCapacity(p.disk.Used())
	n := 2
	for ; c.ask(n) == nil; n++ {
		if n > 100 {
			t.Fatal("the segments never end")
		}
	}
	if err := c.ask(n); !errors.Is(err, store.ErrNotCommitted) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a commit on a full disk: %v", err)
	}
	if err := s.Refusing(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("it refuses commits for %v", err)
	}
	c.wantTold(t, s)
	p.disk.SetCapacity(-1)
	for end := time.Now().Add(time.Minute); s.Refusing() != nil; time.Sleep(10 * time.Millisecond) { // though no commit comes
		if time.Now().After(end) {
			t.Fatalf("there is room, and it still refuses commits: %v", s.Refusing())
		}
	}
	if got := strings.Count(log.String(), "the journal cannot be written"); got != 1 {
		t.Errorf("%d lines about the full disk:\n%s", got, &log)
	}
	if got := strings.Count(log.String(), "the journal can be written again"); got != 1 {
		t.Errorf("%d lines about the room:\n%s", got, &log)
	}
	c.mustAsk(t, n+1, n+4)
	p.kill(s)
	s = p.open(t)
	defer s.Close()
	c.wantTold(t, s)
}

// A process without file descriptors refuses commits, is not ended by that, and goes on when there are some again.
func TestNoDescriptor(t *testing.T) {
	p := newMemPlace(t, Options{})
	p.o.SegmentBytes = 32 << 10
	s := p.open(t)
	defer s.Close()
	c := newClient(s)
	p.disk.SetMaxOpen(1)
	n := 0
	for ; c.ask(n) == nil; n++ {
		if n > 100 {
			t.Fatal("the segments never end")
		}
	}
	if err := c.ask(n); !errors.Is(err, store.ErrNotCommitted) || errors.Is(err, store.ErrFailed) || !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("a commit without descriptors: %v", err)
	}
	c.wantTold(t, s)
	p.disk.SetMaxOpen(0)
	c.mustAsk(t, n+1, n+4)
	c.wantTold(t, s)
}

// A batch that no record can hold is refused, and the next one goes on.
func TestTooLarge(t *testing.T) {
	p := newMemPlace(t, Options{})
	p.o.SegmentBytes = 32 << 10
	s := p.open(t)
	defer s.Close()
	c := newClient(s)
	big := fullUserOf(t, s, 40<<10)
	if err := commit(t, s, big); !errors.Is(err, store.ErrNotCommitted) || !errors.Is(err, store.ErrTooLarge) || !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("a record of more than a segment: %v", err)
	}
	many := manyIssuances(maxIssuances + 1)
	if err := commit(t, s, many); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("%d issuances in a commit: %v", maxIssuances+1, err)
	}
	c.mustAsk(t, 0, 3)
	c.wantTold(t, s)
}

// A batch that has ended takes no second commit.
func TestCommitTwice(t *testing.T) {
	s := newMemPlace(t, Options{}).open(t)
	defer s.Close()
	tx, err := s.Begin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	changes := manyIssuances(1)
	if err := tx.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context(), changes); !errors.Is(err, store.ErrNotCommitted) {
		t.Errorf("the second commit: %v", err)
	}
	if got := len(contentsOf(t, s).Issuances); got != 1 {
		t.Errorf("%d issuances", got)
	}
}

// Power cuts at every operation, twice in a row: the second hits the recovery from the first.
func TestPowerCutWhileRecovering(t *testing.T) {
	for n := 1; n <= 40; n += sparse(5) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(n), 2))
			p := newMemPlace(t, Options{MaxMemtable: 8})
			s := p.open(t)
			c := newClient(s)
			c.mustAsk(t, 0, 5)
			p.disk.CutPowerAt(1 + n%4)
			for k := 5; k < 9; k++ {
				_ = c.ask(k)
			}
			p.powerCut(s, r)
			for again := range 3 {
				p.disk.CutPowerAt(1 + (n+7*again)%25)
				p.o.JournalFS = p.disk
				if s, err := Open(p.o); err == nil {
					s.abandon()
				}
				p.disk = p.disk.Crash(r)
			}
			s = p.open(t)
			c.wantTold(t, s)
			p.kill(s)
		})
	}
}
