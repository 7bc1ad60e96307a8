package main

import (
	"sync"
	"time"

	"faquan/internal/journal"
)

// bareJournal is the ceiling: callers whose entries are gathered, appended and synced, and nothing else. There is
// no state to look up or to keep, so nothing is decided.
type bareJournal struct {
	Journal    *journal.Journal
	Callers    int
	EntryBytes int // what an issue takes in the store's journal
	Dir        string
}

// bareQueue is the least that can gather entries.
type bareQueue struct {
	mu      sync.Mutex
	waiting []chan error
	wake    chan struct{}
}

// Run appends so many entries.
func (b *bareJournal) Run(entries int64) (Figures, error) {
	q := &bareQueue{wake: make(chan struct{}, 1)}
	var latency histogram
	meter := newMeter(b.Dir)
	from := meter.read()
	var err error
	over := make(chan struct{})
	go func() {
		defer close(over)
		err = closedLoop(b.Callers, 0, entries, 1, func(int) func(int64) error {
			answered := make(chan error, 1)
			return func(int64) error {
				began := time.Now()
				q.put(answered)
				err := <-answered
				latency.Add(time.Since(began))
				return err
			}
		})
	}()
	b.commit(q, over)
	return figures(from, meter.read(), entries, &latency), err
}

func (q *bareQueue) put(answer chan error) {
	q.mu.Lock()
	q.waiting = append(q.waiting, answer)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// commit answers every caller, after an error too, until the callers are over.
func (b *bareJournal) commit(q *bareQueue, over chan struct{}) {
	var batch []chan error
	payload := make([]byte, 0, b.Callers*b.EntryBytes)
	entry := make([]byte, b.EntryBytes)
	for {
		select {
		case <-over:
			return
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
		_, err := b.Journal.Append(1, payload)
		for _, answer := range batch {
			answer <- err
		}
	}
}
