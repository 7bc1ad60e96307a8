package benefit_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/storetest"
)

// claimDesk issues on a store whose commits can be stopped between the claims and the rest.
type claimDesk struct {
	desk
	claiming *storetest.Claiming
}

func newClaimDesk(t *testing.T, templates ...*Template) *claimDesk {
	st := storetest.NewClaiming()
	return &claimDesk{desk{t: t, store: st.Store, committer: storetest.NewCommitter(st, storetest.Catalogue(templates...), 1), clock: now}, st}
}

// claim binds the requests and issues nothing.
func (d *claimDesk) claim(requests ...*Request) {
	d.t.Helper()
	d.claiming.Stop = storetest.BetweenParts
	if _, err := d.committer.Issue(d.t.Context(), d.clock, requests...); !errors.Is(err, storetest.ErrStopped) {
		d.t.Fatalf("the commit was not stopped: %v", err)
	}
	d.empty()
}

// empty fails when anything was issued.
func (d *claimDesk) empty() {
	d.t.Helper()
	if c := d.contents(); len(c.Issuances)+len(c.Quotas)+len(c.Counts) != 0 {
		d.t.Errorf("something was issued: %+v", c)
	}
}

// twice asks on a desk that is not stopped as well: what it issues is what the claim must become.
func twice(d *claimDesk, r *Request) (want, got Outcome) {
	d.t.Helper()
	other := newClaimDesk(d.t)
	other.committer.Catalogue = d.committer.Catalogue
	want = other.ask(r)
	d.claim(r)
	return want, d.ask(r)
}

// What was claimed is issued by the retry as it would have been at first, and once.
func TestClaimedIsIssued(t *testing.T) {
	certificates := func(t *Template) { t.Kind, t.Face, t.Code = Certificate, Face{}, CodeRule{Digits: 12} }
	for name, r := range map[string]*Request{
		"plain":       request("k", "a", 1),
		"random":      request("k", "a", 2, lines(Line{Template: 2, Sends: 3, Quantity: 2})),
		"certificate": request("k", "a", 3, lines(Line{Template: 3, Sends: 1, Quantity: 2})),
		"continues":   request("k", "a", 1, lines(Line{Template: 1, Sends: 1, Quantity: 1}, Line{Template: 2, Sends: 1, Quantity: 1}), continues),
		"in part":     request("k", "a", 4, lines(Line{Template: 4, Sends: 5, Quantity: 1}, Line{Template: 1, Sends: 1, Quantity: 1})),
		"window":      request("k", "a", 1, func(r *Request) { r.BindMillis = 1000 }),
	} {
		t.Run(name, func(t *testing.T) {
			d := newClaimDesk(t, template(1), template(2, cash(Random, 1, 1000)), template(3, certificates), template(4, count(3)))
			want, got := twice(d, r)
			if want.Issuance == nil || want.Replayed {
				t.Fatalf("nothing to compare with: %+v", want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-at once +after the claim):\n%s", diff)
			}
			before := d.contents()
			if again := d.ask(r); !again.Replayed || again.Issuance != got.Issuance {
				t.Errorf("asked once more: %+v", again)
			}
			if diff := storetest.Diff(before, d.contents()); diff != "" {
				t.Errorf("asked once more it is issued again:\n%s", diff)
			}
		})
	}
}

// A claim keeps the key: another meaning, or somebody else, is a conflict.
func TestClaimedConflicts(t *testing.T) {
	d := newClaimDesk(t, template(1), template(2))
	d.claim(request("k", "a", 1))
	other := request("k", "a", 1, lines(Line{Template: 1, Sends: 1, Quantity: 2}))
	d.wants(KeyConflict, other)
	d.wants(KeyConflict, request("k", "b", 1))
	d.empty()
	d.wants(NotRefused, request("k", "a", 1))
}

// A refusal leaves the claim as it is, and shows nothing of it: nothing stands under the key for the caller.
func TestClaimedIsRefused(t *testing.T) {
	d := newClaimDesk(t, template(1))
	first := request("k", "a", 1)
	want, _ := twice(newClaimDesk(t, template(1)), first)
	d.claim(first)
	d.catalogue(template(1, status(Paused)))
	o := d.wants(TemplatePaused, first)
	if o.Issuance != nil || o.Replayed || o.Attempt == nil || o.Attempt.Claimed {
		t.Errorf("refused: %+v", o)
	}
	d.empty()
	d.wants(KeyConflict, request("k", "b", 1))
	d.catalogue(template(1))
	if o := d.wants(NotRefused, first); o.Issuance.ID != want.Issuance.ID || o.Issuance.Claimed {
		t.Errorf("issued as %d, claimed as %d", o.Issuance.ID, want.Issuance.ID)
	}
}

// A claim of a key that is bound for a while binds until it is issued, and its while begins then.
func TestClaimedWindow(t *testing.T) {
	d := newClaimDesk(t, template(1))
	r := request("k", "a", 1, func(r *Request) { r.BindMillis = 1000 })
	d.claim(r)
	d.clock += 50_000
	d.wants(KeyConflict, request("k", "b", 1, func(r *Request) { r.BindMillis = 1000 }))
	first := d.wants(NotRefused, r)
	d.clock += 999
	if o := d.ask(r); !o.Replayed {
		t.Error("the while does not begin with the issue")
	}
	d.clock++
	if o := d.ask(r); o.Replayed || o.Issuance.ID == first.Issuance.ID {
		t.Error("the while does not end")
	}
}

