package wire

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"faquan/internal/gateway/form"
)

const requestID = "101yxmwbhzd8t"

// finish returns the text of an answer.
func finish(a *Answer) string {
	defer a.Release()
	return string(a.Body())
}

// The answers of the platform's own pages, in the three shapes.
func TestGoldenAnswers(t *testing.T) {
	const xmlHead = `<?xml version="1.0" encoding="utf-8" ?>`
	for _, test := range []struct {
		name, method          string
		write                 func(a *Answer)
		json, simplified, xml string
	}{
		{
			"benefit", "taobao.mobile.promotion.benefit.activity.send",
			func(a *Answer) {
				a.Object("send_result", func() {
					a.Bool("is_success", true)
					a.Text("unique_id", "AE432CBF12A012")
					a.Bool("is_baoxiang_task_done", false)
					a.Texts("error_code_list", nil)
					a.Objects("results", "mobile_benefit_send_result_ext", 1, func(int) {
						a.Int("index_id", 123235235)
						a.Int("success_count", 1)
						a.Int("failure_count", 0)
					})
				})
			},
			`{"mobile_promotion_benefit_activity_send_response":{"send_result":{"is_success":true,"unique_id":"AE432CBF12A012","is_baoxiang_task_done":false,"results":{"mobile_benefit_send_result_ext":[{"index_id":123235235,"success_count":1,"failure_count":0}]}},"request_id":"101yxmwbhzd8t"}}`,
			`{"send_result":{"is_success":true,"unique_id":"AE432CBF12A012","is_baoxiang_task_done":false,"results":[{"index_id":123235235,"success_count":1,"failure_count":0}]},"request_id":"101yxmwbhzd8t"}`,
			xmlHead + `<mobile_promotion_benefit_activity_send_response><send_result><is_success>true</is_success><unique_id>AE432CBF12A012</unique_id><is_baoxiang_task_done>false</is_baoxiang_task_done><results><mobile_benefit_send_result_ext><index_id>123235235</index_id><success_count>1</success_count><failure_count>0</failure_count></mobile_benefit_send_result_ext></results></send_result><request_id>101yxmwbhzd8t</request_id></mobile_promotion_benefit_activity_send_response>`,
		},
		{
			"every member", "tmall.nrt.certificate.send",
			func(a *Answer) {
				at := time.Date(2026, 11, 22, 15, 59, 59, 0, time.UTC)
				a.Text("empty", "")
				a.TextIfAny("absent", "")
				a.TextIfAny("present", "x")
				a.Int("id", 2203102002536848287)
				a.Int("least", math.MinInt64)
				a.Time("at", at)
				a.Time("never", time.Time{})
				a.Object("o", func() {})
				a.Objects("none", "item", 0, nil)
				a.Objects("two", "item", 2, func(i int) { a.Int("code", int64(i)) })
				a.Texts("texts", []string{"a", "b<&>\"\\"})
			},
			`{"tmall_nrt_certificate_send_response":{"empty":"","present":"x","id":2203102002536848287,"least":-9223372036854775808,"at":"2026-11-22 23:59:59","o":{},"two":{"item":[{"code":0},{"code":1}]},"texts":{"string":["a","b<&>\"\\"]},"request_id":"101yxmwbhzd8t"}}`,
			`{"empty":"","present":"x","id":2203102002536848287,"least":-9223372036854775808,"at":"2026-11-22 23:59:59","o":{},"two":[{"code":0},{"code":1}],"texts":["a","b<&>\"\\"],"request_id":"101yxmwbhzd8t"}`,
			xmlHead + `<tmall_nrt_certificate_send_response><empty></empty><present>x</present><id>2203102002536848287</id><least>-9223372036854775808</least><at>2026-11-22 23:59:59</at><o></o><two><item><code>0</code></item><item><code>1</code></item></two><texts><string>a</string><string>b&lt;&amp;&gt;"\</string></texts><request_id>101yxmwbhzd8t</request_id></tmall_nrt_certificate_send_response>`,
		},
	} {
		for f, want := range map[Format]string{JSON: test.json, SimplifiedJSON: test.simplified, XML: test.xml} {
			a := Success(f, test.method, requestID)
			test.write(a)
			if diff := cmp.Diff(want, finish(a)); diff != "" {
				t.Errorf("%s as %s: %s", test.name, f, diff)
			}
		}
	}
}

