package benefit_test

import (
	"fmt"
	"strings"
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/store"
)

// steps returns the steps of the last commit, a line for each.
func (d *desk) steps() (all []string) {
	d.t.Helper()
	ctx := d.t.Context()
	end, err := d.store.FeedEnd(ctx)
	if err != nil || end.Seq == 0 {
		d.t.Fatalf("the end of the feed: %v, %v", end, err)
	}
	commits, err := d.store.Commits(ctx, store.Place{Seq: end.Seq, Check: end.Check}, 1)
	if err != nil || len(commits) != 1 {
		d.t.Fatalf("the last commit: %d, %v", len(commits), err)
	}
	for _, s := range commits[0].Steps {
		var parts []string
		if s.Issuance != nil {
			parts = append(parts, fmt.Sprintf("%s: lines %v, %d vouchers", s.Issuance.Key, s.Lines, len(s.Vouchers())))
		}
		if s.Operation != nil {
			parts = append(parts, fmt.Sprint(s.Operation.Key, ": ", s.Operation.Kind))
		}
		for _, e := range s.Templates {
			parts = append(parts, fmt.Sprintf("%v of %d at %d/%d vouchers, %d/%d fen", e.Type, e.Template, e.Count, e.Stock.Count, e.Amount, e.Stock.Amount))
		}
		all = append(all, strings.Join(parts, "; "))
	}
	return all
}

func (d *desk) wantSteps(when string, want ...string) {
	d.t.Helper()
	if got := d.steps(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		d.t.Errorf("%s: the steps are\n%s\nwant\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The steps of a commit are in the order in which its commands were decided, and have what became of templates.
func TestSteps(t *testing.T) {
	d := newDesk(t, template(1, func(t *Template) { t.Stock.Count = 2 }), template(2), template(3, cash(FromRequest, 100, 500), func(t *Template) {
		t.Stock.Amount = 570
	}))
	d.batch(request("a", "1", 1), request("refused", "1", 9), request("b", "2", 1, lines(
		Line{Template: 1, Sends: 2, Quantity: 1}, Line{Template: 2, Sends: 1, Quantity: 2}, Line{Template: 1, Sends: 1, Quantity: 1}), continues))
	d.wantSteps("sold out",
		"a: lines [0], 1 vouchers",
		"b: lines [0 1], 3 vouchers; template.sold_out of 1 at 2/2 vouchers, 1000/-1 fen")
	first := d.ask(request("a", "1", 1)).Issuance.FirstVoucher()
	void := func(key string, stock bool) *OnVoucher {
		return &OnVoucher{Action: &Void{ReturnStock: stock}, Key: key, Voucher: first}
	}
	again := &Issue{Request: request("b", "2", 1, lines(
		Line{Template: 1, Sends: 2, Quantity: 1}, Line{Template: 2, Sends: 1, Quantity: 2}, Line{Template: 1, Sends: 1, Quantity: 1}), continues)}
	d.do(void("v", true), again)
	d.wantSteps("the last one changes hands in one batch",
		"v: void; template.restocked of 1 at 1/2 vouchers, 500/-1 fen",
		"b: lines [2], 1 vouchers; template.sold_out of 1 at 2/2 vouchers, 1000/-1 fen")
	sized := func(amount int64) func(*Request) {
		return func(r *Request) { r.Lines[0].Amount, r.Lines[0].HasAmount = fen(amount), true }
	}
	d.ask(request("c", "3", 3, sized(450)))
	d.wantSteps("the smallest still fits", "c: lines [0], 1 vouchers")
	d.ask(request("d", "3", 3, sized(100)))
	d.wantSteps("the budget is used up", "d: lines [0], 1 vouchers; template.sold_out of 3 at 2/-1 vouchers, 550/570 fen")
}

// A change of a template yields the events of what changed.
func TestChangeEvents(t *testing.T) {
	with := func(changes ...func(*Template)) *Template { return template(1, changes...) }
	status := func(s Status) func(*Template) { return func(t *Template) { t.Status = s } }
	stock := func(count int64) func(*Template) { return func(t *Template) { t.Stock.Count = Cap(count) } }
	title := func(t *Template) { t.Title = "other" }
	for _, c := range []struct {
		name          string
		before, after *Template
		want          string
	}{
		{"new", nil, with(), "template.created"},
		{"new without stock", nil, with(stock(0)), "template.created"},
		{"nothing", with(), with(), ""},
		{"opened", with(status(Draft)), with(), "template.changed"},
		{"paused", with(), with(status(Paused)), "template.paused"},
		{"resumed", with(status(Paused)), with(), "template.resumed"},
		{"ended", with(status(Paused)), with(status(Ended)), "template.ended"},
		{"title", with(), with(title), "template.changed"},
		{"title and pause", with(), with(title, status(Paused)), "template.changed template.paused"},
		{"more stock", with(stock(5)), with(stock(6)), "template.changed template.restocked"},
		{"more stock, not enough", with(stock(3)), with(stock(5)), "template.changed"},
		{"less stock", with(stock(9)), with(stock(5)), "template.changed template.sold_out"},
	} {
		var got []string
		for _, e := range c.after.ChangeEvents(c.before, 7, TemplateCount{Template: 1, Count: 5, Amount: 50}) {
			got = append(got, e.Type.String())
			if e.Template != 1 || e.Catalogue != 7 || e.Count != 5 || e.Amount != 50 || e.Stock.Count != c.after.Stock.Count {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
