package top_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/form"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
)

// refusal makes a call of raw parameters, signed under the secret, and gives the code and sub_code of the answer; ""
// for a success.
func (l *lab) refusal(verb string, params map[string]string, secret string) string {
	l.t.Helper()
	var w *httptest.ResponseRecorder
	form := wire.SignRequest(params, secret, wire.MD5)
	if verb == http.MethodGet {
		w = l.do(httptest.NewRequest(verb, top.Path+"?"+form, nil))
	} else {
		r := httptest.NewRequest(verb, top.Path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w = l.do(r)
	}
	reply, err := wire.ReadReply(w.Body.Bytes(), wire.JSON, params["method"])
	if err != nil {
		l.t.Fatalf("%v: %s", err, w.Body)
	}
	if reply.Refusal == nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprint(reply.Refusal.Code, " ", reply.Refusal.SubCode))
}

func (l *lab) do(r *http.Request) *httptest.ResponseRecorder {
	l.t.Helper()
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		l.t.Fatalf("status %d", w.Code)
	}
	return w
}

// Of two wrongs in one call the one that stands first here is answered.
func TestOrderOfChecks(t *testing.T) {
	type wrongCall struct {
		verb, secret string
		params       map[string]string
		app          *benefit.App
	}
	wrongs := []struct {
		name, want string
		do         func(*wrongCall)
	}{
		{"verb", "9", func(c *wrongCall) { c.verb = http.MethodPut }},
		{"method", "22", func(c *wrongCall) { c.params["method"] = "taobao.no.such" }},
		{"timestamp", "31", func(c *wrongCall) { c.params["timestamp"] = "yesterday" }},
		{"version", "33", func(c *wrongCall) { c.params["v"] = "3.0" }},
		{"signature", "25", func(c *wrongCall) { c.secret = "another" }},
		{"disabled", "11 isv.app-disabled", func(c *wrongCall) { c.app.Disabled = true }},
		{"session", "27 invalid-sessionkey", func(c *wrongCall) { c.params["session"] = "made up" }},
		{"grant", "11 isv.permission-api-package-not-allowed", func(c *wrongCall) { c.app.Methods = []string{"taobao.time.get"} }},
		{"rate", "7 accesscontrol.limited-by-app-access-count", func(c *wrongCall) { c.app.RatePerSecond = 1 }},
		{"parameters", "40 isv.missing-parameter:fields", func(c *wrongCall) { delete(c.params, "fields") }},
	}
	for i := range wrongs {
		for k := range i {
			t.Run(wrongs[k].name+" before "+wrongs[i].name, func(t *testing.T) {
				call := &wrongCall{
					http.MethodPost, labSecret, sellerCall("user_id"),
					&benefit.App{ID: 1, Name: "app", Merchant: 1, AppKey: labKey, AppSecret: []byte(labSecret)},
				}
				wrongs[k].do(call)
				wrongs[i].do(call)
				l := newActivityLab(t, func(d *draft) { d.apps[0] = call.app })
				if call.app.RatePerSecond > 0 && !call.app.Disabled && len(call.app.Methods) == 0 {
					if got := l.refusal(http.MethodPost, sellerCall("user_id"), labSecret); got != "" {
						t.Fatalf("the first call: %s", got)
					}
				}
				if got := l.refusal(call.verb, call.params, call.secret); got != wrongs[k].want {
					t.Errorf("got %s, want %s", got, wrongs[k].want)
				}
			})
		}
	}
}

// sellerCall returns the parameters of a good call of user.seller.get.
func sellerCall(fields string) map[string]string {
	return map[string]string{
		"method": "taobao.user.seller.get", "app_key": labKey, "session": "carol", "v": "2.0", "format": "json",
		"timestamp": "2026-11-22 12:00:00", "fields": fields,
	}
}

