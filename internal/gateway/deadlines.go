package gateway

import (
	"context"
	"sync"
	"time"
)

// Deadlines creates contexts that end when a call has waited long enough. Calls that come shortly after one another
// share a context, because a timer for each would cost more than most of what a call does. It is safe for concurrent
// use.
//
// The contexts do not end with the caller's connection: the request of a caller that goes away is decided all the same,
// which is what its retry will find.
type Deadlines struct {
	wait, share time.Duration

	mu     sync.Mutex
	shared context.Context
	cancel context.CancelFunc // not called: the timer ends the context
	until  time.Time          // from when on the next one is made
}

// shares is how many contexts a wait is divided among.
const shares = 64

// NewDeadlines makes a source of contexts that end after wait, or up to a sixty-fourth part later.
func NewDeadlines(wait time.Duration) *Deadlines {
	return &Deadlines{wait: wait, share: wait / shares}
}

// From returns the context of a call that begins now.
func (d *Deadlines) From(now time.Time) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared == nil || !now.Before(d.until) { //guard:TestDeadlines without !now.Before(d.until)
		d.until = now.Add(d.share)
		d.shared, d.cancel = context.WithTimeout(context.Background(), d.wait+d.share)
	}
	return d.shared
}
