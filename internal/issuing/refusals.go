package issuing

import (
	"sync"

	"faquan/internal/benefit"
)

// Refusal is a request that issued nothing, with what its decision looked at. Nothing of it is in the store.
type Refusal struct {
	At        benefit.Instant
	Catalogue *benefit.Catalogue
	Attempt   *benefit.Issuance // its lines with their reasons
	Reason    benefit.Reason    // NotRefused when a scene had nothing to give
}

// ring remembers the latest refusals.
type ring struct {
	mu   sync.Mutex
	all  []Refusal
	next int
}

func newRing(size int) *ring { return &ring{all: make([]Refusal, 0, size)} }

// note remembers the outcome of a request if it was refused as a whole.
func (r *ring) note(p *pending) {
	attempt := p.outcome.Attempt
	if attempt == nil || p.outcome.Issuance != nil {
		return
	}
	refusal := Refusal{At: p.now, Catalogue: p.catalogue, Attempt: attempt, Reason: p.outcome.Reason}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) < cap(r.all) {
		r.all = append(r.all, refusal)
		return
	}
	r.all[r.next] = refusal
	r.next = (r.next + 1) % len(r.all)
}

// Refusals lists the remembered refusals that match, newest first, at most limit.
func (i *Issuer) Refusals(match func(*Refusal) bool, limit int) (found []Refusal) {
	r := i.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.all {
		at := (r.next - 1 - k + 2*len(r.all)) % len(r.all)
		if len(found) < limit && match(&r.all[at]) {
			found = append(found, r.all[at])
		}
	}
	return found
}
