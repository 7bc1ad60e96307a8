package sim

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/id"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// process is one of those that issue on the store: one on the embedded store, one or several on a database.
type process struct {
	name   string // in the trace; empty when it is the only one
	store  *watched
	engine *engine.Engine
	queue  []*submission    // what was submitted and is not answered
	maybe  *benefit.Changes // what a commit of unknown outcome would have written
	busy   bool             // a batch is under way
	dead   bool             // it has ended in its batch, and no answer comes
}

// submission is a submitted call or change.
type submission struct {
	wish    *wish
	call    oracle.Call // nil: a change
	pending *engine.Pending
}

// newEngine creates the engine of a process whose store was just opened.
func (s *simulation) newEngine(p *process) {
	var err error
	p.engine, err = engine.New(s.ctx, engine.Options{
		Store: p.store, Clock: s.back.now,
		Rand: rand.New(rand.NewPCG(s.rng.Uint64(), 5)), Batch: s.batch, Rules: storetest.Rules{}, DrawSecret: storetest.DrawSecret,
	})
	if err != nil {
		s.failf("the engine does not start: %v", err)
	}
}

// anyProcess draws one of several.
func (s *simulation) anyProcess() *process {
	if len(s.processes) == 1 {
		return s.processes[0]
	}
	return some(s, s.processes...)
}

// ask submits a call.
func (s *simulation) ask(p *process, x *wish) {
	call := s.world.call(x)
	pending, err := p.engine.Submit(call.Command())
	s.tracef("%sask %v: %v", p.name, call, err)
	if err == nil {
		p.queue = append(p.queue, &submission{x, call, pending})
	}
}

// change submits a change of the catalogue or of the users.
func (s *simulation) change(p *process) {
	what, plan := s.world.change(s.clock)
	pending, err := p.engine.SubmitChange(s.ctx, plan)
	s.tracef("%sask to %s: %v", p.name, what, err)
	if err == nil {
		p.queue = append(p.queue, &submission{pending: pending})
	}
}

// work lets a process's committer process one batch.
func (s *simulation) work(p *process) {
	batch := p.nextBatch(s.batch)
	p.store.begin()
	if len(batch) > 0 {
		s.back.plan(p, batch)
	}
	p.busy = true
	worked, failed := p.engine.Step()
	p.busy = false
	if s.found != "" { // the committer takes a panic for a bad request, and goes on without it
		panic(s.found)
	}
	if worked != (len(batch) > 0) {
		s.failf("Step worked: %v, and %d were waiting", worked, len(batch))
	}
	if len(batch) > 0 {
		s.tracef("%sa batch of %d at %v: %s", p.name, len(batch), p.store.now, class(p.store.commitErr))
	}
	if len(batch) > 0 && !p.dead {
		s.answers(p, batch)
	}
	if p.store.committed != nil {
		s.conserved()
	}
	s.back.ended(p, batch, failed)
}

// workAll works until no request waits.
func (s *simulation) workAll() {
	for _, p := range s.processes {
		for len(p.queue) > 0 {
			s.work(p)
		}
	}
}

// nextBatch takes from the queue what the committer will take.
func (p *process) nextBatch(limit int) []*submission {
	n := 0
	for n < len(p.queue) && n < limit && (n == 0 || p.queue[n].call != nil && p.queue[0].call != nil) {
		n++
	}
	batch := p.queue[:n]
	p.queue = p.queue[n:]
	return batch
}

// answers judges what the callers of a batch were told.
func (s *simulation) answers(p *process, batch []*submission) {
	defer s.judgeAs(p.store.seen)()
	unknown := map[oracle.Key]bool{}
	for _, a := range batch {
		err, ok := a.pending.Result()
		if !ok {
			s.failf("a request of the batch was not answered")
		}
		if a.call == nil {
			s.changed(p, err)
			continue
		}
		k := a.call.Key()
		s.tracef("  %s %q: %s", k.Scope, k.Key, resultOf(a.call, err))
		s.count(a.call, err)
		if errors.Is(err, engine.ErrUnknown) {
			unknown[k] = true
		}
		a.wish.answered(a.call, err == nil && s.pick(5) > 0)
		s.judge(p, a.call, err)
	}
	s.wantUnknown(p, unknown)
}

