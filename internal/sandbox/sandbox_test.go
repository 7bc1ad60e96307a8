package sandbox

import (
	"os"
	"testing"
)

// TestCloseInPrivateDirectory: a box of root goes away, too, where its account cannot write beside it.
func TestCloseInPrivateDirectory(t *testing.T) {
	dir, err := os.MkdirTemp("", "faquan-sandbox-test-") // not t.TempDir, into which other accounts cannot look
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	t.Setenv("TMPDIR", dir)
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
