package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func newBox(t *testing.T, fill byte) *Box {
	t.Helper()
	b, err := New(bytes.Repeat([]byte{fill}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenGivesBackWhatWasSealed(t *testing.T) {
	b := newBox(t, 1)
	for _, secret := range []string{"", "4b0f28396e072d67fae169684613bcd1", string(make([]byte, 5000))} {
		sealed := b.Seal([]byte(secret), "app/3/app_secret")
		got, err := b.Open(sealed, "app/3/app_secret")
		if err != nil || string(got) != secret {
			t.Errorf("%d bytes: got %d bytes, %v", len(secret), len(got), err)
		}
	}
}

func TestSealedTextIsNeitherReadableNorRepeated(t *testing.T) {
	b := newBox(t, 1)
	one, two := b.Seal([]byte("hunter2hunter2"), "c"), b.Seal([]byte("hunter2hunter2"), "c")
	if bytes.Contains(one, []byte("hunter2")) {
		t.Error("the secret can be read")
	}
	if bytes.Equal(one, two) {
		t.Error("two seals of one secret are equal")
	}
}

func TestOpenRefuses(t *testing.T) {
	b := newBox(t, 1)
	sealed := b.Seal([]byte("secret"), "app/3/app_secret")
	newer := bytes.Clone(sealed)
	newer[0] = 2
	for name, c := range map[string]struct {
		box     *Box
		sealed  []byte
		context string
		want    error
	}{
		"another key":     {newBox(t, 2), sealed, "app/3/app_secret", ErrWrongKey},
		"another context": {b, sealed, "app/4/app_secret", ErrWrongKey},
		"nothing":         {b, nil, "app/3/app_secret", ErrNotSealed},
		"too short":       {b, sealed[:20], "app/3/app_secret", ErrNotSealed},
		"a later form":    {b, newer, "app/3/app_secret", ErrNewer},
	} {
		if _, err := c.box.Open(c.sealed, c.context); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", name, err, c.want)
		}
	}
}

func TestEveryBitIsGuarded(t *testing.T) {
	b := newBox(t, 1)
	sealed := b.Seal([]byte("secret"), "c")
	for k := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[k] ^= 1 << bit
			if _, err := b.Open(changed, "c"); err == nil {
				t.Fatalf("byte %d bit %d changed, and it opens", k, bit)
			}
		}
	}
}

func TestKeyFileIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenKeyFile(dir, false, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, KeyFile))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != KeySize {
		t.Fatalf("the key file: %v, %v", info, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files in the directory; want the key alone", len(entries))
	}
	again, err := OpenKeyFile(dir, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(first.Seal([]byte("secret"), "c"), "c"); err != nil || string(got) != "secret" {
		t.Errorf("the second box: %q, %v", got, err)
	}
}

func TestKeyFileIsRefused(t *testing.T) {
	write := func(size int, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		make func(*testing.T, string)
		want error
	}{
		"missing though secrets exist": {func(*testing.T, string) {}, ErrNoKey},
		"readable by the group":        {write(KeySize, 0o640), ErrExposed},
		"readable by all":              {write(KeySize, 0o604), ErrExposed},
		"writable by the group":        {write(KeySize, 0o620), ErrExposed},
		"empty":                        {write(0, 0o600), ErrMalformed},
		"too short":                    {write(KeySize-1, 0o600), ErrMalformed},
		"too long":                     {write(KeySize+1, 0o600), ErrMalformed},
		"a directory":                  {func(t *testing.T, path string) { _ = os.Mkdir(path, 0o700) }, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.make(t, filepath.Join(dir, KeyFile))
			if _, err := OpenKeyFile(dir, true, rand.Reader); !errors.Is(err, c.want) {
				t.Errorf("%v; want %v", err, c.want)
			}
		})
	}
}

func TestNoKeyFromTooFewRandomBytes(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenKeyFile(dir, false, io.LimitReader(rand.Reader, KeySize-1)); err == nil {
		t.Error("a key was made")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
	if _, err := New(make([]byte, KeySize-1)); err == nil {
		t.Error("a short key is taken")
	}
}

// Processes that start at once on one directory all use one key, the one that stays in the file.
func TestKeyFileIsMadeByOne(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		boxes := make(chan *Box, 8)
		var meet sync.WaitGroup // every process has found no key before one makes it
		meet.Add(cap(boxes))
		for range cap(boxes) {
			go func() {
				b, err := OpenKeyFile(dir, false, &meetingReader{meet: &meet})
				if err != nil {
					t.Error(err)
				}
				boxes <- b
			}()
		}
		var all []*Box
		for range cap(boxes) {
			all = append(all, <-boxes)
		}
		if t.Failed() {
			return
		}
		kept, err := OpenKeyFile(dir, true, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range all {
			if !bytes.Equal(b.Proof(), kept.Proof()) {
				t.Fatal("a process has another key than the file")
			}
		}
	}
}

// meetingReader reads from crypto/rand, once all processes wait for their first bytes.
type meetingReader struct {
	meet *sync.WaitGroup
	once sync.Once
}

func (r *meetingReader) Read(b []byte) (int, error) {
	r.once.Do(func() {
		r.meet.Done()
		r.meet.Wait()
	})
	return rand.Read(b)
}

// The proof is stored in databases, so it must never change.
func TestProof(t *testing.T) {
	const want = "fb9246d8d9117ebdcf8287e5762e1a990b86e47dc3fd982c09d0291066e1789b"
	if got := hex.EncodeToString(newBox(t, 1).Proof()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if bytes.Equal(newBox(t, 1).Proof(), newBox(t, 2).Proof()) {
		t.Error("two keys have one proof")
	}
}
