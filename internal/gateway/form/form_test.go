package form

import (
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func request(query, contentType, body string) *http.Request {
	return &http.Request{Method: "POST", URL: &url.URL{RawQuery: query}, Header: http.Header{"Content-Type": {contentType}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}

func TestReadKeepsOrderAndOrigin(t *testing.T) {
	f, bad := Read(request("b=%E4%BC%98&&a", "", "c=1+%2B;2&a=x=y"), Options{})
	want := []Param{{"b", "优", true}, {"a", "", true}, {"c", "1 +;2", false}, {"a", "x=y", false}}
	if diff := cmp.Diff(want, f.Params); bad != nil || diff != "" {
		t.Error(bad, diff)
	}
	if bad := f.Merge(""); bad == nil || bad.Name != "a" || bad.Error() != "参数a重复且取值不同" {
		t.Errorf("got %v", bad)
	}
	if diff := cmp.Diff([]Param{{"a", "", true}, {"b", "优", true}, {"c", "1 +;2", false}}, f.Params); diff != "" {
		t.Error(diff)
	}
}

func TestMergeBodyWins(t *testing.T) {
	for _, test := range []struct {
		query, body, want string
		ok                bool
	}{{"x=1", "x=2", "2", true}, {"x=1&x=2", "", "1", false}, {"", "x=1&x=2", "1", false}, {"x=1", "x=1", "1", true}} {
		f, _ := Read(request(test.query, "", test.body), Options{})
		bad := f.Merge("x")
		if len(f.Params) != 1 || f.Params[0].Raw != test.want || (bad == nil) != test.ok {
			t.Errorf("%s and %s: %v, %v", test.query, test.body, f.Params, bad)
		}
	}
}

func TestReadKeepsWhatCameBeforeAProblem(t *testing.T) {
	f, bad := Read(request("a=1", "", "b=2&c=%"), Options{})
	if diff := cmp.Diff([]Param{{"a", "1", true}, {"b", "2", false}}, f.Params); bad == nil || diff != "" {
		t.Error(bad, diff)
	}
}

func TestReadRefuses(t *testing.T) {
	multi := "multipart/form-data; boundary=x"
	part := "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
	for _, test := range []struct{ name, contentType, body, want string }{
		{"bytes", "", "a=" + strings.Repeat("x", 400), "请求过大"},
		{"params", "", "a&b&c&d", "参数个数过多"},
		{"escape", "", "a=%4", "参数的URL编码有误"},
		{"name", "", "a%20b=1", "参数名无效"},
		{"equals sign in a name", "", "a%3Db=1", "参数名无效"},
		{"ampersand in a name", "", "a%26b=1", "参数名无效"},
		{"long name", "", strings.Repeat("a", 128), ""},
		{"longer name", "", strings.Repeat("a", 129), "参数名无效"},
		{"control", "", "a=%00", "参数a含有控制字符"},
		{"boundary", "multipart/form-data", part + "--x--\r\n", "multipart请求缺少boundary"},
		{"cut in a part", multi, part[:len(part)-4], "multipart请求格式有误"},
		{"cut behind a boundary", multi, part + "--x\r\n", "multipart请求格式有误"},
		{"whole", multi, part + "--x--\r\n", ""},
	} {
		got := ""
		if _, bad := Read(request("", test.contentType, test.body), Options{Bytes: 300, Params: 3}); bad != nil {
			got = bad.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestLargeIsRefusedUnread(t *testing.T) {
	r := request("", "", "")
	r.ContentLength, r.Body = DefaultBytes+1, io.NopCloser(unread{t})
	if _, bad := Read(r, Options{}); bad != TooLarge {
		t.Errorf("a large body: got %v", bad)
	}
	if _, bad := Read(request("a=12", "", ""), Options{Bytes: 3}); bad != TooLarge {
		t.Errorf("a large query: got %v", bad)
	}
}

// What a body announces takes no memory before it arrives.
func TestMemoryFollowsWhatHasArrived(t *testing.T) {
	const reads = 50
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range reads {
		r := request("", "", "")
		r.ContentLength, r.Body = DefaultBytes, io.NopCloser(io.MultiReader(strings.NewReader("a=1"), iotest.ErrReader(ErrSlow)))
		if _, bad := Read(r, Options{}); bad == nil {
			t.Fatal("it was read")
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / reads; each > 64<<10 {
		t.Errorf("a body of which 3 bytes have arrived took %d bytes of memory", each)
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

func TestMultipartFilesAreSkipped(t *testing.T) {
	const head = "--x\r\nContent-Disposition: form-data; name="
	f, bad := Read(request("", "multipart/form-data; boundary=x",
		head+"\"f\"; filename=\"a.png\"\r\n\r\n\x00\r\n"+head+"\"a\"\r\n\r\n1\r\n--x--\r\n"), Options{})
	if diff := cmp.Diff([]Param{{"a", "1", false}}, f.Params); bad != nil || diff != "" {
		t.Error(bad, diff)
	}
}

func TestRawBody(t *testing.T) {
	for _, contentType := range []string{"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"} {
		f, bad := Read(request("a=1", contentType, "b=2"), Options{RawBody: true})
		if bad != nil || f.Body != "b=2" || len(f.Params) != 1 {
			t.Errorf("%s: %v %q %v", contentType, bad, f.Body, f.Params)
		}
	}
}

func TestReadText(t *testing.T) {
	f, bad := ReadText("a=1&b=%2B", Options{})
	if diff := cmp.Diff([]Param{{"a", "1", false}, {"b", "+", false}}, f.Params); bad != nil || diff != "" {
		t.Error(bad, diff)
	}
	if _, bad := ReadText("a=12", Options{Bytes: 3}); bad != TooLarge {
		t.Errorf("got %v", bad)
	}
}

func TestCut(t *testing.T) {
	for max, want := range map[int]string{0: "", 1: "", 2: "", 3: "优", 4: "优a", 9: "优a"} {
		if got := Cut("优a", max); got != want {
			t.Errorf("%d: got %q, want %q", max, got, want)
		}
	}
}

// FuzzRead compares with net/url, which reads the same format in its own way.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"", "a=1&b=2", "a=%E4%BC%98", "a=1&a=2", "%", "a=+%2B", "=", "a==", "a%00=1"} {
		f.Add(seed, "", "")
		f.Add(seed, "application/x-www-form-urlencoded", seed)
	}
	f.Add("", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n")
	f.Fuzz(func(t *testing.T, query, contentType, body string) {
		got, bad := Read(request(query, contentType, body), Options{Bytes: 1 << 16})
		for _, p := range got.Params {
			if !isName(p.Name) || HasControl(p.Raw) {
				t.Fatalf("parameter %v", p)
			}
		}
		if bad != nil || got.Body != "" || strings.Contains(query+body, ";") || strings.HasPrefix(mediaType(contentType), "multi") {
			return
		}
		want, err := url.ParseQuery(query + "&" + body)
		if err != nil {
			t.Fatalf("net/url refuses %q: %v", query, err)
		}
		have := url.Values{}
		for _, p := range got.Params {
			have.Add(p.Name, p.Raw)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Error(diff)
		}
	})
}

// A call whose query is too large is answered in the format that it asks for, wherever in the query that stands.
func TestTooLargeQueryIsRead(t *testing.T) {
	query := "a=" + strings.Repeat("x", 100) + "&format=json"
	f, bad := Read(request(query, "", ""), Options{Bytes: len(query) - 1})
	if bad != TooLarge || len(f.Params) != 2 || f.Params[1].Raw != "json" {
		t.Errorf("got %v, %v", f.Params, bad)
	}
	if _, bad := Read(request(query, "", ""), Options{Bytes: len(query)}); bad != nil {
		t.Error(bad)
	}
}
