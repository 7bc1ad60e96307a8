package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/gateway/form"
)

// values returns what Parse made of a request.
func values(req *Request) map[string]string {
	m := map[string]string{}
	for _, p := range req.Params {
		m[p.Name] = p.Value
	}
	return m
}

func TestParseMergesQueryAndBody(t *testing.T) {
	form := url.Values{"a": {"x+y &=%"}, "c": {"优酷"}, "": nil}.Encode()
	tests := []struct {
		name, query, body string
		want              map[string]string
	}{
		{"all in the body", "", "a=1&b=2", map[string]string{"a": "1", "b": "2"}},
		{"all in the query", "a=1&b=2", "", map[string]string{"a": "1", "b": "2"}},
		{"split", "b=2", "a=1", map[string]string{"a": "1", "b": "2"}},
		{"twice, same value", "a=1&charset=utf-8", "a=1&charset=utf-8&a=1", map[string]string{"a": "1", "charset": "utf-8"}},
		{"encoded", "", form, map[string]string{"a": "x+y &=%", "c": "优酷"}},
		{"encoded name", "", "%61b=1", map[string]string{"ab": "1"}},
		{"lower-case hex, raw UTF-8", "", "a=%e4%bc%98酷", map[string]string{"a": "优酷"}},
		{"no value, empty value, empty pairs", "&a&&", "b=&&", map[string]string{"a": "", "b": ""}},
		{"equals signs in a value", "", "sign=YQ==", map[string]string{"sign": "YQ=="}},
		{"semicolon is data", "", `biz_content={"a":"x;y"}`, map[string]string{"biz_content": `{"a":"x;y"}`}},
		{"names that differ only by case", "", "a=1&A=2", map[string]string{"a": "1", "A": "2"}},
		{"line breaks in JSON", "", "b=%7B%0D%0A%09%7D", map[string]string{"b": "{\r\n\t}"}},
	}
	for _, test := range tests {
		req, bad := Parse(post(test.query, test.body), 0)
		if bad != nil {
			t.Errorf("%s: %v", test.name, bad)
			continue
		}
		if diff := cmp.Diff(test.want, values(req)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestParseSortsByName(t *testing.T) {
	req := parse(t, "b=1&a=1&A=1&a1=1&a_=1")
	var names []string
	for _, p := range req.Params {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff([]string{"A", "a", "a1", "a_", "b"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	many := strings.Repeat("a=1&", form.DefaultParams+1)
	tests := []struct{ name, query, body, want string }{
		{"two values", "a=1", "a=2", "参数a重复且取值不同"},
		{"two values in one place", "", "a=1&a=2", "参数a重复且取值不同"},
		{"empty and not empty", "a=", "a=2", "参数a重复且取值不同"},
		{"two charsets in one place", "", "charset=gbk&charset=utf-8", "参数charset重复且取值不同"},
		{"bad escape", "", "a=%zz", "参数的URL编码有误"},
		{"cut escape", "", "a=%4", "参数的URL编码有误"},
		{"bad escape in a name", "%g1=1", "", "参数的URL编码有误"},
		{"no name", "", "=1", "参数名无效"},
		{"space in a name", "", "a+b=1", "参数名无效"},
		{"Chinese name", "", "优=1", "参数名无效"},
		{"long name", "", strings.Repeat("a", 129) + "=1", "参数名无效"},
		{"NUL", "", "a=x%00y", "参数a含有控制字符"},
		{"escape character", "", "a=%1b[31m", "参数a含有控制字符"},
		{"too many", "", many, "参数个数过多"},
		{"too many, half in the query", many[:len(many)/2], many[len(many)/2:], "参数个数过多"},
	}
	for _, test := range tests {
		_, bad := Parse(post(test.query, test.body), 0)
		if !same(bad, ErrInvalidParameter) || bad.SubMsg != test.want {
			t.Errorf("%s: got %v, want %s", test.name, bad, test.want)
		}
	}
}

func TestParseBoundsTheBytes(t *testing.T) {
	full := "a=" + strings.Repeat("x", 98)
	for _, chunked := range []bool{false, true} {
		for _, test := range []struct {
			query, body string
			ok          bool
		}{{"", full, true}, {"", full + "x", false}, {full, "", true}, {full + "x", "", false}} {
			r := post(test.query, test.body)
			if chunked {
				r.ContentLength = -1
			}
			if _, bad := Parse(r, 100); (bad == nil) != test.ok {
				t.Errorf("query %d bytes, body %d, chunked %v: got %v", len(test.query), len(test.body), chunked, bad)
			}
		}
	}
}

// A body that is refused must not take the method from the answer's root name.
func TestParseKeepsTheQueryOfARefusedBody(t *testing.T) {
	req, bad := Parse(post("method=a.b", "x=%"), 0)
	if bad == nil || req.Method() != "a.b" {
		t.Errorf("got method %q, %v", req.Method(), bad)
	}
}

func TestParseContentTypes(t *testing.T) {
	tests := []struct {
		contentType string
		ok          bool
	}{
		{"", true},
		{"application/x-www-form-urlencoded", true},
		{"Application/X-WWW-Form-URLEncoded; charset=UTF-8; charset=UTF-8;", true},
		{"application/json", false},
		{"text/plain", false},
		{"multipart/form-data", false},
	}
	for _, test := range tests {
		r := post("", "a=1")
		r.Header.Set("Content-Type", test.contentType)
		if _, bad := Parse(r, 0); (bad == nil) != test.ok {
			t.Errorf("%q: %v", test.contentType, bad)
		}
	}
}

func TestParseGetWithBody(t *testing.T) {
	r := httptest.NewRequest("GET", "/gateway.do?b=2", strings.NewReader("a=1"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req, bad := Parse(r, 0)
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2"}, values(req)); bad != nil || diff != "" {
		t.Error(bad, diff)
	}
}

func TestParseMultipart(t *testing.T) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	must(t, w.WriteField("method", "a.b"))
	must(t, w.WriteField("biz_content", `{"memo":"优酷 & +"}`))
	file, err := w.CreateFormFile("image", "a.png")
	must(t, err)
	_, err = file.Write([]byte{0, 1, 2})
	must(t, err)
	must(t, w.Close())
	r := post("app_id=1", body.String())
	r.Header.Set("Content-Type", w.FormDataContentType())
	req, bad := Parse(r, 0)
	if bad != nil {
		t.Fatal(bad)
	}
	want := map[string]string{"app_id": "1", "method": "a.b", "biz_content": `{"memo":"优酷 & +"}`}
	if diff := cmp.Diff(want, values(req)); diff != "" {
		t.Error(diff)
	}
	r = post("", body.String()[:body.Len()-10])
	r.Header.Set("Content-Type", w.FormDataContentType())
	if _, bad := Parse(r, 0); bad == nil {
		t.Error("a cut body is accepted")
	}
}

// The Python SDK sends the whole URL in the request line.
func TestParseAbsoluteRequestLine(t *testing.T) {
	got := make(chan map[string]string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		req, _ := Parse(r, 0)
		got <- values(req)
	}))
	defer server.Close()
	host := server.Listener.Addr().String()
	conn, err := net.Dial("tcp", host)
	must(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "POST http://%s/gateway.do?a=1 HTTP/1.1\r\nHost: %s\r\nContent-Length: 3\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\n\r\nb=2", host, host)
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2"}, <-got); diff != "" {
		t.Error(diff)
	}
	_, err = bufio.NewReader(conn).ReadString('\n')
	must(t, err)
}

func TestParseReportsAFailedRead(t *testing.T) {
	r := httptest.NewRequest("POST", "/gateway.do?method=a.b", io.MultiReader(strings.NewReader("a=1"), failing{}))
	if _, bad := Parse(r, 0); !same(bad, ErrInvalidParameter) {
		t.Errorf("got %v", bad)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzParse compares with net/url, which reads the same format in its own way, and
// holds what must be true of every request.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a=1&b=2", "a=%E4%BC%98&charset=utf-8", "a=%D3%C5&charset=GBK", "a=1&a=2", "%", "a=+%2B", "charset=gb18030&x=%84%31%A4%37"} {
		f.Add(seed, "", "")
		f.Add("", seed, "application/x-www-form-urlencoded;charset=gbk")
	}
	f.Add("", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x")
	f.Fuzz(func(t *testing.T, query, body, contentType string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{"Content-Type": {contentType}},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
		req, bad := Parse(r, 1<<16)
		if req == nil {
			t.Fatal("no request")
		}
		seen := map[string]bool{}
		for _, p := range req.Params {
			if seen[p.Name] || strings.ContainsRune(p.Value, 0) {
				t.Fatalf("parameter %q", p.Name)
			}
			seen[p.Name] = true
		}
		if _, refused := testPolicy().Check(req); refused == nil {
			t.Fatal("an unsigned request passes")
		}
		if bad != nil || body != "" || req.charsetProblem != nil || strings.Contains(query, ";") {
			return
		}
		reference, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("net/url refuses %q: %v", query, err)
		}
		for name := range reference {
			if _, known := ParseCharset(reference.Get("charset")); known && req.Charset == UTF8 && req.Get(name) != reference[name][0] {
				t.Errorf("%s: got %q, net/url %q", name, req.Get(name), reference[name][0])
			}
		}
		if len(seen) != len(reference) {
			t.Errorf("got %d names, net/url %d", len(seen), len(reference))
		}
	})
}

// gopay writes charset=utf-8 into the query and its own setting into the body, and
// signs the latter.
func TestGopayCharset(t *testing.T) {
	p := signed(with("charset", "UTF-8"))
	req, bad := Parse(post("charset=utf-8", encode(p)), 0)
	if bad == nil {
		_, bad = testPolicy().Check(req)
	}
	if bad != nil || req.Get("charset") != "UTF-8" {
		t.Errorf("got %v, charset %s", bad, req.Get("charset"))
	}
}

// A body that says it is too large is refused before any of it is read.
func TestParseRefusesByContentLength(t *testing.T) {
	r := httptest.NewRequest("POST", "/gateway.do", unread{t})
	r.ContentLength = form.DefaultBytes + 1
	if _, bad := Parse(r, 0); !same(bad, ErrInvalidParameter) || bad.SubMsg != "请求过大" {
		t.Errorf("got %v", bad)
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}
