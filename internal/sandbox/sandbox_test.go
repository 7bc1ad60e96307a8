package sandbox

import (
	"os"
	"testing"
)

// TestCloseInPrivateDirectory: a box of root goes away, too, where its account cannot write beside it.
func TestCloseInPrivateDirectory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b, err := New("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.WriteFile("made/file", []byte("content")); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.Dir()); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", b.Dir(), err)
	}
}
