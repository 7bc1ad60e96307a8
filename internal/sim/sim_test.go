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
	var all []uint64
	for k := range uint64(n) {
		all = append(all, *from+k)
	}
	for _, seed := range withCommands(all) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			run(t, seed, nil)
		})
	}
}

// withCommands adds half as many seeds that have commands other than the issue, when there are any, and a few in which the
// feed is read, apps are disabled, or expired vouchers are recorded.
func withCommands(seeds []uint64) []uint64 {
	if len(oracle.Generators) == 0 {
		return seeds
	}
	all := seeds
	for _, seed := range seeds[:(len(seeds)+1)/2] {
		all = append(all, FirstWithCommands+seed)
	}
	for _, seed := range seeds[:(len(seeds)+3)/4] {
		all = append(all, FirstWithFollower+seed)
	}
	for _, seed := range seeds[:(len(seeds)+7)/8] {
		all = append(all, FirstWithDisabledApps+seed)
	}
	for _, seed := range seeds[:(len(seeds)+3)/4] {
		all = append(all, FirstWithExpiry+seed)
	}
	return all
}

// One seed is one history: without that a failing seed could not be repeated.
func TestSimRepeats(t *testing.T) {
	for _, seed := range []uint64{3, 27, 41, 1<<40 + 1} {
		if first, second := run(t, seed, nil), run(t, seed, nil); !reflect.DeepEqual(first, second) {
			t.Errorf("seed %d came to\n%+v, and then to\n%+v", seed, first, second)
		}
	}
}

// A consumer of the feed must meet what it is made for.
func TestSimFollows(t *testing.T) {
	if r := run(t, FirstWithFollower+2, nil).Followed; r.Commits == 0 || r.Again == 0 || r.Failed == 0 {
		t.Errorf("%+v", r)
	}
}

// Vouchers must expire where that is looked for, and processes come too late.
func TestSimExpires(t *testing.T) {
	var all Expired
	for seed := uint64(FirstWithExpiry); seed < FirstWithExpiry+5; seed++ {
		r := run(t, seed, nil).Expired
		all.Ends, all.Moved, all.Unmoved = all.Ends+r.Ends, all.Moved+r.Moved, all.Unmoved+r.Unmoved
	}
	if all.Ends < 20 || all.Moved == 0 || all.Unmoved == 0 {
		t.Errorf("%+v", all)
	}
}

// Calls of an app that is disabled, of the issue and of others, must be met.
func TestSimDisablesApps(t *testing.T) {
	var all Report
	for seed := uint64(1); seed <= 10; seed++ {
		r := run(t, FirstWithDisabledApps+seed, nil)
		all.Coverage.Disabled += r.Coverage.Disabled
		all.addResults(&r)
		if all.Coverage.Disabled > 0 && all.Results["redeem APP_DISABLED"] > 0 && all.Results["redeem"] > 0 {
			return
		}
	}
	t.Errorf("%+v", all)
}

// The histories must meet what they are made for, or the checks prove nothing. What is rare takes more seeds, and a new
// command moves it to others.
func TestSimMeetsEverything(t *testing.T) {
	const first, last = 1001, 1060
	var all Report
	missing := []string{"all"}
	for seed := uint64(first); seed <= last && len(missing) > 0; seed++ {
		r := run(t, seed, nil)
		for k, n := range (&r).counts() {
			*all.counts()[k] += *n
		}
		all.addResults(&r)
		missing = all.missingResults()
		for k, n := range all.counts() {
			if *n == 0 {
				missing = append(missing, fmt.Sprint("count ", k))
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("never met: %v in %+v", missing, all)
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

// missingResults returns the results that no call of a command came to.
func (r *Report) missingResults() (all []string) {
	for _, g := range oracle.Generators {
		for _, result := range g.Results {
			if r.Results[result] == 0 {
				all = append(all, g.Name+": "+result)
			}
		}
	}
	return all
}

func (r *Report) counts() []*int {
	return []*int{
		&r.Issued, &r.Replayed, &r.Refused, &r.Conflicts, &r.NotIssued, &r.Unknown, &r.Survived, &r.Lost,
		&r.Starts, &r.FailedStarts, &r.Changes, &r.Coverage.Chosen, &r.Coverage.Nothing, &r.Coverage.Continued, &r.Coverage.Closed, &r.Coverage.Rebound, &r.Coverage.Partial,
		&r.Coverage.Guarded, &r.Coverage.BoxesDone, &r.Coverage.Codes, &r.Coverage.Codeless, &r.Coverage.ToUsers,
		&r.Coverage.Reopened, &r.Coverage.Restocked,
	}
}
