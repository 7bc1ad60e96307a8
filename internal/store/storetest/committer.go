package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/oracle"
	"faquan/internal/store"
)

// Start is a good instant for a test to begin at: 2026-11-11 10:00:00 at +08:00.
const Start benefit.Instant = 1_794_362_400_000

// The merchants and the app of Catalogue.
const (
	OpenMerchant       benefit.MerchantID = 1 // takes unknown recipients
	RegisteredMerchant benefit.MerchantID = 2 // does not
	App                benefit.AppID      = 1
)

// Catalogue returns a catalogue of the templates, version 1, with the merchants and the app of the constants.
func Catalogue(templates ...*benefit.Template) *benefit.Catalogue {
	return benefit.NewCatalogue(1, merchants(), apps(), templates, nil, nil)
}

func merchants() []*benefit.Merchant {
	return []*benefit.Merchant{
		{ID: OpenMerchant, Name: "open", Open: true, AnyUserID: true, UserTypes: []string{benefit.AlipayID, benefit.TaobaoID, benefit.OpenID, "MEMBER"}},
		{ID: RegisteredMerchant, Name: "registered"},
	}
}

func apps() []*benefit.App {
	return []*benefit.App{{ID: App, Name: "app", Merchant: OpenMerchant}}
}

// Template returns an active template of OpenMerchant, 5 yuan off, valid for seven days, without caps or limits. The
// changes are made to it.
func Template(template benefit.TemplateID, changes ...func(*benefit.Template)) *benefit.Template {
	t := &benefit.Template{
		ID: template, Name: "template", Merchant: OpenMerchant,
		Kind: benefit.Reduction, Face: benefit.Face{Reduction: 500},
		Valid: benefit.Validity{ForMillis: 7 * 24 * 60 * 60 * 1000},
		Stock: benefit.UnlimitedStock(), Status: benefit.Active,
	}
	for _, change := range changes {
		change(t)
	}
	return t
}

// Line asks for one voucher of the template.
func Line(template benefit.TemplateID) benefit.Line {
	return benefit.Line{Template: template, Sends: 1, Quantity: 1}
}

// Request asks for the lines under the key, in the scope of the first line's template, for the user with the
// Alipay id.
func Request(key, alipay string, lines ...benefit.Line) *benefit.Request {
	return &benefit.Request{
		Scope: scope.Template(lines[0].Template), Key: key, App: App,
		Recipient:   benefit.Identifier{Type: benefit.AlipayID, Value: alipay},
		Fingerprint: benefit.FingerprintOf(lines), Lines: lines,
	}
}

// DrawSecret is the key of weighted draws in tests.
var DrawSecret = []byte("tests draw by this")

// Env returns what decisions need, from a seed. Its ids are later than all those of the store, its rules of the
// language of [Rules].
func Env(st store.Store, seed uint64) benefit.Env {
	r := rand.New(rand.NewPCG(seed, 0))
	return benefit.Env{IDs: id.NewGenerator(r, st.LastIDMillis()), Rand: r, Rules: Rules{}, Secret: DrawSecret}
}

// Committer issues on a store as the real one does, but at once and for one caller: load, choose, apply, commit.
type Committer struct {
	Store     store.Store
	Catalogue *benefit.Catalogue
	Env       benefit.Env
	state     *benefit.State
	// confirms has batches that change nothing confirmed, as the engine does among several processes. That may leave their
	// now in the store, where one store has it and another not.
	confirms bool
}

// NewCommitter makes a committer whose ids and draws come from the seed.
func NewCommitter(st store.Store, cat *benefit.Catalogue, seed uint64) *Committer {
	return &Committer{Store: st, Catalogue: cat, Env: Env(st, seed), state: benefit.NewState()}
}

