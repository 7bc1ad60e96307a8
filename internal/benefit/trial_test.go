package benefit_test

import (
	"math/rand/v2"
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/storetest"
)

// now is when trials take place: 2026-11-11 10:00:00 at +08:00.
const now Instant = 1_794_362_400_000

const hour = Instant(3_600_000)

// trial is one decision with everything that it depends on, so that a test can make any of it wrong. As
// newTrial makes it the request is issued.
type trial struct {
	now      Instant
	merchant *Merchant
	app      *App
	template *Template
	activity *Activity
	user     *User // the recipient; nil when unknown
	partner  *User // the other user of the same person
	request  *Request
	bound    *Issuance // the issuance under the key

	count        TemplateCount
	day          TemplateDay
	has, partHas Quota // what the recipient and the partner have
	took         Participation
	codesTaken   bool // every code that is drawn belongs to another voucher
}

// newTrial returns a registered user, linked to a partner, asking for a cash amount that the template takes from the
// request.
func newTrial() *trial {
	recipient := Identifier{Type: AlipayID, Value: "2088001"}
	return &trial{
		now:      now,
		merchant: &Merchant{ID: 1, Name: "m", UserTypes: []string{AlipayID}},
		app:      &App{ID: 1, Name: "app", Merchant: 1},
		template: &Template{
			ID: 1, Name: "t", Merchant: 1, Kind: Cash, Amount: AmountRule{From: FromRequest, Min: 100, Max: 1000},
			Valid: Validity{ForMillis: 60_000}, Stock: UnlimitedStock(), Status: Active,
		},
		activity: &Activity{ID: 1, Name: "a", Merchant: 1, Status: Active},
		user:     &User{ID: 11, Person: "p", Identifiers: []Identifier{recipient}},
		partner:  &User{ID: 12, Person: "p"},
		request: &Request{
			Scope: "s", Key: "k", App: 1, Recipient: recipient, Fingerprint: FingerprintOf(nil, "as asked"),
			Lines: []Line{{Template: 1, Activity: 1, Sends: 1, Quantity: 1, Amount: 500, HasAmount: true}},
		},
	}
}

// rename gives the recipient another identifier.
func (x *trial) rename(kind, value string) {
	x.request.Recipient = Identifier{Type: kind, Value: value}
	if x.bound != nil {
		x.bound.Recipient = x.request.Recipient
	}
}

func (x *trial) catalogue() *Catalogue {
	return NewCatalogue(3, []*Merchant{x.merchant}, []*App{x.app}, []*Template{x.template}, []*Activity{x.activity}, nil)
}

// state returns what a store would have loaded.
func (x *trial) state() *State {
	st := NewState()
	st.Reset(x.now)
	st.SetClaim(x.request.ClaimID(), x.bound)
	st.SetRecipient(x.request.Recipient, x.user, []UserID{11, 12})
	x.count.Template, x.day.Template, x.day.Day = x.template.ID, x.template.ID, x.now.Day()
	TemplateCounts.Load(st.Rows(), 1, x.count)
	TemplateDays.Load(st.Rows(), 1, x.day)
	x.has.QuotaKey, x.partHas.QuotaKey = QuotaKey{User: 11, Template: x.template.ID}, QuotaKey{User: 12, Template: x.template.ID}
	Quotas.Load(st.Rows(), 1, x.has)
	Quotas.Load(st.Rows(), 1, x.partHas)
	x.took.ParticipationKey = ParticipationKey{User: 11, Activity: x.activity.ID}
	Participations.Load(st.Rows(), 1, x.took)
	b, commands := &Batch{State: st, Catalogue: x.catalogue(), Env: testEnv(2)}, []Command{&Issue{Request: x.request}}
	for keys := b.Names(commands); !keys.Empty(); keys = b.Redraws(commands) {
		for _, c := range keys.Claims {
			if c.Scope == CodeScope {
				st.SetClaim(c.ID, map[bool]*Issuance{true: {ID: 3}}[x.codesTaken])
			}
		}
	}
	return st
}

func testEnv(seed uint64) Env {
	r := rand.New(rand.NewPCG(seed, 1))
	return Env{IDs: id.NewGenerator(r, 0), Rand: r, Secret: storetest.DrawSecret}
}

// decide answers the request, and takes its effect into the state.
func (x *trial) decide() (Outcome, *State) {
	st := x.state()
	cat := x.catalogue()
	o, effect := Apply(cat, Choose(cat, st, x.request, testEnv(1)), st)
	st.Absorb(effect)
	return o, st
}

// wantReason fails unless the request is refused for the reason and leaves no trace; NotRefused: unless it is
// issued.
func (x *trial) wantReason(t *testing.T, want Reason) {
	t.Helper()
	o, st := x.decide()
	if o.Reason != want {
		t.Errorf("refused for %s, want %s", o.Reason, want)
	}
	if empty := st.Changes().Empty(); empty != (want != NotRefused) {
		t.Errorf("refused for %s, and changes nothing: %v", o.Reason, empty)
	}
	if want != NotRefused && (o.Issuance != nil && o.Issuance != x.bound) {
		t.Error("a refusal tells of an issuance")
	}
}
