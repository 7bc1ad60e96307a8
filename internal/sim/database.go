package sim

import (
	"fmt"
	"strings"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/pgtest/cutproxy"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
)

// Database is where the processes of a run meet.
type Database struct {
	URL       string       // of an empty database
	Crash     func() error // kills the server and starts it again; nil: it is never done
	Processes int          // default: 1, 2 or 4, as the seed says
}

// Broken counts what went wrong on a database, and what came between.
type Broken struct {
	Cut        int // batches whose connection ended before their commit
	CommitLost int // commits that the server never got
	AnswerLost int // commits whose answer never came
	Deaths     int // processes that ended without a warning, in a batch or between two
	Crashes    int // of the server
	Between    int // batches of one process while another had read what it decides by
	Late       int // attempts of batches for which another process was first
}

// onDatabase is one or several processes on PostgreSQL, each behind a proxy of its own that can break its connections.
// Processes come between each other only where none of them has locked anything, so nothing waits: what the server
// does when many come at once is for tests that leave it to the server's own scheduling.
//
// Time is the seed's, not the database's: days turn, and clocks go back. The server does not sync: a killed process loses
// nothing that the kernel has.
type onDatabase struct {
	*simulation
	Database
	members map[*process]*member
	control *postgres.Store // bypasses the proxies: only a crash of the server breaks it
}

// member is the state of a process on the database.
type member struct {
	process *process
	proxy   *cutproxy.Proxy
	store   *postgres.Store
	plan    plan
	batch   []*submission // under way, or the last one
}

func newOnDatabase(s *simulation, c Config) (*onDatabase, func()) {
	o := &onDatabase{simulation: s, Database: *c.Database, members: map[*process]*member{}}
	if o.Processes == 0 {
		o.Processes = some(s, 1, 2, 2, 4)
	}
	return o, o.close
}

// start opens the database, and every process.
func (o *onDatabase) start() {
	var err error
	if o.control, err = postgres.Open(o.ctx, postgres.Options{URL: o.URL, CallerClock: true}); err != nil {
		o.failf("the database: %v", err)
	}
	for n := range o.Processes {
		p := &process{name: fmt.Sprintf("%d: ", n+1)}
		o.processes = append(o.processes, p)
		o.join(p)
	}
}

// join opens the store of a process that begins.
func (o *onDatabase) join(p *process) {
	proxy, err := cutproxy.Open(o.URL)
	if err != nil {
		o.failf("the proxy: %v", err)
	}
	m := &member{process: p, proxy: proxy}
	o.members[p] = m
	if m.store, err = postgres.Open(o.ctx, postgres.Options{URL: proxy.URL(), CallerClock: true}); err != nil {
		o.failf("%sit does not start: %v", p.name, err)
	}
	p.queue, p.dead = nil, false
	p.store = &watched{Store: m.store, s: o.simulation, p: p}
	o.wantLastID(m.store)
	o.newEngine(p)
	o.report.Starts++
	o.tracef("%sstarted", p.name)
}

// leave ends a process's connections, and then its store, which has nothing to wait for.
func (o *onDatabase) leave(p *process) {
	m := o.members[p]
	if n := m.proxy.Cancels(); n > 0 {
		o.failf("%s%d cancel requests", p.name, n)
	}
	m.proxy.Close()
	if m.store != nil {
		_ = m.store.Close()
	}
	delete(o.members, p)
}

func (o *onDatabase) close() {
	for _, p := range o.processes {
		if m := o.members[p]; m != nil {
			m.proxy.Close()
			if m.store != nil && !p.busy { // a run that broke off in a batch leaves its end to the server
				_ = m.store.Close()
			}
		}
	}
	if o.control != nil {
		_ = o.control.Close()
	}
}

func (o *onDatabase) all() store.Store { return o.control }

// happen ends processes, in order or not, or has more work done.
func (o *onDatabase) happen(n int) {
	p := o.anyProcess()
	switch {
	case n < 80:
		o.stopOne(p)
	case n < 82:
		o.kill(p, "for no reason")
	case n == 82 && o.Crash != nil && o.report.Broken.Crashes == 0:
		o.crashServer()
		o.comeBack()
	default:
		o.work(p)
	}
}

// now gives batches an instant each, as a database's clock does, so that rows tell their order. A batch that comes
// between has an earlier one than that in which it comes.
func (o *onDatabase) now() benefit.Instant {
	after := benefit.Instant(1 << len(o.processes))
	for _, p := range o.processes {
		if p.busy {
			after /= 2
		}
	}
	return max(o.clock, o.latest, o.confirmed) + after
}

