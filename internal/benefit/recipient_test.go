package benefit_test

import (
	"fmt"
	"slices"
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/storetest"
)

func registered(t *Template) { t.Merchant = storetest.RegisteredMerchant }

// grantedByOther makes the template one of a merchant that accepts registered recipients, which the app may issue.
func grantedByOther(t *Template) { t.Merchant, t.GrantedTo = storetest.RegisteredMerchant, []AppID{1} }

// Who is accepted, by policy and by type of identifier.
func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		ident    Identifier
		open     Reason // from a merchant that takes unknown recipients
		register Reason // from one that does not
	}{
		{Identifier{Type: AlipayID, Value: "2088"}, NotRefused, UserNotFound},
		{Identifier{Type: TaobaoID, Value: "new"}, NotRefused, UserNotFound},
		{Identifier{Type: OpenID, Value: "new", App: 1}, NotRefused, UserNotFound},
		{Identifier{Type: "MEMBER", Value: "new"}, NotRefused, UserNotFound},
		{Identifier{Type: Login, Value: "new"}, UserNotFound, UserNotFound},
		{Identifier{Type: Nick, Value: "new"}, UserNotFound, UserNotFound},
		{Identifier{Type: TaobaoID}, UserNotFound, UserNotFound},
		{Identifier{Type: TaobaoID, Value: "known"}, NotRefused, NotRefused},
		{Identifier{Type: Login, Value: "known"}, NotRefused, NotRefused},
		{Identifier{Type: Nick, Value: "known"}, NotRefused, NotRefused},
		{Identifier{Type: TaobaoID, Value: "frozen"}, UserFrozen, UserFrozen},
		{Identifier{Type: OpenID, Value: "known", App: 1}, NotRefused, NotRefused},
		{Identifier{Type: OpenID, Value: "known", App: 2}, NotRefused, UserNotFound}, // another app's is another user
	} {
		for _, policy := range []struct {
			name string
			want Reason
			tmpl *Template
		}{{"open", c.open, template(1)}, {"registered", c.register, template(1, registered)}} {
			t.Run(fmt.Sprint(policy.name, " ", c.ident), func(t *testing.T) {
				d := newDesk(t, policy.tmpl)
				d.users(
					&User{ID: 11, Identifiers: []Identifier{
						{Type: TaobaoID, Value: "known"}, {Type: Login, Value: "known"}, {Type: Nick, Value: "known"},
						{Type: OpenID, Value: "known", App: 1},
					}},
					&User{ID: 12, Frozen: true, Identifiers: []Identifier{{Type: TaobaoID, Value: "frozen"}}})
				known := len(d.contents().Users)
				d.wants(policy.want, request("k", "", 1, func(r *Request) { r.Recipient = c.ident }))
				made := policy.want == NotRefused && (c.ident.Value == "new" || c.ident.Value == "2088" || c.ident.App == 2)
				if got := len(d.contents().Users) - known; (got == 1) != made {
					t.Errorf("made %d users", got)
				}
			})
		}
	}
}

// A user that an open merchant's template made stays unknown to a merchant who asks for registered recipients, until the
// operator's directory names it: then it is the same user, with its vouchers.
func TestIssuingRegistersNobody(t *testing.T) {
	d := newDesk(t, template(1), template(2, registered, status(Paused)), template(3, registered))
	made := d.ask(request("open", "a", 1))
	d.wants(UserNotFound, request("paused", "a", 2)) // as for an unknown user, before the status
	d.wants(UserNotFound, request("k", "a", 3))
	d.wants(UserNotFound, request("by id", "", 3, func(r *Request) { r.Recipient = RefTo(made.Issuance.User) }))
	line := func(n TemplateID) Line { return Line{Template: n, Sends: 1, Quantity: 1} }
	both := func() *Request { return request("both", "a", 1, lines(line(1), line(3)), continues) }
	wantReasons(t, "each line by its owner", d.ask(both()), NotRefused, UserNotFound)
	o := d.batch(request("new", "b", 1), request("new", "b", 3))
	if o[0].Reason != NotRefused || o[1].Reason != UserNotFound {
		t.Errorf("in the batch that makes the user: %s, %s", o[0].Reason, o[1].Reason)
	}

	users := d.contents().Users
	at := slices.IndexFunc(users, func(u *User) bool { return u.ID == made.Issuance.User })
	if at < 0 || !users[at].Unregistered {
		t.Fatalf("issuing made %+v", users)
	}
	u := *users[at]
	u.Unregistered = false
	d.users(&u)
	if o := d.wants(NotRefused, request("k", "a", 3)); o.Issuance.User != made.Issuance.User {
		t.Errorf("issued to user %d, want %d", o.Issuance.User, made.Issuance.User)
	}
	wantReasons(t, "a frozen line", d.ask(both()), NotRefused, NotRefused)
	u.Unregistered = true
	d.users(&u)
	if o := d.ask(request("k", "a", 3)); !o.Replayed || o.Issuance == nil {
		t.Errorf("a bound key came to %+v", o)
	}
}

