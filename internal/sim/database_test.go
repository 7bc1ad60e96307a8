package sim

import (
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"testing"

	"faquan/internal/pgtest"
)

var (
	databaseSeeds = flag.Int("sim.database", 24, "how many seeds TestDatabase runs; with -short a few that meet everything")
	databaseFrom  = flag.Uint64("sim.databasefrom", 101, "the first seed that TestDatabase runs")
)

// shortSeeds together meet all that the histories are made for. 102, 103 and 110 are the ones by which the tests of the
// simulation notice an unknown outcome, a lost acknowledgement and a late refusal that are judged wrongly.
var shortSeeds = []uint64{101, 102, 103, 110, 111, 119}

// TestDatabase runs the seeds on PostgreSQL. Each server takes one seed at a time, because a seed may kill it.
func TestDatabase(t *testing.T) {
	if *oneSeed != 0 {
		var trace io.Writer
		if testing.Verbose() {
			trace = os.Stdout
		}
		t.Logf("%+v", runDatabase(t, pgtest.Start(t, pgtest.NoSync()), *oneSeed, trace))
		return
	}
	const servers = 2
	seeds := shortSeeds
	if !testing.Short() {
		seeds = nil
		for n := range uint64(*databaseSeeds) {
			seeds = append(seeds, *databaseFrom+n)
		}
	}
	seeds = withCommands(seeds)
	var all [servers]Report
	t.Run("seeds", func(t *testing.T) {
		for k := range servers {
			t.Run(fmt.Sprint("server ", k+1), func(t *testing.T) {
				t.Parallel()
				srv := pgtest.Start(t, pgtest.NoSync())
				for n := k; n < len(seeds); n += servers {
					seed := seeds[n]
					t.Run(fmt.Sprint(seed), func(t *testing.T) {
						r := runDatabase(t, srv, seed, nil)
						all[k].add(&r)
					})
				}
			})
		}
	})
	all[0].add(&all[1])
	t.Logf("%+v", all[0])
	if t.Failed() || !testing.Short() && len(seeds) < 20 {
		return
	}
	for k, n := range all[0].databaseCounts() { // the histories must meet what they are made for
		if *n == 0 {
			t.Errorf("count %d of the report is 0: %+v", k, all[0])
		}
	}
}

// The faults of a seed, and all that follows, do not depend on how fast the server is.
func TestDatabaseRepeats(t *testing.T) {
	const seed = 1<<40 + 1
	srv := pgtest.Start(t, pgtest.NoSync())
	if first, second := runDatabase(t, srv, seed, nil), runDatabase(t, srv, seed, nil); !reflect.DeepEqual(first, second) {
		t.Errorf("seed %d came to\n%+v, and then to\n%+v", uint64(seed), first, second)
	}
}

func runDatabase(t *testing.T, srv *pgtest.Server, seed uint64, trace io.Writer) Report {
	t.Helper()
	report, err := Run(Config{Seed: seed, Trace: trace, Database: &Database{
		URL: srv.Database(t),
		Crash: func() error {
			if err := srv.Kill(); err != nil {
				return err
			}
			srv.StartAgain(t)
			return nil
		},
	}})
	if err != nil {
		t.Fatalf("%v\nto repeat it: make sim-database SEED=%d", err, seed)
	}
	return report
}

func (r *Report) databaseCounts() []*int {
	return []*int{
		&r.Issued, &r.Replayed, &r.Refused, &r.Conflicts, &r.NotIssued, &r.Unknown, &r.Survived, &r.Lost, &r.Starts, &r.Changes,
		&r.Coverage.Chosen, &r.Coverage.Nothing, &r.Coverage.Continued, &r.Coverage.Closed, &r.Coverage.Rebound, &r.Coverage.Partial, &r.Coverage.Guarded, &r.Coverage.BoxesDone, &r.Coverage.Codes,
		&r.Broken.Cut, &r.Broken.CommitLost, &r.Broken.AnswerLost, &r.Broken.Deaths, &r.Broken.Crashes, &r.Broken.Between, &r.Broken.Late,
		&r.Followed.Commits, &r.Followed.Again, &r.Followed.Sequenced, &r.Followed.Interrupted,
	}
}

// add counts a report together with others.
func (r *Report) add(more *Report) {
	for k, n := range more.databaseCounts() {
		*r.databaseCounts()[k] += *n
	}
	r.addResults(more)
}
