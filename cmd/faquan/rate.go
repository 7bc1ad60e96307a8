package main

import (
	"sync"
	"time"

	"faquan/internal/engine"
)

// rateSeconds is how long the rate of an issueRate is averaged over, in seconds.
const rateSeconds = 10

// issueRate measures how fast an engine issues. It passes the events on to another Observer.
type issueRate struct {
	engine.Observer
	now func() time.Time

	mu      sync.Mutex
	seconds [rateSeconds + 1]struct{ at, vouchers int64 } // the current second and those before it, each at its place
}

func newIssueRate(now func() time.Time) *issueRate {
	return &issueRate{Observer: engine.Unobserved{}, now: now}
}

// Issued implements engine.Observer.
func (r *issueRate) Issued(vouchers int64) {
	r.Observer.Issued(vouchers)
	at := r.now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.seconds[at%int64(len(r.seconds))]
	if s.at != at { //guard:TestIssueRate
		s.at, s.vouchers = at, 0
	}
	s.vouchers += vouchers
}

// perSecond returns how many vouchers were issued per second in the last rateSeconds full seconds.
func (r *issueRate) perSecond() float64 {
	now := r.now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := int64(0)
	for _, s := range r.seconds {
		if now-rateSeconds <= s.at && s.at < now { //guard:TestIssueRate without now-rateSeconds <= s.at
			sum += s.vouchers
		}
	}
	return float64(sum) / rateSeconds
}
