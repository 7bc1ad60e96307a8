package sim

import (
	"errors"
	"math/rand/v2"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// FirstWithFollower is the first seed in whose history a consumer reads the feed beside everything that happens. What it draws
// comes from a source of its own.
const FirstWithFollower = 2000

// Followed counts what a consumer of the feed did.
type Followed struct {
	Commits     int // that were read for the first time
	Again       int // pages from an older place
	Failed      int // pages that could not be read, as the disk failed
	Sequenced   int // rounds that put commits of a database into the feed
	Interrupted int // rounds whose commit or its answer was lost
}

// follower is a consumer of the feed. Its places stay good whatever happens to the processes.
type follower struct {
	*simulation
	pick func(n int) int
	read []followedCommit // in the order of the feed, without gaps; the first is the place before all commits
}

// followedCommit is a commit as the feed had it, with the place behind it.
type followedCommit struct {
	place  store.Place
	events []oracle.Event
}

func newFollower(s *simulation, seed uint64) *follower {
	return &follower{simulation: s, pick: rand.New(rand.NewPCG(seed, 6)).IntN}
}

// follow sometimes reads a page, from where the last one ended or from an older place.
func (f *follower) follow() {
	if f == nil || f.pick(4) > 0 {
		return
	}
	if f.pick(2) == 0 {
		f.back.sequence(f.pick)
	}
	from := len(f.read) - 1
	if from >= 0 && f.pick(4) == 0 {
		from = f.pick(len(f.read))
		f.report.Followed.Again++
	}
	if f.page(from, 1+f.pick(7)) {
		f.compare(false)
	}
}

// page reads a page from a place on, and reports whether it could.
func (f *follower) page(from, limit int) bool {
	feed := f.back.all()
	if len(f.read) == 0 {
		start, err := feed.FeedSince(f.ctx, 0)
		if err != nil {
			return f.failed(err)
		}
		f.read, from = []followedCommit{{place: start}}, 0
	}
	place := f.read[from].place
	commits, err := feed.Commits(f.ctx, place, limit)
	if err != nil {
		return f.failed(err)
	}
	if len(commits) > limit {
		f.failf("%d commits of the feed, and %d were asked for", len(commits), limit)
	}
	at := from
	if len(commits) > 0 && commits[0].Place == place {
		at--
	}
	for _, c := range commits {
		var events []oracle.Event
		for k := range c.Steps {
			more, err := oracle.EventsOf(&c.Steps[k])
			if err != nil {
				f.failf("commit %d of the feed: %v", c.Seq, err)
			}
			events = append(events, more...)
		}
		one := followedCommit{c.Place, events}
		switch at++; {
		case at < len(f.read):
			if diff := storetest.Diff(f.read[at], one); diff != "" {
				f.failf("commit %d of the feed was another when it was read before (-then +now):\n%s", c.Seq, diff)
			}
		case c.Seq <= f.read[at-1].place.Seq:
			f.failf("commit %d of the feed comes after commit %d", c.Seq, f.read[at-1].place.Seq)
		default:
			f.read = append(f.read, one)
			f.report.Followed.Commits++
		}
	}
	f.tracef("the feed from %d on, at most %d: %d commits", place.Seq, limit, len(commits))
	return true
}

// failed notes that a page could not be read. The next one is read from the same place.
func (f *follower) failed(err error) bool {
	if errors.Is(err, store.ErrForeignPlace) || errors.Is(err, store.ErrPlaceGone) || errors.Is(err, store.ErrDamaged) {
		f.failf("the feed: %v", err)
	}
	f.report.Followed.Failed++
	f.tracef("the feed: %s", class(err))
	return false
}

// compare compares what was read with what was committed: of each template the same events in the same order, so that an
// operation comes after those that it rests on; on a store of one process in one order altogether. What is not read yet may
// be missing at the end, unless the whole feed was read.
func (f *follower) compare(whole bool) {
	var want, got []oracle.Event
	r, err := f.model.Read(f.ctx)
	if err != nil {
		f.failf("the plain store: %v", err)
	}
	defer r.Close()
	for c := range r.AllCommits(f.ctx) {
		for k := range c.Steps {
			events, err := oracle.EventsOf(&c.Steps[k])
			if err != nil {
				f.failf("the plain store: %v", err)
			}
			want = append(want, events...)
		}
	}
	for _, c := range f.read {
		got = append(got, c.events...)
	}
	if f.back.all().Shared() {
		byTemplate := func(a, b oracle.Event) int { return int(a.Template - b.Template) }
		slices.SortStableFunc(got, byTemplate)
		slices.SortStableFunc(want, byTemplate)
		if !whole {
			want = begun(want, got)
		}
	} else if !whole {
		want = want[:min(len(got), len(want))]
	}
	if diff := storetest.Diff(want, got); diff != "" {
		f.failf("the events of the feed (-should +are):\n%s", diff)
	}
}

// begun returns of each template as many of its first events as others have; both are in the order of templates.
func begun(all, others []oracle.Event) (some []oracle.Event) {
	room := map[benefit.TemplateID]int{}
	for _, e := range others {
		room[e.Template]++
	}
	for _, e := range all {
		if room[e.Template]--; room[e.Template] >= 0 {
			some = append(some, e)
		}
	}
	return some
}

// finish reads what is left, and wants all that was committed.
func (f *follower) finish() {
	if f == nil {
		return
	}
	f.back.sequence(nil)
	for before := -1; before < len(f.read); {
		before = len(f.read)
		if !f.page(len(f.read)-1, 50) {
			f.failf("the feed cannot be read in the end")
		}
	}
	end, err := f.back.all().FeedEnd(f.ctx)
	if last := f.read[len(f.read)-1].place; err != nil || end != last {
		f.failf("the feed ends at %v, and its last commit is %v: %v", end, last, err)
	}
	f.compare(true)
}
