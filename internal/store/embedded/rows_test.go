package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// Two keys have one key in the memory's maps only if they are the same key of the same kind.
func TestRowKeys(t *testing.T) {
	kinds := table.Kinds()
	type row struct {
		kind *table.Kind
		key  string
	}
	seen := map[rowKey]row{}
	add := func(one row) {
		k := rowKeyOf(one.kind, []byte(one.key))
		if other, ok := seen[k]; ok && other != one {
			t.Errorf("%s %x and %s %x are the same", one.kind.Name, one.key, other.kind.Name, other.key)
		}
		seen[k] = one
	}
	long := string(bytes.Repeat([]byte{7}, 60))
	for _, kind := range kinds[:2] {
		for n := range len(long) {
			add(row{kind, long[:n]})
			add(row{kind, long[:n] + "\x00"})
			add(row{kind, long[n:] + "x" + long[:n]})
		}
	}
}

func TestSuccessor(t *testing.T) {
	all := [][]byte{{}}
	for range 3 { // every text of up to three of these bytes
		for _, shorter := range all {
			for _, b := range []byte{0, 1, 0xfe, 0xff} {
				all = append(all, append(bytes.Clone(shorter), b))
			}
		}
	}
	for _, prefix := range all {
		to := successor(prefix)
		for _, key := range all {
			inside := bytes.Compare(key, prefix) >= 0 && (to == nil || bytes.Compare(key, to) < 0)
			if inside != bytes.HasPrefix(key, prefix) {
				t.Errorf("%x is between %x and %x: %v", key, prefix, to, inside)
			}
		}
	}
}

// A row is loaded as it is, whether it is too large for the cache, or for the table of its key, or not, or was when it was
// written before.
func TestLargeRows(t *testing.T) {
	for seed := range uint64(4) {
		x := newPair(t, Options{GenerationSize: 5, MaxMemtable: 8}, 8, seed)
		want := func(rows *table.State) {
			for u := range 3 {
				benefit.Participations.Want(rows, benefit.ParticipationKey{User: id.ID(u), Activity: 1})
				benefit.Entities.Want(rows, benefit.EntityKey{Kind: benefit.TemplateEntity, ID: int64(u)})
			}
		}
		for n := range 40 {
			size := []int{0, maxCachedRow / 2, maxCachedRow, minApart}[x.r.IntN(4)]
			u := x.r.IntN(3)
			x.write(t, &benefit.Changes{Rows: benefit.RowsOf(
				benefit.Participations.Rows(benefit.Participation{
					ParticipationKey: benefit.ParticipationKey{User: id.ID(u), Activity: 1}, Total: int64(n), Cards: []string{string(make([]byte, size))},
				}),
				benefit.Entities.Rows(benefit.Entity{Kind: benefit.TemplateEntity, ID: int64(u), Body: fmt.Append(make([]byte, size), n)}),
			)})
			x.disturb(t)
			x.wantLoads(t, fmt.Sprintf("seed %d, step %d", seed, n), benefit.Keys{}, want)
		}
		x.wantSame(t)
	}
}

// largeOperation returns an operation whose value is kept apart from its key.
func largeOperation(n int) benefit.Operation {
	op := benefit.Operation{
		Kind: benefit.RedeemOperation, Scope: "s", Key: fmt.Sprint(n), Claim: benefit.ClaimIDOf("s", fmt.Sprint(n)), At: storetest.Start,
	}
	op.Result = fmt.Append(make([]byte, minApart), n)
	return op
}

// One record may have more large rows than it has places in the order of commits.
func TestManyLargeRows(t *testing.T) {
	p := newMemPlace(t, Options{})
	p.o.SegmentBytes = 16 << 20 // room for such a record
	s := p.open(t)
	var all []benefit.Operation
	for n := range maxIssuances + 2 {
		all = append(all, largeOperation(n))
	}
	written := [][]table.Rows{
		benefit.RowsOf(benefit.Operations.Rows(all...)), benefit.RowsOf(benefit.Operations.Rows(largeOperation(-1), largeOperation(-2))),
	}
	var want []table.Rows
	for _, rows := range written {
		if err := commit(t, s, &benefit.Changes{Rows: rows}); err != nil {
			t.Fatal(err)
		}
		want = append(want, rows...)
	}
	got := contentsOf(t, s)
	wanted := rowsOf(t, want)[benefit.Operations.Name]
	slices.SortFunc(wanted, func(a, b any) int {
		x, y := a.(benefit.Operation).Claim, b.(benefit.Operation).Claim
		return bytes.Compare(x[:], y[:])
	})
	if diff := storetest.Diff(wanted, got.Rows[benefit.Operations.Name]); diff != "" {
		t.Errorf("operations (-want +got):\n%.2000s", diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.disk = p.disk.CrashProcess()
	p.wantSound(t)
}

// A row whose value is not where it should be is damage, and not a row without a value.
func TestLostBody(t *testing.T) {
	p := newMemPlace(t, Options{})
	s := p.open(t)
	op := largeOperation(1)
	if err := commit(t, s, &benefit.Changes{Rows: benefit.RowsOf(benefit.Operations.Rows(op))}); err != nil {
		t.Fatal(err)
	}
	contentsOf(t, s)
	look := func() (bool, error) {
		_, found, err := store.Get(t.Context(), s, benefit.Operations, op.Claim)
		return found, err
	}
	if found, err := look(); !found || err != nil {
		t.Fatalf("the operation: %v, %v", found, err)
	}
	if err := exec(s, "DELETE FROM row_body"); err != nil {
		t.Fatal(err)
	}
	if found, err := look(); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("without its value: %v, %v", found, err)
	}
	s.abandon()
}

// The issuance that holds a voucher is found in each of the places where it may lie, however the ids came, and as it was
// continued.
func TestVouchersAnywhere(t *testing.T) {
	for seed := range uint64(4) {
		x := newPair(t, tiny, 8, seed)
		ids := rand.New(rand.NewPCG(seed, 3)).Perm(60)
		var keys benefit.Keys
		var all []*benefit.Issuance
		for n, k := range ids {
			first := id.ID(1<<40 + 10*k)
			i := &benefit.Issuance{
				ID: first, Scope: scope.Template(1), Key: fmt.Sprint(k), App: 1, User: 7, Continues: true,
				Lines: []benefit.IssuedLine{{Line: storetest.Line(1), First: first, At: storetest.Start, Reason: benefit.StockEmpty}},
			}
			i.Lines[0].Sends = 1 + x.r.IntN(10)
			i.Lines[0].Amounts = make([]money.Fen, i.Lines[0].Sends)
			i.Lines[0].Issued = x.r.IntN(i.Lines[0].Sends)
			changes := &benefit.Changes{Issuances: []*benefit.Issuance{i}}
			if n > 0 && x.r.IntN(3) == 0 {
				again := *all[x.r.IntN(n)]
				again.Lines = []benefit.IssuedLine{again.Lines[0]}
				again.Lines[0].Issued, again.Lines[0].Reason = again.Lines[0].Sends, benefit.NotRefused
				changes.Issuances = append(changes.Issuances, &again)
			}
			all = append(all, i)
			x.write(t, changes)
			keys.Vouchers = append(keys.Vouchers, first, first+id.ID(x.r.IntN(10)))
			if x.s.flushing == nil && x.r.IntN(3) == 0 {
				x.s.swap() // a flush that goes no further
			}
			x.wantLoads(t, fmt.Sprintf("seed %d, step %d", seed, n), keys)
			x.disturb(t)
		}
		x.wantLoads(t, fmt.Sprint("seed ", seed), keys)
		x.wantSame(t)
	}
}
