package top_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/id"
)

// What reaches the core is what was sent; what is kept is cut to its length.
func TestTheRequestOfASend(t *testing.T) {
	l := newActivityLab(t, nil)
	trace := strings.Repeat("线", 300)
	l.send(sending("K", "many", object{"send_count": "3", "trace_id": trace, "card_type": "game"}))
	got := l.request.Load()
	carol := l.user("carol")
	want := &benefit.Request{
		Scope: scope.Relation(1, plainRelation), Key: "K", App: 1, Recipient: benefit.RefTo(carol),
		Fingerprint: benefit.FingerprintOf(nil, "100", "12457112", "1001", "1", "3", "game"),
		Lines:       []benefit.Line{{Template: l.draft.templates["many"].ID, Activity: l.draft.activities["plain"].ID, DetailID: 100, Sends: 3, Quantity: 1}},
		Guarded:     true, Note: benefit.Note{TraceID: strings.Repeat("线", 256)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	l.send(sending("K", "box", object{"card_type": "beauty"}))
	if got := l.request.Load().Params; got.Card != "beauty" {
		t.Errorf("asked %+v", got)
	}
}

// user returns the id of a user of the draft.
func (l *lab) user(name string) benefit.UserID {
	for _, u := range l.draft.users {
		if u.Name == name {
			return u.ID
		}
	}
	l.t.Fatal("no user", name)
	return 0
}

// Each call of a row is made in order, a second after the one before.
func TestOutcomesOfSends(t *testing.T) {
	three := object{"send_count": 3}
	one := func(codes string) sent { return sent{Code: codes, Issued: "0", Failed: "1", Codes: "[" + codes + "]"} }
	for _, test := range []struct {
		name  string
		calls []*labCall
		want  []sent
	}{
		{"one", []*labCall{sending("K", "many", nil)}, []sent{{Issued: "1", Failed: "0"}}},
		{"several", []*labCall{sending("K", "many", three)}, []sent{{Issued: "3", Failed: "0"}}},
		{"two vouchers a send", []*labCall{sending("K", "pairs", three)}, []sent{{Issued: "3", Failed: "0"}}},
		{"a set amount", []*labCall{sending("K", "coins", nil)}, []sent{{Issued: "1", Failed: "0"}}},
		{"granted", []*labCall{sending("K", "granted", nil)}, []sent{{Issued: "1", Failed: "0"}}},
		{"partial by the limit", []*labCall{sending("K", "one", three)}, []sent{{Issued: "1", Failed: "2", Codes: "[USER_LIMIT]"}}},
		{"partial by the stock, and never topped up",
			[]*labCall{sending("K", "three", three), sending("L", "three", three), sending("K", "three", three)},
			[]sent{{Issued: "3", Failed: "0"}, {Code: "STOCK_EMPTY", Issued: "0", Failed: "3", Codes: "[STOCK_EMPTY]"}, {Issued: "3", Failed: "0"}}},
		{"a partial one is replayed as it was",
			[]*labCall{sending("K", "three", object{"send_count": 2}), sending("L", "three", three), sending("L", "three", three)},
			[]sent{{Issued: "2", Failed: "0"}, {Issued: "1", Failed: "2", Codes: "[STOCK_EMPTY]"}, {Issued: "1", Failed: "2", Codes: "[STOCK_EMPTY]"}}},
		{"another meaning of the key", []*labCall{sending("K", "many", nil), sending("K", "many", object{"send_count": 2})},
			[]sent{{Issued: "1", Failed: "0"}, {Code: "KEY_CONFLICT", Issued: "0", Failed: "2", Codes: "[KEY_CONFLICT]"}}},
		{"another user's key", []*labCall{sending("K", "many", nil), sending("K", "many", nil).as("dave")},
			[]sent{{Issued: "1", Failed: "0"}, one("KEY_CONFLICT")}},
		{"a person's limit", []*labCall{sending("K", "a-person", nil), sending("L", "a-person", nil).as("twin")},
			[]sent{{Issued: "1", Failed: "0"}, one("PERSON_LIMIT")}},
		{"a day's limit", []*labCall{sending("K", "a-day", nil), sending("L", "a-day", nil)},
			[]sent{{Issued: "1", Failed: "0"}, one("USER_DAY_LIMIT")}},
		{"no stock", []*labCall{sending("K", "none", nil)}, []sent{one("STOCK_EMPTY")}},
		{"no budget", []*labCall{sending("K", "no-budget", nil)}, []sent{one("BUDGET_EMPTY")}},
		{"no stock today", []*labCall{sending("K", "no-day", nil)}, []sent{one("DAY_STOCK_EMPTY")}},
		{"no budget today", []*labCall{sending("K", "no-day-budget", nil)}, []sent{one("DAY_BUDGET_EMPTY")}},
		{"draft", []*labCall{sending("K", "drafted", nil)}, []sent{one("TEMPLATE_DRAFT")}},
		{"paused", []*labCall{sending("K", "paused", nil)}, []sent{one("TEMPLATE_PAUSED")}},
		{"not open yet", []*labCall{sending("K", "soon", nil)}, []sent{one("TEMPLATE_NOT_OPEN")}},
		{"ended", []*labCall{sending("K", "ended", nil)}, []sent{one("TEMPLATE_ENDED")}},
		{"activity closed", []*labCall{sending("K", "closed", nil)}, []sent{one("ACTIVITY_NOT_OPEN")}},
		{"no amount", []*labCall{sending("K", "no-amount", nil)}, []sent{one("AMOUNT_MISSING")}},
		{"too large an amount", []*labCall{sending("K", "too-much", nil)}, []sent{one("AMOUNT_OUT_OF_RANGE")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newActivityLab(t, nil)
			var got []sent
			for _, c := range test.calls {
				got = append(got, l.send(c))
				l.clock.Add(1000)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func (c *labCall) as(session string) *labCall {
	c.session = session
	return c
}

// What stands under error_response, and leaves nothing behind.
func TestRefusalsOfSends(t *testing.T) {
	for _, test := range []struct {
		name string
		call *labCall
		want string
	}{
		{"no object", &labCall{method: activityMethod, session: "carol"}, "40 isv.missing-parameter:single_benefit_request"},
		{"no JSON", &labCall{method: activityMethod, session: "carol", body: "{"}, "41 isv.invalid-parameter:single_benefit_request"},
		{"no benefit_type", sending("K", "many", object{"benefit_type": nil}), "40 isv.missing-parameter:benefit_type"},
		{"no send_count", sending("K", "many", object{"send_count": nil}), "40 isv.missing-parameter:send_count"},
		{"no unique_id", sending("K", "many", object{"unique_id": nil}), "40 isv.missing-parameter:unique_id"},
		{"no relation_id", sending("K", "many", object{"relation_id": nil}), "40 isv.missing-parameter:relation_id"},
		{"no purchaser_id", sending("K", "many", object{"purchaser_id": nil}), "40 isv.missing-parameter:purchaser_id"},
		{"no detail_id", sending("K", "many", object{"detail_id": nil}), "40 isv.missing-parameter:detail_id"},
		{"no trace_id", sending("K", "many", object{"trace_id": nil}), "40 isv.missing-parameter:trace_id"},
		{"no biz_id", sending("K", "many", object{"biz_id": nil}), "40 isv.missing-parameter:biz_id"},
		{"a key too long", sending(strings.Repeat("码", 65), "many", nil), "41 isv.invalid-parameter:unique_id"},
		{"a biz_id too long", sending("K", "many", object{"biz_id": strings.Repeat("b", 65)}), "41 isv.invalid-parameter:biz_id"},
		{"no number", sending("K", "many", object{"detail_id": "x"}), "41 isv.invalid-parameter:detail_id"},
		{"no sends", sending("K", "many", object{"send_count": 0}), "41 isv.invalid-parameter:send_count"},
		{"fewer than none", sending("K", "many", object{"send_count": -1}), "41 isv.invalid-parameter:send_count"},
		{"too many sends", sending("K", "many", object{"send_count": 6}), "41 isv.invalid-parameter:send_count"},
		{"far too many sends", sending("K", "many", object{"send_count": int64(1) << 62}), "41 isv.invalid-parameter:send_count"},
		{"another seller", sending("K", "many", object{"purchaser_id": 1002}), "41 isv.invalid-parameter:purchaser_id"},
		{"another type", sending("K", "many", object{"benefit_type": 2}), "41 isv.invalid-parameter:benefit_type"},
		{"a card without a box", sending("K", "many", object{"card_type": "beauty"}), "41 isv.invalid-parameter:card_type"},
		{"a card that the box lacks", sending("K", "box", object{"card_type": "cars"}), "41 isv.invalid-parameter:card_type"},
		{"the default card in a box without it", sending("K", "sends", object{"card_type": nil}), "41 isv.invalid-parameter:card_type"},
		{"no such activity", sending("K", "many", object{"relation_id": 1}), "50 isp.295"},
		{"no such detail", sending("K", "many", object{"detail_id": 1}), "50 isp.295"},
		{"another biz_id", sending("K", "many", object{"biz_id": "biz-one"}), "50 isp.295"},
		{"another merchant's", sending("K", "theirs", nil), "50 isp.295"},
		{"another merchant's, another seller", sending("K", "theirs", object{"purchaser_id": 5}), "50 isp.295"},
		{"no such activity, another seller", sending("K", "many", object{"relation_id": 1, "purchaser_id": 5}), "50 isp.295"},
		{"no user", sending("K", "many", nil).as("userless"), "50 isp.225"},
		{"no user, no such activity", sending("K", "many", object{"relation_id": 1}).as("userless"), "50 isp.225"},
		{"unknown user", sending("K", "many", nil).as("nobody"), "50 isp.225"},
		{"frozen user", sending("K", "many", nil).as("cold"), "50 isp.225"},
		{"no session", sending("K", "many", nil).as(""), "26 "},
		{"unknown session", sending("K", "many", nil).as("made up"), "27 invalid-sessionkey"},
		{"session of another app", sending("K", "many", nil).as("carol-other"), "27 invalid-sessionkey"},
		{"authorization code", sending("K", "many", nil).as("carol-code"), "27 invalid-sessionkey"},
		{"session expired", sending("K", "many", nil).as("carol-over"), "27 session-expired"},
		{"session revoked", sending("K", "many", nil).as("carol-revoked"), "27 session-not-exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newActivityLab(t, nil)
			if got := l.send(test.call); got.Refusal != test.want {
				t.Errorf("got %+v, want %s", got, test.want)
			}
			if n := l.issued(); n != 0 {
				t.Errorf("%d vouchers issued", n)
			}
		})
	}
}

func TestSessionsThatSend(t *testing.T) {
	l := newActivityLab(t, nil)
	if got := l.send(sending("K", "many", nil).as("carol-lasts")); got.Issued != "1" {
		t.Errorf("a millisecond before its end: %+v", got)
	}
	l.clock.Add(1)
	if got := l.send(sending("K", "many", nil).as("carol-lasts")); got.Refusal != "27 session-expired" {
		t.Errorf("at its end: %+v", got)
	}
	// A session without a merchant acts for the app's.
	if got := l.send(sending("K", "many", nil).as("carol-appless")); got.Issued != "1" {
		t.Errorf("without a merchant: %+v", got)
	}
}

// Another key of the same user within a second is held off; it neither starts nor extends the second, and the same
// key is answered throughout.
func TestOneSecondGuard(t *testing.T) {
	l := newActivityLab(t, nil)
	issued := sent{Issued: "1", Failed: "0"}
	guarded := sent{Refusal: "50 isp.107"}
	for _, step := range []struct {
		after int64
		call  *labCall
		want  sent
	}{
		{0, sending("K", "many", nil), issued},
		{0, sending("L", "many", nil), guarded},
		{0, sending("D", "many", nil).as("dave"), issued},
		{500, sending("K", "many", nil), issued},
		{499, sending("L", "many", nil), guarded},
		{0, sending("L", "none", nil), guarded}, // before the stock
		{1, sending("L", "many", nil), issued},
		{999, sending("M", "many", nil), guarded},
		{0, sending("B", "box", nil), sent{Issued: "1", Failed: "0", Done: "false"}}, // another activity
		{0, sending("C", "box", nil), sent{Issued: "1", Failed: "0", Done: "false"}}, // whose guard is off
	} {
		l.clock.Add(step.after)
		if got := l.send(step.call); got != step.want {
			t.Errorf("%s at %d ms: got %+v, want %+v", step.call.body.(object)["unique_id"], l.clock.Load(), got, step.want)
		}
	}
}

// A box is done by two different cards, and stays so for the day; a replay says what was said.
func TestTreasureBox(t *testing.T) {
	l := newActivityLab(t, nil)
	card := func(key, card string) *labCall { return sending(key, "box", object{"card_type": card}) }
	done := func(c *labCall, want string) {
		t.Helper()
		if got := l.send(c); got.Done != want || got.Issued != "1" {
			t.Errorf("%v: %+v", c.body, got)
		}
	}
	done(sending("A", "box", object{"card_type": nil}), "false")
	done(card("B", "game"), "false") // the same card
	done(card("C", "beauty"), "true")
	done(card("D", "beauty"), "true")
	done(card("A", "game"), "false") // the replay of what named no card: game is what that means
	done(card("E", "game").as("dave"), "false")
	l.change(func(d *draft) { d.activities["box"].Box = nil })
	done(card("C", "beauty"), "true") // replays do not follow the catalogue
	done(card("B", "game"), "false")
	l.change(func(d *draft) {
		d.activities["box"].Box = &benefit.Box{Cards: []string{"game", "beauty"}, DoneAfter: 2}
	})
	l.clock.Add(12 * 3_600_000)
	done(card("F", "beauty"), "false") // a new day
	done(card("D", "beauty"), "true")
}

func TestTreasureBoxOfSends(t *testing.T) {
	l := newActivityLab(t, nil)
	if got := l.send(sending("A", "sends", object{"send_count": 2})); got.Done != "false" {
		t.Errorf("after two: %+v", got)
	}
	if got := l.send(sending("B", "sends", nil)); got.Done != "true" {
		t.Errorf("after three: %+v", got)
	}
	if got := l.send(sending("C", "many", nil)); got.Done != "" {
		t.Errorf("an activity without a box: %+v", got)
	}
}

// A refused call of a box whose task is done says so too.
func TestTreasureBoxOfARefusedSend(t *testing.T) {
	l := newActivityLab(t, func(d *draft) { d.templates["box"].Limits.PerUser = 2 })
	l.send(sending("A", "box", object{"card_type": "game"}))
	l.send(sending("B", "box", object{"card_type": "food"}))
	want := sent{Code: "USER_LIMIT", Issued: "0", Failed: "1", Codes: "[USER_LIMIT]", Done: "true"}
	if got := l.send(sending("C", "box", nil)); got != want {
		t.Errorf("got %+v", got)
	}
}

// Whatever the operator changes, a bound key is answered from its record, and a new one by the rules of now.
func TestBoundKeysOutliveTheCatalogue(t *testing.T) {
	item := func(d *draft) *benefit.Item { return &d.activities["plain"].Items[0] }
	for _, test := range []struct {
		name   string
		change func(*draft)
		fresh  string // what a new key is answered
	}{
		{"fewer sends", func(d *draft) { item(d).MaxSends = 1 }, "41 isv.invalid-parameter:send_count"},
		{"another type", func(d *draft) { item(d).BenefitType = 9 }, "41 isv.invalid-parameter:benefit_type"},
		{"another seller", func(d *draft) { d.merchants[0].SellerID = 9 }, "41 isv.invalid-parameter:purchaser_id"},
		{"another detail", func(d *draft) { item(d).DetailID = 9 }, "50 isp.295"},
		{"another relation", func(d *draft) { d.activities["plain"].RelationID = 9 }, "50 isp.295"},
		{"another campaign", func(d *draft) { d.templates["many"].BizID = "x" }, "50 isp.295"},
		{"another owner", func(d *draft) { d.templates["many"].Merchant = 3 }, "50 isp.295"},
		{"a box without the card", func(d *draft) { d.activities["plain"].Box = &benefit.Box{Cards: []string{"beauty"}, DoneAfter: 1} }, "41 isv.invalid-parameter:card_type"},
		{"more a send", func(d *draft) { item(d).Quantity = 7 }, ""},
		{"paused", func(d *draft) { d.templates["many"].Status = benefit.Paused }, ""},
		{"frozen", func(d *draft) { d.users[2].Frozen = true }, "50 isp.225"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newActivityLab(t, nil)
			want := sent{Issued: "2", Failed: "0"}
			if got := l.send(sending("K", "many", object{"send_count": 2})); got != want {
				t.Fatalf("got %+v", got)
			}
			l.change(test.change)
			l.clock.Add(1000)
			if got := l.send(sending("K", "many", object{"send_count": 2})); got != want {
				t.Errorf("the bound key: %+v", got)
			}
			if got := l.send(sending("L", "many", object{"send_count": 2})); test.fresh != "" && got.Refusal != test.fresh {
				t.Errorf("a new key: %+v, want %s", got, test.fresh)
			}
			if got := l.send(sending("K", "many", object{"send_count": 3})); got.Code != "KEY_CONFLICT" {
				t.Errorf("the bound key with another count: %+v", got)
			}
		})
	}
}

// When nothing was decided retrying clients call again, and the text says whether this call may have issued.
func TestSendsWithoutAnOutcome(t *testing.T) {
	const notIssued, unknown = "本次调用未发放，此前的调用可能已发放", "结果未知"
	for _, test := range []struct {
		err  error
		want string
	}{
		{engine.ErrBusy, notIssued}, {engine.ErrStopping, notIssued}, {engine.ErrGaveUp, notIssued}, {engine.ErrInvalid, notIssued},
		{fmt.Errorf("%w: disk", engine.ErrNotIssued), notIssued},
		{engine.ErrUnknown, unknown},
		{context.DeadlineExceeded, unknown},
	} {
		l := newActivityLab(t, nil)
		l.broken = test.err
		c := sending("K", "many", object{"send_count": 2})
		reply := l.call(c)
		if got := l.read(c, reply); got.Refusal != "50 isp.E1000" {
			t.Errorf("%v: got %+v", test.err, got)
			continue
		}
		want := "权益发放失败，" + test.want + "，请用相同的unique_id重试，traceId：5e7541dc-89ec-4283-a943-e1f3b72fc975"
		if got := reply.Refusal.SubMsg; got != want {
			t.Errorf("%v: got %s, want %s", test.err, got, want)
		}
		if !strings.Contains(l.log.String(), `"level":"WARN"`) {
			t.Errorf("%v: no warning in %s", test.err, &l.log)
		}
	}
}

// A call that issues nothing is remembered with what it was answered, by the caller's trace id, ours and its key. What is
// wrong in it is not said to be its template.
func TestRefusalsOfCalls(t *testing.T) {
	refusals := gateway.NewRefusals()
	l := newActivityLab(t, nil).with(func(o *top.Options) { o.Refusals = refusals })
	issued := l.call(sending("K", "many", nil))
	if v, ok := gateway.VoucherOf(issued.RequestID); !ok || v != l.voucherUnder("K") {
		t.Errorf("the request_id %s leads to %d, want %d", issued.RequestID, v, l.voucherUnder("K"))
	}
	for _, test := range []struct {
		call          *labCall
		broken        error
		code, subCode string
		reason        benefit.Reason
		template      string
		attempted     bool
	}{
		{call: sending("K", "many", object{"send_count": 2}), code: "0", subCode: "KEY_CONFLICT", reason: benefit.KeyConflict, template: "many"},
		{call: sending("K2", "many", object{"purchaser_id": 7}), code: "41", subCode: "isv.invalid-parameter:purchaser_id"},
		{call: sending("K3", "many", object{"benefit_type": 7}), code: "41", subCode: "isv.invalid-parameter:benefit_type"},
		{call: sending("K4", "many", object{"send_count": 0}), code: "41", subCode: "isv.invalid-parameter:send_count"},
		{call: sending("K5", "many", object{"detail_id": 7}), code: "50", subCode: "isp.295", reason: benefit.TemplateNotFound, attempted: true},
		{call: sending("K6", "none", nil).as("dave"), code: "0", subCode: "STOCK_EMPTY", reason: benefit.StockEmpty, template: "none", attempted: true},
		{call: sending("K7", "many", nil).as("no-such-session"), code: "27", subCode: "invalid-sessionkey"},
		{call: sending("K8", "many", nil), broken: engine.ErrUnknown, code: "50", subCode: "isp.E1000", template: "many"},
	} {
		l.broken = test.broken
		reply := l.call(test.call)
		found := refusals.Find(func(c *gateway.Record) bool { return c.TraceID == reply.RequestID }, 9)
		if len(found) != 1 {
			t.Errorf("%s: %d are found by the request_id that was answered", test.subCode, len(found))
			continue
		}
		c := found[0]
		if c.Code != test.code || c.SubCode != test.subCode || c.Reason != test.reason || c.Template != test.template || !errors.Is(c.Err, test.broken) ||
			(c.Attempt != nil) != test.attempted || c.Method != activityMethod {
			t.Errorf("%s: remembered as %+v", test.subCode, c)
		}
		sent := test.call.body.(object)
		if session := test.code == "27"; !session && (c.Key != sent["unique_id"] || c.CallerTrace != sent["trace_id"]) {
			t.Errorf("%s: key %s, trace id %s", test.subCode, c.Key, c.CallerTrace)
		}
	}
}

// voucherUnder returns the first voucher under a key of plainRelation.
func (l *lab) voucherUnder(key string) id.ID {
	l.t.Helper()
	i, err := l.store.Claim(l.t.Context(), scope.Relation(1, plainRelation), key)
	if err != nil || i == nil {
		l.t.Fatalf("the claim of %s: %v, %v", key, i, err)
	}
	return i.FirstVoucher()
}

// A call that panics behind the hand-over may have issued.
func TestAPanicIsAnUnknownOutcome(t *testing.T) {
	l := newActivityLab(t, nil)
	l.crafted = func(*benefit.Request) benefit.Outcome { panic("of the test") }
	if got := l.send(sending("K", "many", nil)); got.Refusal != "50 isp.E1000" {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(l.log.String(), "a call panicked") {
		t.Error("nothing in the log")
	}
	l.crafted = nil
	if got := l.send(sending("K", "many", nil)); got.Issued != "1" {
		t.Errorf("the next one: %+v", got)
	}
}

// A caller that hears nothing in time hears that the outcome is unknown or certainly nothing, and its retry settles it.
func TestACallThatWaitsTooLong(t *testing.T) {
	l := newActivityLab(t, nil)
	hold := make(chan struct{})
	l.with(func(o *top.Options) {
		o.Deadline = 300 * time.Millisecond
		o.Issuer = issuerFunc(func(ctx context.Context, r *benefit.Request) (benefit.Outcome, error) {
			select {
			case <-ctx.Done():
				return benefit.Outcome{}, engine.ErrUnknown
			case <-hold:
				return l.issuer.Issue(ctx, r)
			}
		})
	})
	if got := l.send(sending("K", "many", nil)); got.Refusal != "50 isp.E1000" {
		t.Errorf("got %+v", got)
	}
	close(hold)
	l.with(func(*top.Options) {})
	if got := l.send(sending("K", "many", nil)); got.Issued != "1" {
		t.Errorf("the retry: %+v", got)
	}
}

type issuerFunc func(context.Context, *benefit.Request) (benefit.Outcome, error)

func (f issuerFunc) Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error) {
	return f(ctx, r)
}

// Many callers with one unique_id get one outcome.
func TestOneUniqueIDAtOnce(t *testing.T) {
	l := newActivityLab(t, nil)
	var group sync.WaitGroup
	answers := make([]string, 32)
	for k := range answers {
		group.Go(func() {
			c := sending("K", "three", object{"send_count": 2})
			text := l.post(c, wire.SimplifiedJSON)
			answers[k] = text[:strings.Index(text, `,"request_id"`)]
		})
	}
	group.Wait()
	for _, got := range answers {
		if got != answers[0] || !strings.Contains(got, `"success_count":2`) {
			t.Errorf("got %s and %s", answers[0], got)
		}
	}
	if n := l.issued(); n != 2 {
		t.Errorf("%d vouchers issued", n)
	}
}

// Many users at once never get more than there is, and the sends that are told are those that are stored.
func TestStockUnderLoad(t *testing.T) {
	l := newActivityLab(t, func(d *draft) {
		d.templates["three"].Stock.Count = 50
		d.activities["plain"].NoGuard = true
	})
	var group sync.WaitGroup
	var mu sync.Mutex
	told := 0
	for k := range 60 {
		group.Go(func() {
			c := sending(fmt.Sprint("K", k), "three", object{"send_count": 2}).as([]string{"carol", "dave"}[k%2])
			reply, err := wire.ReadReply([]byte(l.post(c, wire.JSON)), wire.JSON, c.method)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			var n int
			fmt.Sscan(l.read(c, reply).Issued, &n)
			told += n
		})
	}
	group.Wait()
	if n := l.issued(); told != 50 || n != 50 {
		t.Errorf("%d told, %d issued, 50 in stock", told, n)
	}
}

// The three shapes say the same.
func TestASendInAllShapes(t *testing.T) {
	for _, f := range []wire.Format{wire.XML, wire.JSON, wire.SimplifiedJSON} {
		l := newActivityLab(t, nil)
		c := sending("K", "one", object{"send_count": 3})
		form := c.paramsAt(f, l.now()).Form(labSecret)
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequest(http.MethodGet, top.Path+"/?"+form, nil))
		reply, err := wire.ReadReply(w.Body.Bytes(), f, activityMethod)
		if err != nil {
			t.Fatal(f, err)
		}
		results := reply.List("mobile_benefit_send_result_ext", "send_result", "results")
		if reply.Text("send_result", "is_success") != "true" || len(results) != 1 {
			t.Errorf("%v: %s", f, w.Body)
		}
	}
}
