package benefit_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// digits makes a template a certificate with codes of so many digits.
func digits(n int) func(*Template) {
	return func(t *Template) {
		t.Kind, t.Face, t.Code = Certificate, Face{}, CodeRule{Digits: n}
	}
}

func vouchers(n int) func(*Request) {
	return lines(Line{Template: 1, Sends: 1, Quantity: n})
}

// codesOf lists the codes of all vouchers of the store, with their keys, and fails when one is there twice.
func (d *desk) codesOf() map[string]string {
	d.t.Helper()
	all := map[string]string{}
	for _, i := range d.contents().Issuances {
		for _, v := range i.Vouchers() {
			if old, twice := all[v.Code]; twice || v.Code == "" {
				d.t.Errorf("the code %q of voucher %d is also that of key %s", v.Code, v.ID, old)
			}
			all[v.Code] = i.Key
		}
	}
	return all
}

// Codes are unique in a batch and against everything before it, also when nearly all are taken: every request for
// as many as are left gets them.
func TestCodesAreUnique(t *testing.T) {
	d := newDesk(t, template(1, digits(2)))
	for n := 0; n < 60; n += 6 {
		var requests []*Request
		for k := range 3 {
			requests = append(requests, request(fmt.Sprint(n, "/", k), "a", 1, vouchers(2)))
		}
		for _, o := range d.batch(requests...) {
			if o.Reason != NotRefused {
				t.Errorf("%s with %d codes taken", o.Reason, n)
			}
		}
	}
	all := d.codesOf()
	if len(all) != 60 {
		t.Errorf("%d codes", len(all))
	}
	for code := range all {
		if len(code) != 2 || strings.Trim(code, "0123456789") != "" {
			t.Errorf("the code %q", code)
		}
	}
}

// When no free code is found the request is refused; what it was given before stays as it was.
func TestCodesRunOut(t *testing.T) {
	d := newDesk(t, template(1, digits(1)))
	issued := 0
	for n := range 40 {
		if o := d.ask(request(fmt.Sprint(n), "a", 1)); o.Reason == NotRefused {
			issued++
		} else if o.Reason != CodesEmpty || issued < 8 {
			t.Fatalf("%s after %d codes", o.Reason, issued)
		}
	}
	if issued != 10 || len(d.codesOf()) != 10 {
		t.Errorf("%d of ten codes were given", issued)
	}
	if o := d.wants(CodesEmpty, request("x", "a", 1)); o.Issuance != nil || o.Attempt == nil {
		t.Errorf("%+v", o)
	}
	first := d.contents().Issuances[0]
	if again := d.ask(request(first.Key, "a", 1)); !again.Replayed || again.Issuance.Lines[0].Codes[0] != first.Lines[0].Codes[0] {
		t.Error("a replay has another code")
	}
}

// Of several sends those are issued whose codes were found.
func TestCodesOfPartOfTheSends(t *testing.T) {
	d := newDesk(t, template(1, digits(1)))
	o := d.ask(request("k", "a", 1, lines(Line{Template: 1, Sends: 7, Quantity: 2})))
	l := o.Lines[0]
	if l.Issued < 3 || l.Issued > 5 || l.Issued+l.Refused != 7 || l.Reason != CodesEmpty {
		t.Errorf("%+v", l)
	}
	if len(d.codesOf()) != 2*l.Issued {
		t.Error("vouchers and codes do not agree")
	}
}

// A code is drawn again when it turns out to be taken, so a lone clash never refuses anybody.
func TestCodesAreDrawnAgain(t *testing.T) {
	d := newDesk(t, template(1, digits(1)))
	for n := range 9 {
		d.wants(NotRefused, request(fmt.Sprint(n), "a", 1))
	}
	if n := len(d.codesOf()); n != 9 {
		t.Errorf("%d codes", n)
	}
}

// Every digit is as likely as any other, at every place.
func TestCodesAreFair(t *testing.T) {
	const places, codes = 4, 4000
	d := newDesk(t, template(1, digits(places)), template(2, digits(12)))
	seen := [12][10]int{}
	o := d.ask(request("k", "a", 2, lines(Line{Template: 2, Sends: 1, Quantity: codes})))
	for _, code := range o.Issuance.Lines[0].Codes {
		for place, digit := range []byte(code) {
			seen[place][digit-'0']++
		}
	}
	for place := range seen {
		chi := 0.0
		for _, n := range seen[place] {
			chi += math.Pow(float64(n)-codes/10, 2) / (codes / 10)
		}
		if chi > 33.7 { // 9 degrees of freedom: one in 10,000
			t.Errorf("place %d: %v (χ² %.1f)", place, seen[place], chi)
		}
	}
}

