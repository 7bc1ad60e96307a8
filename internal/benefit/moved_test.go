package benefit_test

import (
	"context"
	"math/rand/v2"
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// before is a rule that holds until an instant.
type before struct{ end Instant }

func (before) References(string) (templates, activities []string) { return nil, nil }

func (b before) Holds(_ string, in *RuleInput) (bool, error) { return in.Now < b.end, nil }

// late is a batch that waits for its templates until an instant.
type late struct {
	store.Tx
	now, until Instant
}

func (l *late) Now() Instant { return l.now }

func (l *late) Load(ctx context.Context, keys *Keys, into *State) error {
	if len(keys.Locks) > 0 {
		l.now = l.until
	}
	return l.Tx.Load(ctx, keys, into)
}

// A rule is asked by the now of the decision, not by that of the moment at which the batch began to wait for its turn.
func TestRuleByTheNowOfTheDecision(t *testing.T) {
	d := newSceneDesk(t, ChooseAll)
	d.activities[0].Rule = "before noon"
	d.renew()
	for _, c := range []struct {
		wait Instant
		want []ActivityID
	}{{0, []ActivityID{1, 2, 3}}, {999, []ActivityID{1, 2, 3}}, {1000, []ActivityID{2, 3}}} {
		tx, err := d.store.Begin(t.Context(), d.clock)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		env := Env{Rand: r, IDs: id.NewGenerator(r, 0), Rules: before{tx.Now() + 1000}}
		moving := &late{tx, tx.Now(), tx.Now() + c.wait}
		b, issue := &Batch{State: NewState(), Catalogue: d.committer.Catalogue, Env: env}, &Issue{Request: inScene("k", "a")}
		b.Reset(moving.Now())
		if err := store.Load(t.Context(), moving, b, []Command{issue}); err != nil {
			t.Fatal(err)
		}
		issue.Apply(b)
		d.wantChosen(issue.Outcome, c.want...)
		tx.Rollback()
	}
}
