package main

import (
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/pgtest/ha"
	"faquan/internal/store/postgres"
)

const (
	haRounds  = 2 // kills; one with -short
	haClients = 24
	haUsers   = 60  // of each round
	haLimit   = 3   // vouchers of "limited" for each user
	haStock   = 500 // vouchers of "scarce-N", of which each round has its own
	haMost    = 4 * time.Minute
)

const haTemplates = `
  - {name: scarce-0, merchant: acme, kind: EXCHANGE, template_id: scarce-0, valid: {days: 1}, stock: {count: 500}}
  - {name: scarce-1, merchant: acme, kind: EXCHANGE, template_id: scarce-1, valid: {days: 1}, stock: {count: 500}}
  - {name: limited, merchant: acme, kind: EXCHANGE, template_id: limited, valid: {days: 1}, limits: {per_user: 3}}
  - {name: open, merchant: acme, kind: EXCHANGE, template_id: open, valid: {days: 1}}
`

// TestHA kills the machine of the primary, twice (once with -short), under the load of two processes: the server and its keeper, with the
// standby taking over, and the machine that took over when the first is back. Each kill comes when a stock is nearly used
// up and most users are at their limits, and when the standby has heard nothing for a moment. The callers go on through the outage: who is told to retry asks again with the
// same key, the other process next, until there is an answer. Some keys are sent to both processes at once. Then:
//
//   - a voucher that was answered, however shortly before the kill, is answered by the other process too, from the
//     moment that the new primary takes writes, and stands in the store under its key;
//   - a key has one voucher or one refusal, for ever, and no two keys have the same voucher;
//   - stock and limits are reached exactly, and the store has what the callers have, nothing more;
//   - both processes said that they could not issue while that was so, and issue again without a hand;
//   - the audit finds nothing.
func TestHA(t *testing.T) {
	t.Parallel()
	pair := ha.Start(t)
	w := &haWorld{pair: pair, rounds: haRounds, refusals: map[string]int{},
		sharedCrash: &sharedCrash{crashWorld: newCrashWorld(t, testDocument(haTemplates)), store: pair.Database(t)}}
	if testing.Short() {
		w.rounds = 1
	}
	w.answersEarly()
	w.several = make([]*caller, len(w.processes))
	for k := range w.processes {
		w.start(k)
	}
	for round := range w.rounds {
		if round > 0 {
			began := time.Now()
			pair.Revive(t)
			t.Logf("the killed node was a standby again after %s", time.Since(began).Round(time.Millisecond))
		}
		w.round = round
		w.failover()
	}
	w.askTheOther()
	w.useUp()
	w.check()
	w.compareStore()
	for _, p := range w.processes {
		p.stop() // one that had ended before would not stop well
	}
	w.audit("--store", w.store)
}

// haWorld is a sharedCrash whose callers ask until they have an answer.
type haWorld struct {
	*sharedCrash
	pair   *ha.Pair
	rounds int
	round  int

	// Under the lock of crashWorld.
	known    []*haCall
	refusals map[string]int // keys that were refused, by template
	issues   []time.Time    // when a key was answered a voucher first
}

// haCall is a call with what the test wants to know of its first voucher.
type haCall struct {
	*crashCall
	by int // the process that answered it
	at time.Time
}

// failover kills the primary under load and waits until all is well again.
func (w *haWorld) failover() {
	t, scarce := w.t, w.scarce()
	stop := w.load()
	defer stop()
	w.await("a stock that is nearly used up", func() bool { return w.issued(scarce) >= haStock*3/4 })
	var watchers sync.WaitGroup
	for k := range w.processes {
		watchers.Go(func() { w.watchReadiness(k) })
	}
	w.holdSender()
	// Each client may have two calls under way that are still confirmed. One more would be answered early.
	held := time.Now()
	for early := 0; early <= 2*haClients && time.Since(held) < 1500*time.Millisecond; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		early = w.issuesSince(held)
		w.mu.Unlock()
	}
	w.pair.KillPrimary(t)
	killed := time.Now()
	w.mu.Lock()
	at, limited := w.issued(scarce), w.refusals["limited"]
	w.mu.Unlock()
	w.pair.WaitForNewPrimary(t)
	back := time.Since(killed)
	w.askAtOnce(killed)

	w.await("issues, and refusals for lack of stock", func() bool {
		return w.issuesSince(killed.Add(back)) >= 300 && w.refusals[scarce] > 0
	})
	watchers.Wait()
	stop()
	gap, first := w.outage(killed, killed.Add(back))
	t.Logf("killed with %d of %d in stock and %d refused at their limits; the new primary took writes after %s, the first voucher came %s later; "+
		"longest time between two vouchers: %s", haStock-at, haStock, limited, back.Round(time.Millisecond), first.Round(time.Millisecond), gap.Round(time.Millisecond))
}

