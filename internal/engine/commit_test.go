package engine_test

import (
	"errors"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// mixed returns a batch of every kind of request: old was issued before, rest continues what was issued before.
func mixed(b *bench) (old, rest *benefit.Request, batch []*benefit.Request) {
	b.t.Helper()
	old = dryRun("old", 1, 1)
	rest = &benefit.Request{
		Scope: "continuing", Key: "rest", App: storetest.App, Continues: true,
		Recipient: benefit.Identifier{Type: benefit.AlipayID, Value: "20881"},
		Lines:     []benefit.Line{storetest.Line(1), {Template: 2, Sends: 1, Quantity: 2}}, // more than there are of 2
	}
	rest.Fingerprint = benefit.FingerprintOf(rest.Lines)
	for _, a := range b.issue(old, rest) {
		b.want("before", a, nil, benefit.NotRefused)
	}
	return old, rest, []*benefit.Request{
		dryRun("new", 2, 2), dryRun("new", 2, 2), dryRun("too late", 3, 2), old, rest, storetest.Request("old", "20889", storetest.Line(1)),
	}
}

// A batch that was certainly not committed: what rests on it is "not issued", and so is a refusal, which may rest on
// what others of the batch were about to take. What was issued long before is answered.
func TestNotCommitted(t *testing.T) {
	b := newBench(t)
	_, _, batch := mixed(b)
	b.store.commit = failing(store.ErrNotCommitted, false)
	answers := b.issue(batch...)
	b.want("issued", answers[0], engine.ErrNotIssued, 0)
	b.want("the same key again", answers[1], engine.ErrNotIssued, 0)
	b.want("refused", answers[2], engine.ErrNotIssued, 0)
	b.want("issued before", answers[3], nil, benefit.NotRefused)
	b.want("continued, and refused now", answers[4], engine.ErrNotIssued, 0)
	b.want("another meaning", answers[5], engine.ErrNotIssued, 0)
	b.wantIssued(2)

	b.store.commit = nil
	answers = b.issue(batch...)
	b.want("issued", answers[0], nil, benefit.NotRefused)
	b.want("refused", answers[2], nil, benefit.StockEmpty)
	b.want("another meaning", answers[5], nil, benefit.KeyConflict)
	b.wantIssued(3)
}

// A commit of unknown outcome: exactly those are told so whose outcome went with it. Both ways it may have gone,
// a retry settles it.
func TestUnknownCommit(t *testing.T) {
	for _, done := range []bool{false, true} {
		b := newBench(t)
		_, _, batch := mixed(b)
		b.store.commit = failing(errDisk, done)
		answers := b.issue(batch...)
		b.want("issued", answers[0], engine.ErrUnknown, 0)
		b.want("the same key again", answers[1], engine.ErrUnknown, 0)
		b.want("refused", answers[2], engine.ErrNotIssued, 0)
		b.want("issued before", answers[3], nil, benefit.NotRefused)
		b.want("continued, and refused now", answers[4], engine.ErrNotIssued, 0)
		if !errors.Is(answers[0].err, errDisk) {
			t.Errorf("the error %v does not say why", answers[0].err)
		}

		b.store.commit = nil
		again := b.issue(batch[0])[0]
		b.want("a retry", again, nil, benefit.NotRefused)
		if again.Replayed != done {
			t.Errorf("a retry was a replay: %v, the commit had been done: %v", again.Replayed, done)
		}
		b.wantIssued(3)
	}
}

// A failed store ends Run, and everybody who waits is answered.
func TestFailedStore(t *testing.T) {
	b := newBench(t, func(o *engine.Options) { o.Batch = 1 })
	b.store.commit = failing(store.ErrFailed, false)
	in, behind := b.submit(dryRun("in the batch", 1, 1)), b.submit(dryRun("behind it", 2, 1))
	planned, err := b.engine.SubmitChange(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Run(); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("Run: %v, want %v", err, store.ErrFailed)
	}
	b.want("in the batch", b.result(in), engine.ErrUnknown, 0)
	b.want("behind it", b.result(behind), engine.ErrNotIssued, 0)
	b.want("a change behind it", b.result(submitted{Pending: planned}), engine.ErrNotIssued, 0)
	if _, err := b.engine.Submit(&benefit.Issue{Request: dryRun("later", 3, 1)}); !errors.Is(err, engine.ErrStopping) {
		t.Errorf("Submit after the failure: %v, want %v", err, engine.ErrStopping)
	}
}

// A store that fails to begin, too.
func TestFailedBegin(t *testing.T) {
	b := newBench(t)
	b.store.begin = func() error { return store.ErrFailed }
	p := b.submit(dryRun("k", 1, 1))
	if err := b.engine.Run(); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("Run: %v, want %v", err, store.ErrFailed)
	}
	b.want("in the batch", b.result(p), engine.ErrUnknown, 0)
}

// What stands under the keys could not be read, so nothing about them is known. The next batch is another matter.
func TestLoadError(t *testing.T) {
	for _, failAt := range []int{1, 2} {
		b := newBench(t)
		loads := 0
		b.store.load = func(keys *benefit.Keys) (*benefit.Keys, error) {
			if loads++; loads == failAt {
				return nil, errDisk
			}
			return keys, nil
		}
		for _, a := range b.issue(dryRun("a", 1, 1), dryRun("b", 2, 1)) {
			b.want("not loaded", a, engine.ErrUnknown, 0)
		}
		b.wantIssued(0)
		b.want("the next batch", b.issue(dryRun("a", 1, 1))[0], nil, benefit.NotRefused)
		b.wantIssued(1)
	}
}

// without is a set of keys of which one is never loaded: the one whose first column has the number.
type without struct {
	table.Keys
	number int64
}

