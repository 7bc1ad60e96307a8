package postgres_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

func certificates(t *benefit.Template) {
	t.Kind, t.Face, t.Code = benefit.Certificate, benefit.Face{}, benefit.CodeRule{Digits: 12}
}

func randomCash(t *benefit.Template) {
	t.Kind, t.Face = benefit.Cash, benefit.Face{}
	t.Amount = benefit.AmountRule{From: benefit.Random, Min: 1, Max: 1_000_000}
}

func paused(t *benefit.Template) { t.Status = benefit.Paused }

// everything asks for a voucher of each kind, for a user that is unknown at first.
func everything(key string) *benefit.Request {
	return storetest.Request(key, "2088", storetest.Line(1),
		benefit.Line{Template: 2, Sends: 2, Quantity: 2}, benefit.Line{Template: 3, Sends: 1, Quantity: 2})
}

func kinds() *benefit.Catalogue {
	return storetest.Catalogue(storetest.Template(1), storetest.Template(2, randomCash), storetest.Template(3, certificates))
}

// A crash between the two commits: nothing is issued, the retry gets the ids, the amounts and the codes of the first
// time, and everything is counted once. Its user is made by it.
func TestSplitCrashBetween(t *testing.T) {
	w := newWorks(t, kinds())
	r := everything("k")
	w.stop(storetest.BetweenParts, r)
	if c := contentsOf(t, w.st); len(c.Issuances)+len(c.Quotas)+len(c.Counts)+len(c.Users) != 0 {
		t.Errorf("something was issued: %+v", c)
	}
	claim := w.claimOf(r)
	if last := w.st.LastIDMillis(); last < claim.ID.Millis() {
		t.Errorf("LastIDMillis() = %d, and an id of %d is claimed", last, claim.ID.Millis())
	}
	w.clock += 5000
	o := w.wants(benefit.NotRefused, r)
	if diff := cmp.Diff(claim, o.Issuance.Unapplied(true)); diff != "" {
		t.Errorf("issued is not what was claimed (-claimed +issued):\n%s", diff)
	}
	if again := w.ask(r); !again.Replayed || again.Issuance.ID != claim.ID {
		t.Errorf("asked once more: %+v", again)
	}
	c := contentsOf(t, w.st)
	wantCounts := []benefit.TemplateCount{
		{Template: 1, Count: 1, Amount: 500}, {Template: 2, Count: 4, Amount: total(claim, 1)}, {Template: 3, Count: 2},
	}
	if diff := cmp.Diff(wantCounts, c.Counts); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	if len(c.Issuances) != 1 || len(c.Users) != 1 || c.Users[0].ID != claim.User || len(c.Quotas) != 3 {
		t.Errorf("the rows: %+v", c)
	}
	read, err := w.st.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	for _, key := range o.Issuance.Claims() { // its key and its codes
		if i, err := read.Claim(t.Context(), key.Scope, key.Key); err != nil || i == nil || i.ID != claim.ID {
			t.Errorf("found by its keys: %v, %v", i, err)
		}
	}
}

func total(i *benefit.Issuance, line int) (sum int64) {
	for _, a := range i.Lines[line].Amounts {
		sum += int64(a)
	}
	return sum
}

// The codes of a claim are taken: nobody else gets them before the retry does.
func TestSplitCodesAreTaken(t *testing.T) {
	w := newWorks(t, storetest.Catalogue(storetest.Template(1, func(t *benefit.Template) {
		certificates(t)
		t.Code.Digits = 1
	})))
	most := storetest.Request("k", "2088", benefit.Line{Template: 1, Sends: 1, Quantity: 6})
	w.stop(storetest.BetweenParts, most)
	given := w.claimOf(most).Lines[0].Codes
	for _, key := range []string{"a", "b", "c"} {
		o := w.wants(benefit.NotRefused, storetest.Request(key, "2088", storetest.Line(1)))
		given = append(given, o.Issuance.Lines[0].Codes...)
	}
	w.wants(benefit.NotRefused, most)
	slices.Sort(given)
	if once := slices.Compact(slices.Clone(given)); len(once) != 9 {
		t.Errorf("the codes %v", given)
	}
}

