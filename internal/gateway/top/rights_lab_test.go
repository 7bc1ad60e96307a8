package top_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

const (
	decisionMethod = "alibaba.alsc.upp.right.decisionsend"
	sendMethod     = "tmall.nrt.certificate.send"
	queryMethod    = "tmall.nrt.certificate.query"

	labKey, labSecret = "23088511", "a secret of the tests"
	labScene          = "1512AINNA61"
	labUser           = "666450000"
	labFrozen         = "666450001"
	labOpenID         = "AXBZ"
)

// labNoon is when the tests take place: 2026-11-22 12:00:00 at +08:00.
var labNoon = time.Date(2026, 11, 22, 12, 0, 0, 0, benefit.Shanghai)

// draft is what a lab starts with; a test changes what it is about. Merchant 1 owns what the app may issue. The scene
// gives a reduction by activity act-a and a cash packet by act-b.
type draft struct {
	merchants  []*benefit.Merchant
	apps       []*benefit.App
	templates  map[string]*benefit.Template
	activities map[string]*benefit.Activity
	scene      *benefit.Scene
	users      []*benefit.User
	sessions   []*benefit.Session
}

func newDraft() *draft {
	d := &draft{
		merchants: []*benefit.Merchant{
			{ID: 1, Name: "ours", SellerID: 1001, Open: true}, {ID: 2, Name: "registered"}, {ID: 3, Name: "others", Open: true},
		},
		apps: []*benefit.App{
			{ID: 1, Name: "app", Merchant: 1, AppKey: labKey, AppSecret: []byte(labSecret)},
			{ID: 2, Name: "another", Merchant: 1, AppKey: "23088512", AppSecret: []byte(labSecret)},
		},
		templates: map[string]*benefit.Template{}, activities: map[string]*benefit.Activity{},
		scene: &benefit.Scene{ID: 1, Name: "scene", Merchant: 1, SceneCode: labScene, Strategy: benefit.ChooseAll, Status: benefit.Active},
		sessions: []*benefit.Session{
			{Digest: benefit.SessionDigest("ours"), App: 1, Merchant: 1},
			{Digest: benefit.SessionDigest("registered"), App: 1, Merchant: 2},
			{Digest: benefit.SessionDigest("others"), App: 1, Merchant: 3},
			{Digest: benefit.SessionDigest("another"), App: 2, Merchant: 1},
			{Digest: benefit.SessionDigest("over"), App: 1, Merchant: 1, Expires: benefit.InstantOf(labNoon)},
		},
	}
	g := id.NewGenerator(mathrand.New(mathrand.NewPCG(3, 3)), 0)
	user := func(name string, frozen bool, idents ...benefit.Identifier) {
		d.users = append(d.users, &benefit.User{
			ID: g.Block(labNoon.UnixMilli()-1000, id.BucketOf(name), 1), Name: name, Frozen: frozen, Identifiers: idents,
		})
	}
	user("alice", false, benefit.Identifier{Type: benefit.AlipayID, Value: labUser},
		benefit.Identifier{Type: benefit.OpenID, Value: labOpenID, App: 1})
	user("frozen", true, benefit.Identifier{Type: benefit.AlipayID, Value: labFrozen},
		benefit.Identifier{Type: benefit.OpenID, Value: "frozen", App: 1})

	d.template("off", benefit.Reduction).Face = benefit.Face{Reduction: 1050, Threshold: 10000}
	d.template("cash", benefit.Cash).Amount = benefit.AmountRule{From: benefit.Fixed, Min: 100, Max: 100}
	d.template("percent", benefit.Discount).Face = benefit.Face{Percent: 8800, Threshold: 2000, Ceiling: 5000}
	d.template("price", benefit.FixedPrice).Face = benefit.Face{Price: 990}
	d.template("drink", benefit.Exchange)
	code := d.template("code", benefit.Certificate)
	code.OutID, code.Channels, code.Code = 123, []int64{7, 8}, benefit.CodeRule{Digits: 12}
	d.templates["off"].Title, d.templates["off"].RightID = "平台红包", 2203102002536848287
	d.activity("act-a", "off")
	d.activity("act-b", "cash")
	return d
}

