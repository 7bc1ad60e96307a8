package alipay_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/gateway/form"
	"faquan/internal/gateway/scope"
	"faquan/internal/store"
)

// code returns what an answer comes to.
func code(a *wire.Answer) string {
	if a.OK() {
		return "OK"
	}
	return a.Code + " " + a.SubCode
}

// expect makes a call and checks what it comes to.
func (w *world) expect(t testing.TB, c *caller, want string) *wire.Answer {
	t.Helper()
	answer, _ := w.call(t, c)
	if code(answer) != want {
		t.Errorf("got %s (%s), want %s", code(answer), answer.SubMsg, want)
	}
	return answer
}

// offCall sends a voucher of a template to alice, under a key.
func offCall(template, key string) *caller {
	return send(fmt.Sprintf(`{"template_id":%q,"user_id":%q,"out_biz_no":%q}`, template, aliceID, key))
}

// Of two wrongs in one call the one that stands first here is answered.
func TestOrderOfChecks(t *testing.T) {
	wrongs := []struct {
		name, want string
		do         func(*caller)
	}{
		{"verb", "40002 isv.invalid-parameter", func(c *caller) { c.via = "DELETE" }},
		{"method", "40002 isv.invalid-method", func(c *caller) { c.params["method"] = "alipay.no.such" }},
		{"signature", "40002 isv.invalid-signature", func(c *caller) { c.key = strangerKey() }},
		{"disabled", "40003 isv.invalid-app-state", func(c *caller) { c.params["app_id"] = "9-disabled" }},
		{"sign_type", "40002 isv.invalid-signature-type", func(c *caller) { c.params["sign_type"] = "RSA" }},
		{"grant", "40006 isv.insufficient-isv-permissions", func(c *caller) { c.params["app_id"] += "-ungranted" }},
		{"token", "20001 aop.invalid-app-auth-token", func(c *caller) { c.params["app_auth_token"] = "nobody's" }},
		{"rate", "40005 isv.app-call-limited", func(c *caller) { c.params["app_id"] += "-limited" }},
		{"json", "40002 isv.illegal-json", func(c *caller) { c.params["biz_content"] = "{" }},
	}
	for i := range wrongs {
		for k := range i {
			t.Run(wrongs[k].name+" before "+wrongs[i].name, func(t *testing.T) {
				c := goodCall()
				c.params["app_id"] = "9"
				wrongs[k].do(c)
				wrongs[i].do(c)
				w := newWorld(t, nil)
				w.addApp(t, c.params["app_id"])
				if strings.HasSuffix(c.params["app_id"], "-limited") {
					used := offCall(offID, "used up").with("app_id", c.params["app_id"])
					w.call(t, used)
				}
				w.expect(t, c, wrongs[k].want)
			})
		}
	}
}

// addApp makes an app that is as its app_id says. It signs by RSA2 alone.
func (w *world) addApp(t *testing.T, appID string) {
	app := &benefit.App{ID: 9, Name: "nine", Merchant: ours, AppID: appID, PublicKey: appPEM(), SignTypes: []string{"RSA2"}}
	app.Disabled = strings.Contains(appID, "-disabled")
	if strings.Contains(appID, "-ungranted") {
		app.Methods = []string{"taobao.time.get"}
	}
	if strings.Contains(appID, "-limited") {
		app.RatePerSecond = 1
	}
	w.change(t, app)
}

