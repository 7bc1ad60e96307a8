package top_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/form"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
)

// Each call is observed once, with its outcome and the reason of a refusal.
func TestOutcomes(t *testing.T) {
	var seen []gateway.Record
	l := newActivityLab(t, nil).with(func(o *top.Options) { o.Observe = func(r *gateway.Record) { seen = append(seen, *r) } })
	call := func(c *labCall) func() { return func() { l.call(c) } }
	broken := func(err error, c *labCall) func() {
		return func() {
			l.broken = err
			l.call(c)
			l.broken = nil
		}
	}
	for _, c := range []struct {
		name   string
		do     func()
		want   gateway.Outcome
		reason benefit.Reason
	}{
		{"issued", call(sending("K", "many", nil)), gateway.Issued, 0},
		{"again", call(sending("K", "many", nil)), gateway.Replayed, 0},
		{"no stock", call(sending("L", "none", nil).as("dave")), gateway.Refused, benefit.StockEmpty},
		{"within a second", call(sending("M", "many", nil)), gateway.Refused, benefit.Guarded},
		{"no send_count", call(sending("N", "many", object{"send_count": 0})), gateway.Invalid, 0},
		{"another's purchaser_id", call(sending("N", "many", object{"purchaser_id": 7})), gateway.Invalid, 0},
		{"no such session", call(sending("N", "many", nil).as("made up")), gateway.Unauthorized, 0},
		{"no session", call(sending("N", "many", nil).as("")), gateway.Unauthorized, 0},
		{"busy", broken(engine.ErrBusy, sending("O", "many", nil)), gateway.Busy, 0},
		{"unknown", broken(engine.ErrUnknown, sending("O", "many", nil)), gateway.Unknown, 0},
		{"panic", broken(nil, sending("O", "many", nil)), gateway.Unknown, 0},
		{"nothing to issue", call(&labCall{method: "taobao.time.get"}), gateway.Answered, 0},
		{"a wrong signature", func() { l.refusal(http.MethodPost, sellerCall("nick"), "another") }, gateway.Unauthorized, 0},
	} {
		seen = nil
		if c.name == "panic" {
			l.crafted = func(*benefit.Request) benefit.Outcome { panic("a defect") }
		}
		c.do()
		l.crafted = nil
		if len(seen) != 1 || seen[0].Outcome != c.want || seen[0].Reason != c.reason || seen[0].Took <= 0 {
			t.Errorf("%s: observed %+v", c.name, seen)
		}
	}
	items := []map[string]string{{"method": "taobao.time.get"}, {"method": "taobao.no.such"}}
	seen = nil
	l.batch(&wire.Call{AppKey: labKey, Format: wire.JSON, At: labNoon}, items)
	if len(seen) != 2 || seen[0].Outcome != gateway.Answered || seen[1].Outcome != gateway.Invalid {
		t.Errorf("a batch: observed %+v", seen)
	}
	seen = nil
	l.batch(&wire.Call{AppKey: "1", Format: wire.JSON, At: labNoon}, items)
	if len(seen) != 1 || seen[0].Outcome != gateway.Unauthorized {
		t.Errorf("a batch of nobody: observed %+v", seen)
	}
	for _, path := range []string{top.Path, top.BatchPath} {
		seen = nil
		l.do(httptest.NewRequest(http.MethodPost, path, iotest.ErrReader(form.ErrBusy)))
		if len(seen) != 1 || seen[0].Outcome != gateway.Busy {
			t.Errorf("%s, no memory for a body: observed %+v", path, seen)
		}
	}
}

// The other methods are observed like activity.send.
func TestOutcomesOfRights(t *testing.T) {
	var seen []gateway.Record
	l := newLab(t, nil).with(func(o *top.Options) { o.Observe = func(r *gateway.Record) { seen = append(seen, *r) } })
	for _, c := range []struct {
		name   string
		call   *labCall
		broken error
		finder top.Finder
		want   gateway.Outcome
		reason benefit.Reason
	}{
		{"a decision", decide("K", nil), nil, nil, gateway.Issued, 0},
		{"no scene", decide("L", object{"scene_code": "none"}), nil, nil, gateway.Refused, benefit.SceneNotFound},
		{"busy", decide("M", nil), engine.ErrBusy, nil, gateway.Busy, 0},
		{"unknown", decide("M", nil), engine.ErrUnknown, nil, gateway.Unknown, 0},
		{"a certificate", certificate(nil), nil, nil, gateway.Issued, 0},
		{"no template", certificate(object{"out_id": 1}), nil, nil, gateway.Refused, benefit.TemplateNotFound},
		{"no such channel", certificate(object{"channel": 99}), nil, nil, gateway.Invalid, 0},
		{"no certificate known", certificate(nil), engine.ErrUnknown, nil, gateway.Unknown, 0},
		{"a query", query(nil), nil, nil, gateway.Answered, 0},
		{"no store", query(nil), nil, brokenFinder{}, gateway.Busy, 0},
		{"page 0", query(object{"current_page": 0}), nil, nil, gateway.Invalid, 0},
	} {
		seen, l.broken, l.finder = nil, c.broken, c.finder
		l.call(c.call)
		if len(seen) != 1 || seen[0].Outcome != c.want || seen[0].Reason != c.reason {
			t.Errorf("%s: observed %+v", c.name, seen)
		}
	}
}

// A call over the rate of its app is one of its own, and so is a decision that chooses nothing.
func TestOutcomeOverTheRate(t *testing.T) {
	var seen []string
	l := newLab(t, func(d *draft) {
		d.apps[0].RatePerSecond = 1
		for _, a := range d.activities {
			a.Rule = "never"
		}
	}).with(func(o *top.Options) { o.Observe = func(r *gateway.Record) { seen = append(seen, r.Outcome.String()) } })
	l.call(decide("K", nil))
	l.call(decide("K", nil))
	if got := strings.Join(seen, " "); got != "nothing limited" {
		t.Errorf("observed %s", got)
	}
}
