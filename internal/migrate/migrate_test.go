package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/oracle"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
	"faquan/internal/vfs"
)

// past is a random history on a data directory, which can go on on another store.
type past struct {
	dir   string
	world *storetest.World
	asked []asked
}

// asked is a request that was issued.
type asked struct {
	request *benefit.Request
	under   *benefit.Issuance
}

// options of a source whose generations and memtables are tiny, so that little makes many.
func options(dir string) embedded.Options {
	return embedded.Options{Dir: dir, SegmentBytes: 256 << 10, Foreground: true, GenerationSize: 20, MaxMemtable: 40, CacheEntries: 10}
}

func newPast(t testing.TB, seed uint64, steps int) *past {
	t.Helper()
	p := &past{dir: filepath.Join(t.TempDir(), "data"), world: storetest.NewWorld(storetest.Seeded(seed))}
	st, err := embedded.Open(options(p.dir))
	if err != nil {
		t.Fatal(err)
	}
	c := storetest.NewCommitter(st, p.world.Catalogue(), seed)
	p.step(t, p.world.Setup(), c)
	for range steps {
		p.step(t, p.world.Next(), c)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

// step does what comes next on stores with the same past.
func (p *past) step(t testing.TB, s storetest.Step, all ...*storetest.Committer) {
	t.Helper()
	if err := p.world.Do(t.Context(), s, all...); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Calls {
		if i, ok := c.(*oracle.Issue); ok && i.Outcome.Issuance != nil && i.Outcome.Reason != benefit.KeyConflict {
			p.asked = append(p.asked, asked{i.Request, i.Outcome.Issuance})
		}
	}
}

func target(t testing.TB) postgres.Options {
	return postgres.Options{URL: pgtest.Shared(t).Database(t), CallerClock: true}
}

func (p *past) options(to postgres.Options) Options {
	return Options{From: p.dir, To: to, piece: 7, Audit: audit.Options{LookupEvery: 1}}
}

func run(t testing.TB, o Options) *Result {
	t.Helper()
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return result
}

func wantOK(t testing.TB, r *Result) {
	t.Helper()
	if r.OK() {
		return
	}
	t.Errorf("differences: %q; the source: %+v", r.Differences, r.Source.Findings)
	if r.Target != nil {
		t.Errorf("the target: %+v", r.Target.Findings)
	}
}

func contents(t testing.TB, st store.Store) *storetest.Contents {
	t.Helper()
	all, err := storetest.ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func openTarget(t testing.TB, o postgres.Options) *postgres.Store {
	t.Helper()
	st, err := postgres.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("opening the target: %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func openSource(t testing.TB, dir string) *embedded.Store {
	t.Helper()
	st, err := embedded.Open(options(dir))
	if err != nil {
		t.Fatalf("opening the source: %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// A store that was moved holds the same rows, and the same history goes on on it as on the one that it came from: keys
// are answered from their records, limits go on, codes stay unique.
func TestMove(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			p := newPast(t, seed, 200)
			to := target(t)
			wantOK(t, run(t, p.options(to)))
			source, moved := openSource(t, p.dir), openTarget(t, to)
			if diff := storetest.Diff(contents(t, source), contents(t, moved)); diff != "" {
				t.Fatalf("the rows (-source +target):\n%s", diff)
			}
			if moved.LastIDMillis() < source.LastIDMillis() {
				t.Errorf("ids up to %d, the source has them up to %d", moved.LastIDMillis(), source.LastIDMillis())
			}
			one, two := storetest.NewCommitter(source, p.world.Catalogue(), 99), storetest.NewCommitter(moved, p.world.Catalogue(), 99)
			replays := p.replays(t, storetest.NewCommitter(moved, p.world.Catalogue(), 98))
			if replays == 0 {
				t.Error("nothing was asked again")
			}
			for range 60 {
				p.step(t, p.world.Next(), one, two)
			}
			if diff := storetest.Diff(contents(t, source), contents(t, moved)); diff != "" {
				t.Errorf("the rows after more was issued (-source +target):\n%s", diff)
			}
			report, err := audit.Postgres(t.Context(), moved, audit.Options{LookupEvery: 1})
			if err != nil || !report.OK() {
				t.Errorf("audit after more was issued: %+v, %v", report, err)
			}
		})
	}
}

// replays asks again for what was issued last under each key, and says how often that was answered from its record.
func (p *past) replays(t testing.TB, c *storetest.Committer) (n int) {
	t.Helper()
	type key struct {
		scope benefit.Scope
		key   string
	}
	last := map[key]asked{}
	for _, a := range p.asked {
		last[key{a.request.Scope, a.request.Key}] = a
	}
	for _, a := range last {
		if a.request.Continues || a.request.BindMillis > 0 {
			continue // more may be issued, and rightly
		}
		all, err := c.Issue(t.Context(), p.world.Clock, a.request)
		if err != nil {
			t.Fatal(err)
		}
		if !all[0].Replayed || all[0].Issuance.ID != a.under.ID {
			t.Errorf("key %s again: %+v, want what is under issuance %d", a.request.Key, all[0], a.under.ID)
		}
		n++
	}
	return n
}

var errStopped = errors.New("stopped by the test")

// stopAfter stops a move after so many commits.
func stopAfter(n int) func() error {
	return func() error {
		if n--; n < 0 {
			return errStopped
		}
		return nil
	}
}

// However often a move is stopped, the next one goes on, and nobody has the target before the last one.
func TestResume(t *testing.T) {
	p := newPast(t, 3, 120)
	to := target(t)
	var copied, resumed int64
	runs := 0
	for ; ; runs++ {
		o := p.options(to)
		o.after = stopAfter(4)
		result, err := Run(t.Context(), o)
		if err == nil {
			wantOK(t, result)
			resumed, copied = result.Resumed, result.Copied
			break
		}
		if !errors.Is(err, errStopped) || runs > 1000 {
			t.Fatalf("run %d: %v", runs, err)
		}
		if _, err := postgres.Open(t.Context(), to); !errors.Is(err, postgres.ErrImporting) {
			t.Fatalf("Open of a store that is filled half: %v", err)
		}
	}
	if runs < 5 || resumed < 50 || copied > 40 {
		t.Errorf("%d runs, of which the last copied %d rows after %d", runs, copied, resumed)
	}
	if diff := storetest.Diff(contents(t, openSource(t, p.dir)), contents(t, openTarget(t, to))); diff != "" {
		t.Errorf("(-source +target):\n%s", diff)
	}
}

// A source that has changed since is another one.
func TestSourceChanged(t *testing.T) {
	p := newPast(t, 4, 60)
	to := target(t)
	o := p.options(to)
	o.after = stopAfter(3)
	if _, err := Run(t.Context(), o); !errors.Is(err, errStopped) {
		t.Fatalf("Run: %v", err)
	}
	st := openSource(t, p.dir)
	u := *p.world.Users[0]
	u.Frozen = !u.Frozen
	if err := storetest.Write(t.Context(), st, 0, &benefit.Changes{Users: []*benefit.User{&u}}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), p.options(to)); !errors.Is(err, postgres.ErrOtherSource) {
		t.Errorf("Run after the source changed: %v", err)
	}
	if _, err := Run(t.Context(), newPast(t, 5, 10).options(to)); !errors.Is(err, postgres.ErrOtherSource) {
		t.Errorf("Run from another directory: %v", err)
	}
}

// A row that is changed on the way is noticed, whatever table it is in, and the target stays marked.
func TestDamagedOnTheWay(t *testing.T) {
	p := newPast(t, 1, 150)
	for _, damage := range []string{
		"UPDATE issuance SET body = set_byte(body, length(body)-1, get_byte(body, length(body)-1) # 1) WHERE id = (SELECT max(id) FROM issuance)",
		"UPDATE issuance SET body = '' WHERE id = (SELECT max(id) FROM issuance)",
		"DELETE FROM issuance WHERE id = (SELECT min(id) FROM issuance)",
		"DELETE FROM claim WHERE issuance = (SELECT max(issuance) FROM claim)",
		"UPDATE quota SET total = total + 1 WHERE user_id = (SELECT max(user_id) FROM quota)",
		"UPDATE quota SET day = day - 1 WHERE user_id = (SELECT max(user_id) FROM quota)",
		"DELETE FROM participation WHERE user_id = (SELECT max(user_id) FROM participation)",
		"UPDATE template_count SET amount = amount + 1 WHERE template = (SELECT max(template) FROM template_count)",
		"DELETE FROM template_day WHERE day = (SELECT max(day) FROM template_day)",
		"DELETE FROM users WHERE id = (SELECT max(id) FROM users)",
		"UPDATE session SET body = replace(body::text, '73', '74')::bytea",
		"DELETE FROM entity_version WHERE version = 1",
		"UPDATE entity SET body = body || ' '::bytea WHERE id = 1",
		"UPDATE state SET catalogue_current = catalogue_current + 1",
	} {
		to := target(t)
		o := p.options(to)
		o.OnProgress = func(progress Progress) {
			if progress.Doing == "auditing the database" {
				execute(t, to.URL, damage)
			}
		}
		result, err := Run(t.Context(), o)
		if err != nil || result.OK() || len(result.Differences) == 0 && len(result.Target.Findings) == 0 {
			t.Errorf("%s: nothing noticed: %v", damage, err)
		}
		if _, err := postgres.Open(t.Context(), to); !errors.Is(err, postgres.ErrImporting) {
			t.Errorf("%s: Open: %v", damage, err)
		}
	}
}

func execute(t testing.TB, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tag, err := conn.Exec(t.Context(), statement)
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%s: %v, %d rows", statement, err, tag.RowsAffected())
	}
}

// What cannot be moved is refused in clear words, and the target stays as it was.
func TestRefused(t *testing.T) {
	p := newPast(t, 2, 30)
	none := target(t)
	for _, test := range []struct {
		name string
		o    Options
		want error
		text string
	}{
		{"no such directory", Options{From: filepath.Join(t.TempDir(), "none"), To: none}, fs.ErrNotExist, "is not a faquan data directory"},
		{"no data directory", Options{From: t.TempDir(), To: none}, fs.ErrNotExist, "is not a faquan data directory"},
		{"no database", Options{From: p.dir, To: postgres.Options{URL: "postgres://u:secret@127.0.0.1:1/d"}}, nil, "127.0.0.1"},
		{"no URL", Options{From: p.dir, To: postgres.Options{URL: "/some/file"}}, nil, "must be postgres://"},
	} {
		_, err := Run(t.Context(), test.o)
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	st := openSource(t, p.dir)
	if _, err := Run(t.Context(), p.options(none)); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a directory that is served: %v", err)
	}
	_ = st.Close()

	full := target(t)
	other := openTarget(t, full)
	if err := storetest.Write(t.Context(), other, 0, &benefit.Changes{Users: p.world.Users[:1]}); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), p.options(full)); !errors.Is(err, postgres.ErrNotEmpty) {
		t.Errorf("a database that is not empty: %v", err)
	}
	if got := contents(t, other); len(got.Users) != 1 || len(got.Issuances) != 0 {
		t.Errorf("it has %d users and %d issuances now", len(got.Users), len(got.Issuances))
	}
	openTarget(t, full) // it was not marked
}

