package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/store/codec"
)

// A comparison leaves nothing behind. Where the other view cannot be made, the error names the directory and what to
// do.
func TestCompareTempDir(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 5)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.disk = p.disk.CrashProcess()
	p.wantSound(t)
	if left, err := os.ReadDir(p.o.TempDir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	p.o.TempDir, p.o.JournalFS = "", p.disk
	t.Setenv("TMPDIR", filepath.Join(p.dir, "none"))
	wantNoRoom(t, p.o, os.Getenv("TMPDIR"))
}

// wantNoRoom compares where there is no room.
func wantNoRoom(t *testing.T, o Options, dir string) {
	t.Helper()
	check, err := OpenCheck(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer check.Close()
	_, err = check.Compare(t.Context(), 5)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "set TMPDIR") {
		t.Errorf("comparing without room in %s: %v", dir, err)
	}
}

// More generations than one query can merge are sorted.
func TestCompareManyGenerations(t *testing.T) {
	p := newMemPlace(t, Options{GenerationSize: 1, MaxMemtable: 1})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, maxGens+150)
	if len(s.gens) < maxGens+100 {
		t.Fatalf("only %d generations", len(s.gens))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.disk = p.disk.CrashProcess()
	p.wantSound(t)
}

// A comparison that is cancelled is an error, and leaves nothing behind either.
func TestCompareCancelled(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 5)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.o.JournalFS = p.disk.CrashProcess()
	check, err := OpenCheck(t.Context(), p.o)
	if err != nil {
		t.Fatal(err)
	}
	defer check.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := check.Compare(ctx, 5); err == nil {
		t.Errorf("a comparison that was cancelled: %+v", report)
	}
	if left, err := os.ReadDir(p.o.TempDir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// An identifier that its user no longer has may have a row or none; one that the user has must have a row.
func TestCompareLostIdentifier(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	u := *fullUserOf(t, s, 1).Users[0]
	kept, lost := u.Identifiers[0], benefit.Identifier{Type: benefit.Login, Value: "lost"}
	for _, all := range [][]benefit.Identifier{{kept, lost}, {kept}} {
		u := u
		u.Identifiers = all
		if err := commit(t, s, &benefit.Changes{Users: []*benefit.User{&u}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.disk = p.disk.CrashProcess()
	p.wantSound(t)
	conn := openSummed(t, ViewPath(p.dir))
	defer conn.Close()
	remove := func(i benefit.Identifier) {
		hash := codec.IdentifierHash(i)
		if err := execOn(conn, fmt.Sprintf("DELETE FROM link WHERE hash=x'%x'", hash[:])); err != nil || conn.Changes() != 1 {
			t.Fatalf("removing an identifier: %v", err)
		}
	}
	remove(lost)
	p.wantSound(t)
	remove(kept)
	p.o.JournalFS = p.disk
	if !p.audited(t, p.o, "a missing identifier") {
		t.Error("an identifier that a user has is not missed")
	}
}