// change puts an entity into the catalogue as an operator does.
func (w *world) change(t testing.TB, entity any) {
	t.Helper()
	e, err := benefit.EntityOf(entity)
	if err != nil {
		t.Fatal(err)
	}
	err = w.issuer.Change(t.Context(), func(_ context.Context, _ store.Reader, cat *benefit.Catalogue, _ benefit.Env) (*benefit.Changes, error) {
		return &benefit.Changes{Catalogue: cat.Version + 1, Rows: benefit.RowsOf(benefit.Entities.Rows(e))}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnAppThatNamesNoSignTypeSignsByRSA2(t *testing.T) {
	w := newWorld(t, nil)
	w.expect(t, goodCall().with("app_id", "2014072300000007"), "OK")
	w.expect(t, goodCall().with("app_id", "2014072300000007").with("sign_type", "RSA"), "40002 isv.invalid-signature-type")
}

// What reaches the core is what was sent, whatever the charset.
func TestTheRequestToTheCore(t *testing.T) {
	ident := func(kind, value string, app benefit.AppID) benefit.Identifier {
		return benefit.Identifier{Type: kind, Value: value, App: app}
	}
	all := `"taobao_nick":"越yue54333","login_id":"13196215350"`
	tests := []struct {
		who  string
		want benefit.Identifier
	}{
		{all + `,"open_id":"` + aliceOpen + `","user_id":"` + aliceID + `"`, ident(benefit.AlipayID, aliceID, 0)},
		{all + `,"open_id":"` + aliceOpen + `"`, ident(benefit.OpenID, aliceOpen, 1)},
		{all + `,"open_id":"","user_id":null`, ident(benefit.Login, "13196215350", 0)},
		{`"taobao_nick":"越yue54333"`, ident(benefit.Nick, "越yue54333", 0)},
	}
	for _, charset := range []string{"utf-8", "GBK"} {
		for _, test := range tests {
			w := newWorld(t, nil)
			c := send(`{"template_id":"` + cashID + `","out_biz_no":"单号 1","amount":10.5,"memo":"优酷·会员 \ud83c\udf81","extend_info":"{\"k\":\"值\"}",` + test.who + `}`)
			c.charset = charset
			w.expect(t, c, "OK")
			line := benefit.Line{Template: 1, Sends: 1, Quantity: 1, Amount: 1050, HasAmount: true}
			want := &benefit.Request{
				Scope: scope.Template(1), Key: "单号 1", App: 1, Recipient: test.want, OnAlipay: true, Lines: []benefit.Line{line},
				Fingerprint: benefit.FingerprintOf([]benefit.Line{line}),
				Note:        benefit.Note{Memo: "优酷·会员 🎁", Extend: `{"k":"值"}`},
			}
			if diff := cmp.Diff(want, w.request.Load()); diff != "" {
				t.Errorf("%s, %s (-want +got)\n%s", charset, test.who, diff)
			}
		}
	}
}

// What is kept for people to read is bounded too, at 4096 characters.
func TestExtendInfoIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	for length, want := range map[int]string{4096: "OK", 4097: "40004 INVALID_PARAMETER"} {
		biz := fmt.Sprintf(`{"template_id":%q,"user_id":%q,"out_biz_no":"K","extend_info":%q}`, offID, aliceID, strings.Repeat("值", length))
		w.expect(t, send(biz), want)
	}
}

// No amount and an amount of nothing are not the same.
func TestNoAmount(t *testing.T) {
	w := newWorld(t, nil)
	w.expect(t, offCall(offID, "K"), "OK")
	if l := w.request.Load().Lines[0]; l.HasAmount || l.Amount != 0 {
		t.Errorf("the line: %+v", l)
	}
}

func TestTimestampTolerance(t *testing.T) {
	tests := []struct {
		tolerance time.Duration
		timestamp string
		want      string
	}{
		{0, "2001-01-01 00:00:00", "OK"},
		{10 * time.Minute, "2026-11-22 12:10:00", "OK"},
		{10 * time.Minute, "2026-11-22 11:50:00", "OK"},
		{10 * time.Minute, "2026-11-22 12:10:01", "40002 isv.invalid-timestamp"},
		{10 * time.Minute, "2026-11-22 11:49:59", "40002 isv.invalid-timestamp"},
	}
	for _, test := range tests {
		w := newWorld(t, func(o *alipay.Options) { o.Tolerance = test.tolerance })
		w.expect(t, goodCall().with("timestamp", test.timestamp), test.want)
	}
}

// A token lasts to the last millisecond before it expires.
func TestTokenExpiry(t *testing.T) {
	w := newWorld(t, nil)
	w.expect(t, offCall("OTHERS", "K").with("app_auth_token", "token-lasts"), "OK")
	w.expect(t, offCall("OTHERS", "K").with("app_auth_token", "token-over"), "20001 aop.app-auth-token-time-out")
	w.expect(t, offCall("OTHERS", "K").with("app_auth_token", "token-revoked"), "20001 aop.invalid-app-auth-token")
	w.expect(t, offCall("OTHERS", "K").with("app_auth_token", "token-refresh"), "20001 aop.invalid-app-auth-token")
}

func TestUnreadableSessions(t *testing.T) {
	broken := errors.New("the disk is gone")
	w := newWorld(t, func(o *alipay.Options) {
		o.Sessions = gateway.NewSessions(func(context.Context, benefit.Digest) (*benefit.Session, error) { return nil, broken }, 0)
	})
	w.expect(t, offCall("OTHERS", "K").with("app_auth_token", "token-others"), "40004 SYSTEM_ERROR")
	if !strings.Contains(w.log.String(), "the disk is gone") {
		t.Errorf("the log: %s", w.log)
	}
}

// A change of the catalogue is in force for the first call after it.
func TestChangesAreInForceAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	first := w.expect(t, offCall(offID, "K1"), "OK")
	paused := templates()[1]
	paused.Status = benefit.Paused
	w.change(t, paused)
	w.expect(t, offCall(offID, "K2"), "40004 TEMPLATE_PAUSED")
	// A bound key is answered from its record, whatever has been paused since.
	if again := w.expect(t, offCall(offID, "K1"), "OK"); string(again.Node) != string(first.Node) {
		t.Errorf("the retry: %s, first %s", again.Node, first.Node)
	}
	disabled := apps()[0]
	disabled.Disabled = true
	w.change(t, disabled)
	w.expect(t, offCall(offID, "K1"), "40003 isv.invalid-app-state")
}

// Who retries by another identifier of the same user gets the same voucher, and the user_id of the first call.
func TestRetryByAnotherIdentifier(t *testing.T) {
	w := newWorld(t, nil)
	first := w.expect(t, offCall(offID, "K"), "OK")
	again := w.expect(t, send(`{"template_id":"`+offID+`","login_id":"13196215350","out_biz_no":"K"}`), "OK")
	if string(again.Node) != string(first.Node) {
		t.Errorf("the retry: %s, first %s", again.Node, first.Node)
	}
}

// Calls at once with one key: one issues, the others get its outcome.
func TestOneKeyAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	nodes := make([]string, 16)
	var wg sync.WaitGroup
	for k := range nodes {
		wg.Go(func() {
			answer, _ := w.call(t, offCall(offID, "K"))
			nodes[k] = string(answer.Node)
		})
	}
	wg.Wait()
	for _, node := range nodes {
		if node != nodes[0] || !strings.Contains(node, "voucher_id") {
			t.Errorf("one got %s, another %s", nodes[0], node)
		}
	}
}

