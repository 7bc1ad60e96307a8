package sim

import (
	"faquan/internal/benefit"
	"faquan/internal/pgtest/cutproxy"
)

// plan is a fault to inject into a batch on a database, and the point at which it happens.
type plan struct {
	what event
	at   point
	dies bool // the process ends with it

	reached  bool
	reported <-chan string // what the server said to a commit that a proxy broke
}

// event is a fault that can happen to a batch.
type event int

const (
	nothing    event = iota
	between          // another process takes a batch through
	cut              // the connections of the process end
	commitLost       // they end when the commit is sent, before the server has it
	answerLost       // they end when the server has committed, before the process hears of it
	serverDies       // the server is killed
)

// breaks reports whether the batch may fail for it.
func (p plan) breaks() bool { return p.what >= cut }

// plan draws what happens to the batch that a process is about to take.
func (o *onDatabase) plan(p *process, batch []*submission) {
	m := o.members[p]
	m.plan, m.batch = plan{}, batch
	if o.step == 0 || o.ending {
		return
	}
	switch {
	case o.pick(2+2*o.calm) == 0:
		m.plan = plan{what: some(o, cut, cut, commitLost, answerLost, answerLost), at: point(o.pick(4)), dies: o.pick(3) == 0}
		if o.Crash != nil && o.report.Broken.Crashes == 0 && !o.others(p) && o.pick(6) == 0 {
			m.plan.what, m.plan.dies = serverDies, false
		}
	case o.pick(2) == 0:
		m.plan = plan{what: between, at: some(o, afterBegin, afterKeys, afterKeys)}
	}
	// A commit is met where it is; and so is a change, whose plan reads and draws.
	if m.plan.what == commitLost || m.plan.what == answerLost || batch[0].call == nil {
		m.plan.at = beforeWrite
	}
	if m.plan.what == between && (batch[0].call == nil || len(o.processes) == 1) {
		m.plan = plan{}
	}
}

// others reports whether another process has a batch under way.
func (o *onDatabase) others(p *process) bool {
	for _, q := range o.processes {
		if q != p && q.busy {
			return true
		}
	}
	return false
}

// reach does what was planned, at its point of the batch.
func (o *onDatabase) reach(t *watchedTx, at point) {
	m := o.members[t.w.p]
	if at == afterKeys && len(o.processes) > 1 {
		t.w.seen = o.see()
	}
	if at > afterKeys && t.w.seen != nil {
		t.w.seen.issued = nil // looked at again
	}
	if m.plan.reached || m.plan.what == nothing || m.plan.at != at {
		return
	}
	m.plan.reached = true
	m.process.dead = m.plan.dies
	switch m.plan.what {
	case between:
		o.comeBetween(m.batch)
	case cut:
		o.tracef("%sits connections are cut at point %d", m.process.name, at)
		o.report.Broken.Cut++
		m.proxy.CutAll()
	case commitLost:
		m.plan.reported = m.proxy.Arm(cutproxy.CommitLost)
	case answerLost:
		m.plan.reported = m.proxy.Arm(cutproxy.AnswerLost)
	case serverDies:
		o.crashServer()
		o.comeBack()
	}
	if m.plan.dies && m.plan.what == cut { // nor are there new ones
		m.proxy.Close()
	}
}

// comeBetween has another process take a batch through while this one has read what it decides by, and has locked
// nothing. Some of the callers may be the very same, who did not wait.
func (o *onDatabase) comeBetween(batch []*submission) {
	q := o.anyProcess()
	if q.busy || len(q.queue) > 0 && q.queue[0].call == nil { // a change would wait for the batch
		return
	}
	o.tracef("%scomes between", q.name)
	o.report.Broken.Between++
	for range o.pick(3) {
		o.ask(q, some(o, batch...).wish)
	}
	if o.pick(2) == 0 {
		for _, x := range o.world.requests() {
			o.ask(q, x)
		}
	}
	if len(q.queue) > 0 {
		o.work(q)
	}
}

// ended looks at what became of a batch, and has its callers ask again.
func (o *onDatabase) ended(p *process, batch []*submission, failed error) {
	if failed != nil {
		o.failf("Step: %v", failed)
	}
	if len(batch) == 0 {
		return
	}
	m := o.members[p]
	done := m.plan
	m.plan = plan{}
	o.report.Broken.Late += p.store.tries
	if !done.reached || !done.breaks() {
		if p.store.commitErr != nil {
			o.failf("%sthe batch failed for no reason: %v", p.name, p.store.commitErr)
		}
		return
	}
	o.broken(p, done)
	if p.dead {
		o.kill(p, "in its batch")
	} else {
		reconnect(o.simulation, m.store)
	}
	if o.pick(4) > 0 {
		o.askAgain(batch)
	}
}

// broken checks what a process made of a fault, and what became of the commit.
func (o *onDatabase) broken(p *process, done plan) {
	committed := false
	switch m := o.members[p]; {
	case done.reported == nil:
		if p.store.committed != nil || p.maybe != nil {
			o.failf("%sit believes that a batch may be committed whose connection had ended before", p.name)
		}
	case m.proxy.Disarm(): // the batch had nothing to commit
		return
	default:
		<-done.reported
		committed = done.what == answerLost
		if p.store.commitErr == nil {
			o.failf("%sit took a commit for done of which it did not hear", p.name)
		}
	}
	switch survived := o.report.Survived; {
	case p.maybe == nil:
		o.check("after a fault")
	default:
		changed := p.maybe
		o.settle(p, "after a fault")
		if there := o.report.Survived > survived; there && !committed || !there && committed && !o.unchanged(changed) {
			o.failf("%sa commit was done: %v, and it is there: %v", p.name, committed, there)
		}
	}
	switch {
	case done.what == commitLost:
		o.report.Broken.CommitLost++
	case done.what == answerLost:
		o.report.Broken.AnswerLost++
	}
}

// unchanged reports whether changes only wrote what stood there before.
func (o *onDatabase) unchanged(c *benefit.Changes) bool {
	return len(c.Issuances) == 0 && len(c.Rows) == 0 && c.Catalogue == 0
}
