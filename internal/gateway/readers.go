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
	apps map[benefit.AppID]*appReaders // those with a query that runs or waits
}

type appReaders struct {
	room    chan struct{}
	queries int // that run or wait; Readers.mu guards it
}

// NewReaders makes a bound of so many queries, and so many for each app. A query that finds no room waits that long.
func NewReaders(all, perApp int, wait time.Duration) *Readers {
	return &Readers{
		//guard:internal/gateway/top.TestQueryReaders struct{}, all -> struct{}, all+99
		perApp: perApp, wait: wait, all: make(chan struct{}, all), apps: map[benefit.AppID]*appReaders{},
	}
}

// Enter waits until a query of the app may run. When it returns no error, leave must be called at the end of the
// query. Errors are ErrReadersBusy and those of the context.
func (r *Readers) Enter(ctx context.Context, app benefit.AppID) (leave func(), err error) {
	a := r.enlist(app)
	defer func() {
		if err != nil {
			r.delist(app, a)
		}
	}()
	timeout := time.NewTimer(r.wait)
	defer timeout.Stop()
	// The app's room comes first: the queries of an app that wait for each other do not keep others waiting.
	if err := take(ctx, a.room, timeout); err != nil {
		return nil, err
	}
	if err := take(ctx, r.all, timeout); err != nil {
		<-a.room
		return nil, err
	}
	return func() {
		<-r.all
		<-a.room
		r.delist(app, a)
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

func (r *Readers) enlist(app benefit.AppID) *appReaders {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.apps[app]
	if a == nil {
		a = &appReaders{room: make(chan struct{}, r.perApp)} //guard:internal/gateway/top.TestQueryReaders r.perApp -> r.perApp+99
		r.apps[app] = a
	}
	a.queries++
	return a
}

func (r *Readers) delist(app benefit.AppID, a *appReaders) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.queries--; a.queries == 0 {
		delete(r.apps, app)
	}
}
