package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"faquan/internal/engine"
	"faquan/internal/session"
)

// Whoever changes something through a process that ends before it answers reads that the outcome is not known, and what
// to do.
func TestServingProcessEnds(t *testing.T) {
	key := testKey()
	ends := map[string]http.HandlerFunc{
		"before the answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"in the answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"Chan`)
			panic(http.ErrAbortHandler)
		},
	}
	calls := map[string]struct {
		call   func(ctx context.Context, c *Client) error
		advice string // "": it changes nothing
	}{
		"apply": {func(ctx context.Context, c *Client) error { _, err := Apply.On(ctx, c, &Document{}); return err }, "Applying the same file again is safe"},
		"rotate": {func(ctx context.Context, c *Client) error {
			_, err := RotateKey.On(ctx, c, PrivateKey{key})
			return err
		}, "faquan key show"},
		"session": {func(ctx context.Context, c *Client) error {
			_, err := NewSession.On(ctx, c, session.Order{})
			return err
		}, "faquan session list"},
		"revoke": {func(ctx context.Context, c *Client) error { _, err := RevokeSession.On(ctx, c, "k"); return err }, "Revoking it again is safe"},
		"diff":   {func(ctx context.Context, c *Client) error { _, err := Diff.On(ctx, c, &Document{}); return err }, ""},
	}
	for when, end := range ends {
		c := serveHandler(t, end)
		for name, call := range calls {
			err := call.call(t.Context(), c)
			if err == nil {
				t.Errorf("%s, %s: no error", name, when)
				continue
			}
			if unknown := errors.Is(err, engine.ErrChangeUnknown); unknown != (call.advice != "") || !strings.Contains(err.Error(), call.advice) {
				t.Errorf("%s, %s: %v", name, when, err)
			}
			if call.advice == "" && !strings.Contains(err.Error(), "no answer from the serving process") {
				t.Errorf("%s, %s: %v", name, when, err)
			}
		}
	}
}

// A command of unknown outcome is answered with the advice of its call, as a change is.
func TestAdviceOnUnknown(t *testing.T) {
	for _, unknown := range []error{engine.ErrUnknown, engine.ErrChangeUnknown} {
		err := advised(fmt.Errorf("a batch: %w", unknown), "Do it again")
		if !errors.Is(err, unknown) || !strings.Contains(err.Error(), "Do it again") {
			t.Errorf("%v: %v", unknown, err)
		}
	}
	if err := advised(engine.ErrNotIssued, "Do it again"); strings.Contains(err.Error(), "Do it again") {
		t.Errorf("nothing was changed: %v", err)
	}
}

// A change that could not even be asked for was certainly not made.
func TestServingProcessIsGone(t *testing.T) {
	dir := t.TempDir()
	c, err := Dial(dir)
	if !errors.Is(err, ErrNotServed) {
		t.Fatal(err)
	}
	if _, err := Apply.On(t.Context(), c, &Document{}); !errors.Is(err, ErrNotServed) || errors.Is(err, engine.ErrChangeUnknown) {
		t.Errorf("got %v", err)
	}
}

// So is one that was not sent because of what stands where the socket was.
func TestServingProcessIsNotAsked(t *testing.T) {
	for name, replace := range map[string]func(dir string) error{
		"a socket that is not trusted": func(dir string) error { return os.Chmod(filepath.Join(dir, SocketName), 0o666) },
		"a file": func(dir string) error {
			path := filepath.Join(dir, SocketName)
			return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600))
		},
		"no directory": func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) // ENOTDIR
		},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := Dial(dir)
		if err == nil {
			err = replace(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = Apply.On(t.Context(), c, &Document{})
		if err == nil || errors.Is(err, engine.ErrChangeUnknown) || strings.Contains(err.Error(), "no answer") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// serveHandler serves a handler on a socket of its own and returns a client of it.
func serveHandler(t *testing.T, h http.Handler) *Client {
	t.Helper()
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	c, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
