package id

import (
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func testRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// Stored rows depend on these: they may never change.
func TestBucketOfIsPinned(t *testing.T) {
	for name, want := range map[string]int{"": 20, "ALIPAY:2088302001456115": 734, "p-1": 3, "优酷": 157} {
		if got := BucketOf(name); got != want {
			t.Errorf("BucketOf(%q) = %d, want %d", name, got, want)
		}
	}
}

func TestIDCarriesTimeAndBucket(t *testing.T) {
	const now = 1_790_000_000_123
	first := NewGenerator(testRand(), 0).Block(now, 1023, 1)
	if first.Millis() != now || first.Bucket() != 1023 {
		t.Errorf("%d carries %d and bucket %d", first, first.Millis(), first.Bucket())
	}
	begin := first.Begin()
	if (begin+sequences-1).Begin() != begin || (begin-1).Bucket() != 1022 || begin.Millis() != now || begin.Bucket() != 1023 || begin > first {
		t.Errorf("%d begins with %d", first, begin)
	}
	if last := NewGenerator(testRand(), 0).Block(2_803_578_827_775, 1023, 1); last <= 0 {
		t.Errorf("the last millisecond gives %d", last)
	}
}

func TestLongRoundTrip(t *testing.T) {
	v := NewGenerator(testRand(), 0).Block(1_790_000_000_123, 7, 1)
	text := v.Long()
	if len(text) != 28 || text[:8] != "20260921" {
		t.Fatalf("Long() = %q", text)
	}
	if got, err := ParseLong(text); err != nil || got != v {
		t.Errorf("ParseLong(%q) = %d, %v", text, got, err)
	}
	for _, bad := range []string{"", "1", "20260922" + text[8:], text[:27] + "x", text + "0", "20260921-0000000000000000001"[:28], "2026092100000000000000000000"} {
		if got, err := ParseLong(bad); !errors.Is(err, ErrNotLong) {
			t.Errorf("ParseLong(%q) = %d, %v", bad, got, err)
		}
	}
}

// No clock makes the generator repeat itself, and no id is older than what the store already holds.
func TestGeneratorNeverRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const base = 1_790_000_000_000
		g := NewGenerator(testRand(), base)
		seen := map[ID]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "calls") {
			now := base + rapid.Int64Range(-5, 5).Draw(t, "now")
			n := rapid.SampledFrom([]int{1, 2, 100, MaxBlock}).Draw(t, "n")
			first := g.Block(now, rapid.IntRange(0, 1).Draw(t, "bucket"), n)
			for k := range n {
				v := first + ID(k)
				if seen[v] || v.Millis() < now || v.Millis() <= base || v.Millis() != first.Millis() {
					t.Fatalf("id %d: seen %v, carries %d, now %d", v, seen[v], v.Millis(), now)
				}
				seen[v] = true
			}
		}
	})
}

// Two generators for one store make blocks that lie apart, or that begin with the same id, which a store notices: no id
// is given twice in silence.
func TestSharedGeneratorsOverlapFromTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const base = 1_790_000_000_000
		type block struct{ first, last ID }
		var made [2][]block
		for k := range made {
			g := NewSharedGenerator(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), base)
			var last ID
			for range rapid.IntRange(1, 60).Draw(t, "calls") {
				n := rapid.SampledFrom([]int{1, 1, 2, 3, 15, 16, 17, 100, MaxBlock}).Draw(t, "n")
				first := g.Block(base+1, 3, n)
				if first <= last || (first+ID(n-1)).Millis() != first.Millis() || (first+ID(n-1)).Bucket() != 3 {
					t.Fatalf("a block of %d at %d, after %d", n, first, last)
				}
				last = first + ID(n-1)
				made[k] = append(made[k], block{first, last})
			}
		}
		for _, a := range made[0] {
			for _, b := range made[1] {
				if a.first <= b.last && b.first <= a.last && a.first != b.first {
					t.Fatalf("blocks %d to %d and %d to %d overlap", a.first, a.last, b.first, b.last)
				}
			}
		}
	})
}

func FuzzParseLong(f *testing.F) {
	f.Add("2026092100000000000000000000")
	f.Add(NewGenerator(testRand(), 0).Block(1_790_000_000_123, 7, 1).Long())
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseLong(s); err == nil && v.Long() != s {
			t.Fatalf("%q reads as %d, which writes as %q", s, v, v.Long())
		}
	})
}

// Ids end instead of starting over, which would make some of them twice.
func TestIDsEnd(t *testing.T) {
	for _, g := range []*Generator{NewGenerator(testRand(), 0), NewSharedGenerator(testRand(), 0)} {
		if last := g.Block(MaxMillis, Buckets-1, MaxBlock); last.Millis() != MaxMillis || last <= 0 {
			t.Errorf("the last block: %d of %d", last, last.Millis())
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("an id after the last millisecond")
				}
			}()
			g.Block(MaxMillis+1, 0, 1)
		}()
	}
}