func TestGoldenFailures(t *testing.T) {
	for _, test := range []struct {
		bad       *Error
		json, xml string
	}{
		{ErrInvalidSignature, `"code":25,"msg":"Invalid signature"`, `<code>25</code><msg>Invalid signature</msg>`},
		{Missing("unique_id"), `"code":40,"msg":"Missing required arguments:unique_id","sub_code":"isv.missing-parameter:unique_id","sub_msg":"缺少必填参数unique_id"`,
			`<code>40</code><msg>Missing required arguments:unique_id</msg><sub_code>isv.missing-parameter:unique_id</sub_code><sub_msg>缺少必填参数unique_id</sub_msg>`},
		{Business("isp.295", "关联活动详情为空"), `"code":50,"msg":"Remote service error","sub_code":"isp.295","sub_msg":"关联活动详情为空"`,
			`<code>50</code><msg>Remote service error</msg><sub_code>isp.295</sub_code><sub_msg>关联活动详情为空</sub_msg>`},
		{Business("isp.295", "").Carried(15), `"code":15,"msg":"Remote service error","sub_code":"isp.295"`,
			`<code>15</code><msg>Remote service error</msg><sub_code>isp.295</sub_code>`},
		{ErrCallLimited, `"code":7,"msg":"App Call Limited","sub_code":"accesscontrol.limited-by-app-access-count","sub_msg":"This ban will last for 1 more seconds"`,
			`<code>7</code><msg>App Call Limited</msg><sub_code>accesscontrol.limited-by-app-access-count</sub_code><sub_msg>This ban will last for 1 more seconds</sub_msg>`},
	} {
		asJSON := `{"error_response":{` + test.json + `,"request_id":"101yxmwbhzd8t"}}`
		asXML := `<?xml version="1.0" encoding="utf-8" ?><error_response>` + test.xml + `<request_id>101yxmwbhzd8t</request_id></error_response>`
		for f, want := range map[Format]string{JSON: asJSON, SimplifiedJSON: asJSON, XML: asXML} {
			if diff := cmp.Diff(want, finish(Failure(f, test.bad, requestID))); diff != "" {
				t.Errorf("%v as %s: %s", test.bad, f, diff)
			}
		}
	}
	if got := ErrInvalidMethod.Carried(15); got != ErrInvalidMethod {
		t.Errorf("an error of the gateway is carried as %v", got)
	}
}

func TestRootName(t *testing.T) {
	for method, want := range map[string]string{
		"taobao.mobile.promotion.benefit.activity.send": "mobile_promotion_benefit_activity_send_response",
		"alibaba.alsc.upp.right.decisionsend":           "alibaba_alsc_upp_right_decisionsend_response",
		"tmall.nrt.certificate.send":                    "tmall_nrt_certificate_send_response",
		"a.taobao.b":                                    "a_taobao_b_response",
	} {
		if got := RootName(method); got != want {
			t.Errorf("%s: got %s", method, got)
		}
	}
}

// A success that the SDKs would read as a failure is not written, and nothing behind the end.
func TestGuard(t *testing.T) {
	for _, name := range []string{"code", "msg", "sub_code", "sub_msg", "flag", "error_response", "request_id"} {
		if !panics(func() { Success(JSON, "a.b", requestID).Text(name, "0") }) {
			t.Errorf("%s is accepted at the top", name)
		}
		a := Success(JSON, "a.b", requestID)
		if panics(func() { a.Object("result", func() { a.Text(name, "0") }) }) {
			t.Errorf("%s is not accepted below", name)
		}
	}
	a := Success(XML, "a.b", requestID)
	a.Body()
	if !panics(func() { a.Int("late", 1) }) {
		t.Error("a finished answer is added to")
	}
}

// The room of one large answer does not stay in memory for ever.
func TestLargeRoomIsNotKept(t *testing.T) {
	for range 20 {
		a := Success(JSON, "a.b", requestID)
		a.Text("x", strings.Repeat("x", 1<<20))
		a.Release()
		if a := Success(JSON, "a.b", requestID); a.buf.Cap() > 64<<10 {
			t.Fatalf("%d bytes of room are kept", a.buf.Cap())
		}
	}
}

