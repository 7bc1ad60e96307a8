package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"faquan/internal/api"
	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
	"faquan/internal/token"
)

// The life of vouchers, on the embedded store and across a restart.
func TestLifeOfAVoucher(t *testing.T) {
	dir := t.TempDir()
	open := func() *embedded.Store {
		s, err := embedded.Open(embedded.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w := worldOn(t, open(), true)
	cash, code := w.issue("cash", alice, 5000), w.issue("code", alice, 0)
	w.voucher(cash.ID).want(t, 200,
		"status=ISSUED", "kind=CASH", "amount=5000", "balance=5000", "template.name=cash", "merchant=acme", "operation_count=0", "operations=[]",
		"issued_at=2026-11-22T12:00:00.000+08:00", "changed_at=2026-11-22T12:00:00.000+08:00", "expires_at=2026-11-23T12:00:01.000+08:00")

	w.at(time.Minute)
	body := fmt.Sprintf(`{"voucher_id": "%d", "order": "o-1", "shop": "杭州店", "order_amount": "8000", "amount": "2000"}`, cash.ID)
	first := w.redeem("r1", body).want(t, 200,
		fmt.Sprintf("id=%d-1", cash.ID), fmt.Sprint("voucher_id=", cash.ID), "command=redeem", "app=shop", "key=r1", "order=o-1", "shop=杭州店",
		"order_amount=8000", "amount=2000", "discount=2000", "status=ISSUED", "balance=3000", "at=2026-11-22T12:01:00.000+08:00")
	w.redeem("r2", fmt.Sprintf(`{"voucher_id": "%d", "holder": {"type": "ALIPAY", "value": "%s"}}`, cash.ID, alice.Value)).want(t, 200,
		"amount=3000", "status=USED", "balance=0")
	w.redeem("r3", fmt.Sprintf(`{"voucher_id": "%d"}`, cash.ID)).want(t, 422, "reason=VOUCHER_USED")

	w.at(2 * time.Minute)
	w.reverse(first.field("id"), "back", `{"amount": "500"}`).want(t, 200,
		"command=reverse", "amount=500", "status=ISSUED", "balance=500", "redemption_id="+first.field("id"))
	w.get("/api/v1/redemptions/{id}", "/api/v1/redemptions/"+first.field("id")).want(t, 200,
		"operation.amount=2000", "reversed=500", "reversed_whole=false")
	w.reverse(first.field("id"), "rest", "").want(t, 200, "amount=1500", "balance=2000")
	w.get("/api/v1/redemptions/{id}", "/api/v1/redemptions/"+first.field("id")).want(t, 200, "reversed=2000", "reversed_whole=true")

	w.redeem("c1", fmt.Sprintf(`{"code": "%s"}`, code.Code)).want(t, 200, "status=USED", "discount=0", "amount=", "balance=")
	w.reverse(fmt.Sprintf("%d-1", code.ID), "back", "").want(t, 200, "status=ISSUED")
	w.change(code.ID, "expire", "e1", "").want(t, 200, "command=expire", "status=EXPIRED", "expires_at=2026-11-22T12:02:00.000+08:00")
	w.voucher(code.ID).want(t, 200, "status=EXPIRED", "code=********"+code.Code[8:], "template.out_id=77")
	w.change(code.ID, "extend", "x1", `{"expires_at": "2026-12-31T16:00:00Z"}`).want(t, 200, "expires_at=2027-01-01T00:00:00.000+08:00")
	w.change(code.ID, "void", "v1", `{"return_stock": true, "memo": "客户退款"}`).want(t, 200,
		"status=VOIDED", "return_stock=true", "memo=客户退款")

	w.stop()
	w = worldOn(t, open(), false)
	w.at(3 * time.Minute)
	w.voucher(code.ID).want(t, 200, "status=VOIDED", "operation_count=5", "changed_at=2026-11-22T12:02:00.000+08:00",
		"operations.0.command=redeem", "operations.1.command=reverse", "operations.2.command=expire", "operations.3.command=extend",
		"operations.4.command=void", "operations.4.memo=客户退款")
	again := w.redeem("r1", body).want(t, 200)
	const replayed = "Idempotency-Replayed"
	if !bytes.Equal(again.body, first.body) || again.header.Get(replayed) != "true" || first.header.Get(replayed) != "" {
		t.Errorf("a retry: %s\nfirst: %s", again.body, first.body)
	}
}

// The clock by which the store decided may be ahead of that of the process that shows the voucher.
func TestTheClockOfTheStore(t *testing.T) {
	w := newWorld(t)
	cash, later := w.issue("cash", alice, 100), w.issue("later", alice, 0)
	w.at(2 * time.Hour)
	redemption := w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d", "amount": "50"}`, cash.ID)).want(t, 200, "status=ISSUED").field("id")
	w.redeem("later", fmt.Sprintf(`{"voucher_id": "%d"}`, later.ID)).want(t, 200)
	expired := w.change(cash.ID, "expire", "k", "").want(t, 200, "status=EXPIRED")
	back := w.reverse(redemption, "k", "").want(t, 200, "status=EXPIRED", "balance=100")
	w.at(time.Hour - time.Second)
	w.voucher(cash.ID).want(t, 200, "status=EXPIRED", "operations.0.status=ISSUED", "operations.1.status=EXPIRED", "operations.2.status=EXPIRED")
	w.voucher(later.ID).want(t, 200, "status=USED", "not_yet_valid=false")
	for _, replay := range [][2]*answer{{expired, w.change(cash.ID, "expire", "k", "")}, {back, w.reverse(redemption, "k", "")}} {
		if !bytes.Equal(replay[0].body, replay[1].body) {
			t.Errorf("%s, then %s", replay[0].body, replay[1].body)
		}
	}
}

// Each kind, as the API shows and redeems it.
func TestKinds(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		template, body string
		shown, done    []string
	}{
		{"off", `"order_amount": "2000"`, []string{
			"kind=REDUCTION", "amount=500", "balance=", "face.reduction=500", "face.threshold=2000", "template.right_id=71",
			"template.title=满20减5",
		}, []string{"discount=500"}},
		{"percent", `"order_amount": "1999"`, []string{"kind=DISCOUNT", "amount=", "face.percent=8500", "face.ceiling=1000"}, []string{"discount=299"}},
		{"price", `"order_amount": "1000"`, []string{"kind=FIXED_PRICE", "face.price=990"}, []string{"discount=10"}},
		{"thing", `"order": "7"`, []string{"kind=EXCHANGE", "face="}, []string{"discount=0"}},
	} {
		v := w.issue(test.template, alice, 0)
		w.voucher(v.ID).want(t, 200, test.shown...)
		w.redeem(test.template, fmt.Sprintf(`{"voucher_id": "%d", %s}`, v.ID, test.body)).want(t, 200, append(test.done, "status=USED")...)
	}
	later := w.issue("later", alice, 0)
	w.get("/api/v1/vouchers/{id}", "/api/v1/vouchers/"+later.ID.Long()).want(t, 200, fmt.Sprint("id=", later.ID)) // as on Alipay's wire
	w.redeem("later", fmt.Sprintf(`{"voucher_id": "%s"}`, later.ID.Long())).want(t, 422, "reason=VOUCHER_NOT_STARTED")
	w.get("/api/v1/vouchers/{id}", "/api/v1/vouchers/20200101"+later.ID.Long()[8:]).want(t, 400, "field=id")
	w.voucher(later.ID).want(t, 200, "status=ISSUED", "not_yet_valid=true", "valid_from=2026-11-22T13:00:00.000+08:00")
	w.at(25*time.Hour + time.Second)
	w.voucher(later.ID).want(t, 200, "status=EXPIRED", "not_yet_valid=false")
}

// Every reason for which a command can be refused has its status, its title and its place in the description.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	cash, off, later := w.issue("cash", alice, 5000), w.issue("off", alice, 0), w.issue("later", alice, 0)
	used, voided, held := w.issue("thing", alice, 0), w.issue("thing", alice, 0), w.issue("cash", frozen, 100)
	w.redeem("used", fmt.Sprintf(`{"voucher_id": "%d"}`, used.ID)).want(t, 200)
	w.change(voided.ID, "void", "voided", "").want(t, 200)
	w.redeem("part", fmt.Sprintf(`{"voucher_id": "%d", "amount": "1000"}`, cash.ID)).want(t, 200)
	freeze := &benefit.User{ID: held.User, Name: "frozen", Frozen: true, Alipay: frozen.Value, Identifiers: []benefit.Identifier{frozen}}
	if err := storetest.Write(t.Context(), w.store, w.instant(), &benefit.Changes{Users: []*benefit.User{freeze}}); err != nil {
		t.Fatal(err)
	}
	redeem := func(v id.ID, more string) *answer {
		return w.redeem("refused", fmt.Sprintf(`{"voucher_id": "%d"%s}`, v, more))
	}
	for reason, test := range map[benefit.Reason]struct {
		got    *answer
		status int
	}{
		benefit.KeyConflict:        {w.redeem("used", fmt.Sprintf(`{"voucher_id": "%d"}`, voided.ID)), 409},
		benefit.VoucherNotFound:    {redeem(1, ""), 404},
		benefit.RedemptionNotFound: {w.reverse(fmt.Sprintf("%d-2", used.ID), "refused", ""), 404},
		benefit.UserFrozen:         {redeem(held.ID, ""), 422},
		benefit.VoucherVoided:      {redeem(voided.ID, ""), 422},
		benefit.VoucherUsed:        {redeem(used.ID, ""), 422},
		benefit.VoucherNotStarted:  {redeem(later.ID, ""), 422},
		benefit.ThresholdNotMet:    {redeem(off.ID, `, "order_amount": "1999"`), 422},
		benefit.AmountMissing:      {redeem(off.ID, ""), 422},
		benefit.AmountNotAllowed:   {redeem(off.ID, `, "order_amount": "2000", "amount": "1"`), 422},
		benefit.AmountOutOfRange:   {redeem(cash.ID, `, "amount": "0"`), 422},
		benefit.BalanceNotEnough:   {redeem(cash.ID, `, "amount": "4001"`), 422},
		benefit.ReversalTooLarge:   {w.reverse(fmt.Sprintf("%d-1", cash.ID), "refused", `{"amount": "1001"}`), 422},
		benefit.EndNotLater:        {w.change(off.ID, "extend", "refused", `{"expires_at": "2026-11-22T12:00:00+08:00"}`), 422},
		benefit.EndTooFar:          {w.change(off.ID, "extend", "refused", `{"expires_at": "2036-11-23T12:00:00+08:00"}`), 422},
	} {
		test.got.want(t, test.status, "reason="+reason.String())
		if title := test.got.field("title"); title == "" || title == "The request is refused." {
			t.Errorf("%s has no title", reason)
		}
		if want := "urn:faquan:problem:" + strings.ToLower(strings.ReplaceAll(reason.String(), "_", "-")); test.got.field("type") != want {
			t.Errorf("%s has the type %s", reason, test.got.field("type"))
		}
	}
	w.at(48 * time.Hour)
	redeem(cash.ID, "").want(t, 422, "reason=VOUCHER_EXPIRED")
	// None of them has used the key up.
	w.change(off.ID, "extend", "refused", `{"expires_at": "2027-01-01T00:00:00+08:00"}`).want(t, 200)
}

