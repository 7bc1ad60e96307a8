package sim

import (
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"testing"

	"faquan/internal/oracle"
)

var (
	seeds   = flag.Int("sim.seeds", 300, "how many seeds TestSim runs; 50 at most with -short")
	from    = flag.Uint64("sim.from", 1, "the first seed that TestSim runs")
	oneSeed = flag.Uint64("sim.seed", 0, "the one seed to run, with its trace when -v is given; 0: as many as -sim.seeds")
)

// dir returns a place for the views: in memory where there is such a place, because every crash copies them.
func dir(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err != nil {
		return t.TempDir()
	}
	d, err := os.MkdirTemp("/dev/shm", "faquan-sim-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

func run(t testing.TB, seed uint64, trace io.Writer) Report {
	t.Helper()
	report, err := Run(Config{Seed: seed, Dir: dir(t), Trace: trace})
	if err != nil {
		t.Fatalf("%v\nto repeat it: make sim SEED=%d", err, seed)
	}
	return report
}

func TestSim(t *testing.T) {
	if *oneSeed != 0 {
		var trace io.Writer
		if testing.Verbose() {
			trace = os.Stdout
		}
		t.Logf("%+v", run(t, *oneSeed, trace))
		return
	}
	n := *seeds
	if testing.Short() {
		n = min(n, 50)
	}
	for seed := *from; seed < *from+uint64(n); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			run(t, seed, nil)
		})
	}
}

// One seed is one history: without that a failing seed could not be repeated.
func TestSimRepeats(t *testing.T) {
	for _, seed := range []uint64{3, 27, 41, 1<<40 + 1} {
		if first, second := run(t, seed, nil), run(t, seed, nil); !reflect.DeepEqual(first, second) {
			t.Errorf("seed %d came to\n%+v, and then to\n%+v", seed, first, second)
		}
	}
}

// The histories must meet what they are made for, or the checks prove nothing.
func TestSimMeetsEverything(t *testing.T) {
	var all Report
	for seed := uint64(1001); seed <= 1015; seed++ {
		r := run(t, seed, nil)
		for k, n := range (&r).counts() {
			*all.counts()[k] += *n
		}
		all.addResults(&r)
	}
	all.wantResults(t)
	for k, n := range all.counts() {
		if *n == 0 {
			t.Errorf("count %d of the report is 0 over 15 seeds: %+v", k, all)
		}
	}
	t.Logf("%+v", all)
}

// addResults counts the results of commands together with others.
func (r *Report) addResults(more *Report) {
	if r.Results == nil {
		r.Results = map[string]int{}
	}
	for result, n := range more.Results {
		r.Results[result] += n
	}
}

// wantResults fails unless each command had all of its results.
func (r *Report) wantResults(t *testing.T) {
	t.Helper()
	for _, g := range oracle.Generators {
		for _, result := range g.Results {
			if r.Results[result] == 0 {
				t.Errorf("no call of %q came to %q", g.Name, result)
			}
		}
	}
}

func (r *Report) counts() []*int {
	return []*int{
		&r.Issued, &r.Replayed, &r.Refused, &r.Conflicts, &r.NotIssued, &r.Unknown, &r.Survived, &r.Lost,
		&r.Starts, &r.FailedStarts, &r.Changes, &r.Coverage.Chosen, &r.Coverage.Nothing, &r.Coverage.Continued, &r.Coverage.Closed, &r.Coverage.Rebound, &r.Coverage.Partial,
		&r.Coverage.Guarded, &r.Coverage.BoxesDone, &r.Coverage.Codes, &r.Coverage.Codeless, &r.Coverage.ToUsers,
	}
}
