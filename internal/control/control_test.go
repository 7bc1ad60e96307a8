package control

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/session"
)

// fake answers the calls as given.
type fake struct {
	plan     *catalog.Plan
	text     string
	err      error
	key      *rsa.PrivateKey
	document *Document
	secrets  bool
	settled  bool
	order    session.Order
}

func (f *fake) Apply(_ context.Context, d *Document) (*catalog.Plan, error) {
	f.document = d
	return f.plan, f.err
}

func (f *fake) Diff(ctx context.Context, d *Document) (*catalog.Plan, error) { return f.Apply(ctx, d) }

func (f *fake) Export(_ context.Context, w io.Writer, secrets bool) error {
	f.secrets = secrets
	io.WriteString(w, f.text)
	return f.err
}

func (f *fake) PublicKey(context.Context, None) (*rsa.PublicKey, error) {
	if f.key == nil {
		return nil, f.err
	}
	return &f.key.PublicKey, f.err
}

func (f *fake) RotateKey(_ context.Context, key PrivateKey) (None, error) {
	f.key = key.PrivateKey
	return None{}, f.err
}

func (f *fake) NewSession(_ context.Context, o session.Order) (*session.Grant, error) {
	f.order = o
	return &session.Grant{Access: "key", Expires: 7, User: &benefit.User{Name: "alice"}}, f.err
}

func (f *fake) RevokeSession(_ context.Context, name string) (int, error) { return len(name), f.err }

func (f *fake) ListSessions(_ context.Context, filter session.Filter) ([]session.Info, error) {
	return []session.Info{{Digest: benefit.SessionDigest("k"), App: filter.App, State: fmt.Sprint(filter.All)}}, f.err
}

func (f *fake) Settle(context.Context, None) (None, error) {
	f.settled = true
	return None{}, f.err
}

// serveAt serves a fake on the socket of a directory and gives a client of it.
func serveAt(t *testing.T, dir string, p *fake) *Client {
	t.Helper()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	mux := statusMux(func() Status { return Status{Version: "v1", PID: 7, URL: "http://here"} })
	handleExport(mux, p)
	Apply.handle(mux, p.Apply)
	Diff.handle(mux, p.Diff)
	PublicKey.handle(mux, p.PublicKey)
	RotateKey.handle(mux, p.RotateKey)
	Settle.handle(mux, p.Settle)
	Decide.handle(mux, p.Decide)
	Find.handle(mux, p.Find)
	NewSession.handle(mux, p.NewSession)
	RevokeSession.handle(mux, p.RevokeSession)
	ListSessions.handle(mux, p.ListSessions)
	server := &http.Server{Handler: mux}
	var done sync.WaitGroup
	done.Go(func() { server.Serve(l) })
	t.Cleanup(func() { server.Close(); done.Wait() })
	c, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// What goes in at one end of the socket comes out at the other.
func TestRoundTrips(t *testing.T) {
	ctx := context.Background()
	p := &fake{
		plan: &catalog.Plan{Version: 3, Same: 2, Changes: []catalog.Change{{Kind: "app", Name: "shop", Line: 4,
			Action: catalog.Changed, Fields: []catalog.Difference{{Field: "status", Old: "ACTIVE", New: "DISABLED"}}}}},
		text: strings.Repeat("merchants:\n", 10_000),
	}
	c := serveAt(t, t.TempDir(), p)
	document := &Document{Name: "c.yaml", Text: []byte("merchants: []"), Attached: map[string][]byte{"k.pem": {0, 255}}}
	for name, do := range map[string]Call[*Document, *catalog.Plan]{"apply": Apply, "diff": Diff} {
		plan, err := do.On(ctx, c, document)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{p.plan, document}, []any{plan, p.document}); diff != "" {
			t.Errorf("%s (-sent +received)\n%s", name, diff)
		}
	}
	var out bytes.Buffer
	if err := c.Export(ctx, &out, true); err != nil || out.String() != p.text || !p.secrets {
		t.Errorf("export: %v, %d bytes, secrets %t", err, out.Len(), p.secrets)
	}
	if _, err := Settle.On(ctx, c, None{}); err != nil || !p.settled {
		t.Errorf("settle: %v, arrived %t", err, p.settled)
	}
	if key, err := PublicKey.On(ctx, c, None{}); key != nil || err != nil {
		t.Errorf("no key: %v, %v", key, err)
	}
	if _, err := RotateKey.On(ctx, c, PrivateKey{testKey()}); err != nil {
		t.Fatal(err)
	}
	if key, err := PublicKey.On(ctx, c, None{}); err != nil || !key.Equal(&testKey().PublicKey) || !p.key.Equal(testKey()) {
		t.Errorf("the key arrives as another one: %v", err)
	}
	asked := benefit.Params{SceneCode: "S", Rights: []benefit.ActRight{{ActCode: "a", RightID: 1<<62 + 1}}}
	decision, err := Decide.On(ctx, c, &Question{App: "shop", Request: benefit.Request{Key: "k", Params: asked}, Unmasked: true})
	if diff := cmp.Diff(&Decision{Outcome: Issues, App: "shop", Key: "k", Params: asked, Replayed: true}, decision); diff != "" || err != nil {
		t.Errorf("decide: %v (-want +got)\n%s", err, diff)
	}
	found, err := Find.On(ctx, c, &Search{Key: "k", Trace: "t"})
	if diff := cmp.Diff([]*Decision{{Outcome: Refused, Key: "k", CallerTrace: "t"}}, found); diff != "" || err != nil {
		t.Errorf("find: %v (-want +got)\n%s", err, diff)
	}
	order := session.Order{App: "shop", Merchant: "acme", User: "alice", Lifetime: 1, Refresh: 2}
	if g, err := NewSession.On(ctx, c, order); err != nil || p.order != order || g.Access != "key" || g.Expires != 7 || g.User.Name != "alice" {
		t.Errorf("new session: %+v of %+v, %v", g, p.order, err)
	}
	if n, err := RevokeSession.On(ctx, c, "<four>"); err != nil || n != 6 {
		t.Errorf("revoke: %d, %v", n, err)
	}
	if all, err := ListSessions.On(ctx, c, session.Filter{App: "shop", All: true}); err != nil || len(all) != 1 ||
		all[0] != (session.Info{Digest: benefit.SessionDigest("k"), App: "shop", State: "true"}) {
		t.Errorf("list: %+v, %v", all, err)
	}
	if s, err := c.Status(ctx); err != nil || s != (Status{Version: "v1", PID: 7, URL: "http://here"}) {
		t.Errorf("status %+v, %v", s, err)
	}
}