// A scene gives an unregistered user the rights of open merchants only, and explains that afterwards.
func TestUnregisteredUserOfAScene(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.ask(request("makes the user", "new", 1))
	grantedByOther(d.templates[1])
	d.renew()
	o := d.ask(inScene("some", "new"))
	d.wantChosen(o, 1, 3)
	for _, c := range Explain(d.committer.Catalogue, o.Issuance, storetest.Rules{}).Candidates {
		if want := c.ActCode != "A2"; c.Chosen != want {
			t.Errorf("%s is explained as chosen: %v", c.ActCode, c.Chosen)
		}
	}
	for _, tmpl := range d.templates {
		grantedByOther(tmpl)
	}
	d.renew()
	d.wants(UserNotFound, inScene("none", "new"))
	d.wantChosen(d.ask(inScene("known", "a")), 1, 2, 3)
}

// The user's row is made by the commit that issues, once, in the home bucket of its first identifier.
func TestNewUser(t *testing.T) {
	d := newDesk(t, template(1), template(2))
	o := d.batch(request("k", "2088", 1), request("l", "2088", 2), request("m", "2088", 1, func(r *Request) { r.Recipient.Type = AlipayID }))
	users := d.contents().Users
	if len(users) != 2 || o[0].Issuance.User != o[1].Issuance.User || o[0].Issuance.User == o[2].Issuance.User {
		t.Fatalf("made %d users; the issuances are of %d, %d, %d", len(users), o[0].Issuance.User, o[1].Issuance.User, o[2].Issuance.User)
	}
	for _, u := range users {
		first := u.Identifiers[0]
		if u.ID.Bucket() != id.BucketOf(first.String()) {
			t.Errorf("%s lives in bucket %d", first, u.ID.Bucket())
		}
		if (u.Alipay != "") != (first.Type == AlipayID) {
			t.Errorf("%s has the Alipay id %q", first, u.Alipay)
		}
	}
	for _, x := range o {
		if x.Issuance.ID.Bucket() != x.Issuance.User.Bucket() {
			t.Error("a voucher does not carry the bucket of its user")
		}
	}
}

// The user's Alipay id is kept with an issuance when another identifier was sent.
func TestAlipayIDIsKept(t *testing.T) {
	d := newDesk(t, template(1))
	d.users(&User{ID: 11, Alipay: "2088", Identifiers: []Identifier{{Type: AlipayID, Value: "2088"}, {Type: Login, Value: "a@b"}}})
	byID := func(r *Request) { r.Recipient.Type = AlipayID }
	if i := d.ask(request("k", "2088", 1, byID)).Issuance; i.Alipay != "" || i.User != 11 {
		t.Errorf("by the Alipay id: %q", i.Alipay)
	}
	i := d.ask(request("l", "", 1, func(r *Request) { r.Recipient = Identifier{Type: Login, Value: "a@b"} })).Issuance
	if i.Alipay != "2088" || i.User != 11 || i.Recipient.Value != "a@b" {
		t.Errorf("by the login: %q, %+v", i.Alipay, i.Recipient)
	}
}

// One line of a registered owner is enough to need a known recipient.
func TestMixedOwners(t *testing.T) {
	d := newDesk(t, template(1), template(2, registered), template(3, func(t *Template) { t.Merchant = 77 }))
	line := func(n TemplateID) Line { return Line{Template: n, Sends: 1, Quantity: 1} }
	wantReasons(t, "unknown", d.ask(request("k", "a", 1, lines(line(1), line(2)))), UserNotFound, UserNotFound)
	wantReasons(t, "a template without a merchant", d.ask(request("k", "a", 3)), UserNotFound)
	d.users(&User{ID: 11, Identifiers: []Identifier{{Type: TaobaoID, Value: "a"}}})
	wantReasons(t, "known", d.ask(request("k", "a", 1, lines(line(1), line(2), line(3)))), NotRefused, NotRefused, NotRefused)
}

