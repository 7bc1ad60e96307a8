package control

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/rule"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// deskWorld returns a desk on a store in memory with one app, one certificate and one voucher in a scene.
func deskWorld(t *testing.T) *Service {
	t.Helper()
	st := memory.New()
	issuer, err := engine.New(t.Context(), engine.Options{
		Store: st, Rules: rule.New(), Clock: func() benefit.Instant { return benefit.InstantOf(time.Now()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- issuer.Run() }()
	t.Cleanup(func() {
		issuer.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	d := &Service{Store: st, Engine: issuer}
	changes := &benefit.Changes{Catalogue: 1}
	for _, v := range []any{
		&benefit.Merchant{ID: 1, Name: "acme", Open: true},
		&benefit.App{ID: 1, Name: "shop", Merchant: 1},
		&benefit.Template{
			ID: 1, Name: "coupon", Merchant: 1, TemplateID: "C", Kind: benefit.Exchange, Valid: benefit.Validity{ForMillis: 1000},
			Stock: benefit.Stock{Count: 2, Amount: benefit.Unlimited, CountPerDay: benefit.Unlimited, AmountPerDay: benefit.Unlimited}, Status: benefit.Active,
		},
		&benefit.Template{
			ID: 2, Name: "gift", Merchant: 1, OutID: 9, Kind: benefit.Certificate, Code: benefit.CodeRule{Digits: 12},
			Valid: benefit.Validity{ForMillis: 1000}, Stock: benefit.UnlimitedStock(), Status: benefit.Active,
		},
		&benefit.Activity{ID: 1, Name: "spring", Merchant: 1, ActCode: "a", Status: benefit.Active, Items: []benefit.Item{{Template: 1, MaxSends: 1, Quantity: 1}}},
		&benefit.Scene{ID: 1, Name: "popup", Merchant: 1, SceneCode: "S", Strategy: benefit.ChooseAll, Status: benefit.Active, Activities: []benefit.SceneEntry{{Activity: 1}}},
	} {
		e, err := benefit.EntityOf(v)
		if err != nil {
			t.Fatal(err)
		}
		changes.Rows = append(changes.Rows, benefit.Entities.Rows(e))
	}
	if err := d.change(t.Context(), "test", func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return changes, nil
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *Service) mustIssue(t *testing.T, r *benefit.Request) benefit.Outcome {
	t.Helper()
	r.App = 1
	r.Recipient = benefit.Identifier{Type: benefit.AlipayID, Value: "2088302001456115"}
	o, err := d.Engine.Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func question(key string) *Question {
	return &Question{App: "shop", Scope: ScopeName{App: "shop", BizCode: "B"}, Request: benefit.Request{
		Key: key, Continues: true, Recipient: benefit.Identifier{Type: benefit.AlipayID, Value: "2088302001456115"},
		Params: benefit.Params{SceneCode: "S"}, Fingerprint: benefit.FingerprintOf(nil, "S"),
	}}
}

// A question changes nothing: the same one is answered the same, and the stock is still there.
func TestDecideIssuesNothing(t *testing.T) {
	d := deskWorld(t)
	for n := range 5 { // more than the stock
		decision, err := d.Decide(t.Context(), question("k"))
		if err != nil {
			t.Fatal(err)
		}
		if decision.Outcome != Issues || len(decision.Candidates) != 1 || !decision.Candidates[0].Chosen || decision.Lines[0].Seen.Count != 0 {
			t.Fatalf("question %d: %+v", n, decision)
		}
		if len(decision.Vouchers) > 0 || decision.Issuance != "" {
			t.Errorf("it shows vouchers that do not exist: %+v", decision)
		}
	}
	if _, err := d.Find(t.Context(), &Search{Key: "k", Scope: ScopeName{App: "shop", BizCode: "B"}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("the key of a question is bound: %v", err)
	}
}

// A disabled app is refused, and the reason is not taken for a conflict.
func TestDecideDisabledApp(t *testing.T) {
	d := deskWorld(t)
	app := *d.Engine.Catalogue().Apps[1]
	app.Disabled = true
	e, err := benefit.EntityOf(&app)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.change(t.Context(), "test", func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return &benefit.Changes{Catalogue: 2, Rows: benefit.RowsOf(benefit.Entities.Rows(e))}, nil
	}); err != nil {
		t.Fatal(err)
	}
	decision, err := d.Decide(t.Context(), question("k"))
	if err != nil || decision.Outcome != Refused || decision.Reason != "APP_DISABLED" || decision.Remark != "" {
		t.Errorf("%+v, %v", decision, err)
	}
}

// The identifier and the code are masked, in what a command shows and in its JSON, unless they are asked for.
func TestFindMasks(t *testing.T) {
	d := deskWorld(t)
	o := d.mustIssue(t, &benefit.Request{
		Scope: scope.Certificate(1), Key: "k", Fingerprint: benefit.FingerprintOf(nil), Note: benefit.Note{TraceID: "t"},
		Lines: []benefit.Line{{Template: 2, Sends: 1, Quantity: 1}},
	})
	code := o.Issuance.Vouchers()[0].Code
	for _, unmasked := range []bool{false, true} {
		found, err := d.Find(t.Context(), &Search{Trace: "t", Unmasked: unmasked})
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		shown := found[0].Vouchers[0].Code
		if (shown == code) != unmasked || !strings.HasSuffix(shown, code[8:]) {
			t.Errorf("unmasked %v: the code %s is shown as %s", unmasked, code, shown)
		}
		if strings.Contains(found[0].Recipient, "2088302001456115") != unmasked {
			t.Errorf("unmasked %v: the recipient is shown as %s", unmasked, found[0].Recipient)
		}
	}
}

// A voucher that was asked for and not issued is not found, though an id was kept for it.
func TestFindOnlyWhatWasIssued(t *testing.T) {
	d := deskWorld(t)
	o := d.mustIssue(t, &benefit.Request{
		Scope: scope.Template(1), Key: "k", Fingerprint: benefit.FingerprintOf(nil), Lines: []benefit.Line{{Template: 1, Sends: 3, Quantity: 1}},
	})
	for n, want := range []error{nil, nil, ErrNotFound} {
		_, err := d.Find(t.Context(), &Search{Voucher: strconv.Itoa(int(o.Issuance.ID) + n)})
		if !errors.Is(err, want) {
			t.Errorf("voucher %d: %v, want %v", n, err, want)
		}
	}
}

// inMemory finds refusals in memory.
type inMemory struct{ *gateway.Refusals }

func (m inMemory) Find(match func(*gateway.Record) bool, limit int) ([]gateway.Record, error) {
	return m.Refusals.Find(match, limit), nil
}

// A refusal is shown with its answer and its reason, and is found by each id that the caller knows.
func TestFindRefusals(t *testing.T) {
	d := deskWorld(t)
	recent := gateway.NewRefusals()
	d.Refusals = inMemory{recent}
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, benefit.Shanghai)
	ask := func(key string, sends int) *benefit.Request {
		return &benefit.Request{
			Scope: scope.Template(1), Key: key, Fingerprint: benefit.FingerprintOf(nil, strconv.Itoa(sends)), Note: benefit.Note{TraceID: "theirs-" + key},
			Lines: []benefit.Line{{Template: 1, Sends: sends, Quantity: 1}},
		}
	}
	// note remembers a call as a gateway does.
	note := func(r *benefit.Request, c gateway.Record) {
		c.Protocol, c.Method, c.App, c.Template, c.At = "alipay", "m", 1, "coupon", at
		if r != nil {
			o := d.mustIssue(t, r)
			c.Request, c.Attempt, c.Reason, c.Key, c.CallerTrace = r, o.Attempt, o.Reason, r.Key, r.Note.TraceID
		}
		recent.Note(&c, at)
	}
	d.mustIssue(t, ask("bound", 2))
	note(ask("empty", 1), gateway.Record{TraceID: "ours-1", Code: "40004", SubCode: "STOCK_NOT_ENOUGH", Message: "模板库存不足"})
	note(ask("bound", 1), gateway.Record{TraceID: "ours-2", Code: "40004", SubCode: "OUT_BIZ_NO_CONFLICT"})
	note(nil, gateway.Record{TraceID: "ours-3", Key: "wrong", Code: "40", SubCode: "isv.invalid-parameter:purchaser_id"})
	note(nil, gateway.Record{TraceID: "ours-4", Key: "busy", Code: "50", SubCode: "isp.E1000", Err: engine.ErrUnknown})

	for name, test := range map[string]struct {
		search Search
		want   []string // key, outcome, reason, code and sub_code of each
	}{
		"all": {Search{}, []string{"busy UNDECIDED  50 isp.E1000", "wrong REFUSED  40 isv.invalid-parameter:purchaser_id",
			"bound REFUSED KEY_CONFLICT 40004 OUT_BIZ_NO_CONFLICT", "empty REFUSED STOCK_EMPTY 40004 STOCK_NOT_ENOUGH"}},
		"by what was answered": {Search{Trace: "ours-3"}, []string{"wrong REFUSED  40 isv.invalid-parameter:purchaser_id"}},
		"by what was sent":     {Search{Trace: "theirs-bound"}, []string{"bound REFUSED KEY_CONFLICT 40004 OUT_BIZ_NO_CONFLICT"}},
		"by key":               {Search{Key: "wrong"}, []string{"wrong REFUSED  40 isv.invalid-parameter:purchaser_id"}},
		"by key and scope":     {Search{Key: "empty", Scope: ScopeName{Template: "C"}}, []string{"empty REFUSED STOCK_EMPTY 40004 STOCK_NOT_ENOUGH"}},
		"of a scope":           {Search{Scope: ScopeName{Template: "coupon"}}, []string{"bound REFUSED KEY_CONFLICT 40004 OUT_BIZ_NO_CONFLICT", "empty REFUSED STOCK_EMPTY 40004 STOCK_NOT_ENOUGH"}},
		"of another scope":     {Search{Scope: ScopeName{Template: "gift"}}, nil},
		"at most one":          {Search{Limit: 1}, []string{"busy UNDECIDED  50 isp.E1000"}},
	} {
		test.search.Refusals = true
		found, err := d.Find(t.Context(), &test.search)
		if (len(test.want) == 0) != errors.Is(err, ErrNotFound) || err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, decision := range found {
			got = append(got, strings.Join([]string{decision.Key, decision.Outcome, decision.Reason, decision.Answer.Code, decision.Answer.SubCode}, " "))
			if decision.App != "shop" || decision.At != "2026-11-22 12:00:00" {
				t.Errorf("%s: told as %+v", name, decision)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	found, err := d.Find(t.Context(), &Search{Refusals: true, Key: "empty"})
	if err != nil || found[0].Lines[0].Seen.Count != 2 || found[0].Catalogue != 1 {
		t.Errorf("what it looked at: %+v, %v", found, err)
	}
}

// The scope of a key is named as the flags that find it name it.
func TestScopeNames(t *testing.T) {
	cat := deskWorld(t).Engine.Catalogue()
	for name, want := range map[benefit.Scope]ScopeName{
		scope.Template(1):        {Template: "coupon"},
		scope.Relation(1, 1<<62): {App: "shop", Relation: 1 << 62},
		scope.Biz(1, "a/b\n"):    {App: "shop", BizCode: "a/b\n"},
	} {
		got := formatter{cat: cat}.scope(name)
		if got != want {
			t.Errorf("%s: %+v", name, got)
		}
		if back, err := got.of(cat); back != name || err != nil {
			t.Errorf("%s is found as %s, %v", name, back, err)
		}
	}
	if got := (formatter{cat: cat}).scope(scope.Certificate(1)); got != (ScopeName{App: "shop"}) {
		t.Errorf("of a certificate: %+v", got)
	}
}

// A trace id that we answered leads to what was issued, which has no trace id of the caller.
func TestFindAnsweredTrace(t *testing.T) {
	d := deskWorld(t)
	o := d.mustIssue(t, &benefit.Request{
		Scope: scope.Template(1), Key: "k", Fingerprint: benefit.FingerprintOf(nil), Lines: []benefit.Line{{Template: 1, Sends: 1, Quantity: 1}},
	})
	c := gateway.Record{TraceID: gateway.NewTraceID()}
	if found, err := d.Find(t.Context(), &Search{Trace: c.TraceID}); !errors.Is(err, ErrNotFound) {
		t.Errorf("before it was issued: %v, %v", found, err)
	}
	c.Issued(o.Issuance.FirstVoucher(), false)
	found, err := d.Find(t.Context(), &Search{Trace: c.TraceID})
	if err != nil || len(found) != 1 || found[0].Key != "k" {
		t.Errorf("%v, %v", found, err)
	}
}

// A question about a key that is bound is answered by what was decided then, and one that means something else by
// nothing of it.
func TestDecideBoundKey(t *testing.T) {
	d := deskWorld(t)
	q := question("k")
	r := q.Request
	r.Scope = scope.Biz(1, "B")
	o := d.mustIssue(t, &r)
	decision, err := d.Decide(t.Context(), question("k"))
	if err != nil || !decision.Replayed || len(decision.Vouchers) != 1 || decision.Vouchers[0].ID != strconv.Itoa(int(o.Issuance.ID)) || decision.Lines[0].Seen.Count != 0 {
		t.Errorf("bound: %+v, %v", decision, err)
	}
	other := question("k")
	other.Request.Fingerprint = benefit.FingerprintOf(nil, "another")
	decision, err = d.Decide(t.Context(), other)
	if err != nil || decision.Reason != "KEY_CONFLICT" || len(decision.Vouchers) > 0 || len(decision.Candidates) > 0 || decision.Remark == "" {
		t.Errorf("conflict: %+v, %v", decision, err)
	}
}

// Of a long trace id the first 256 characters are kept, so it is found by these, and by the whole.
func TestFindLongTrace(t *testing.T) {
	d := deskWorld(t)
	trace := strings.Repeat("线", 300)
	d.mustIssue(t, &benefit.Request{
		Scope: scope.Template(1), Key: "k", Fingerprint: benefit.FingerprintOf(nil), Note: benefit.Note{TraceID: string([]rune(trace)[:256])},
		Lines: []benefit.Line{{Template: 1, Sends: 1, Quantity: 1}},
	})
	if found, err := d.Find(t.Context(), &Search{Trace: trace}); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
}
