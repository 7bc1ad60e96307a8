package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store"
)

func smallPostgres(t *testing.T, server string) postgresOptions {
	return postgresOptions{
		Workload: Workload{Templates: 1, Users: 240, PerUser: 5, RetryEvery: 10},
		Store:    server, Processes: []int{1, 3}, Callers: 8, Committers: 2, Rounds: 2, Asks: 300, Step: 200,
		Out: testWriter{t}, Progress: io.Discard,
	}
}

func count(t *testing.T, url, question string) (n int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), question).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPostgresSmall runs every part of the benchmark: the figures mean nothing, but an ask that is not answered as it
// should fails, the tables have their rows, and nothing is left on the server.
func TestPostgresSmall(t *testing.T) {
	t.Parallel()
	url := pgtest.Start(t).URL("postgres")
	peer := fakePeer(t, `while [ $# -gt 0 ]; do case $1 in --peers) name=$2 ;; esac; shift; done
[ $name != redis-everysec ] || { echo 'no memory' >&2; exit 1; }
echo '{"peer":"'$name'","issues":50,"issues_per_second":50,"client_cpu_seconds":0.001,"server_cpu_seconds":0.001,"correct":true}'`)
	o := smallPostgres(t, url)
	o.Millions, o.Peers, o.PeerNames, o.PeerSeconds = 5, peer, []string{"redis-everysec", "naive", "redis-always"}, 1
	var out bytes.Buffer
	o.Out = &out
	if err := measurePostgres(t.Context(), o); err == nil || err.Error() != "redis-everysec: exit status 1: no memory" {
		t.Fatalf("want the failure of one peer and nothing else: %v", err)
	}
	for _, want := range []string{
		`fsync=on`, `\| 1 \| [1-9]\d* \| 1\.00 \|`, `\| 3 \| [1-9]\d* \| \d+\.\d\d \|`, `\| naive \| 50 \| 40\.0 \|.* \| \d+\.\d\d \| \d+\.\d\d \|`,
		`\| redis-always \| 50 \|`, `(?m)^\| 5 \| [1-9]\d* \|`, `CPU per issue, server included, grew`, `grew [1-9]\d+ B`, `[1-9]\d+ B WAL`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("the report has no %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", &out)
	}
	if n := count(t, url, `SELECT count(*) FROM pg_database WHERE datname LIKE 'faquan%'`); n != 0 {
		t.Errorf("%d databases are left", n)
	}
	if n := count(t, url, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`); n != 0 {
		t.Errorf("%d tables in the database that was named", n)
	}
}

// TestCounts: what the workers say they issued stands in the database, once, and retries issue nothing.
func TestCounts(t *testing.T) {
	t.Parallel()
	server := &pgServer{url: pgtest.Start(t).URL("postgres")}
	for _, shared := range []bool{false, true} {
		o := smallPostgres(t, "")
		o.SharedUsers = shared
		b := &pgBench{postgresOptions: o, server: server}
		err := b.in(t.Context(), 3, func(url string, c crew) error {
			for range 2 {
				m, err := b.stretch(t.Context(), url, c, 500)
				if err != nil {
					return err
				}
				t.Log(m)
			}
			var retries int64
			for n := int64(501); n <= 1000; n++ {
				if b.retry(n) {
					retries++
				}
			}
			// A retry that draws no earlier ask is an ask of its own.
			if n := count(t, url, "SELECT count(*) FROM issuance"); n < 1000-retries || n > 1000-retries/2 {
				t.Errorf("shared users %v: %d issuances, want %d or a few more", shared, n, 1000-retries)
			}
			if n := count(t, url, "SELECT count(*) FROM users"); n != o.Users {
				t.Errorf("shared users %v: %d users, want %d", shared, n, o.Users)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestWorkerEnds: a worker gives up what is under way when the process that started it has gone.
func TestWorkerEnds(t *testing.T) {
	t.Parallel()
	in, orders := io.Pipe()
	said, answers := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- runWorker(context.Background(), in, answers) }()
	task := workerTask{
		URL: pgtest.Start(t).Database(t), Callers: 4, Committers: 1,
		Workload: Workload{Templates: 1, Users: 1_000_000, PerUser: 5},
	}
	if err := json.NewEncoder(orders).Encode(task); err != nil {
		t.Fatal(err)
	}
	var ready workerReport
	if err := json.NewDecoder(said).Decode(&ready); err != nil || ready.Error != "" {
		t.Fatalf("the worker is not ready: %v %s", err, ready.Error)
	}
	if err := json.NewEncoder(orders).Encode(workerOrder{Asks: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	orders.Close()
	go io.Copy(io.Discard, said)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it says that it made all asks")
		}
	case <-time.After(time.Minute):
		t.Error("the worker goes on")
	}
}

// TestFailedWorker: the error of a worker is reported, without the password of the URL.
func TestFailedWorker(t *testing.T) {
	t.Parallel()
	_, err := startCrew(workerTask{URL: "postgres://nobody:hush@127.0.0.1:1/none?connect_timeout=1", Callers: 1}, func() []string { return nil })
	if err == nil || !strings.Contains(err.Error(), "worker 0: ") || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}

// TestShares: each ask is that of one process. Users have one process, or every process has every user and no user
// comes to the limit.
func TestShares(t *testing.T) {
	for _, processes := range []int{1, 2, 3, 4, 5} {
		for _, shared := range []bool{false, true} {
			w := Workload{Templates: 1, Users: 240, PerUser: 5, Processes: processes, SharedUsers: shared}
			if err := w.Check(); err != nil {
				t.Fatal(err)
			}
			of, asked := map[int64]map[int64]bool{}, map[[2]int64]int64{}
			for n := int64(1); n < 5000; n++ {
				user := w.user(n)
				if of[user] == nil {
					of[user] = map[int64]bool{}
				}
				of[user][n%int64(processes)] = true
				asked[[2]int64{user, int64(w.template(n))}]++
			}
			for user, by := range of {
				if want := map[bool]int{true: processes, false: 1}[shared]; len(by) != want {
					t.Errorf("%d processes, shared %v: user %d is asked for by %d", processes, shared, user, len(by))
				}
			}
			for what, n := range asked {
				if n > w.PerUser {
					t.Errorf("%d processes, shared %v: user %d gets template %d %d times", processes, shared, what[0], what[1], n)
				}
			}
		}
	}
	if (Workload{Templates: 1, Users: 1, PerUser: 5, Processes: 6, SharedUsers: true}).Check() == nil {
		t.Error("six processes that share users with a limit of five")
	}
}

// TestPeersAreBelieved only when they say that they were right, and end as programs that succeeded.
func TestPeersAreBelieved(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`echo '{"peer":"naive","issues_per_second":7,"correct":true}'`:                                "",
		`echo '{"peer":"naive","correct":false,"wrong":["a voucher too many"]}'; exit 1`:              "a voucher too many",
		`echo '{"peer":"naive","correct":false,"error":"no server","wrong":[]}'; exit 1`:              "no server",
		`echo '{"peer":"naive","issues_per_second":7,"correct":true}'; echo 'not closed' >&2; exit 1`: "exit status 1: not closed",
		`echo 'needs the program redis-server' >&2; exit 1`:                                           "needs the program redis-server",
		`echo 'issues: 7'`: "cannot be read",
	} {
		p := &peers{program: fakePeer(t, script)}
		r, err := p.measure(t.Context(), "naive")
		switch {
		case want == "" && (err != nil || r.PerSecond != 7):
			t.Errorf("%s: %v, %v", script, r, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v", script, err)
		}
	}
}

// fakePeer returns the path of a shell script. Another process writes it: a descriptor of this process that is open for
// writing could be inherited by a child that a parallel test starts, and the script could not be run until that child
// has closed it ("text file busy").
func fakePeer(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peers")
	write := exec.Command("sh", "-c", `printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 700 "$1"`, "sh", path, script)
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// TestConflictsAreCounted in loads, in commits and in batches that write nothing.
func TestConflictsAreCounted(t *testing.T) {
	st := &counted{Store: conflicting{}}
	for range 3 {
		tx, err := st.Begin(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Load(t.Context(), nil, nil); !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context(), nil); !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
		if err := tx.Confirm(t.Context()); !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
	}
	if got := st.conflicts.Load(); got != 9 || st.batches.Load() != 0 {
		t.Errorf("counted %d conflicts and %d batches, want 9 and none", got, st.batches.Load())
	}
}

type conflicting struct{ store.Store }

func (c conflicting) Begin(context.Context, benefit.Instant) (store.Tx, error) {
	return conflictingTx{}, nil
}

type conflictingTx struct{ store.Tx }

func (conflictingTx) Load(context.Context, *benefit.Keys, *benefit.State) error {
	return store.ErrConflict
}
func (conflictingTx) Commit(context.Context, *benefit.Changes) error { return store.ErrConflict }
func (conflictingTx) Confirm(context.Context) error                  { return store.ErrConflict }

// TestServerIsNamed without its password.
func TestServerIsNamed(t *testing.T) {
	for _, bad := range []string{"", "privat", "postgres:u:hush@h/db"} {
		if _, err := openPGServer(bad); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	url := strings.Replace(pgtest.Shared(t).URL("postgres"), "postgres@", "postgres:hush@", 1)
	server, err := openPGServer(url)
	if err != nil {
		t.Fatal(err)
	}
	name, err := server.Describe(t.Context())
	if err != nil || strings.Contains(name, "hush") || !strings.Contains(name, "fsync=off") {
		t.Errorf("%s, %v", name, err)
	}
}

func TestProcessorTime(t *testing.T) {
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
		_ = mix(uint64(began.UnixNano()))
	}
	if own := processorTime([]int{os.Getpid()}); own <= 0 || own > time.Hour {
		t.Errorf("our own time is %v", own)
	}
	if none := processorTime([]int{1 << 30}); none != 0 {
		t.Errorf("the time of no process is %v", none)
	}
}

func TestHistogramsAreMerged(t *testing.T) {
	var a, b, both histogram
	for k := range 1000 {
		d := time.Duration(k*k) * time.Microsecond
		[]*histogram{&a, &b}[k%2].Add(d)
		both.Add(d)
	}
	a.merge(b.counts())
	for _, q := range []float64{0.01, 0.5, 0.99, 1} {
		if a.Quantile(q) != both.Quantile(q) {
			t.Errorf("quantile %v: %v, want %v", q, a.Quantile(q), both.Quantile(q))
		}
	}
}