// Errors keep their words, and problems of a file stay problems.
func TestErrorsTravel(t *testing.T) {
	ctx := context.Background()
	problems := catalog.Problems{{File: "c.yaml", Line: 3, Reason: "unknown field"}, {File: "c.yaml", Line: 9, Reason: "twice"}}
	p := &fake{text: "half of ", err: problems}
	c := serveAt(t, t.TempDir(), p)
	_, err := Apply.On(ctx, c, &Document{})
	var got catalog.Problems
	if !errors.As(err, &got) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(problems, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	p.err = ErrNotFound
	if _, err := Find.On(ctx, c, &Search{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not found: %v", err)
	}
	p.err = errors.New("the disk is full")
	for name, do := range map[string]func() error{
		"apply":       func() error { _, err := Apply.On(ctx, c, &Document{}); return err },
		"diff":        func() error { _, err := Diff.On(ctx, c, &Document{}); return err },
		"settle":      func() error { _, err := Settle.On(ctx, c, None{}); return err },
		"key":         func() error { _, err := PublicKey.On(ctx, c, None{}); return err },
		"rotate":      func() error { _, err := RotateKey.On(ctx, c, PrivateKey{testKey()}); return err },
		"new session": func() error { _, err := NewSession.On(ctx, c, session.Order{}); return err },
		"revoke":      func() error { _, err := RevokeSession.On(ctx, c, ""); return err },
		"list":        func() error { _, err := ListSessions.On(ctx, c, session.Filter{}); return err },
		"export":      func() error { return c.Export(ctx, io.Discard, false) },
	} {
		if err := do(); err == nil || err.Error() != "the disk is full" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestSocketIsPrivate(t *testing.T) {
	dir := t.TempDir()
	serveAt(t, dir, &fake{})
	info, err := os.Stat(filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("mode %v", info.Mode())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files were left beside the socket", len(entries)-1)
	}
}

func TestNobodyServes(t *testing.T) {
	dir := t.TempDir()
	if _, err := Dial(dir); !errors.Is(err, ErrNotServed) {
		t.Errorf("without a socket: %v", err)
	}
	if _, err := Dial(filepath.Join(dir, "none")); !errors.Is(err, ErrNotServed) {
		t.Errorf("without a directory: %v", err)
	}
	leaveStale(t, dir)
	if _, err := Dial(dir); !errors.Is(err, ErrNotServed) {
		t.Errorf("with a socket that was left behind: %v", err)
	}
	if _, err := serveAt(t, dir, &fake{}).Status(context.Background()); err != nil {
		t.Errorf("a stale socket is in the way: %v", err)
	}
}

// leaveStale leaves a socket as a process does that was killed.
func leaveStale(t *testing.T, dir string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, SocketName)})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Stat(filepath.Join(dir, SocketName)); err != nil {
		t.Fatal(err)
	}
}

func TestCloseRemovesSocket(t *testing.T) {
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, SocketName)); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}

// A system call allows about a hundred bytes for the path of a socket; data directories may lie deeper.
func TestDeepDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := serveAt(t, dir, &fake{}).Status(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestReadDocument(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	text := "merchants:\n  - {name: acme, title: 优酷旗舰店}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := ReadDocument(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != path || string(d.Text) != text {
		t.Errorf("got %+v", d)
	}
	d, err = ReadDocument("-", strings.NewReader(text))
	if err != nil || d.Name != "standard input" || string(d.Text) != text {
		t.Errorf("got %+v, %v", d, err)
	}
	_, err = ReadDocument("-", strings.NewReader("merchants:\n  - {nam: acme}\n"))
	var problems catalog.Problems
	if !errors.As(err, &problems) || problems[0].Line != 2 || problems[0].File != "standard input" {
		t.Errorf("got %v", err)
	}
}

func (f *fake) Decide(_ context.Context, q *Question) (*Decision, error) {
	return &Decision{Outcome: Issues, App: q.App, Key: q.Request.Key, Params: q.Request.Params, Replayed: q.Unmasked}, f.err
}

func (f *fake) Find(_ context.Context, s *Search) ([]*Decision, error) {
	return []*Decision{{Outcome: Refused, Key: s.Key, CallerTrace: s.Trace}}, f.err
}