// A code finds its issuance like a key does, and only under the scope of codes.
func TestCodesAreLookedUp(t *testing.T) {
	d := newDesk(t, template(1, digits(12)))
	o := d.ask(request("k", "a", 1, vouchers(2)))
	r, err := d.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range o.Issuance.Lines[0].Codes {
		got, err := r.Claim(t.Context(), CodeScope, code)
		if err != nil || storetest.Diff(o.Issuance, got) != "" {
			t.Errorf("the code %s finds %+v, %v", code, got, err)
		}
		if got, _ := r.Claim(t.Context(), o.Issuance.Scope, code); got != nil {
			t.Error("a code is a key of another scope, too")
		}
		if !o.Issuance.Under(CodeScope, code) || o.Issuance.Under(CodeScope, "k") || !o.Issuance.Under(o.Issuance.Scope, "k") {
			t.Error("the issuance does not know what it stands under")
		}
	}
}

// certificateSend asks as certificate.send does: the key is bound for so long.
func certificateSend(user string, millis int64) *Request {
	return request("window", user, 1, func(r *Request) { r.Scope, r.BindMillis = "c/1", millis })
}

// A key that is bound for a while is free when the while is over. It counts from the first issue, whoever asks again.
func TestWindowKey(t *testing.T) {
	d := newDesk(t, template(1, digits(12)))
	first := d.ask(certificateSend("a", 5000))
	for _, after := range []Instant{0, 2000, 4999} {
		d.clock = now + after
		if o := d.ask(certificateSend("a", 5000)); !o.Replayed || o.Issuance.ID != first.Issuance.ID {
			t.Errorf("after %d ms: %+v", after, o)
		}
	}
	d.wants(KeyConflict, certificateSend("b", 5000))
	d.clock = now + 5000
	second := d.ask(certificateSend("a", 5000))
	if second.Replayed || second.Issuance.ID == first.Issuance.ID {
		t.Error("the window was made longer")
	}
	d.clock = now + 9999
	if o := d.ask(certificateSend("a", 5000)); !o.Replayed || o.Issuance.ID != second.Issuance.ID {
		t.Error("the newest issuance is not what stands under the key")
	}
	d.clock = now + 10_000
	if o := d.ask(certificateSend("b", 5000)); o.Reason != NotRefused || o.Replayed {
		t.Errorf("another user when the window is over: %s", o.Reason)
	}
	if all := d.codesOf(); len(all) != 3 {
		t.Errorf("%d vouchers", len(all))
	}
}

// How long a key is bound was said when it was issued; what a retry says does not change it. In one batch the second
// request meets the first, or the new one where the old is over.
func TestWindowIsOfTheFirst(t *testing.T) {
	d := newDesk(t, template(1))
	first := d.batch(certificateSend("a", 1000), certificateSend("a", 1000))
	if first[0].Replayed || !first[1].Replayed || first[0].Issuance != first[1].Issuance {
		t.Errorf("%+v", first)
	}
	d.clock = now + 999
	if o := d.ask(certificateSend("a", 1)); !o.Replayed {
		t.Error("a retry made the window shorter")
	}
	d.clock = now + 1000
	next := d.batch(certificateSend("a", int64(hour)), certificateSend("a", int64(hour)))
	if next[0].Replayed || !next[1].Replayed || next[1].Issuance != next[0].Issuance {
		t.Errorf("%+v", next)
	}
	d.clock = now - hour // a step back does not open it again, nor does it make the window longer
	if o := d.ask(certificateSend("a", 1000)); o.Issuance.ID != next[0].Issuance.ID {
		t.Error("the clock's step back shows the first one")
	}
}

// A key without a window is bound for ever.
func TestKeyWithoutWindow(t *testing.T) {
	d := newDesk(t, template(1))
	first := d.ask(certificateSend("a", 0))
	d.clock += 1000 * 24 * hour
	if o := d.ask(certificateSend("a", 5)); !o.Replayed || o.Issuance.ID != first.Issuance.ID {
		t.Error("it is free again")
	}
}

// The user of a session is named by id. It must be known, whatever the policy, and may not be frozen.
func TestRecipientByID(t *testing.T) {
	to := func(key string, u UserID) *Request {
		return request(key, "", 1, func(r *Request) { r.Recipient = RefTo(u) })
	}
	d := newDesk(t, template(1))
	d.users(&User{ID: 11, Alipay: "2088", Identifiers: []Identifier{{Type: TaobaoID, Value: "a"}}}, &User{ID: 12, Frozen: true})
	o := d.wants(NotRefused, to("1", 11))
	if i := o.Issuance; i.User != 11 || i.Alipay != "2088" || i.Recipient != RefTo(11) {
		t.Errorf("issued to %+v", i)
	}
	if again := d.wants(NotRefused, request("1", "a", 1)); !again.Replayed {
		t.Error("the user's own identifier is another meaning")
	}
	d.wants(KeyConflict, to("1", 12))
	d.wants(UserFrozen, to("2", 12))
	d.wants(UserNotFound, to("3", 13))
	d.wants(UserNotFound, to("3", 0))
	if n := len(d.contents().Users); n != 2 {
		t.Errorf("%d users: one was made of an id", n)
	}
	for _, ident := range []Identifier{{Type: AlipayID, Value: "11"}, {Type: "USER", Value: "11"}, {Type: "@USER", Value: "x"}} {
		if _, ok := ident.Ref(); ok {
			t.Errorf("%v names a user by id", ident)
		}
	}
}
