package benefit_test

import (
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// A batch writes the rows that it changed, in the order in which it touched them, and nothing of the batch
// before it.
func TestChangesAreOfOneBatch(t *testing.T) {
	x := newTrial()
	st := x.state()
	st.Absorb(effectOf(x, st))
	first := st.Changes()
	want := &Changes{
		Now: now, Issuances: first.Issuances, Steps: []Step{{Issuance: first.Issuances[0], Lines: []int{0}}},
		Rows: RowsOf(
			TemplateCounts.Rows(TemplateCount{Template: 1, Count: 1, Amount: 500}),
			TemplateDays.Rows(TemplateDay{Template: 1, Day: now.Day(), Count: 1, Amount: 500}),
			Quotas.Rows(Quota{QuotaKey: QuotaKey{User: 11, Template: 1}, Total: 1, Day: now.Day(), DayTotal: 1}),
			Participations.Rows(Participation{
				ParticipationKey: ParticipationKey{User: 11, Activity: 1}, Total: 1, At: now, DayTotal: 1, DaySends: 1,
			}),
		),
	}
	if diff := storetest.Diff(want, first); diff != "" || len(first.Issuances) != 1 {
		t.Errorf("the batch changes (-want +got):\n%s", diff)
	}

	st.Reset(now + 5)
	if diff := storetest.Diff(&Changes{Now: now + 5}, st.Changes()); diff != "" {
		t.Errorf("an empty batch changes (-want +got):\n%s", diff)
	}
	if diff := storetest.Diff(want, first); diff != "" {
		t.Errorf("what the first batch changed has changed (-want +got):\n%s", diff)
	}
}

func effectOf(x *trial, st *State) *Effect {
	_, effect := Apply(x.catalogue(), Choose(x.catalogue(), st, x.request, testEnv(1)), st)
	return effect
}

// A user is new in the batch that makes it. In the next one its quota must be loaded like any other.
func TestNewUserIsNewOnce(t *testing.T) {
	x := newTrial()
	x.merchant.Open, x.user = true, nil
	st := x.state()
	effect := effectOf(x, st)
	st.Absorb(effect)

	x.user, x.request.Key = effect.NewUser, "another"
	st.Reset(now)
	st.SetClaim(x.request.ClaimID(), nil)
	st.SetRecipient(x.request.Recipient, x.user, nil)
	TemplateCounts.Load(st.Rows(), 1, TemplateCount{Template: 1})
	TemplateDays.Load(st.Rows(), 1, TemplateDay{Template: 1, Day: now.Day()})
	defer func() {
		if recover() == nil {
			t.Error("decided without the user's quota")
		}
	}()
	effectOf(x, st)
}

// Nothing is absorbed from a refusal.
func TestAbsorbNothing(t *testing.T) {
	st := newTrial().state()
	st.Absorb(nil)
	if !st.Changes().Empty() {
		t.Error("it changes something")
	}
}
