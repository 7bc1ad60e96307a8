package alipay_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

const method = "alipay.marketing.voucher.send"

// noon is the clock of the tests: 2026-11-22 12:00:00 at +08:00.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, benefit.Shanghai)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// The keys of the tests, made once.
var (
	appKey      = sync.OnceValue(newKey)
	strangerKey = sync.OnceValue(newKey)
	platformKey = sync.OnceValue(newKey)
	platform    = sync.OnceValue(func() wire.Signer {
		signer, err := wire.NewKeySigner(platformKey())
		if err != nil {
			panic(err)
		}
		return signer
	})
	appPEM = sync.OnceValue(func() string {
		der, err := x509.MarshalPKIXPublicKey(&appKey().PublicKey)
		if err != nil {
			panic(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	})
)

// Ids on the wire.
const (
	appID     = "2014072300007148"
	cashID    = "20140601000730010040000000EB" // takes its amount from the request
	offID     = "20140601000730010040000000FF" // REDUCTION, without limits
	aliceID   = "2088302001456115"
	bobID     = "2088302001456116" // linked to the same person as alice
	frozenID  = "2088302001456117"
	newcomer  = "2088302001456199"
	aliceOpen = "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5"
)

// Merchants of the world.
const (
	ours       benefit.MerchantID = 1 // owns the app and most templates, accepts unknown users
	registered benefit.MerchantID = 2 // accepts known users alone
	others     benefit.MerchantID = 3
)

func merchants() []*benefit.Merchant {
	return []*benefit.Merchant{
		{ID: ours, Name: "ours", Open: true},
		{ID: registered, Name: "registered"},
		{ID: others, Name: "others", Open: true},
	}
}

func apps() []*benefit.App {
	both := []string{"RSA2", "RSA"}
	app := func(n int, name, appID string, change func(*benefit.App)) *benefit.App {
		a := &benefit.App{
			ID: benefit.AppID(n), Name: name, Merchant: ours, AppID: appID, PublicKey: appPEM(), SignTypes: both,
		}
		change(a)
		return a
	}
	return []*benefit.App{
		app(1, "plain", appID, func(*benefit.App) {}),
		app(2, "disabled", "2014072300000002", func(a *benefit.App) { a.Disabled = true }),
		app(3, "rsa2", "2014072300000003", func(a *benefit.App) { a.SignTypes = []string{"RSA2"} }),
		app(4, "ungranted", "2014072300000004", func(a *benefit.App) { a.Methods = []string{"taobao.time.get"} }),
		app(5, "limited", "2014072300000005", func(a *benefit.App) { a.RatePerSecond = 1 }),
		app(6, "keyless", "2014072300000006", func(a *benefit.App) { a.PublicKey, a.SignTypes = "", nil }),
		app(7, "unnamed", "2014072300000007", func(a *benefit.App) { a.SignTypes = nil }),
		app(8, "registered", "2014072300000008", func(a *benefit.App) { a.Merchant = registered }),
	}
}

func templates() []*benefit.Template {
	var all []*benefit.Template
	add := func(wireID string, change func(*benefit.Template)) {
		t := &benefit.Template{
			ID: benefit.TemplateID(len(all) + 1), Name: wireID, Merchant: ours, TemplateID: wireID,
			Kind: benefit.Reduction, Face: benefit.Face{Reduction: 500, Threshold: 2000},
			Stock: benefit.UnlimitedStock(), Valid: benefit.Validity{ForMillis: 86_400_000}, Status: benefit.Active,
		}
		change(t)
		all = append(all, t)
	}
	cash := func(from benefit.AmountFrom, lowest, highest money.Fen) func(*benefit.Template) {
		return func(t *benefit.Template) {
			t.Kind, t.Face, t.Amount = benefit.Cash, benefit.Face{}, benefit.AmountRule{From: from, Min: lowest, Max: highest}
		}
	}
	at := func(d time.Duration) benefit.Instant { return benefit.InstantOf(noon.Add(d)) }
	add(cashID, cash(benefit.FromRequest, 100, 20_000))
	add(offID, func(*benefit.Template) {})
	add("FIXED", cash(benefit.Fixed, 500, 500))
	add("DRAFT", func(t *benefit.Template) { t.Status = benefit.Draft })
	add("PAUSED", func(t *benefit.Template) { t.Status = benefit.Paused })
	add("ENDED", func(t *benefit.Template) { t.Status = benefit.Ended })
	add("OVER", func(t *benefit.Template) { t.Publish.End = at(-time.Hour) })
	add("SOON", func(t *benefit.Template) { t.Publish.Start = at(time.Hour) })
	add("NO-STOCK", func(t *benefit.Template) { t.Stock.Count = 0 })
	add("NO-BUDGET", func(t *benefit.Template) { t.Stock.Amount = 499 })
	add("NO-DAY-STOCK", func(t *benefit.Template) { t.Stock.CountPerDay = 0 })
	add("NO-DAY-BUDGET", func(t *benefit.Template) { t.Stock.AmountPerDay = 499 })
	add("ONE-EACH", func(t *benefit.Template) { t.Limits.PerUser = 1 })
	add("ONE-A-DAY", func(t *benefit.Template) { t.Limits.PerUserPerDay = 1 })
	add("ONE-A-PERSON", func(t *benefit.Template) { t.Limits.PerPerson = 1 })
	add("REGISTERED", func(t *benefit.Template) { t.Merchant = registered })
	add("OTHERS", func(t *benefit.Template) { t.Merchant = others })
	add("GRANTED", func(t *benefit.Template) { t.Merchant, t.GrantedTo = others, []benefit.AppID{1} })
	return all
}

func users() []*benefit.User {
	g := id.NewGenerator(mathrand.New(mathrand.NewPCG(1, 1)), 0)
	user := func(name, person string, frozen bool, idents ...benefit.Identifier) *benefit.User {
		u := &benefit.User{
			ID: g.Block(noon.UnixMilli()-1000, id.BucketOf(name), 1), Name: name, Person: person, Frozen: frozen, Identifiers: idents,
		}
		if idents[0].Type == benefit.AlipayID {
			u.Alipay = idents[0].Value
		}
		return u
	}
	alipayID := func(value string) benefit.Identifier { return benefit.Identifier{Type: benefit.AlipayID, Value: value} }
	return []*benefit.User{
		user("alice", "p", false, alipayID(aliceID),
			benefit.Identifier{Type: benefit.OpenID, Value: aliceOpen, App: 1},
			benefit.Identifier{Type: benefit.Login, Value: "13196215350"},
			benefit.Identifier{Type: benefit.Nick, Value: "越yue54333"}),
		user("bob", "p", false, alipayID(bobID)),
		user("frozen", "", true, alipayID(frozenID)),
		user("open", "", false, benefit.Identifier{Type: benefit.OpenID, Value: "open-only", App: 1}),
	}
}

// sessions returns the app_auth_tokens of the world, by key.
func sessions() []*benefit.Session {
	session := func(key string, app benefit.AppID, merchant benefit.MerchantID, expires time.Time) *benefit.Session {
		s := &benefit.Session{Digest: benefit.SessionDigest(key), App: app, Merchant: merchant}
		if !expires.IsZero() {
			s.Expires = benefit.InstantOf(expires)
		}
		return s
	}
	revoked, refresh := session("token-revoked", 1, others, time.Time{}), session("token-refresh", 1, others, time.Time{})
	revoked.Ended, refresh.Kind = 1, benefit.RefreshSession
	return []*benefit.Session{
		session("token-others", 1, others, time.Time{}),
		session("token-lasts", 1, others, noon.Add(time.Millisecond)),
		session("token-over", 1, others, noon),
		session("token-stranger", 8, registered, time.Time{}),
		session("token-user", 1, 0, time.Time{}),
		revoked, refresh,
	}
}

// world is a gateway on a store in memory with a running issuer.
type world struct {
	*alipay.Handler
	t        testing.TB
	issuer   *engine.Engine
	store    *memory.Store
	sessions *gateway.Sessions
	log      *bytes.Buffer
	broken   error                           // what the issuer answers instead of issuing
	request  atomic.Pointer[benefit.Request] // the last one that reached the core
}

func (w *world) Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error) {
	w.request.Store(r)
	if w.broken != nil {
		return benefit.Outcome{}, w.broken
	}
	return w.issuer.Issue(ctx, r)
}

// newWorld starts a gateway; change may set options other than those of the world.
func newWorld(t testing.TB, change func(*alipay.Options)) *world {
	t.Helper()
	w := &world{t: t, store: memory.New(), log: new(bytes.Buffer)}
	w.write(&benefit.Changes{Catalogue: 1, Users: users(), Rows: benefit.RowsOf(
		benefit.Entities.Rows(entities(t)...), benefit.Sessions.Rows(sessions()...))})
	var err error
	w.issuer, err = engine.New(t.Context(), engine.Options{
		Store: w.store, Clock: func() benefit.Instant { return benefit.InstantOf(noon) }, Rand: mathrand.New(mathrand.NewPCG(1, 2)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.issuer.Run() }()
	t.Cleanup(func() {
		w.issuer.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	w.sessions = gateway.NewSessions(storetest.Sessions(w.store), 0)
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	o := alipay.Options{
		Issuer: w, Apps: gateway.NewApps(w.issuer.Catalogue, log), Sessions: w.sessions, Signer: platform(),
		Clock: func() time.Time { return noon }, Log: log,
	}
	if change != nil {
		change(&o)
	}
	w.Handler = alipay.New(o)
	return w
}

// name returns the name in the catalogue of the template with a template_id.
func (w *world) name(templateID string) string {
	return w.issuer.Catalogue().TemplateByWireID(templateID).Name
}

// write commits rows as an operator's change does.
func (w *world) write(c *benefit.Changes) {
	w.t.Helper()
	ctx := context.Background()
	tx, err := w.store.Begin(ctx, benefit.InstantOf(noon))
	if err == nil {
		c.Now = tx.Now()
		err = tx.Commit(ctx, c)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func entities(t testing.TB) []benefit.Entity {
	var all []benefit.Entity
	add := func(v any) {
		e, err := benefit.EntityOf(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	for _, m := range merchants() {
		add(m)
	}
	for _, a := range apps() {
		add(a)
	}
	for _, x := range templates() {
		add(x)
	}
	return all
}

var _ http.Handler = (*alipay.Handler)(nil)
