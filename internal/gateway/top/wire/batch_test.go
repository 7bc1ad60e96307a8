package wire

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sendMethod = "taobao.mobile.promotion.benefit.activity.send"

// batchQuery returns the query of a batch with this body, signed.
func batchQuery(body string, more ...string) string {
	p := with(append([]string{"method", "-", "session", "-", "single_benefit_request", "-"}, more...)...)
	p["sign"] = signText("md5", textOfParams(p)+body)
	return encode(p)
}

// batch reads a batch through all checks.
func batch(t *testing.T, query, separator, body string) ([]Item, *Error) {
	t.Helper()
	r := httptest.NewRequest("POST", "/router/batch?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	if separator != "" {
		r.Header.Set("top-api-separator", separator)
	}
	req, bad := ParseBatch(r, Limits{})
	if bad == nil {
		_, bad = testPolicy().CheckBatch(req)
	}
	if bad != nil {
		return nil, bad
	}
	return testPolicy().Items(req)
}

func TestBatch(t *testing.T) {
	const sep = Separator
	own := func(text string) string { return strings.TrimSpace(text) }
	for _, test := range []struct {
		name, body string
		want       []map[string]string // what the items have beside the query
	}{
		{"as Java sends it", own("#PUBLIC#method=" + sendMethod + sep + "method=" + sendMethod + "&x=%E4%BC%98&y=1" + sep + "method=" + sendMethod + "&x=2"),
			[]map[string]string{{"method": sendMethod, "x": "优", "y": "1"}, {"method": sendMethod, "x": "2"}}},
		{"items win", "#PUBLIC#method=" + sendMethod + "&session=a&x=1" + sep + "session=b" + sep + "N" + sep + "x=3&method=tmall.nrt.certificate.send",
			[]map[string]string{{"method": sendMethod, "session": "b", "x": "1"}, {"method": sendMethod, "session": "a", "x": "1"},
				{"method": "tmall.nrt.certificate.send", "session": "a", "x": "3"}}},
		{"nothing in common", "method=" + sendMethod + "&x=1", []map[string]string{{"method": sendMethod, "x": "1"}}},
		{"who calls is the query's to say", "#PUBLIC#method=" + sendMethod + "&app_key=1&sign=x" + sep + "app_key=2&sign=y&timestamp=z&v=1&format=xml&simplify=true&sign_method=hmac&partner_id=p&a=1",
			[]map[string]string{{"method": sendMethod, "a": "1"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			items, bad := batch(t, batchQuery(test.body), "", test.body)
			if bad != nil {
				t.Fatal(bad, bad.SubMsg)
			}
			var got []map[string]string
			for i, item := range items {
				if item.Refusal != nil || item.Request.Format() != JSON {
					t.Errorf("item %d: %v, %s", i, item.Refusal, item.Request.Format())
				}
				p := values(item.Request)
				for name, value := range with("method", "-", "session", "-", "single_benefit_request", "-") {
					if p[name] != value {
						t.Errorf("item %d has %s %q", i, name, p[name])
					}
					delete(p, name)
				}
				got = append(got, p)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBatchItemsAreRefusedAlone(t *testing.T) {
	body := strings.Join([]string{"method=" + sendMethod, "method=" + sendMethod + "&x=%", "method=" + sendMethod + "&x=1&x=2", "method=" + sendMethod + "&x=%D3%C5", "N", "method=x"}, Separator)
	items, bad := batch(t, batchQuery(body), "", body)
	if bad != nil {
		t.Fatal(bad)
	}
	for i, want := range []*Error{nil, ErrParameter, Invalid("x", ""), ErrInvalidEncoding, ErrMissingMethod, ErrInvalidMethod} {
		if !same(items[i].Refusal, want) {
			t.Errorf("item %d: got %v, want %v", i, items[i].Refusal, want)
		}
	}
}

func TestBatchIsRefusedAsAWhole(t *testing.T) {
	twenty := "method=" + sendMethod + strings.Repeat(Separator+"method="+sendMethod, 19)
	for _, test := range []struct {
		name, separator, body string
		want                  *Error
	}{
		{"twenty", "", twenty, nil},
		{"twenty and what they share", "", "#PUBLIC#x=1" + Separator + twenty, nil},
		{"twenty-one", "", twenty + Separator + "N", ErrParameter},
		{"nothing", "", "", ErrParameter},
		{"only what they share", "", "#PUBLIC#method=" + sendMethod, ErrParameter},
		{"what they share is broken", "", "#PUBLIC#x=%" + Separator + "N", ErrParameter},
		{"a separator of its own, which is not signed", "|||", "method=" + sendMethod + "|||N", ErrParameter},
	} {
		if _, bad := batch(t, batchQuery(test.body), test.separator, test.body); !same(bad, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, bad, test.want)
		}
	}
	if _, bad := batch(t, batchQuery("method="+sendMethod), "", "method="+sendMethod+"&x=1"); !same(bad, ErrInvalidSignature) {
		t.Errorf("another body than was signed: got %v", bad)
	}
	// Signed for a batch of two, "x" and "_id=…"; the text to sign is the same.
	two := "x_id=1&method=" + sendMethod + Separator + "method=" + sendMethod
	first, second, _ := strings.Cut(two, "method="+sendMethod+Separator)
	if _, bad := batch(t, batchQuery(two)+"&x="+url.QueryEscape(first[1:]+"method="+sendMethod+Separator), "", second); !same(bad, ErrParameter) {
		t.Errorf("the first item as a parameter of the query: got %v", bad)
	}
	if _, bad := batch(t, batchQuery("N", "app_key", "-"), "", "N"); !same(bad, ErrMissingAppKey) {
		t.Errorf("no app_key: got %v", bad)
	}
}

// Each item is bounded like a call.
func TestBatchItemsAreBounded(t *testing.T) {
	for body, want := range map[string]*Error{"a=1&b=2": nil, "a=1&b=2&c=3": ErrParameter, "a=345678901": ErrParameter} {
		query := NewRequest(map[string]string{"method": sendMethod}, body)
		query.limits = Limits{Params: 2, Bytes: 10}
		items, bad := testPolicy().Items(query)
		if bad != nil || !same(items[0].Refusal, want) {
			t.Errorf("%s: %v, %v", body, bad, items)
		}
	}
	r := post("", "N")
	if req, _ := ParseBatch(r, Limits{Params: 2}); req.limits.Params != 2 {
		t.Error("the limits of the batch are forgotten")
	}
}

// A batch that the client makes is read, and so are its answers.
func TestBatchRoundTrip(t *testing.T) {
	call := Call{Method: sendMethod, AppKey: "12345678", Format: XML, SignMethod: HMAC, At: noon}
	query, body := call.Batch(secret, []map[string]string{{"x": "优 &+\r\n"}, {}, {"method": "tmall.nrt.certificate.send"}})
	items, bad := batch(t, query, "", body)
	if bad != nil || len(items) != 3 || items[0].Request.Get("x") != "优 &+\r\n" || items[1].Request.Method() != sendMethod ||
		items[2].Request.Method() != "tmall.nrt.certificate.send" {
		t.Fatal(bad, items)
	}
	outer := NewRequest(map[string]string{"format": "xml"}, "")
	w := httptest.NewRecorder()
	must(t, SendBatch(w, httptest.NewRequest("POST", "/", nil), outer, []*Answer{
		Success(XML, sendMethod, "1"), Failure(XML, ErrInvalidMethod, "2")}))
	parts := strings.Split(w.Body.String(), Separator)
	if len(parts) != 2 {
		t.Fatal(parts)
	}
	first, err := ReadReply([]byte(parts[0]), XML, sendMethod)
	must(t, err)
	second, err := ReadReply([]byte(parts[1]), XML, sendMethod)
	must(t, err)
	if first.RequestID != "1" || !same(second.Refusal, ErrInvalidMethod) {
		t.Errorf("got %+v, %+v", first, second)
	}
}

func FuzzItems(f *testing.F) {
	for _, seed := range []string{"", "N", "#PUBLIC#", "#PUBLIC#method=" + sendMethod + Separator + "x=1" + Separator + "N",
		"a=1\r\n-S-\r\n\r\n-S-\r\n", "a=%", "app_key=1&sign=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		query := NewRequest(map[string]string{"app_key": "1", "sign": "s", "method": sendMethod}, body)
		items, bad := testPolicy().Items(query)
		if bad != nil {
			return
		}
		elements := strings.Split(body, Separator)
		if strings.HasPrefix(body, "#PUBLIC#") {
			elements = elements[1:]
		}
		if len(items) != len(elements) || len(items) > DefaultBatchItems {
			t.Fatalf("%d items of %q", len(items), body)
		}
		for _, item := range items {
			r := item.Request
			if r.AppKey() != "1" || r.Get("sign") != "" {
				t.Fatalf("an item of %q calls itself %q", body, r.AppKey())
			}
			for i, p := range r.Params {
				if i > 0 && r.Params[i-1].Name >= p.Name {
					t.Fatalf("parameters out of order: %q", r.Params)
				}
			}
		}
	})
}
