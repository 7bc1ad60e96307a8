package top_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"faquan/internal/benefit"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
)

type pair struct{ name, value string }

// signing is what a caller signed once, and where it meant to send it.
type signing struct {
	path  string
	pairs []pair // sorted by name
	body  string // of a batch
	sign  string
}

// TestOneSignatureOneRequest presents what was signed once in all ways that the signature leaves open: what reaches the
// core is the same, or nothing.
func TestOneSignatureOneRequest(t *testing.T) {
	l := newActivityLab(t, nil)
	var reached []*benefit.Request
	l.crafted = func(r *benefit.Request) benefit.Outcome {
		reached = append(reached, r)
		return benefit.Outcome{Reason: benefit.StockEmpty}
	}
	present := func(t *rapid.T, path, verb, query, body string, header http.Header) []*benefit.Request {
		reached = nil
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Method, r.URL.RawQuery, r.Header = verb, query, header
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		if strings.Contains(l.log.String(), "panic") {
			t.Fatalf("a panic: %s", &l.log)
		}
		l.log.Reset()
		return reached
	}
	accepted := map[string]int{}
	check := func(t *rapid.T) {
		s := drawSigning(t)
		honest := present(t, s.path, http.MethodPost, encodePairs(append(slices.Clone(s.pairs), pair{"sign", s.sign})), s.body, http.Header{})
		if len(honest) == 0 {
			t.Fatalf("what was signed does not reach the core: %v", s)
		}
		for range 12 {
			path := rapid.SampledFrom([]string{s.path, s.path, s.path + "/", top.Path, top.BatchPath}).Draw(t, "path")
			kind := rapid.SampledFrom([]string{"form", "multipart", "query", "text/plain"}).Draw(t, "kind")
			verb := rapid.SampledFrom([]string{"POST", "POST", "POST", "GET", "PUT", "HEAD"}).Draw(t, "verb")
			query, body, header := presentation(t, s, kind)
			again := present(t, path, verb, query, body, header)
			if len(again) == 0 {
				continue
			}
			accepted[path+" "+kind]++
			if !among(again, honest) {
				t.Fatalf("%s?%s\n%v\n%q\nanother request under the same signature (-signed +presented):\n%s", path, query, header, body,
					cmp.Diff(honest, again))
			}
		}
	}
	for _, way := range []string{top.Path + " form", top.Path + " multipart", top.Path + " query", top.BatchPath + " text/plain"} {
		for round := 0; accepted[way] == 0; round++ { // a round may come to none of a way
			if round == 20 {
				t.Fatalf("%s was never accepted: the test shows nothing", way)
			}
			rapid.Check(t, check)
		}
	}
}

// among reports whether all of some are in all, in this order: of a batch, some calls may be refused.
func among(some, all []*benefit.Request) bool {
	for _, r := range all {
		if len(some) > 0 && cmp.Equal(some[0], r) {
			some = some[1:]
		}
	}
	return len(some) == 0
}

