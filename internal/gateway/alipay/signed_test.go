package alipay_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/alipay"
)

// pair is a parameter in the bytes that are sent.
type pair struct{ name, raw string }

// signedText returns what the caller of pairs signs, by one of the rules of the SDKs.
func signedText(pairs []pair, keep func(raw string) bool) string {
	var text []string
	for _, p := range pairs {
		if keep(p.raw) {
			text = append(text, p.name+"="+p.raw)
		}
	}
	slices.Sort(text) // as no name here begins another
	return strings.Join(text, "&")
}

// signingRules are those of gopay, of Python, of Java and of PHP.
var signingRules = []func(raw string) bool{
	func(raw string) bool { return raw != "" },
	func(string) bool { return true },
	func(raw string) bool { return strings.TrimSpace(raw) != "" },
	func(raw string) bool { return strings.TrimSpace(raw) != "" && raw != "0" && raw[0] != '@' },
}

// TestOneSignatureOneRequest presents what was signed once in all ways that the signature leaves open: it is the same
// request, or it is refused.
func TestOneSignatureOneRequest(t *testing.T) {
	w := newWorld(t, nil)
	w.broken = engine.ErrBusy // what reaches the core is enough
	accepted := map[string]int{}
	check := func(t *rapid.T) {
		call := drawCall(t)
		sign := (&caller{key: appKey(), signAs: "RSA2"}).signature(signedText(call, rapid.SampledFrom(signingRules).Draw(t, "rule")))
		honest := w.present(t, http.MethodPost, "", encodePairs(append(call, pair{"sign", sign})), "application/x-www-form-urlencoded")
		if honest == nil {
			return // such as a value that may hide a parameter
		}
		for range 12 {
			kind := rapid.SampledFrom([]string{"form", "multipart", "query", "text/plain"}).Draw(t, "kind")
			verb, query, body, contentType := presentation(t, call, sign, kind)
			again := w.present(t, verb, query, body, contentType)
			if again == nil {
				continue
			}
			accepted[kind]++
			if diff := cmp.Diff(honest, again); diff != "" {
				t.Fatalf("another request under the same signature (-signed +presented):\n%s", diff)
			}
		}
	}
	for _, kind := range []string{"form", "multipart", "query"} {
		for round := 0; accepted[kind] == 0; round++ { // a round may come to none of a kind
			if round == 20 {
				t.Fatalf("no %s was accepted: the test shows nothing", kind)
			}
			rapid.Check(t, check)
		}
	}
}

// present sends a call and returns what reached the core; nil when it was refused.
func (w *world) present(t *rapid.T, verb, query, body, contentType string) *benefit.Request {
	w.request.Store(nil)
	r := httptest.NewRequest(http.MethodPost, alipay.Path, strings.NewReader(body))
	r.Method, r.URL.RawQuery = verb, query
	r.Header.Set("Content-Type", contentType)
	res := httptest.NewRecorder()
	w.ServeHTTP(res, r)
	if strings.Contains(res.Body.String(), `"20000"`) {
		t.Fatalf("a panic: %s", w.log)
	}
	return w.request.Load()
}