func panics(do func()) (did bool) {
	defer func() { did = recover() != nil }()
	do()
	return false
}

func TestEscapes(t *testing.T) {
	text := "a\x00\x01\t\n\r\b\f\x0b\x1f\"'\\/<&>]]>\x7f\u0085\u2028\uFFFE\uFFFF\xff优😀"
	a := Success(JSON, "a.b", requestID)
	a.Text("x", text)
	want := `{"a_b_response":{"x":"a\u0000\u0001\t\n\r\b\f` + "\uFFFD\uFFFD" + `\"'\\/<&>]]>` + "\x7f\u0085" + `\u2028` + "\uFFFE\uFFFF\uFFFD优😀" + `","request_id":"101yxmwbhzd8t"}}`
	if diff := cmp.Diff(want, finish(a)); diff != "" {
		t.Error(diff)
	}
	a = Success(XML, "a.b", requestID)
	a.Text("x", text)
	want = "<x>a\uFFFD\uFFFD\t\n&#xD;\uFFFD\uFFFD\uFFFD\uFFFD\"'\\/&lt;&amp;&gt;]]&gt;\x7f\u0085\u2028\uFFFD\uFFFD\uFFFD优😀</x>"
	if got := finish(a); !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// tree is a member as a reader sees it: with members or elements, or with a text, in their order.
type tree struct {
	Name, Text string
	Of         []tree
}

// member is a random member of an answer.
type member struct {
	kind  int
	name  string
	texts []string
	ints  []int64
	bools []bool
	kids  [][]member
}

func drawMembers(t *rapid.T, depth int) []member {
	var members []member
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		m := member{kind: rapid.IntRange(0, 6).Draw(t, "kind"), name: "m_" + rapid.StringMatching("[a-z_]{0,6}").Draw(t, "name")}
		count := rapid.IntRange(0, 3).Draw(t, "count")
		for range count {
			m.texts = append(m.texts, rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
				rapid.SampledFrom([]string{"\r\n", "]]>", "\\u0000", "<a/>", "\uFFFE", "-S-", "\u2028"})).Draw(t, "text"))
			m.ints = append(m.ints, rapid.Int64().Draw(t, "int"))
			m.bools = append(m.bools, rapid.Bool().Draw(t, "bool"))
			if depth > 0 {
				m.kids = append(m.kids, drawMembers(t, depth-1))
			}
		}
		members = append(members, m)
	}
	return members
}

func (m *member) at(i int) time.Time { return time.Unix(m.ints[i]>>32, 0) }

// write puts the members into the answer.
func write(a *Answer, members []member) {
	for _, m := range members {
		one := len(m.texts) > 0
		switch {
		case m.kind == 0 && one:
			a.Text(m.name, m.texts[0])
		case m.kind == 1 && one:
			a.Int(m.name, m.ints[0])
		case m.kind == 2 && one:
			a.Bool(m.name, m.bools[0])
		case m.kind == 3 && one:
			a.Time(m.name, m.at(0))
		case m.kind == 4:
			a.Texts(m.name, m.texts)
		case m.kind == 5 && len(m.kids) > 0:
			a.Object(m.name, func() { write(a, m.kids[0]) })
		case m.kind == 6:
			a.Objects(m.name, "item", len(m.kids), func(i int) { write(a, m.kids[i]) })
		}
	}
}