// holdSender keeps the primary from sending, as a network that is down would, until it is killed. What commits meanwhile is
// lost with it: it must not be answered.
func (w *haWorld) holdSender() {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.store)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(w.t.Context())
	var sender int
	err = conn.QueryRow(w.t.Context(), "SELECT pid FROM pg_stat_replication WHERE state = 'streaming'").Scan(&sender)
	if err == nil {
		err = syscall.Kill(sender, syscall.SIGSTOP)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// answersEarly gives the database a default under which a commit is answered before the standby has it.
func (w *haWorld) answersEarly() {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.store)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(w.t.Context())
	if _, err := conn.Exec(w.t.Context(), "ALTER DATABASE "+conn.Config().Database+" SET synchronous_commit = local"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *haWorld) scarce() string { return fmt.Sprint("scarce-", w.round) }

// await waits for something that is looked at under the lock.
func (w *haWorld) await(what string, is func() bool) {
	w.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		done := is()
		w.mu.Unlock()
		if done {
			return
		}
		if w.t.Failed() {
			w.t.FailNow() // the callers have stopped
		}
		if time.Since(began) > haMost {
			w.t.Fatalf("no %s after %s", what, time.Since(began).Round(time.Millisecond))
		}
	}
}

// load lets the clients call until it is stopped, when each has an answer to its last call.
func (w *haWorld) load() (stop func()) {
	var (
		clients sync.WaitGroup
		ended   atomic.Bool
	)
	for i := range haClients {
		draws := mathrand.New(mathrand.NewPCG(w.draws.Uint64(), uint64(i)))
		clients.Go(func() {
			for k := i % 2; !ended.Load() && !w.t.Failed(); k = 1 - k {
				c := w.next(draws)
				if draws.IntN(4) == 0 {
					w.settleByBoth(k, c)
				} else {
					w.settle(k, c)
				}
			}
		})
	}
	return func() {
		ended.Store(true)
		clients.Wait()
	}
}

// next makes a call, or now and then takes one that was made before.
func (w *haWorld) next(draws *mathrand.Rand) *haCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) > 0 && draws.IntN(10) == 0 {
		return w.known[draws.IntN(len(w.known))]
	}
	template := []string{w.scarce(), "limited", "open", "open", "open", "open"}[draws.IntN(6)]
	return w.make(template, w.round*haUsers+draws.IntN(haUsers))
}

// make needs the lock.
func (w *haWorld) make(template string, user int) *haCall {
	c := &haCall{crashCall: w.newCall(template, user)}
	w.known = append(w.known, c)
	return c
}

