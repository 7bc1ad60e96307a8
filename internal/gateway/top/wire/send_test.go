package wire

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSend(t *testing.T) {
	for f, want := range map[Format]string{XML: "text/xml;charset=UTF-8", JSON: "text/javascript;charset=UTF-8", SimplifiedJSON: "text/javascript;charset=UTF-8"} {
		for _, a := range []*Answer{Success(f, "a.b", "1"), Failure(f, ErrUnavailable, "1")} {
			w := httptest.NewRecorder()
			must(t, Send(w, httptest.NewRequest("POST", "/", nil), a))
			h := w.Result().Header
			if w.Code != 200 || h.Get("Content-Type") != want || h.Get("Content-Length") != strconv.Itoa(w.Body.Len()) || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d %v", f, w.Code, h)
			}
		}
	}
}

func TestGzipOnlyWhenAsked(t *testing.T) {
	long := strings.Repeat("优酷", 1000)
	for _, test := range []struct {
		accept, text string
		packed       bool
	}{
		{"", long, false}, {"gzip", long, true}, {"gzip", "short", false}, {"deflate, GZIP;q=0.5", long, true},
		{"gzip; q=0", long, false}, {"gzip;q=0.000", long, false}, {"identity", long, false}, {"x-gzip", long, false},
	} {
		for range 2 { // the second time with a used compressor
			r := httptest.NewRequest("POST", "/", nil)
			if test.accept != "" {
				r.Header.Set("Accept-Encoding", test.accept)
			}
			w := httptest.NewRecorder()
			a := Success(JSON, "a.b", "1")
			a.Text("x", test.text)
			must(t, Send(w, r, a))
			var body io.Reader = w.Body
			if packed := w.Result().Header.Get("Content-Encoding") == "gzip"; packed != test.packed {
				t.Errorf("%q: packed %t", test.accept, packed)
			}
			if test.packed {
				var err error
				body, err = gzip.NewReader(w.Body)
				must(t, err)
			}
			text, err := io.ReadAll(body)
			must(t, err)
			reply, err := ReadReply(text, JSON, "a.b")
			if err != nil || reply.Text("x") != test.text {
				t.Errorf("%q: %v", test.accept, err)
			}
		}
	}
}

func TestRequestID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewRequestID()
		if !regexp.MustCompile(`^[0-9a-z]{13}$`).MatchString(id) || seen[id] {
			t.Fatalf("got %s", id)
		}
		seen[id] = true
	}
}

// A call of the client passes the checks, and what is answered comes back the same out of every shape.
func TestRoundTrip(t *testing.T) {
	var served Format
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, bad := Parse(r, Limits{})
		if bad == nil {
			_, bad = testPolicy().Check(req)
		}
		served = req.Format()
		if bad != nil {
			_ = Send(w, r, Failure(served, bad, "r1"))
			return
		}
		a := Success(served, req.Method(), "r1")
		a.Object("result", func() {
			a.Bool("ok", true)
			a.Int("id", 2203102002536848287)
			a.Text("session", req.Session())
			a.Texts("one", []string{req.Get("memo")})
			a.Objects("list", "item", 2, func(i int) { a.Int("n", int64(i)) })
		})
		_ = Send(w, r, a)
	}))
	defer server.Close()
	for _, f := range []Format{XML, JSON, SimplifiedJSON} {
		for _, m := range append(SignMethods(), "") {
			call := Call{Method: sendMethod, AppKey: "12345678", Session: "s", Format: f, SignMethod: m, At: noon, Params: map[string]string{"memo": "优 &+\n"}}
			reply, err := ReadReply(get(t, server.URL+"?"+call.Form(secret)), f, sendMethod)
			if err != nil || reply.Refusal != nil || served != f {
				t.Fatalf("%s, %s: served as %s, %v, %+v", f, m, served, err, reply)
			}
			got := []any{reply.RequestID, reply.Text("result", "ok"), reply.Text("result", "id"), reply.Text("result", "session"), reply.List("string", "result", "one")}
			if diff := cmp.Diff([]any{"r1", "true", "2203102002536848287", "s", []any{"优 &+\n"}}, got); diff != "" {
				t.Errorf("%s: %s", f, diff)
			}
			if len(reply.List("item", "result", "list")) != 2 || reply.List("item", "result", "none") != nil {
				t.Errorf("%s: lists %v", f, reply.Root)
			}
		}
		call := Call{Method: "x", AppKey: "12345678", Format: f, At: noon}
		reply, err := ReadReply(get(t, server.URL+"?"+call.Form(secret)), f, "x")
		if err != nil || reply.RequestID != "r1" {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ErrInvalidMethod, reply.Refusal); diff != "" {
			t.Errorf("%s: %s", f, diff)
		}
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	answer, err := http.Get(url)
	must(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(t, err)
	return body
}

func TestReadReplyRefuses(t *testing.T) {
	for body, f := range map[string]Format{
		"":                                    JSON,
		"<html>":                              JSON,
		`{"x_response":{}}`:                   JSON,
		`{"a_b_response":{},"y":{}}`:          JSON,
		`{"a_b_response":{}}{}`:               JSON,
		`{"error_response":{"code":"x"}}`:     SimplifiedJSON,
		`<a_b_response><x></a_b_response>`:    XML,
		`<a_b_response>text</a_b_response>`:   XML,
		`<error_response><code/></error_resp`: XML,
	} {
		if reply, err := ReadReply([]byte(body), f, "a.b"); err == nil {
			t.Errorf("%q is read as %+v", body, reply)
		}
	}
}
