package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

// The server ends all connections under load, again and again. Callers come again, and nothing is lost or twice.
func TestConnectionsAreEnded(t *testing.T) {
	all := processes(t, 2, template(1))
	x := &told{lines: map[benefit.ClaimID]*benefit.Issuance{}}
	var stop atomic.Bool
	var callers sync.WaitGroup
	for n, p := range all {
		p.run()
		for c := range 4 {
			callers.Go(func() {
				for k := 0; !stop.Load(); k++ {
					insist(t, p, asks(fmt.Sprint(n, c, k), fmt.Sprint("u", c), 1), x)
				}
			})
		}
	}
	for range 5 {
		time.Sleep(100 * time.Millisecond)
		execute(t, all[0].url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'faquan'`)
	}
	stop.Store(true)
	callers.Wait()
	x.stands(t, all[0])
	wantIssuances(t, all[0], int64(len(x.lines)))
	audited(t, all[0].url)
}

// A change of another process is heard of within a second or so, also where no notification comes.
func TestChangesAreHeard(t *testing.T) {
	for name, change := range map[string]func(t testing.TB, p *process){
		"told": func(t testing.TB, p *process) {
			if err := storetest.Write(t.Context(), p.st, 0, entities(t, 2, template(1, pausedTemplate))); err != nil {
				t.Fatal(err)
			}
		},
		"not told": func(t testing.TB, p *process) { execute(t, p.url, "UPDATE state SET changes = changes + 1") },
	} {
		t.Run(name, func(t *testing.T) {
			all := processes(t, 2, template(1))
			heard := make(chan struct{}, 10)
			go all[1].st.Watch(t.Context(), func() { heard <- struct{}{} })
			<-heard // once at the beginning
			change(t, all[0])
			select {
			case <-heard:
			case <-time.After(time.Minute):
				t.Error("the change was not heard of")
			}
		})
	}
}

// Work that one process does at a time is taken over when that process loses its connection, and not before.
func TestOnceIsTakenOver(t *testing.T) {
	all := processes(t, 2, template(1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began, ended := make(chan int, 10), make(chan int, 10)
	for n, p := range all {
		go p.st.Once(ctx, "work", time.Hour, func(ctx context.Context) error {
			began <- n
			<-ctx.Done()
			ended <- n
			return nil
		})
	}
	<-began
	select {
	case n := <-began:
		t.Fatalf("process %d began beside the other", n)
	case <-time.After(1200 * time.Millisecond):
	}
	execute(t, all[0].url, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	for what, event := range map[string]<-chan int{"the first has not stopped": ended, "nobody took over": began} {
		select {
		case <-event:
		case <-time.After(time.Minute):
			t.Error(what)
		}
	}
}
