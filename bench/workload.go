package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
)

// Workload is what the callers of an engine benchmark ask for. The n-th ask is a function of n alone, so that a
// retry can name any earlier one without a list of them.
type Workload struct {
	Templates  int   // 1: one hot template at a time; more: asks spread over them evenly
	Users      int64 // how many users receive
	PerUser    int64 // the limit per user and template
	RetryEvery int64 // one ask in so many is a retry of an earlier one; 0: none
	// Only is the template of all asks; 0: it is one of Templates.
	Only benefit.TemplateID
	// PerTrace is how many asks in a row have the same trace id; 0: they have none.
	PerTrace int64

	// Processes share the asks: the n-th is that of process n modulo Processes, and this one is number Process, from 0.
	// 0 processes are 1. A retry names an ask of any of them.
	Processes, Process int
	// SharedUsers: every process asks for every user, a few batches after its neighbour. Otherwise a user has one
	// process, if Users can be divided by Processes.
	SharedUsers bool
}

// flags are those of what the callers ask for.
func (w *Workload) flags(f *pflag.FlagSet) {
	f.IntVar(&w.Templates, "templates", 1, "1: one hot template; more: asks spread over them")
	f.Int64Var(&w.Users, "users", 1_000_000, "users")
	f.Int64Var(&w.PerUser, "per-user", 5, "the limit per user and template")
}

// retryFlag is the flag of the asks that repeat an earlier one.
func (w *Workload) retryFlag(f *pflag.FlagSet) {
	f.Int64Var(&w.RetryEvery, "retry-every", 100, "one ask in so many repeats an earlier one; 0: none")
}

// Check returns an error if the workload is impossible.
func (w Workload) Check() error {
	least := int64(1)
	if w.SharedUsers {
		least = w.stride() // processes that share their users each issue to all of them
	}
	return firstOf(atLeast("templates", w.Templates, 1), atLeast("users", w.Users, 1), atLeast("per-user", w.PerUser, least),
		atLeast("retry-every", w.RetryEvery, 0))
}

// stride returns the distance between two asks of one process.
func (w Workload) stride() int64 { return int64(max(w.Processes, 1)) }

// hotFor is after how many asks one hot template gives way to the next: before a user can reach the limit.
func (w Workload) hotFor() int64 {
	if w.SharedUsers {
		return w.Users * w.stride() * max((w.PerUser-1)/w.stride(), 1)
	}
	return max(w.Users*w.PerUser*4/5, 1)
}

// hotTemplates is how many templates a run with one hot template goes through.
const hotTemplates = 64

// addEntity adds an object of the catalogue to changes.
func addEntity(changes *benefit.Changes, object any) {
	e, err := benefit.EntityOf(object)
	if err != nil {
		panic(err) // objects are of the right types
	}
	changes.Rows = append(changes.Rows, benefit.Entities.Rows(e))
}

// Catalogue is one open merchant with the templates.
func (w Workload) Catalogue() *benefit.Changes {
	changes := &benefit.Changes{Catalogue: 1}
	add := func(v any) { addEntity(changes, v) }
	add(&benefit.Merchant{ID: 1, Name: "bench", Open: true})
	for t := 1; t <= max(w.Templates, hotTemplates); t++ {
		add(&benefit.Template{
			ID: benefit.TemplateID(t), Name: fmt.Sprint("t", t), Merchant: 1, TemplateID: fmt.Sprint("BENCH", t),
			Kind: benefit.Reduction, Face: benefit.Face{Reduction: 1050, Threshold: 10000},
			Valid: benefit.Validity{ForMillis: 30 * 24 * 3600 * 1000}, Stock: benefit.UnlimitedStock(),
			Limits: benefit.Limits{PerUser: w.PerUser}, Status: benefit.Active,
		})
	}
	return changes
}

// mix spreads numbers: the finaliser of splitmix64.
func mix(n uint64) uint64 {
	n ^= n >> 30
	n *= 0xbf58476d1ce4e5b9
	n ^= n >> 27
	n *= 0x94d049bb133111eb
	return n ^ n>>31
}

func (w Workload) retry(n int64) bool {
	return w.RetryEvery > 0 && mix(uint64(n))%uint64(w.RetryEvery) == 0
}

// template and user of the n-th ask. Users come in an order that is far from sorted, each once before any of them
// twice, so that no user reaches a limit and every issue is a real one.
func (w Workload) template(n int64) benefit.TemplateID {
	switch {
	case w.Only != 0:
		return w.Only
	case w.Templates > 1:
		return benefit.TemplateID(mix(uint64(n)^0x5851f42d4c957f2d)%uint64(w.Templates)) + 1
	}
	return benefit.TemplateID(n/w.hotFor()%hotTemplates) + 1
}

func (w Workload) user(n int64) int64 {
	if w.SharedUsers {
		n = n/w.stride() + n%w.stride()*behind
	}
	return n * 611_953 % w.Users
}

// behind is by how many asks a process comes to a user later than its neighbour.
const behind = 977

// Ask returns the n-th request. replay says that it repeats an earlier one; settled is below which asks have certainly
// been answered.
func (w Workload) Ask(n, settled int64, r *rand.Rand) (request *benefit.Request, replay bool) {
	if w.retry(n) && settled > 0 {
		for old := r.Int64N(settled); old > 0; old-- {
			if !w.retry(old) {
				return w.request(old), true
			}
		}
	}
	return w.request(n), false
}

func (w Workload) request(n int64) *benefit.Request {
	lines := []benefit.Line{{Template: w.template(n), Sends: 1, Quantity: 1}}
	r := &benefit.Request{
		Scope: scope.Template(lines[0].Template), Key: "bench-20261122-" + strconv.FormatInt(n, 10), App: 1,
		Recipient:   w.recipient(n),
		Fingerprint: benefit.FingerprintOf(lines), Lines: lines, Note: benefit.Note{Memo: "优酷3个月兑换券"},
	}
	if w.PerTrace > 0 {
		r.Note.TraceID = w.trace(n)
	}
	return r
}

// trace returns the trace id of the n-th ask, if asks have one.
func (w Workload) trace(n int64) string { return "trace-" + strconv.FormatInt(n/w.PerTrace, 10) }

// recipient returns whom the n-th ask is for.
func (w Workload) recipient(n int64) benefit.Identifier {
	return benefit.Identifier{Type: benefit.AlipayID, Value: strconv.FormatInt(2_088_000_000_000_000+w.user(n), 10)}
}

func clock() benefit.Instant { return benefit.InstantOf(time.Now()) }