// Each reason of commands has a problem of its own.
func TestReasonsHaveProblems(t *testing.T) {
	for _, r := range benefit.Reasons() {
		if r >= 100 && !api.HasProblem(r) {
			t.Errorf("%s has none", r)
		}
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	v := w.issue("thing", alice, 0)
	get := func(secret string, header map[string]string) *answer {
		return w.send(request{
			method: "GET", path: fmt.Sprint("/api/v1/vouchers/", v.ID), template: "/api/v1/vouchers/{id}", token: secret, header: header,
		})
	}
	good := w.token("shop", "query")
	get(good, nil).want(t, 200)
	get("", map[string]string{"Authorization": "bearer " + good}).want(t, 200)
	for name, test := range map[string]struct {
		header, reason, challenge string
	}{
		"none":             {"", "TOKEN_MISSING", "Bearer"},
		"another scheme":   {"Basic " + good, "TOKEN_MISSING", "Bearer"},
		"no scheme":        {good, "TOKEN_MISSING", "Bearer"},
		"empty":            {"Bearer ", "TOKEN_MISSING", "Bearer"},
		"too long":         {"Bearer " + strings.Repeat("x", 1000), "TOKEN_UNKNOWN", `Bearer error="invalid_token"`},
		"unknown":          {"Bearer fqt_" + strings.Repeat("A", 52), "TOKEN_UNKNOWN", `Bearer error="invalid_token"`},
		"in another case":  {"Bearer " + strings.ToLower(good), "TOKEN_UNKNOWN", `Bearer error="invalid_token"`},
		"with blanks":      {"Bearer  " + good, "TOKEN_UNKNOWN", `Bearer error="invalid_token"`},
		"the digest of it": {"Bearer " + benefit.TokenDigest(good).String(), "TOKEN_UNKNOWN", `Bearer error="invalid_token"`},
	} {
		a := get("", map[string]string{"Authorization": test.header}).want(t, 401, "reason="+test.reason)
		if got := a.header.Get("WWW-Authenticate"); got != test.challenge {
			t.Errorf("%s: the challenge %q", name, got)
		}
	}
	get(w.token("disabled", "query"), nil).want(t, 403, "reason=APP_DISABLED")

	if _, err := w.tokens.Revoke(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	get(good, nil).want(t, 401, "reason=TOKEN_REVOKED")
	short := "fqt_" + strings.Repeat("S", 52) // of a short life
	changes := &benefit.Changes{Rows: benefit.RowsOf(benefit.Tokens.Rows(&benefit.Token{
		Digest: benefit.TokenDigest(short), App: 1, Scopes: benefit.TokenScopes(), Expires: w.instant() + 1000,
	}))}
	if err := storetest.Write(t.Context(), w.store, w.instant(), changes); err != nil {
		t.Fatal(err)
	}
	w.at(999 * time.Millisecond)
	get(short, nil).want(t, 200)
	w.at(time.Second)
	get(short, nil).want(t, 401, "reason=TOKEN_EXPIRED", "detail=it expired at 2026-11-22T12:00:01.000+08:00")
}

// A token that has not the form of one is not looked up.
func TestTokensAreLookedUpByForm(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{w.secret[:len(w.secret)-1], w.secret + "A", strings.ToLower(w.secret), "fqt-" + w.secret[4:], w.secret[:10] + "1" + w.secret[11:]} {
		before := w.looked.Load()
		w.send(request{method: "GET", path: "/api/v1/vouchers/1", token: bad}).want(t, 401, "reason=TOKEN_UNKNOWN")
		if w.looked.Load() != before {
			t.Errorf("%q was looked up", bad)
		}
	}
}

// An app without a merchant has no vouchers, and may not touch those of any.
func TestAppWithoutMerchant(t *testing.T) {
	w := newWorld(t)
	v := w.issue("thing", alice, 0)
	w.secret = w.token("nobody's", token.ScopeNames()...)
	w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d"}`, v.ID)).want(t, 403, "reason=APP_WITHOUT_MERCHANT")
	w.voucher(v.ID).want(t, 403, "reason=APP_WITHOUT_MERCHANT")
}

// Who has no token cannot fill the log, and nothing of paths is in it.
func TestTheLogIsBounded(t *testing.T) {
	w := newWorld(t)
	for name, r := range map[string]request{
		"unknownPath": {method: "GET", path: "/api/v1/users/13800138000"}, "wrongMethod": {method: "DELETE", path: "/api/v1/vouchers/13800138000"},
		"getDescription": {method: "GET", path: "/api/v1/openapi.yaml"}, "getVoucher": {method: "GET", path: "/api/v1/vouchers/1", token: w.secret},
	} {
		w.log.Reset()
		w.at(time.Duration(w.keys.Add(1)) * time.Hour)
		if name == "getVoucher" {
			err := errors.New("the store is away")
			w.rows.Store(&err)
		}
		for range 100 {
			req, err := http.NewRequestWithContext(t.Context(), r.method, w.url+r.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+r.token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, resp.Body) // then the call is logged
			if err = errors.Join(err, resp.Body.Close()); err != nil {
				t.Fatal(err)
			}
		}
		w.rows.Store(nil)
		log := w.log.String()
		if n := strings.Count(log, `"method":"`+name+`"`); n != 60 || strings.Count(log, "\n") != n || strings.Contains(log, "13800138000") {
			t.Errorf("%s: %d lines: %s", name, n, log)
		}
	}
	w.log.Reset()
	w.voucher(1)
	if !strings.Contains(w.log.String(), `"app":"shop"`) {
		t.Error(w.log.String())
	}
}

// Each operation needs its own scope.
func TestScopes(t *testing.T) {
	w := newWorld(t)
	v := w.issue("thing", alice, 0)
	for name, scopes := range map[string]string{
		"GET /api/v1/vouchers": "query", "GET /api/v1/vouchers/{id}": "query", "GET /api/v1/redemptions/{id}": "query", "GET /api/v1/keys": "query", "GET /api/v1/events": "events",
		"POST /api/v1/vouchers/{id}/void": "void", "POST /api/v1/vouchers/{id}/extend": "extend", "POST /api/v1/vouchers/{id}/expire": "expire",
		"POST /api/v1/redemptions": "redeem", "POST /api/v1/redemptions/{id}/reversals": "reverse",
	} {
		method, path, _ := strings.Cut(name, " ")
		var others []string
		for _, one := range benefit.TokenScopes() {
			if string(one) != scopes {
				others = append(others, string(one))
			}
		}
		r := request{method: method, path: strings.ReplaceAll(path, "{id}", fmt.Sprintf("%d-1", v.ID)), template: path, token: w.token("shop", others...)}
		w.send(r).want(t, 403, "reason=SCOPE_MISSING", "detail=this operation needs the scope "+scopes)
		r.token = w.token("shop", scopes)
		if a := w.send(r); a.status == 403 || a.status == 401 {
			t.Errorf("%s with the scope %s: %s", name, scopes, a.body)
		}
	}
	if n := len(api.Operations()); n != 11 {
		t.Errorf("%d operations", n)
	}
}

// What belongs to another merchant is not found, even where the app may issue it.
func TestOtherMerchant(t *testing.T) {
	w := newWorld(t)
	theirs, code := w.issue("theirs", alice, 0), w.issue("code", alice, 0)
	w.voucher(theirs.ID).want(t, 404, "reason=VOUCHER_NOT_FOUND")
	w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d"}`, theirs.ID)).want(t, 404, "reason=VOUCHER_NOT_FOUND")
	for _, command := range []string{"void", "expire"} {
		w.change(theirs.ID, command, "k", "").want(t, 404, "reason=VOUCHER_NOT_FOUND")
	}
	w.change(theirs.ID, "extend", "k", `{"expires_at": "2027-01-01T00:00:00+08:00"}`).want(t, 404, "reason=VOUCHER_NOT_FOUND")

	// Redeemed and reversed by its own merchant.
	mine := w.secret
	w.secret = w.token("other", "query", "redeem", "reverse")
	redemption := w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d"}`, theirs.ID)).want(t, 200, "app=other").field("id")
	w.reverse(redemption, "back", "").want(t, 200)
	w.get("/api/v1/vouchers", "/api/v1/vouchers?code="+code.Code).want(t, 200, "vouchers=[]")
	w.voucher(code.ID).want(t, 404)
	list := "/api/v1/vouchers?user_type=ALIPAY&user=" + alice.Value
	w.get("/api/v1/vouchers", list).want(t, 200, fmt.Sprint("vouchers.0.id=", theirs.ID), "vouchers.1.id=")
	w.secret = mine
	w.get("/api/v1/redemptions/{id}", "/api/v1/redemptions/"+redemption).want(t, 404, "reason=REDEMPTION_NOT_FOUND")
	w.reverse(redemption, "other key", "").want(t, 404, "reason=REDEMPTION_NOT_FOUND")
	w.reverse(redemption, "back", "").want(t, 404, "reason=REDEMPTION_NOT_FOUND")
	w.get("/api/v1/keys", "/api/v1/keys?command=reverse&key=back&redemption_id="+redemption).want(t, 200, "state=never_seen", "operation=")
	w.get("/api/v1/vouchers", list).want(t, 200, fmt.Sprint("vouchers.0.id=", code.ID), "vouchers.1.id=")
	// A holder of another name is not found either.
	w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d", "holder": {"type": "ALIPAY", "value": "2088302001456199"}}`, code.ID)).want(t, 404, "reason=VOUCHER_NOT_FOUND")
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	v := w.issue("cash", alice, 1000)
	body := fmt.Sprintf(`{"voucher_id": "%d", "amount": "100"}`, v.ID)
	w.redeem("", body).want(t, 400, "reason=KEY_MISSING", "field=Idempotency-Key")
	w.redeem(strings.Repeat("k", 65), body).want(t, 400, "reason=REQUEST_INVALID", "field=Idempotency-Key")
	w.redeem("发券", body).want(t, 400, "reason=REQUEST_INVALID", "field=Idempotency-Key")
	long := strings.Repeat("k", 64)
	first := w.redeem(long, body).want(t, 200, "key="+long)
	for range 2 {
		if again := w.redeem(long, body); !bytes.Equal(again.body, first.body) {
			t.Errorf("%s, then %s", first.body, again.body)
		}
	}
	w.redeem(long, strings.Replace(body, "100", "200", 1)).want(t, 409, "reason=KEY_CONFLICT")
	w.voucher(v.ID).want(t, 200, "balance=900", "operation_count=1")
	// Another app has keys of its own, and does not see those of the first.
	mine := w.secret
	w.secret = w.token("second", "redeem", "query")
	w.get("/api/v1/keys", "/api/v1/keys?command=redeem&key="+long).want(t, 200, "state=never_seen", "vouchers=[]")
	w.redeem(long, body).want(t, 200, "balance=800")
	w.secret = mine
	w.voucher(v.ID).want(t, 200, "operations.0.key="+long, "operations.1.key=", "operations.1.app=second")
}

// What became of a key, of each command.
func TestGetKey(t *testing.T) {
	w := newWorld(t)
	v := w.issue("cash", alice, 1000)
	key := func(query string) *answer { return w.get("/api/v1/keys", "/api/v1/keys?"+query) }
	redeemed := w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d"}`, v.ID)).want(t, 200).field("id")
	key("command=redeem&key=k").want(t, 200, "state=done", "command=redeem", "key=k", "operation.id="+redeemed, "operation.status=USED", "vouchers.0.status=USED")
	w.reverse(redeemed, "k", "").want(t, 200)
	key("command=redeem&key=k").want(t, 200, "operation.status=USED", "vouchers.0.status=ISSUED")
	key("command=reverse&key=k&redemption_id="+redeemed).want(t, 200, "state=done", "operation.command=reverse")
	for _, command := range []string{"void", "extend", "expire"} {
		key("command="+command+"&key=k").want(t, 200, "state=never_seen")
	}
	w.change(v.ID, "expire", "k", "").want(t, 200)
	w.change(v.ID, "extend", "k", `{"expires_at": "2027-01-01T00:00:00+08:00"}`).want(t, 200)
	w.change(v.ID, "void", "k", "").want(t, 200)
	for _, command := range []string{"void", "extend", "expire"} {
		key("command="+command+"&key=k").want(t, 200, "state=done", "operation.command="+command, "vouchers.0.status=VOIDED")
	}
	key("command=issue&key=issue-1&template=cash").want(t, 200, "state=done", fmt.Sprint("vouchers.0.id=", v.ID), "operation=")
	key("command=issue&key=issue-1&template=off").want(t, 200, "state=never_seen")

	lines := []benefit.Line{{Template: 5, Sends: 2, Quantity: 1}}
	for _, r := range []*benefit.Request{{Scope: scope.Relation(1, 42), Key: "活动"}, {Scope: scope.Biz(1, "b/1"), Key: "k"}} {
		r.App, r.Recipient, r.Lines, r.Fingerprint = 1, alice, lines, benefit.FingerprintOf(lines)
		if o, err := w.engine.Issue(t.Context(), r); err != nil || o.Reason != benefit.NotRefused {
			t.Fatal(o.Reason, err)
		}
	}
	key("command=issue&key=%E6%B4%BB%E5%8A%A8&relation_id=42").want(t, 200, "state=done", "vouchers.1.template.name=thing", "vouchers.2=")
	key("command=issue&key=k&biz_code=b%2F1").want(t, 200, "state=done", "vouchers.1.template.name=thing")
	for query, field := range map[string]string{
		"key=k": "command", "command=redeem": "key", "command=use&key=k": "command", "command=reverse&key=k": "redemption_id",
		"command=reverse&key=k&redemption_id=1": "redemption_id", "command=issue&key=k": "template", "command=issue&key=k&template=theirs": "template",
		"command=issue&key=k&template=cash&biz_code=b": "template", "command=redeem&key=k&template=cash": "template",
		"command=issue&key=k&relation_id=x": "relation_id",
	} {
		key(query).want(t, 400, "reason=REQUEST_INVALID", "field="+field)
	}
}

// A key whose calls were refused is shown with the reasons, to the app that used it.
func TestRefusedKeys(t *testing.T) {
	w := newWorld(t)
	off := w.issue("off", alice, 0)
	key := func(query string) *answer { return w.get("/api/v1/keys", "/api/v1/keys?"+query) }
	w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d"}`, off.ID)).want(t, 422)
	w.at(time.Second)
	w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d", "order_amount": "1"}`, off.ID)).want(t, 422)
	w.redeem("k", `{"voucher": "1"}`).want(t, 400)
	w.change(off.ID, "extend", "k", `{"expires_at": "2026-11-22T12:00:00+08:00"}`).want(t, 422)
	key("command=redeem&key=k").want(t, 200, "state=refused", "refusals.0.reason=THRESHOLD_NOT_MET", "refusals.0.at=2026-11-22T12:00:01.000+08:00",
		"refusals.1.reason=AMOUNT_MISSING", "refusals.2=", "vouchers=[]")
	key("command=extend&key=k").want(t, 200, "state=refused", "refusals.0.reason=END_NOT_LATER", "refusals.1=")
	key("command=void&key=k").want(t, 200, "state=never_seen", "refusals=")
	key("command=redeem&key=other").want(t, 200, "state=never_seen", "refusals=")
	key("command=reverse&key=k&redemption_id=1-1").want(t, 200, "state=never_seen", "refusals=")
	w.refusals.Note(&gateway.Record{
		Code: "40004", SubCode: "X", Key: "i", App: 1, Reason: benefit.StockEmpty, Request: &benefit.Request{Scope: scope.Template(1), Key: "i"},
	}, noon)
	key("command=issue&key=i&template=cash").want(t, 200, "state=refused", "refusals.0.reason=STOCK_EMPTY")
	key("command=issue&key=i&template=off").want(t, 200, "state=never_seen")
	mine := w.secret
	w.secret = w.token("second", "query")
	key("command=redeem&key=k").want(t, 200, "state=never_seen", "refusals=")
	w.secret = mine
	w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d", "order_amount": "2000"}`, off.ID)).want(t, 200)
	key("command=redeem&key=k").want(t, 200, "state=done", "refusals.1.reason=AMOUNT_MISSING", "operation.status=USED")
}

func TestLists(t *testing.T) {
	w := newWorld(t)
	var want []string
	for n := range 7 {
		w.at(time.Duration(n) * time.Second)
		want = append(want, fmt.Sprint(w.issue("cash", alice, 100).ID))
		w.issue("theirs", alice, 0)
	}
	slices.Reverse(want)
	list := func(query string) *answer {
		return w.get("/api/v1/vouchers", "/api/v1/vouchers?user_type=ALIPAY&user="+alice.Value+query)
	}
	var got []string
	cursor := ""
	for pages := 0; ; pages++ {
		a := list("&limit=3"+cursor).want(t, 200)
		for n := range 3 {
			if one := a.field(fmt.Sprintf("vouchers.%d.id", n)); one != "" {
				got = append(got, one)
			}
		}
		if a.field("next_cursor") == "" {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
		cursor = "&cursor=" + a.field("next_cursor")
		w.at(time.Hour)
		w.issue("cash", alice, 100) // what comes meanwhile is not listed, and moves nothing
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	// One issue of several vouchers on several pages.
	bob := benefit.Identifier{Type: benefit.AlipayID, Value: "2088302001456116"}
	many := &benefit.Request{Scope: scope.Template(5), Key: "many", App: 1, Recipient: bob, Lines: []benefit.Line{{Template: 5, Sends: 5, Quantity: 1}}}
	if o, err := w.engine.Issue(t.Context(), many); err != nil || o.Reason != benefit.NotRefused {
		t.Fatal(o.Reason, err)
	} else {
		first := o.Issuance.FirstVoucher()
		query := "/api/v1/vouchers?user_type=ALIPAY&limit=2&user=" + bob.Value
		one := w.get("/api/v1/vouchers", query).want(t, 200, fmt.Sprint("vouchers.0.id=", first+4), fmt.Sprint("vouchers.1.id=", first+3))
		two := w.get("/api/v1/vouchers", query+"&cursor="+one.field("next_cursor")).want(t, 200, fmt.Sprint("vouchers.0.id=", first+2))
		w.get("/api/v1/vouchers", query+"&cursor="+two.field("next_cursor")).want(t, 200,
			fmt.Sprint("vouchers.0.id=", first), "vouchers.1=", "next_cursor=")
	}
	code := w.issue("code", alice, 0)
	w.get("/api/v1/vouchers", "/api/v1/vouchers?code="+code.Code).want(t, 200, fmt.Sprint("vouchers.0.id=", code.ID), "vouchers.0.code="+code.Code, "vouchers.1=")
	w.get("/api/v1/vouchers", "/api/v1/vouchers?code=000000000000").want(t, 200, "vouchers=[]")
	w.get("/api/v1/vouchers", "/api/v1/vouchers?user_type=TAOBAO&user=none").want(t, 200, "vouchers=[]")
	for query, field := range map[string]string{
		"": "code", "?code=1&user_type=ALIPAY&user=1": "code", "?template=cash&order=1": "code", "?user=1": "user", "?template=theirs": "template",
		"?template=none": "template", "?user_type=ALIPAY": "user", "?code=": "code",
		"?user_type=a%3Ab&user=1": "user_type", "?code=1&limit=0": "limit", "?code=1&limit=101": "limit", "?code=1&cursor=x": "cursor",
		"?code=1&cursor=-1": "cursor", "?code=1&code=2": "code", "?code=1&status=USED": "status", "?code=%00": "code", "?code=%ff": "code",
	} {
		w.get("/api/v1/vouchers", "/api/v1/vouchers"+query).want(t, 400, "reason=REQUEST_INVALID", "field="+field)
	}
	w.get("/api/v1/vouchers", "/api/v1/vouchers?code=%zz").want(t, 400, "reason=REQUEST_INVALID")
}

// Vouchers are found by their template, by the trace id of their issue, and by the order that they were redeemed for.
func TestOtherLists(t *testing.T) {
	w := newWorld(t)
	list := func(query string) string {
		t.Helper()
		a := w.get("/api/v1/vouchers", "/api/v1/vouchers?"+query).want(t, 200)
		var ids []string
		for n := range 10 {
			if one := a.field(fmt.Sprintf("vouchers.%d.id", n)); one != "" {
				ids = append(ids, one)
			}
		}
		return strings.Join(append(ids, a.field("next_cursor")), " ")
	}
	var ids []string
	for n := range 3 {
		w.at(time.Duration(n) * time.Second)
		ids = append(ids, fmt.Sprint(w.issue("cash", alice, 100).ID))
		w.issue("thing", alice, 0)
	}
	for query, want := range map[string]string{
		"template=cash": ids[2] + " " + ids[1] + " " + ids[0] + " ", "template=cash&limit=2": ids[2] + " " + ids[1] + " " + ids[1],
		"template=cash&cursor=" + ids[1]: ids[0] + " ", "template=off": "", "trace_id=none": "", "order=none": "",
	} {
		if got := list(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	traced := func(key string, template benefit.TemplateID) string {
		r := &benefit.Request{Scope: scope.Biz(1, "b"), Key: key, App: 1, Recipient: alice, Lines: []benefit.Line{{Template: template, Sends: 1, Quantity: 1}}}
		r.Fingerprint, r.Note.TraceID = benefit.FingerprintOf(r.Lines), "跟踪-1"
		o, err := w.engine.Issue(t.Context(), r)
		if err != nil || o.Reason != benefit.NotRefused {
			t.Fatal(o.Reason, err)
		}
		return fmt.Sprint(o.Issuance.FirstVoucher())
	}
	one := traced("1", 5)
	w.at(time.Hour)
	two := traced("2", 2)
	traced("3", 8) // of another merchant
	trace := "trace_id=%E8%B7%9F%E8%B8%AA-1"
	if got := list(trace); got != two+" "+one+" " {
		t.Errorf("by trace id: %q", got)
	}
	if got := list(trace + "&limit=1"); got != two+" "+two {
		t.Errorf("by trace id, a page: %q", got)
	}

	for n, v := range []string{one, ids[2], ids[2], ids[0]} {
		w.redeem(fmt.Sprint("r", n), fmt.Sprintf(`{"voucher_id": "%s", "order": "o/1"}`, v))
		w.reverse(v+"-1", "back", "").want(t, 200)
	}
	w.redeem("other", fmt.Sprintf(`{"voucher_id": "%s", "order": "o/2"}`, ids[1])).want(t, 200)
	if got := list("order=o/1"); got != one+" "+ids[2]+" "+ids[0]+" " {
		t.Errorf("by order: %q, want %s %s %s", got, one, ids[2], ids[0])
	}
	if got := list("order=o/1&limit=1&cursor=" + one); got != ids[2]+" "+ids[2] {
		t.Errorf("by order, a page: %q", got)
	}
	// The order of another merchant is another one.
	w.secret = w.token("other", "query")
	if got := list("order=o/1"); got != "" {
		t.Errorf("of another merchant: %q", got)
	}
}

// A page of a list looks at no more than so many issuances. It may be empty, and still lead to the next one.
func TestListsLookAtSoMany(t *testing.T) {
	w := newWorld(t)
	mine := w.issue("thing", alice, 0)
	w.at(time.Second)
	for range 1000 {
		w.issue("theirs", alice, 0)
	}
	list := "/api/v1/vouchers?user_type=ALIPAY&user=" + alice.Value
	first := w.get("/api/v1/vouchers", list).want(t, 200, "vouchers=[]")
	if first.field("next_cursor") == "" {
		t.Fatal("there is no cursor")
	}
	w.get("/api/v1/vouchers", list+"&cursor="+first.field("next_cursor")).want(t, 200, fmt.Sprint("vouchers.0.id=", mine.ID), "vouchers.1=", "next_cursor=")
}

// Codes of certificates are shown to those who have them.
func TestCodesAreMasked(t *testing.T) {
	w := newWorld(t)
	v := w.issue("code", alice, 0)
	redeemed := w.redeem("k", fmt.Sprintf(`{"code": "%s"}`, v.Code))
	for _, a := range []*answer{
		redeemed, w.voucher(v.ID), w.get("/api/v1/keys", "/api/v1/keys?command=redeem&key=k"),
		w.get("/api/v1/vouchers", "/api/v1/vouchers?user_type=ALIPAY&user="+alice.Value),
	} {
		if a.status != 200 || strings.Contains(string(a.body), v.Code) {
			t.Errorf("%s", a.body)
		}
	}
}

// Operations show what they were, and whose.
func TestStory(t *testing.T) {
	w := newWorld(t)
	v := w.issue("cash", alice, 1000)
	for n := range 3 {
		w.redeem(fmt.Sprint("k", n), fmt.Sprintf(`{"voucher_id": "%d", "amount": "1"}`, v.ID)).want(t, 200)
	}
	w.voucher(v.ID).want(t, 200, "operation_count=3", "operations.0.key=k0", "operations.2.key=k2", "operations.2.balance=997", "operations.3=", "balance=997")
	cmd := &benefit.OnVoucher{Action: &benefit.Void{}, Key: "k", Voucher: w.issue("thing", alice, 0).ID}
	if err := w.engine.Do(t.Context(), cmd); err != nil || cmd.Outcome.Reason != benefit.NotRefused {
		t.Fatal(cmd.Outcome.Reason, err)
	}
	w.voucher(cmd.Voucher).want(t, 200, "operations.0.command=void", "operations.0.app=", "operations.0.key=")
}

// What is not as it should be is refused, with the name of the member.
func TestBodies(t *testing.T) {
	w := newWorld(t)
	v := w.issue("cash", alice, 1000)
	with := func(more string) string { return fmt.Sprintf(`{"voucher_id": "%d"%s}`, v.ID, more) }
	for name, test := range map[string]struct{ body, field string }{
		"nothing":                   {"", "voucher_id"},
		"an empty object":           {"{}", "voucher_id"},
		"both names":                {with(`, "code": "123"`), "voucher_id"},
		"a member that is not read": {with(`, "order_ammount": "100"`), "order_ammount"},
		"another letter case":       {with(`, "Order": "100"`), "Order"},
		"twice":                     {with(`, "order": "1", "order": "2"`), "order"},
		"a number for an id":        {fmt.Sprintf(`{"voucher_id": %d}`, v.ID), "voucher_id"},
		"an id with a zero":         {fmt.Sprintf(`{"voucher_id": "0%d"}`, v.ID), "voucher_id"},
		"a negative id":             {`{"voucher_id": "-1"}`, "voucher_id"},
		"too large an id":           {`{"voucher_id": "9223372036854775808"}`, "voucher_id"},
		"a number for an amount":    {with(`, "amount": 100`), "amount"},
		"yuan":                      {with(`, "amount": "1.00"`), "amount"},
		"a signed amount":           {with(`, "amount": "+100"`), "amount"},
		"a negative amount":         {with(`, "amount": "-100"`), "amount"},
		"an amount with a zero":     {with(`, "amount": "0100"`), "amount"},
		"too large an amount":       {with(`, "amount": "9223372036854775808"`), "amount"},
		"an empty text":             {with(`, "order": ""`), "order"},
		"null":                      {with(`, "order": null`), "order"},
		"too long":                  {with(`, "order": "` + strings.Repeat("单", 65) + `"`), "order"},
		"a control character":       {with(`, "shop": "a\nb"`), "shop"},
		"no object for a holder":    {with(`, "holder": "ALIPAY"`), "holder"},
		"half a holder":             {with(`, "holder": {"type": "ALIPAY"}`), "holder.value"},
		"more than a holder":        {with(`, "holder": {"type": "ALIPAY", "value": "1", "app": "2"}`), "holder.app"},
		"a type that is none":       {with(`, "holder": {"type": "a:b", "value": "1"}`), "holder.type"},
		"the id of a user":          {with(`, "holder": {"type": "@USER", "value": "1"}`), "holder.type"},
	} {
		if a := w.redeem("k", test.body); a.status != 400 || a.field("reason") != "REQUEST_INVALID" || a.field("field") != test.field {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	for _, body := range []string{"[]", `"a"`, "{", with("") + "x", with("") + "{}", with(",")} {
		w.redeem("k", body).want(t, 400, "reason=REQUEST_INVALID", "field=")
	}
	w.redeem("k", with(`, "order": "`+strings.Repeat("x", 4096)+`"`)).want(t, 413, "reason=BODY_TOO_LARGE")
	w.change(v.ID, "void", "k", `{"return_stock": "true"}`).want(t, 400, "field=return_stock")
	w.change(v.ID, "extend", "k", `{}`).want(t, 400, "field=expires_at")
	w.change(v.ID, "extend", "k", `{"expires_at": "2027-01-01 00:00:00"}`).want(t, 400, "field=expires_at")
	w.change(v.ID, "expire", "k", `{"at": "now"}`).want(t, 400, "field=at")
	form := request{
		method: "POST", path: "/api/v1/redemptions", template: "/api/v1/redemptions", token: w.secret, key: "k", body: with(""),
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	}
	w.send(form).want(t, 415, "reason=NOT_JSON")
	for _, path := range []string{"/api/v1/vouchers/x", "/api/v1/vouchers/0", "/api/v1/vouchers/-1", "/api/v1/vouchers/01"} {
		w.get("/api/v1/vouchers/{id}", path).want(t, 400, "field=id")
	}
	w.reverse("1", "k", "").want(t, 400, "field=id")
	w.voucher(v.ID).want(t, 200, "operation_count=0")
	form.header["Content-Type"] = "application/json; charset=utf-8"
	w.send(form).want(t, 200)
}

func TestPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/api/v1", "/api/v1/users", "/api/v2/vouchers", "/router/rest"} {
		w.send(request{method: "GET", path: path}).want(t, 404, "reason=PATH_NOT_FOUND")
	}
	a := w.send(request{method: "DELETE", path: "/api/v1/vouchers/1"}).want(t, 405, "reason=METHOD_NOT_ALLOWED")
	if a.header.Get("Allow") != "GET" {
		t.Errorf("Allow: %s", a.header.Get("Allow"))
	}
}

func TestRateOfAnApp(t *testing.T) {
	w := newWorld(t)
	w.secret = w.token("limited", "query")
	for range 2 {
		w.get("/api/v1/vouchers", "/api/v1/vouchers?code=1").want(t, 200)
	}
	a := w.get("/api/v1/vouchers", "/api/v1/vouchers?code=1").want(t, 429, "reason=RATE_LIMITED")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After: %q", a.header.Get("Retry-After"))
	}
	w.at(time.Second)
	w.get("/api/v1/vouchers", "/api/v1/vouchers?code=1").want(t, 200)
}

// A call whose outcome is not known says so, and a retry settles it; one that certainly changed nothing says that.
func TestUndecided(t *testing.T) {
	w := newWorld(t)
	v := w.issue("cash", alice, 1000)
	body := fmt.Sprintf(`{"voucher_id": "%d", "amount": "100"}`, v.ID)
	for _, test := range []struct {
		err    error
		reason string
	}{{engine.ErrUnknown, "OUTCOME_UNKNOWN"}, {engine.ErrInvalid, "OUTCOME_UNKNOWN"}, {http.ErrHandlerTimeout, "OUTCOME_UNKNOWN"}, {engine.ErrBusy, "BUSY"}, {engine.ErrNotIssued, "BUSY"}} {
		w.fail.Store(&test.err)
		w.redeem("k", body).want(t, 503, "reason="+test.reason)
		if last := w.calls[len(w.calls)-1]; last.Err == nil && errors.Is(test.err, engine.ErrInvalid) {
			t.Error("a panic of the core is not in the record")
		}
	}
	if a := w.redeem("k", body).want(t, 200, "balance=900"); a.header.Get("Idempotency-Replayed") != "true" {
		t.Error("the retry was carried out again")
	}
}

// A key is in doubt while nothing is stored under it and the outcome of its latest call is unknown. A call that is decided
// settles it; one that was certainly not carried out does not.
func TestKeyInDoubt(t *testing.T) {
	w := newWorld(t)
	off := w.issue("off", alice, 0)
	key := func() *answer { return w.get("/api/v1/keys", "/api/v1/keys?command=redeem&key=k") }
	fails := func(err error) {
		t.Helper()
		w.fail.Store(&err)
		w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d", "order_amount": "2000"}`, off.ID)).want(t, 503)
		w.at(time.Second)
	}
	w.lose.Store(true)
	fails(engine.ErrBusy)
	key().want(t, 200, "state=never_seen")
	fails(engine.ErrUnknown)
	key().want(t, 200, "state=in_doubt", "refusals=", "vouchers=[]", "operation=")
	fails(engine.ErrNotIssued)
	key().want(t, 200, "state=in_doubt")
	w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d", "order_amount": "1"}`, off.ID)).want(t, 422)
	key().want(t, 200, "state=refused", "refusals.0.reason=THRESHOLD_NOT_MET", "refusals.1=")
	fails(engine.ErrUnknown)
	key().want(t, 200, "state=in_doubt", "refusals.0.reason=THRESHOLD_NOT_MET")
	w.lose.Store(false)
	fails(engine.ErrUnknown) // it is carried out
	key().want(t, 200, "state=done", "operation.status=USED")
}

// A name of a parameter may be anything; what is written of it is text, and not long.
func TestNamesOfParameters(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{"%ff=1", "%ff=1&%ff=2"} {
		w.get("/api/v1/vouchers", "/api/v1/vouchers?"+query).want(t, 400, "reason=REQUEST_INVALID", "detail=the name of a parameter is not UTF-8", "field=")
	}
	long := strings.Repeat("x", 1000)
	for _, query := range []string{long + "=1", long + "=1&" + long + "=2"} {
		a := w.get("/api/v1/vouchers", "/api/v1/vouchers?code=1&"+query).want(t, 400, "reason=REQUEST_INVALID", "field="+long[:128])
		if strings.Contains(a.field("detail"), long) {
			t.Errorf("%s", a.body)
		}
	}
}

// A panic is answered, wherever it is: to a change as an unknown outcome, to a query as a defect.
func TestPanics(t *testing.T) {
	w := newWorld(t)
	v := w.issue("cash", alice, 1000)
	w.spoil = func(o *benefit.VoucherOutcome) { o.Transition.Order = "\xff" } // which JSON cannot hold
	w.redeem("k", fmt.Sprintf(`{"voucher_id": "%d"}`, v.ID)).want(t, 503, "reason=OUTCOME_UNKNOWN")
	w.spoil = nil
	w.broken = func() error { panic("broken") }
	a := w.voucher(v.ID).want(t, 500, "reason=INTERNAL")
	if strings.Contains(string(a.body), "Idempotency") || a.header.Get("Retry-After") != "" {
		t.Errorf("%v %s", a.header, a.body)
	}
	for _, r := range w.calls {
		if r.Err == nil {
			t.Errorf("%s: the record has no error", r.Method)
		}
	}
}

// Damage is not taken for a store that is busy: a retry would not help.
func TestDamage(t *testing.T) {
	w := newWorld(t)
	v := w.issue("cash", alice, 1000)
	for _, test := range []struct {
		err    error
		status int
		reason string
	}{{store.ErrDamaged, 500, "INTERNAL"}, {table.ErrMalformed, 500, "INTERNAL"}, {context.DeadlineExceeded, 503, "BUSY"}} {
		w.broken = func() error { return fmt.Errorf("voucher: %w", test.err) }
		if a := w.voucher(v.ID).want(t, test.status, "reason="+test.reason); (a.header.Get("Retry-After") == "") != (test.status == 500) {
			t.Errorf("%s: %v", test.reason, a.header)
		}
	}
}

// Calls are recorded for the log and for metrics, without secrets and codes.
func TestRecords(t *testing.T) {
	w := newWorld(t)
	v := w.issue("code", alice, 0)
	body := fmt.Sprintf(`{"code": "%s"}`, v.Code)
	w.redeem("k", body)
	w.redeem("k", body)
	w.redeem("other", body)
	w.redeem("", body)
	w.voucher(v.ID)
	w.send(request{method: "GET", path: "/api/v1/keys"})
	var got []string
	for _, r := range w.calls {
		got = append(got, fmt.Sprintf("%s %s %s %s", r.Method, r.Outcome, r.SubCode, r.Key))
		if r.Protocol != api.Protocol || r.TraceID == "" || strings.Contains(fmt.Sprintf("%+v", r), v.Code) || strings.Contains(fmt.Sprintf("%+v", r), w.secret) {
			t.Errorf("%+v", r)
		}
	}
	want := []string{
		"redeem answered  k", "redeem replayed  k", "redeem refused VOUCHER_USED other", "redeem invalid KEY_MISSING ",
		"getVoucher answered  ", "getKey unauthorized TOKEN_MISSING ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if w.calls[0].Outcome != gateway.Answered || w.calls[0].Voucher != v.ID {
		t.Errorf("%+v", w.calls[0])
	}
}