func (o *onDatabase) recover() {}

func (o *onDatabase) heal() {}

// crash ends all processes without a warning.
func (o *onDatabase) crash(why string) {
	for _, p := range o.processes {
		o.kill(p, why)
	}
}

// kill ends a process without a warning: what waits in its queue is lost; its callers do not know and ask again.
func (o *onDatabase) kill(p *process, why string) {
	o.tracef("%skilled, %s", p.name, why)
	o.report.Broken.Deaths++
	o.leave(p)
	o.join(p)
}

func (o *onDatabase) stop() {
	for _, p := range o.processes {
		o.stopOne(p)
	}
}

// stopOne ends a process in order and starts it again.
func (o *onDatabase) stopOne(p *process) {
	for len(p.queue) > 0 {
		o.work(p)
	}
	o.tracef("%sstopped", p.name)
	o.leave(p)
	o.join(p)
}

// holds reports whether the changes are there. Where they are what stood there before, it does not matter, but for now.
func (o *onDatabase) holds(maybe *benefit.Changes) bool {
	o.confirmed = max(o.confirmed, maybe.Now)
	return !o.same()
}

// end audits the database as `faquan audit` does.
func (o *onDatabase) end() {
	report, err := audit.Postgres(o.ctx, o.control, audit.Options{LookupEvery: 1})
	if err != nil {
		o.failf("the audit: %v", err)
	}
	o.wantAudited(report)
	for _, p := range o.processes {
		o.leave(p)
	}
}

// sequence runs a round of the sequencer, in which the connections of the process may end when it commits.
func (o *onDatabase) sequence(pick func(n int) int) {
	if pick == nil {
		if err := o.control.SequenceFeed(o.ctx); err != nil {
			o.failf("the sequencer: %v", err)
		}
		return
	}
	p := o.processes[pick(len(o.processes))]
	m := o.members[p]
	what := plan{what: []event{nothing, commitLost, answerLost}[pick(3)]}
	switch what.what {
	case commitLost:
		what.reported = m.proxy.Arm(cutproxy.CommitLost)
	case answerLost:
		what.reported = m.proxy.Arm(cutproxy.AnswerLost)
	}
	err := m.store.SequenceFeed(o.ctx)
	o.report.Followed.Sequenced++
	o.tracef("%sa round of the sequencer: %s", p.name, class(err))
	if what.reported == nil || m.proxy.Disarm() { // there was nothing to commit
		if err != nil {
			o.failf("%sthe sequencer: %v", p.name, err)
		}
		return
	}
	<-what.reported
	o.report.Followed.Interrupted++
	reconnect(o.simulation, m.store)
}

// wantAudited wants no findings in a report.
func (s *simulation) wantAudited(report *audit.Report) {
	for _, f := range report.Findings {
		switch {
		// Operators may not set a cap below what was issued; here they do, and the oracle knows how far caps ever went.
		case f.Invariant == audit.Totals && strings.Contains(f.Want, "at most "):
		// A test has a command of its own, whose results the audit cannot read.
		case f.Invariant == audit.Redemptions && f.Want == "a result that can be read":
		default:
			s.failf("the audit found: %v", f)
		}
	}
}

// crashServer kills the server under all processes, and starts it again.
func (o *onDatabase) crashServer() {
	o.tracef("the server is killed")
	o.report.Broken.Crashes++
	if err := o.Crash(); err != nil {
		o.failf("the server: %v", err)
	}
}

// comeBack has every process that has no batch under way, and the control, find new connections, so that what comes
// does not depend on which of the old ones they would have tried first.
func (o *onDatabase) comeBack() {
	reconnect(o.simulation, o.control)
	for _, p := range o.processes {
		if !p.busy && !p.dead {
			reconnect(o.simulation, o.members[p].store)
		}
	}
}

// reconnect asks until each pool of a store has a connection that is good.
func reconnect(s *simulation, st *postgres.Store) {
	var err error
	for range 10 {
		tx, beginErr := st.Begin(s.ctx, 0)
		if err = beginErr; err != nil {
			continue
		}
		tx.Rollback()
		reader, readErr := st.Read(s.ctx)
		if err = readErr; err == nil {
			reader.Close()
			return
		}
	}
	s.failf("there is no connection: %v", err)
}

// askAgain has the callers of a batch that was broken ask again, here or there: that settles what is not known.
func (o *onDatabase) askAgain(batch []*submission) {
	for _, a := range batch {
		if a.wish != nil && a.wish.open {
			o.ask(o.anyProcess(), a.wish)
		}
	}
}