// Two keys of one batch whose user is new: whichever comes back first makes him.
func TestSplitNewUser(t *testing.T) {
	w := newWorks(t, kinds())
	first, second := everything("k1"), everything("k2")
	w.stop(storetest.BetweenParts, first, second)
	b, a := w.wants(benefit.NotRefused, second), w.wants(benefit.NotRefused, first)
	c := contentsOf(t, w.st)
	if len(c.Users) != 1 || a.Issuance.User != c.Users[0].ID || b.Issuance.User != c.Users[0].ID {
		t.Errorf("%d users; issued to %d and %d", len(c.Users), a.Issuance.User, b.Issuance.User)
	}
}

// A crash before the claims leaves nothing, one after the apply everything.
func TestSplitCrashBesides(t *testing.T) {
	w := newWorks(t, kinds())
	w.stop(storetest.BeforeClaims, everything("k"))
	if _, err := w.st.ClaimOf(t.Context(), everything("k").Claim()); err == nil {
		t.Error("a commit that was stopped before the claims has made one")
	}
	w.stop(storetest.AfterBoth, everything("k"))
	if o := w.wants(benefit.NotRefused, everything("k")); !o.Replayed {
		t.Error("a commit whose answer was lost is done again")
	}
	if n := len(contentsOf(t, w.st).Issuances); n != 1 {
		t.Errorf("%d issuances", n)
	}
}

// The key stays bound to its meaning; a retry that is refused leaves the claim, and a later one is issued it.
func TestSplitClaimStays(t *testing.T) {
	w := newWorks(t, storetest.Catalogue(storetest.Template(1, randomCash)))
	r := storetest.Request("k", "2088", storetest.Line(1))
	w.stop(storetest.BetweenParts, r)
	claim := w.claimOf(r)
	w.wants(benefit.KeyConflict, storetest.Request("k", "2088", benefit.Line{Template: 1, Sends: 2, Quantity: 1}))
	w.wants(benefit.KeyConflict, storetest.Request("k", "another", storetest.Line(1)))
	w.catalogue(storetest.Template(1, randomCash, paused))
	w.wants(benefit.TemplatePaused, r)
	if n := len(contentsOf(t, w.st).Issuances); n != 0 {
		t.Errorf("%d issuances of a paused template", n)
	}
	w.catalogue(storetest.Template(1, randomCash))
	if o := w.wants(benefit.NotRefused, r); o.Issuance.ID != claim.ID || o.Issuance.Lines[0].Amounts[0] != claim.Lines[0].Amounts[0] {
		t.Errorf("issued %+v, claimed %+v", o.Issuance, claim)
	}
}

// A key that is bound for a while, bound again when it is over, with a crash both times.
func TestSplitWindow(t *testing.T) {
	w := newWorks(t, kinds())
	r := everything("k")
	r.BindMillis = 1000
	var last benefit.Outcome
	for n := range 2 {
		w.stop(storetest.BetweenParts, r)
		w.clock += 5000
		claim := w.claimOf(r)
		if last = w.wants(benefit.NotRefused, r); last.Issuance.ID != claim.ID || last.Replayed {
			t.Errorf("time %d: issued %d, claimed %d", n, last.Issuance.ID, claim.ID)
		}
		w.clock += 999
		if o := w.ask(r); !o.Replayed || o.Issuance.ID != claim.ID {
			t.Errorf("time %d: the key is not bound", n)
		}
		w.clock++
	}
	if n := len(contentsOf(t, w.st).Issuances); n != 2 {
		t.Errorf("%d issuances", n)
	}
}

// other is another process on the same databases.
func (w *works) other() *storetest.Committer {
	st := w.open(w.t)
	w.t.Cleanup(func() { _ = st.Close() })
	return storetest.NewCommitter(st, w.committer.Catalogue, 77)
}

