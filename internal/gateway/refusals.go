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
	maxRefusals  = 4096
	maxStrangers = 128
)

// maxMessage bounds the text of an answer that is remembered, in bytes.
const maxMessage = 1024

// Refusals remembers the latest calls that issued nothing, with what they were answered. Nothing of them is in the
// store; package refusals keeps more of them in files. It is safe for concurrent use; a nil *Refusals remembers nothing.
type Refusals struct {
	added chan struct{}

	mu        sync.Mutex
	known     ring
	strangers ring
	last      int64 // the number of the latest call in known; 0: none
}

// NewRefusals returns an empty Refusals.
func NewRefusals() *Refusals {
	return &Refusals{added: make(chan struct{}, 1), known: newRing(maxRefusals), strangers: newRing(maxStrangers)}
}

// Added returns a channel that receives a value after a call of an app was remembered. It holds one value, however many
// calls were remembered.
func (r *Refusals) Added() <-chan struct{} { return r.added }

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
	//guard:TestRefusalsOfStrangers
	//guard:TestRefusalsOfStrangers without kept.Variant == ""
	if kept.failed && kept.Variant == "" {
		kept.Message = "" // it may explain a signature by the parameters of the call
	}
	kept.Message = strings.ToValidUTF8(kept.Message[:min(len(kept.Message), maxMessage)], "")
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept.failed {
		r.strangers.add(kept) //guard:TestRefusalsOfStrangers r.strangers.add(kept) -> r.known.add(kept)
		return
	}
	r.last++
	kept.Number = r.last
	r.known.add(kept)
	select {
	case r.added <- struct{}{}:
	default:
	}
}

// Find lists the remembered calls that match, newest first, at most limit.
func (r *Refusals) Find(match func(*Record) bool, limit int) []Record {
	if r == nil {
		return nil
	}
	known, strangers, _ := r.FindApart(match, limit)
	return Newest(append(known, strangers...), limit)
}

// FindApart is Find with the calls of apps and those that do not authenticate apart, each at most limit. It returns also
// the number of the oldest call of an app that is remembered: those from there on were looked at. It is the number of the
// next call when there is none.
func (r *Refusals) FindApart(match func(*Record) bool, limit int) (known, strangers []Record, oldest int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known.find(match, limit), r.strangers.find(match, limit), r.oldest()
}

// Newest sorts refusals by their time, newest first, and returns the first limit of them.
func Newest(found []Record, limit int) []Record {
	slices.SortStableFunc(found, func(a, b Record) int { return b.At.Compare(a.At) })
	return found[:min(len(found), limit)]
}

// After copies remembered calls of apps into buf, in the order of their numbers, beginning with the first one whose number
// is greater than the given one. It returns how many it copied.
func (r *Refusals) After(number int64, buf []Record) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for at := max(number+1, r.oldest()); at <= r.last && n < len(buf); at++ { //guard:TestRefusalsAfter without r.oldest()
		buf[n] = *r.known.newest(int(r.last - at))
		n++
	}
	return n
}

// oldest returns the number of the oldest call in known. The caller holds the lock.
func (r *Refusals) oldest() int64 { return r.last + 1 - int64(len(r.known.all)) }

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
	for k := 0; k < len(r.all) && len(found) < limit; k++ {
		if c := r.newest(k); match(c) {
			found = append(found, *c)
		}
	}
	return found
}

// newest returns the record that was added before the k newest ones.
func (r *ring) newest(k int) *Record {
	//guard:TestRefusalsAreBounded r.next - 1 - k + 2*len(r.all) -> r.next + k
	return &r.all[(r.next-1-k+2*len(r.all))%len(r.all)]
}
