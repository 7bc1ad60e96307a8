package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/feed"
	"faquan/internal/id"
	"faquan/internal/store"
)

// story has something of everything that makes events.
func (w *world) story() {
	w.now += 1000
	cash := w.issue(line(1, 1, 5000))[0]
	code := w.issue(line(2, 1, 0), line(3, 2, 0))
	w.now += 1000
	redemption := w.do(cash, &benefit.Redeem{Order: "o-1", Shop: "杭州店", OrderAmount: 8000, HasOrderAmount: true, Amount: 2000, HasAmount: true})
	w.do(cash, &benefit.Redeem{})
	w.do(cash, &benefit.Reverse{Redemption: redemption.OperationID, Amount: 500, HasAmount: true})
	w.issue(line(1, 1, 6950)) // leaves less than the smallest amount
	w.do(code[0], &benefit.Redeem{Order: "o-2"})
	w.do(code[0], &benefit.Reverse{Redemption: benefit.OperationID{Voucher: code[0].ID, Number: 1}})
	w.now += 1000
	second := w.submit(line(2, 1, 0))
	w.submit(line(3, 1, 0))
	w.submit(line(2, 2, 0)) // of which one is left
	w.step()
	w.do(second.Outcome.Issuance.Vouchers()[0], &benefit.Void{ReturnStock: true, Memo: "客户退款"})
	w.do(code[1], &benefit.Void{})
	w.do(code[2], &benefit.Expire{})
	w.do(code[2], &benefit.Extend{End: noon + 10*86_400_000})
	paused := w.template(2, "code")
	paused.Status = benefit.Paused
	w.apply(paused)
	w.apply(w.template(2, "code"))
	changed := w.template(2, "code")
	changed.Stock.Count, changed.Title = 2, "new"
	w.apply(changed, w.template(4, "draft"))
	ended := w.template(1, "cash")
	ended.Status, ended.Stock.Amount = benefit.Ended, benefit.Unlimited
	w.apply(ended)
	w.apply(&benefit.Subscription{ID: 1, Name: "ends", Merchant: 1, Types: []benefit.EventPattern{"voucher.*"}, Status: benefit.Active})
	w.expire(cash)
}

// expire lets the end of a voucher pass.
func (w *world) expire(v benefit.Voucher) {
	w.now += 2 * 86_400_000
	from, ok, err := store.Get(w.t.Context(), w.store, benefit.ExpiryCursors, benefit.ExpiryKey{Template: v.Template, Version: 1})
	if err != nil || !ok {
		w.t.Fatal(ok, err)
	}
	to := from
	to.ID = v.Issuance
	c := &benefit.Expiry{From: from, To: to, Ends: []benefit.VoucherEnd{{Voucher: v.ID, End: v.End()}}, Until: w.now - benefit.ExpiryDelay}
	if _, err := w.engine.Submit(c); err != nil {
		w.t.Fatal(err)
	}
	w.step()
	if len(c.Expired) != 1 {
		w.t.Fatal(c.Moved, c.Expired)
	}
}

