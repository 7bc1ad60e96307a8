package main

import (
	"context"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"faquan/internal/config"
	"faquan/internal/pgtest"
)

// TestCrashPostgres is TestCrash with two processes on one database. It kills a process under load, the database, or
// both, and holds what both answered to the same promises. Beside them:
//
//   - a process does not notice that another one was killed;
//   - no process ends because the database was killed: it serves again when that is back.
func TestCrashPostgres(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Start(t)
	w := newSharedCrash(t, postgres.Database(t))
	for round := range killRounds(2) {
		process, database := round%3 != 1, round%3 != 0
		lost := w.load(process, func() {
			time.Sleep(time.Duration(200+w.draws.IntN(1000)) * time.Millisecond)
			if process {
				w.processes[0].kill()
			}
			if database {
				if err := postgres.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(300 * time.Millisecond)
		})
		if lost > 0 && !database {
			t.Errorf("%d calls of one process had no answer because another one was killed", lost)
		}
		t.Logf("round %d (killed: process %t, database %t): %d calls, %d vouchers, %d unknown after the kill",
			round+1, process, database, len(w.calls), len(w.vouchers()), len(w.unknown()))
		if database {
			postgres.StartAgain(t)
		}
		w.recover()
		w.settle()
	}
	w.finish()
}

// finish holds everything that was answered to the promises.
func (w *sharedCrash) finish() {
	w.askAgain()
	w.drain()
	w.check()
	for _, p := range w.processes {
		p.stop()
	}
	w.audit("--store", w.store)
}

// sharedCrash is a database with two processes that serve it.
type sharedCrash struct {
	*crashWorld
	store     string
	processes [2]*crashProcess
}

func newSharedCrash(t *testing.T, store string) *sharedCrash {
	w := &sharedCrash{crashWorld: newCrashWorld(t, testDocument(crashTemplates)), store: store}
	w.several = make([]*caller, len(w.processes))
	for k := range w.processes {
		w.start(k)
	}
	return w
}

// crashURL is in the line that a process logs when it serves.
var crashURL = regexp.MustCompile(`msg="faquan serves" url=(\S+)`)

// start starts the process of that number and waits until it serves.
func (w *sharedCrash) start(k int) {
	w.t.Helper()
	log, err := os.Create(filepath.Join(w.t.TempDir(), "log"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close() // the process has its own
	p := &crashProcess{t: w.t}
	p.cmd = exec.Command("faquan", "serve", "--data", w.data(), "--listen", "127.0.0.1:0",
		"--apply", filepath.Join(w.dir, "catalog.yaml"))
	p.cmd.Stderr, p.cmd.Env = log, append(bareEnviron(), config.EnvPrefix+"STORE="+w.store)
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	var url string
	within(w.t, "a process serves", func() bool {
		text, err := os.ReadFile(log.Name())
		if found := crashURL.FindSubmatch(text); err == nil && found != nil {
			url = string(found[1])
		}
		return url != ""
	})
	w.processes[k], w.several[k] = p, w.callerOf(url)
	w.t.Cleanup(func() {
		if text, err := os.ReadFile(log.Name()); w.t.Failed() && err == nil {
			w.t.Logf("the log of process %d ends:\n%s", k, text[max(0, len(text)-3000):])
		}
	})
}

// callerOf calls the gateway at the URL.
func (w *sharedCrash) callerOf(url string) *caller {
	app := w.app
	app.url = url
	app.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}
	w.t.Cleanup(app.client.CloseIdleConnections)
	return &app
}

// load lets all clients call both processes while fn runs; those of the first one leave when it does not answer, if fn
// kills it. It returns how many calls of the others had no answer.
func (w *sharedCrash) load(killsFirst bool, fn func()) int64 {
	var (
		clients sync.WaitGroup
		ended   atomic.Bool
		lost    atomic.Int64
	)
	for i := range crashClients {
		k := i % len(w.processes)
		draws := mathrand.New(mathrand.NewPCG(w.draws.Uint64(), uint64(i)))
		clients.Go(func() {
			for !ended.Load() {
				if w.attemptBy(w.several[k], w.pick(draws)) {
					continue
				}
				if k == 0 && killsFirst {
					return
				}
				lost.Add(1)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	fn()
	ended.Store(true)
	clients.Wait()
	return lost.Load()
}

// recover starts a process that was killed, and waits until both are ready. One that lives must get there alone.
func (w *sharedCrash) recover() {
	w.t.Helper()
	if w.processes[0].cmd.ProcessState != nil {
		w.start(0)
	}
	for _, app := range w.several {
		within(w.t, "ready", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, app.url+"/readyz", nil)
			if err != nil {
				w.t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return false
			}
			resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		})
		// What readyz knows may be a second old, and a connection from before costs a retry.
		within(w.t, "a call answered", func() bool { return w.attemptBy(app, w.pick(w.draws)) })
	}
}
