package benefit_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
)

func fen(n int64) money.Fen { return money.Fen(n) }

// A bound key is answered from its record, whatever has happened since; a free key is not.
func TestReplayWhateverHappenedSince(t *testing.T) {
	for _, c := range []struct {
		name   string
		happen func(d *desk)
		free   Reason // what another key of the same user gets
	}{
		{"nothing", func(*desk) {}, NotRefused},
		{"paused", func(d *desk) { d.catalogue(template(1, func(t *Template) { t.Status = Paused })) }, TemplatePaused},
		{"ended", func(d *desk) { d.catalogue(template(1, func(t *Template) { t.Status = Ended })) }, TemplateEnded},
		{"gone", func(d *desk) { d.catalogue() }, TemplateNotFound},
		{"sold out", func(d *desk) { d.catalogue(template(1, func(t *Template) { t.Stock.Count = 1 })) }, StockEmpty},
		{"budget spent", func(d *desk) { d.catalogue(template(1, func(t *Template) { t.Stock.Amount = 500 })) }, BudgetEmpty},
		{"at the limit", func(d *desk) { d.catalogue(template(1, func(t *Template) { t.Limits.PerUser = 1 })) }, UserLimit},
		{"changed", func(d *desk) { d.catalogue(template(1, cash(FromRequest, 1, 2))) }, AmountMissing},
		{"frozen", func(d *desk) {
			u := *d.contents().Users[0]
			u.Frozen = true
			d.users(&u)
		}, UserFrozen},
		{"forgotten", func(d *desk) {
			d.users(&User{ID: d.contents().Users[0].ID})
			d.catalogue(template(1, func(t *Template) { t.Merchant = 2 }))
		}, UserNotFound},
		{"a year later", func(d *desk) { d.clock += 365 * 24 * hour }, NotRefused},
		{"the clock stepped back", func(d *desk) { d.clock -= 365 * 24 * hour }, NotRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, template(1))
			first := d.wants(NotRefused, request("k", "a", 1))
			c.happen(d)
			before := d.contents()
			again := d.wants(NotRefused, request("k", "a", 1))
			if !again.Replayed || first.Replayed {
				t.Errorf("replayed: first %v, again %v", first.Replayed, again.Replayed)
			}
			again.Replayed = false
			if diff := cmp.Diff(first, again); diff != "" {
				t.Errorf("the replay differs (-first +again):\n%s", diff)
			}
			if diff := cmp.Diff(before, d.contents()); diff != "" {
				t.Errorf("the replay changed the store (-before +after):\n%s", diff)
			}
			d.wants(c.free, request("free", "a", 1))
		})
	}
}

// What is no part of the meaning may differ; what is may not.
func TestFingerprint(t *testing.T) {
	line := Line{Template: 1, Sends: 2, Quantity: 1}
	change := func(f func(l *Line)) *Request {
		l := line
		f(&l)
		return request("k", "a", 1, lines(l))
	}
	with := func(f func(r *Request)) *Request { return request("k", "a", 1, lines(line), f) }
	d := newDesk(t, template(1), template(2))
	d.wants(NotRefused, with(func(*Request) {}))
	for name, r := range map[string]*Request{
		"memo":   with(func(r *Request) { r.Note.Memo = "x" }),
		"trace":  with(func(r *Request) { r.Note.TraceID = "x" }),
		"extend": with(func(r *Request) { r.Note.Extend = "x" }),
	} {
		if o := d.ask(r); o.Reason != NotRefused || !o.Replayed {
			t.Errorf("another %s: %s", name, o.Reason)
		}
	}
	for name, r := range map[string]*Request{
		"template": change(func(l *Line) { l.Template = 2 }),
		"activity": change(func(l *Line) { l.Activity = 2 }),
		"detail":   change(func(l *Line) { l.DetailID = 2 }),
		"sends":    change(func(l *Line) { l.Sends = 1 }),
		"quantity": change(func(l *Line) { l.Quantity = 2 }),
		"amount":   change(func(l *Line) { l.HasAmount, l.Amount = true, 1 }),
		"no fen":   change(func(l *Line) { l.HasAmount = true }),
		"lines":    request("k", "a", 1, lines(line, line)),
		"user":     request("k", "b", 1, lines(line)),
		"type":     with(func(r *Request) { r.Recipient.Type = OpenID }),
	} {
		if o := d.wants(KeyConflict, r); o.Issuance != nil || len(o.Lines) != 0 {
			t.Errorf("another %s: the conflict shows what stands under the key: %+v", name, o)
		}
	}
	if n := len(d.contents().Issuances); n != 1 {
		t.Errorf("%d issuances in the end", n)
	}
}

func TestFingerprintSeparatesTexts(t *testing.T) {
	seen := map[Digest]string{}
	for _, texts := range [][]string{nil, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"a", "b", "c"}} {
		d := FingerprintOf(nil, texts...)
		if other, clash := seen[d]; clash {
			t.Errorf("%q means what %s means", texts, other)
		}
		seen[d] = fmt.Sprintf("%q", texts)
	}
}