// text returns an event as a line of JSON.
func text(t *testing.T, e *feed.Event) string {
	t.Helper()
	line, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

// Every type of event, with its id and everything that it has. The ids of the tests are drawn from a seed.
func TestStory(t *testing.T) {
	w := newWorld(t)
	w.story()
	all, _ := w.all(w.start(), &feed.Filter{}, 1000)
	var got strings.Builder
	ids := map[string]bool{}
	seen := map[string]bool{}
	for _, e := range all {
		got.WriteString(text(t, e) + "\n")
		if ids[e.ID] {
			t.Errorf("two events have the id %s", e.ID)
		}
		ids[e.ID], seen[e.Type] = true, true
	}
	const file = "testdata/story.jsonl"
	if os.Getenv("FAQUAN_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got.String() != string(want) {
		t.Errorf("FAQUAN_UPDATE=1 writes %s; %v\n%s", file, err, got.String())
	}
	for _, kind := range benefit.EventTypes() {
		if !seen[kind.String()] {
			t.Errorf("the story has no %s", kind)
		}
	}
	for e := range w.codes(t) {
		if strings.Contains(got.String(), e) || strings.Contains(got.String(), alice.Value) {
			t.Errorf("the events have the code %s, or an identifier", e)
		}
	}
}

// codes returns all codes of certificates.
func (w *world) codes(t *testing.T) map[string]bool {
	r, err := w.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	codes := map[string]bool{}
	for i, err := range r.AllIssuances(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range i.Vouchers() {
			if v.Code != "" {
				codes[v.Code] = true
			}
		}
	}
	if len(codes) == 0 {
		t.Fatal("there are no codes")
	}
	return codes
}

// Whatever the size of the pages and the filter, the events are the same, and from the position of any event the rest follows.
func TestPaging(t *testing.T) {
	w := newWorld(t)
	w.story()
	for _, f := range []feed.Filter{
		{}, {Merchant: 1}, {Merchant: 3}, {Types: []benefit.EventPattern{"template.*", "voucher.redeemed"}},
		{Templates: []benefit.TemplateID{2, 3}, Types: []benefit.EventPattern{"voucher.*"}},
	} {
		whole, end := w.all(w.start(), &f, 1000)
		for limit := 1; limit < 8; limit++ {
			got, at := w.all(w.start(), &f, limit)
			if len(got) != len(whole) || at != end {
				t.Fatalf("%+v, %d at once: %d events to %s, want %d to %s", f, limit, len(got), at, len(whole), end)
			}
			for k := range got {
				if text(t, got[k]) != text(t, whole[k]) {
					t.Fatalf("%+v, %d at once: %s, want %s", f, limit, text(t, got[k]), text(t, whole[k]))
				}
			}
		}
		for k, e := range whole {
			from, err := feed.ParsePosition(e.Position)
			if err != nil {
				t.Fatal(err)
			}
			rest, _ := w.all(from, &f, 1+k%3)
			if !slices.EqualFunc(rest, whole[k+1:], func(a, b *feed.Event) bool { return text(t, a) == text(t, b) }) {
				t.Fatalf("%+v: behind %s there are %d events, want %d", f, e.Position, len(rest), len(whole)-k-1)
			}
		}
	}
	matching, _ := w.all(w.start(), &feed.Filter{Merchant: 1, Types: []benefit.EventPattern{"voucher.issued"}}, 1000)
	if len(matching) != 5 { // and three of the other merchant
		t.Errorf("%d issues", len(matching))
	}
}

func TestPositions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		p := feed.Position{Place: store.Place{Seq: r.Int64() >> r.IntN(63), Check: [4]byte{byte(r.Uint32()), byte(r.Uint32())}}, Events: r.IntN(3)}
		if p.Seq == 0 {
			p.Events = 0
		}
		if got, err := feed.ParsePosition(p.String()); err != nil || got != p {
			t.Fatalf("%s: %v, %v", p, got, err)
		}
	}
	for _, text := range []string{
		"", "-", "1", "1-", "-01020304", "1-0102030", "1-010203040", "1-0102030g", "1-0102030A", "01-01020304", "+1-01020304", "-1-01020304",
		"1.0-01020304", "1.-01020304", "1.01-01020304", "0.1-01020304", "1.2.3-01020304", " 1-01020304", "1-01020304\n", "9223372036854775808-01020304",
		"1.9223372036854775808-01020304", "end", "1-01020304-1", "1.-1-01020304",
	} {
		if p, err := feed.ParsePosition(text); err == nil {
			t.Errorf("%q is %+v", text, p)
		}
	}
}

// parts is a feed of which commits are gone.
type parts struct {
	feed.Source
	gone int64 // the last commit that is gone
	read int   // commits
}

func (p *parts) Commits(ctx context.Context, from store.Place, limit int) ([]*store.Commit, error) {
	if from.Seq < p.gone {
		return nil, store.ErrPlaceGone
	}
	all, err := p.Source.Commits(ctx, from, limit)
	for len(all) > 0 && all[0].Seq <= p.gone {
		all = all[1:]
	}
	p.read += len(all)
	return all, err
}