// resultOf returns an answer as text for the trace.
func resultOf(c oracle.Call, err error) string {
	if err != nil {
		return class(err)
	}
	return c.Result()
}

// judge has the oracle judge one answer.
func (s *simulation) judge(p *process, c oracle.Call, err error) {
	var wrong error
	switch {
	case p.store.commitErr != nil && err == nil && errors.Is(p.store.commitErr, store.ErrUnconfirmed):
		wrong = errors.New("an outcome, though nothing that the batch has read was confirmed")
	case p.store.commitErr != nil && err == nil:
		wrong = s.oracle.JudgeReplay(c, p.store.now)
	case p.store.commitErr != nil:
	case err != nil:
		wrong = fmt.Errorf("no outcome, though nothing failed: %w", err)
	default:
		last, bound := s.oracle.Issued[c.Key()], s.oracle.Bound(c.Key(), p.store.now)
		wrong = c.Judge(s.oracle, p.store.now)
		if i, ok := c.(*oracle.Issue); ok {
			s.report.Coverage.attempt(i.Request, i.Outcome, bound)
			if now := s.oracle.Issued[c.Key()]; now != last {
				s.report.Coverage.booked(now, last, bound, i.Outcome)
				if slices.ContainsFunc(now.Lines, s.oracle.Restocked) {
					s.report.Coverage.Restocked++
				}
			}
		}
	}
	if wrong != nil {
		s.failf("%s%v was told: %s: %v", p.name, c, resultOf(c, err), wrong)
	}
}

// wantUnknown checks that those and only those heard "unknown" whose outcome went with the commit. Where nothing that
// the batch has read was confirmed either, or could be read at all, others may hear it, too.
func (s *simulation) wantUnknown(p *process, heard map[oracle.Key]bool) {
	written := map[oracle.Key]bool{}
	if p.maybe != nil {
		for _, i := range p.maybe.Issuances {
			written[oracle.Key{Scope: i.Scope, Key: i.Key}] = true
		}
		for _, op := range benefit.Operations.Of(p.maybe.Rows) {
			written[oracle.Key{Scope: op.Scope, Key: op.Key}] = true
		}
	}
	for k := range heard {
		if op := s.oracle.Operation(k); op != nil && p.maybe != nil && changes(p.maybe, op.ID) {
			written[k] = true // it was answered with the voucher as the commit would leave it
		}
	}
	for k := range heard {
		if k.Scope == oracle.ExpiryScope && p.maybe != nil && movesCursor(p.maybe, k) {
			written[k] = true
		}
	}
	if p.store.unread || errors.Is(p.store.commitErr, store.ErrUnconfirmed) {
		more := maps.Clone(heard)
		maps.Copy(more, written)
		written = more
	}
	if diff := storetest.Diff(written, heard); diff != "" {
		s.failf("who heard that the outcome is unknown (-should +did):\n%s", diff)
	}
}

// movesCursor reports whether a commit moves the cursor of an [oracle.Expiry].
func movesCursor(c *benefit.Changes, k oracle.Key) bool {
	return slices.ContainsFunc(benefit.ExpiryCursors.Of(c.Rows), func(c benefit.ExpiryCursor) bool {
		return strings.HasPrefix(k.Key, fmt.Sprintf("%d %d ", c.Template, c.Version))
	})
}

// changes reports whether a commit changes the state of a voucher.
func changes(c *benefit.Changes, voucher id.ID) bool {
	return slices.ContainsFunc(benefit.VoucherStates.Of(c.Rows), func(v benefit.VoucherState) bool { return v.Voucher == voucher })
}

func (s *simulation) changed(p *process, err error) {
	s.tracef("  the change: %s", class(err))
	switch {
	case (err == nil) != (p.store.commitErr == nil):
		s.failf("the change was told %v, the commit %v", err, p.store.commitErr)
	case err == nil:
		s.report.Changes++
		s.learn(p.store.committed)
	}
}
