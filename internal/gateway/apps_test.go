package gateway_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
)

// publicPEM returns a public key in the form in which the catalogue keeps it.
func publicPEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// shop is a catalogue that changes, and the apps of it.
type shop struct {
	cat  *benefit.Catalogue
	log  bytes.Buffer
	apps *gateway.Apps
}

func newShop(apps ...*benefit.App) *shop {
	s := &shop{}
	s.apps = gateway.NewApps(func() *benefit.Catalogue { return s.cat }, slog.New(slog.NewTextHandler(&s.log, nil)))
	s.stock(apps...)
	return s
}

// stock puts another catalogue in force.
func (s *shop) stock(apps ...*benefit.App) {
	s.cat = benefit.NewCatalogue(1, nil, apps, nil, nil, nil)
}

// An id that a signature may leave out names no app, although an older catalogue may have it.
func TestIDsThatNameNoApp(t *testing.T) {
	for _, id := range []string{"0", "@1", "@", "a b", "优"} {
		set := newShop(&benefit.App{ID: 1, AppID: id, AppKey: id}).apps.Current()
		if set.ByAppID(id) != nil || set.ByAppKey(id) != nil {
			t.Errorf("%q names an app", id)
		}
	}
	set := newShop(&benefit.App{ID: 1, AppID: "00", AppKey: "a@b"}).apps.Current()
	if set.ByAppID("00") == nil || set.ByAppKey("a@b") == nil {
		t.Error("good ids are refused")
	}
}

func TestAppsFollowTheCatalogue(t *testing.T) {
	key := publicPEM(t, &rsaKey().PublicKey)
	s := newShop(&benefit.App{ID: 1, AppID: "a", PublicKey: key})
	first := s.apps.Current()
	if a := first.ByAppID("a"); a == nil || a.ID != 1 || a.Key == nil || !a.Key.Equal(&rsaKey().PublicKey) {
		t.Fatalf("the app: %+v", a)
	}
	if first.ByAppID("b") != nil || first.ByAppID("") != nil {
		t.Error("an app that does not exist")
	}
	if s.apps.Current() != first {
		t.Error("the set was built again, although nothing has changed")
	}
	s.stock(&benefit.App{ID: 1, AppID: "a", PublicKey: key, Disabled: true}, &benefit.App{ID: 2, AppID: "b"})
	next := s.apps.Current()
	if a := next.ByAppID("a"); a == nil || !a.Disabled || a.Key == nil {
		t.Errorf("the app after the change: %+v", a)
	}
	if b := next.ByAppID("b"); b == nil || b.Key != nil || s.log.Len() > 0 {
		t.Errorf("the app without a key: %+v, log %s", b, &s.log)
	}
	if first.ByAppID("a").Disabled {
		t.Error("a set that was taken before has changed")
	}
	// The key follows, too.
	s.stock(&benefit.App{ID: 1, AppID: "a"})
	if a := s.apps.Current().ByAppID("a"); a.Key != nil {
		t.Errorf("the app that lost its key: %+v", a)
	}
}

func TestUnreadableKeys(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", publicPEM(t, &curve.PublicKey),
	} {
		s := newShop(&benefit.App{ID: 1, Name: "acme", AppID: "a", PublicKey: text})
		if a := s.apps.Current().ByAppID("a"); a == nil || a.Key != nil {
			t.Errorf("the app: %+v", a)
		}
		if !strings.Contains(s.log.String(), "app=acme") {
			t.Errorf("the log: %s", &s.log)
		}
	}
}

func TestRateLimits(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	app := func(rate int64, name string) *benefit.App {
		return &benefit.App{ID: 1, AppID: "a", Name: name, RatePerSecond: rate}
	}
	s := newShop(app(0, ""))
	allowed := func() (n int) {
		for n < 100 && s.apps.Current().ByAppID("a").Allow(at) {
			n++
		}
		return n
	}
	if n := allowed(); n != 100 {
		t.Errorf("without a limit %d calls", n)
	}
	s.stock(app(3, ""))
	if n := allowed(); n != 3 {
		t.Errorf("%d calls at once, may make 3", n)
	}
	s.stock(app(3, "another change"))
	if n := allowed(); n != 0 {
		t.Errorf("a change of something else gave %d calls back", n)
	}
	at = at.Add(time.Second)
	if n := allowed(); n != 3 {
		t.Errorf("%d calls a second later, may make 3", n)
	}
	s.stock(app(5, ""))
	if n := allowed(); n != 5 {
		t.Errorf("%d calls after the limit was raised, may make 5", n)
	}
}

// Calls at once that all find no set yet get the same one: one version has one rate limit.
func TestAppsAtOnce(t *testing.T) {
	sets := make([]*gateway.AppSet, 8)
	cat := benefit.NewCatalogue(1, nil, []*benefit.App{{ID: 1, AppID: "a"}}, nil, nil, nil)
	var here atomic.Int32
	all := make(chan struct{})
	apps := gateway.NewApps(func() *benefit.Catalogue {
		switch n := here.Add(1); {
		case n == int32(len(sets)):
			close(all)
		case n > int32(len(sets)): // the one that builds is slow
			time.Sleep(20 * time.Millisecond)
		}
		<-all
		return cat
	}, slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for k := range sets {
		wg.Go(func() { sets[k] = apps.Current() })
	}
	wg.Wait()
	for _, set := range sets {
		if set != sets[0] {
			t.Fatal("one version has two sets")
		}
	}
}

// Secrets are opened when an app or its secret is new, not for each call or each version, and never logged.
func TestSecretsOfApps(t *testing.T) {
	s := newShop(&benefit.App{ID: 1, AppKey: "k", AppSecret: []byte("sealed 1")}, &benefit.App{ID: 2, AppKey: "none"})
	opened := 0
	s.apps.WithSecrets(func(a *benefit.App) (string, error) {
		opened++
		if strings.Contains(string(a.AppSecret), "broken") {
			return "", errors.New("does not open")
		}
		return "opened " + string(a.AppSecret), nil
	})
	secrets := func(appKey string) string {
		return strings.Join(s.apps.Current().ByAppKey(appKey).Secrets, ",")
	}
	if got := secrets("k"); got != "opened sealed 1" || secrets("none") != "" || opened != 1 {
		t.Errorf("got %q, opened %d times", got, opened)
	}
	if s.apps.Current().ByAppKey("") != nil || s.apps.Current().ByAppKey("x") != nil {
		t.Error("an app that does not exist")
	}
	s.stock(&benefit.App{ID: 1, AppKey: "k", AppSecret: []byte("sealed 1"), Disabled: true})
	if got := secrets("k"); got != "opened sealed 1" || opened != 1 {
		t.Errorf("after another change: %q, opened %d times", got, opened)
	}
	s.stock(&benefit.App{ID: 1, AppKey: "k", AppSecret: []byte("sealed 2")})
	if got := secrets("k"); got != "opened sealed 2" || opened != 2 {
		t.Errorf("another secret: %q, opened %d times", got, opened)
	}
	s.stock(&benefit.App{ID: 1, AppKey: "k", AppSecret: []byte("broken one")})
	if got := secrets("k"); got != "" || !strings.Contains(s.log.String(), "cannot be opened") || strings.Contains(s.log.String(), "broken one") {
		t.Errorf("a broken secret: %q, log %s", got, &s.log)
	}
}
