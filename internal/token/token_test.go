package token_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
	"faquan/internal/token"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, benefit.Shanghai)

// world is a service on a store, with a fixed clock.
type world struct {
	*token.Service
	t     *testing.T
	store store.Store
	now   atomic.Int64 // benefit.Instant
	stop  func()
}

func newWorld(t *testing.T) *world {
	s := memory.New()
	writeCatalogue(t, s)
	return worldOn(t, s)
}

// writeCatalogue writes the apps shop and other.
func writeCatalogue(t *testing.T, s store.Store) {
	t.Helper()
	c := &benefit.Changes{Catalogue: 1}
	for _, v := range []any{
		&benefit.Merchant{ID: 1, Name: "acme"}, &benefit.App{ID: 1, Name: "shop", Merchant: 1}, &benefit.App{ID: 2, Name: "other", Merchant: 1},
	} {
		e, err := benefit.EntityOf(v)
		if err != nil {
			t.Fatal(err)
		}
		c.Rows = append(c.Rows, benefit.Entities.Rows(e))
	}
	if err := storetest.Write(t.Context(), s, benefit.InstantOf(start), c); err != nil {
		t.Fatal(err)
	}
}

func worldOn(t *testing.T, s store.Store) *world {
	t.Helper()
	w := &world{t: t, store: s}
	w.now.Store(start.UnixMilli())
	e, err := engine.New(t.Context(), engine.Options{Store: s, Clock: w.instant})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Run() }()
	w.stop = sync.OnceFunc(func() {
		e.Stop()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	w.Service = token.NewService(token.Options{Change: e.Change, Read: s.Read, Clock: func() time.Time { return w.instant().Time() }})
	return w
}

func (w *world) instant() benefit.Instant { return benefit.Instant(w.now.Load()) }

func (w *world) at(after time.Duration) { w.now.Store(start.Add(after).UnixMilli()) }

func (w *world) make(lifetime time.Duration, scopes ...string) *token.Grant {
	w.t.Helper()
	g, err := w.Make(w.t.Context(), token.Order{App: "shop", Scopes: scopes, Label: "till 3", Lifetime: lifetime})
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// row returns the row of a secret; nil when there is none.
func (w *world) row(secret string) *benefit.Token {
	w.t.Helper()
	row, err := store.Token(w.t.Context(), w.store, benefit.TokenDigest(secret))
	if err != nil {
		w.t.Fatal(err)
	}
	return row
}

func (w *world) list(f token.Filter) []token.Info {
	w.t.Helper()
	r, err := w.store.Read(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	cat, err := benefit.CatalogueOf(1, entities(w.t, r))
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := token.List(w.t.Context(), r, cat, w.instant(), f)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func entities(t *testing.T, r store.Reader) []benefit.Entity {
	t.Helper()
	all, _, err := r.Entities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMake(t *testing.T) {
	w := newWorld(t)
	g := w.make(time.Hour, "redeem", "query", "redeem")
	want := benefit.Token{
		Digest: benefit.TokenDigest(g.Secret), App: 1, Scopes: []benefit.TokenScope{benefit.MayQuery, benefit.MayRedeem}, Label: "till 3",
		Made: w.instant(), Expires: w.instant() + 3600_000,
	}
	if diff := storetest.Diff(&want, w.row(g.Secret)); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(g.Secret, token.Prefix) || len(g.Secret) != len(token.Prefix)+52 || g.ID != want.Digest.String() {
		t.Errorf("the secret has %d characters, the id is %s", len(g.Secret), g.ID)
	}
	if again := w.make(time.Hour, "query"); again.Secret == g.Secret {
		t.Error("the same secret again")
	}
	if forever := w.make(0, "query"); forever.Expires != 0 || w.row(forever.Secret).ExpiredAt(1<<62) {
		t.Errorf("without a lifetime: %+v", forever)
	}
}

// The secret is in no file.
func TestSecretIsNotStored(t *testing.T) {
	dir := t.TempDir()
	s, err := embedded.Open(embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	writeCatalogue(t, s)
	w := worldOn(t, s)
	g := w.make(0, "query")
	w.stop()
	label := false
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(strings.TrimPrefix(g.Secret, token.Prefix))) {
			t.Errorf("%s has the secret", path)
		}
		label = label || bytes.Contains(data, []byte("till 3"))
		return err
	})
	if err != nil || !label {
		t.Errorf("the token is in a file: %t, %v", label, err)
	}
}

func TestMakeRefuses(t *testing.T) {
	w := newWorld(t)
	good := token.Order{App: "shop", Scopes: []string{"query"}}
	for name, test := range map[string]struct {
		change func(*token.Order)
		want   error
	}{
		"no such app":          {func(o *token.Order) { o.App = "none" }, token.ErrNoApp},
		"no app":               {func(o *token.Order) { o.App = "" }, token.ErrNoApp},
		"no scope":             {func(o *token.Order) { o.Scopes = nil }, token.ErrNoScope},
		"a negative lifetime":  {func(o *token.Order) { o.Lifetime = -1 }, token.ErrLifetime},
		"too long a lifetime":  {func(o *token.Order) { o.Lifetime = 101 * 365 * 24 * time.Hour }, token.ErrLifetime},
		"too long a label":     {func(o *token.Order) { o.Label = strings.Repeat("店", token.MaxLabel+1) }, token.ErrLabel},
		"a label of two lines": {func(o *token.Order) { o.Label = "a\nb" }, token.ErrLabel},
	} {
		o := good
		test.change(&o)
		if _, err := w.Make(t.Context(), o); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := good
	o.Scopes = []string{"query", "Redeem"}
	if _, err := w.Make(t.Context(), o); err == nil || !strings.Contains(err.Error(), `scope "Redeem"`) {
		t.Errorf("no such scope: %v", err)
	}
	if all := w.list(token.Filter{All: true}); len(all) != 0 {
		t.Errorf("made nevertheless: %+v", all)
	}
}

// A token is valid before the millisecond of its expiry, and not from then on.
func TestExpiryIsExact(t *testing.T) {
	w := newWorld(t)
	row := w.row(w.make(time.Hour, "query").Secret)
	if end := w.instant() + 3600_000; row.ExpiredAt(end-1) || !row.ExpiredAt(end) {
		t.Errorf("just before: %t, at the end: %t", row.ExpiredAt(end-1), row.ExpiredAt(end))
	}
}

func TestRevoke(t *testing.T) {
	w := newWorld(t)
	bySecret, byID, byPrefix, other := w.make(0, "query"), w.make(0, "query"), w.make(0, "query"), w.make(0, "query")
	w.at(time.Minute)
	for _, name := range []string{bySecret.Secret, byID.ID, strings.ToUpper(byPrefix.ID[:8]) + "…"} {
		for _, want := range []bool{true, false} {
			if revoked, err := w.Revoke(t.Context(), name); err != nil || revoked != want {
				t.Errorf("%.8s…: %t, %v; want %t", name, revoked, err, want)
			}
		}
	}
	for _, g := range []*token.Grant{bySecret, byID, byPrefix} {
		if row := w.row(g.Secret); row.Revoked != w.instant() {
			t.Errorf("the row: %+v", row)
		}
	}
	if row := w.row(other.Secret); row.Revoked != 0 {
		t.Error("another token was revoked, too")
	}
	for _, name := range []string{"", "12345", "no", other.Secret + "A", token.Prefix, strings.Repeat("0", 32), strings.Repeat("0", 31)} {
		if _, err := w.Revoke(t.Context(), name); !errors.Is(err, token.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	// Two that begin alike.
	var twins []*benefit.Token
	for k := range byte(2) {
		twins = append(twins, &benefit.Token{Digest: benefit.Digest{0xab, 0xcd, 0xef, 0x01, k}, App: 1})
	}
	changes := &benefit.Changes{Rows: benefit.RowsOf(benefit.Tokens.Rows(twins...))}
	if err := storetest.Write(t.Context(), w.store, w.instant(), changes); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Revoke(t.Context(), "abcdef01"); !errors.Is(err, token.ErrAmbiguous) {
		t.Errorf("two that begin alike: %v", err)
	}
	if revoked, err := w.Revoke(t.Context(), "abcdef0101"); !revoked || err != nil {
		t.Errorf("one more digit: %t, %v", revoked, err)
	}
}

func TestList(t *testing.T) {
	w := newWorld(t)
	w.make(time.Hour, "query")
	g := w.make(2*time.Hour, "redeem")
	if _, err := w.Revoke(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Make(t.Context(), token.Order{App: "other", Scopes: []string{"void"}}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		after time.Duration
		f     token.Filter
		want  string
	}{
		{0, token.Filter{}, "other valid void|shop valid query"},
		{0, token.Filter{App: "shop"}, "shop valid query"},
		{0, token.Filter{App: "shop", All: true}, "shop revoked redeem|shop valid query"},
		{time.Hour, token.Filter{}, "other valid void"},
		{time.Hour, token.Filter{All: true}, "other valid void|shop expired query|shop revoked redeem"},
	} {
		w.at(test.after)
		var got []string
		for _, i := range w.list(test.f) {
			got = append(got, i.App+" "+i.State+" "+string(i.Scopes[0]))
		}
		slices.Sort(got)
		if text := strings.Join(got, "|"); text != test.want {
			t.Errorf("%s %+v: %s, want %s", test.after, test.f, text, test.want)
		}
	}
}

// What was made and revoked is still so after a restart.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	open := func() *embedded.Store {
		s, err := embedded.Open(embedded.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	writeCatalogue(t, s)
	w := worldOn(t, s)
	good, revoked := w.make(0, "query"), w.make(0, "query")
	if _, err := w.Revoke(t.Context(), revoked.Secret); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w = worldOn(t, open())
	if g, r := w.row(good.Secret), w.row(revoked.Secret); g == nil || g.Revoked != 0 || r == nil || r.Revoked == 0 {
		t.Errorf("good %+v, revoked %+v", g, r)
	}
}