// want returns what a reader must see of them. show is what becomes of a text.
func want(members []member, f Format, show func(string) string) (list []tree) {
	for _, m := range members {
		var texts []string
		switch m.kind {
		case 0, 4:
			for _, text := range m.texts {
				texts = append(texts, show(text))
			}
		case 1:
			for _, n := range m.ints {
				texts = append(texts, strconv.FormatInt(n, 10))
			}
		case 2:
			for _, b := range m.bools {
				texts = append(texts, strconv.FormatBool(b))
			}
		case 3:
			for i := range m.ints {
				texts = append(texts, FormatTimestamp(m.at(i)))
			}
		}
		switch {
		case m.kind < 4 && len(texts) > 0:
			list = append(list, tree{Name: m.name, Text: texts[0]})
		case m.kind == 5 && len(m.kids) > 0:
			list = append(list, tree{Name: m.name, Of: want(m.kids[0], f, show)})
		case m.kind == 6 && len(m.kids) > 0:
			var of []tree
			for _, kids := range m.kids {
				of = append(of, tree{Of: want(kids, f, show)})
			}
			list = append(list, tree{m.name, "", wrap("item", of, f)})
		case m.kind == 4 && len(texts) > 0:
			var of []tree
			for _, text := range texts {
				of = append(of, tree{Text: text})
			}
			list = append(list, tree{m.name, "", wrap("string", of, f)})
		}
	}
	return list
}

// wrap puts the elements of a list as the shape has them.
func wrap(item string, of []tree, f Format) []tree {
	switch f {
	case JSON:
		return []tree{{Name: item, Of: of}}
	case XML:
		for i := range of {
			of[i].Name = item
		}
	}
	return of
}

// Whatever a method answers, strict readers that share nothing with the encoder see it, in each shape.
func TestReadersSeeWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t, 2)
		for _, f := range []Format{XML, JSON, SimplifiedJSON} {
			a := Success(f, "taobao.a.b", requestID)
			write(a, members)
			body := finish(a)
			read, show := readOrderedJSON, jsonText
			if f == XML {
				read, show = readOrderedXML, xmlText
			}
			got, err := read(body)
			if err != nil {
				t.Fatalf("%s: %v: %s", f, err, body)
			}
			expected := append(want(members, f, show), tree{Name: "request_id", Text: requestID})
			if f != SimplifiedJSON {
				expected = []tree{{Name: "a_b_response", Of: expected}}
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Fatalf("%s: %s\n%s", f, diff, body)
			}
			if strings.Contains(body, Separator) {
				t.Fatalf("the default separator of a batch is in %q", body)
			}
			if reply, err := ReadReply([]byte(body), f, "taobao.a.b"); err != nil || reply.RequestID != requestID {
				t.Fatalf("the client reads %v, %v", reply, err)
			}
		}
	})
}

// jsonText replaces what is not valid UTF-8, one byte at a time, and the controls that Java SDKs would misread.
func jsonText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && form.ControlEscape(r) == "" {
			return 0xFFFD
		}
		return r
	}, s)
}

// xmlText replaces what XML 1.0 has no place for besides.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return 0xFFFD
		}
		return r
	}, jsonText(s))
}

func readOrderedJSON(body string) ([]tree, error) {
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	root, err := jsonValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("not the end: %v", err)
	}
	return root.Of, nil
}

func jsonValue(d *json.Decoder) (node tree, err error) {
	token, err := d.Token()
	if err != nil {
		return node, err
	}
	open, ok := token.(json.Delim)
	if !ok {
		node.Text = fmt.Sprint(token)
		return node, nil
	}
	for d.More() {
		name := ""
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return node, err
			}
			name = token.(string)
		}
		child, err := jsonValue(d)
		if err != nil {
			return node, err
		}
		child.Name = name
		node.Of = append(node.Of, child)
	}
	_, err = d.Token()
	return node, err
}

func readOrderedXML(body string) ([]tree, error) {
	rest, ok := strings.CutPrefix(body, `<?xml version="1.0" encoding="utf-8" ?>`)
	if !ok {
		return nil, fmt.Errorf("no declaration")
	}
	d := xml.NewDecoder(strings.NewReader(rest))
	stack := []tree{{}}
	for {
		token, err := d.Token()
		if err == io.EOF && len(stack) == 1 {
			return stack[0].Of, nil
		}
		if err != nil {
			return nil, err
		}
		top := &stack[len(stack)-1]
		switch token := token.(type) {
		case xml.StartElement:
			stack = append(stack, tree{Name: token.Name.Local})
		case xml.EndElement:
			done := *top
			stack = stack[:len(stack)-1]
			stack[len(stack)-1].Of = append(stack[len(stack)-1].Of, done)
		case xml.CharData:
			top.Text += string(token)
		default:
			return nil, fmt.Errorf("unexpected %T", token)
		}
	}
}