// Two processes decide the same keys at the same time: one of them is told of the other.
func TestSplitTwoClaim(t *testing.T) {
	w := newWorks(t, kinds())
	r := everything("k")
	other := w.other()
	w.st.StopAt(func(at storetest.Moment) error {
		if at != storetest.BeforeClaims {
			return nil
		}
		w.st.StopAt(func(storetest.Moment) error { return nil })
		return w.claimElsewhere(other, r)
	})
	if _, err := w.committer.Issue(t.Context(), w.clock, r); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("the second process to claim: %v, want %v", err, store.ErrConflict)
	}
	claim := w.claimOf(r)
	if o := w.wants(benefit.NotRefused, r); o.Replayed || o.Issuance.ID != claim.ID {
		t.Errorf("issued %d, the other process had claimed %d", o.Issuance.ID, claim.ID)
	}
}

// claimElsewhere has another process claim on the first database and end there.
func (w *works) claimElsewhere(other *storetest.Committer, r *benefit.Request) error {
	tx, err := other.Store.Begin(w.t.Context(), w.clock)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return postgres.ClaimOnly(w.t.Context(), tx, w.unissued(r))
}

// unissued are the changes that the request would make on an empty store.
func (w *works) unissued(r *benefit.Request) *benefit.Changes {
	model := storetest.NewClaiming()
	o, err := storetest.NewCommitter(model, w.committer.Catalogue, 99).Issue(w.t.Context(), w.clock, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return &benefit.Changes{Now: w.clock, Issuances: []*benefit.Issuance{o[0].Issuance}, Users: contentsOf(w.t, model).Users}
}

// Many processes find what a crash left, all at once: it is issued once, to all of them.
func TestSplitAllApply(t *testing.T) {
	w := newWorks(t, kinds())
	r := everything("k")
	w.stop(storetest.BetweenParts, r)
	claim := w.claimOf(r)
	var wait sync.WaitGroup
	issued := make(chan benefit.Outcome, 4)
	for n := range 4 {
		c := w.other()
		c.Env = storetest.Env(c.Store, uint64(n))
		wait.Go(func() {
			for range 20 {
				o, err := c.Issue(t.Context(), w.clock, r)
				if err == nil {
					issued <- o[0]
					return
				}
				if !errors.Is(err, store.ErrConflict) {
					t.Errorf("issuing: %v", err)
					return
				}
			}
			t.Error("conflicts without end")
		})
	}
	wait.Wait()
	close(issued)
	fresh := 0
	for o := range issued {
		if o.Reason != benefit.NotRefused || o.Issuance.ID != claim.ID {
			t.Errorf("%s: %+v", o.Reason, o.Issuance)
		}
		if !o.Replayed {
			fresh++
		}
	}
	if c := contentsOf(t, w.st); fresh != 1 || len(c.Issuances) != 1 || c.Counts[0].Count != 1 || c.Counts[1].Count != 4 {
		t.Errorf("issued %d times: %+v", fresh, c.Counts)
	}
}

// The ids of a claim were issued under another key: the claim can be issued by nobody, and the key gets other ids.
func TestSplitIDsTaken(t *testing.T) {
	w := newWorks(t, kinds())
	r := everything("k")
	w.stop(storetest.BetweenParts, r)
	claim := w.claimOf(r)
	taken := *claim
	taken.Claimed, taken.MakesUser, taken.Key, taken.User = false, false, "other", claim.User+1
	if err := storetest.Write(t.Context(), w.st, w.clock, &benefit.Changes{Issuances: []*benefit.Issuance{&taken}}); err != nil {
		t.Fatal(err)
	}
	if o := w.wants(benefit.NotRefused, r); o.Replayed || o.Issuance.ID == claim.ID {
		t.Errorf("issued %d, which is another key's", o.Issuance.ID)
	}
	if o := w.ask(r); !o.Replayed {
		t.Error("issued twice")
	}
}
