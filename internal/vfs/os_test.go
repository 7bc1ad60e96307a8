package vfs

import (
	"errors"
	"io"
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
		if err := writeFile(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := readFile(name)
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
	_, err = readFile(filepath.Join(dir, "missing"))
	wantIs(t, err, fs.ErrNotExist)
	wantIs(t, OS.SyncDir(filepath.Join(dir, "missing")), fs.ErrNotExist)
	file := filepath.Join(dir, "file")
	if err := writeFile(file, nil); err != nil {
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

// Whoever deletes a locked file does not let a second holder in, and the first
// finds out.
func TestLockOfDeletedFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	name := filepath.Join(dir, "LOCK")
	changes := map[string]func() error{
		"file deleted":  func() error { return os.Remove(name) },
		"file replaced": func() error { return errors.Join(os.Remove(name), os.WriteFile(name, nil, 0o600)) },
		"directory replaced": func() error {
			return errors.Join(os.Rename(dir, dir+"-old"), os.Mkdir(dir, 0o700), os.WriteFile(name, nil, 0o600))
		},
	}
	for change, do := range changes {
		t.Run(change, func(t *testing.T) {
			if err := OS.MkdirAll(dir); err != nil {
				t.Fatal(err)
			}
			lock, err := OS.Lock(name)
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			if err := lock.Check(); err != nil {
				t.Fatalf("before: %v", err)
			}
			if err := do(); err != nil {
				t.Fatal(err)
			}
			wantIs(t, lock.Check(), ErrLockLost)
			if change != "directory replaced" { // that is another place
				_, err = OS.Lock(name)
				wantIs(t, err, ErrLocked)
			}
		})
	}
}

// Versions of faquan that lock the file alone are kept out, and keep us out.
func TestLockOfFileAlone(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := flock(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	_, err = OS.Lock(name)
	wantIs(t, err, ErrLocked)
	f.Close()
	lock, err := OS.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if f, err = os.Open(name); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantIs(t, flock(int(f.Fd())), syscall.EWOULDBLOCK)
}

// The lock of a file holds for all hard links to it, and readers do not need it.
func TestFileLock(t *testing.T) {
	dir := t.TempDir()
	name, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := writeFile(name, []byte("content")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(name, link); err != nil {
		t.Fatal(err)
	}
	open := func(name string) File {
		f, err := OS.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	first, second := open(name), open(link)
	for range 2 {
		wantIs(t, first.Lock(), nil)
	}
	wantIs(t, second.Lock(), ErrLocked)
	if _, err := readFile(link); err != nil {
		t.Fatalf("reading a locked file: %v", err)
	}
	wantIs(t, second.Lock(), ErrLocked) // the reader's Close has not ended the lock
	first.Close()
	wantIs(t, second.Lock(), nil)
}

func readFile(name string) ([]byte, error) {
	f, err := OS.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(f, 0, size), data)
	return data, err
}

// writeFile replaces a file by one with the given content, durably.
func writeFile(name string, data []byte) error {
	tmp := name + ".tmp"
	f, err := OS.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err := errors.Join(err, f.Sync(), f.Close(), OS.Rename(tmp, name)); err != nil {
		return err
	}
	return OS.SyncDir(filepath.Dir(name))
}