// Issue decides the requests as one batch, commits it and returns their outcomes. A batch that changes nothing
// is rolled back.
func (c *Committer) Issue(ctx context.Context, clock benefit.Instant, requests ...*benefit.Request) ([]benefit.Outcome, error) {
	issues := make([]*benefit.Issue, len(requests))
	all := make([]benefit.Command, len(requests))
	for k, r := range requests {
		issues[k] = &benefit.Issue{Request: r}
		all[k] = issues[k]
	}
	if err := c.Do(ctx, clock, all...); err != nil {
		return nil, err
	}
	outcomes := make([]benefit.Outcome, len(requests))
	for k, one := range issues {
		outcomes[k] = one.Outcome
	}
	return outcomes, nil
}

// Do carries out the commands as one batch, and commits it. A batch that changes nothing is rolled back, or confirmed.
func (c *Committer) Do(ctx context.Context, clock benefit.Instant, commands ...benefit.Command) error {
	tx, err := c.Store.Begin(ctx, clock)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	c.state.Reset(tx.Now())
	b := &benefit.Batch{State: c.state, Catalogue: c.Catalogue, Env: c.Env}
	if err := store.Load(ctx, tx, b, commands); err != nil {
		return err
	}
	for _, one := range commands {
		c.state.Absorb(one.Apply(b).Effect)
	}
	changes := c.state.Changes()
	switch {
	case !changes.Empty():
		return tx.Commit(ctx, changes)
	case c.confirms:
		return tx.Confirm(ctx)
	}
	return nil
}

// NewOracle makes an oracle for outcomes that were decided with an [Env]. scarceDigits is as in [oracle.Options].
func NewOracle(scarceDigits int) *oracle.Oracle {
	explain := func(cat *benefit.Catalogue, i *benefit.Issuance) *benefit.Explanation {
		return benefit.Explain(cat, i, Rules{})
	}
	return oracle.New(oracle.Options{Secret: DrawSecret, Explain: explain, ScarceDigits: scarceDigits})
}

// callJudged carries out the calls as one batch, and fails when an outcome is not what the oracle finds right.
func (c *Committer) callJudged(ctx context.Context, o *oracle.Oracle, clock benefit.Instant, calls []oracle.Call) error {
	if err := c.Do(ctx, clock, commands(calls)...); err != nil {
		return err
	}
	for k, call := range calls {
		if err := call.Judge(o, c.state.Now); err != nil {
			return fmt.Errorf("call %d at %s: %v: %s: %w", k, c.state.Now, call, call.Result(), err)
		}
	}
	return nil
}

// CallAgain carries out the same calls once more, as one batch, and fails when an outcome is another than that of the call.
func (c *Committer) CallAgain(ctx context.Context, clock benefit.Instant, calls ...oracle.Call) error {
	again := make([]oracle.Call, len(calls))
	for k, call := range calls {
		again[k] = call.Again()
	}
	if err := c.Do(ctx, clock, commands(again)...); err != nil {
		return err
	}
	if diff := Diff(commands(calls), commands(again)); diff != "" {
		return fmt.Errorf("the outcomes (-first +again):\n%s", diff)
	}
	return nil
}

func commands(calls []oracle.Call) []benefit.Command {
	all := make([]benefit.Command, len(calls))
	for k, c := range calls {
		all[k] = c.Command()
	}
	return all
}

// Issue issues the requests in one batch at Start, or after it when the store is further.
func Issue(t testing.TB, st store.Store, cat *benefit.Catalogue, requests ...*benefit.Request) []benefit.Outcome {
	t.Helper()
	outcomes, err := NewCommitter(st, cat, 1).Issue(t.Context(), Start, requests...)
	if err != nil {
		t.Fatalf("issuing: %v", err)
	}
	return outcomes
}

// Write commits rows that no decision made: users, entities, sessions, or whatever a test needs. It sets
// changes.Now.
func Write(ctx context.Context, st store.Store, clock benefit.Instant, changes *benefit.Changes) error {
	tx, err := st.BeginChange(ctx, clock)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	changes.Now = tx.Now()
	return tx.Commit(ctx, changes)
}

// Sessions returns a function that finds the sessions of a store, as gateways want it.
func Sessions(st store.Store) func(context.Context, benefit.Digest) (*benefit.Session, error) {
	return func(ctx context.Context, digest benefit.Digest) (*benefit.Session, error) {
		return store.Session(ctx, st, digest)
	}
}
