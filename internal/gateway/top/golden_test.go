package top_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
)

var update = flag.Bool("update", false, "rewrite the answers of the golden cases")

// formats are the shapes of an answer, in the order of the golden files.
var formats = []wire.Format{wire.XML, wire.JSON, wire.SimplifiedJSON}

// requestID is what differs from run to run in an answer: its own name.
var requestID = regexp.MustCompile(`[0-9a-z]{13,17}("}|</request_id>)`)

// goldenCase is a row of calls to one fresh gateway, which is made anew for each shape. Its file holds the calls, and
// of each the bytes of the answer in every shape, with the request_id taken out. `go test -run Golden -update` writes
// the files.
type goldenCase struct {
	name   string
	change func(*draft) // of the catalogue
	broken error        // what the issuer answers instead of issuing
	calls  []goldenCall
}

// goldenCall makes one call in a shape and gives the bytes of the answer.
type goldenCall interface {
	fmt.Stringer
	ask(l *lab, f wire.Format) string
}

func (c *labCall) ask(l *lab, f wire.Format) string { return l.post(c, f) }

func (c *labCall) String() string {
	text, err := json.Marshal(c.body)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s session=%s\n%s", c.method, c.session, text)
}

// checkGolden replays cases against the files in a folder of testdata/golden.
func checkGolden(t *testing.T, folder string, cases []goldenCase) {
	folder = filepath.Join("testdata", "golden", folder)
	if *update {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		file := filepath.Join(folder, strings.ReplaceAll(c.name, " ", "_")+".txt")
		files = slices.DeleteFunc(files, func(f string) bool { return f == file })
		t.Run(c.name, func(t *testing.T) {
			got := c.replay(t)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if len(files) > 0 {
		t.Errorf("files without a case: %q", files)
	}
}

// replay makes the calls and writes the file as it should be.
func (c *goldenCase) replay(t *testing.T) string {
	answers := make([]string, len(c.calls))
	for _, f := range formats {
		l := newActivityLab(t, c.change)
		l.broken = c.broken
		for k, call := range c.calls {
			answer := requestID.ReplaceAllString(call.ask(l, f), "REQUEST-ID$1")
			answers[k] += fmt.Sprintf("--- %v\n%s\n", f, answer)
		}
	}
	var b strings.Builder
	for k, call := range c.calls {
		fmt.Fprintf(&b, "--- call\n%s\n%s", call, answers[k])
	}
	return b.String()
}

// calls makes a case of calls.
func calls(name string, all ...goldenCall) goldenCase { return goldenCase{name: name, calls: all} }

func TestGoldenActivitySend(t *testing.T) {
	three := object{"send_count": 3}
	cases := []goldenCase{
		calls("success", sending("AE432CBF12A012", "many", nil)),
		calls("success of several", sending("AE432CBF12A012", "many", three)),
		calls("partial", sending("AE432CBF12A012", "one", three), sending("AE432CBF12A012", "one", three)),
		calls("box", sending("A", "box", nil), sending("B", "box", object{"card_type": "beauty"}), sending("A", "box", nil)),
		calls("KEY_CONFLICT", sending("A", "many", nil), sending("A", "many", three)),
		calls("guard", sending("A", "many", nil), sending("B", "many", nil)),
		calls("PERSON_LIMIT", sending("A", "a-person", nil), sending("B", "a-person", nil).as("twin")),
		calls("no such activity", sending("A", "many", object{"relation_id": 1})),
		calls("no recipient", sending("A", "many", nil).as("userless")),
		calls("frozen recipient", sending("A", "many", nil).as("cold")),
		calls("another seller", sending("A", "many", object{"purchaser_id": 1})),
		calls("another benefit_type", sending("A", "many", object{"benefit_type": 2})),
		calls("too many sends", sending("A", "many", object{"send_count": 6})),
		calls("a card without a box", sending("A", "many", object{"card_type": "beauty"})),
		calls("a card that the box lacks", sending("A", "box", object{"card_type": "<cars>"})),
		calls("numbers of another spelling", sending("1796000000", "many", nil), sending("A", "many", object{"unique_id": 1796000000, "send_count": json.Number("1.0")})),
		calls("relation_id beyond 64 bits", sending("A", "many", object{"relation_id": json.Number("9223372036854775808")})),
		calls("a key that is no integer", sending("A", "many", object{"unique_id": json.Number("1.5")})),
		calls("a key that XML cannot carry", sending("A\uFFFE", "many", nil)),
		calls("missing member", sending("A", "many", object{"biz_id": nil})),
		calls("missing object", &labCall{method: activityMethod, session: "carol"}),
		calls("an object after a byte order mark", sending("A", "many", nil), marked{sending("A", "many", nil)}),
		calls("broken object", &labCall{method: activityMethod, session: "carol", body: `{"unique_id":`}),
		{name: "not issued", broken: engine.ErrBusy, calls: []goldenCall{sending("A", "many", nil)}},
		{name: "unknown outcome", broken: engine.ErrUnknown, calls: []goldenCall{sending("A", "many", nil)}},
		calls("CODES_EMPTY", crafting{sending("A", "many", nil), benefit.CodesEmpty}),
		calls("AMOUNT_NOT_ALLOWED", crafting{sending("A", "many", nil), benefit.AmountNotAllowed}),
	}
	limit := func(name, what string) {
		cases = append(cases, goldenCase{name: name, calls: []goldenCall{sending("A", what, nil), sending("B", what, nil)},
			change: func(d *draft) { d.activities["plain"].NoGuard = true }})
	}
	limit("USER_LIMIT", "one")
	limit("USER_DAY_LIMIT", "a-day")
	for name, what := range map[string]string{
		"STOCK_EMPTY": "none", "BUDGET_EMPTY": "no-budget", "DAY_STOCK_EMPTY": "no-day", "DAY_BUDGET_EMPTY": "no-day-budget",
		"TEMPLATE_DRAFT": "drafted", "TEMPLATE_PAUSED": "paused", "TEMPLATE_NOT_OPEN": "soon", "TEMPLATE_ENDED": "ended",
		"ACTIVITY_NOT_OPEN": "closed", "AMOUNT_MISSING": "no-amount", "AMOUNT_OUT_OF_RANGE": "too-much",
	} {
		cases = append(cases, calls(name, sending("A", what, nil)))
	}
	checkGolden(t, "activity.send", cases)
}

// crafting is a call whose outcome is a reason that no catalogue brings about.
type crafting struct {
	*labCall
	reason benefit.Reason
}

func (c crafting) ask(l *lab, f wire.Format) string {
	l.crafted = func(*benefit.Request) benefit.Outcome {
		return benefit.Outcome{Lines: []benefit.LineOutcome{{Refused: 1, Reason: c.reason}}, Reason: c.reason}
	}
	return c.labCall.ask(l, f)
}

// marked is a call whose object comes after a byte order mark.
type marked struct{ *labCall }

func (c marked) ask(l *lab, f wire.Format) string {
	text, err := json.Marshal(c.body)
	if err != nil {
		panic(err)
	}
	return l.post(&labCall{method: c.method, session: c.session, body: "\uFEFF" + string(text)}, f)
}

func (c marked) String() string { return "after a byte order mark: " + c.labCall.String() }

// rawCall is a call of user.seller.get with parameters that are wrong in some way.
type rawCall struct {
	verb    string
	set     map[string]string // after which the call is signed
	drop    []string
	secret  string // "": the app's
	forge   string // put in the place of the signature, or, if "-", nothing
	more    string // behind the query, unsigned
	repeats int    // how many times the call is made; the last answer counts
}

func (c rawCall) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c.set)) {
		parts = append(parts, name+"="+c.set[name])
	}
	for _, name := range c.drop {
		parts = append(parts, "without "+name)
	}
	if c.secret != "" {
		parts = append(parts, "signed with another secret")
	}
	if c.forge != "" {
		parts = append(parts, "sign="+c.forge)
	}
	return strings.TrimSpace(fmt.Sprintf("%s taobao.user.seller.get %s %s", c.verb, strings.Join(parts, " "), c.more))
}

