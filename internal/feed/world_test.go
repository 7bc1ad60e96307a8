package feed_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/feed"
	"faquan/internal/gateway/scope"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

var noon = benefit.InstantOf(time.Date(2026, 11, 22, 12, 0, 0, 0, benefit.Shanghai))

var alice = benefit.Identifier{Type: benefit.AlipayID, Value: "2088302001456115"}

// world is an engine on a plain store, and a reader of its feed.
type world struct {
	t      *testing.T
	store  *memory.Store
	engine *engine.Engine
	reader *feed.Reader
	now    benefit.Instant
	keys   int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: memory.New(), now: noon}
	var err error
	w.engine, err = engine.New(t.Context(), engine.Options{
		Store: w.store, Clock: func() benefit.Instant { return w.now }, Rand: rand.New(rand.NewPCG(1, 2)), DrawSecret: []byte("secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.reader = feed.NewReader(w.store, w.engine.Catalogue)
	w.apply(
		&benefit.Merchant{ID: 1, Name: "acme", Open: true}, &benefit.Merchant{ID: 2, Name: "others", Open: true},
		&benefit.App{ID: 1, Name: "shop", Merchant: 1},
		&benefit.Activity{ID: 1, Name: "spring", Merchant: 1, Status: benefit.Active},
		w.template(1, "cash"), w.template(2, "code"), w.template(3, "theirs"),
	)
	return w
}

// template returns one of the templates of the tests, which may be changed before it is applied.
func (w *world) template(id benefit.TemplateID, name string) *benefit.Template {
	t := &benefit.Template{
		ID: id, Name: name, Merchant: 1, Status: benefit.Active, Stock: benefit.UnlimitedStock(), Valid: benefit.Validity{ForMillis: 86_400_000},
	}
	switch id {
	case 1:
		t.Kind, t.Amount, t.Stock.Amount = benefit.Cash, benefit.AmountRule{From: benefit.FromRequest, Min: 100, Max: 10_000}, 12_000
	case 2:
		t.Kind, t.Code, t.Stock.Count = benefit.Certificate, benefit.CodeRule{Digits: 12}, 3
	default:
		t.Kind, t.Merchant, t.GrantedTo = benefit.Exchange, 2, []benefit.AppID{1}
	}
	return t
}

// step carries out what waits.
func (w *world) step() {
	w.t.Helper()
	if _, err := w.engine.Step(); err != nil {
		w.t.Fatal(err)
	}
}

// apply makes the next version of the catalogue.
func (w *world) apply(entities ...any) {
	w.t.Helper()
	pending, err := w.engine.SubmitChange(w.t.Context(), func(
		context.Context, store.Reader, *benefit.Catalogue, benefit.Env,
	) (*benefit.Changes, error) {
		c := &benefit.Changes{Catalogue: w.engine.Catalogue().Version + 1}
		for _, one := range entities {
			e, err := benefit.EntityOf(one)
			if err != nil {
				return nil, err
			}
			c.Rows = append(c.Rows, benefit.Entities.Rows(e))
		}
		return c, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.step()
	if err, ok := pending.Result(); err != nil || !ok {
		w.t.Fatal(err, ok)
	}
}

// line asks for vouchers of a template.
func line(t benefit.TemplateID, sends int, amount money.Fen) benefit.Line {
	return benefit.Line{Template: t, Activity: 1, Sends: sends, Quantity: 1, Amount: amount, HasAmount: amount != 0}
}

// submit asks for an issue without carrying it out.
func (w *world) submit(lines ...benefit.Line) *benefit.Issue {
	w.t.Helper()
	w.keys++
	r := &benefit.Request{Scope: scope.Relation(1, 1), Key: fmt.Sprint("issue-", w.keys), App: 1, Recipient: alice, Lines: lines}
	r.Fingerprint = benefit.FingerprintOf(r.Lines)
	c := &benefit.Issue{Request: r}
	if _, err := w.engine.Submit(c); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// issue issues vouchers and returns them.
func (w *world) issue(lines ...benefit.Line) []benefit.Voucher {
	w.t.Helper()
	c := w.submit(lines...)
	w.step()
	if c.Outcome.Reason != benefit.NotRefused || c.Outcome.Issuance == nil {
		w.t.Fatal(c.Outcome.Reason)
	}
	return c.Outcome.Issuance.Vouchers()
}

// do carries out an operation on a voucher.
func (w *world) do(v benefit.Voucher, action benefit.Action) *benefit.Transition {
	w.t.Helper()
	w.keys++
	c := &benefit.OnVoucher{Action: action, App: 1, Key: fmt.Sprint("key-", w.keys), Voucher: v.ID}
	if _, ok := action.(*benefit.Reverse); ok {
		c.Voucher = 0
	}
	if _, ok := action.(*benefit.Expire); ok {
		c.App = 0 // an operator
	}
	if _, err := w.engine.Submit(c); err != nil {
		w.t.Fatal(err)
	}
	w.step()
	if c.Outcome.Reason != benefit.NotRefused {
		w.t.Fatal(c.Outcome.Reason)
	}
	return &c.Outcome.Transition
}

// start is the position before all.
func (w *world) start() feed.Position {
	w.t.Helper()
	p, err := w.reader.From(w.t.Context(), "start", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// all reads everything from a position on, in pages.
func (w *world) all(from feed.Position, f *feed.Filter, limit int) (all []*feed.Event, end feed.Position) {
	w.t.Helper()
	for more := true; more; {
		page, err := w.reader.Page(w.t.Context(), from, f, limit)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page.Events) > limit || page.More && page.Next == from {
			w.t.Fatalf("%d events of %d, from %s to %s", len(page.Events), limit, from, page.Next)
		}
		all, from, more = append(all, page.Events...), page.Next, page.More
	}
	return all, from
}