// The person's limit is over all linked users, in whatever batch and order they come.
func TestPersonLimitOverLinkedUsers(t *testing.T) {
	d := newDesk(t, template(1, func(t *Template) { t.Limits.PerPerson = 3 }))
	user := func(n UserID, person string) *User {
		return &User{ID: n, Person: person, Identifiers: []Identifier{{Type: TaobaoID, Value: fmt.Sprint(int64(n))}}}
	}
	d.users(user(1, "p"), user(2, "p"), user(3, "q"), user(4, ""))
	o := d.batch(request("a", "1", 1), request("b", "2", 1), request("c", "3", 1), request("d", "2", 1), request("e", "1", 1), request("f", "2", 1))
	for k, want := range []Reason{NotRefused, NotRefused, NotRefused, NotRefused, PersonLimit, PersonLimit} {
		if o[k].Reason != want {
			t.Errorf("request %d: %s, want %s", k, o[k].Reason, want)
		}
	}
	d.wants(PersonLimit, request("g", "2", 1))
	d.users(user(2, "q"))
	d.wants(NotRefused, request("h", "1", 1))  // two of p are left with one voucher
	d.wants(PersonLimit, request("i", "3", 1)) // and q has three
	d.wants(NotRefused, request("j", "4", 1))
}

// The day turns at midnight +08:00 and not before, for users and for stock.
func TestDayLimitOverMidnight(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Template)
		want   Reason
	}{
		"user":   {func(t *Template) { t.Limits.PerUserPerDay = 2 }, UserDayLimit},
		"stock":  {func(t *Template) { t.Stock.CountPerDay = 2 }, DayStockEmpty},
		"budget": {func(t *Template) { t.Stock.AmountPerDay = 1000 }, DayBudgetEmpty},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, template(1, c.change))
			d.clock = at(t, "2026-11-11 00:00:00")
			d.wants(NotRefused, request("a", "u", 1))
			d.clock = at(t, "2026-11-11 23:59:59.999")
			d.wants(NotRefused, request("b", "u", 1))
			d.wants(c.want, request("c", "u", 1))
			d.clock++
			d.wants(NotRefused, request("c", "u", 1))
			d.clock -= 5 // a clock that steps back reopens nothing
			d.wants(NotRefused, request("d", "u", 1))
			d.wants(c.want, request("e", "u", 1))
			if days := storetest.RowsOf(d.contents(), TemplateDays); len(days) != 2 || days[0].Count != 2 || days[1].Count != 2 {
				t.Errorf("the days count %+v", days)
			}
		})
	}
}

// Asking for a row that nobody loaded is a mistake of the caller, and never a zero.
func TestRowsThatWereNotLoaded(t *testing.T) {
	for name, load := range map[string]func(x *trial, st *State){
		"claim":     func(x *trial, st *State) { st.SetRecipient(x.request.Recipient, x.user, nil) },
		"recipient": func(x *trial, st *State) { st.SetClaim(x.request.ClaimID(), nil) },
		"template": func(x *trial, st *State) {
			st.SetClaim(x.request.ClaimID(), nil)
			st.SetRecipient(x.request.Recipient, x.user, nil)
		},
		"quota": func(x *trial, st *State) {
			st.SetClaim(x.request.ClaimID(), nil)
			st.SetRecipient(x.request.Recipient, x.user, nil)
			TemplateCounts.Load(st.Rows(), 1, TemplateCount{Template: 1})
			TemplateDays.Load(st.Rows(), 1, TemplateDay{Template: 1, Day: x.now.Day()})
			Participations.Load(st.Rows(), 1, Participation{ParticipationKey: ParticipationKey{User: 11, Activity: 1}})
		},
		"participation": func(x *trial, st *State) {
			st.SetClaim(x.request.ClaimID(), nil)
			st.SetRecipient(x.request.Recipient, x.user, nil)
			TemplateCounts.Load(st.Rows(), 1, TemplateCount{Template: 1})
			TemplateDays.Load(st.Rows(), 1, TemplateDay{Template: 1, Day: x.now.Day()})
			Quotas.Load(st.Rows(), 1, Quota{QuotaKey: QuotaKey{User: 11, Template: 1}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("decided without it")
				}
			}()
			x := newTrial()
			st := NewState()
			st.Reset(now)
			load(x, st)
			Apply(x.catalogue(), Choose(x.catalogue(), st, x.request, testEnv(1)), st)
		})
	}
}