func TestRateLimitRefills(t *testing.T) {
	now := noon
	w := newWorld(t, func(o *alipay.Options) { o.Clock = func() time.Time { return now } })
	limited := func(key, want string) { w.expect(t, offCall(offID, key).with("app_id", "2014072300000005"), want) }
	limited("K1", "OK")
	limited("K2", "40005 isv.app-call-limited")
	now = now.Add(999 * time.Millisecond)
	limited("K2", "40005 isv.app-call-limited")
	now = now.Add(time.Millisecond)
	limited("K2", "OK")
	w.expect(t, offCall(offID, "K3"), "OK") // another app
}

// Only the app can use its rate limit up.
func TestStrangersDoNotUseTheRateUp(t *testing.T) {
	w := newWorld(t, nil)
	for range 3 {
		c := offCall(offID, "K").with("app_id", "2014072300000005")
		c.key = strangerKey()
		w.expect(t, c, "40002 isv.invalid-signature")
	}
	for _, token := range []string{"nobody's", "token-over", "token-revoked", "token-stranger"} {
		c := offCall(offID, "K").with("app_id", "2014072300000005").with("app_auth_token", token)
		if got := code(first(w.call(t, c))); !strings.HasPrefix(got, "20001") {
			t.Errorf("%s: got %s", token, got)
		}
	}
	w.expect(t, offCall(offID, "K").with("app_id", "2014072300000005"), "OK")
}

func first[A, B any](a A, _ B) A { return a }