func (w without) loads(i int) bool {
	var row table.Row
	w.Key(i, &row)
	return row.Key[0].Int != w.number
}

func (w without) Found(i int, version int64, value []table.Datum) error {
	if !w.loads(i) {
		return nil
	}
	return w.Keys.Found(i, version, value)
}

func (w without) Absent(i int) {
	if w.loads(i) {
		w.Keys.Absent(i)
	}
}

// A request that makes the core panic is turned away alone, and leaves no trace.
func TestPoisonedRequest(t *testing.T) {
	b := newBench(t)
	b.store.load = func(keys *benefit.Keys) (*benefit.Keys, error) { // a store that forgets the counters of template 2
		left := *keys
		left.Rows = nil
		for _, rows := range keys.Rows {
			if rows.Kind() == benefit.TemplateCounts.Kind {
				rows = without{rows, 2}
			}
			left.Rows = append(left.Rows, rows)
		}
		return &left, nil
	}
	answers := b.issue(dryRun("before", 1, 1), dryRun("poison", 2, 2), dryRun("after", 3, 1))
	b.want("before", answers[0], nil, benefit.NotRefused)
	b.want("poison", answers[1], engine.ErrInvalid, 0)
	b.want("after", answers[2], nil, benefit.NotRefused)
	b.wantIssued(2)
}

// What no gateway may build is refused before it waits.
func TestInvalid(t *testing.T) {
	b := newBench(t)
	for name, spoil := range map[string]func(*benefit.Request){
		"no scope":       func(r *benefit.Request) { r.Scope = "" },
		"no key":         func(r *benefit.Request) { r.Key = "" },
		"a long key":     func(r *benefit.Request) { r.Key = string(make([]byte, benefit.MaxKey+1)) },
		"no lines":       func(r *benefit.Request) { r.Lines = nil },
		"no recipient":   func(r *benefit.Request) { r.Recipient = benefit.Identifier{} },
		"no sends":       func(r *benefit.Request) { r.Lines[0].Sends = 0 },
		"no quantity":    func(r *benefit.Request) { r.Lines[0].Quantity = 0 },
		"too many sends": func(r *benefit.Request) { r.Lines[0].Sends = benefit.MaxRequestVouchers + 1 },
		"too many together": func(r *benefit.Request) {
			r.Lines = append(r.Lines, r.Lines[0])
			r.Lines[0].Sends = benefit.MaxRequestVouchers
		},
		"so many that they overflow": func(r *benefit.Request) { r.Lines[0].Sends, r.Lines[0].Quantity = 1<<32, 1<<32 },
	} {
		r := dryRun("k", 1, 1)
		spoil(r)
		if _, err := b.engine.Submit(&benefit.Issue{Request: r}); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: %v, want %v", name, err, engine.ErrInvalid)
		}
	}
	if n := b.engine.Waiting(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// What is too much for one commit is committed in parts, and everybody is answered as if it had been one batch.
func TestTooLarge(t *testing.T) {
	b := newBench(t)
	b.store.most = 2
	answers := b.issue(dryRun("a", 1, 1), dryRun("b", 2, 2), dryRun("c", 3, 1), dryRun("c", 3, 1), dryRun("late", 4, 2), dryRun("d", 5, 1), dryRun("e", 6, 1))
	b.want("refused", answers[4], nil, benefit.StockEmpty)
	for _, k := range []int{0, 1, 2, 3, 5, 6} {
		b.want("issued", answers[k], nil, benefit.NotRefused)
	}
	b.wantIssued(5)
}

// A request that is too much alone fails alone.
func TestOneTooLarge(t *testing.T) {
	b := newBench(t)
	b.store.large = "large"
	answers := b.issue(dryRun("a", 1, 1), dryRun("large", 2, 1), dryRun("b", 3, 1))
	b.want("before", answers[0], nil, benefit.NotRefused)
	b.want("too large", answers[1], engine.ErrNotIssued, 0)
	b.want("after", answers[2], nil, benefit.NotRefused)
	b.wantIssued(2)
}

// The store fails in the midst of the parts: those that were committed are answered, the others, too.
func TestTooLargeThenFailed(t *testing.T) {
	b := newBench(t)
	b.store.most = 1
	commits := 0
	b.store.commit = func(write func() error) error {
		if commits++; commits > 1 {
			b.store.begin = func() error { return store.ErrFailed }
			return store.ErrFailed
		}
		return write()
	}
	all := []submitted{b.submit(dryRun("a", 1, 1)), b.submit(dryRun("b", 2, 1)), b.submit(dryRun("c", 3, 1)), b.submit(dryRun("d", 4, 1))}
	if err := b.engine.Run(); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("Run: %v, want %v", err, store.ErrFailed)
	}
	b.want("the first part", b.result(all[0]), nil, benefit.NotRefused)
	for _, p := range all[1:] {
		b.want("the other parts", b.result(p), engine.ErrUnknown, 0)
	}
}

// So is one that makes the core panic before anything is decided, and its neighbours are not.
func TestPoisonedBeforeLoading(t *testing.T) {
	b := newBench(t)
	b.store.load = func(keys *benefit.Keys) (*benefit.Keys, error) {
		for _, c := range keys.Claims {
			if c.Key == "poison" {
				panic("a rule that nobody can evaluate")
			}
		}
		return keys, nil
	}
	answers := b.issue(dryRun("before", 1, 1), dryRun("poison", 2, 1), dryRun("after", 3, 1), dryRun("last", 4, 1))
	b.want("before", answers[0], nil, benefit.NotRefused)
	b.want("poison", answers[1], engine.ErrInvalid, 0)
	b.want("after", answers[2], nil, benefit.NotRefused)
	b.want("last", answers[3], nil, benefit.NotRefused)
	b.wantIssued(3)
}
