package embedded

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/store/storetest"
)

// A filter never says "certainly not" of what was added, also when it is too small, was stored or was merged.
func TestFilterHidesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(0, 300).Draw(t, "capacity")
		a, b := newFilter(capacity), newFilter(capacity)
		hashes := rapid.SliceOf(rapid.Uint64()).Draw(t, "hashes")
		for k, h := range hashes {
			if k%2 == 0 {
				a.add(h)
			} else {
				b.add(h)
			}
		}
		a.or(b)
		stored, err := unmarshalFilter(a.marshal())
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hashes {
			if !a.mayContain(h) || !stored.mayContain(h) {
				t.Fatalf("%x is hidden", h)
			}
		}
	})
}

// It is worth having, too: few needless "perhaps".
func TestFilterIsSharp(t *testing.T) {
	const n = 20_000
	f := newFilter(n)
	for k := range n {
		f.add(quotaHash(id.ID(k), 1))
	}
	wrong := 0
	for k := range n {
		if f.mayContain(quotaHash(id.ID(n+k), 1)) {
			wrong++
		}
	}
	if wrong > n/300 {
		t.Errorf("%d of %d answers are a needless perhaps", wrong, n)
	}
}

// Every single changed bit of a stored filter is noticed.
func TestDamagedFilter(t *testing.T) {
	f := newFilter(20)
	f.add(12345)
	data := f.marshal()
	for bit := range 8 * len(data) {
		data[bit/8] ^= 1 << (bit % 8)
		if _, err := unmarshalFilter(data); err == nil {
			t.Errorf("bit %d of %d changes unnoticed", bit, 8*len(data))
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
	for _, short := range [][]byte{nil, data[:3], data[:4], data[:len(data)-1], data[:len(data)-32]} {
		if _, err := unmarshalFilter(short); err == nil {
			t.Errorf("%d bytes are taken for a filter", len(short))
		}
	}
}

// wantReplays asks for the keys k0 … k<n> again: each must be a replay, whatever the filters know.
func wantReplays(t *testing.T, s *Store, n int) {
	t.Helper()
	c := newClient(s)
	for k := range n {
		all, err := c.Issue(t.Context(), storetest.Start, storetest.Request(fmt.Sprint("k", k), fmt.Sprint("2088", k%5), storetest.Line(1)))
		if err != nil || !all[0].Replayed {
			t.Fatalf("k%d is issued again: %+v, %v", k, all, err)
		}
	}
}

func complete(s *Store) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.gens {
		if g.complete() {
			n++
		}
	}
	return n
}

// After a clean stop the filters are there; after a kill those of full generations are, and the last one's are
// made in the background. Either way they hide nothing.
func TestFiltersAfterAStart(t *testing.T) {
	p := newMemPlace(t, Options{GenerationSize: 10, MaxMemtable: 12})
	s := p.open(t)
	c := newClient(s)
	c.mustAsk(t, 0, 45)
	contentsOf(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.disk = p.disk.CrashProcess()
	s = p.open(t)
	if have, all := complete(s), len(s.gens); have != all || all < 3 {
		t.Errorf("after a clean stop %d of %d generations have filters", have, all)
	}
	wantReplays(t, s, 45)
	newClient(s).mustAsk(t, 45, 48)
	p.kill(s)

	s = p.open(t)
	if have, all := complete(s), len(s.gens); have != all-1 {
		t.Errorf("after a kill %d of %d generations have filters", have, all)
	}
	wantReplays(t, s, 48)
	p.kill(s)

	p.o.Foreground = false
	s = p.open(t)
	defer s.Close()
	s.awaitFilters(t)
	wantReplays(t, s, 48)
}

func (s *Store) awaitFilters(t *testing.T) {
	t.Helper()
	waitFor(t, "the filters are made", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, g := range s.gens {
			if !g.complete() {
				return false
			}
		}
		return true
	})
}

// A stored filter that is damaged is not used: the view is asked instead.
func TestDamagedStoredFilter(t *testing.T) {
	p := newMemPlace(t, Options{GenerationSize: 10, MaxMemtable: 12})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 25)
	contentsOf(t, s)
	if err := s.keepFilters(); err != nil {
		t.Fatal(err)
	}
	// All bits gone but for the checksum: it would hide everything.
	if err := exec(s, "UPDATE generation SET claims=zeroblob(length(claims)-4)||x'00000001', quotas=NULL"); err != nil {
		t.Fatal(err)
	}
	p.kill(s)
	s = p.open(t)
	defer s.Close()
	if n := complete(s); n != 0 {
		t.Errorf("%d generations use a damaged filter", n)
	}
	wantReplays(t, s, 25)
}

