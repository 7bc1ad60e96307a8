package top_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/money"
)

// What the core is asked is what the caller said, whatever its order.
func TestWhatADecisionAsks(t *testing.T) {
	l := newLab(t, nil)
	l.decide(decide("k1", object{
		"act_codes": []string{"act-b", "act-a", "act-b"}, "user_type": "OPEN_ID", "user_id": labOpenID, "biz_code": "业务 1",
		"act_right_top_infos": []object{
			{"act_code": "act-b"}, {"right_id": "2"}, {"act_code": "act-a", "right_id": 2203102002536848287}, {"act_code": "act-b"},
		},
	}))
	got := l.request.Load()
	want := &benefit.Request{
		Scope: scope.Biz(1, "业务 1"), Key: "k1", App: 1, Continues: true, Fingerprint: got.Fingerprint, Note: got.Note,
		Recipient: benefit.Identifier{Type: "OPEN_ID", Value: labOpenID, App: 1},
		Params: benefit.Params{
			BizCode: "业务 1", SceneCode: labScene, ActCodes: []string{"act-a", "act-b"},
			Rights: []benefit.ActRight{{RightID: 2}, {ActCode: "act-a", RightID: 2203102002536848287}, {ActCode: "act-b"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A list that is given empty, and one that is not given, ask the same; a comma list is a list.
func TestFormsOfActCodes(t *testing.T) {
	for name, x := range map[string]struct {
		sent any
		want []string
	}{
		"absent": {nil, nil}, "text": {"", nil}, "array": {[]string{}, nil}, "commas": {"act-b,act-a", []string{"act-a", "act-b"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			l.decide(decide("k", object{"act_codes": x.sent}))
			if diff := cmp.Diff(x.want, l.request.Load().Params.ActCodes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The same narrowing in another order is the same request, another narrowing is not; memo-like members do not count.
func TestFingerprintOfADecision(t *testing.T) {
	narrow := func(acts string, rights ...object) object {
		return object{"act_codes": acts, "act_right_top_infos": rights}
	}
	pair := object{"act_code": "act-a", "right_id": 2203102002536848287}
	l := newLab(t, nil)
	first := l.decide(decide("k", narrow("act-a,act-b", object{"act_code": "act-b"}, pair)))
	if first.Status != "SUCCESS" {
		t.Fatal(first)
	}
	same := narrow("act-b,act-a", pair, object{"act_code": "act-b"}, pair)
	same["trace_id"] = "another"
	if diff := cmp.Diff(first, l.decide(decide("k", same))); diff != "" {
		t.Errorf("a retry (-first +retry)\n%s", diff)
	}
	for name, change := range map[string]object{
		"fewer activities":  narrow("act-a", object{"act_code": "act-b"}, pair),
		"fewer pairs":       narrow("act-a,act-b", pair),
		"half of a pair":    narrow("act-a,act-b", object{"act_code": "act-b"}, object{"act_code": "act-a"}),
		"codes as pairs":    narrow("act-a", object{"act_code": "act-b"}, object{"act_code": "act-b"}, pair),
		"another recipient": {"act_codes": "act-a,act-b", "act_right_top_infos": []object{{"act_code": "act-b"}, pair}, "user_id": "666450009"},
		"another scene":     {"act_codes": "act-a,act-b", "act_right_top_infos": []object{{"act_code": "act-b"}, pair}, "scene_code": "S"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(decided{Status: "FAIL", Code: "KEY_CONFLICT"}, l.decide(decide("k", change))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if again := l.decide(decide("k", object{"biz_code": "another"})); again.Status != "SUCCESS" || cmp.Equal(again, first) {
		t.Error("another biz_code is another scope:", again)
	}
}

// Rights that share one stock: what is there is issued, the rest is told, and a retry goes on where it stopped.
func TestPartOfAllRights(t *testing.T) {
	l := newLab(t, func(d *draft) {
		d.activity("act-c", "off")
		d.templates["off"].Stock.Count = 1
	})
	first := l.decide(decide("k", nil))
	want := decided{Status: "SUCCESS", Code: "SUCCESS", Retry: true, Rights: first.Rights, Errors: []string{"RIGHT act-c 2203102002536848287 STOCK_EMPTY"}}
	if diff := cmp.Diff(want, first); diff != "" || len(first.Rights) != 2 {
		t.Fatalf("%d rights (-want +got)\n%s", len(first.Rights), diff)
	}
	if diff := cmp.Diff(first, l.decide(decide("k", nil))); diff != "" {
		t.Errorf("a retry in vain (-first +retry)\n%s", diff)
	}
	l.change(func(d *draft) { d.templates["off"].Stock.Count = 2 })
	last := l.decide(decide("k", nil))
	if last.Retry || last.Errors != nil || len(last.Rights) != 3 {
		t.Error("with stock again:", last)
	}
	if diff := cmp.Diff(last, l.decide(decide("k", nil))); diff != "" || l.issued() != 3 {
		t.Errorf("issued %d, a late retry (-last +retry)\n%s", l.issued(), diff)
	}
}

// What was refused for good is not tried again, even when it would do now.
func TestFinalLines(t *testing.T) {
	l := newLab(t, func(d *draft) {
		d.activity("act-c", "off")
		d.templates["off"].Limits.PerUser = 1
	})
	first := l.decide(decide("k", nil))
	if first.Retry || !slices.Equal(first.Errors, []string{"RIGHT act-c 2203102002536848287 USER_LIMIT"}) {
		t.Fatal(first)
	}
	l.change(func(d *draft) { d.templates["off"].Limits.PerUser = 9 })
	if diff := cmp.Diff(first, l.decide(decide("k", nil))); diff != "" {
		t.Errorf("(-first +retry)\n%s", diff)
	}
}

// The lines are frozen with the first issue: what a rule, a weight, an item or a scene says afterwards is for new keys.
func TestFrozenDecisions(t *testing.T) {
	l := newLab(t, func(d *draft) {
		d.activities["act-b"].Rule = "never"
		d.activity("act-c", "off")
		d.templates["off"].Stock.Count = 1
	})
	first := l.decide(decide("k", nil))
	if len(first.Rights) != 1 || len(first.Errors) != 1 {
		t.Fatal(first)
	}
	l.change(func(d *draft) {
		d.activities["act-b"].Rule, d.activities["act-c"].Rule = "", "never"
		d.activities["act-a"].Items = d.activities["act-b"].Items
		d.scene.Strategy, d.scene.Status = benefit.ChooseFirst, benefit.Paused
		d.templates["off"].Stock.Count = 2
	})
	l.restart()
	retry := l.decide(decide("k", nil))
	if len(retry.Rights) != 2 || retry.Rights[0] != first.Rights[0] || retry.Errors != nil || retry.Retry {
		t.Error("the frozen lines go on:", retry)
	}
	if got := l.decide(decide("new", nil)); got.Code != "SCENE_NOT_OPEN" {
		t.Error("a new key:", got)
	}
}

// A frozen line that comes to a closed activity waits; a frozen user ends it.
func TestContinuedLinesAreChecked(t *testing.T) {
	l := newLab(t, func(d *draft) {
		d.activity("act-c", "off")
		d.templates["off"].Stock.Count = 1
	})
	l.decide(decide("k", nil))
	l.change(func(d *draft) {
		d.templates["off"].Stock.Count = 9
		d.activities["act-c"].Status = benefit.Paused
	})
	if got := l.decide(decide("k", nil)); !got.Retry || !slices.Equal(got.Errors, []string{"RIGHT act-c 2203102002536848287 ACTIVITY_NOT_OPEN"}) {
		t.Error("closed:", got)
	}
	l.change(func(d *draft) { d.activities["act-c"].Status = benefit.Active })
	l.change(func(d *draft) { d.users[0].Frozen = true })
	if got := l.decide(decide("k", nil)); got.Retry || !slices.Equal(got.Errors, []string{"RIGHT act-c 2203102002536848287 USER_FROZEN"}) {
		t.Error("frozen:", got)
	}
	if l.issued() != 2 {
		t.Error(l.issued(), "issued")
	}
}

// A refused attempt does not use the key up, and says nothing of what might have been.
func TestNothingIsBoundByARefusal(t *testing.T) {
	l := newLab(t, func(d *draft) { d.scene.Status = benefit.Paused })
	if got := l.decide(decide("k", nil)); got.Code != "SCENE_NOT_OPEN" || got.Retry {
		t.Error(got)
	}
	l.change(func(d *draft) { d.scene.Status = benefit.Active })
	if got := l.decide(decide("k", object{"user_id": "666450009"})); got.Status != "SUCCESS" {
		t.Error(got)
	}
}

// A weighted draw is one of the activities, the same at every attempt and after a restart.
func TestWeightedDraws(t *testing.T) {
	weights := map[string]int64{"act-a": 1, "act-b": 2, "act-c": 5}
	l := newLab(t, func(d *draft) {
		d.activity("act-c", "drink")
		d.scene.Strategy = benefit.ChooseWeighted
		for k := range d.scene.Activities {
			d.scene.Activities[k].Weight = weights[fmt.Sprintf("act-%c", 'a'+k)]
		}
	})
	const n = 1600
	got, first := map[string]int{}, map[string]decided{}
	for k := range n {
		key := fmt.Sprint("draw-", k)
		d := l.decide(decide(key, nil))
		if len(d.Rights) != 1 || d.Errors != nil {
			t.Fatal(d)
		}
		first[key] = d
		got[l.drawn(key)]++
	}
	// Chi-square over three classes: 13.8 is passed by one honest generator in a thousand. The keys are fixed.
	chi := 0.0
	for code, w := range weights {
		want := n * float64(w) / 8
		chi += math.Pow(float64(got[code])-want, 2) / want
	}
	if chi > 13.8 {
		t.Errorf("chi-square %.1f: %v", chi, got)
	}
	l.restart()
	for key, d := range first {
		if diff := cmp.Diff(d, l.decide(decide(key, nil))); diff != "" {
			t.Fatalf("a retry of %s (-first +retry)\n%s", key, diff)
		}
	}
	if l.issued() != n {
		t.Error(l.issued(), "issued")
	}
}

// drawn returns the activity that issued under a key.
func (l *lab) drawn(key string) string {
	reader, err := l.store.Read(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	defer reader.Close()
	i, err := reader.Claim(l.t.Context(), scope.Biz(1, "XXXX"), key)
	if err != nil || i == nil {
		l.t.Fatal(i, err)
	}
	return l.issuer.Catalogue().Activities[i.Lines[0].Activity].ActCode
}

// Many calls with one request_id: one issues, all get its outcome.
func TestOneRequestIDAtOnce(t *testing.T) {
	l := newLab(t, nil)
	answers := make([]decided, 16)
	var all sync.WaitGroup
	for k := range answers {
		all.Go(func() { answers[k] = l.decide(decide("k", nil)) })
	}
	all.Wait()
	for _, d := range answers {
		if diff := cmp.Diff(answers[0], d); diff != "" || d.Status != "SUCCESS" {
			t.Errorf("%s %s", d.Status, diff)
		}
	}
	if l.issued() != 2 {
		t.Error(l.issued(), "issued")
	}
}

// Downstreams come later; what their outcomes are called is settled.
func TestSending(t *testing.T) {
	line := func(issued int, reason benefit.Reason, sending bool) benefit.LineOutcome {
		return benefit.LineOutcome{Template: 1, Issued: issued, Refused: 1 - issued, Reason: reason, Sending: sending}
	}
	for name, x := range map[string]struct {
		lines []benefit.LineOutcome
		want  decided
	}{
		"all of them": {[]benefit.LineOutcome{line(1, 0, true), line(1, 0, true)}, decided{Status: "SENDING", Code: "SENDING", Retry: true}},
		"and one issued": {
			[]benefit.LineOutcome{line(1, 0, true), line(1, 0, false)},
			decided{Status: "SUCCESS", Code: "SUCCESS", Retry: true, Rights: []string{"8"}},
		},
		"and one refused": {
			[]benefit.LineOutcome{line(1, 0, true), line(0, benefit.UserLimit, false)},
			decided{Status: "SENDING", Code: "USER_LIMIT", Retry: true, Errors: []string{"RIGHT act-b 2203102002536848287 USER_LIMIT"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			l.crafted = func(r *benefit.Request) benefit.Outcome { return crafted(r, x.lines...) }
			if diff := cmp.Diff(x.want, l.decide(decide("k", nil))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// crafted returns an outcome of lines of the reduction, each of its own activity: what issued stands under the key.
func crafted(r *benefit.Request, lines ...benefit.LineOutcome) benefit.Outcome {
	o := benefit.Outcome{Lines: lines, Reason: lines[0].Reason}
	i := &benefit.Issuance{ID: 7, Scope: r.Scope, Key: r.Key, App: 1, Recipient: r.Recipient, Params: r.Params}
	for k, l := range lines {
		i.Lines = append(i.Lines, benefit.IssuedLine{
			Line:  benefit.Line{Template: l.Template, Activity: benefit.ActivityID(k + 1), Sends: 1, Quantity: 1},
			First: i.ID, Issued: l.Issued, Reason: l.Reason, Sending: l.Sending, At: benefit.InstantOf(labNoon),
			Kind: benefit.Reduction, Face: benefit.Face{Reduction: 1050, Threshold: 10000},
		})
		i.Lines[k].Amounts = append(i.Lines[k].Amounts, 1050)
		if k > 0 {
			i.Lines[k].First = i.Lines[k-1].First + 1
		}
		if l.Issued > 0 {
			o.Issuance = i
		}
	}
	if o.Issuance == nil {
		o.Attempt = i
	} else {
		o.Reason = benefit.NotRefused
	}
	return o
}

// Every kind shows what applies to it, and nothing else.
func TestAmountsOfKinds(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*benefit.Template)
		want   object
	}{
		"off":     {nil, object{"benefit_type": "REDUCTION", "reduction": "1050", "reduction_yuan": "10.5", "threshold": "10000", "threshold_yuan": "100"}},
		"cash":    {nil, object{"benefit_type": "CASH", "reduction": "100", "reduction_yuan": "1"}},
		"percent": {nil, object{"benefit_type": "DISCOUNT", "threshold": "2000", "threshold_yuan": "20"}},
		"price":   {nil, object{"benefit_type": "FIXED_PRICE", "fixed_price": "990"}},
		"drink":   {nil, object{"benefit_type": "EXCHANGE"}},
		"code":    {nil, object{"benefit_type": "CERTIFICATE"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func(d *draft) { d.activity("act-c", name) })
			r := l.call(decide("k", object{"act_codes": "act-c"}))
			all := r.List("right_send_top_v_o", "result", "result_obj", "right_send_top_vo_list")
			if len(all) != 1 {
				t.Fatal(r.Root)
			}
			got := all[0].(map[string]any)
			if got["req_id"] != "k" || got["right_name"] == "" || got["start_time"] != "2026-11-22 12:00:00" || got["end_time"] != "2026-11-22 23:59:59" {
				t.Error(got)
			}
			for _, member := range []string{"req_id", "right_name", "right_instance_id", "start_time", "end_time"} {
				delete(got, member)
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The yuan are those of the seed: no trailing zeros, no point without decimals.
func TestYuanWithoutTrailingZeros(t *testing.T) {
	for fen, want := range map[int64]string{1: "0.01", 10: "0.1", 100: "1", 1050: "10.5", 10000: "100", 100_000_01: "100000.01"} {
		l := newLab(t, func(d *draft) {
			d.templates["cash"].Amount.Min = money.Fen(fen)
			d.templates["cash"].Amount.Max = money.Fen(fen)
		})
		r := l.call(decide("k", object{"act_codes": "act-b"}))
		got := r.List("right_send_top_v_o", "result", "result_obj", "right_send_top_vo_list")[0].(map[string]any)
		if got["reduction_yuan"] != want || got["reduction"] != fmt.Sprint(fen) {
			t.Errorf("%d fen are %v", fen, got)
		}
	}
}

// The trace is the caller's, as a member or as a parameter, which is kept, cut to 256 characters; or else the call's own,
// which leads to the voucher.
func TestTraceOfADecision(t *testing.T) {
	l := newLab(t, nil)
	long := strings.Repeat("长", 300)
	for want, c := range map[string]*labCall{
		"member":     decide("k1", object{"trace_id": "member"}),
		"param":      {method: decisionMethod, body: decide("k2", nil).body, params: map[string]string{"trace_id": "param"}},
		"":           decide("k3", nil),
		long[:3*256]: decide("k4", object{"trace_id": long}),
	} {
		r := l.call(c)
		kept := l.request.Load().Note.TraceID
		if kept != want {
			t.Errorf("kept %q, want %q", kept, want)
		}
		if want == "" {
			want = r.RequestID
			if _, ok := gateway.VoucherOf(want); !ok {
				t.Errorf("the request_id %s leads to no voucher", want)
			}
		}
		if got := r.Text("result", "trace_id"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// No outcome: the caller is told to send the same request_id again, by an answer that names its trace.
func TestDecisionsWithoutAnOutcome(t *testing.T) {
	for err, want := range map[error]decided{
		engine.ErrBusy:      {Status: "FAIL", Code: "SYSTEM_BUSY", Retry: true},
		engine.ErrNotIssued: {Status: "FAIL", Code: "SYSTEM_BUSY", Retry: true},
		engine.ErrUnknown:   {Status: "FAIL", Code: "SYSTEM_UNKNOWN", Retry: true},
	} {
		l := newLab(t, nil)
		l.broken = err
		if diff := cmp.Diff(want, l.decide(decide("k", object{"trace_id": "mine"}))); diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	}
	l := newLab(t, nil)
	l.crafted = func(*benefit.Request) benefit.Outcome { panic("in the core") }
	r := l.call(decide("k", object{"trace_id": "mine"}))
	if r.Text("result", "result_code") != "SYSTEM_UNKNOWN" || r.Text("result", "trace_id") != "mine" {
		t.Error(r.Root, r.Refusal)
	}
}

// Whom a caller may name, and how.
func TestRecipientOfADecision(t *testing.T) {
	bad := map[string]object{
		"user_type": {"user_type": "@USER"}, "with a colon": {"user_type": "A:B"}, "with a slash": {"user_type": "OPEN_ID/2"},
		"with a space": {"user_type": "A B"}, "not ASCII": {"user_type": "支付宝"}, "too long": {"user_type": strings.Repeat("A", 33)},
		"a known type in other letters": {"user_type": "alipay"}, "and another": {"user_type": "Open_Id"},
		"user_id": {"user_id": strings.Repeat("1", 129)}, "an Alipay id": {"user_id": "20883020014561150"},
	}
	l := newLab(t, nil)
	for name, change := range bad {
		r := l.call(decide("k", change))
		if r.Refusal == nil || r.Refusal.Code != 41 || l.request.Load() != nil {
			t.Errorf("%s: %v", name, r.Refusal)
		}
	}
	// An open id is the app's own: alice's under another app is somebody else.
	c := decide("k", object{"user_type": "OPEN_ID", "user_id": labOpenID})
	c.app = "23088512"
	l.call(c)
	if got := l.request.Load().Recipient; got.App != 2 {
		t.Error(got)
	}
}

// The answer has one form in all three shapes: an independent reader gets the same out of each.
func TestDecisionInAllShapes(t *testing.T) {
	read := func(f wire.Format) []string {
		l := newLab(t, func(d *draft) {
			d.activity("act-c", "off")
			d.templates["off"].Stock.Count = 1
		})
		r, err := wire.ReadReply([]byte(l.post(decide("k", object{"trace_id": "t"}), f)), f, decisionMethod)
		if err != nil {
			t.Fatal(err)
		}
		all := []string{
			r.Text("result", "success"), r.Text("result", "can_retry"), r.Text("result", "result_code"), r.Text("result", "result_msg"),
			r.Text("result", "trace_id"), r.Text("result", "result_obj", "status"),
		}
		for _, o := range r.List("right_send_top_v_o", "result", "result_obj", "right_send_top_vo_list") {
			all = append(all, fmt.Sprint(o))
		}
		for _, o := range r.List("decision_error_top_d_t_o", "result", "result_obj", "error_top_dto_list") {
			all = append(all, fmt.Sprint(o))
		}
		return all
	}
	want := read(wire.JSON)
	for _, f := range []wire.Format{wire.XML, wire.SimplifiedJSON} {
		if diff := cmp.Diff(want, read(f)); diff != "" {
			t.Errorf("%s (-json +it)\n%s", f, diff)
		}
	}
}