// drawSigning returns a call, or a batch of some, as its caller signs it.
func drawSigning(t *rapid.T) signing {
	send := func(key string) string {
		return fmt.Sprintf(`{"benefit_type":1,"send_count":1,"unique_id":"%s","relation_id":%d,"purchaser_id":1001,`+
			`"detail_id":%d,"trace_id":"t","biz_id":"12457112"}`, key, plainRelation, details["many"])
	}
	keys := rapid.SampledFrom([]string{"K1", "活动订单", "sessiondave", "a&session=dave", "1+1 %2B"})
	s := signing{path: top.Path, pairs: []pair{
		{"app_key", labKey}, {"format", "json"}, {"session", "carol"}, {"sign_method", "md5"},
		{"timestamp", "2026-11-22 12:00:00"}, {"v", "2.0"},
	}}
	add := func(p pair) { s.pairs = append(s.pairs, p) }
	batch := rapid.Bool().Draw(t, "batch")
	optional := []pair{{"partner_id", "top-sdk"}, {"simplify", "true"}}
	if !batch {
		optional = append(optional, pair{"fields", ""}, pair{"extra", "@file"}, pair{"memo", "dave"})
	}
	for _, p := range optional {
		if rapid.Bool().Draw(t, p.name) {
			add(p)
		}
	}
	if batch {
		s.path = top.BatchPath
		var elements []string
		for range rapid.IntRange(1, 3).Draw(t, "items") {
			element := "method=" + activityMethod + "&single_benefit_request=" + url.QueryEscape(send(keys.Draw(t, "key")))
			if rapid.Bool().Draw(t, "own session") {
				element = "session=dave&" + element
			}
			if len(elements) > 0 {
				element = rapid.SampledFrom([]string{"", "x_id=1&", "zone=1&"}).Draw(t, "first") + element
			}
			elements = append(elements, element)
		}
		s.body = strings.Join(elements, wire.Separator)
	} else {
		add(pair{"method", activityMethod})
		add(pair{"single_benefit_request", send(keys.Draw(t, "key"))})
		if rapid.Bool().Draw(t, "behind v") {
			add(pair{"zone", "1"})
		}
	}
	sortPairs(s.pairs)
	text := s.body
	for i := len(s.pairs) - 1; i >= 0; i-- {
		if p := s.pairs[i]; p.value == "" || p.value[0] != '@' { // PHP leaves these out
			text = p.name + p.value + text
		}
	}
	s.sign = wire.Sign(text, labSecret, wire.MD5)
	return s
}

func sortPairs(pairs []pair) {
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.name, b.name) })
}

