package peer

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fake is a peer in memory, sound or with one flaw.
type fake struct {
	flaw string

	mu       sync.Mutex
	keys     map[string]bool
	offered  map[int64]Template
	counted  map[int64]int64
	users    map[[2]int64]int64 // template and user
	vouchers []Voucher
}

func (f *fake) About(context.Context) (About, error) {
	return About{Name: "fake", Synced: true, Settings: map[string]string{"flaw": f.flaw}}, nil
}

func (f *fake) Offer(_ context.Context, templates []Template) error {
	f.keys, f.offered = map[string]bool{}, map[int64]Template{}
	f.counted, f.users = map[int64]int64{}, map[[2]int64]int64{}
	for _, t := range templates {
		f.offered[t.ID] = t
	}
	return nil
}

var errLost = errors.New("connection lost")

func (f *fake) Issue(_ context.Context, r Request) (Answer, error) {
	time.Sleep(10 * time.Microsecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	t, user := f.offered[r.Template], [2]int64{r.Template, r.User}
	switch {
	case f.flaw == "ends" && len(f.vouchers) == 300:
		return 0, errLost
	case f.flaw == "refuses" && len(f.vouchers) == 300:
		return OutOfStock, nil
	case f.keys[r.Key] && f.flaw != "keys":
		return Repeated, nil
	case f.counted[t.ID] >= t.Stock && f.flaw != "stock":
		if f.flaw == "reason" {
			return OverLimit, nil
		}
		return OutOfStock, nil
	case f.users[user] >= t.PerUser && f.flaw != "limit":
		return OverLimit, nil
	}
	f.keys[r.Key] = true
	f.counted[t.ID]++
	f.users[user]++
	f.keep(r)
	return Issued, nil
}

// keep writes the voucher, or does wrong with the 251st: one of the load.
func (f *fake) keep(r Request) {
	v, late := r.voucher(), len(f.vouchers) == 250
	switch {
	case f.flaw == "loses" && late:
		f.flaw = "lost"
		return
	case f.flaw == "mistakes" && late:
		v.User++
	case f.flaw == "doubles" && late:
		f.vouchers = append(f.vouchers, v)
		f.counted[v.Template]++
	case f.flaw == "invents" && late:
		f.vouchers = append(f.vouchers, Voucher{Key: "somebody", Template: r.Template, User: r.User})
	case f.flaw == "miscounts" && late:
		f.counted[v.Template]++
	}
	f.vouchers = append(f.vouchers, v)
}

func (f *fake) Vouchers(_ context.Context, each func(Voucher) error) error {
	for _, v := range f.vouchers {
		if err := each(v); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Counted(context.Context) (map[int64]int64, error) { return f.counted, nil }
func (f *fake) ServerCPU() (time.Duration, bool)                 { return 0, false }
func (f *fake) Close() error                                     { return nil }

func measureFake(flaw string) (Result, error) {
	return Measure(context.Background(), &fake{flaw: flaw},
		Settings{Workload: Workload{Templates: 3, Users: 1000}, Callers: 4, For: 100 * time.Millisecond})
}

func TestMeasure(t *testing.T) {
	res, err := measureFake("")
	if err != nil || !res.Correct {
		t.Fatalf("a sound peer: %v, %q", err, res.Wrong)
	}
	if res.Issues < 100 || res.PerSecond <= 0 || res.P50Millis <= 0 || res.P99Millis < res.P50Millis || res.Seconds < 0.1 {
		t.Errorf("figures: %+v", res)
	}
	if res.ServerCPU != nil {
		t.Errorf("server CPU %v, want none", *res.ServerCPU)
	}
}

// TestFlaws: whatever a peer does wrong is found, and said.
func TestFlaws(t *testing.T) {
	for flaw, want := range map[string]string{
		"keys":      "was sent twice: issued and issued",
		"stock":     "issues of the template with little stock: 300, want 100",
		"limit":     "issues of the template with a limit: 200, want 60",
		"reason":    "over the limit and over the limit, want out of stock",
		"loses":     "was answered as issued and has no voucher",
		"mistakes":  "asked for",
		"doubles":   "has two vouchers",
		"invents":   `a voucher has the key "somebody", which nobody sent`,
		"miscounts": "the counter of template",
	} {
		res, err := measureFake(flaw)
		if err != nil || res.Correct || !strings.Contains(strings.Join(res.Wrong, "\n"), want) {
			t.Errorf("%s: %v, correct %v: %q, want %q", flaw, err, res.Correct, res.Wrong, want)
		}
	}
}

// TestCheckAlone gives the check rows whose fault no answer of the probe tells.
func TestCheckAlone(t *testing.T) {
	check := func(change func(f *fake, w Workload)) []string {
		w := Workload{Templates: 1, Users: 10}
		f := &fake{}
		if err := f.Offer(context.Background(), w.Offer()); err != nil {
			t.Fatal(err)
		}
		change(f, w)
		r := &run{Settings: Settings{Workload: w, Callers: 1}, peer: f, acks: make([]acked, 1), found: &findings{}}
		r.next.Store(probeKeys)
		for _, v := range f.vouchers {
			n, err := number(v.Key)
			if err != nil {
				t.Fatal(err)
			}
			f.keys[v.Key] = true
			f.counted[v.Template]++
			if n != 7 {
				r.acks[0].issued = append(r.acks[0].issued, n)
			}
		}
		if err := r.check(context.Background()); err != nil {
			t.Fatal(err)
		}
		return r.found.list
	}
	keep := func(from, n int64) func(*fake, Workload) {
		return func(f *fake, w Workload) {
			for k := range n {
				f.vouchers = append(f.vouchers, w.Request(from+k).voucher())
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*fake, Workload)
		want   []string
	}{
		"sound": {keep(100, scarceStock), nil},
		"stock": {keep(100, scarceStock+1), []string{"template 2 has a stock of 100, and 101 vouchers"}},
		"limit": {keep(scarceKeys, 3*greedyUsers+1), []string{"user 0 has a limit of 3, and 4 vouchers"}},
		"told":  {keep(7, 1), []string{"key 7 has a voucher and was not answered as issued"}},
	} {
		if diff := cmp.Diff(c.want, check(c.change)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEnds(t *testing.T) {
	res, err := measureFake("ends")
	if !errors.Is(err, errLost) || res.Correct || res.Error == "" {
		t.Errorf("a lost connection: %v, %+v", err, res)
	}
	res, err = measureFake("refuses")
	if err == nil || res.Correct || !strings.Contains(strings.Join(res.Wrong, "\n"), "of the load: out of stock, want issued") {
		t.Errorf("a refusal under load: %v, %+v", err, res)
	}
}

func TestWorkload(t *testing.T) {
	w := Workload{Templates: 5, Users: 1000}
	users, templates := map[int64]int{}, map[int64]int{}
	for n := int64(probeKeys); n < probeKeys+1000; n++ {
		r := w.Request(n)
		users[r.User]++
		templates[r.Template]++
		if back, err := number(r.Key); err != nil || back != n {
			t.Fatalf("the number of %q: %d, %v", r.Key, back, err)
		}
	}
	if len(users) != 1000 {
		t.Errorf("1,000 requests came from %d of 1,000 users", len(users))
	}
	for id := range int64(5) {
		if n := templates[id+1]; n < 150 || n > 250 {
			t.Errorf("template %d was asked for %d times of 1,000", id+1, n)
		}
	}
	if len(templates) != 5 {
		t.Errorf("templates: %v", templates)
	}
}

func TestQuantile(t *testing.T) {
	var sorted []time.Duration
	for k := range 200 {
		sorted = append(sorted, time.Duration(k+1)*time.Millisecond)
	}
	got := []float64{quantile(nil, 99), quantile(sorted[:1], 50), quantile(sorted, 50), quantile(sorted, 99), quantile(sorted, 100)}
	if diff := cmp.Diff([]float64{0, 1, 100, 198, 200}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCPU(t *testing.T) {
	for until := time.Now().Add(50 * time.Millisecond); time.Now().Before(until); {
	}
	if cpu, ok := CPU(os.Getpid()); !ok || cpu <= 0 {
		t.Errorf("our own time: %v, %v", cpu, ok)
	}
	if _, ok := CPU(1 << 30); ok {
		t.Error("a process that is none has a time")
	}
	if p := Parent(os.Getpid(), "postgres"); p != 0 {
		t.Errorf("this test is no postgres and has the parent %d", p)
	}
}