// A filter that is in the making while its generation fills up holds what came in between.
func TestFilterFilledAfterRotation(t *testing.T) {
	p := newMemPlace(t, Options{GenerationSize: 8, MaxMemtable: 1000})
	s := p.open(t)
	newClient(s).mustAsk(t, 0, 5)
	contentsOf(t, s)
	p.kill(s)
	s = p.open(t)
	defer s.Close()
	last := s.gens[len(s.gens)-1]
	if last.complete() {
		t.Fatal("there is nothing to make")
	}
	conn, err := openConn(ViewPath(p.dir), true)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read, err := readFilters(conn, last.gen, s.filterCapacity())
	if err != nil {
		t.Fatal(err)
	}
	newClient(s).mustAsk(t, 5, 10) // fills the generation
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if s.gens[len(s.gens)-1] == last {
		t.Fatal("the generation is not full")
	}
	last.fill(read)
	wantReplays(t, s, 10)
	for n := range 10 {
		if !last.claims.mayContain(claimHash(benefit.ClaimIDOf(scope.Template(1), fmt.Sprint("k", n)))) {
			t.Errorf("k%d is hidden", n)
		}
	}
}

// The cache forgets, within its bounds, and never tells an old value.
func TestCache(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 6).Draw(t, "limit")
		c, model := newCache[int, int](limit), map[int]int{}
		for n := range rapid.IntRange(0, 60).Draw(t, "steps") {
			key := rapid.IntRange(0, 9).Draw(t, "key")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				c.drop()
			case 1, 2, 3, 4:
				c.put(key, n)
				model[key] = n
				if v, ok := c.get(key); !ok || v != n {
					t.Fatalf("get(%d) = %d, %v right after it was put", key, v, ok)
				}
			default:
				if v, ok := c.get(key); ok && v != model[key] {
					t.Fatalf("get(%d) = %d, it is %d", key, v, model[key])
				}
			}
			if len(c.young)+len(c.old) > 2*limit {
				t.Fatalf("%d entries in a cache of %d", len(c.young)+len(c.old), limit)
			}
		}
	})
}

// Issuances with many codes take more of a generation, or its filters would say "perhaps" of everything.
func TestGenerationOfManyCodes(t *testing.T) {
	s := newMemPlace(t, Options{GenerationSize: 300, MaxMemtable: 200}).open(t)
	defer s.Close()
	c := storetest.NewCommitter(s, storetest.Catalogue(storetest.Template(1, func(x *benefit.Template) {
		x.Kind, x.Face, x.Code = benefit.Certificate, benefit.Face{}, benefit.CodeRule{Digits: 16}
	})), 1)
	line := storetest.Line(1)
	line.Quantity = 50
	for n := range 100 {
		r := storetest.Request(fmt.Sprint("k", n), fmt.Sprint("2088", n), line)
		if _, err := c.Issue(t.Context(), storetest.Start, r); err != nil {
			t.Fatal(err)
		}
	}
	perhaps := 0
	for n := range 10_000 {
		if s.gens[0].claims.mayContain(claimHash(benefit.CodeKey(fmt.Sprint("none ", n)).ID)) {
			perhaps++
		}
	}
	if perhaps > 500 || len(s.gens) < 3 {
		t.Errorf("%d generations; the first says perhaps of %d in 10,000 codes that are not there", len(s.gens), perhaps)
	}
}

func FuzzUnmarshalFilter(f *testing.F) {
	some := newFilter(100)
	some.add(1)
	f.Add(some.marshal())
	f.Add([]byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := unmarshalFilter(data)
		if err != nil {
			return
		}
		if !bytes.Equal(got.marshal(), data) {
			t.Fatal("stored again it is something else")
		}
		got.mayContain(math.MaxUint64)
		got.mayContain(0)
	})
}
