package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"faquan/internal/benefit"
)

// ErrReadersBusy is returned by Readers.Enter when there was no room in time.
var ErrReadersBusy = errors.New("too many queries at once")

// Readers bounds how many queries run at once, in all and for each app: queries leave the store and the processors to
// issuing, and one app leaves room to the others. It is safe for concurrent use.
type Readers struct {
	perApp int
	wait   time.Duration
	all    chan struct{}

	mu   sync.Mutex
	apps map[benefit.AppID]chan struct{} // those that ever had a query
}

// NewReaders makes a bound of so many queries, and so many for each app. A query that finds no room waits that long.
func NewReaders(all, perApp int, wait time.Duration) *Readers {
	return &Readers{
		//guard:internal/gateway/top.TestQueryReaders struct{}, all -> struct{}, all+99
		perApp: perApp, wait: wait, all: make(chan struct{}, all), apps: map[benefit.AppID]chan struct{}{},
	}
}

// Enter waits until a query of the app may run. When it returns no error, leave must be called at the end of the
// query. Errors are ErrReadersBusy and those of the context.
func (r *Readers) Enter(ctx context.Context, app benefit.AppID) (leave func(), err error) {
	timeout := time.NewTimer(r.wait)
	defer timeout.Stop()
	own := r.roomOf(app)
	// The app's room comes first: the queries of an app that wait for each other do not keep others waiting.
	if err := take(ctx, own, timeout); err != nil {
		return nil, err
	}
	if err := take(ctx, r.all, timeout); err != nil {
		<-own
		return nil, err
	}
	return func() {
		<-r.all
		<-own
	}, nil
}

// take waits for a place in the room until the timer fires.
func take(ctx context.Context, room chan struct{}, timeout *time.Timer) error {
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return ErrReadersBusy
	}
}

func (r *Readers) roomOf(app benefit.AppID) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.apps[app] == nil {
		r.apps[app] = make(chan struct{}, r.perApp) //guard:internal/gateway/top.TestQueryReaders r.perApp -> r.perApp+99
	}
	return r.apps[app]
}