// The user that a batch makes is made with whatever of it is issued first.
func TestClaimedMakesUser(t *testing.T) {
	d := newClaimDesk(t, template(1), template(2))
	k1, k2 := request("k1", "a", 1), request("k2", "a", 2)
	d.claim(k1, k2)
	second := d.wants(NotRefused, k2)
	first := d.wants(NotRefused, k1)
	users := d.contents().Users
	if len(users) != 1 || users[0].ID != first.Issuance.User || users[0].ID != second.Issuance.User {
		t.Errorf("users %+v, issued to %d and %d", users, first.Issuance.User, second.Issuance.User)
	}
}

// In one batch, too.
func TestClaimedMakesUserOnce(t *testing.T) {
	d := newClaimDesk(t, template(1), template(2))
	k1, k2 := request("k1", "a", 1), request("k2", "a", 2)
	d.claim(k1, k2)
	for _, o := range d.batch(k2, request("k3", "a", 1), k1) {
		if o.Reason != NotRefused || o.Issuance.MakesUser {
			t.Errorf("%s: %+v", o.Reason, o.Issuance)
		}
	}
	if users := d.contents().Users; len(users) != 1 {
		t.Errorf("%d users", len(users))
	}
}

// Somebody else has made the user since: what was claimed is his, under the ids of the claim where his vouchers stand
// in their bucket, and else under others.
func TestClaimedUserIsThereByNow(t *testing.T) {
	phone := Identifier{Type: "MEMBER", Value: "a"}
	for _, same := range []bool{true, false} {
		d := newClaimDesk(t, template(1), template(2))
		k := request("k", "", 1, func(r *Request) { r.Recipient = phone })
		want, _ := twice(newClaimDesk(t, template(1), template(2)), k)
		d.claim(k)
		bucket := id.BucketOf(phone.String())
		if !same {
			bucket = (bucket + 1) % id.Buckets
		}
		u := &User{ID: d.committer.Env.IDs.Block(int64(now), bucket, 1), Alipay: "2088", Identifiers: []Identifier{phone}}
		d.users(u)
		d.wants(KeyConflict, request("k", "", 1, lines(Line{Template: 1, Sends: 2, Quantity: 1}), func(r *Request) { r.Recipient = phone }))
		o := d.wants(NotRefused, k)
		if i := o.Issuance; i.User != u.ID || i.Alipay != "2088" || i.ID.Bucket() != u.ID.Bucket() || (i.ID == want.Issuance.ID) != same {
			t.Errorf("the same bucket %v: issued as %d to %d, %q; claimed as %d", same, i.ID, i.User, i.Alipay, want.Issuance.ID)
		}
		if o := d.ask(k); !o.Replayed {
			t.Errorf("the same bucket %v: issued twice", same)
		}
	}
}

// A claim for a user that was there is not given to the one that has the identifier now, nor is a user made for it.
func TestClaimedForTheFirstUser(t *testing.T) {
	d := newClaimDesk(t, template(1))
	a := Identifier{Type: TaobaoID, Value: "a"}
	d.users(&User{ID: 11, Identifiers: []Identifier{a}}, &User{ID: 12})
	d.claim(request("k", "a", 1))
	d.users(&User{ID: 11}, &User{ID: 12, Identifiers: []Identifier{a}})
	d.wants(UserNotFound, request("k", "a", 1))
	d.users(&User{ID: 12})
	d.wants(UserNotFound, request("k", "a", 1))
	d.users(&User{ID: 11, Identifiers: []Identifier{a}})
	if o := d.wants(NotRefused, request("k", "a", 1)); o.Issuance.User != 11 {
		t.Errorf("issued to %d", o.Issuance.User)
	}
}

// What a scene chose for the claim is issued, whatever it would choose now.
func TestClaimedScene(t *testing.T) {
	d := newSceneDesk(t, ChooseFirst)
	st := storetest.NewClaiming()
	d.store, d.committer.Store = st.Store, st
	d.users(&User{ID: 11, Identifiers: []Identifier{{Type: TaobaoID, Value: "a"}}})
	once := func(r *Request) { r.Continues = false }
	st.Stop = storetest.BetweenParts
	if _, err := d.committer.Issue(t.Context(), d.clock, inScene("k", "a", once)); !errors.Is(err, storetest.ErrStopped) {
		t.Fatal(err)
	}
	d.scene.Activities = d.scene.Activities[2:]
	d.renew()
	o := d.ask(inScene("k", "a", once))
	d.wantChosen(o, 1)
	if o.Reason != NotRefused || o.Issuance.Lines[0].Issued != 1 {
		t.Errorf("%s: %+v", o.Reason, o.Lines)
	}
	d.wantChosen(d.ask(inScene("other", "a", once)), 3)
}
