package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/datadir"
)

// A directory that others can write to is refused before anything is made in it, and one that they can read is warned
// about.
func TestExposedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	start := func(mode os.FileMode) (log bytes.Buffer, err error) {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		c := config.Default()
		c.Data, c.Listen = dir, "127.0.0.1:0"
		s, err := startServer(t.Context(), &c, serverOptions{log: slog.New(slog.NewTextHandler(&log, nil)), document: testDocument(clockTemplates)})
		if err == nil {
			err = s.stop()
		}
		return log, err
	}
	if _, err := start(0o777); !errors.Is(err, datadir.ErrExposed) {
		t.Errorf("serve: %v", err)
	}
	apply := func(p control.Platform) error {
		_, err := control.Apply.On(t.Context(), p, testDocument(clockTemplates))
		return err
	}
	if err := openPlatform(t.Context(), location{dir: dir}, apply); !errors.Is(err, datadir.ErrExposed) {
		t.Errorf("apply: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("something was made: %v, %v", left, err)
	}
	for mode, want := range map[os.FileMode]bool{0o700: false, 0o755: true} {
		log, err := start(mode)
		if err != nil || strings.Contains(log.String(), "not private") != want {
			t.Errorf("mode %o: %v, with the log\n%s", mode, err, &log)
		}
	}
}

// Files in the private directory of a volume are found there by all commands.
func TestPrivateDirectory(t *testing.T) {
	dir := t.TempDir()
	private := filepath.Join(dir, datadir.Private)
	s := testServer(t, private, testDocument(clockTemplates))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = testServer(t, dir, nil)
	defer s.stop()
	if s.node.at.dir != private {
		t.Errorf("served from %s", s.node.at.dir)
	}
	if _, err := os.Stat(filepath.Join(private, control.SocketName)); err != nil {
		t.Error(err)
	}
	cmd := newRoot()
	cmd.SetArgs([]string{"export", "--data", dir})
	var out bytes.Buffer
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "acme") {
		t.Errorf("export: %v\n%s", err, &out)
	}
}
