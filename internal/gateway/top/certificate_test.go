package top_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/scope"
	"faquan/internal/gateway/top"
	"faquan/internal/id"
)

// window gives the certificates of the lab a repeat window of ten seconds.
func window(d *draft) { d.templates["code"].RepeatMillis = 10_000 }

// sent makes a call of certificate.send that must succeed, and gives the code.
func (l *lab) sent(c *labCall) string {
	l.t.Helper()
	r := l.call(c)
	if r.Refusal != nil || r.Text("result", "code") != "0" {
		l.t.Fatal(r.Refusal, r.Root)
	}
	return r.Text("result", "model", "certificate_code")
}

// resultCode makes a call and gives result.code. Nothing but a success has a model.
func (l *lab) resultCode(c *labCall) string {
	l.t.Helper()
	r := l.call(c)
	if r.Refusal != nil {
		l.t.Fatal(r.Refusal)
	}
	result := r.Root["result"].(map[string]any)
	if _, model := result["model"]; model != (result["code"] == "0") {
		l.t.Error(result)
	}
	if result["message"] == "" {
		l.t.Error("no message:", result)
	}
	return r.Text("result", "code")
}

func TestWhatACertificateAsks(t *testing.T) {
	l := newLab(t, window)
	l.sent(certificate(object{"out_id": "123", "channel": "8"}))
	got := l.request.Load()
	want := &benefit.Request{
		Scope: scope.Certificate(1), Key: got.Key, App: 1, Fingerprint: got.Fingerprint, BindMillis: 10_000,
		Recipient: benefit.Identifier{Type: "OPEN_ID", Value: labOpenID, App: 1},
		Lines:     []benefit.Line{{Template: l.draft.templates["code"].ID, Sends: 1, Quantity: 1}},
		Params:    benefit.Params{BizCode: "23", Channel: 8},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCertificateModel(t *testing.T) {
	l := newLab(t, nil)
	r := l.call(certificate(nil))
	got := r.Root["result"].(map[string]any)["model"].(map[string]any)
	code, _ := got["certificate_code"].(string)
	if !regexp.MustCompile(`^\d{12}$`).MatchString(code) {
		t.Error("code", code)
	}
	delete(got, "certificate_code")
	want := object{
		"status": "0", "create_time": "2026-11-22 12:00:00", "modified_time": "2026-11-22 12:00:00",
		"start_time": "2026-11-22 12:00:00", "end_time": "2026-11-22 23:59:59", "open_id": labOpenID,
	}
	for _, number := range []string{"out_id", "channel"} {
		if fmt.Sprintf("%T", got[number]) != "json.Number" {
			t.Errorf("%s is a %T", number, got[number])
		}
		delete(got, number)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Without a repeat window each call issues, whatever it has in common with another.
func TestEveryCallIssues(t *testing.T) {
	l := newLab(t, nil)
	codes := map[string]bool{}
	for range 5 {
		codes[l.sent(certificate(nil))] = true
	}
	if len(codes) != 5 || l.issued() != 5 {
		t.Errorf("%d codes, %d issued", len(codes), l.issued())
	}
}

// Within the window the same certificate is returned. The window runs from the first issue, is not extended by a
// repeat, survives a restart, and holds whatever has been paused or sold out since.
func TestRepeatWindow(t *testing.T) {
	l := newLab(t, window)
	first := l.sent(certificate(nil))
	l.clock.Store(9_000)
	if again := l.sent(certificate(nil)); again != first {
		t.Error("after 9 s another one")
	}
	l.change(func(d *draft) { d.templates["code"].Status, d.templates["code"].Channels = benefit.Paused, []int64{8} })
	l.restart()
	l.clock.Store(9_999)
	if again := l.sent(certificate(nil)); again != first {
		t.Error("after a restart another one")
	}
	if got := l.resultCode(certificate(object{"biz_code": "24", "channel": 8})); got != "TEMPLATE_PAUSED" {
		t.Error("another call of a paused template:", got)
	}
	if got := l.resultCode(certificate(object{"biz_code": "24"})); got != "CHANNEL_NOT_ALLOWED" {
		t.Error("another call on a channel that was taken away:", got)
	}
	l.change(func(d *draft) {
		d.templates["code"].Status, d.templates["code"].Channels = benefit.Active, []int64{7, 8}
	})
	l.clock.Store(10_000)
	if again := l.sent(certificate(nil)); again == first || l.issued() != 2 {
		t.Errorf("after the window: the same %v, %d issued", again == first, l.issued())
	}
}

// What makes calls the same for the window, and nothing else: template, app, open_id, biz_code and channel.
func TestSamenessInTheWindow(t *testing.T) {
	l := newLab(t, func(d *draft) {
		window(d)
		other := d.template("code2", benefit.Certificate)
		*other = *d.templates["code"]
		other.ID, other.Name, other.OutID = 99, "code2", 124
	})
	seen := map[string]string{}
	another := certificate(nil)
	another.app, another.session = "23088512", "another"
	for name, c := range map[string]*labCall{
		"first": certificate(nil), "biz_code": certificate(object{"biz_code": "24"}), "channel": certificate(object{"channel": 8}),
		"open_id": certificate(object{"open_id": "another"}), "template": certificate(object{"out_id": 124}), "app": another,
	} {
		code := l.sent(c)
		if seen[code] != "" {
			t.Errorf("%s and %s are one", name, seen[code])
		}
		seen[code] = name
		if l.sent(c) != code {
			t.Errorf("%s is not repeated", name)
		}
	}
}

// Many equal calls at once are one certificate, and the code of an app that is in a hurry is not shown to another.
func TestRepeatWindowAtOnce(t *testing.T) {
	l := newLab(t, window)
	codes := make([]string, 16)
	var all sync.WaitGroup
	for k := range codes {
		all.Go(func() { codes[k] = l.sent(certificate(nil)) })
	}
	all.Wait()
	for _, code := range codes {
		if code != codes[0] {
			t.Fatal(codes)
		}
	}
	if l.issued() != 1 {
		t.Error(l.issued(), "issued")
	}
}

// What a certificate is refused for before the core is asked, and by the core.
func TestCertificateRefusals(t *testing.T) {
	for name, x := range map[string]struct {
		change  func(*draft)
		session string
		call    object
		want    string
	}{
		"no such template":   {call: object{"out_id": 124}, want: "TEMPLATE_NOT_FOUND"},
		"another merchant's": {session: "others", want: "TEMPLATE_NOT_FOUND"},
		"granted": {
			change: func(d *draft) { d.templates["code"].GrantedTo = []benefit.AppID{1} }, session: "others", want: "0",
		},
		"granted to another": {
			change: func(d *draft) { d.templates["code"].GrantedTo = []benefit.AppID{2} }, session: "others", want: "TEMPLATE_NOT_FOUND",
		},
		"no certificate": {
			change: func(d *draft) { d.templates["off"].OutID = 5 }, call: object{"out_id": 5}, want: "TEMPLATE_NOT_FOUND",
		},
		"channel":                    {call: object{"channel": 9}, want: "CHANNEL_NOT_ALLOWED"},
		"channel of a repeat window": {change: window, call: object{"channel": 9}, want: "CHANNEL_NOT_ALLOWED"},
		"stock":                      {change: func(d *draft) { d.templates["code"].Stock.Count = 0 }, want: "STOCK_EMPTY"},
		"frozen":                     {call: object{"open_id": "frozen"}, want: "USER_FROZEN"},
		"unknown":                    {change: func(d *draft) { d.merchants[0].Open = false }, call: object{"open_id": "nobody"}, want: "USER_NOT_FOUND"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, x.change)
			c := certificate(x.call)
			if x.session != "" {
				c.session = x.session
			}
			if got := l.resultCode(c); got != x.want {
				t.Errorf("got %s, want %s", got, x.want)
			}
		})
	}
}

// No outcome is never an isp.*, on which a retrying client would issue a second certificate.
func TestCertificatesWithoutAnOutcome(t *testing.T) {
	for err, want := range map[error]string{
		engine.ErrBusy: "SYSTEM_BUSY", engine.ErrStopping: "SYSTEM_BUSY", engine.ErrNotIssued: "SYSTEM_BUSY",
		engine.ErrGaveUp: "SYSTEM_BUSY", engine.ErrUnknown: "UNKNOWN", errors.New("anything"): "UNKNOWN",
	} {
		l := newLab(t, nil)
		l.broken = err
		if got := l.resultCode(certificate(nil)); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	l := newLab(t, nil)
	l.crafted = func(*benefit.Request) benefit.Outcome { panic("in the core") }
	r := l.call(certificate(nil))
	if r.Text("result", "code") != "UNKNOWN" || !strings.Contains(r.Text("result", "message"), queryMethod) {
		t.Error(r.Root, r.Refusal)
	}
}

func TestExpiredCertificate(t *testing.T) {
	l := newLab(t, func(d *draft) {
		d.templates["code"].RepeatMillis = 86_400_000
		d.templates["code"].Valid = benefit.Validity{ForMillis: 60_000}
	})
	l.sent(certificate(nil))
	for at, want := range map[int64]string{60_999: "0", 61_000: "2"} {
		l.clock.Store(at)
		if got := l.call(certificate(nil)).Text("result", "model", "status"); got != want {
			t.Errorf("after %d ms: send says %s, want %s", at, got, want)
		}
		list := l.call(query(nil)).List("nrt_certificate_instance_response_dto", "result", "model", "data_list")
		if got := fmt.Sprint(list[0].(map[string]any)["status"]); got != want {
			t.Errorf("after %d ms: query says %s, want %s", at, got, want)
		}
	}
}

// shownAs returns status and end_time, as certificate.send answers it in the window, and as certificate.query does for the
// code.
func (l *lab) shownAs(code string) (send, query string) {
	l.t.Helper()
	c := certificate(nil)
	if r := l.call(c); r.Text("result", "model", "certificate_code") == code {
		send = r.Text("result", "model", "status") + " " + r.Text("result", "model", "end_time")
	}
	r := l.call(&labCall{method: queryMethod, session: "ours", body: object{"open_id": labOpenID, "codes": code}})
	one := r.List("nrt_certificate_instance_response_dto", "result", "model", "data_list")[0].(object)
	return send, fmt.Sprint(one["status"], " ", one["end_time"])
}

// Both methods show what has become of a certificate.
func TestLifeOfACertificate(t *testing.T) {
	l := newLab(t, func(d *draft) {
		d.templates["code"].RepeatMillis, d.templates["code"].Valid = 86_400_000, benefit.Validity{ForMillis: 60_000}
	})
	code := l.sent(certificate(nil))
	want := func(step, status string) {
		t.Helper()
		if send, query := l.shownAs(code); send != status || query != status {
			t.Errorf("%s: send shows %q, query %q, want %q", step, send, query, status)
		}
	}
	want("issued", "0 2026-11-22 12:01:00")
	l.clock.Store(61_000)
	want("its end has passed", "2 2026-11-22 12:01:00")
	l.operate(code, &benefit.Extend{End: benefit.InstantOf(labNoon.Add(time.Hour))})
	want("extended", "0 2026-11-22 12:59:59")
	l.operate(code, &benefit.Redeem{})
	want("redeemed", "1 2026-11-22 12:59:59")
	l.clock.Store(7_200_000)
	want("its end has passed since", "1 2026-11-22 12:59:59")
	l.restart()
	want("after a restart", "1 2026-11-22 12:59:59")
}

// A certificate that was ended early is expired, also where the clock of the gateway is behind the one that ended it.
func TestExpiredEarly(t *testing.T) {
	l := newLab(t, window)
	code := l.sent(certificate(nil))
	l.clock.Store(5_500)
	l.operate(code, benefit.Expire{})
	for _, clock := range []int64{5_500, 1_000} {
		l.clock.Store(clock)
		if send, query := l.shownAs(code); send != "2 2026-11-22 12:00:05" || query != send {
			t.Errorf("after %d ms: send shows %q, query %q", clock, send, query)
		}
	}
}

// A void ends the window: the same call yields another certificate, whose window begins with it. The query lists both.
func TestVoidedInTheWindow(t *testing.T) {
	for _, v := range []benefit.Void{{}, {ReturnStock: true}} {
		l := newLab(t, window)
		first := l.sent(certificate(nil))
		l.clock.Store(5_000)
		l.operate(first, &v)
		second := l.sent(certificate(nil))
		if second == first {
			t.Fatal("the void certificate again")
		}
		l.clock.Store(14_999)
		if again := l.sent(certificate(nil)); again != second {
			t.Error("the window does not begin with the second certificate")
		}
		list := l.call(query(nil)).List("nrt_certificate_instance_response_dto", "result", "model", "data_list")
		var shown []string
		for _, one := range list {
			shown = append(shown, fmt.Sprint(one.(object)["certificate_code"], " ", one.(object)["status"]))
		}
		if diff := cmp.Diff([]string{second + " 0", first + " 3"}, shown); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		l.clock.Store(15_000)
		if third := l.sent(certificate(nil)); third == first || third == second {
			t.Error("after the window an old certificate")
		}
	}
}

// What has become of the certificates could not be read: that they are usable must not be answered.
func TestStatesThatCannotBeRead(t *testing.T) {
	l := newLab(t, nil)
	code := l.sent(certificate(nil))
	l.unread = errors.New("broken")
	for _, ask := range []object{nil, {"codes": code}} {
		if got := l.resultCode(query(ask)); got != "SYSTEM_BUSY" {
			t.Errorf("%v: %s", ask, got)
		}
	}
}

// listed returns the codes that a query answers, and the paging values.
func (l *lab) listed(c *labCall) (codes []string, paging string) {
	l.t.Helper()
	r := l.call(c)
	if r.Refusal != nil || r.Text("result", "code") != "0" {
		l.t.Fatal(r.Refusal, r.Root)
	}
	for _, o := range r.List("nrt_certificate_instance_response_dto", "result", "model", "data_list") {
		codes = append(codes, o.(map[string]any)["certificate_code"].(string))
	}
	model := r.Root["result"].(map[string]any)["model"].(map[string]any)
	return codes, fmt.Sprintf("%#v/%#v/%#v", model["page_size"], model["current_page"], model["total_item"])
}

// Who got UNKNOWN has no code: all certificates of the open_id, the newest first, by biz_code, page by page.
func TestQueryWithoutCodes(t *testing.T) {
	l := newLab(t, nil)
	var sent []string
	for k := range 5 {
		l.clock.Add(1000)
		sent = append(sent, l.sent(certificate(object{"biz_code": fmt.Sprint("biz", k%2)})))
		l.sent(certificate(object{"open_id": "another"}))
	}
	l.call(decide("k", object{"user_type": "OPEN_ID", "user_id": labOpenID})) // what is no certificate is not listed
	for name, x := range map[string]struct {
		ask    object
		want   []string
		paging string
	}{
		"all":               {nil, []string{sent[4], sent[3], sent[2], sent[1], sent[0]}, `"20"/"1"/"5"`},
		"of a biz_code":     {object{"biz_code": "biz1"}, []string{sent[3], sent[1]}, `"20"/"1"/"2"`},
		"the first page":    {object{"page_size": 2}, []string{sent[4], sent[3]}, `"2"/"1"/"3"`},
		"a page":            {object{"page_size": 2, "current_page": 2}, []string{sent[2], sent[1]}, `"2"/"2"/"5"`},
		"the last page":     {object{"page_size": "2", "current_page": "3"}, []string{sent[0]}, `"2"/"3"/"5"`},
		"behind the last":   {object{"page_size": 2, "current_page": 4}, nil, `"2"/"4"/"5"`},
		"a full page":       {object{"page_size": 5}, []string{sent[4], sent[3], sent[2], sent[1], sent[0]}, `"5"/"1"/"5"`},
		"far behind it":     {object{"page_size": 100, "current_page": 10}, nil, `"100"/"10"/"5"`},
		"by codes, far":     {object{"codes": sent[0], "page_size": 100, "current_page": int64(1) << 62}, nil, `"100"/"4611686018427387904"/"1"`},
		"of somebody":       {object{"open_id": "nobody"}, nil, `"20"/"1"/"0"`},
		"codes given empty": {object{"codes": "", "page_size": 1}, sent[4:], `"1"/"1"/"2"`},
	} {
		t.Run(name, func(t *testing.T) {
			codes, paging := l.listed(query(x.ask))
			if diff := cmp.Diff(x.want, codes); diff != "" || paging != x.paging {
				t.Errorf("%s, want %s (-want +got)\n%s", paging, x.paging, diff)
			}
		})
	}
}

// manyFinder finds a user's newest issuance n times, under other ids; those that unlike names have another biz_code.
type manyFinder struct {
	top.Finder
	n      int
	unlike func(k int) bool
	looked int // how many the caller has taken
}

func (f *manyFinder) RecentIssuances(ctx context.Context, user benefit.UserID, before id.ID) iter.Seq2[*benefit.Issuance, error] {
	return func(yield func(*benefit.Issuance, error) bool) {
		for i, err := range f.Finder.RecentIssuances(ctx, user, before) {
			for k := range f.n {
				f.looked++
				again := *i
				again.ID -= id.ID(k)
				if f.unlike != nil && f.unlike(k) {
					again.Params.BizCode = "unlike"
				}
				if !yield(&again, err) {
					return
				}
			}
			return
		}
	}
}

// A page costs what it shows, however many certificates the user has, and says whether there are more.
func TestQueryStopsAtThePage(t *testing.T) {
	l := newLab(t, nil)
	l.sent(certificate(nil))
	for _, x := range []struct {
		n          int
		ask        object
		want, read int
		total      string
	}{
		{20, nil, 20, 20, "20"},
		{21, nil, 20, 21, "21"},
		{30_000, nil, 20, 21, "21"},
		{30_000, object{"page_size": 10, "current_page": 3}, 10, 31, "31"},
		{30_000, object{"page_size": 100, "current_page": 10}, 100, 1001, "1001"},
		{1000, object{"page_size": 100, "current_page": 10}, 100, 1000, "1000"},
	} {
		f := &manyFinder{Finder: l.store, n: x.n}
		l.finder = f
		codes, paging := l.listed(query(x.ask))
		if total := paging[strings.LastIndex(paging, "/")+1:]; len(codes) != x.want || f.looked != x.read || total != `"`+x.total+`"` {
			t.Errorf("%d certificates, %v: %d shown, %d read, total %s; want %d, %d, %s",
				x.n, x.ask, len(codes), f.looked, total, x.want, x.read, x.total)
		}
	}
}

// A search ends after the newest thousand issuances. A page that it has filled in part says that there may be more; one on
// which it has found nothing is refused, for an empty page says that nothing was issued.
func TestQueryOfAUserWithTooMuch(t *testing.T) {
	l := newLab(t, nil)
	l.sent(certificate(nil))
	look := func(n int, match ...int) (shown int, paging string) {
		f := &manyFinder{Finder: l.store, n: n, unlike: func(k int) bool { return !slices.Contains(match, k) }}
		l.finder = f
		codes, paging := l.listed(query(object{"biz_code": "23"}))
		if f.looked > 1001 {
			t.Errorf("%d were read", f.looked)
		}
		return len(codes), paging
	}
	if shown, paging := look(30_000, 3, 999); shown != 2 || paging != `"20"/"1"/"21"` {
		t.Errorf("a page in part: %d shown, %s", shown, paging)
	}
	if shown, paging := look(1000, 3, 999); shown != 2 || paging != `"20"/"1"/"2"` {
		t.Errorf("a search to the end: %d shown, %s", shown, paging)
	}
	if shown, paging := look(1000); shown != 0 || paging != `"20"/"1"/"0"` {
		t.Errorf("nothing there: %d shown, %s", shown, paging)
	}
	l.finder = &manyFinder{Finder: l.store, n: 30_000}
	if got := l.resultCode(query(object{"biz_code": "none"})); got != "QUERY_TOO_WIDE" {
		t.Error("nothing among the newest thousand:", got)
	}
	// The page after the last match among them is not known to be empty.
	l.finder = &manyFinder{Finder: l.store, n: 30_000, unlike: func(k int) bool { return k >= 940 }}
	if got := l.resultCode(query(object{"biz_code": "23", "page_size": 20, "current_page": 48})); got != "QUERY_TOO_WIDE" {
		t.Error("the page after the last match:", got)
	}
}

// A page that would need more than the newest thousand is refused before anything is read.
func TestQueryPageTooFar(t *testing.T) {
	l := newLab(t, nil)
	l.finder = brokenFinder{}
	for _, ask := range []object{
		{"current_page": 51}, {"page_size": 100, "current_page": 11}, {"page_size": 100, "current_page": int64(1) << 62},
		{"page_size": 3, "current_page": 334},
	} {
		r := l.call(query(ask))
		if r.Refusal == nil || r.Refusal.SubCode != "isv.invalid-parameter:current_page" {
			t.Error(ask, r.Refusal, r.Root)
		}
	}
}

// A page of nothing is refused by its parameter.
func TestQueryPageOfNothing(t *testing.T) {
	l := newLab(t, nil)
	for name, value := range map[string]int{"page_size": 0, "current_page": 0} {
		r := l.call(query(object{name: value}))
		if r.Refusal == nil || r.Refusal.SubCode != "isv.invalid-parameter:"+name {
			t.Error(name, r.Refusal, r.Root)
		}
	}
}

// A code is found for the open_id, app and merchant that it was issued for; for everybody else it does not exist.
func TestQueryByCodes(t *testing.T) {
	l := newLab(t, nil)
	one, two, theirs := l.sent(certificate(nil)), l.sent(certificate(nil)), l.sent(certificate(object{"open_id": "another"}))
	codes := object{"codes": strings.Join([]string{two, "000000000000", one, theirs, two}, ",")}
	got, paging := l.listed(query(codes))
	if diff := cmp.Diff([]string{two, one}, got); diff != "" || paging != `"20"/"1"/"2"` {
		t.Errorf("%s (-want +got)\n%s", paging, diff)
	}
	with := func(change object, session, app string) *labCall {
		c := query(codes)
		put(c.body.(object), change)
		c.session, c.app = session, app
		return c
	}
	for name, c := range map[string]*labCall{
		"another open_id":     with(object{"open_id": "frozen"}, "ours", ""),
		"another merchant":    with(nil, "others", ""),
		"another app":         with(nil, "another", "23088512"),
		"another biz_code":    with(object{"biz_code": "other"}, "ours", ""),
		"all, other merchant": with(object{"codes": nil}, "others", ""),
		"all, another app":    with(object{"codes": nil}, "another", "23088512"),
		"all, other biz_code": with(object{"codes": nil, "biz_code": "other"}, "ours", ""),
	} {
		if got, _ := l.listed(c); got != nil {
			t.Errorf("%s sees %v", name, got)
		}
	}
}

// Types are those of the platform's page, which are not those of certificate.send.
func TestQueryTypes(t *testing.T) {
	l := newLab(t, nil)
	l.sent(certificate(nil))
	got := l.call(query(nil)).List("nrt_certificate_instance_response_dto", "result", "model", "data_list")[0].(map[string]any)
	types := map[string]string{}
	for name, value := range got {
		types[name] = fmt.Sprintf("%T", value)
	}
	want := map[string]string{
		"create_time": "string", "start_time": "string", "end_time": "string", "certificate_code": "string", "modified_time": "string",
		"status": "json.Number", "open_id": "string", "channel": "json.Number", "out_id": "string",
	}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// gateFinder holds each look-up up until its gate opens.
type gateFinder struct {
	top.Finder
	gate chan struct{}
	open atomic.Int64 // look-ups that wait
}

func (f *gateFinder) Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error) {
	f.open.Add(1)
	defer f.open.Add(-1)
	<-f.gate
	return f.Finder.Recipient(ctx, ident)
}

// How many queries run at once is bounded, for one app and for all. Who finds no room in time is told to come again,
// and so is who asks a store that cannot be read.
func TestQueryReaders(t *testing.T) { synctest.Test(t, testQueryReaders) }

func testQueryReaders(t *testing.T) {
	l := newLab(t, func(d *draft) {
		for k := range 3 {
			d.apps = append(d.apps, &benefit.App{ID: benefit.AppID(10 + k), Name: fmt.Sprint("app", k), Merchant: 1, AppKey: fmt.Sprint("2308860", k), AppSecret: []byte(labSecret)})
			d.sessions = append(d.sessions, &benefit.Session{Digest: benefit.SessionDigest(fmt.Sprint("session", k)), App: benefit.AppID(10 + k), Merchant: 1})
		}
	})
	l.finder = brokenFinder{}
	if got := l.resultCode(query(nil)); got != "SYSTEM_BUSY" {
		t.Error(got)
	}
	f := &gateFinder{Finder: l.store, gate: make(chan struct{})}
	l.finder = f
	var all sync.WaitGroup
	var busy atomic.Int64
	asking := func(n int, app, session string) {
		for range n {
			all.Go(func() {
				c := query(nil)
				c.app, c.session = app, session
				if l.resultCode(c) == "SYSTEM_BUSY" {
					busy.Add(1)
				}
			})
		}
		synctest.Wait()
	}
	asking(12, labKey, "ours")
	if n := f.open.Load(); n != 2 || busy.Load() != 0 {
		t.Errorf("one app: %d run, %d are busy", n, busy.Load())
	}
	asking(1, "23088600", "session0")
	if n := f.open.Load(); n != 3 {
		t.Errorf("beside another app: %d run", n)
	}
	asking(1, "23088601", "session1")
	asking(1, "23088602", "session2")
	if n := f.open.Load(); n != 4 {
		t.Errorf("all apps: %d run", n)
	}
	time.Sleep(2 * time.Second) // of the bubble
	synctest.Wait()
	if n := busy.Load(); n != 10+1 {
		t.Errorf("%d are busy after a while, want 11", n)
	}
	close(f.gate)
	all.Wait()
	if n := busy.Load(); n != 11 || l.resultCode(query(nil)) != "0" {
		t.Errorf("%d were busy", n)
	}
}

// Codes of certificates are secrets of whoever holds them: they are not in the log.
func TestCodesAreNotLogged(t *testing.T) {
	l := newLab(t, window)
	code := l.sent(certificate(nil))
	l.listed(query(object{"codes": code}))
	if strings.Contains(l.log.String(), code) || !strings.Contains(l.log.String(), queryMethod) {
		t.Error(l.log.String())
	}
}

// Keys with and without a window are apart, and keys without one are never the same.
func TestKeysOfCertificates(t *testing.T) {
	l := newLab(t, nil)
	seen := map[string]bool{}
	for range 100 {
		l.sent(certificate(nil))
		key := l.request.Load().Key
		if !regexp.MustCompile(`^n[0-9a-f]{32}$`).MatchString(key) || seen[key] {
			t.Fatal(key)
		}
		seen[key] = true
	}
	l.change(window)
	l.sent(certificate(nil))
	if key := l.request.Load().Key; !regexp.MustCompile(`^w[0-9a-f]{32}$`).MatchString(key) {
		t.Error(key)
	}
}