func (d *draft) template(name string, kind benefit.Kind) *benefit.Template {
	n := len(d.templates) + 1
	t := &benefit.Template{
		ID: benefit.TemplateID(n), Name: name, Merchant: 1, Kind: kind, RightID: int64(n), Stock: benefit.UnlimitedStock(),
		Valid: benefit.Validity{ForMillis: 3_600_000, ToDayEnd: true}, Status: benefit.Active,
	}
	d.templates[name] = t
	return t
}

// activity adds one to the scene.
func (d *draft) activity(code string, templates ...string) *benefit.Activity {
	act := &benefit.Activity{ID: benefit.ActivityID(len(d.activities) + 1), Name: code, Merchant: 1, ActCode: code, Status: benefit.Active}
	for k, name := range templates {
		act.Items = append(act.Items, benefit.Item{DetailID: int64(k + 1), Template: d.templates[name].ID, MaxSends: 1, Quantity: 1})
	}
	d.activities[code] = act
	d.scene.Activities = append(d.scene.Activities, benefit.SceneEntry{Activity: act.ID, Weight: 1})
	return act
}

func (d *draft) entities(t testing.TB) []benefit.Entity {
	var all []benefit.Entity
	add := func(v any) {
		e, err := benefit.EntityOf(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	for _, m := range d.merchants {
		add(m)
	}
	for _, a := range d.apps {
		add(a)
	}
	for _, x := range d.templates {
		add(x)
	}
	for _, x := range d.activities {
		add(x)
	}
	add(d.scene)
	return all
}

// lab is a gateway on a store in memory with a running issuer.
type lab struct {
	*top.Handler
	t       testing.TB
	draft   *draft
	clock   atomic.Int64 // milliseconds after noon
	store   *memory.Store
	issuer  *engine.Engine
	stop    func()
	broken  error                                  // what the issuer answers instead of issuing
	crafted func(*benefit.Request) benefit.Outcome // or this
	request atomic.Pointer[benefit.Request]        // the last one that reached the core
	finder  top.Finder                             // what looks things up instead of the store; may be nil
	unread  error                                  // what reading the states of vouchers fails with
	log     bytes.Buffer
}

func newLab(t testing.TB, change func(*draft)) *lab {
	t.Helper()
	l := &lab{t: t, draft: newDraft(), store: memory.New()}
	if change != nil {
		change(l.draft)
	}
	ctx := context.Background()
	tx, err := l.store.Begin(ctx, benefit.InstantOf(labNoon))
	if err == nil {
		err = tx.Commit(ctx, &benefit.Changes{
			Now: tx.Now(), Catalogue: 1, Users: l.draft.users,
			Rows: benefit.RowsOf(benefit.Entities.Rows(l.draft.entities(t)...), benefit.Sessions.Rows(l.draft.sessions...)),
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	l.start()
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *lab) now() time.Time { return labNoon.Add(time.Duration(l.clock.Load()) * time.Millisecond) }

// start runs the issuer and the gateway on the store.
func (l *lab) start() {
	l.t.Helper()
	var err error
	l.issuer, err = engine.New(context.Background(), engine.Options{
		Store: l.store, Clock: func() benefit.Instant { return benefit.InstantOf(l.now()) },
		Rand: mathrand.New(mathrand.NewPCG(1, 2)), Rules: wordRules{}, DrawSecret: storetest.DrawSecret,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	issuer, ended := l.issuer, make(chan error, 1)
	go func() { ended <- issuer.Run() }()
	l.stop = func() {
		issuer.Stop()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
	}
	log := slog.New(slog.NewJSONHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	apps := gateway.NewApps(func() *benefit.Catalogue { return l.issuer.Catalogue() }, log)
	l.Handler = top.New(top.Options{
		Issuer: l, Apps: apps.WithSecrets(func(a *benefit.App) (string, error) { return string(a.AppSecret), nil }),
		Sessions: gateway.NewSessions(storetest.Sessions(l.store), 0),
		Finder:   labFinder{l}, States: l.states,
		Clock: l.now, Log: log,
	})
}

// labFinder asks the lab's finder, or else its store.
type labFinder struct{ l *lab }

func (f labFinder) now() top.Finder {
	if f.l.finder != nil {
		return f.l.finder
	}
	return f.l.store
}

func (f labFinder) Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	return f.now().Claim(ctx, scope, key)
}

func (f labFinder) Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error) {
	return f.now().Recipient(ctx, ident)
}

func (f labFinder) RecentIssuances(ctx context.Context, user benefit.UserID, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return f.now().RecentIssuances(ctx, user, before)
}

func (l *lab) states(ctx context.Context, vouchers ...id.ID) (map[id.ID]benefit.VoucherState, error) {
	if l.unread != nil {
		return nil, l.unread
	}
	return store.GetAll(ctx, l.store, benefit.VoucherStates, vouchers...)
}

// operate has an operation carried out on the certificate with a code.
func (l *lab) operate(code string, action benefit.Action) {
	l.t.Helper()
	c := &benefit.OnVoucher{Action: action, Key: fmt.Sprint(action, l.clock.Load()), Code: code}
	if err := l.issuer.Do(context.Background(), c); err != nil || c.Outcome.Reason != benefit.NotRefused {
		l.t.Fatalf("%v: %v, %v", c, err, c.Outcome.Reason)
	}
}

// brokenFinder cannot be read.
type brokenFinder struct{ top.Finder }

func (brokenFinder) Claim(context.Context, benefit.Scope, string) (*benefit.Issuance, error) {
	return nil, errors.New("broken")
}

func (brokenFinder) Recipient(context.Context, benefit.Identifier) (*benefit.User, error) {
	return nil, errors.New("broken")
}

// restart stops the process and starts it again on what was committed.
func (l *lab) restart() {
	l.stop()
	l.store = l.store.Reopen()
	l.start()
}

// change puts the draft into force, as an operator's change of the catalogue does.
func (l *lab) change(do func(*draft)) {
	l.t.Helper()
	do(l.draft)
	entities := l.draft.entities(l.t)
	err := l.issuer.Change(context.Background(), func(_ context.Context, _ store.Reader, cat *benefit.Catalogue, _ benefit.Env) (*benefit.Changes, error) {
		return &benefit.Changes{Catalogue: cat.Version + 1, Rows: benefit.RowsOf(benefit.Entities.Rows(entities...)), Users: l.draft.users}, nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error) {
	l.request.Store(r)
	switch {
	case l.broken != nil:
		return benefit.Outcome{}, l.broken
	case l.crafted != nil:
		return l.crafted(r), nil
	}
	return l.issuer.Issue(ctx, r)
}

// wordRules knows two rules: "never" does not hold, and "vip" holds for users with any attributes.
type wordRules struct{}

func (wordRules) References(string) (templates, activities []string) { return nil, nil }
func (wordRules) Holds(rule string, in *benefit.RuleInput) (bool, error) {
	return rule == "vip" && len(in.Attributes) > 0, nil
}

// labCall is a call of a method whose parameters are one object.
type labCall struct {
	method, session string
	body            any // of the object parameter; nil: the parameter is not sent
	params          map[string]string
	app             string // its app_key; "": the lab's
}

var objects = map[string]string{
	decisionMethod: "decision_send_top_req", sendMethod: "nrt_certificate_send_d_t_o",
	queryMethod: "nrt_certificate_instance_query_d_t_o",
}

func (c *labCall) paramsAt(f wire.Format, at time.Time) *wire.Call {
	w := &wire.Call{Method: c.method, AppKey: labKey, Session: c.session, Format: f, At: at, Params: map[string]string{}}
	if c.app != "" {
		w.AppKey = c.app
	}
	for name, value := range c.params {
		w.Params[name] = value
	}
	switch body := c.body.(type) {
	case nil:
	case string:
		w.Params[objects[c.method]] = body
	default:
		text, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		w.Params[objects[c.method]] = string(text)
	}
	return w
}

// post makes a call and gives the bytes of the answer.
func (l *lab) post(c *labCall, f wire.Format) string {
	form := c.paramsAt(f, l.now()).Form(labSecret)
	r := httptest.NewRequest(http.MethodPost, top.Path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w.Body.String()
}

// call makes a call and reads the answer.
func (l *lab) call(c *labCall) *wire.Reply {
	l.t.Helper()
	text := l.post(c, wire.JSON)
	reply, err := wire.ReadReply([]byte(text), wire.JSON, c.method)
	if err != nil {
		l.t.Fatalf("%v: %s", err, text)
	}
	return reply
}

type object = map[string]any

// decide returns a call of decisionsend for labUser; change is put over the members.
func decide(key string, change object) *labCall {
	body := object{"scene_code": labScene, "request_id": key, "biz_code": "XXXX", "user_type": "ALIPAY", "user_id": labUser}
	put(body, change)
	return &labCall{method: decisionMethod, body: body}
}

// certificate returns a call of certificate.send for labOpenID; change is put over the members.
func certificate(change object) *labCall {
	body := object{"channel": 7, "open_id": labOpenID, "out_id": 123, "biz_code": "23"}
	put(body, change)
	return &labCall{method: sendMethod, session: "ours", body: body}
}

// query returns a call of certificate.query for labOpenID; change is put over the members.
func query(change object) *labCall {
	body := object{"open_id": labOpenID}
	put(body, change)
	return &labCall{method: queryMethod, session: "ours", body: body}
}

func put(body, change object) {
	for name, value := range change {
		if value == nil {
			delete(body, name)
		} else {
			body[name] = value
		}
	}
}

// decided is an answer of decisionsend in short.
type decided struct {
	Status, Code string
	Retry        bool
	Rights       []string // right_instance_id
	Errors       []string // type act_code right_id error_code
}

func (l *lab) decide(c *labCall) decided {
	l.t.Helper()
	r := l.call(c)
	if r.Refusal != nil {
		l.t.Fatal(r.Refusal, r.Refusal.SubMsg)
	}
	d := decided{
		Status: r.Text("result", "result_obj", "status"), Code: r.Text("result", "result_code"),
		Retry: r.Text("result", "can_retry") == "true",
	}
	if success := r.Text("result", "success"); success != map[bool]string{true: "true", false: "false"}[d.Status == "SUCCESS"] {
		l.t.Errorf("status %s with success %s", d.Status, success)
	}
	text := func(o any, name string) string { s, _ := o.(map[string]any)[name].(string); return s }
	for _, o := range r.List("right_send_top_v_o", "result", "result_obj", "right_send_top_vo_list") {
		d.Rights = append(d.Rights, text(o, "right_instance_id"))
	}
	for _, o := range r.List("decision_error_top_d_t_o", "result", "result_obj", "error_top_dto_list") {
		d.Errors = append(d.Errors, strings.Join([]string{text(o, "type"), text(o, "act_code"), text(o, "right_id"), text(o, "error_code")}, " "))
	}
	return d
}

// lastCode returns the code of the certificate that was issued last.
func (l *lab) lastCode() string {
	l.t.Helper()
	reader, err := l.store.Read(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	defer reader.Close()
	var last *benefit.Issuance
	for i, err := range reader.AllIssuances(context.Background()) {
		if err != nil {
			l.t.Fatal(err)
		}
		if last == nil || i.At() > last.At() {
			last = i
		}
	}
	return last.Vouchers()[0].Code
}

// issued returns how many vouchers the store holds.
func (l *lab) issued() (n int) {
	l.t.Helper()
	reader, err := l.store.Read(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	defer reader.Close()
	for i, err := range reader.AllIssuances(context.Background()) {
		if err != nil {
			l.t.Fatal(err)
		}
		n += len(i.Vouchers())
	}
	return n
}
