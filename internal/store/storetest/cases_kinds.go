package storetest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/table"
)

// testRows writes rows of every kind that is described, reads them back in every way, writes over them, and wants their
// versions to grow.
func testRows(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	r := rand.New(rand.NewPCG(1, 2))
	var kinds []*table.Kind
	for _, kind := range table.Kinds() {
		if !kind.Derived {
			kinds = append(kinds, kind)
		}
	}
	versions := map[string]int64{}
	keys := map[*table.Kind][][]table.Datum{}
	for step := range 6 {
		now := Start + benefit.Instant(step)*1000
		changes := &benefit.Changes{}
		for _, kind := range kinds {
			changes.Rows = append(changes.Rows, randomRows(t, r, kind, keys))
		}
		for _, s := range []store.Store{st, model} {
			mustWrite(t, s, now, changes)
		}
		reader := mustRead(t, model)
		for _, kind := range slices.Backward(kinds) { // before a reader has everything flushed, as that of quotas may
			wantRowsUnder(t, fmt.Sprintf("step %d: %s", step, kind.Name), st, reader, kind, keys[kind])
		}
		for _, when := range []string{"at once", "after opening again"} {
			what := fmt.Sprintf("step %d, %s", step, when)
			want(t, what+": everything", mustContents(t, model), mustContents(t, st))
			reader, wanted := found[store.Reader](t)(st.Read(t.Context())), mustRead(t, model)
			for _, kind := range kinds {
				wantRowsOf(t, what+": "+kind.Name, st, reader, wanted, kind, keys[kind])
				wantVersions(t, what+": "+kind.Name, st, kind, changes, versions, when == "at once")
			}
			_ = reader.Close()
			st = h.reopen(t, st)
		}
	}
	if h.Crash != nil {
		h.Crash(t, st)
		st = h.Open(t)
		want(t, "after a crash", mustContents(t, model), mustContents(t, st))
	}
	_ = st.Close()
}

// wantRowsOf compares the rows of a kind, asked for all at once with one that is not there and one that is asked for twice, and
// those under each key without its last column, with the plain store's.
func wantRowsOf(t *testing.T, what string, st store.Store, got, wanted store.Reader, kind *table.Kind, keys [][]table.Datum) {
	t.Helper()
	ctx := t.Context()
	for _, key := range keys {
		prefix := key[:len(key)-1]
		var some, others []any
		var err error
		collect(&some, &err, decoded(kind, wanted.Scan(ctx, kind, prefix)))
		collect(&others, &err, decoded(kind, got.Scan(ctx, kind, prefix)))
		want(t, what+": an error", nil, err)
		want(t, what+": the rows under a prefix", some, others)
	}
	absent := slices.Clone(keys[0])
	last := len(absent) - 1
	switch kind.Key[last].Type {
	case table.Int, table.ID:
		absent[last].Int ^= 1
	case table.Digest:
		absent[last].Bytes = slices.Clone(absent[last].Bytes)
		absent[last].Bytes[15] ^= 1
	default:
		absent[last].Bytes = append(slices.Clone(absent[last].Bytes), "absent"...)
	}
	for slices.ContainsFunc(keys, func(key []table.Datum) bool { return reflect.DeepEqual(key, absent) }) { // it was drawn
		absent[last].Int++
	}
	ask := slices.Concat([][]table.Datum{absent}, keys, keys[:1])
	rows := found[[]*table.Row](t)(wanted.Rows(ctx, kind, ask))
	for n, row := range rows {
		if (row == nil) != (n == 0) {
			t.Errorf("%s: row %d of the plain store: %v", what, n, row)
		}
	}
	want(t, what+": the rows", rows, found[[]*table.Row](t)(got.Rows(ctx, kind, ask)))
	want(t, what+": the rows, without a reader", rows, found[[]*table.Row](t)(st.Rows(ctx, kind, ask)))
	want(t, what+": no rows", 0, len(found[[]*table.Row](t)(st.Rows(ctx, kind, nil))))
}

// wantRowsUnder compares the rows under each key without its last column, all of them and the first, with the plain store's.
func wantRowsUnder(t *testing.T, what string, st store.Store, wanted store.Reader, kind *table.Kind, keys [][]table.Datum) {
	t.Helper()
	for _, key := range keys {
		prefix := key[:len(key)-1]
		var all []any
		var err error
		collect(&all, &err, decoded(kind, wanted.Scan(t.Context(), kind, prefix)))
		want(t, what+": an error", nil, err)
		for _, limit := range []int{1, len(all) + 1} {
			rows := found[[]*table.Row](t)(st.RowsUnder(t.Context(), kind, prefix, limit))
			want(t, fmt.Sprintf("%s: at most %d rows under a prefix", what, limit), all[:min(limit, len(all))], decodedAll(t, kind, rows))
		}
	}
}

