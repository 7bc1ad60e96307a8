package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := OS.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "file")
	for _, content := range []string{"first", "", "the third"} {
		if err := WriteFile(OS, name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := ReadFile(OS, name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(content, string(got)); diff != "" {
			t.Fatalf("content (-want +got):\n%s", diff)
		}
	}
	names, err := OS.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"file"}, names); diff != "" {
		t.Fatalf("names (-want +got):\n%s", diff)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, want 0600", info.Mode())
	}
}

func TestSyncsAndAllocate(t *testing.T) {
	dir := t.TempDir()
	f, err := OS.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Allocate(1 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 99); err != nil {
		t.Fatal(err)
	}
	for _, sync := range []func() error{f.SyncData, f.Sync, func() error { return OS.SyncDir(dir) }} {
		if err := sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Allocate(1 << 60); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("room for an exabyte: got %v", err)
	}
}

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	lock, err := OS.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = OS.Lock(name)
	wantIs(t, err, ErrLocked)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err = OS.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := OS.Open(filepath.Join(dir, "missing"))
	wantIs(t, err, fs.ErrNotExist)
	_, err = ReadFile(OS, filepath.Join(dir, "missing"))
	wantIs(t, err, fs.ErrNotExist)
	wantIs(t, OS.SyncDir(filepath.Join(dir, "missing")), fs.ErrNotExist)
	file := filepath.Join(dir, "file")
	if err := WriteFile(OS, file, nil); err != nil {
		t.Fatal(err)
	}
	wantIs(t, OS.MkdirAll(file), syscall.ENOTDIR)
	f, err := OS.OpenRead(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = f.WriteAt([]byte("x"), 0)
	wantIs(t, err, syscall.EBADF)
}