// A source in which something is wrong is not moved.
func TestUnsoundSource(t *testing.T) {
	p := newPast(t, 2, 60)
	segment := filepath.Join(embedded.JournalDir(p.dir), "00000001.seg")
	st := openSource(t, p.dir)
	u := *p.world.Users[0]
	if err := storetest.Write(t.Context(), st, 0, &benefit.Changes{Rows: benefit.RowsOf(benefit.Quotas.Rows(benefit.Quota{
		QuotaKey: benefit.QuotaKey{User: u.ID, Template: 77}, Total: 1, // without a voucher
	}))}); err != nil {
		t.Fatal(err)
	}
	_ = st.Close()
	to := target(t)
	result := run(t, p.options(to))
	if result.OK() || result.Target != nil || len(result.Source.Findings) == 0 {
		t.Errorf("result: %+v", result)
	}
	openTarget(t, to)

	data, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	data[2000] ^= 1
	if err := os.WriteFile(segment, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if result, err := Run(t.Context(), p.options(to)); err == nil && result.OK() {
		t.Errorf("a damaged journal: %+v", result)
	}
}

// An empty store moves, too, and the proof of its key goes along.
func TestEmptyAndKey(t *testing.T) {
	p := &past{dir: t.TempDir()}
	if err := openSource(t, p.dir).Close(); err != nil {
		t.Fatal(err)
	}
	to := target(t)
	o := p.options(to)
	o.Proof = []byte("proof of a key")
	wantOK(t, run(t, o))
	st := openTarget(t, to)
	if err := st.CheckKey(t.Context(), o.Proof); err != nil {
		t.Errorf("CheckKey: %v", err)
	}
	if err := st.CheckKey(t.Context(), []byte("another")); !errors.Is(err, postgres.ErrOtherKey) {
		t.Errorf("CheckKey of another: %v", err)
	}
}

// What is told grows to its total, and pieces of any size make the same target.
func TestPieces(t *testing.T) {
	p := newPast(t, 7, 80)
	var checksums []*audit.Checksum
	for _, size := range []int{1, 3, 1 << 20} {
		var last Progress
		o := p.options(target(t))
		o.piece = size
		o.OnProgress = func(progress Progress) {
			if progress.Done < last.Done || progress.Total > 0 && progress.Done > progress.Total {
				t.Errorf("pieces of %d: %+v after %+v", size, progress, last)
			}
			last = progress
		}
		result := run(t, o)
		wantOK(t, result)
		if last.Done != last.Total || result.Copied != last.Total {
			t.Errorf("pieces of %d: told %+v, copied %d", size, last, result.Copied)
		}
		checksums = append(checksums, result.Target.Checksum)
	}
	for _, m := range checksums[1:] {
		if diff := cmp.Diff(checksums[0], m); diff != "" {
			t.Error(diff)
		}
	}
}