// Calls that do not authenticate are refused in the same way however many there are. Beyond a number for one app and
// address they are no longer explained and logged. Other calls are not affected.
func TestAFloodOfWrongSignatures(t *testing.T) {
	now := noon
	w := newWorld(t, func(o *alipay.Options) { o.Clock = func() time.Time { return now } })
	wrong := offCall(offID, "K")
	wrong.key = strangerKey()
	raw := wrong.raw()
	from := func(address string) (explained bool) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = address
		res := httptest.NewRecorder()
		w.ServeHTTP(res, r)
		answer, err := wire.VerifyAnswer(res.Body.Bytes(), wire.UTF8, method, &platformKey().PublicKey, wire.RSA2)
		if err != nil || answer.SubCode != "isv.invalid-signature" {
			t.Fatalf("%v: %s", err, res.Body)
		}
		return strings.Contains(answer.SubMsg, "网关生成的验签字符串")
	}
	explained := 0
	for range 100 {
		if from("192.0.2.1:4000") {
			explained++
		}
	}
	if logged := strings.Count(w.log.String(), "isv.invalid-signature"); explained != 60 || logged != 60 {
		t.Errorf("%d of 100 are explained, %d logged; want 60", explained, logged)
	}
	w.expect(t, offCall(offID, "K"), "OK") // without an address of its own
	if !from("192.0.2.2:4000") {
		t.Error("the bound holds for another address")
	}
	w.log.Reset()
	now = now.Add(time.Second)
	if !from("192.0.2.1:4001") || from("192.0.2.1:4001") || !strings.Contains(w.log.String(), `"suppressed":40`) {
		t.Errorf("a second later: %s", w.log)
	}
}

// A call whose signature is good is authenticated, even if nobody can say what was signed: it does not use up what is
// explained to those who fail to sign, and all of them are logged.
func TestAFloodOfHiddenParameters(t *testing.T) {
	w := newWorld(t, nil)
	hidden := offCall(offID, "K").with("alipay_sdk", "java&app_auth_token=T")
	for range 100 {
		w.expect(t, hidden, "40002 isv.invalid-parameter")
	}
	if logged := strings.Count(w.log.String(), `"variant":"`); logged != 100 {
		t.Errorf("%d of 100 are logged as authenticated", logged)
	}
	wrong := offCall(offID, "K")
	wrong.key = strangerKey()
	if answer := first(w.call(t, wrong)); !strings.Contains(answer.SubMsg, "网关生成的验签字符串") {
		t.Errorf("a wrong signature is not explained: %s", answer.SubMsg)
	}
}

// Calls that the server could not read or look up do not use up what is explained to those who fail to authenticate.
func TestOwnFailuresAreNotTheCallers(t *testing.T) {
	for name, call := range map[string]func(*world){
		"no memory for the body": func(w *world) {
			query := "?app_id=" + appID + "&method=" + method
			r := httptest.NewRequest(http.MethodPost, alipay.Path+query, iotest.ErrReader(form.ErrBusy))
			w.ServeHTTP(httptest.NewRecorder(), r)
		},
		"the sessions cannot be read": func(w *world) {
			w.expect(t, offCall(offID, "K").with("app_auth_token", "token-others"), "40004 SYSTEM_ERROR")
		},
	} {
		w := newWorld(t, func(o *alipay.Options) {
			o.Sessions = gateway.NewSessions(func(context.Context, benefit.Digest) (*benefit.Session, error) { return nil, errors.New("of the test") }, 0)
		})
		for range 100 {
			call(w)
		}
		wrong := offCall(offID, "K")
		wrong.key = strangerKey()
		if answer := first(w.call(t, wrong)); !strings.Contains(answer.SubMsg, "网关生成的验签字符串") {
			t.Errorf("%s: then a wrong signature is not explained: %s", name, answer.SubMsg)
		}
	}
}

// slow is an issuer that never gets to a request.
type slow struct{}

func (slow) Issue(ctx context.Context, _ *benefit.Request) (benefit.Outcome, error) {
	<-ctx.Done()
	return benefit.Outcome{}, engine.ErrGaveUp
}

func TestDeadline(t *testing.T) {
	w := newWorld(t, func(o *alipay.Options) { o.Issuer, o.Deadline = slow{}, 300*time.Millisecond })
	w.expect(t, goodCall(), "40004 SYSTEM_ERROR")
}

