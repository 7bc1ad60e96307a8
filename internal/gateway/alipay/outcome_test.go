package alipay_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"testing/iotest"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/form"
)

// Each call is observed once, with its outcome, the reason of a refusal, and how long it took.
func TestOutcomes(t *testing.T) {
	var seen []gateway.Record
	w := newWorld(t, func(o *alipay.Options) {
		o.Observe = func(r *gateway.Record) { seen = append(seen, *r) }
	})
	limited := func(key string) *caller { return offCall(offID, key).with("app_id", "2014072300000005") }
	for _, c := range []struct {
		name   string
		call   *caller
		broken error
		want   gateway.Outcome
		reason benefit.Reason
	}{
		{"issued", offCall(offID, "K"), nil, gateway.Issued, 0},
		{"again", offCall(offID, "K"), nil, gateway.Replayed, 0},
		{"no stock", offCall("NO-STOCK", "K"), nil, gateway.Refused, benefit.StockEmpty},
		{"no template", offCall("nothing", "K"), nil, gateway.Refused, benefit.TemplateNotFound},
		{"another's template", offCall("OTHERS", "K"), nil, gateway.Refused, benefit.TemplateNotFound},
		{"a wrong amount", send(`{"template_id":"` + cashID + `","user_id":"` + aliceID + `","out_biz_no":"L","amount":999}`), nil,
			gateway.Refused, benefit.AmountOutOfRange},
		{"no key", offCall(offID, ""), nil, gateway.Invalid, 0},
		{"no JSON", send("{"), nil, gateway.Invalid, 0},
		{"no method", goodCall().with("method", "alipay.no.such"), nil, gateway.Unauthorized, 0},
		{"no app", goodCall().with("app_id", "1"), nil, gateway.Unauthorized, 0},
		{"disabled", goodCall().with("app_id", "2014072300000002"), nil, gateway.Unauthorized, 0},
		{"not granted", goodCall().with("app_id", "2014072300000004"), nil, gateway.Unauthorized, 0},
		{"no such token", goodCall().with("app_auth_token", "nobody's"), nil, gateway.Unauthorized, 0},
		{"within the rate", limited("M"), nil, gateway.Issued, 0},
		{"over the rate", limited("N"), nil, gateway.Limited, 0},
		{"busy", offCall(offID, "O"), engine.ErrBusy, gateway.Busy, 0},
		{"not committed", offCall(offID, "O"), engine.ErrNotIssued, gateway.Busy, 0},
		{"given up", offCall(offID, "O"), engine.ErrGaveUp, gateway.Busy, 0},
		{"unknown", offCall(offID, "O"), engine.ErrUnknown, gateway.Unknown, 0},
	} {
		w.broken, seen = c.broken, nil
		w.call(t, c.call)
		if len(seen) != 1 || seen[0].Outcome != c.want || seen[0].Reason != c.reason || seen[0].Took <= 0 {
			t.Errorf("%s: observed %+v", c.name, seen)
		}
	}
	seen = nil
	w.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", alipay.Path, iotest.ErrReader(form.ErrBusy)))
	if len(seen) != 1 || seen[0].Outcome != gateway.Busy {
		t.Errorf("no memory for a body: observed %+v", seen)
	}
}

// disabledMeanwhile is an issuer to which the app is disabled, though the gateway has admitted the call.
type disabledMeanwhile struct{}

func (disabledMeanwhile) Issue(context.Context, *benefit.Request) (benefit.Outcome, error) {
	return benefit.Outcome{Reason: benefit.AppDisabled}, nil
}

// A call that waits while its app is disabled is answered as one that comes later.
func TestAppDisabledMeanwhile(t *testing.T) {
	w := newWorld(t, func(o *alipay.Options) { o.Issuer = disabledMeanwhile{} })
	want := first(newWorld(t, nil).call(t, goodCall().with("app_id", "2014072300000002")))
	got := first(w.call(t, goodCall()))
	if got.Code != want.Code || got.SubCode != want.SubCode || got.SubMsg != want.SubMsg {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
