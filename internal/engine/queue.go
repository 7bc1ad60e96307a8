package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"faquan/internal/benefit"
)

// Pending is a submitted command on its way. Exactly one of the caller (by giving up) and the committer (by taking it into
// a batch) moves it out of waiting.
type Pending struct {
	command     benefit.Command
	change      *change       // the command, if it is one
	dryRun      bool          // the command is decided, and nothing is changed
	size        int           // of the command
	queue       *queue        // where it waits
	since       time.Duration // when it came, by the observer's clock
	state       atomic.Int32
	done        chan struct{} // gets one value when err is set, and the command has its result
	err         error
	needsCommit bool // the result holds only if this batch is committed
	newRefusal  bool // the result has a refusal decided in this batch, perhaps because others in it took what was left
}

const (
	stateWaiting int32 = iota
	stateTaken
	stateAbandoned
)

// take claims the command for a batch; false when the caller gave up.
func (p *Pending) take() bool { return p.state.CompareAndSwap(stateWaiting, stateTaken) }

func (p *Pending) answer(err error) {
	p.err = err
	p.done <- struct{}{}
}

// queue holds the commands that wait for the committer, up to a bound.
type queue struct {
	mu        sync.Mutex
	waiting   []*Pending
	bound     int
	stopping  bool
	wake      chan struct{} // has room for one: something waits
	abandoned atomic.Int64  // how many of waiting were given up
}

func newQueue(bound int) *queue { return &queue{bound: bound, wake: make(chan struct{}, 1)} }

func (q *queue) put(p *Pending) error {
	p.queue = q
	q.mu.Lock()
	if q.stopping { //guard:TestStopDrains
		q.mu.Unlock()
		return ErrStopping
	}
	if len(q.waiting) >= q.bound {
		q.dropAbandoned()
	}
	if len(q.waiting) >= q.bound { //guard:TestQueueBound
		q.mu.Unlock()
		return ErrBusy
	}
	q.waiting = append(q.waiting, p)
	first := len(q.waiting) == 1
	q.mu.Unlock()
	if first {
		q.signal()
	}
	return nil
}

// abandon withdraws the command; it returns false when it is already in a batch.
func (p *Pending) abandon() bool {
	if !p.state.CompareAndSwap(stateWaiting, stateAbandoned) {
		return false
	}
	p.queue.abandoned.Add(1)
	return true
}

// dropAbandoned makes room by removing commands whose callers gave up. It looks for them only if there are any: to turn a
// command away must cost less than to issue.
func (q *queue) dropAbandoned() {
	if q.abandoned.Load() <= 0 {
		return
	}
	kept := q.waiting[:0]
	for _, p := range q.waiting {
		if p.state.Load() != stateAbandoned {
			kept = append(kept, p)
		}
	}
	q.abandoned.Add(int64(len(kept) - len(q.waiting)))
	q.waiting = kept
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// ownBatch reports whether it makes a batch of its own.
func (p *Pending) ownBatch() bool {
	//guard:TestChangeKeepsItsPlace without p.change != nil
	//guard:TestDryRunIsAlone without p.dryRun
	return p.change != nil || p.dryRun
}

// batchVouchers is how large the commands of a batch may be together, so that a batch of large ones is
// not decided several times before its parts fit into a commit.
const batchVouchers = 16 * benefit.MaxRequestVouchers

// take appends waiting commands to batch, in order, until it holds limit commands or would be larger than
// batchVouchers. It leaves out abandoned ones. A change of the catalogue or a dry run is always a batch of its own.
func (q *queue) take(batch []*Pending, limit int) []*Pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	used, size := 0, 0
	for _, p := range batch {
		size += p.size
	}
	for _, p := range q.waiting {
		//guard:TestBatchOfLargeRequests without size+p.size > batchVouchers
		if len(batch) >= limit || len(batch) > 0 && (p.ownBatch() || batch[0].ownBatch() || size+p.size > batchVouchers) {
			break
		}
		used++
		if p.take() { //guard:TestGaveUp without p.take()
			batch = append(batch, p)
			size += p.size
		} else {
			q.abandoned.Add(-1)
		}
	}
	rest := copy(q.waiting, q.waiting[used:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	return batch
}

// stop rejects all further commands.
func (q *queue) stop() {
	q.mu.Lock()
	q.stopping = true
	q.mu.Unlock()
	q.signal()
}

// ended reports whether nothing waits and nothing will.
func (q *queue) ended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stopping && len(q.waiting) == 0
}

// await waits until the command is answered or the caller's context ends; for a change that is under way in any case.
func (p *Pending) await(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
	}
	if p.abandon() {
		return ErrGaveUp
	}
	if p.change != nil {
		<-p.done
		return p.err
	}
	// It is in a batch: the answer is a commit away, but the caller will not wait for it.
	select {
	case <-p.done:
		return p.err
	default:
		return ErrUnknown
	}
}