// poison makes the handler panic.
type poison struct{}

func (poison) Issue(context.Context, *benefit.Request) (benefit.Outcome, error) { panic("poisoned") }

func TestAPanicIsAnUnknownOutcome(t *testing.T) {
	w := newWorld(t, func(o *alipay.Options) { o.Issuer = poison{} })
	w.expect(t, goodCall(), "20000 isp.unknow-error")
	if !strings.Contains(w.log.String(), "poisoned") {
		t.Errorf("the log: %s", w.log)
	}
}

// An error that nobody thought of does not say that nothing was issued.
func TestUnforeseenErrors(t *testing.T) {
	w := newWorld(t, nil)
	w.broken = errors.New("unforeseen")
	w.expect(t, goodCall(), "20000 isp.unknow-error")
	w.broken = fmt.Errorf("%w: the disk is full", engine.ErrNotIssued)
	w.expect(t, goodCall(), "40004 SYSTEM_ERROR")
}

// What a caller chose comes back as text: nothing in the answer is HTML, and its signature is over what is sent.
func TestNoHTMLInAnswers(t *testing.T) {
	w := newWorld(t, nil)
	const script = `<script>alert("&")</script>`
	for name, c := range map[string]*caller{
		"a value in an explanation": goodCall().with("memo", script),
		"the name of a member":      send(`{"` + "<script>" + `":1,"` + "<script>" + `":2}`),
	} {
		if strings.HasPrefix(name, "a value") {
			c.key = strangerKey()
		}
		answer, res := w.call(t, c) // verifies it
		if strings.ContainsAny(res.Body.String(), "<>") || !strings.Contains(answer.SubMsg, "&lt;script&gt;") {
			t.Errorf("%s: %s", name, res.Body)
		}
	}
	r := httptest.NewRequest(http.MethodPost, alipay.Path, strings.NewReader("%3Cimg/src%3E=1&%3Cimg/src%3E=2&method="+method))
	res := httptest.NewRecorder()
	w.ServeHTTP(res, r)
	answer, err := wire.VerifyAnswer(res.Body.Bytes(), wire.UTF8, method, &platformKey().PublicKey, wire.RSA2)
	if err != nil || answer.SubMsg != "参数&lt;img/src&gt;重复且取值不同" || strings.Contains(res.Body.String(), `\u003c`) {
		t.Errorf("the name of a parameter: %v, %s", err, res.Body)
	}
	if got := res.Header().Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options %q", got)
	}
}

func TestOtherPaths(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{"/", "/gateway.do/", "/gateway"} {
		if res := w.do(t, []byte("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")); res.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, res.Code)
		}
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, func(o *alipay.Options) { o.MaxBytes = 700 })
	c := offCall(offID, "K").with("pad", strings.Repeat("x", 700))
	raw := c.raw()
	res := w.do(t, raw)
	// The method is not known of a body that is not read.
	if _, err := wire.VerifyAnswer(res.Body.Bytes(), wire.UTF8, "", &platformKey().PublicKey, wire.RSA2); err != nil {
		t.Fatalf("%v: %s", err, res.Body)
	}
	if !strings.Contains(res.Body.String(), `"isv.invalid-parameter","sub_msg":"请求过大"`) {
		t.Errorf("the answer: %s", res.Body)
	}
}

// brokenSigner has lost its key.
type brokenSigner struct{}

func (brokenSigner) Sign(wire.SignType, []byte) ([]byte, error) { return nil, errors.New("no key") }

// What is not signed is not sent.
func TestNoSignatureNoAnswer(t *testing.T) {
	w := newWorld(t, func(o *alipay.Options) { o.Signer = brokenSigner{} })
	res := w.do(t, goodCall().raw())
	if res.Code != http.StatusInternalServerError || strings.Contains(res.Body.String(), "voucher") {
		t.Errorf("status %d: %s", res.Code, res.Body)
	}
	if !strings.Contains(w.log.String(), "no key") {
		t.Errorf("the log: %s", w.log)
	}
}