// The same text is the same recipient; another identifier of the same user is the same meaning, too; another
// user is a conflict.
func TestKeyAndRecipient(t *testing.T) {
	d := newDesk(t, template(1))
	taobao := func(v string) Identifier { return Identifier{Type: TaobaoID, Value: v} }
	login, nick := Identifier{Type: Login, Value: "13800138000"}, Identifier{Type: Nick, Value: "小二"}
	d.users(&User{ID: 11, Identifiers: []Identifier{taobao("a"), login}}, &User{ID: 12, Identifiers: []Identifier{taobao("b")}})
	as := func(ident Identifier) *Request {
		return request("k", "", 1, func(r *Request) { r.Recipient = ident })
	}
	first := d.wants(NotRefused, as(taobao("a")))
	if o := d.wants(NotRefused, as(login)); o.Issuance != first.Issuance {
		t.Error("another identifier of the same user got another issuance")
	}
	d.wants(KeyConflict, as(taobao("b")))
	d.wants(KeyConflict, as(taobao("unknown")))
	d.wants(KeyConflict, as(nick))

	// The user is called otherwise now: the text as sent is the same still.
	d.users(&User{ID: 11, Identifiers: []Identifier{nick}})
	d.wants(NotRefused, as(taobao("a")))
	d.wants(NotRefused, as(nick))
	d.wants(KeyConflict, as(login))
	// And somebody else has got the text: it is what was sent, so it is answered, and nothing is issued.
	d.users(&User{ID: 12, Identifiers: []Identifier{taobao("a")}})
	if o := d.wants(NotRefused, as(taobao("a"))); !o.Replayed {
		t.Error("a moved identifier was issued again")
	}
	d.wants(NotRefused, request("another", "a", 1))
}

// A refused attempt leaves the key free: it may come again, even with another meaning, and succeed.
func TestRefusedKeyStaysFree(t *testing.T) {
	d := newDesk(t, template(1, func(t *Template) { t.Status = Paused }))
	d.wants(TemplatePaused, request("k", "a", 1))
	if diff := cmp.Diff(0, len(d.contents().Users)); diff != "" {
		t.Errorf("a refusal made a user: %s", diff)
	}
	d.catalogue(template(1))
	d.wants(NotRefused, request("k", "b", 1))
	d.wants(KeyConflict, request("k", "a", 1))
}

// In one batch the first of a key issues, and the others get its outcome or a conflict.
func TestOneKeyTwiceInABatch(t *testing.T) {
	d := newDesk(t, template(1, func(t *Template) { t.Stock.Count = 2 }))
	o := d.batch(request("k", "a", 1), request("k", "a", 1), request("k", "b", 1), request("l", "a", 1), request("m", "a", 1))
	want := []Reason{NotRefused, NotRefused, KeyConflict, NotRefused, StockEmpty}
	for k := range o {
		if o[k].Reason != want[k] || o[k].Replayed != (k == 1) {
			t.Errorf("request %d: %s, replayed %v; want %s", k, o[k].Reason, o[k].Replayed, want[k])
		}
	}
	if o[0].Issuance != o[1].Issuance {
		t.Error("the second got another issuance than the first")
	}
	if c := d.contents(); len(c.Users) != 1 || len(c.Issuances) != 2 {
		t.Errorf("%d users and %d issuances", len(c.Users), len(c.Issuances))
	}
}

// The digest finds the claim, the text decides: two keys with one digest are never each other's.
func TestDigestClashIsAConflict(t *testing.T) {
	x := newTrial()
	x.bound = &Issuance{ID: 5, Scope: x.request.Scope, Key: "another key", Fingerprint: x.request.Fingerprint, Recipient: x.request.Recipient, User: 11}
	x.wantReason(t, KeyConflict)
	x.bound.Scope, x.bound.Key = "another scope", x.request.Key
	x.wantReason(t, KeyConflict)
}

func TestClaimIDKeepsScopeAndKeyApart(t *testing.T) {
	if ClaimIDOf("t/1", "1k") == ClaimIDOf("t/11", "k") || ClaimIDOf("", "ab") == ClaimIDOf("a", "b") {
		t.Error("a byte may move from the key to the scope")
	}
}

func TestValidKey(t *testing.T) {
	long := ""
	for range MaxKey {
		long += "券"
	}
	for key, want := range map[string]bool{"": false, "k": true, long: true, long + "k": false} {
		if ValidKey(key) != want {
			t.Errorf("ValidKey(%q) = %v", key, !want)
		}
	}
}

// The vouchers of an issuance, found one by one and listed.
func TestVouchersOfAnIssuance(t *testing.T) {
	d := newDesk(t, template(1, func(t *Template) { t.Stock.Count = 5 }), template(2, cash(Fixed, 88, 88)))
	o := d.ask(request("k", "a", 1, lines(Line{Template: 1, Activity: 0, Sends: 3, Quantity: 2}, Line{Template: 2, Sends: 1, Quantity: 1})))
	i := o.Issuance
	all := i.Vouchers()
	ids := make([]id.ID, len(all))
	for k, v := range all {
		ids[k] = v.ID - i.ID
		if same, ok := i.Voucher(v.ID); !ok || same != v {
			t.Errorf("Voucher(%d) = %+v, %v; the list says %+v", v.ID, same, ok, v)
		}
	}
	if diff := cmp.Diff([]id.ID{0, 1, 2, 3, 6}, ids); diff != "" {
		t.Errorf("the vouchers' places (-want +got):\n%s", diff)
	}
	want := Voucher{
		ID: i.ID + 6, Issuance: i.ID, Template: 2, User: i.User, Status: Issued, Kind: Cash, Amount: 88,
		IssuedAt: now, Valid: Window{Start: now, End: now + 7*24*hour},
	}
	if diff := cmp.Diff(want, all[4]); diff != "" {
		t.Errorf("the last voucher (-want +got):\n%s", diff)
	}
	for _, place := range []id.ID{-1, 4, 5, 7} {
		if v, ok := i.Voucher(i.ID + place); ok {
			t.Errorf("there is a voucher at %d: %+v", place, v)
		}
	}
	if i.Size() != 7 {
		t.Errorf("Size() = %d", i.Size())
	}
	if n, amount := i.Lines[0].Tally(); n != 4 || amount != 2000 {
		t.Errorf("Tally() = %d, %d", n, amount)
	}
}