func decodedAll(t *testing.T, kind *table.Kind, rows []*table.Row) (all []any) {
	t.Helper()
	for _, row := range rows {
		v, err := kind.Decode(row)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// testGetAll asks for typed rows by several keys: those that there are come under their keys.
func testGetAll(t *testing.T, h Harness) {
	st := h.open(t)
	of := func(template benefit.TemplateID, count int64) benefit.TemplateCount {
		return benefit.TemplateCount{Template: template, Count: count, Amount: 500 * count}
	}
	for n, c := range []benefit.TemplateCount{of(1, 1), of(2, 5), of(3, 7), of(2, 6)} {
		mustWrite(t, st, Start+benefit.Instant(n), &benefit.Changes{Rows: benefit.RowsOf(benefit.TemplateCounts.Rows(c))})
	}
	r := mustRead(t, st)
	for what, from := range map[string]store.Lookup{"the store": st, "a reader": r} {
		all, err := store.GetAll(t.Context(), from, benefit.TemplateCounts, 4, 3, 2, 3)
		want(t, what+": an error", nil, err)
		want(t, what+": the rows", map[benefit.TemplateID]benefit.TemplateCount{2: of(2, 6), 3: of(3, 7)}, all)
		none, err := store.GetAll(t.Context(), from, benefit.TemplateCounts)
		want(t, what+": no keys, an error", nil, err)
		want(t, what+": no keys", 0, len(none))
		one, ok, err := store.Get(t.Context(), from, benefit.TemplateCounts, 1)
		want(t, what+": one row, an error", nil, err)
		if want(t, what+": one row", of(1, 1), one); !ok {
			t.Errorf("%s: the one row is not there", what)
		}
		if _, ok, err := store.Get(t.Context(), from, benefit.TemplateCounts, 4); ok || err != nil {
			t.Errorf("%s: a row that is not there: %v, %v", what, ok, err)
		}
	}
}

// wantVersions wants the versions of the rows that the changes wrote to be later than before.
func wantVersions(t *testing.T, what string, st store.Store, kind *table.Kind, changes *benefit.Changes, versions map[string]int64, written bool) {
	t.Helper()
	tx := mustBegin(t, st, Start)
	defer tx.Rollback()
	state := benefit.NewState()
	state.Reset(tx.Now())
	k := slices.IndexFunc(changes.Rows, func(rows table.Rows) bool { return rows.Kind() == kind })
	var row table.Row
	for i := range changes.Rows[k].Len() {
		changes.Rows[k].Read(i, &row)
		kind.Want(state.Rows(), row.Key)
	}
	if err := tx.Load(t.Context(), &benefit.Keys{Rows: state.Rows().Wanted()}, state); err != nil {
		t.Fatalf("Load: %v", err)
	}
	state.Rows().Absorb(changes.Rows[k : k+1]) // so that the versions can be seen
	loaded := state.Rows().Changed()[0]
	for i := range loaded.Len() {
		loaded.Read(i, &row)
		name := kind.Name + string(kind.AppendKey(nil, row.Key))
		if v := loaded.Version(i); v < 1 || written && v <= versions[name] || !written && v != versions[name] {
			t.Errorf("%s: version %d after version %d", what, v, versions[name])
		}
		versions[name] = loaded.Version(i)
	}
}

// randomRows returns a few rows of a kind: one that there was, if there was any, and new ones. It adds their keys.
func randomRows(t *testing.T, r *rand.Rand, kind *table.Kind, keys map[*table.Kind][][]table.Datum) table.Rows {
	rows := kind.Builder()
	written := map[string]bool{}
	for n := range 3 {
		v := reflect.ValueOf(kind.New()).Elem()
		randomValue(r, v)
		var row table.Row
		if err := kind.Encode(v.Interface(), &row); err != nil {
			t.Fatal(err)
		}
		switch old := keys[kind]; {
		case n == 0 && len(old) > 0:
			row.Key = old[r.IntN(len(old))]
		case n == 1 && len(old) > 0 && len(row.Key) > 1: // beside another
			row.Key = append(slices.Clone(old[0][:len(row.Key)-1]), row.Key[len(row.Key)-1])
			keys[kind] = append(old, row.Key)
		default:
			keys[kind] = append(old, slices.Clone(row.Key))
		}
		// What a value repeats of its key is that of the key.
		if again, err := kind.Decode(&row); err == nil {
			err = kind.Encode(again, &row)
			if err != nil {
				t.Fatal(err)
			}
		}
		key := string(kind.AppendKey(nil, row.Key))
		if written[key] { // texts are drawn from few
			continue
		}
		written[key] = true
		if err := rows.Add(&row); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// randomValue fills a value with numbers that are not negative, and short texts.
func randomValue(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		randomValue(r, v.Elem())
	case reflect.Struct:
		for k := range v.NumField() {
			randomValue(r, v.Field(k))
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64() >> (65 - v.Type().Bits() + r.IntN(v.Type().Bits()-1)))
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(128)))
	case reflect.String:
		v.SetString([]string{"", "a", "发券 'x'", edgeCaseText(40)}[r.IntN(4)])
	case reflect.Array:
		for k := range v.Len() {
			randomValue(r, v.Index(k))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for k := range v.Len() {
			randomValue(r, v.Index(k))
		}
	default:
		panic("storetest: a row has a " + v.Type().String())
	}
}

// testVouchers loads issuances by their vouchers.
func testVouchers(t *testing.T, h Harness) {
	st, model := h.open(t), memory.New()
	g := newIDs()
	one, two := plain(g.take(Start, 5), "one", 1, 1, 3), plain(g.Block(int64(Start), 900, 2), "two", 2, 1, 2)
	large := plain(g.take(Start+10, 4000), "large", 3, 2, 4000)
	w := &wanted{Vouchers: []id.ID{0, 1, one.ID - 1, one.ID, one.ID + 2, one.ID + 3, two.ID + 1, two.ID + 2, large.ID + 3999, large.ID + 4000, 1<<63 - 1}}
	for k, i := range []*benefit.Issuance{one, two, large} {
		for _, s := range []store.Store{st, model} {
			mustWrite(t, s, Start+benefit.Instant(k), &benefit.Changes{Issuances: []*benefit.Issuance{i}})
		}
		for _, when := range []string{"at once", "after opening again"} {
			want(t, fmt.Sprintf("%d issuances, %s", k+1, when), mustLoad(t, model, Start, w), mustLoad(t, st, Start, w))
			st = h.reopen(t, st)
		}
	}
	_ = st.Close()
}
