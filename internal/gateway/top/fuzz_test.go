package top_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
)

// wellFormed reports whether an answer can be read in the shape that its Content-Type names.
func wellFormed(w *httptest.ResponseRecorder) bool {
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") {
		return json.Valid(w.Body.Bytes())
	}
	d := xml.NewDecoder(w.Body)
	for {
		if _, err := d.Token(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// FuzzUnsigned sends unsigned requests, to both paths: it is refused in the protocol's form whatever it is, and never
// reaches the core.
func FuzzUnsigned(f *testing.F) {
	f.Add("POST", false, "v=2.0", "application/x-www-form-urlencoded", "method="+activityMethod+"&app_key="+labKey+"&format=json")
	f.Add("GET", false, "method=taobao.time.get&app_key="+labKey+"&timestamp=2026-11-22+12:00:00&v=2.0&sign="+strings.Repeat("0", 32), "", "")
	f.Add("PUT", false, "method=<b>&format=json&simplify=true", "multipart/form-data; boundary=x", "--x\r\n")
	f.Add("POST", true, "app_key="+labKey+"&timestamp=2026-11-22+12:00:00&v=2.0&sign="+strings.Repeat("0", 32), "text/plain", "#PUBLIC#method=taobao.time.get\r\n-S-\r\nN")
	f.Add("POST", true, "%", "text/plain", "\x00")
	f.Add("POST", true, "app_key=@key&timestamp=2026-11-22+12:00:00&v=2.0&sign="+strings.Repeat("0", 32), "text/plain", "N")
	f.Add("POST", false, "app_key=@key&method="+activityMethod+"&timestamp=2026-11-22+12:00:00&v=2.0&sign="+strings.Repeat("0", 32), "", "")
	l := newActivityLab(f, nil)
	f.Fuzz(func(t *testing.T, verb string, batch bool, query, contentType, body string) {
		path := top.Path
		if batch {
			path = top.BatchPath
		}
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Method, r.URL.RawQuery = verb, query
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		l.noPanic(t)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "error_response") || l.request.Load() != nil {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if text := w.Body.String(); !wellFormed(w) {
			t.Errorf("got %s", text)
		}
	})
}

// noPanic looks for a panic in the log.
func (l *lab) noPanic(t testing.TB) {
	if strings.Contains(l.log.String(), "panic") {
		t.Fatalf("a call panicked: %s", &l.log)
	}
	l.log.Reset()
}

// FuzzSigned signs a call with one parameter set to anything, with and without values that begin with "@" and blank
// ones: there is no panic, and the core gets the request of the caller or none.
func FuzzSigned(f *testing.F) {
	for rule := range uint8(3) {
		for _, name := range []string{"app_key", "method", "session", "sign_method", "format", "v", "single_benefit_request"} {
			for _, value := range []string{"", "0", "@key", "@", " "} {
				f.Add(name, value, rule, name == "session")
			}
		}
	}
	l := newActivityLab(f, func(d *draft) {
		d.apps = append(d.apps, &benefit.App{ID: 30, Name: "old", Merchant: 1, AppKey: "@key", AppSecret: []byte(labSecret)})
	})
	l.broken = engine.ErrBusy
	send := sending("K", "many", nil).paramsAt(wire.JSON, labNoon)
	f.Fuzz(func(t *testing.T, name, value string, rule uint8, batch bool) {
		l.request.Store(nil)
		params := map[string]string{
			"app_key": labKey, "method": activityMethod, "session": "carol", "v": "2.0", "timestamp": "2026-11-22 12:00:00",
			"single_benefit_request": send.Params["single_benefit_request"],
		}
		params[name] = value
		delete(params, "sign")
		path, body := top.Path, ""
		if batch {
			path, body = top.BatchPath, "N"
		}
		variant := []wire.Variant{wire.AsSent, wire.WithoutBlanks, wire.WithoutFiles}[rule%3]
		query := url.Values{"sign": {wire.Sign(wire.NewRequest(params, body).StringToSign(variant), labSecret, wire.MD5)}}
		for name, value := range params {
			query.Set(name, value)
		}
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.URL.RawQuery = query.Encode()
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		l.noPanic(t)
		if w.Code != http.StatusOK || !wellFormed(w) {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if reached := l.request.Load(); reached != nil && reached.App != 1 {
			t.Errorf("%s=%q makes it a call of app %d", name, value, reached.App)
		}
	})
}

// FuzzSend sends any single_benefit_request, signed, in every shape: whatever it is, the answer can be read, and says
// either success, or why not in the words of the page.
func FuzzSend(f *testing.F) {
	f.Add(`{"benefit_type":1,"send_count":1,"unique_id":"A","relation_id":12345234,"purchaser_id":1001,"detail_id":100,"trace_id":"t","biz_id":"12457112"}`, uint8(0))
	f.Add(`{"benefit_type":"1","send_count":"5","unique_id":"\ud83c\udf81","relation_id":5000,"purchaser_id":1001,"detail_id":1,"trace_id":"<t>","biz_id":"biz-box","card_type":"beauty"}`, uint8(1))
	f.Add(`{"benefit_type":1e0,"send_count":9223372036854775807}`, uint8(2))
	f.Add(`{"unique_id":{"unique_id":[]}}`, uint8(0))
	l := newActivityLab(f, nil)
	f.Fuzz(func(t *testing.T, dto string, shape uint8) {
		if !utf8.ValidString(dto) || strings.TrimSpace(dto) == "" {
			return
		}
		format := formats[int(shape)%len(formats)]
		text := l.post(&labCall{method: activityMethod, session: "carol", body: dto}, format)
		reply, err := wire.ReadReply([]byte(text), format, activityMethod)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if bad := reply.Refusal; bad != nil {
			switch {
			case bad.Code == 40, bad.Code == 41, bad.Code == 50 && (bad.SubCode == "isp.295" || bad.SubCode == "isp.107"):
			default:
				t.Errorf("got %s", text)
			}
			return
		}
		if ok := reply.Text("send_result", "is_success"); ok != "true" && reply.Text("send_result", "error_message") == "" {
			t.Errorf("got %s", text)
		}
	})
}

// FuzzBatch sends any signed body to the batch: there are as many answers as elements, or one that refuses the whole.
func FuzzBatch(f *testing.F) {
	f.Add("method=taobao.time.get\r\n-S-\r\nmethod=taobao.time.get")
	f.Add("#PUBLIC#method=taobao.time.get\r\n-S-\r\nN\r\n-S-\r\nmethod=x&app_key=y&sign=z")
	f.Add("#PUBLIC#method=" + activityMethod + "&session=carol\r\n-S-\r\nsingle_benefit_request=%7B%7D")
	f.Add("\r\n-S-\r\n%")
	l := newActivityLab(f, nil)
	call := &wire.Call{AppKey: labKey, Format: wire.JSON, At: labNoon}
	f.Fuzz(func(t *testing.T, body string) {
		if !utf8.ValidString(body) {
			return
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, top.BatchPath+"?"+signedBatch(call, body), strings.NewReader(body))
		l.ServeHTTP(w, r)
		answers := strings.Split(w.Body.String(), wire.Separator)
		want := strings.Count(body, wire.Separator) + 1
		if strings.HasPrefix(body, "#PUBLIC#") {
			want--
		}
		if w.Code != http.StatusOK || len(answers) != want && (len(answers) != 1 || !strings.Contains(answers[0], "error_response")) {
			t.Fatalf("%d answers to %d: %s", len(answers), want, w.Body)
		}
		for _, answer := range answers {
			if !json.Valid([]byte(answer)) || strings.Contains(answer, `"code":25,`) {
				t.Errorf("got %s", answer)
			}
		}
	})
}

// signedBatch returns the query of a batch with a body that no client would make.
func signedBatch(call *wire.Call, body string) string {
	params := map[string]string{
		"app_key": call.AppKey, "v": "2.0", "format": "json", "timestamp": wire.FormatTimestamp(call.At), "sign_method": "md5",
	}
	sign := wire.Sign(wire.NewRequest(params, body).StringToSign(wire.AsSent), labSecret, wire.MD5)
	query := "sign=" + sign
	for name, value := range params {
		query += "&" + name + "=" + strings.ReplaceAll(value, " ", "+")
	}
	return query
}
