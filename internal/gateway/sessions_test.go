package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
)

// grants is a store of sessions that counts what is asked of it.
type grants struct {
	mu    sync.Mutex
	rows  map[benefit.Digest]*benefit.Session
	err   error
	enter chan struct{} // if set: a look-up waits here for its end
	asked atomic.Int32
	open  atomic.Int32 // look-ups now
	most  atomic.Int32 // look-ups at a time
}

func newGrants(keys ...string) *grants {
	g := &grants{rows: map[benefit.Digest]*benefit.Session{}}
	for k, key := range keys {
		g.put(key, benefit.MerchantID(k+1))
	}
	return g
}

func (g *grants) put(key string, merchant benefit.MerchantID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := benefit.SessionDigest(key)
	g.rows[d] = &benefit.Session{Digest: d, Merchant: merchant}
}

// read finds the row as it is when the look-up begins.
func (g *grants) read(_ context.Context, d benefit.Digest) (*benefit.Session, error) {
	g.asked.Add(1)
	g.most.Store(max(g.most.Load(), g.open.Add(1)))
	defer g.open.Add(-1)
	g.mu.Lock()
	row, err := g.rows[d], g.err
	g.mu.Unlock()
	if g.enter != nil {
		<-g.enter
	}
	return row, err
}

// merchantOf returns whom a key acts for; 0 when there is no such session.
func merchantOf(t *testing.T, s *gateway.Sessions, key string) benefit.MerchantID {
	t.Helper()
	session, err := s.Session(t.Context(), key)
	if err != nil {
		t.Error(err)
	}
	if session == nil {
		return 0
	}
	return session.Merchant
}

func TestSessionsAreRemembered(t *testing.T) {
	g := newGrants("a", "b")
	s := gateway.NewSessions(g.read, 0)
	for range 3 {
		if a, b, none := merchantOf(t, s, "a"), merchantOf(t, s, "b"), merchantOf(t, s, "none"); a != 1 || b != 2 || none != 0 {
			t.Fatalf("got %d, %d, %d", a, b, none)
		}
	}
	if n := g.asked.Load(); n != 3 {
		t.Errorf("three keys cost %d look-ups", n)
	}
}

func TestForget(t *testing.T) {
	g := newGrants("a")
	s := gateway.NewSessions(g.read, 0)
	merchantOf(t, s, "a")
	merchantOf(t, s, "new")
	g.put("a", 7)
	g.put("new", 8)
	if a, n := merchantOf(t, s, "a"), merchantOf(t, s, "new"); a != 1 || n != 0 {
		t.Fatalf("got %d, %d: nothing was remembered", a, n)
	}
	s.Forget()
	if a, n := merchantOf(t, s, "a"), merchantOf(t, s, "new"); a != 7 || n != 8 {
		t.Errorf("after Forget: %d, %d", a, n)
	}
}

// Only what is said to have changed is read again.
func TestForgetSome(t *testing.T) {
	g := newGrants("a", "b")
	s := gateway.NewSessions(g.read, 0)
	merchantOf(t, s, "a")
	merchantOf(t, s, "b")
	g.put("a", 7)
	g.put("b", 8)
	s.Forget(benefit.SessionDigest("a"), benefit.SessionDigest("none"))
	if a, b := merchantOf(t, s, "a"), merchantOf(t, s, "b"); a != 7 || b != 2 {
		t.Errorf("got %d, %d", a, b)
	}
}

// What has moved to the generation before is forgotten, too.
func TestForgetTheLastGeneration(t *testing.T) {
	g := newGrants("a", "b", "c")
	s := gateway.NewSessions(g.read, 1)
	merchantOf(t, s, "a")
	merchantOf(t, s, "b") // a is of the last generation
	g.put("a", 7)
	s.Forget(benefit.SessionDigest("a"))
	if a := merchantOf(t, s, "a"); a != 7 {
		t.Errorf("got %d", a)
	}
}

