package alipay_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/alipay/wire"
)

// FuzzUnsigned sends unsigned requests: it is refused in the protocol's form whatever it is, and never reaches the
// core.
func FuzzUnsigned(f *testing.F) {
	f.Add("POST", "charset=gbk", "application/x-www-form-urlencoded", "method="+method+"&app_id="+appID+"&biz_content=%D3%C5")
	f.Add("GET", "method="+method+"&app_id="+appID+"&sign_type=RSA&sign=x&timestamp=2026-11-22+12:00:00&version=1.0", "", "")
	f.Add("PUT", "method=<b>&sign_type=RSA", "multipart/form-data; boundary=x", "--x\r\n")
	f.Add("POST", "%", "text/plain", "\x00")
	for _, id := range []string{"0", "@1", "%20", "@"} {
		f.Add("POST", "", "", "method="+method+"&app_id="+id+"&sign_type=RSA2&sign=x&timestamp=2026-11-22+12:00:00&version=1.0")
	}
	w := newWorld(f, nil)
	f.Fuzz(func(t *testing.T, verb, query, contentType, body string) {
		r := httptest.NewRequest("POST", "/gateway.do", strings.NewReader(body))
		r.Method, r.URL.RawQuery = verb, query
		r.Header.Set("Content-Type", contentType)
		res := httptest.NewRecorder()
		w.ServeHTTP(res, r)
		got := res.Body.String()
		w.noPanic(t)
		if res.Code != http.StatusOK || strings.Contains(got, `"code":"10000"`) || w.request.Load() != nil {
			t.Fatalf("status %d: %s", res.Code, got)
		}
		if !strings.Contains(got, `"sub_code":"`) || !strings.Contains(got, `"},"sign":"`) {
			t.Errorf("no signed failure: %s", got)
		}
		if utf8.ValidString(got) && !json.Valid([]byte(got)) {
			t.Errorf("no JSON: %s", got)
		}
	})
}

// noPanic looks for a panic in the log, which a caller sees as an unknown outcome.
func (w *world) noPanic(t testing.TB) {
	if strings.Contains(w.log.String(), "panic") {
		t.Fatalf("a call panicked: %s", w.log)
	}
	w.log.Reset()
}

// FuzzSigned signs a call with one parameter set to anything, by each rule of the SDKs: there is no panic, and the core
// gets the request of the caller or none.
func FuzzSigned(f *testing.F) {
	for rule := range uint8(len(signingRules)) {
		for _, name := range []string{"app_id", "method", "sign_type", "app_auth_token", "charset", "biz_content", "version"} {
			for _, value := range []string{"", "0", "@1", "@", " "} {
				f.Add(name, value, rule)
			}
		}
	}
	w := newWorld(f, nil)
	w.broken = engine.ErrBusy
	for i, id := range []string{"0", "@1", "@"} { // of a catalogue that is older than their rule
		w.change(f, &benefit.App{ID: benefit.AppID(20 + i), Name: "old" + id, Merchant: ours, AppID: id, PublicKey: appPEM()})
	}
	f.Fuzz(func(t *testing.T, name, value string, rule uint8) {
		w.request.Store(nil)
		c := goodCall().with("charset", "utf-8").with(name, value)
		var call []pair
		for name, value := range c.params {
			if name != "sign" {
				call = append(call, pair{name, value})
			}
		}
		keep := signingRules[int(rule)%len(signingRules)]
		call = append(call, pair{"sign", c.signature(signedText(call, keep))})
		r := httptest.NewRequest(http.MethodPost, "/gateway.do", strings.NewReader(encodePairs(call)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res := httptest.NewRecorder()
		w.ServeHTTP(res, r)
		w.noPanic(t)
		if res.Code != http.StatusOK {
			t.Fatalf("status %d", res.Code)
		}
		if reached := w.request.Load(); reached != nil && reached.App != 1 {
			t.Errorf("%s=%q makes it a call of app %d", name, value, reached.App)
		}
	})
}

// FuzzBizContent sends any biz_content, signed: whatever it is, the answer verifies, and it is a success, a
// refusal of the API, or one of the two that say that it is no JSON or not in the charset.
func FuzzBizContent(f *testing.F) {
	f.Add(`{"template_id":"` + offID + `","user_id":"` + aliceID + `","out_biz_no":"K","amount":1e2}`)
	f.Add(`{"template_id":"` + cashID + `","login_id":"13196215350","out_biz_no":"K","amount":"9.90","memo":"\ud83c\udf81"}`)
	f.Add(`{"template_id":["x"]}`)
	f.Add(`{"memo":"\u0000"}`)
	w := newWorld(f, nil)
	f.Fuzz(func(t *testing.T, biz string) {
		defer w.noPanic(t)
		if !utf8.ValidString(biz) {
			return
		}
		c := send(biz)
		c.via = "post"
		raw := c.raw()
		res := w.do(t, raw)
		answer, err := wire.VerifyAnswer(res.Body.Bytes(), wire.UTF8, method, &platformKey().PublicKey, wire.RSA2)
		if err != nil {
			// What is not readable at all is answered under error_response, as its method is not known.
			answer, err = wire.VerifyAnswer(res.Body.Bytes(), wire.UTF8, "", &platformKey().PublicKey, wire.RSA2)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, res.Body)
		}
		switch {
		case answer.OK(), answer.Code == "40004" && answer.SubCode != "SYSTEM_ERROR":
		case answer.SubCode == "isv.illegal-json", answer.SubCode == "isv.invalid-parameter":
		default:
			t.Errorf("got %s for %q", answer.Node, biz)
		}
	})
}
