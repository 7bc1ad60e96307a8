package gateway

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// How many calls a process remembers that issued nothing. Those that do not authenticate have a place of their own, so
// that strangers cannot make it forget the others.
const (
	maxRefusals  = 1024
	maxStrangers = 128
)

// maxMessage bounds the text of an answer that is remembered, in bytes.
const maxMessage = 1024

// Refusals remembers the latest calls that issued nothing, with what they were answered. Nothing of them is in the
// store. It is safe for concurrent use; a nil *Refusals remembers nothing.
type Refusals struct {
	mu        sync.Mutex
	known     ring
	strangers ring
}

// NewRefusals returns an empty Refusals.
func NewRefusals() *Refusals {
	return &Refusals{known: newRing(maxRefusals), strangers: newRing(maxStrangers)}
}

// Note remembers a call that was answered at now, unless it was a success. Calls that do not authenticate are
// remembered as far as they are logged: see Apps.Failed.
func (r *Refusals) Note(call *Record, now time.Time) {
	if r == nil || !call.Refused() || call.failed && call.Quiet { //guard:TestWhatIsARefusal without !call.Refused()
		return
	}
	kept := *call
	kept.At = now
	// The text of a request lies in one piece, all of which would stay in memory with any part of it.
	for _, text := range []*string{&kept.Method, &kept.AppID, &kept.AppKey, &kept.Template} {
		*text = strings.Clone(cut(*text))
	}
	kept.Key, kept.CallerTrace = strings.Clone(cutKey(kept.Key)), strings.Clone(kept.CallerTrace)
	if kept.Variant == "" {
		kept.Message = "" // it may explain a signature by the parameters of the call
	}
	kept.Message = strings.ToValidUTF8(kept.Message[:min(len(kept.Message), maxMessage)], "")
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept.failed {
		r.strangers.add(kept) //guard:TestRefusalsOfStrangers r.strangers.add -> r.known.add
	} else {
		r.known.add(kept)
	}
}

// Find lists the remembered calls that match, newest first, at most limit.
func (r *Refusals) Find(match func(*Record) bool, limit int) []Record {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	found := append(r.known.find(match, limit), r.strangers.find(match, limit)...)
	r.mu.Unlock()
	slices.SortStableFunc(found, func(a, b Record) int { return b.At.Compare(a.At) })
	return found[:min(len(found), limit)]
}

// ring holds the latest records, up to the capacity of all.
type ring struct {
	all  []Record
	next int // the oldest, once all is full
}

func newRing(size int) ring { return ring{all: make([]Record, 0, size)} }

func (r *ring) add(record Record) {
	if len(r.all) < cap(r.all) { //guard:TestRefusalsAreBounded without len(r.all) < cap(r.all)
		r.all = append(r.all, record)
		return
	}
	r.all[r.next] = record
	r.next = (r.next + 1) % len(r.all)
}

func (r *ring) find(match func(*Record) bool, limit int) (found []Record) {
	for k := range r.all {
		//guard:TestRefusalsAreBounded r.next - 1 - k + 2*len(r.all) -> r.next + k
		at := (r.next - 1 - k + 2*len(r.all)) % len(r.all)
		if len(found) < limit && match(&r.all[at]) {
			found = append(found, r.all[at])
		}
	}
	return found
}
