package wire

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each SDK's way to split the parameters gives the same request.
func TestParseMerges(t *testing.T) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	must(t, w.WriteField("method", "a.b"))
	must(t, w.WriteField("empty", ""))
	must(t, w.WriteField("dto", `{"memo":"优 & +"}`))
	must(t, w.Close())
	want := map[string]string{"method": "a.b", "empty": "", "dto": `{"memo":"优 & +"}`}
	all := encode(want)
	protocol, business := "method=a.b&empty=", encode(map[string]string{"dto": want["dto"]})
	const urlencoded = "application/x-www-form-urlencoded;charset=UTF-8"
	for _, test := range []struct{ name, verb, query, body, contentType string }{
		{"Java: protocol in the query", "POST", protocol, business, urlencoded},
		{".NET: all in the body", "POST", "", all, urlencoded},
		{"PHP without business parameters: all in the query", "GET", all, "", ""},
		{"Node, official: multipart without files", "POST", "", form.String(), w.FormDataContentType()},
		{"topsdk: GET with a form", "GET", "", all, "application/x-www-form-urlencoded"},
		{"another letter case", "POST", "", all, "Application/X-WWW-Form-Urlencoded; Charset=utf-8"},
		{"no type", "POST", "", all, ""},
		{"the same twice", "POST", all, all, urlencoded},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.verb, "/router/rest?"+test.query, strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			req, bad := Parse(r, Limits{})
			if bad != nil {
				t.Fatal(bad, bad.SubMsg)
			}
			if diff := cmp.Diff(want, values(req)); diff != "" || req.Body != "" {
				t.Errorf("body %q, %s", req.Body, diff)
			}
		})
	}
}

// A body that is no form is that of a batch. In a call it would be signed without meaning anything.
func TestParseRefusesOtherBodies(t *testing.T) {
	for _, contentType := range []string{"application/json", "text/xml;charset=UTF-8", "text/plain"} {
		r := post("method=a.b", `{"a":"优"}`)
		r.Header.Set("Content-Type", contentType)
		req, bad := Parse(r, Limits{})
		if !same(bad, ErrParameter) || req.Method() != "a.b" || len(req.Params) != 1 {
			t.Errorf("%s: %v %v", contentType, bad, req.Params)
		}
	}
	req, bad := ParseBatch(post("v=2.0", "a=1"), Limits{})
	if bad != nil || req.Body != "a=1" || len(req.Params) != 1 {
		t.Errorf("a batch under a form's type: %v %q %v", bad, req.Body, req.Params)
	}
}

func TestParseRefuses(t *testing.T) {
	many := strings.Repeat("a=1&", 257)
	for _, test := range []struct {
		name, verb, query, body, contentType string
		want                                 *Error
	}{
		{"verb", "PUT", "method=a.b", "a=1", "", ErrVerb},
		{"verb, and unreadable", "DELETE", "method=a.b", "a=%", "", ErrVerb},
		{"two values", "POST", "method=a.b&a=1", "a=2", "", Invalid("a", "")},
		{"two values in the query", "GET", "method=a.b&a=1&a=2", "", "", Invalid("a", "")},
		{"an empty one and another", "POST", "method=a.b&a=", "a=2", "", Invalid("a", "")},
		{"NUL", "POST", "method=a.b", "a=x%00", "", Invalid("a", "")},
		{"cut escape", "POST", "method=a.b", "a=%4", "", ErrParameter},
		{"nameless", "POST", "method=a.b", "=1", "", ErrParameter},
		{"too many", "POST", "method=a.b", many, "", ErrParameter},
		{"too large", "POST", "method=a.b", strings.Repeat("x", 1<<20+1), "text/plain", ErrParameter},
		{"cut multipart", "POST", "method=a.b", "--x\r\n", "multipart/form-data; boundary=x", ErrParameter},
		{"GBK", "POST", "method=a.b", "a=%D3%C5", "", ErrInvalidEncoding},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.verb, "/router/rest?"+test.query, strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			req, bad := Parse(r, Limits{})
			if !same(bad, test.want) || req.Method() != "a.b" {
				t.Errorf("got %v, method %q; want %v", bad, req.Method(), test.want)
			}
		})
	}
}

func TestLimitsAreTheCallers(t *testing.T) {
	limits := Limits{Bytes: 10, Params: 2}
	for body, ok := range map[string]bool{"a=1&b=2": true, "a=1&b=2&c": false, "a=12345678": true, "a=123456789": false} {
		if _, bad := Parse(post("", body), limits); (bad == nil) != ok {
			t.Errorf("%s: %v", body, bad)
		}
	}
}

func TestFormat(t *testing.T) {
	for query, want := range map[string]Format{
		"": XML, "format=xml": XML, "format=json": JSON, "format=JSON": JSON, "format=json2": XML,
		"simplify=true": XML, "format=xml&simplify=true": XML, "format=json&simplify=true": SimplifiedJSON,
		"format=json&simplify=false": JSON, "format=json&simplify=": JSON,
	} {
		if req, _ := Parse(post(query, ""), Limits{}); req.Format() != want {
			t.Errorf("%s: got %s, want %s", query, req.Format(), want)
		}
	}
}

// FuzzParse compares with net/url, which reads the same format in its own way, and holds what must be true of every
// request.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a=1&b=2", "a=%E4%BC%98", "a=1&a=2", "%", "a=+%2B", "a=%D3%C5", "a;b=1"} {
		f.Add(seed, "", "")
		f.Add("", seed, "application/x-www-form-urlencoded")
		f.Add("v=2.0", seed, "text/plain")
	}
	f.Add("", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x")
	f.Fuzz(func(t *testing.T, query, body, contentType string) {
		r := &http.Request{Method: "POST", URL: &url.URL{RawQuery: query}, Header: http.Header{"Content-Type": {contentType}},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
		req, bad := Parse(r, Limits{Bytes: 1 << 16})
		for i, p := range req.Params {
			if i > 0 && req.Params[i-1].Name >= p.Name || strings.ContainsRune(p.Value, 0) {
				t.Fatalf("parameter %d: %q", i, p)
			}
		}
		if _, refused := testPolicy().Check(req); refused == nil {
			t.Fatal("an unsigned request passes")
		}
		if bad != nil || body != "" || strings.Contains(query, ";") {
			return
		}
		reference, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("net/url refuses %q: %v", query, err)
		}
		want := map[string]string{}
		for name := range reference {
			want[name] = reference.Get(name)
		}
		if diff := cmp.Diff(want, values(req)); diff != "" {
			t.Error(diff)
		}
	})
}