// Authorization codes and refresh tokens stand in the same table, and admit no call.
func TestOnlyAccessSessionsAreSessions(t *testing.T) {
	g := newGrants("access", "refresh", "code")
	g.rows[benefit.SessionDigest("refresh")].Kind = benefit.RefreshSession
	g.rows[benefit.SessionDigest("code")].Kind = benefit.CodeSession
	s := gateway.NewSessions(g.read, 0)
	for range 2 { // read, and remembered
		if a, r, c := merchantOf(t, s, "access"), merchantOf(t, s, "refresh"), merchantOf(t, s, "code"); a != 1 || r != 0 || c != 0 {
			t.Errorf("got %d, %d, %d", a, r, c)
		}
	}
}

// What a look-up finds that began before Forget is for those alone who asked before.
func TestForgetDuringALookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrants("a")
		g.enter = make(chan struct{})
		s := gateway.NewSessions(g.read, 0)
		ask := func() chan benefit.MerchantID {
			got := make(chan benefit.MerchantID, 1)
			go func() { got <- merchantOf(t, s, "a") }()
			synctest.Wait()
			return got
		}
		before := ask() // its look-up has begun and waits
		g.put("a", 7)
		s.Forget()
		after := ask()
		close(g.enter)
		if old, now := <-before, <-after; old != 1 || now != 7 {
			t.Errorf("who asked before got %d, who asked after %d", old, now)
		}
		if m := merchantOf(t, s, "a"); m != 7 {
			t.Errorf("remembered: %d", m)
		}
	})
}

// Nor is it remembered for those who ask later.
func TestForgetOutlivesALookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrants("a")
		g.enter = make(chan struct{})
		s := gateway.NewSessions(g.read, 0)
		go merchantOf(t, s, "a")
		synctest.Wait() // its look-up has begun and waits
		g.put("a", 7)
		s.Forget()
		close(g.enter)
		synctest.Wait()
		if m := merchantOf(t, s, "a"); m != 7 {
			t.Errorf("got %d", m)
		}
	})
}

// There is one look-up at a time, and one for those who ask for the same key meanwhile.
func TestLookUpsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrants("key-0", "key-1", "key-2")
		g.enter = make(chan struct{})
		s := gateway.NewSessions(g.read, 0)
		var wg sync.WaitGroup
		for k := range 100 {
			wg.Go(func() {
				if m := merchantOf(t, s, fmt.Sprint("key-", k%50)); k%50 < 3 && m != benefit.MerchantID(k%50+1) {
					t.Errorf("key %d got %d", k%50, m)
				}
			})
			if k == 0 {
				synctest.Wait() // the first look-up has begun
			}
		}
		synctest.Wait()
		close(g.enter)
		wg.Wait()
		if most := g.most.Load(); most != 1 {
			t.Errorf("%d look-ups at a time, want 1", most)
		}
		if asked := g.asked.Load(); asked > 51 {
			t.Errorf("50 keys were looked up %d times", asked)
		}
	})
}

// However many keys are made up, what is remembered of them is bounded; and what is in use stays.
func TestSessionsAreBounded(t *testing.T) {
	g := newGrants("used")
	s := gateway.NewSessions(g.read, 10)
	for k := range 200 {
		merchantOf(t, s, fmt.Sprint("made up ", k))
		merchantOf(t, s, "used")
	}
	if n := g.asked.Load(); n != 201 {
		t.Errorf("%d look-ups, want 201: the one that is in use was forgotten", n)
	}
	g.asked.Store(0)
	merchantOf(t, s, "made up 0")
	if g.asked.Load() != 1 {
		t.Error("the first made-up key is still remembered, 200 later")
	}
}

func TestErrorsAreNotRemembered(t *testing.T) {
	g := newGrants("a")
	s := gateway.NewSessions(g.read, 0)
	g.err = errors.New("no disk")
	if _, err := s.Session(t.Context(), "a"); !errors.Is(err, g.err) {
		t.Errorf("got %v", err)
	}
	g.err = nil
	if m := merchantOf(t, s, "a"); m != 1 {
		t.Errorf("got %d", m)
	}
}

func TestACallerDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrants("a")
		g.enter = make(chan struct{})
		s := gateway.NewSessions(g.read, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Session(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(g.enter)
		synctest.Wait()
		if m := merchantOf(t, s, "a"); m != 1 { // the look-up was not in vain
			t.Errorf("got %d", m)
		}
	})
}
