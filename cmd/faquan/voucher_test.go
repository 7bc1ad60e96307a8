package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"faquan/internal/control"
)

// Whoever does not know whether a command was carried out can repeat it: the key is printed before, also when it was made
// here, and the exit code differs from that of a refusal.
func TestUnknownOutcomeOfAVoucher(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "journal"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys := make(chan string, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		body.ReadFrom(r.Body)
		keys <- regexp.MustCompile(`"Key":"([^"]*)"`).FindStringSubmatch(body.String())[1]
		panic(http.ErrAbortHandler)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() { server.Close(); <-ended }()

	var printed bytes.Buffer
	cmd := newRoot()
	cmd.SetArgs([]string{"redeem", "1", "--data", dir})
	cmd.SetErr(&printed)
	cmd.SetOut(&printed)
	err = cmd.ExecuteContext(t.Context())
	if code := exitCode(err); code != 3 || !strings.Contains(err.Error(), "Repeating the command with the same key is safe") {
		t.Errorf("exit code %d: %v", code, err)
	}
	if key := <-keys; !strings.Contains(printed.String(), "--key "+key+"\n") {
		t.Errorf("the key was %s, and printed is %q", key, printed.String())
	}
}
