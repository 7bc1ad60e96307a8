package postgres_test

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

// limited is a database whose connections can be limited: its user is no superuser, for whom there is always room.
type limited struct {
	t        *testing.T
	super    string // the URL of the superuser
	url      string
	database string
}

func limitedDatabase(t *testing.T) *limited {
	t.Helper()
	role := "r_" + strings.ToLower(crand.Text())
	mustExec := func(statement string) {
		if err := server(t).Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	mustExec("CREATE ROLE " + role + " LOGIN")
	t.Cleanup(func() { mustExec("DROP ROLE " + role) }) // behind the end of the database
	super := server(t).Database(t)
	u, err := url.Parse(super)
	if err != nil {
		t.Fatal(err)
	}
	l := &limited{t: t, super: super, database: strings.TrimPrefix(u.Path, "/")}
	mustExec("ALTER DATABASE " + l.database + " OWNER TO " + role)
	u.User = url.User(role)
	l.url = u.String()
	return l
}

// room lets so many connections in, and no more; -1: any number. Those that are there stay.
func (l *limited) room(n int) {
	l.t.Helper()
	execute(l.t, l.super, fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d", l.database, n))
	conn, err := pgx.Connect(l.t.Context(), l.url)
	if err == nil {
		conn.Close(l.t.Context())
	}
	var pg *pgconn.PgError
	if full := errors.As(err, &pg) && pg.Code == "53300"; full != (n >= 0) {
		l.t.Fatalf("with room for %d a connection gets %v", n, err)
	}
}

// sessions returns the store's connections, by their process ids.
func sessions(t testing.TB, url string) (pids []int64) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	rows, _ := conn.Query(t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'faquan'
ORDER BY pid`)
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// kept reports whether no session has ended since.
func kept(t testing.TB, url string, before []int64) bool {
	t.Helper()
	after := sessions(t, url)
	return !slices.ContainsFunc(before, func(pid int64) bool { return !slices.Contains(after, pid) })
}

func wantKept(t testing.TB, url string, before []int64) {
	t.Helper()
	if !kept(t, url, before) {
		t.Errorf("connections were let go of, of %v", before)
	}
}

// A server that has no room for more connections: the process goes on issuing on those that it has, keeps them, and makes
// more when there is room again. Its callers are told to retry, and nothing is lost.
func TestTooManyConnections(t *testing.T) {
	l := limitedDatabase(t)
	writeCatalogue(t, l.url, template(1))
	const committers = 4
	p := &process{t: t, url: l.url, st: open(t, postgres.Options{URL: l.url}), seed: 1}
	t.Cleanup(func() { p.st.Close() })
	var err error
	p.engine, err = engine.New(t.Context(), engine.Options{
		Store: p.st, Clock: wrongClock, Rand: rand.New(rand.NewPCG(1, 99)), Rules: storetest.Rules{}, Committers: committers,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.run()
	x := &told{lines: map[benefit.ClaimID]*benefit.Issuance{}}
	insist(t, p, asks("before", "u", 1), x)
	before := sessions(t, l.super)
	l.room(0)

	var (
		answers, refused atomic.Int64
		stop             atomic.Bool
		callers          sync.WaitGroup
	)
	halt := func() { stop.Store(true); callers.Wait() }
	defer func() { l.room(-1); halt() }()
	for c := range 16 { // of all committers' queues
		callers.Go(func() {
			for k := 0; !stop.Load(); k++ {
				r := asks(fmt.Sprint(c, "-", k), fmt.Sprint("u", c), 1)
				if o, err := p.engine.Issue(t.Context(), r); err == nil {
					x.note(t, r, o)
				} else {
					refused.Add(1)
					insist(t, p, r, x)
				}
				answers.Add(1)
			}
		})
	}
	until(t, "issues while there is no room", func() bool {
		return answers.Load() >= 50 && refused.Load() >= 10 || !kept(t, l.super, before)
	})
	wantKept(t, l.super, before)
	if now := sessions(t, l.super); len(now) > len(before) {
		t.Errorf("%d connections where there is room for %d", len(now), len(before))
	}

	l.room(-1)
	until(t, "more connections", func() bool { return len(sessions(t, l.super)) >= committers })
	wantKept(t, l.super, before)
	mark := answers.Load()
	until(t, "issues when there is room again", func() bool { return answers.Load() >= mark+50 })
	halt()
	for c := range 16 {
		if o, err := p.engine.Issue(t.Context(), asks(fmt.Sprint("last", c), fmt.Sprint("u", c), 1)); err != nil || o.Reason != benefit.NotRefused {
			t.Errorf("in the end, to user %d: %v, %v", c, o.Reason, err)
		} else {
			x.note(t, asks(fmt.Sprint("last", c), fmt.Sprint("u", c), 1), o)
		}
	}
	x.stands(t, p)
	wantIssuances(t, p, int64(len(x.lines)))
	audited(t, l.super)
}

// Somebody holds what a batch needs for longer than it waits for a lock: the caller hears "busy, retry", the connection is
// kept, and the retry issues once.
func TestLockTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		lock string
		told error
	}{
		"the store's lock":      {"SELECT pg_advisory_xact_lock(x'66617175616e'::bigint)", engine.ErrUnknown},
		"the template's turn":   {"SELECT * FROM turn FOR UPDATE", engine.ErrUnknown},
		"what the batch writes": {"LOCK TABLE issuance IN SHARE MODE", engine.ErrNotIssued},
	} {
		t.Run(name, func(t *testing.T) {
			p := patientFor(t, "200ms", template(1))
			wantReason(t, "before", p.issue(asks("before", "9", 1)), benefit.NotRefused)
			before := sessions(t, p.url)
			release := holding(t, p.url, c.lock)
			for range 2 {
				if got := p.issue(asks("k", "1", 1)); !errors.Is(got.err, c.told) || !timedOut(got.err) {
					t.Errorf("told %+v, %v; want %v", got.Outcome, got.err, c.told)
				}
			}
			release()
			got := p.issue(asks("k", "1", 1))
			wantReason(t, "the retry", got, benefit.NotRefused)
			if got.Replayed {
				t.Error("the retry was a replay: an attempt that was given up has issued")
			}
			wantIssuances(t, p, 2)
			wantKept(t, p.url, before)
		})
	}
}

// The same under load, and with a change of the catalogue that waits, too.
func TestLockTimeoutUnderLoad(t *testing.T) {
	p := patientFor(t, "100ms", template(1))
	p.run()
	x := &told{lines: map[benefit.ClaimID]*benefit.Issuance{}}
	insist(t, p, asks("before", "u", 1), x)
	before := sessions(t, p.url)
	release := holding(t, p.url, "SELECT pg_advisory_xact_lock(x'66617175616e'::bigint)")
	var callers sync.WaitGroup
	for c := range 8 {
		callers.Go(func() {
			for k := range 10 {
				insist(t, p, asks(fmt.Sprint(c, "-", k), fmt.Sprint("u", c), 1), x)
			}
		})
	}
	if _, err := p.engine.Issue(t.Context(), asks("locked", "u", 1)); !errors.Is(err, engine.ErrUnknown) || !timedOut(err) {
		t.Errorf("a caller beside them is told %v", err)
	}
	if _, err := p.st.BeginChange(t.Context(), 0); !timedOut(err) {
		t.Errorf("a change is told %v", err)
	}
	release()
	callers.Wait()
	x.stands(t, p)
	wantIssuances(t, p, 81)
	wantKept(t, p.url, before)
	audited(t, p.url)
}

// patientFor returns a process that waits for a lock so long.
func patientFor(t *testing.T, wait string, entities ...any) *process {
	t.Helper()
	url := server(t).Database(t)
	writeCatalogue(t, url, entities...)
	p := join(t, url+"&lock_timeout="+wait, 1)
	p.url = url
	return p
}

// holding locks something until it is released.
func holding(t *testing.T, url, lock string) (release func()) {
	t.Helper()
	conn := connect(t, url)
	for _, statement := range []string{"BEGIN", lock} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	release = sync.OnceFunc(func() { conn.Close(context.Background()) })
	t.Cleanup(release)
	return release
}

// timedOut reports whether a lock was waited for too long.
func timedOut(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}
