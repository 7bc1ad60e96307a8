package gateway

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"faquan/internal/benefit"
)

// App is an app of the catalogue with what is derived from it. It is shared and must not be changed.
type App struct {
	*benefit.App
	// Key is the app's public key; nil when it has none, or one that cannot be read.
	Key *rsa.PublicKey
	// Secrets are what the app signs with on TOP; none when it has no secret, or one that cannot be opened.
	Secrets []string

	limiter *rate.Limiter // nil: no limit
}

// Allow takes one call out of the app's rate limit at now; false when there is none left. An app may make as many
// calls at once as it may make in a second.
func (a *App) Allow(now time.Time) bool { return a.limiter == nil || a.limiter.AllowN(now, 1) }

// AppSet is the apps of one version of the catalogue. It is immutable, so a call that takes it once sees one
// version throughout.
type AppSet struct {
	Catalogue *benefit.Catalogue
	apps      map[benefit.AppID]*App
}

// ByAppID returns the app that Alipay's wire calls app_id; nil when there is none.
func (s *AppSet) ByAppID(appID string) *App { return s.find(appID, s.Catalogue.AppByAppID) }

// ByAppKey returns the app that TOP's wire calls app_key; nil when there is none.
func (s *AppSet) ByAppKey(appKey string) *App { return s.find(appKey, s.Catalogue.AppByAppKey) }

// ByID returns the app with faquan's own id; nil when there is none.
func (s *AppSet) ByID(id benefit.AppID) *App { return s.apps[id] }

// find looks for what can be an id of an app only: a catalogue written by an older version may have others.
func (s *AppSet) find(callerID string, in func(string) *benefit.App) *App {
	if !benefit.IsCallerID(callerID) { //guard:internal/gateway/top.FuzzSigned
		return nil
	}
	a := in(callerID)
	if a == nil {
		return nil
	}
	return s.apps[a.ID]
}

// Apps returns the AppSet of the current catalogue. It is safe for concurrent use.
type Apps struct {
	catalogue func() *benefit.Catalogue
	log       *slog.Logger
	open      func(*benefit.App) (string, error) // opens an app's secret; nil: no app has one

	now atomic.Pointer[AppSet]
	mu  sync.Mutex // held while a set is built

	failures *failures
}

// NewApps makes the apps of what catalogue returns, which is the snapshot in force at each call. All gateways of a
// process share one, so that an app has one rate limit whichever it calls.
func NewApps(catalogue func() *benefit.Catalogue, log *slog.Logger) *Apps {
	a := &Apps{catalogue: catalogue, log: log, failures: newFailures()}
	a.now.Store(&AppSet{})
	return a
}

// WithSecrets makes the apps' secrets known, which the catalogue holds sealed: open gives that of an app. It is called
// once for each app whose secret is new, never for a call. WithSecrets itself is for the start, before any call.
func (a *Apps) WithSecrets(open func(*benefit.App) (string, error)) *Apps {
	a.open = open
	return a
}

// Current returns the set of the catalogue in force. The first call after a change builds it, and those beside it wait:
// none of them is judged by the old one.
func (a *Apps) Current() *AppSet {
	cat := a.catalogue()
	if set := a.now.Load(); set.Catalogue == cat {
		return set
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	cat = a.catalogue()
	old := a.now.Load()
	if old.Catalogue == cat {
		return old
	}
	set := &AppSet{Catalogue: cat, apps: make(map[benefit.AppID]*App, len(cat.Apps))}
	for id, app := range cat.Apps {
		set.apps[id] = a.derive(app, old.apps[id])
	}
	a.now.Store(set)
	return set
}

// derive makes an app of the new set. Before is the same app in the old one, nil for none: its key need not be parsed
// again, nor its secret opened, and what it has used of its rate limit stays used.
func (a *Apps) derive(app *benefit.App, before *App) *App {
	if before == nil {
		before = &App{App: &benefit.App{}}
	}
	next := &App{App: app, Key: before.Key, Secrets: before.Secrets, limiter: before.limiter}
	if app.PublicKey != before.PublicKey {
		next.Key = a.key(app)
	}
	if !bytes.Equal(app.AppSecret, before.AppSecret) { //guard:TestSecretsOfApps
		next.Secrets = a.secrets(app)
	}
	if app.RatePerSecond != before.RatePerSecond {
		next.limiter = nil
		if app.RatePerSecond > 0 {
			next.limiter = rate.NewLimiter(rate.Limit(app.RatePerSecond), int(app.RatePerSecond))
		}
	}
	return next
}

func (a *Apps) key(app *benefit.App) *rsa.PublicKey {
	if app.PublicKey == "" {
		return nil
	}
	key, err := parsePublicKey(app.PublicKey)
	if err != nil {
		a.log.Error("the public key of an app cannot be read", "app", app.Name, "err", err)
	}
	return key
}

func (a *Apps) secrets(app *benefit.App) []string {
	if len(app.AppSecret) == 0 || a.open == nil {
		return nil
	}
	secret, err := a.open(app)
	if err != nil {
		a.log.Error("the secret of an app cannot be opened", "app", app.Name, "err", err)
		return nil
	}
	return []string{secret}
}

// parsePublicKey reads the form in which the catalogue keeps keys: PEM, PKIX.
func parsePublicKey(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return public, nil
}