func TestSellerGet(t *testing.T) {
	l := newActivityLab(t, func(d *draft) {
		d.sessions = append(d.sessions, &benefit.Session{Digest: benefit.SessionDigest("merchantless"), App: 1})
	})
	ask := func(session, fields string) (*wire.Reply, string) {
		reply := l.call(&labCall{method: "taobao.user.seller.get", session: session, params: map[string]string{"fields": fields}})
		if reply.Refusal != nil {
			return nil, fmt.Sprint(reply.Refusal.Code, " ", reply.Refusal.SubCode)
		}
		return reply, ""
	}
	reply, bad := ask("carol", "user_id,nick,type,status,has_shop,sex")
	if bad != "" {
		t.Fatal(bad)
	}
	want := object{"user_id": "1001", "nick": "我们的旗舰店", "type": "B", "status": "normal", "has_shop": "true"}
	got := object{}
	for name := range reply.Root["user"].(object) {
		got[name] = reply.Text("user", name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if reply, _ = ask("others", "nick"); reply.Text("user", "nick") != "others" || reply.Text("user", "user_id") != "" {
		t.Errorf("a merchant without a title: %v", reply.Root)
	}
	for _, test := range []struct{ session, fields, want string }{
		{"", "nick", "26 "},
		{"carol", "", "40 isv.missing-parameter:fields"},
		{"carol", "nick,,type", "41 isv.invalid-parameter:fields"},
		{"registered", "nick", "50 isv.user-not-exist:seller"}, // the merchant has no seller id
		{"merchantless", "nick", "50 isv.user-not-exist:seller"},
	} {
		if _, bad := ask(test.session, test.fields); bad != test.want {
			t.Errorf("%+v: got %s", test, bad)
		}
	}
}

func TestTimeGet(t *testing.T) {
	l := newLab(t, nil)
	// A session that is no good does no harm to a method that takes none.
	for _, session := range []string{"", "made up"} {
		reply := l.call(&labCall{method: "taobao.time.get", session: session})
		if reply.Refusal != nil || reply.Text("time") != "2026-11-22 12:00:00" {
			t.Errorf("got %+v", reply)
		}
	}
}

func TestPaths(t *testing.T) {
	l := newLab(t, nil)
	form := wire.SignRequest(map[string]string{
		"method": "taobao.time.get", "app_key": labKey, "v": "2.0", "timestamp": "2026-11-22 12:00:00",
	}, labSecret, wire.HMACSHA256)
	for path, want := range map[string]int{
		"/router/rest": 200, "/router/rest/": 200, "/router": 404, "/": 404, "/router/rest/x": 404, "/gateway.do": 404,
	} {
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?"+form, nil))
		if w.Code != want || (want == 200) != strings.Contains(w.Body.String(), "<time>2026-11-22 12:00:00</time>") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// Options reach what they are for.
func TestOptions(t *testing.T) {
	at := func(stamp string) map[string]string {
		p := sellerCall("nick")
		p["timestamp"] = stamp
		return p
	}
	for _, test := range []struct {
		name   string
		change func(*top.Options)
		params map[string]string
		want   string
	}{
		{"ten minutes", func(*top.Options) {}, at("2026-11-22 12:10:00"), ""},
		{"more than ten minutes", func(*top.Options) {}, at("2026-11-22 12:10:01"), "31"},
		{"an hour", func(o *top.Options) { o.Tolerance = time.Hour }, at("2026-11-22 11:00:00"), ""},
		{"any time", func(o *top.Options) { o.Tolerance = -1 }, at("2006-11-22 11:00:00"), ""},
		{"UTC, strict", func(*top.Options) {}, at("2026-11-22 04:00:00"), "31"},
		{"UTC among the zones", func(o *top.Options) { o.Zones = []*time.Location{benefit.Shanghai, time.UTC} }, at("2026-11-22 04:00:00"), ""},
		{"small requests", func(o *top.Options) { o.Limits.Params = 3 }, sellerCall("nick"), "43"},
		{"business errors", func(*top.Options) {}, mine("userless"), "50 isp.225"},
		{"recent business errors", func(o *top.Options) { o.BusinessCode = 15 }, mine("userless"), "15 isp.225"},
		{"no session store", func(o *top.Options) {
			o.Sessions = gateway.NewSessions(func(context.Context, benefit.Digest) (*benefit.Session, error) { return nil, errors.New("of the test") }, 0)
		}, sellerCall("nick"), "10 isp.system-busy"},
		{"no session store, activity.send", func(o *top.Options) {
			o.Sessions = gateway.NewSessions(func(context.Context, benefit.Digest) (*benefit.Session, error) { return nil, errors.New("of the test") }, 0)
		}, mine("carol"), "50 isp.E1000"},
	} {
		l := newActivityLab(t, nil).with(test.change)
		if got := l.refusal(http.MethodPost, test.params, labSecret); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// mine returns a good call of activity.send as parameters, by a session.
func mine(session string) map[string]string {
	c := sending("K", "many", nil).paramsAt(wire.JSON, labNoon)
	return map[string]string{
		"method": activityMethod, "app_key": labKey, "session": session, "v": "2.0", "format": "json",
		"timestamp": "2026-11-22 12:00:00", "single_benefit_request": c.Params["single_benefit_request"],
	}
}

// The rate of an app is one for all methods, and comes back.
func TestRateOfAnApp(t *testing.T) {
	l := newActivityLab(t, func(d *draft) { d.apps[0].RatePerSecond = 2 })
	clock := &labCall{method: "taobao.time.get"}
	codes := func() (all []int) {
		for range 3 {
			code := 0
			if bad := l.call(clock).Refusal; bad != nil {
				code = bad.Code
				if !strings.Contains(bad.SubMsg, "This ban will last for 1 more seconds") {
					t.Errorf("sub_msg %q", bad.SubMsg)
				}
			}
			all = append(all, code)
		}
		return all
	}
	if diff := cmp.Diff([]int{0, 0, 7}, codes()); diff != "" {
		t.Error(diff)
	}
	l.clock.Add(1000)
	if diff := cmp.Diff([]int{0, 0, 7}, codes()); diff != "" {
		t.Error(diff)
	}
	// Who cannot sign cannot use it up.
	l.clock.Add(1000)
	for range 5 {
		l.refusal(http.MethodPost, sellerCall("nick"), "another")
	}
	if got := l.refusal(http.MethodPost, sellerCall("nick"), labSecret); got != "" {
		t.Errorf("got %s", got)
	}
}

// Calls with a wrong session do not use the rate up, and beyond a number they are no longer logged.
func TestAFloodOfWrongSessions(t *testing.T) {
	l := newActivityLab(t, func(d *draft) { d.apps[0].RatePerSecond = 1 })
	call := sellerCall("nick")
	for _, session := range []string{"made up", "carol-over", "carol-revoked", "carol-other"} {
		call["session"] = session
		for range 25 {
			if got := l.refusal(http.MethodPost, call, labSecret); !strings.HasPrefix(got, "27 ") {
				t.Fatalf("%s: got %s", session, got)
			}
		}
	}
	if logged := strings.Count(l.log.String(), `"msg":"call"`); logged != 60 {
		t.Errorf("%d of 100 are logged, want 60", logged)
	}
	if got := l.refusal(http.MethodPost, sellerCall("nick"), labSecret); got != "" {
		t.Errorf("a good call: %s", got)
	}
}

// Beyond a number for one app and address, a wrong signature is no longer explained. It is refused as before.
func TestAFloodOfWrongSignatures(t *testing.T) {
	l := newActivityLab(t, func(d *draft) { d.apps[0].ExplainSignature = true })
	got := map[string]int{}
	for range 100 {
		got[l.refusal(http.MethodPost, sellerCall("nick"), "another")]++
	}
	if diff := cmp.Diff(map[string]int{"25 isv.invalid-signature": 60, "25": 40}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := l.refusal(http.MethodPost, sellerCall("nick"), labSecret); got != "" {
		t.Errorf("a good call: %s", got)
	}
}

// A wrong signature explains itself only where the app says so, and never with the secret.
func TestExplainedSignatures(t *testing.T) {
	for _, explain := range []bool{false, true} {
		l := newActivityLab(t, func(d *draft) { d.apps[0].ExplainSignature = explain })
		params := sellerCall("nick")
		form := strings.Replace(wire.SignRequest(params, labSecret, wire.MD5), "sign=", "sign=0", 1)
		w := l.do(httptest.NewRequest(http.MethodGet, top.Path+"?"+form, nil))
		text := w.Body.String()
		if !strings.Contains(text, `"code":25`) || strings.Contains(text, labSecret) {
			t.Errorf("got %s", text)
		}
		if got := strings.Contains(text, "***app_key"+labKey); got != explain {
			t.Errorf("explained: %v, want %v: %s", got, explain, text)
		}
		if strings.Contains(l.log.String(), "app_key"+labKey) || strings.Contains(l.log.String(), labSecret) {
			t.Errorf("in the log: %s", &l.log)
		}
	}
}

// A change of the catalogue holds for the next call: another secret, a grant taken away.
func TestChangesOfAnApp(t *testing.T) {
	l := newActivityLab(t, nil)
	good := func(secret string) string { return l.refusal(http.MethodPost, sellerCall("nick"), secret) }
	if got := good(labSecret); got != "" {
		t.Fatal(got)
	}
	l.change(func(d *draft) { d.apps[0].AppSecret = []byte("another secret") })
	if got := good(labSecret); got != "25" {
		t.Errorf("the old secret: %s", got)
	}
	if got := good("another secret"); got != "" {
		t.Errorf("the new secret: %s", got)
	}
	l.change(func(d *draft) { d.apps[0].AppSecret = nil })
	for _, secret := range []string{"", labSecret, "another secret"} {
		if got := good(secret); got != "25" {
			t.Errorf("an app without a secret, signed by %q: %s", secret, got)
		}
	}
}

// The record of a call has what an operator looks for, and nothing that is secret.
func TestRecordOfACall(t *testing.T) {
	l := newActivityLab(t, nil)
	reply := l.call(sending("K-1", "one", object{"send_count": 2}))
	l.call(sending("K-2", "none", nil).as("dave"))
	log := l.log.String()
	for _, want := range []string{
		`"trace":"` + reply.RequestID + `"`, `"method":"` + activityMethod + `"`, `"app_key":"` + labKey + `"`, `"key":"K-1"`,
		`"caller_trace":"5e7541dc-89ec-4283-a943-e1f3b72fc975"`, `"code":"0"`, `"variant":"as sent"`, `"voucher":`,
		`"sub_code":"STOCK_EMPTY"`, `"template":"one"`, `"reason":"STOCK_EMPTY"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
	for _, secret := range []string{"carol", labSecret, "sign"} {
		if strings.Contains(strings.ReplaceAll(log, `"sign_method"`, ""), `"`+secret) {
			t.Errorf("%s is in %s", secret, log)
		}
	}
}

// Each call of a batch is checked, served and answered for itself, in order.
func TestBatch(t *testing.T) {
	l := newActivityLab(t, nil)
	item := func(c *labCall) map[string]string {
		params := c.paramsAt(wire.JSON, labNoon).Params
		params["method"], params["session"] = c.method, c.session
		return params
	}
	items := []map[string]string{
		item(sending("A", "many", nil)),
		item(sending("B", "many", nil)), // within a second
		item(sending("A", "many", nil).as("dave")),
		item(sending("A", "many", nil)),
		item(sending("C", "many", nil).as("made up")),
		{"method": "taobao.no.such"},
		{"method": "taobao.time.get"},
		item(sending("D", "many", object{"unique_id": nil}).as("dave")),
	}
	want := []string{
		`"is_success":true`, `"isp.107"`, `"KEY_CONFLICT"`, `"is_success":true`, `"invalid-sessionkey"`, `"code":22`,
		`"time_get_response"`, `"isv.missing-parameter:unique_id"`,
	}
	call := &wire.Call{AppKey: labKey, Format: wire.JSON, At: labNoon}
	got := l.batch(call, items)
	if len(got) != len(want) {
		t.Fatalf("%d answers: %q", len(got), got)
	}
	for k := range want {
		if !strings.Contains(got[k], want[k]) {
			t.Errorf("answer %d is %s, want %s", k, got[k], want[k])
		}
	}
	if first, replay := withoutID(got[0]), withoutID(got[3]); first != replay {
		t.Errorf("the replay is %s, was %s", replay, first)
	}
	if n := l.issued(); n != 1 {
		t.Errorf("%d vouchers issued", n)
	}
	if n := strings.Count(l.log.String(), `"msg":"call"`); n != len(items) {
		t.Errorf("%d records of %d calls", n, len(items))
	}
}

func withoutID(answer string) string {
	head, _, _ := strings.Cut(answer, `"request_id"`)
	return head
}

// batch makes a batch and gives the answers.
func (l *lab) batch(call *wire.Call, items []map[string]string) []string {
	l.t.Helper()
	query, body := call.Batch(labSecret, items)
	r := httptest.NewRequest(http.MethodPost, top.BatchPath+"?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	return strings.Split(l.do(r).Body.String(), wire.Separator)
}

// A batch that is refused as a whole has one answer, and nothing of it is served.
func TestRefusedBatches(t *testing.T) {
	l := newActivityLab(t, nil).with(func(o *top.Options) { o.BatchItems = 2 })
	clock := map[string]string{"method": "taobao.time.get"}
	good := &wire.Call{AppKey: labKey, Format: wire.JSON, At: labNoon}
	for _, test := range []struct {
		name  string
		call  *wire.Call
		items int
		want  string
	}{
		{"two", good, 2, "time_get_response"},
		{"too many", good, 3, `"code":43`},
		{"old", &wire.Call{AppKey: labKey, Format: wire.JSON, At: labNoon.Add(-time.Hour)}, 1, `"code":31`},
		{"of nobody", &wire.Call{AppKey: "1", Format: wire.JSON, At: labNoon}, 1, `"code":29`},
	} {
		items := make([]map[string]string, test.items)
		for k := range items {
			items[k] = clock
		}
		if got := l.batch(test.call, items); !strings.Contains(got[0], test.want) || len(got) > 1 && test.name != "two" {
			t.Errorf("%s: got %q", test.name, got)
		}
	}
	query, body := good.Batch(labSecret, []map[string]string{clock})
	w := l.do(httptest.NewRequest(http.MethodPost, top.BatchPath+"/?"+query, strings.NewReader(body+" ")))
	if !strings.Contains(w.Body.String(), `"code":25`) {
		t.Errorf("a body that was changed: %s", w.Body)
	}
}

// A batch of a disabled app, and one over its rate, are refused call by call.
func TestBatchOfAnApp(t *testing.T) {
	clock := map[string]string{"method": "taobao.time.get"}
	call := &wire.Call{AppKey: labKey, Format: wire.JSON, At: labNoon}
	l := newActivityLab(t, func(d *draft) { d.apps[0].RatePerSecond = 1 })
	got := l.batch(call, []map[string]string{clock, clock})
	if len(got) != 2 || !strings.Contains(got[0], "time_get_response") || !strings.Contains(got[1], `"code":7`) {
		t.Errorf("got %q", got)
	}
	l = newActivityLab(t, func(d *draft) { d.apps[0].Disabled = true })
	if got := l.batch(call, []map[string]string{clock}); !strings.Contains(got[0], "isv.app-disabled") {
		t.Errorf("got %q", got)
	}
}

// A call or a batch for which there is no memory is refused with the code that says that nothing was done.
func TestRefusedBodies(t *testing.T) {
	l := newActivityLab(t, nil)
	for _, path := range []string{top.Path, top.BatchPath} {
		for cause, want := range map[error]string{
			form.ErrBusy: `"code":10,"msg":"Service currently unavailable","sub_code":"isp.system-busy","sub_msg":"系统繁忙，本次请求未处理，请稍后重试"`,
			form.ErrSlow: `"code":10,"msg":"Service currently unavailable","sub_code":"isp.system-busy","sub_msg":"接收请求超时，请稍后重试"`,
		} {
			r := httptest.NewRequest(http.MethodPost, path+"?format=json&method=taobao.time.get", iotest.ErrReader(cause))
			if got := l.do(r).Body.String(); !strings.Contains(got, want) {
				t.Errorf("%s, %v: got %s, want %s", path, cause, got, want)
			}
		}
	}
}

// A batch whose signature is good is authenticated, whatever else is wrong with it: it does not use up what is explained
// to those who fail to sign, and all of them are logged.
func TestAFloodOfRefusedBatches(t *testing.T) {
	l := newActivityLab(t, func(d *draft) { d.apps[0].ExplainSignature = true }).with(func(o *top.Options) { o.BatchItems = 1 })
	call := &wire.Call{AppKey: labKey, Format: wire.JSON, At: labNoon}
	clock := map[string]string{"method": "taobao.time.get"}
	for range 100 {
		if got := l.batch(call, []map[string]string{clock, clock}); !strings.Contains(got[0], `"code":43`) {
			t.Fatalf("got %s", got)
		}
	}
	if logged := strings.Count(l.log.String(), `"variant":"as sent"`); logged != 100 {
		t.Errorf("%d of 100 are logged as authenticated", logged)
	}
	if got := l.refusal(http.MethodPost, sellerCall("nick"), "another"); got != "25 isv.invalid-signature" {
		t.Errorf("a wrong signature: %s, want an explanation", got)
	}
}

// The connection of a refused batch with a good signature stays open while strangers hold the others.
func TestRefusedBatchIsNoStranger(t *testing.T) {
	l := newActivityLab(t, nil)
	server := gateway.NewServer(l, gateway.ServerLimits{Connections: 3}, slog.New(slog.DiscardHandler))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	// send returns what a request is answered.
	send := func(c net.Conn, head, body string) (string, error) {
		_, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
		if err != nil {
			return "", err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return "", err
		}
		answer, err := io.ReadAll(res.Body)
		return string(answer), err
	}
	const body = "method=taobao.time.get"
	params := map[string]string{
		"app_key": labKey, "v": "2.0", "format": "json", "sign_method": "md5", "timestamp": "2026-11-22 12:00:00", "x": "behind v",
	}
	query := url.Values{"sign": {wire.Sign(wire.NewRequest(params, body).StringToSign(wire.AsSent), labSecret, wire.MD5)}}
	for name, value := range params {
		query.Set(name, value)
	}
	head := "POST " + top.BatchPath + "?" + query.Encode()
	batch := dial()
	if answer, err := send(batch, head, body); err != nil || !strings.Contains(answer, "批量请求的URL不支持参数x") {
		t.Fatalf("%v: %s", err, answer)
	}
	dial()
	dial()
	if _, err := send(dial(), "GET /", ""); err != nil { // once it is answered, all three are admitted
		t.Fatal(err)
	}
	if _, err := send(batch, head, body); err != nil {
		t.Errorf("closed for a stranger: %v", err)
	}
}

// What is no attempt to authenticate does not use up what is explained to those who fail to: calls that the server could
// not read or look up, and those without a session.
func TestNoAttemptIsNoFailure(t *testing.T) {
	broken := gateway.NewSessions(func(context.Context, benefit.Digest) (*benefit.Session, error) { return nil, errors.New("of the test") }, 0)
	sessionless := sellerCall("nick")
	delete(sessionless, "session")
	unread := func(cause error) func(*lab) {
		return func(l *lab) {
			form := wire.SignRequest(sellerCall("nick"), labSecret, wire.MD5)
			l.do(httptest.NewRequest(http.MethodPost, top.Path+"?"+form, iotest.ErrReader(cause)))
		}
	}
	for _, test := range []struct {
		name   string
		call   func(*lab)
		logged int
	}{
		{"no memory for the body", unread(form.ErrBusy), 60}, // nobody has signed it: there is a bound for the log
		{"a slow body", unread(form.ErrSlow), 60},
		{"the sessions cannot be read", func(l *lab) { l.refusal(http.MethodPost, sellerCall("nick"), labSecret) }, 100},
		{"no session", func(l *lab) { l.refusal(http.MethodPost, sessionless, labSecret) }, 100},
	} {
		l := newActivityLab(t, func(d *draft) { d.apps[0].ExplainSignature = true }).with(func(o *top.Options) { o.Sessions = broken })
		for range 100 {
			test.call(l)
		}
		if logged := strings.Count(l.log.String(), `"msg":"call"`); logged != test.logged {
			t.Errorf("%s: %d of 100 are logged, want %d", test.name, logged, test.logged)
		}
		if got := l.refusal(http.MethodPost, sellerCall("nick"), "another"); got != "25 isv.invalid-signature" {
			t.Errorf("%s: then a wrong signature: %s, want an explanation", test.name, got)
		}
	}
}