// A position cannot be read from if it is of another feed, or if what lies behind it is gone.
func TestWrongPositions(t *testing.T) {
	w := newWorld(t)
	w.story()
	page := func(text string) error {
		t.Helper()
		p, err := w.reader.From(t.Context(), text, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.reader.Page(t.Context(), p, &feed.Filter{}, 10)
		return err
	}
	for _, text := range []string{"3-00000000", "99999-6d656d6f", "1.99-6d656d6f"} {
		if err := page(text); !errors.Is(err, feed.ErrForeignPosition) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := page("1.2-6d656d6f"); err != nil {
		t.Error(err)
	}
}

func TestPartOfACommitThatIsGone(t *testing.T) {
	w := newWorld(t)
	w.story()
	w.reader = feed.NewReader(&parts{Source: w.store, gone: 3}, w.engine.Catalogue)
	for text, want := range map[string]error{"2-6d656d6f": feed.ErrPositionGone, "3-6d656d6f": nil, "3.1-6d656d6f": feed.ErrPositionGone} {
		p, err := feed.ParsePosition(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.reader.Page(t.Context(), p, &feed.Filter{}, 10); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

// A filter that selects nothing does not read everything at once.
func TestWorkOfAPage(t *testing.T) {
	w := newWorld(t)
	for range 3000 {
		w.issue(line(3, 1, 0))
	}
	p := &parts{Source: w.store}
	w.reader = feed.NewReader(p, w.engine.Catalogue)
	page, err := w.reader.Page(t.Context(), w.start(), &feed.Filter{Merchant: 1, Types: []benefit.EventPattern{"voucher.*"}}, 10)
	if err != nil || !page.More || len(page.Events) > 0 || page.Next.Seq < 1000 || p.read > 1200 {
		t.Errorf("%+v, after %d commits; %v", page, p.read, err)
	}
	if all, _ := w.all(w.start(), &feed.Filter{Merchant: 2, Types: []benefit.EventPattern{"voucher.*"}}, 1000); len(all) != 3000 {
		t.Errorf("%d events", len(all))
	}
}

func TestFrom(t *testing.T) {
	w := newWorld(t)
	w.now += 60_000
	w.issue(line(3, 1, 0))
	w.now += 60_000
	w.issue(line(3, 1, 0))
	for _, test := range []struct {
		text   string
		oldest benefit.Instant
		want   string
	}{
		{"start", 0, "0-6d656d6f"}, {"start", noon + 1, "1-6d656d6f"}, {"start", noon + 60_000, "1-6d656d6f"}, {"end", 0, "3-6d656d6f"},
		{"2026-11-22 12:01:00", 0, "1-6d656d6f"}, {"2026-11-22 12:01:01", 0, "2-6d656d6f"}, {"2026-11-22T04:01:00Z", 0, "1-6d656d6f"},
		{"2026-11-22T12:01:00.001+08:00", 0, "2-6d656d6f"}, {"2027-01-01 00:00:00", 0, "3-6d656d6f"}, {"2-6d656d6f", 0, "2-6d656d6f"},
	} {
		if p, err := w.reader.From(t.Context(), test.text, test.oldest); err != nil || p.String() != test.want {
			t.Errorf("%s, %d: %s, %v, want %s", test.text, test.oldest, p, err, test.want)
		}
	}
	for _, text := range []string{"", "now", "2026-11-22", "-1", "START"} {
		if _, err := w.reader.From(t.Context(), text, 0); !errors.Is(err, feed.ErrFrom) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A process may learn of a change of the catalogue after it has read an event of what is new.
func TestNewerCatalogue(t *testing.T) {
	w := newWorld(t)
	w.story()
	all, _ := w.all(w.start(), &feed.Filter{Merchant: 1}, 1000)
	old := &benefit.Catalogue{Version: -1}
	w.reader = feed.NewReader(w.store, func() *benefit.Catalogue { return old })
	again, _ := w.all(w.start(), &feed.Filter{Merchant: 1}, 3)
	if !slices.EqualFunc(all, again, func(a, b *feed.Event) bool { return text(t, a) == text(t, b) }) {
		t.Errorf("%d events, want %d", len(again), len(all))
	}
}

// The voucher of an operation is read once for many operations.
func TestVouchersAreRemembered(t *testing.T) {
	w := newWorld(t)
	cash := w.issue(line(1, 1, 5000))[0]
	for range 20 {
		w.do(cash, &benefit.Redeem{Amount: 10, HasAmount: true})
	}
	s := &lookups{Source: w.store}
	w.reader = feed.NewReader(s, w.engine.Catalogue)
	w.all(w.start(), &feed.Filter{Types: []benefit.EventPattern{"voucher.issued"}}, 5)
	if s.issuances != 0 {
		t.Errorf("%d issuances were read for events that are not selected", s.issuances)
	}
	for range 3 {
		w.all(w.start(), &feed.Filter{}, 5)
	}
	if s.issuances != 1 {
		t.Errorf("%d issuances were read", s.issuances)
	}
}

type lookups struct {
	feed.Source
	issuances, ends int
}

func (l *lookups) IssuanceOf(ctx context.Context, v id.ID) (*benefit.Issuance, error) {
	l.issuances++
	return l.Source.IssuanceOf(ctx, v)
}

func (l *lookups) FeedEnd(ctx context.Context) (store.Place, error) {
	l.ends++
	return l.Source.FeedEnd(ctx)
}

// Who waits is woken by the next commit, and many who wait ask the store no more often than one.
func TestWait(t *testing.T) {
	w := newWorld(t)
	s := &lookups{Source: w.store}
	w.reader = feed.NewReader(s, w.engine.Catalogue)
	seen, err := w.reader.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 20 {
		go func() { done <- w.reader.Wait(t.Context(), seen) }()
	}
	select {
	case err := <-done:
		t.Fatalf("nothing happened: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	w.issue(line(3, 1, 0))
	for range 20 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if s.ends > 10 {
		t.Errorf("the store was asked %d times", s.ends)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if end, _ := w.reader.End(ctx); !errors.Is(w.reader.Wait(ctx, end), context.DeadlineExceeded) {
		t.Error("it did not wait")
	}
}

func TestPatterns(t *testing.T) {
	got, err := feed.ParsePatterns([]string{"voucher.*", "template.sold_out"})
	if err != nil || fmt.Sprint(got) != "[voucher.* template.sold_out]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "*", "voucher", "voucher.Issued", "voucher.issued "} {
		if _, err := feed.ParsePatterns([]string{"voucher.*", text}); err == nil {
			t.Errorf("%q is a pattern", text)
		}
	}
}
