package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/seal"
)

// A start that fails changes nothing: a new data directory is not made, and an existing one stays unchanged. A valid
// catalogue is not applied when anything else is wrong.
func TestFailedStartChangesNothing(t *testing.T) {
	busy := testServer(t, t.TempDir(), nil)
	defer busy.stop()
	const templates = `  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`
	good := testDocument(templates)
	dangling := &control.Document{Name: "d.yaml", Text: []byte("apps: [{name: shop, merchant: nobody, app_key: \"1\", app_secret: hush}]\n")}
	existing := filepath.Join(t.TempDir(), "data")
	if err := testServer(t, existing, nil).stop(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, existing)

	other := t.TempDir()
	certificate, _ := testCertificate(t, other)
	write := func(name, text string) string {
		path := filepath.Join(other, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		change func(*config.Config)
		doc    *control.Document // nil: good
		mode   os.FileMode       // of a directory that exists; 0: 0700
		want   string
	}{
		"the port is in use":          {change: func(c *config.Config) { c.Listen = busy.url[len("http://"):] }, want: "address already in use"},
		"the metrics' port is in use": {change: func(c *config.Config) { c.Metrics.Listen = busy.url[len("http://"):] }, want: "address already in use"},
		"a host that is not ours":     {change: func(c *config.Config) { c.Listen = "192.0.2.1:0" }, want: "listen tcp"},
		"no certificate":              {change: func(c *config.Config) { c.TLS = config.TLS{Cert: filepath.Join(other, "none"), Key: certificate.Key} }, want: "tls.cert"},
		"no key of a certificate":     {change: func(c *config.Config) { c.TLS = config.TLS{Cert: certificate.Cert, Key: certificate.Cert} }, want: "tls.key"},
		"no file of consent":          {change: func(c *config.Config) { c.OAuth.ConsentKeyFile = filepath.Join(other, "none") }, want: "oauth.consent_key_file"},
		"a short key of consent":      {change: func(c *config.Config) { c.OAuth.ConsentKeyFile = write("short", "hush") }, want: "oauth.consent_key_file"},
		"too little memory":           {change: func(c *config.Config) { c.Request.Memory = 1 }, want: "request.memory"},
		"no catalogue file":           {change: func(c *config.Config) { c.Apply = filepath.Join(other, "none") }, want: "no such file"},
		"a wrong catalogue file":      {change: func(c *config.Config) { c.Apply = write("wrong.yaml", "merchant: []\n") }, want: "wrong.yaml:1"},
		"a catalogue that dangles":    {doc: dangling, want: "nobody"},
		"no database":                 {change: func(c *config.Config) { c.Store = "postgres://nobody@127.0.0.1:1/none" }, want: "cannot be used"},
		"a directory for others":      {mode: 0o777, want: "not private"},
	} {
		t.Run(name, func(t *testing.T) {
			mode := test.mode
			if mode == 0 {
				mode = 0o700
			}
			start := func(dir string) {
				t.Helper()
				c := config.Default()
				c.Data, c.Listen = dir, "127.0.0.1:0"
				if test.change != nil {
					test.change(&c)
				}
				o := serverOptions{log: slog.New(slog.DiscardHandler), document: good}
				if test.doc != nil {
					o.document = test.doc
				}
				s, err := startServer(t.Context(), &c, o)
				if err == nil {
					s.stop()
				}
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s: got %v, want an error with %q", dir, err, test.want)
				}
			}
			fresh := filepath.Join(t.TempDir(), "data")
			if test.mode == 0 {
				start(fresh)
				if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("a directory was made: %v", slices.Sorted(maps.Keys(contents(t, fresh))))
				}
			}
			empty := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(empty, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(empty, mode); err != nil {
				t.Fatal(err)
			}
			start(empty)
			if left := contents(t, empty); len(left) > 0 {
				t.Errorf("made in an empty directory: %v", slices.Sorted(maps.Keys(left)))
			}
			if err := os.Chmod(existing, mode); err != nil {
				t.Fatal(err)
			}
			start(existing)
			if diff := cmp.Diff(before, contents(t, existing)); diff != "" {
				t.Errorf("in a directory that exists (-before +after)\n%s", diff)
			}
		})
	}
	if err := os.Chmod(existing, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(existing, seal.KeyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Data, c.Listen = existing, "127.0.0.1:0"
	if _, err := startServer(t.Context(), &c, serverOptions{log: slog.New(slog.DiscardHandler), document: good}); !errors.Is(err, seal.ErrExposed) {
		t.Errorf("a key file that others can read: %v", err)
	}
	if err := os.Chmod(filepath.Join(existing, seal.KeyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, contents(t, existing)); diff != "" {
		t.Errorf("in a directory with an open key file (-before +after)\n%s", diff)
	}
}

// contents returns the files in a directory: their modes, and of the journal and the key, which alone are the truth,
// what is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		all[name] = info.Mode().String()
		if strings.HasSuffix(name, ".seg") || name == seal.KeyFile {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all[name] += fmt.Sprintf(" %x", sha256.Sum256(text))
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

// A process that was killed while it started with a catalogue leaves a directory that the next start opens, at whatever
// moment that was.
func TestKilledStart(t *testing.T) {
	t.Parallel()
	step := 1
	if testing.Short() {
		step = 4
	}
	w := newCrashWorld(t, testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`))
	made := 0
	for k := step - 1; k < 12; k += step {
		if err := os.RemoveAll(w.data()); err != nil {
			t.Fatal(err)
		}
		w.startAndKill(time.Duration(k*k) * time.Millisecond)
		if len(contents(t, w.data())) > 0 {
			made++
		}
		p := w.start()
		e, err := w.app.send(context.Background(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: "k"})
		if err != nil || !e.answer.OK() {
			t.Fatalf("after a kill at %d ms: %+v, %v", k*k, e, err)
		}
		p.stop()
	}
	if made == 0 {
		t.Error("no process was killed after it had begun")
	}
}

// While the store is opened, the process is alive but not ready.
func TestStarting(t *testing.T) {
	c := config.Default()
	c.Listen = "127.0.0.1:0"
	s := &server{log: slog.New(slog.DiscardHandler), failed: make(chan error, 1)}
	if err := s.listen(&c); err != nil {
		t.Fatal(err)
	}
	defer s.public.Close()
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/gateway.do": 503, "/router/rest": 503} {
		if status, body := get(t, s.url+path); status != want || status == 503 && body != "starting\n" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}

// After a signal the process says at once that it is not ready, and answers calls until shutdown.drain has passed. What
// ends the server otherwise ends it meanwhile, too.
func TestDrain(t *testing.T) {
	s := testServer(t, t.TempDir(), testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`),
		func(c *config.Config) { c.Shutdown.Drain = time.Hour })
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	ctx, signal := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.wait(ctx) }()
	signal()
	within(t, "it says that it stops", func() bool {
		status, body := get(t, s.url+"/readyz")
		return status == http.StatusServiceUnavailable && body == "stopping\n"
	})
	resp, err := app.client.Get(s.url + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if !resp.Close {
		t.Error("a caller is not asked to leave its connection")
	}
	for k := range 3 {
		e, err := app.send(t.Context(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: fmt.Sprint("k", k)})
		if err != nil || !e.answer.OK() {
			t.Errorf("a call while it drains: %+v, %v", e, err)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("it has ended: %v", err)
	default:
	}
	s.failed <- errors.New("the listener broke")
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "the listener broke") {
		t.Errorf("it ended with %v", err)
	}
}

// Without a drain a signal stops the server at once, and without an error.
func TestNoDrain(t *testing.T) {
	s := testServer(t, t.TempDir(), nil, func(c *config.Config) { c.Shutdown.Drain = 0 })
	ctx, signal := context.WithCancel(t.Context())
	signal()
	if err := s.wait(ctx); err != nil {
		t.Error(err)
	}
	if _, err := http.Get(s.url + "/livez"); err == nil {
		t.Error("it still answers")
	}
}

// A second signal ends a process that drains at once.
func TestSecondSignalWhileDraining(t *testing.T) {
	w := newCrashWorld(t, testDocument(""))
	p := w.launch("--shutdown-drain", "10m")
	url := w.waitFor(p).URL
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	p.cmd.Process.Signal(syscall.SIGTERM)
	within(t, "it says that it stops", func() bool {
		status, _ := get(t, url+"/readyz")
		return status == http.StatusServiceUnavailable
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); { // the first may come before it is looked for
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Error("it goes on")
}

// On a database the directory gets the key file only when the catalogue fits.
func TestRefusedCatalogueOnDatabase(t *testing.T) {
	c := config.Default()
	c.Data, c.Listen, c.Store = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", testDatabase(t)
	start := func(doc *control.Document) error {
		s, err := startServer(t.Context(), &c, serverOptions{log: slog.New(slog.DiscardHandler), document: doc})
		if err == nil {
			err = s.stop()
		}
		return err
	}
	dangling := &control.Document{Name: "d.yaml", Text: []byte("apps: [{name: shop, merchant: nobody, app_key: \"1\", app_secret: hush}]\n")}
	if err := start(dangling); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a catalogue that dangles: %v", err)
	}
	if _, err := os.Stat(c.Data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory was made: %v", slices.Sorted(maps.Keys(contents(t, c.Data))))
	}
	if err := start(testDocument("")); err != nil {
		t.Fatal(err)
	}
	c.Data = filepath.Join(t.TempDir(), "another")
	if err := start(nil); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("a process without the key file: %v", err)
	}
	if _, err := os.Stat(c.Data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory was made for it: %v", slices.Sorted(maps.Keys(contents(t, c.Data))))
	}
}