// settle asks with the same key, the processes in turn, until there is an answer.
func (w *haWorld) settle(k int, c *haCall) {
	for began := time.Now(); !w.ask(k, c); k = 1 - k {
		if took := time.Since(began); took > haMost {
			w.t.Errorf("%s has no answer after %s", c.send.OutBizNo, took)
		}
		if w.t.Failed() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (w *haWorld) settleByBoth(k int, c *haCall) {
	var other sync.WaitGroup
	other.Go(func() { w.settle(1-k, c) })
	w.settle(k, c)
	other.Wait()
}

// ask makes one attempt and notes what is new in the answer. What contradicts an earlier one is found by attemptBy but for
// a voucher after a refusal, which nothing here can turn: no stock comes back.
func (w *haWorld) ask(k int, c *haCall) (answered bool) {
	w.mu.Lock()
	refused := c.refused
	w.mu.Unlock()
	if answered = w.attemptBy(w.several[k], c.crashCall); !answered {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.voucher != "" && c.refused != "" {
		w.t.Errorf("%s of %s was refused for %s and got voucher %s", c.send.OutBizNo, c.send.TemplateID, c.refused, c.voucher)
	}
	if c.voucher != "" && c.at.IsZero() {
		c.by, c.at = k, time.Now()
		w.issues = append(w.issues, c.at)
	}
	if refused == "" && c.refused != "" {
		w.noteRefusal(c)
	}
	return true
}

// haRefusals are why the templates may refuse.
var haRefusals = map[string]string{"limited": "USER_LIMIT_EXCEEDED", "scarce-0": "STOCK_NOT_ENOUGH", "scarce-1": "STOCK_NOT_ENOUGH"}

// noteRefusal needs the lock.
func (w *haWorld) noteRefusal(c *haCall) {
	if c.refused != haRefusals[c.send.TemplateID] {
		w.t.Errorf("%s of %s was refused for %s", c.send.OutBizNo, c.send.TemplateID, c.refused)
	}
	w.refusals[c.send.TemplateID]++
}

// watchReadiness sees /readyz say that the process cannot issue, and then that it can again. It lives all the time.
func (w *haWorld) watchReadiness(k int) {
	began, client := time.Now(), &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	status := func(path string) int {
		resp, err := client.Get(w.several[k].url + path)
		if err != nil {
			w.t.Errorf("process %d: %v", k, err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, want := range []int{http.StatusOK, http.StatusServiceUnavailable, http.StatusOK} {
		for status("/readyz") != want && !w.t.Failed() {
			if got := status("/livez"); got != http.StatusOK {
				w.t.Errorf("process %d: /livez says %d", k, got)
			}
			if time.Since(began) > haMost {
				w.t.Errorf("process %d: /readyz did not say %d", k, want)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// askAtOnce asks for the vouchers that were answered last before the kill, the other process each time.
func (w *haWorld) askAtOnce(killed time.Time) {
	w.mu.Lock()
	last := slices.DeleteFunc(slices.Clone(w.known), func(c *haCall) bool { return c.voucher == "" || c.at.After(killed) })
	w.mu.Unlock()
	slices.SortFunc(last, func(a, b *haCall) int { return b.at.Compare(a.at) })
	w.each(last[:min(200, len(last))], func(c *haCall) { w.settle(1-c.by, c) })
}

// askTheOther repeats every call at the process that was not the first to answer it.
func (w *haWorld) askTheOther() {
	w.each(slices.Clone(w.known), func(c *haCall) { w.settle(1-c.by, c) })
}

func (w *haWorld) each(calls []*haCall, fn func(*haCall)) {
	work := make(chan *haCall)
	var clients sync.WaitGroup
	for range haClients {
		clients.Go(func() {
			for c := range work {
				fn(c)
			}
		})
	}
	for _, c := range calls {
		work <- c
	}
	close(work)
	clients.Wait()
}

func (w *haWorld) issuesSince(from time.Time) (n int) {
	for _, at := range w.issues {
		if at.After(from) {
			n++
		}
	}
	return n
}

// outage returns the longest time without a new voucher around a kill, and how long after the new primary took writes
// it ended.
func (w *haWorld) outage(killed, back time.Time) (longest, after time.Duration) {
	for n := 1; n < len(w.issues); n++ {
		if gap := w.issues[n].Sub(w.issues[n-1]); gap > longest && w.issues[n].After(killed) {
			longest, after = gap, w.issues[n].Sub(back)
		}
	}
	return longest, after
}

// useUp asks for what may be left, and for one more of it.
func (w *haWorld) useUp() {
	have := map[string]int{}
	for _, c := range w.known {
		if c.send.TemplateID == "limited" && c.voucher != "" {
			have[c.send.UserID]++
		}
	}
	var rest []*haCall
	for user := range w.rounds * haUsers {
		for range max(0, haLimit-have[fmt.Sprintf("2088%012d", user)]) + 1 {
			rest = append(rest, w.make("limited", user))
		}
	}
	for round := range w.rounds {
		scarce := fmt.Sprint("scarce-", round)
		for n := range max(0, haStock-w.issued(scarce)) + 5 {
			rest = append(rest, w.make(scarce, n))
		}
	}
	w.each(rest, func(c *haCall) { w.settleByBoth(0, c) })
}

// check holds the answers to stock and limits.
func (w *haWorld) check() {
	owners, of, users := map[string]string{}, map[string]int{}, map[string]int{}
	for _, c := range w.known {
		if (c.voucher == "") == (c.refused == "") {
			w.t.Errorf("%s: voucher %q, refused %q", c.send.OutBizNo, c.voucher, c.refused)
		}
		if c.voucher == "" {
			continue
		}
		if other := owners[c.voucher]; other != "" {
			w.t.Errorf("%s and %s have one voucher", other, c.send.OutBizNo)
		}
		owners[c.voucher] = c.send.OutBizNo
		of[c.send.TemplateID]++
		if c.send.TemplateID == "limited" {
			users[c.send.UserID]++
		}
	}
	for user, n := range users {
		if n > haLimit {
			w.t.Errorf("user %s has %d vouchers of a limit of %d", user, n, haLimit)
		}
	}
	wanted := map[string]int{"limited": w.rounds * haUsers * haLimit}
	for round := range w.rounds {
		wanted[fmt.Sprint("scarce-", round)] = haStock
	}
	for template, want := range wanted {
		if of[template] != want {
			w.t.Errorf("%s: %d vouchers, there were exactly %d", template, of[template], want)
		}
	}
	w.t.Logf("%d keys, vouchers %v, refused %v", len(w.known), of, w.refusals)
}

// compareStore holds what stands in the database to what was answered: every voucher under its key, and no other.
func (w *haWorld) compareStore() {
	t, ctx := w.t, w.t.Context()
	db, err := postgres.Open(ctx, postgres.Options{URL: w.store})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := db.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stored := map[string]string{}
	for i, err := range r.AllIssuances(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if other := stored[i.Key]; other != "" {
			t.Errorf("%s has vouchers %s and %s", i.Key, other, i.ID.Long())
		}
		stored[i.Key] = i.ID.Long()
	}
	for _, c := range w.known {
		if got := stored[c.send.OutBizNo]; got != c.voucher {
			t.Errorf("%s was answered voucher %q, stored is %q", c.send.OutBizNo, c.voucher, got)
		}
	}
	if got, want := len(stored), len(w.vouchers()); got != want {
		t.Errorf("%d vouchers are stored, %d were answered", got, want)
	}
}
