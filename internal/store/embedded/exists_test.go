package embedded

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// CheckExists distinguishes a directory without a journal from one that it cannot read: in the second case the directory is
// right and the permission is missing.
func TestCheckExists(t *testing.T) {
	dir := t.TempDir()
	if err := CheckExists(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir+" is not a faquan data directory") {
		t.Errorf("without a journal: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckExists(file); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), file+" cannot be read") {
		t.Errorf("another failure: %v", err)
	}
	if err := os.Mkdir(JournalDir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := CheckExists(dir); err != nil {
		t.Errorf("with a journal: %v", err)
	}
}