func (c rawCall) ask(l *lab, f wire.Format) string {
	params := sellerCall("user_id,nick,type,has_shop")
	params["format"] = map[wire.Format]string{wire.XML: "xml"}[f]
	if f != wire.XML {
		params["format"], params["simplify"] = "json", fmt.Sprint(f == wire.SimplifiedJSON)
	}
	for name, value := range c.set {
		params[name] = value
	}
	for _, name := range c.drop {
		delete(params, name)
	}
	secret := labSecret
	if c.secret != "" {
		secret = c.secret
	}
	query := wire.SignRequest(params, secret, wire.MD5)
	if c.forge != "" {
		at := strings.Index(query, "&sign=")
		end := at + len("&sign=") + 32
		query = query[:at] + strings.TrimSuffix("&sign="+c.forge, "&sign=-") + query[end:]
	}
	verb := http.MethodGet
	if c.verb != "" {
		verb = c.verb
	}
	var w *httptest.ResponseRecorder
	for range max(c.repeats, 1) {
		w = l.do(httptest.NewRequest(verb, top.Path+"?"+query+c.more, nil))
	}
	return w.Body.String()
}

func TestGoldenGateway(t *testing.T) {
	set := func(name, value string) rawCall { return rawCall{set: map[string]string{name: value}} }
	drop := func(name string) rawCall { return rawCall{drop: []string{name}} }
	app := func(do func(*benefit.App)) func(*draft) { return func(d *draft) { do(d.apps[0]) } }
	checkGolden(t, "gateway", []goldenCase{
		calls("success", rawCall{}),
		calls("9 verb", rawCall{verb: http.MethodPut}),
		calls("21 no method", drop("method")),
		calls("22 unknown method", set("method", "taobao.no.such")),
		calls("23 format", set("format", "yaml")),
		calls("24 no sign", rawCall{forge: "-"}),
		calls("25 signature", rawCall{secret: "another"}),
		calls("26 no session", drop("session")),
		calls("27 unknown session", set("session", "made up")),
		calls("27 expired session", set("session", "carol-over")),
		calls("27 revoked session", set("session", "carol-revoked")),
		calls("28 no app_key", drop("app_key")),
		calls("29 unknown app_key", set("app_key", "1")),
		calls("30 no timestamp", drop("timestamp")),
		calls("31 timestamp", set("timestamp", "2026-11-22 11:49:59")),
		calls("31 timestamp of another zone", set("timestamp", "2026-11-22 04:00:00")),
		calls("32 no v", drop("v")),
		calls("33 v", set("v", "3.0")),
		calls("34 old v", set("v", "1.0")),
		calls("40 missing parameter", drop("fields")),
		calls("41 parameter", set("fields", "nick,")),
		calls("41 parameter twice", rawCall{more: "&fields=nick"}),
		calls("43 encoding of the query", rawCall{more: "&a=%"}),
		calls("47 charset", rawCall{more: "&a=%B0%A1"}),
		calls("50 business error", set("session", "registered")),
		{name: "7 rate", change: app(func(a *benefit.App) { a.RatePerSecond = 1 }), calls: []goldenCall{rawCall{repeats: 2}}},
		{name: "11 not granted", change: app(func(a *benefit.App) { a.Methods = []string{"taobao.time.get"} }), calls: []goldenCall{rawCall{}}},
		{name: "11 disabled app", change: app(func(a *benefit.App) { a.Disabled = true }), calls: []goldenCall{rawCall{}}},
		{name: "25 explained", change: app(func(a *benefit.App) { a.ExplainSignature = true }), calls: []goldenCall{rawCall{secret: "another"}}},
	})
}
