package top_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/form"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
)

// undecidedCalls are good calls of the APIs that the page of calls without an outcome names.
var undecidedCalls = map[string]func() *labCall{
	"activity.send":     func() *labCall { return sending("K", "many", nil) },
	"decisionsend":      func() *labCall { return decide("k", nil) },
	"certificate.send":  func() *labCall { return certificate(nil) },
	"certificate.query": func() *labCall { return query(nil) },
	"seller.get": func() *labCall {
		return &labCall{method: "taobao.user.seller.get", session: "carol", params: map[string]string{"fields": "nick"}}
	},
	"token.create": func() *labCall {
		return &labCall{method: "taobao.top.auth.token.create", params: map[string]string{"code": "c"}}
	},
	"token.refresh": func() *labCall {
		return &labCall{method: "taobao.top.auth.token.refresh", params: map[string]string{"refresh_token": "r"}}
	},
	"every API of TOP": func() *labCall { return sending("K", "many", nil) },
	"a batch, or an API that only the body names": func() *labCall { return &labCall{} },
}

// brokenTokens can give no session out.
type brokenTokens struct{}

var errOfTheTest = errors.New("of the test")

func (brokenTokens) Create(context.Context, *benefit.App, string) (result, refused string, err error) {
	return "", "", errOfTheTest
}

func (brokenTokens) Refresh(context.Context, *benefit.App, string) (result, refused string, err error) {
	return "", "", errOfTheTest
}

// undecidedCauses make a call and bring about that it is not decided. They return the answers.
var undecidedCauses = map[string]func(t *testing.T, c *labCall) []string{
	"busy": func(t *testing.T, c *labCall) (answers []string) {
		for _, err := range []error{engine.ErrBusy, engine.ErrStopping, engine.ErrGaveUp, engine.ErrNotIssued} {
			l := newActivityLab(t, nil)
			l.broken = err
			l.with(func(o *top.Options) { o.Tokens, o.Finder = brokenTokens{}, brokenFinder{} })
			answers = append(answers, l.post(c, wire.JSON))
		}
		return answers
	},
	"session": func(t *testing.T, c *labCall) []string {
		l := newActivityLab(t, nil).with(func(o *top.Options) {
			o.Sessions = gateway.NewSessions(func(context.Context, benefit.Digest) (*benefit.Session, error) { return nil, errOfTheTest }, 0)
		})
		return []string{l.post(c, wire.JSON)}
	},
	"not read": func(t *testing.T, c *labCall) (answers []string) {
		l := newActivityLab(t, nil)
		for _, path := range []string{top.Path, top.BatchPath} {
			if path == top.BatchPath && c.method != "" {
				continue
			}
			for _, err := range []error{form.ErrBusy, form.ErrSlow} {
				r := httptest.NewRequest(http.MethodPost, path+"?format=json&method="+c.method, iotest.ErrReader(err))
				answers = append(answers, strings.Replace(l.do(r).Body.String(), form.Slow.Text, form.Busy.Text, 1))
			}
		}
		return answers
	},
	"unknown": func(t *testing.T, c *labCall) (answers []string) {
		for _, err := range []error{engine.ErrUnknown, context.DeadlineExceeded, errOfTheTest} {
			l := newActivityLab(t, nil)
			l.broken = err
			answers = append(answers, l.post(c, wire.JSON))
		}
		l := newActivityLab(t, nil)
		l.crafted = func(*benefit.Request) benefit.Outcome { panic("of the test") }
		return append(answers, l.post(c, wire.JSON))
	},
	"rate": func(t *testing.T, _ *labCall) (answers []string) {
		for _, name := range []string{"activity.send", "decisionsend", "certificate.send", "certificate.query", "seller.get", "token.create"} {
			l := newActivityLab(t, func(d *draft) { d.apps[0].RatePerSecond = 1 })
			l.post(&labCall{method: "taobao.time.get"}, wire.JSON)
			answers = append(answers, l.post(undecidedCalls[name](), wire.JSON))
		}
		return answers
	},
}

// Each row of the page of calls without an outcome is what the gateway answers. What SDKs send again by themselves is
// never what may issue twice, and always what may stand for a call that issued under the same key.
func TestThePageOfUndecidedCalls(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range top.PageRows(t, "undecided", "Answers") {
		apis := strings.Split(strings.ReplaceAll(row[0], "`", ""), ", ")
		if strings.HasPrefix(row[0], "a batch") {
			apis = []string{row[0]}
		}
		if row[0] == "voucher.send" {
			continue // see the other gateway
		}
		for _, api := range apis {
			for _, cause := range strings.Split(row[1], ", ") {
				seen[api+": "+cause] = true
				do, call := undecidedCauses[cause], undecidedCalls[api]
				if do == nil || call == nil {
					t.Errorf("%s, %s: not known to this test", api, cause)
					continue
				}
				for _, answer := range do(t, call()) {
					checkUndecided(t, api+", "+cause, row, answer)
				}
			}
		}
	}
	for _, api := range []string{"activity.send", "decisionsend", "certificate.send"} {
		for _, cause := range []string{"busy", "session", "not read", "unknown"} {
			if !seen[api+": "+cause] && (api != "decisionsend" || cause != "session") {
				t.Errorf("the page does not have %s, %s", api, cause)
			}
		}
	}
}