// presentation returns a call with everything changed that no signature covers.
func presentation(t *rapid.T, s signing, kind string) (query, body string, header http.Header) {
	pairs, body := slices.Clone(s.pairs), s.body
	switch rapid.IntRange(0, 3).Draw(t, "cut") {
	case 0: // a parameter goes into the value of the one before it
		if i := rapid.IntRange(1, len(pairs)-1).Draw(t, "joined"); true {
			pairs[i-1].value += pairs[i].name + pairs[i].value
			pairs = slices.Delete(pairs, i, i+1)
		}
	case 1: // the body begins elsewhere
		last := &pairs[len(pairs)-1]
		if cuts := strings.SplitAfter(body, "&"); body != "" {
			first := strings.Join(cuts[:rapid.IntRange(1, len(cuts)).Draw(t, "cut of the body")], "")
			pairs, body = append(pairs, pair{first[:1], first[1:]}), body[len(first):]
		} else {
			body = last.name + last.value + body
			pairs = pairs[:len(pairs)-1]
		}
	}
	pairs = append(pairs, pair{"sign", s.sign})
	for range rapid.IntRange(0, 2).Draw(t, "extras") {
		pairs = append(pairs, rapid.SampledFrom([]pair{
			{"charset", "@gbk"}, {"session", "@dave"}, {"session[]", "@dave"}, {"app_key", "@" + labKey}, {"format", " "}, {"method", ""},
			{"single_benefit_request", "@{}"}, {"target_app_key", "@1"},
		}).Draw(t, "extra"))
	}
	header = http.Header{}
	if name := rapid.SampledFrom([]string{"", "", "|", "&", "%7D", "&session=dave", "\r\n"}).Draw(t, "separator"); name != "" {
		header.Set("Top-Api-Separator", name)
	}
	charset := rapid.SampledFrom([]string{"", "; charset=gbk", ";charset=UTF-8"}).Draw(t, "charset")
	if body != "" {
		header.Set("Content-Type", rapid.SampledFrom([]string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"}).Draw(t, "type")+charset)
		return encodePairs(pairs), body, header
	}
	var inQuery, inBody []pair
	for i, p := range pairs {
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
	switch kind {
	case "multipart":
		header.Set("Content-Type", "multipart/form-data; boundary=b"+charset)
		return encodePairs(inQuery), parted(t, inBody), header
	case "text/plain":
		header.Set("Content-Type", "text/plain"+charset)
	default:
		header.Set("Content-Type", "application/x-www-form-urlencoded"+charset)
	}
	return encodePairs(inQuery), encodePairs(inBody), header
}

// parted returns a multipart body, with headers of the parts that say what they like.
func parted(t *rapid.T, pairs []pair) string {
	var b strings.Builder
	for _, p := range pairs {
		more := ""
		switch rapid.IntRange(0, 3).Draw(t, "part of "+p.name) {
		case 1:
			more = "Content-Type: text/plain; charset=gbk\r\n"
		case 2:
			more = "Content-Transfer-Encoding: base64\r\n"
		case 3:
			fmt.Fprintf(&b, "--b\r\nContent-Disposition: form-data; name=%q; filename=\"f\"\r\n\r\nother\r\n", p.name)
		}
		fmt.Fprintf(&b, "--b\r\nContent-Disposition: form-data; name=%q\r\n%s\r\n%s\r\n", p.name, more, p.value)
	}
	return b.String() + "--b--\r\n"
}

func encodePairs(pairs []pair) string {
	all := make([]string, len(pairs))
	for i, p := range pairs {
		all[i] = url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value)
	}
	return strings.Join(all, "&")
}

// The text of a signed call is cut at other places, as somebody may do who chose a part of it: nothing is issued that the
// caller did not ask for.
func TestSignedTextIsNotCutElsewhere(t *testing.T) {
	l := newActivityLab(t, nil)
	reached := 0
	l.crafted = func(*benefit.Request) benefit.Outcome {
		reached++
		return benefit.Outcome{Reason: benefit.StockEmpty}
	}
	object := func(key, trace string) string {
		return fmt.Sprintf(`{"benefit_type":1,"send_count":1,"unique_id":"%s","relation_id":%d,"purchaser_id":1001,`+
			`"detail_id":%d,"biz_id":"12457112","trace_id":"%s"}`, key, plainRelation, details["many"], trace)
	}
	const at = "2026-11-22 12:00:00"
	common := func(more ...pair) []pair {
		return append([]pair{{"app_key", labKey}, {"format", "json"}, {"sign_method", "md5"}, {"timestamp", at}, {"v", "2.0"}}, more...)
	}
	activity, session := pair{"method", activityMethod}, pair{"session", "carol"}
	evil := object("EVIL", "t")
	element := "single_benefit_request=" + url.QueryEscape(evil) + "&method=" + activityMethod + "&z="
	inside := "timestamp" + at + "v2.0" + element
	victim := object("victim", inside)
	head, tail, _ := strings.Cut(victim, inside)
	open, close := strings.TrimSuffix(evil, `"}`), `"}`
	batch := "single_benefit_request=" + url.QueryEscape(object("victim", "t")) + "&method=" + activityMethod
	fields := "xformatjsonmethod" + activityMethod + "sessioncarolsign_methodmd5single_benefit_request" + evil
	for _, test := range []struct {
		name, signed string // what the caller signs
		path         string // and what is made of it
		pairs        []pair
		body         string
	}{
		{"a batch out of a call", textOf(common(activity, session, pair{"single_benefit_request", victim})), top.BatchPath,
			common(pair{"metho", "d" + activityMethod}, session, pair{"single", "_benefit_request" + head}),
			element + tail + "timestamp" + at + "v2.0"},
		{"an object out of a text", textOf(common(activity, session, pair{"single_benefit_request", object("victim", "t")},
			pair{"store_name", "xsingle_benefit_request" + evil})), top.Path,
			common(activity, session, pair{"single", "_benefit_request" + object("victim", "t") + "store_namex"}, pair{"single_benefit_request", evil}), ""},
		{"an object after a byte order mark out of a text", textOf(common(activity, session, pair{"single_benefit_request", "\uFEFF" + object("victim", "t")},
			pair{"store_name", "xsingle_benefit_request" + evil})), top.Path,
			common(activity, session, pair{"single", "_benefit_request\uFEFF" + object("victim", "t") + "store_namex"}, pair{"single_benefit_request", evil}), ""},
		{"the rest in a parameter that nobody knows", textOf(common(pair{"fields", fields + "t"}, pair{"method", "taobao.user.seller.get"}, session)), top.Path,
			common(pair{"fields", "x"}, activity, session, pair{"single_benefit_request", evil},
				pair{"t", "formatjsonmethodtaobao.user.seller.getsessioncarolsign_methodmd5"}), ""},
		{"the rest in a parameter of the protocol", textOf(common(pair{"fields", fields + "target_app_key"}, pair{"method", "taobao.user.seller.get"}, session)), top.Path,
			common(pair{"fields", "x"}, activity, session, pair{"single_benefit_request", evil},
				pair{"target_app_key", "formatjsonmethodtaobao.user.seller.getsessioncarolsign_methodmd5"}), ""},
		{"the rest in a body", textOf(common(pair{"fields", fields + "timestamp" + at + "v2.0"}, pair{"method", "taobao.user.seller.get"}, session)), top.Path,
			common(pair{"fields", "x"}, activity, session, pair{"single_benefit_request", evil}),
			"formatjsonmethodtaobao.user.seller.getsessioncarolsign_methodmd5timestamp" + at + "v2.0"},
		{"an object that takes up the method", textOf(common(pair{"fields", "xmethod" + activityMethod + "sessioncarolsingle_benefit_request" + open},
			pair{"method", "taobao.user.seller.get"}, session, pair{"store_name", close})), top.Path,
			[]pair{{"app_key", labKey}, {"fields", "x"}, activity, session, {"single_benefit_request",
				open + "formatjsonmethodtaobao.user.seller.getsessioncarolsign_methodmd5store_name" + close}, {"timestamp", at}, {"v", "2.0"}}, ""},
		{"the end of a query in a body", textOf(common(session, pair{"partner_id", "xsessioncarolsign_methodmd5timestamp" + at + "v2.0" + element + wire.Separator})) + batch, top.BatchPath,
			common(session, pair{"partner_id", "x"}), element + wire.Separator + "sessioncarolsign_methodmd5timestamp" + at + "v2.0" + batch},
		{"a parameter in a body", textOf(common(session, pair{"z", "=1&" + element + wire.Separator})) + batch, top.BatchPath,
			common(session), "z=1&" + element + wire.Separator + batch},
		{"another token", textOf(common(pair{"method", "taobao.top.auth.token.refresh"}, pair{"partner_id", "xrefresh_tokenSTOLEN"}, pair{"refresh_token", "GOOD"})), top.Path,
			common(pair{"method", "taobao.top.auth.token.refresh"}, pair{"partner_id", "x"}, pair{"refresh_token", "STOLEN"}, pair{"refresh_tokenGOOD", ""}), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			sortPairs(test.pairs)
			if again := textOf(test.pairs) + test.body; again != test.signed {
				t.Fatalf("the texts differ:\n%s\n%s", test.signed, again)
			}
			query := encodePairs(append(test.pairs, pair{"sign", wire.Sign(test.signed, labSecret, wire.MD5)}))
			r := httptest.NewRequest(http.MethodPost, test.path+"?"+query, strings.NewReader(test.body))
			r.Header.Set("Content-Type", "text/plain")
			reached = 0
			w := httptest.NewRecorder()
			l.ServeHTTP(w, r)
			if reached > 0 || !strings.Contains(w.Body.String(), "error_response") || strings.Contains(w.Body.String(), `"code":25`) {
				t.Errorf("%d calls reach the core: %s", reached, w.Body)
			}
		})
	}
}

// textOf returns what is signed of parameters without a body.
func textOf(pairs []pair) (text string) {
	sortPairs(pairs)
	for _, p := range pairs {
		text += p.name + p.value
	}
	return text
}