// drawCall returns a call as its caller signs it, sorted by name.
func drawCall(t *rapid.T) []pair {
	charset := rapid.SampledFrom([]string{"", "utf-8", "UTF-8", "GBK", "gb2312", "gb18030"}).Draw(t, "charset")
	wrong := rapid.Bool().Draw(t, "UTF-8 all the same")
	text := func(s string) string {
		if wrong || charset == "" || strings.EqualFold(charset, "utf-8") {
			return s
		}
		raw, err := simplifiedchinese.GBK.NewEncoder().String(s)
		if err != nil {
			panic(err)
		}
		return raw
	}
	key := rapid.SampledFrom([]string{"K1", "活动2026订单", "浼橀叿", "a&charset=gbk", "1+1 %2B"}).Draw(t, "key")
	call := []pair{
		{"app_id", appID},
		{"biz_content", text(fmt.Sprintf(`{"template_id":"GRANTED","user_id":"%s","out_biz_no":"%s","memo":"优酷"}`, aliceID, key))},
		{"method", method}, {"sign_type", "RSA2"}, {"timestamp", "2026-11-22 12:00:00"}, {"version", "1.0"},
	}
	if charset != "" {
		call = append(call, pair{"charset", charset})
	}
	for _, p := range []pair{
		{"app_auth_token", "token-others"}, {"alipay_sdk", "sdk"}, {"alipay_sdk", "s&app_auth_token=token-others"}, {"body", "主题"},
		{"brand", "x&charset=gbk"}, {"notify_url", "http://shop/?a=1&method=x&charset=gbk"}, {"prod_code", "0"}, {"terminal_info", "@x"},
		{"return_url", ""}, {"quit_url", " \t"}, {"app_auth_token", " "},
	} {
		if slices.ContainsFunc(call, func(q pair) bool { return q.name == p.name }) || !rapid.Bool().Draw(t, p.name) {
			continue
		}
		call = append(call, pair{p.name, text(p.raw)})
	}
	slices.SortFunc(call, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return call
}

// presentation returns a call with everything changed that no signature covers.
func presentation(t *rapid.T, signed []pair, sign, kind string) (verb, query, body, contentType string) {
	call := slices.Clone(signed)
	if rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
		call = cutAnew(t, call)
	}
	if rapid.IntRange(0, 3).Draw(t, "recode") == 0 {
		recode := rapid.SampledFrom([]func(string) (string, error){
			simplifiedchinese.GBK.NewEncoder().String, simplifiedchinese.GBK.NewDecoder().String,
		}).Draw(t, "coder")
		for i := range call {
			if raw, err := recode(call[i].raw); err == nil {
				call[i].raw = raw
			}
		}
	}
	call = append(call, pair{"sign", sign})
	for range rapid.IntRange(0, 2).Draw(t, "extras") {
		call = append(call, rapid.SampledFrom([]pair{
			{"charset", ""}, {"app_auth_token", "@token-others"}, {"app_auth_token", "0"}, {"app_auth_token", ""}, {"format", "@xml"},
			{"app_id[]", ""}, {"biz_content[0]", "@x"}, {"biz_content", "@{}"}, {"app_id", "0"}, {"app_id", "@1"}, {"method", ""},
			{"charset", " "}, {"app_auth_token", " "}, {"biz_content", "\n"}, {"app_id", " "}, {"encrypt_type", " "}, {"quit_url", "  "},
		}).Draw(t, "extra"))
	}
	var inQuery, inBody []pair
	for i, p := range call {
		where := 0
		if kind != "query" {
			where = rapid.IntRange(0, 4).Draw(t, fmt.Sprint("where", i))
		}
		if where == 0 || where == 4 {
			inQuery = append(inQuery, p)
		}
		if where > 0 {
			inBody = append(inBody, p)
		}
	}
	charsets := []string{"", "utf-8", "gbk", "gb2312", "gb18030", "iso-8859-1", "%67bk"}
	query = encodePairs(inQuery)
	if name := rapid.SampledFrom(charsets).Draw(t, "charset of the URL"); name != "" {
		query += "&charset=" + name
	}
	typeCharset := rapid.SampledFrom(charsets).Draw(t, "charset of the type")
	verb = rapid.SampledFrom([]string{"POST", "POST", "POST", "GET", "PUT", "HEAD"}).Draw(t, "verb")
	switch kind {
	case "multipart":
		return verb, query, parted(t, inBody, typeCharset), "multipart/form-data; boundary=b; charset=" + typeCharset
	case "text/plain":
		return verb, query, encodePairs(inBody), "text/plain; charset=" + typeCharset
	}
	contentType = rapid.SampledFrom([]string{"application/x-www-form-urlencoded", "Application/X-WWW-Form-URLEncoded", ""}).Draw(t, "type")
	return verb, query, encodePairs(inBody), contentType + ";charset=" + typeCharset
}

// cutAnew cuts the signed text into other parameters.
func cutAnew(t *rapid.T, call []pair) []pair {
	pieces := strings.Split(signedText(call, func(string) bool { return true }), "&")
	joined := rapid.IntRange(0, len(pieces)-1).Draw(t, "joined")
	var cut []pair
	for i, piece := range pieces {
		name, raw, isPair := strings.Cut(piece, "=")
		if len(cut) > 0 && (!isPair || i == joined) {
			cut[len(cut)-1].raw += "&" + piece
			continue
		}
		cut = append(cut, pair{name, raw})
	}
	return cut
}

// parted returns a multipart body, with headers of the parts that say what they like.
func parted(t *rapid.T, pairs []pair, charset string) string {
	var b strings.Builder
	for _, p := range pairs {
		raw, more := p.raw, ""
		switch rapid.IntRange(0, 3).Draw(t, "part of "+p.name) {
		case 1:
			more = "Content-Type: text/plain; charset=" + charset + "\r\n"
		case 2:
			more = "Content-Transfer-Encoding: base64\r\n"
		case 3:
			fmt.Fprintf(&b, "--b\r\nContent-Disposition: form-data; name=%q; filename=\"f\"\r\n\r\nother\r\n", p.name)
		}
		fmt.Fprintf(&b, "--b\r\nContent-Disposition: form-data; name=%q\r\n%s\r\n%s\r\n", p.name, more, raw)
	}
	return b.String() + "--b--\r\n"
}

func encodePairs(pairs []pair) string {
	all := make([]string, len(pairs))
	for i, p := range pairs {
		all[i] = url.QueryEscape(p.name) + "=" + url.QueryEscape(p.raw)
	}
	return strings.Join(all, "&")
}

// The form is signed in UTF-8 and sent three times: the key stays the same whatever the URL and the Content-Type call
// its charset, and there is one voucher.
func TestUnsignedCharsets(t *testing.T) {
	w := newWorld(t, nil)
	biz := fmt.Sprintf(`{"template_id":"%s","user_id":"%s","amount":"1","out_biz_no":"活动2026订单"}`, cashID, aliceID)
	form := urlEncoded(send(biz).pairs())
	post := func(query, contentType string) string {
		r := httptest.NewRequest(http.MethodPost, alipay.Path+query, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded"+contentType)
		res := httptest.NewRecorder()
		w.ServeHTTP(res, r)
		return res.Body.String()
	}
	first := post("", "")
	if !strings.Contains(first, `"code":"10000"`) {
		t.Fatal(first)
	}
	if again := post("", ";charset=gbk"); again != first {
		t.Errorf("Content-Type with gbk: got %s, want %s", again, first)
	}
	for _, charset := range []string{"gbk", "gb2312", "gb18030", "big5"} {
		if got := post("?charset="+charset, ""); !strings.Contains(got, "isv.invalid-charset") {
			t.Errorf("URL with %s: got %s", charset, got)
		}
	}
}