// undecidedAnswer is what is read of an answer without an outcome.
type undecidedAnswer struct {
	Refusal *struct {
		Code    int    `json:"code"`
		SubCode string `json:"sub_code"`
		SubMsg  string `json:"sub_msg"`
	} `json:"error_response"`
	Decision    undecidedResult `json:"alibaba_alsc_upp_right_decisionsend_response"`
	Certificate undecidedResult `json:"tmall_nrt_certificate_send_response"`
	Query       undecidedResult `json:"tmall_nrt_certificate_query_response"`
}

type undecidedResult struct {
	Result struct {
		Retry           bool   `json:"can_retry"`
		DecisionCode    string `json:"result_code"`
		DecisionText    string `json:"result_msg"`
		CertificateCode string `json:"code"`
		CertificateText string `json:"message"`
	} `json:"result"`
}

func checkUndecided(t *testing.T, what string, row []string, answer string) {
	t.Helper()
	var a undecidedAnswer
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatalf("%s: %v: %s", what, err, answer)
	}
	var code, text string
	repeats := false
	switch d, c := a.Decision.Result, a.Certificate.Result; {
	case a.Refusal != nil:
		code = strings.TrimSpace(fmt.Sprint(a.Refusal.Code, " ", a.Refusal.SubCode))
		text, repeats = a.Refusal.SubMsg, strings.HasPrefix(a.Refusal.SubCode, "isp.")
	case d.DecisionCode != "":
		code, text = d.DecisionCode, d.DecisionText
		if !d.Retry || !strings.Contains(row[5], "can_retry") {
			t.Errorf("%s: can_retry is %v, the page says %q", what, d.Retry, row[5])
		}
	case c.CertificateCode != "":
		code, text = c.CertificateCode, c.CertificateText
	default:
		code, text = a.Query.Result.CertificateCode, a.Query.Result.CertificateText
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(row[3]), "…", ".+") + "$"
	if code != row[2] || !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("%s: got %s %s, the page says %s %s", what, code, text, row[2], row[3])
	}
	if strings.HasPrefix(what, "activity.send") && !repeats || strings.HasPrefix(what, "certificate.send, unknown") && repeats {
		t.Errorf("%s: a client that retries by itself is told %s", what, code)
	}
	if repeats != strings.HasPrefix(row[5], "repeats") {
		t.Errorf("%s: %s, and the page says of the SDK's own retry %q", what, code, row[5])
	}
}

// A call of activity.send that did not come as far as its parameters names the caller's trace id all the same.
func TestTheTraceOfAnUnreadSession(t *testing.T) {
	l := newActivityLab(t, nil).with(func(o *top.Options) {
		o.Sessions = gateway.NewSessions(func(context.Context, benefit.Digest) (*benefit.Session, error) { return nil, errOfTheTest }, 0)
	})
	for _, test := range []struct {
		change object
		own    bool
	}{
		{nil, false}, {object{"trace_id": strings.Repeat("t", 300)}, false}, {object{"trace_id": nil}, true}, {object{"trace_id": "\u0001"}, true},
	} {
		want := strings.Repeat("t", 256)
		reply := l.call(sending("K", "many", test.change))
		switch {
		case test.own:
			want = reply.RequestID
		case test.change == nil:
			want = "5e7541dc-89ec-4283-a943-e1f3b72fc975"
		}
		if reply.Refusal == nil || !strings.HasSuffix(reply.Refusal.SubMsg, "traceId："+want) {
			t.Errorf("%v: got %+v, want %s", test.change, reply.Refusal, want)
		}
	}
}

// The retry of an unknown outcome that finds the server busy is not told that issuing failed: the clients that retry by
// themselves go on until the first outcome is known.
func TestARetryThatFindsTheServerBusy(t *testing.T) {
	l := newActivityLab(t, nil)
	l.crafted = func(r *benefit.Request) benefit.Outcome { // it issues, and the answer is lost
		if _, err := l.issuer.Issue(context.Background(), r); err != nil {
			t.Error(err)
		}
		panic("of the test")
	}
	if got := l.send(sending("K", "many", nil)); got.Refusal != "50 isp.E1000" {
		t.Fatalf("the first: %+v", got)
	}
	l.crafted, l.broken = nil, engine.ErrBusy
	reply := l.call(sending("K", "many", nil))
	if reply.Refusal == nil || reply.Refusal.SubCode != "isp.E1000" || !strings.Contains(reply.Refusal.SubMsg, "此前的调用可能已发放") {
		t.Errorf("the retry: %+v", reply.Refusal)
	}
	l.broken = nil
	if got := l.send(sending("K", "many", nil)); got.Issued != "1" || l.issued() != 1 {
		t.Errorf("the next: %+v, %d issued", got, l.issued())
	}
}
