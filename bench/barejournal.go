package main

import (
	"sync"
	"sync/atomic"
	"time"

	"faquan/internal/journal"
)

// BareJournal is the ceiling: callers whose entries are gathered, appended and synced, and nothing else. There is
// no state to look up or to keep, so nothing is decided.
type BareJournal struct {
	Journal    *journal.Journal
	Callers    int
	EntryBytes int // what an issue takes in the store's journal
	Dir        string
}

// bareQueue is the least that can gather entries.
type bareQueue struct {
	mu      sync.Mutex
	waiting []chan struct{}
	wake    chan struct{}
}

// Run appends so many entries.
func (b *BareJournal) Run(entries int64) (Figures, error) {
	q := &bareQueue{wake: make(chan struct{}, 1)}
	var (
		latency Histogram
		next    atomic.Int64
		callers sync.WaitGroup
	)
	meter := newMeter(b.Dir)
	from := meter.read()
	for range b.Callers {
		callers.Add(1)
		go func() {
			defer callers.Done()
			answered := make(chan struct{}, 1)
			for next.Add(1) <= entries {
				began := time.Now()
				q.put(answered)
				<-answered
				latency.Add(time.Since(began))
			}
		}()
	}
	over := make(chan struct{})
	go func() { callers.Wait(); close(over) }()
	err := b.commit(q, over)
	return figures(from, meter.read(), entries, &latency), err
}

func (q *bareQueue) put(answer chan struct{}) {
	q.mu.Lock()
	q.waiting = append(q.waiting, answer)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (b *BareJournal) commit(q *bareQueue, over chan struct{}) error {
	var batch []chan struct{}
	payload := make([]byte, 0, b.Callers*b.EntryBytes)
	entry := make([]byte, b.EntryBytes)
	for {
		select {
		case <-over:
			return nil
		case <-q.wake:
		}
		q.mu.Lock()
		batch, q.waiting = q.waiting, batch[:0]
		q.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		payload = payload[:0]
		for range batch {
			payload = append(payload, entry...)
		}
		if _, err := b.Journal.Append(1, payload); err != nil {
			return err
		}
		for _, answer := range batch {
			answer <- struct{}{}
		}
	}
}
