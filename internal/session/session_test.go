package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/seal"
	"faquan/internal/session"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

const callback = "https://shop.example/callback?a=1"

// alice is the user named alice.
const alice benefit.UserID = 1 << 40

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, benefit.Shanghai)

// world is a desk on a store, with the gateway's cache of sessions and a fixed clock.
type world struct {
	*session.Service
	t        *testing.T
	store    store.Store
	sessions *gateway.Sessions
	now      atomic.Int64 // benefit.Instant
	changes  atomic.Int64 // that were asked for
	stop     func()
}

func newWorld(t *testing.T) *world {
	s := memory.New()
	writeCatalogue(t, s)
	return worldOn(t, s)
}

// writeCatalogue writes the apps shop and other, the merchants acme and bob, and the user alice.
func writeCatalogue(t *testing.T, s store.Store) {
	t.Helper()
	c := &benefit.Changes{Catalogue: 1, Users: []*benefit.User{{
		ID: alice, Name: "alice", Identifiers: []benefit.Identifier{{Type: benefit.TaobaoID, Value: "77"}},
	}}}
	for _, v := range []any{
		&benefit.Merchant{ID: 1, Name: "acme", SellerID: 2054}, &benefit.Merchant{ID: 2, Name: "bob"},
		&benefit.App{ID: 1, Name: "shop", Merchant: 1, AppKey: "12345678"}, &benefit.App{ID: 2, Name: "other", Merchant: 2},
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
	issuer, err := engine.New(t.Context(), engine.Options{Store: s, Clock: w.instant})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- issuer.Run() }()
	w.stop = sync.OnceFunc(func() {
		issuer.Stop()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	box, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w.sessions = gateway.NewSessions(storetest.Sessions(s), 0)
	w.Service = session.NewService(session.Options{
		Change: func(ctx context.Context, fn engine.ChangeFunc) error {
			w.changes.Add(1)
			return issuer.Change(ctx, fn)
		},
		Read: s.Read, Box: box,
		Session: func(ctx context.Context, digest benefit.Digest) (*benefit.Session, error) {
			return store.Session(ctx, s, digest)
		},
		Forget:    w.sessions.Forget,
		Clock:     func() time.Time { return w.instant().Time() },
		Lifetimes: session.Lifetimes{Code: time.Minute, Access: time.Hour, Refresh: 24 * time.Hour},
	})
	return w
}

func (w *world) instant() benefit.Instant { return benefit.Instant(w.now.Load()) }

// at moves the clock to some milliseconds after the start.
func (w *world) at(after time.Duration) { w.now.Store(start.Add(after).UnixMilli()) }

// good reports whether a gateway would admit a call with the key now.
func (w *world) good(key string) bool {
	w.t.Helper()
	s, err := w.sessions.Session(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return s != nil && s.Ended == 0 && !s.ExpiredAt(w.instant())
}

func (w *world) code() string {
	w.t.Helper()
	code, err := w.Authorize(w.t.Context(), session.Consent{App: 1, Merchant: "acme", User: "alice", Redirect: callback})
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

func (w *world) exchange(code string) *session.Grant {
	w.t.Helper()
	g, err := w.Exchange(w.t.Context(), 1, code, callback)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (w *world) list(f session.Filter) []session.Info {
	w.t.Helper()
	r, err := w.store.Read(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	entities, version, err := r.Entities(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	cat, err := benefit.CatalogueOf(version, entities)
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := session.List(w.t.Context(), r, cat, w.instant(), f)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func TestNewSession(t *testing.T) {
	w := newWorld(t)
	for _, user := range []string{"alice", "TAOBAO:77"} {
		g, err := w.New(t.Context(), session.Order{App: "shop", Merchant: "bob", User: user, Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.sessions.Session(t.Context(), g.Access)
		if err != nil || s == nil || s.App != 1 || s.Merchant != 2 || s.User != alice || g.User.Name != "alice" || g.Refresh != "" {
			t.Errorf("%s: %+v of %+v, %v", user, s, g, err)
		}
	}
	for want, o := range map[error]session.Order{
		session.ErrNoApp:      {App: "none"},
		session.ErrNoMerchant: {App: "shop", Merchant: "none"},
		session.ErrNoUser:     {App: "shop", User: "bob"},
		session.ErrLifetime:   {App: "shop", Lifetime: time.Hour, Refresh: -1},
	} {
		if _, err := w.New(t.Context(), o); !errors.Is(err, want) {
			t.Errorf("%+v: %v, want %v", o, err, want)
		}
	}
	if all := w.list(session.Filter{All: true}); len(all) != 2 {
		t.Errorf("%d sessions, want 2: a refused order made one", len(all))
	}
}

// A key is valid in the last millisecond before its expiry, and invalid in the next.
func TestExpiryIsExact(t *testing.T) {
	w := newWorld(t)
	g, err := w.New(t.Context(), session.Order{App: "shop", Lifetime: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	late, early := w.code(), w.code()
	refresh := w.exchange(w.code()).Refresh
	w.at(time.Second - time.Millisecond)
	if !w.good(g.Access) {
		t.Error("over a millisecond early")
	}
	w.at(time.Second)
	if w.good(g.Access) {
		t.Error("good in the millisecond of its expiry")
	}
	w.at(time.Minute - time.Millisecond)
	w.exchange(early)
	w.at(time.Minute)
	if _, err := w.Exchange(t.Context(), 1, late, callback); !errors.Is(err, session.ErrExpired) {
		t.Errorf("a code in the millisecond of its expiry: %v", err)
	}
	w.at(24*time.Hour - time.Millisecond)
	g, err = w.Refresh(t.Context(), 1, refresh)
	if err != nil {
		t.Fatal(err)
	}
	w.at(48*time.Hour - time.Millisecond)
	if _, err := w.Refresh(t.Context(), 1, g.Refresh); !errors.Is(err, session.ErrExpired) {
		t.Errorf("a refresh session in the millisecond of its expiry: %v", err)
	}
}

// Whatever the gateway has cached, once Revoke returned the session admits nothing.
func TestRevokeIsExact(t *testing.T) {
	w := newWorld(t)
	for k, by := range []func(*session.Grant) string{
		func(g *session.Grant) string { return g.Access },
		func(g *session.Grant) string { return g.Refresh },
		func(g *session.Grant) string { return g.Digest.String() },
		func(g *session.Grant) string { return g.Digest.String()[:8] + "…" },
	} {
		code := w.code()
		g, other := w.exchange(code), w.exchange(w.code())
		if !w.good(g.Access) || !w.good(other.Access) {
			t.Fatal("not good")
		}
		if n, err := w.Revoke(t.Context(), by(g)); n != 2 || err != nil {
			t.Errorf("case %d: %d ended, %v", k, n, err)
		}
		if w.good(g.Access) || !w.good(other.Access) {
			t.Errorf("case %d: good %t, another family's %t", k, w.good(g.Access), w.good(other.Access))
		}
		if _, err := w.Refresh(t.Context(), 1, g.Refresh); !errors.Is(err, session.ErrEnded) {
			t.Errorf("case %d: refresh: %v", k, err)
		}
		if n, err := w.Revoke(t.Context(), by(g)); n != 0 || err != nil {
			t.Errorf("case %d, again: %d ended, %v", k, n, err)
		}
	}
	unused := w.code()
	if n, err := w.Revoke(t.Context(), unused); n != 1 || err != nil {
		t.Errorf("a code: %d ended, %v", n, err)
	}
	if _, err := w.Exchange(t.Context(), 1, unused, callback); !errors.Is(err, session.ErrEnded) {
		t.Errorf("a revoked code: %v", err)
	}
	for _, name := range []string{"none", "0000000", "00000000", "0123456789abcdef0123456789abcdef", ""} {
		if _, err := w.Revoke(t.Context(), name); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// The beginning of a digest names a session when it is unique.
func TestAmbiguousDigest(t *testing.T) {
	w := newWorld(t)
	c := &benefit.Changes{}
	for k := range 2 {
		c.Rows = append(c.Rows, benefit.Sessions.Rows(&benefit.Session{Digest: benefit.Digest{0xab, 0xcd, 0xef, 0x01, byte(k)}, App: 1, Merchant: 1}))
	}
	if err := storetest.Write(t.Context(), w.store, w.instant(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Revoke(t.Context(), "abcdef01"); !errors.Is(err, session.ErrAmbiguous) {
		t.Errorf("got %v", err)
	}
	if n, err := w.Revoke(t.Context(), "ABCDEF0101"); n != 1 || err != nil {
		t.Errorf("%d ended, %v", n, err)
	}
}

// Calls run while a session is revoked: none that began after Revoke returned is admitted.
func TestRevokeUnderLoad(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		g := w.exchange(w.code())
		var revoked atomic.Bool
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				for range 200 {
					before := revoked.Load()
					if w.good(g.Access) && before {
						t.Error("admitted after the revocation")
					}
				}
			})
		}
		if _, err := w.Revoke(t.Context(), g.Access); err != nil {
			t.Error(err)
		}
		revoked.Store(true)
		calls.Wait()
	}
}

func TestExchange(t *testing.T) {
	w := newWorld(t)
	code := w.code()
	if w.good(code) {
		t.Error("a call is admitted with a code")
	}
	for name, c := range map[string]struct {
		app            benefit.AppID
		code, redirect string
		want           error
	}{
		"another app":        {2, code, callback, session.ErrNotFound},
		"another redirect":   {1, code, callback + "&b=2", session.ErrRedirect},
		"made up":            {1, "made up", callback, session.ErrNotFound},
		"nothing":            {1, "", callback, session.ErrNotFound},
		"the redirect as it": {1, code, "https://shop.example/callback", session.ErrRedirect},
	} {
		if _, err := w.Exchange(t.Context(), c.app, c.code, c.redirect); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	g := w.exchange(code) // none of these used the code up
	if !w.good(g.Access) || w.good(g.Refresh) || g.User.Name != "alice" || g.Merchant.Name != "acme" {
		t.Errorf("%+v", g)
	}
	for _, wrong := range []string{g.Access, g.Refresh} {
		if _, err := w.Exchange(t.Context(), 1, wrong, callback); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("a token as a code: %v", err)
		}
	}
	if _, err := w.Exchange(t.Context(), 1, w.code(), session.AnyRedirect); err != nil {
		t.Errorf("without a redirect_uri: %v", err)
	}
}

// Codes and refresh tokens that cannot succeed cost no change, because all issuing waits for a change.
func TestRefusedWithoutAChange(t *testing.T) {
	w := newWorld(t)
	first := w.exchange(w.code())
	used := w.code()
	given := w.exchange(used)
	late := w.code()
	if _, err := w.Exchange(t.Context(), 1, used, callback); !errors.Is(err, session.ErrEnded) || w.good(given.Access) {
		t.Fatalf("a used code: %v, and what it gave is good: %v", err, w.good(given.Access))
	}
	next, err := w.Refresh(t.Context(), 1, first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	w.at(2 * time.Minute)
	before := w.changes.Load()
	for _, x := range []struct {
		what string
		do   func(ctx context.Context, app benefit.AppID, key string) (*session.Grant, error)
		app  benefit.AppID
		key  string
		want error
	}{
		{"a code that never was", w.exchangeAny, 1, "made up", session.ErrNotFound},
		{"a code of another app", w.exchangeAny, 2, late, session.ErrNotFound},
		{"a refresh token for a code", w.exchangeAny, 1, next.Refresh, session.ErrNotFound},
		{"a code that has expired", w.exchangeAny, 1, late, session.ErrExpired},
		{"a used code, again", w.exchangeAny, 1, used, session.ErrEnded},
		{"a refresh token that never was", w.Refresh, 1, "made up", session.ErrNotFound},
		{"a used refresh token", w.Refresh, 1, first.Refresh, session.ErrEnded},
	} {
		if _, err := x.do(t.Context(), x.app, x.key); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", x.what, err, x.want)
		}
	}
	if n := w.changes.Load() - before; n != 0 {
		t.Errorf("%d changes were made", n)
	}
}

func (w *world) exchangeAny(ctx context.Context, app benefit.AppID, key string) (*session.Grant, error) {
	return w.Exchange(ctx, app, key, session.AnyRedirect)
}

// A second use of a code ends what was issued for it, even when that has been refreshed since.
func TestReuseRevokes(t *testing.T) {
	w := newWorld(t)
	code := w.code()
	first := w.exchange(code)
	g, err := w.Refresh(t.Context(), 1, first.Refresh)
	if err != nil || !w.good(g.Access) {
		t.Fatal(err)
	}
	if _, err := w.Exchange(t.Context(), 2, code, callback); !errors.Is(err, session.ErrNotFound) || !w.good(g.Access) {
		t.Errorf("another app's reuse: %v, good %t", err, w.good(g.Access))
	}
	w.at(time.Hour / 2) // long after the code's expiry
	if _, err := w.Exchange(t.Context(), 1, code, callback); !errors.Is(err, session.ErrEnded) {
		t.Errorf("reuse: %v", err)
	}
	if w.good(g.Access) {
		t.Error("the access session is still good")
	}
	if _, err := w.Refresh(t.Context(), 1, g.Refresh); !errors.Is(err, session.ErrEnded) {
		t.Errorf("the refresh session is still good: %v", err)
	}
}

// Of concurrent exchanges and refreshes exactly one succeeds.
func TestOneOfManySucceeds(t *testing.T) {
	w := newWorld(t)
	race := func(do func() (*session.Grant, error)) *session.Grant {
		var won atomic.Pointer[session.Grant]
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				g, err := do()
				switch {
				case err == nil && !won.CompareAndSwap(nil, g):
					t.Error("two got a session")
				case err != nil && !errors.Is(err, session.ErrEnded):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() == nil {
			t.Fatal("none got a session")
		}
		return won.Load()
	}
	for range 10 {
		code := w.code()
		g := race(func() (*session.Grant, error) { return w.Exchange(t.Context(), 1, code, callback) })
		if w.good(g.Access) {
			t.Error("the code came again, but what it gave out is good")
		}
		token := w.exchange(w.code()).Refresh
		g = race(func() (*session.Grant, error) { return w.Refresh(t.Context(), 1, token) })
		if !w.good(g.Access) {
			t.Error("the one that was first has nothing")
		}
	}
}

func TestRefreshRotates(t *testing.T) {
	w := newWorld(t)
	operator, err := w.New(t.Context(), session.Order{App: "shop", User: "alice", Lifetime: time.Hour, Refresh: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]*session.Grant{"operator": operator, "code": w.exchange(w.code())} {
		last := g
		for range 3 {
			next, err := w.Refresh(t.Context(), 1, last.Refresh)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if w.good(last.Access) || !w.good(next.Access) || next.User == nil || next.Expires != w.instant()+3_600_000 {
				t.Errorf("%s: old %t, new %t, %+v", name, w.good(last.Access), w.good(next.Access), next)
			}
			if _, err := w.Refresh(t.Context(), 1, last.Refresh); !errors.Is(err, session.ErrEnded) || !w.good(next.Access) {
				t.Errorf("%s: the old token again: %v", name, err)
			}
			last = next
		}
		if _, err := w.Refresh(t.Context(), 2, last.Refresh); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("%s: another app: %v", name, err)
		}
		if _, err := w.Refresh(t.Context(), 1, last.Access); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("%s: an access token: %v", name, err)
		}
		if n, err := w.Revoke(t.Context(), g.Access); n != 2 || err != nil || w.good(last.Access) {
			t.Errorf("%s: revoked by an old token: %d, %v", name, n, err)
		}
	}
}

func TestList(t *testing.T) {
	w := newWorld(t)
	w.exchange(w.code())
	if _, err := w.New(t.Context(), session.Order{App: "other", Lifetime: time.Second}); err != nil {
		t.Fatal(err)
	}
	count := func(f session.Filter) string {
		n := map[string]int{}
		for _, i := range w.list(f) {
			n[i.App+" "+i.Kind+" "+i.State]++
		}
		return fmt.Sprint(n)
	}
	for want, f := range map[string]session.Filter{
		"map[other access good:1 shop access good:1 shop refresh good:1]":                   {},
		"map[other access good:1]":                                                          {App: "other", All: true},
		"map[other access good:1 shop access good:1 shop code ended:1 shop refresh good:1]": {All: true},
	} {
		if got := count(f); got != want {
			t.Errorf("%+v: %s, want %s", f, got, want)
		}
	}
	w.at(time.Second)
	if got := count(session.Filter{App: "other", All: true}); got != "map[other access expired:1]" {
		t.Errorf("later: %s", got)
	}
}

// What was issued, used and revoked is still so after a restart.
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
	used, unused := w.code(), w.code()
	good, revoked := w.exchange(used), w.exchange(w.code())
	if _, err := w.Revoke(t.Context(), revoked.Access); err != nil {
		t.Fatal(err)
	}
	w.stop()

	w = worldOn(t, open())
	if !w.good(good.Access) || w.good(revoked.Access) {
		t.Errorf("good %t, revoked %t", w.good(good.Access), w.good(revoked.Access))
	}
	w.exchange(unused)
	if _, err := w.Exchange(t.Context(), 1, used, callback); !errors.Is(err, session.ErrEnded) || w.good(good.Access) {
		t.Errorf("a used code: %v, good %t", err, w.good(good.Access))
	}
}

// late is a store on which another process is first with the rows of the next change.
type late struct {
	store.Store
	next atomic.Bool
}

func (l *late) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	tx, err := l.Store.BeginChange(ctx, clock)
	return lateTx{tx, l}, err
}

type lateTx struct {
	store.Tx
	l *late
}

func (t lateTx) Commit(ctx context.Context, c *benefit.Changes) error {
	if t.l.next.Swap(false) {
		t.Rollback()
		return store.ErrConflict
	}
	return t.Tx.Commit(ctx, c)
}

// A change that is planned again after a conflict finds what the store holds, not what its first attempt made of it: a
// code that was not used is not taken for one that comes again.
func TestChangeIsPlannedAgain(t *testing.T) {
	s := memory.New()
	writeCatalogue(t, s)
	l := &late{Store: s}
	w := worldOn(t, l)
	code := w.code()
	l.next.Store(true)
	g := w.exchange(code)
	if l.next.Load() {
		t.Fatal("there was no conflict")
	}
	l.next.Store(true)
	again, err := w.Refresh(t.Context(), 1, g.Refresh)
	if err != nil || !w.good(again.Access) {
		t.Errorf("the refresh: %+v, %v", again, err)
	}
}