// After the platform's key was changed no answer carries the old one's signature, not even one that was kept.
func TestSetSigner(t *testing.T) {
	w := newWorld(t, nil)
	bad := func() *caller { return offCall("NOWHERE", "K") }
	w.expect(t, bad(), "40004 TEMPLATE_NOT_EXIST")
	other, err := wire.NewKeySigner(strangerKey())
	if err != nil {
		t.Fatal(err)
	}
	w.SetSigner(other)
	res := w.do(t, bad().raw())
	if _, err := wire.VerifyAnswer(res.Body.Bytes(), wire.UTF8, method, &strangerKey().PublicKey, wire.RSA2); err != nil {
		t.Errorf("%v: %s", err, res.Body)
	}
}

// The log says what an operator looks for, and nothing that must not be in one.
func TestTheRecord(t *testing.T) {
	w := newWorld(t, nil)
	c := send(`{"template_id":"OTHERS","login_id":"13196215350","out_biz_no":"order-1","memo":"a memo","extend_info":"{\"alipayMiniAppToken\":\"mini\"}"}`)
	c.with("app_auth_token", "token-others")
	answer, res := w.call(t, c)
	if !answer.OK() {
		t.Fatal(code(answer))
	}
	wrong := send(`{"template_id":"OTHERS","login_id":"13196215350","out_biz_no":"order-2"}`)
	wrong.key = strangerKey()
	w.call(t, wrong)

	log := w.log.String()
	for _, want := range []string{
		`"protocol":"alipay"`, `"method":"` + method + `"`, `"app_id":"` + appID + `"`, `"code":"10000"`, `"template":"OTHERS"`,
		`"key":"order-1"`, `"voucher":"765483968103834896"`, `"replayed":false`, `"variant":"without-empties"`,
		`"trace":"` + res.Header().Get("trace_id") + `"`, `"sub_code":"isv.invalid-signature"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s: %s", want, log)
		}
	}
	for _, secret := range []string{c.sign, "13196215350", "token-others", "a memo", "mini", "order-2", `"sign"`} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q: %s", secret, log)
		}
	}
}

// A call that issues nothing is remembered with what it was answered: by our trace id and by its key, as far as it said
// one; the trace id of one that issues leads to its voucher.
func TestRefusalsOfCalls(t *testing.T) {
	refusals := gateway.NewRefusals()
	w := newWorld(t, func(o *alipay.Options) { o.Refusals = refusals })
	good := `{"template_id":"` + offID + `","user_id":"` + aliceID + `","out_biz_no":"k"}`
	answer, res := w.call(t, send(good))
	var issued struct {
		VoucherID string `json:"voucher_id"`
	}
	if err := json.Unmarshal(answer.Node, &issued); err != nil {
		t.Fatal(err)
	}
	if v, ok := gateway.VoucherOf(res.Header().Get("trace_id")); !ok || v.Long() != issued.VoucherID {
		t.Errorf("the trace id %s leads to %s, want %s", res.Header().Get("trace_id"), v.Long(), issued.VoucherID)
	}
	wrongKey := send(good)
	wrongKey.key = strangerKey()
	for _, test := range []struct {
		call              *caller
		subCode, key      string
		reason            benefit.Reason
		template, message string
		asked, attempted  bool
	}{
		{send(`{"template_id":"` + offID + `","user_id":"` + bobID + `","out_biz_no":"k"}`), "OUT_BIZ_NO_CONFLICT", "k", benefit.KeyConflict, w.name(offID), "已用于内容不同的请求", true, false},
		{send(`{"template_id":"NOPE","user_id":"` + bobID + `","out_biz_no":"k"}`), "TEMPLATE_NOT_EXIST", "k", benefit.TemplateNotFound, "NOPE", "模板不存在", false, false},
		{send(`{"template_id":"` + offID + `","out_biz_no":"k2"}`), "INVALID_PARAMETER", "k2", 0, offID, "user_id、open_id", false, false},
		{send(`{"template_id":"` + offID + `"`), "isv.illegal-json", "", 0, "", "", false, false},
		{send(`{"template_id":"` + offID + `","user_id":"` + frozenID + `","out_biz_no":"k3"}`), "USER_STATUS_ERROR", "k3", benefit.UserFrozen, w.name(offID), "用户状态不可用", true, true},
		{wrongKey, "isv.invalid-signature", "", 0, "", "", false, false},
	} {
		_, res := w.call(t, test.call)
		found := refusals.Find(func(c *gateway.Record) bool { return c.TraceID == res.Header().Get("trace_id") }, 9)
		if len(found) != 1 {
			t.Errorf("%s: %d are found by the trace id that was answered", test.subCode, len(found))
			continue
		}
		c := found[0]
		if c.SubCode != test.subCode || c.Key != test.key || c.Reason != test.reason || c.Template != test.template || c.App != 1 ||
			!strings.Contains(c.Message, test.message) || (c.Request != nil) != test.asked || (c.Attempt != nil) != test.attempted || c.At != noon {
			t.Errorf("%s: remembered as %+v", test.subCode, c)
		}
	}
}

// A body for which there is no memory is refused in a way that says that nothing was issued. SDKs find the signature
// that they check, under the method where the query has it.
func TestRefusedBodies(t *testing.T) {
	w := newWorld(t, nil)
	for method, query := range map[string]string{"": "", "alipay.marketing.voucher.send": "?method=alipay.marketing.voucher.send"} {
		for cause, want := range map[error]string{
			form.ErrBusy: "40004 SYSTEM_ERROR 系统繁忙，本次请求未处理，请稍后重试",
			form.ErrSlow: "40004 SYSTEM_ERROR 接收请求超时，请稍后重试",
		} {
			res := httptest.NewRecorder()
			w.ServeHTTP(res, httptest.NewRequest(http.MethodPost, alipay.Path+query, iotest.ErrReader(cause)))
			answer, err := wire.VerifyAnswer(res.Body.Bytes(), wire.UTF8, method, &platformKey().PublicKey, wire.RSA2)
			if err != nil {
				t.Fatalf("%v: %s", err, res.Body)
			}
			if got := code(answer) + " " + answer.SubMsg; got != want {
				t.Errorf("%v: got %s, want %s", cause, got, want)
			}
		}
	}
}

// An identifier that can be nobody's is refused before it makes a user with fresh limits, and the answer names the rule.
func TestIdentifiers(t *testing.T) {
	w := newWorld(t, nil)
	call := func(key, who string) *caller {
		return send(`{"template_id":"` + offID + `","out_biz_no":"` + key + `",` + who + `}`)
	}
	refused := map[string]string{
		`"user_id":"2088"`:                "参数user_id应为2088开头的16位数字",
		`"user_id":"x y"`:                 "参数user_id应为1至16位数字",
		`"open_id":"undefined"`:           "参数open_id不是用户标识，调用方的变量可能没有值",
		`"login_id":" 13196215350"`:       "参数login_id首尾不能有空白字符",
		`"taobao_nick":"越yue54333\u3000"`: "参数taobao_nick首尾不能有空白字符",
		`"open_id":"two\nlines"`:          "参数open_id含有控制字符",
	}
	for who, want := range refused {
		_, recorded := w.call(t, call("K", who))
		if text := recorded.Body.String(); !strings.Contains(text, `"code":"40004"`) || !strings.Contains(text, `"sub_code":"INVALID_PARAMETER","sub_msg":"`+want+`"`) {
			t.Errorf("%s: %s", who, text)
		}
	}

	// The owner of the template relaxes the form of user_id, and takes it back: what was bound is replayed.
	w.change(t, &benefit.Merchant{ID: ours, Name: "ours", Open: true, AnyUserID: true, UserTypes: []string{benefit.AlipayID}})
	w.expect(t, call("K", `"user_id":"2088"`), "OK")
	w.expect(t, call("L", `"user_id":"x y"`), "40004 INVALID_PARAMETER")
	w.expect(t, call("L", `"open_id":"new"`), "40004 INVALID_PARAMETER")
	w.expect(t, call("M", `"login_id":"13196215350"`), "OK")
	w.change(t, &benefit.Merchant{ID: ours, Name: "ours", Open: true})
	w.expect(t, call("K", `"user_id":"2088"`), "OK")
	w.expect(t, call("L", `"user_id":"2088"`), "40004 INVALID_PARAMETER")
	w.expect(t, call("L", `"open_id":"new"`), "OK")
}
