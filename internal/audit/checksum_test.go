package audit

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/memory"
	"faquan/internal/table"
)

func checksumOf(t testing.TB, st store.Store) *Checksum {
	t.Helper()
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	defer r.Close()
	m, err := ComputeChecksum(t.Context(), r)
	if err != nil {
		t.Fatalf("Digest: %v", err)
	}
	return m
}

// Two stores with the same history mean the same, whatever becomes of them on the way; one step more and they do not.
func TestSameChecksum(t *testing.T) {
	for seed := range uint64(6) {
		d, model := newDirectory(t), memory.New()
		st := d.open(t)
		live(t, model, seed, 80)
		live(t, st, seed, 80)
		for _, when := range []string{"open", "opened again"} {
			if got := checksumOf(t, model).Differences(checksumOf(t, st)); len(got) > 0 {
				t.Errorf("seed %d, %s: %q", seed, when, got)
			}
			closeStore(t, st)
			st = d.open(t)
		}
		crowdOf(t, st, 3, 1)
		if got := checksumOf(t, model).Differences(checksumOf(t, st)); len(got) < 5 {
			t.Errorf("seed %d: after more was issued on one of them: %q", seed, got)
		}
		closeStore(t, st)
	}
}

// The form of a row is pinned: what was noted of a store by one version must be what the next one says.
func TestChecksumGolden(t *testing.T) {
	st := memory.New()
	newStage().play(t, st)
	write(t, st, midnight, &benefit.Changes{Rows: benefit.RowsOf(benefit.Sessions.Rows([]*benefit.Session{{Digest: benefit.Digest{1, 2}, Sealed: []byte("s"), App: 1, Expires: 9}}...))})
	var out bytes.Buffer
	if err := checksumOf(t, st).Write(&out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(checksumGolden), strings.TrimSpace(out.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const checksumGolden = `
table               rows  vouchers  fen   sha256
issuances           8     15        3000  e2d20487a266ea7677b1787891a5c80b4102eb1e123b1def19c9a7eebd27ec5a
claims              11    0         0     163cb3c9d61f8aa4374f8e34ae7872a351e77be0f2701e206c45013d3f4c05d7
quotas              3     15        0     61b0e9405b4a92a69ef27da8337f7838bc1b0b4157c3e47bd16ee4bdc95cc505
participations      3     13        0     e1c218626618b633791f9b7ab2f1c5b529b65bb9a4605a072c40c5f8fce352ef
template counters   3     15        3000  4ef9f5c49833c5905ab92be60937909054bdf903f717bf8115e9857185e9a6c5
template days       4     15        3000  30352c54b5ad95ea3896ae97748f17ae9058b5e52648337086d263290c647d96
users               1     0         0     1f048209b11dbace39799017dc74f7febc1da8d089557f9934627895d078e84f
sessions            1     0         0     f51d6243e5ec6ac2df2f0843a48d127cc03e2449c8d9873fec16ae752851e241
entities            8     0         0     fdb98d146a4f9aca8abe0b9364c6e90b1b781911b01a12a8909071ed47e2a8a9
catalogue versions  8     0         0     539bbbe41b0badcc84c7c5f485936e13f3d52180e2f78419ed9a2f4bf4d3bfe0
`

// oneOfEach is a reader of a store with one row in each table, in which no field is empty.
type oneOfEach struct {
	store.Reader
	rows map[string]any
}

func newOneOfEach() oneOfEach {
	o := oneOfEach{rows: map[string]any{}}
	for name, row := range map[string]any{
		tableIssuances: new(benefit.Issuance), benefit.Quotas.Title: new(benefit.Quota), benefit.Participations.Title: new(benefit.Participation),
		benefit.TemplateCounts.Title: new(benefit.TemplateCount), benefit.TemplateDays.Title: new(benefit.TemplateDay), tableUsers: new(benefit.User),
		benefit.Sessions.Title: new(benefit.Session), benefit.Entities.Title: new(benefit.Entity), benefit.EntityVersions.Title: new(benefit.Entity),
		benefit.Operations.Title: new(benefit.Operation), benefit.VoucherStates.Title: new(benefit.VoucherState),
		benefit.VoucherOperations.Title: new(benefit.VoucherOperation), benefit.OrderRedemptions.Title: new(benefit.OrderRedemption),
	} {
		fill(reflect.ValueOf(row).Elem())
		o.rows[name] = row
	}
	i := o.rows[tableIssuances].(*benefit.Issuance)
	i.Lines[0].Issued, i.Lines[0].Quantity = 1, 1 // as many as it has amounts
	return o
}

// fill gives every field a value that is not zero, every list one element.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for k := range v.NumField() {
			fill(v.Field(k))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Array:
		for k := range v.Len() {
			fill(v.Index(k))
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	default:
		number(v, 7)
	}
}

func number(v reflect.Value, n int64) {
	if v.CanInt() {
		v.SetInt(n)
	} else {
		v.SetUint(uint64(n))
	}
}

// changes calls fn for each change that can be made to a value: each number, text and flag in it, and each list longer,
// shorter and gone. It takes them back again.
func changes(path string, v reflect.Value, fn func(path string)) {
	with := func(what string, changed reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		v.Set(changed)
		fn(path + what)
		v.Set(old)
	}
	switch v.Kind() {
	case reflect.Pointer:
		changes(path, v.Elem(), fn)
		with(" nil", reflect.Zero(v.Type()))
	case reflect.Struct:
		for k := range v.NumField() {
			changes(path+"."+v.Type().Field(k).Name, v.Field(k), fn)
		}
	case reflect.Slice:
		with(" empty", reflect.Zero(v.Type()))
		longer := reflect.MakeSlice(v.Type(), v.Len()+1, v.Len()+1)
		reflect.Copy(longer, v)
		fill(longer.Index(v.Len()))
		with(" longer", longer)
		changes(path+"[0]", v.Index(0), fn)
	case reflect.Array:
		changes(path+"[last]", v.Index(v.Len()-1), fn)
	default:
		changed := reflect.New(v.Type()).Elem()
		switch v.Kind() {
		case reflect.String:
			changed.SetString("y")
		case reflect.Bool: // false
		default:
			number(changed, 6)
		}
		with("", changed)
	}
}

// Whatever is changed in a row changes what its table means, and nothing else does.
func TestEveryFieldCounts(t *testing.T) {
	o := newOneOfEach()
	before, err := ComputeChecksum(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for name, row := range o.rows {
		changes(name, reflect.ValueOf(row).Elem(), func(path string) {
			// A line cannot have issued more vouchers than it has amounts.
			if l := &o.rows[tableIssuances].(*benefit.Issuance).Lines; len(*l) > 0 {
				kept := *l
				defer func() { *l = kept }()
				*l = slices.Clone(kept)
				for k := range *l {
					if one := &(*l)[k]; one.Issued*one.Quantity > len(one.Amounts) {
						one.Amounts = append(slices.Clone(one.Amounts), make([]money.Fen, one.Issued*one.Quantity)...)
					}
				}
			}
			n++
			after, err := ComputeChecksum(t.Context(), o)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if after.Table(name).SHA256 == before.Table(name).SHA256 {
				t.Errorf("%s was changed, and the %s mean the same", path, name)
			}
			for _, other := range before.Tables {
				if other.Table != name && !(name == tableIssuances && other.Table == tableClaims) && *after.Table(other.Table) != other {
					t.Errorf("%s was changed, and that changed the %s", path, other.Table)
				}
			}
		})
	}
	if n < 150 {
		t.Errorf("%d changes were made; the rows have more fields than that", n)
	}
}

// Two rows where one would do, and rows in another order, are not the same.
func TestChecksumOfRows(t *testing.T) {
	quota := func(n int64) benefit.Quota { return benefit.Quota{Total: n} }
	seen := map[string]string{}
	for _, rows := range [][]benefit.Quota{{}, {quota(1)}, {quota(1), quota(1)}, {quota(1), quota(2)}, {quota(2), quota(1)}} {
		m, err := ComputeChecksum(t.Context(), quotasOnly{newOneOfEach(), rows})
		if err != nil {
			t.Fatal(err)
		}
		hash := m.Table(benefit.Quotas.Title).SHA256
		if other, ok := seen[hash]; ok {
			t.Errorf("%v means the same as %s", rows, other)
		}
		seen[hash] = fmt.Sprint(rows)
	}
	none, err := ComputeChecksum(t.Context(), quotasOnly{newOneOfEach(), []benefit.Quota{quota(0)}})
	if err != nil || seen[none.Table(benefit.Quotas.Title).SHA256] != "[]" {
		t.Errorf("a counter of nothing does not mean the same as none: %v", err)
	}
}

// A version that brings an entity as it was means the same as one that does not bring it.
func TestChecksumOfUnchangedEntities(t *testing.T) {
	entities := func(name string) []table.Rows {
		e, err := benefit.EntityOf(&benefit.Merchant{ID: 1, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return benefit.RowsOf(benefit.Entities.Rows(e))
	}
	of := func(second []table.Rows) *Checksum {
		st := memory.New()
		write(t, st, midnight, &benefit.Changes{Catalogue: 1, Rows: entities("one")})
		write(t, st, midnight, &benefit.Changes{Catalogue: 2, Rows: second})
		return checksumOf(t, st)
	}
	none := of(nil)
	if got := none.Differences(of(entities("one"))); len(got) > 0 {
		t.Errorf("an entity as it was: %q", got)
	}
	if got := none.Differences(of(entities("two"))); len(got) == 0 {
		t.Error("an entity in another form makes no difference")
	}
}

// A reader that fails says so, in every table.
func TestChecksumOfUnreadable(t *testing.T) {
	o := newOneOfEach()
	for name := range o.rows {
		rows := map[string]any{}
		for other, row := range o.rows {
			if other != name {
				rows[other] = row
			}
		}
		if _, err := ComputeChecksum(t.Context(), oneOfEach{rows: rows}); err == nil || !strings.Contains(err.Error(), "unreadable") {
			t.Errorf("%s cannot be read: %v", name, err)
		}
	}
}

type quotasOnly struct {
	oneOfEach
	rows []benefit.Quota
}

func (q quotasOnly) Scan(ctx context.Context, kind *table.Kind, prefix []table.Datum) iter.Seq2[*table.Row, error] {
	if kind != benefit.Quotas.Kind {
		return q.oneOfEach.Scan(ctx, kind, prefix)
	}
	return func(yield func(*table.Row, error) bool) {
		for _, one := range q.rows {
			var row table.Row
			if err := kind.Encode(one, &row); !yield(&row, err) {
				return
			}
		}
	}
}

// one iterates over a table with its one row; without one it is unreadable.
func one[V any](o oneOfEach, table string) iter.Seq2[*V, error] {
	return func(yield func(*V, error) bool) {
		if row, ok := o.rows[table]; ok {
			yield(row.(*V), nil)
			return
		}
		yield(nil, fmt.Errorf("unreadable"))
	}
}

func (o oneOfEach) AllIssuances(context.Context) iter.Seq2[*benefit.Issuance, error] {
	return one[benefit.Issuance](o, tableIssuances)
}
func (o oneOfEach) AllUsers(context.Context) iter.Seq2[*benefit.User, error] {
	return one[benefit.User](o, tableUsers)
}

// Scan iterates over the one row of a kind. A kind without one is unreadable, but for those that came later.
func (o oneOfEach) Scan(_ context.Context, kind *table.Kind, _ []table.Datum) iter.Seq2[*table.Row, error] {
	return func(yield func(*table.Row, error) bool) {
		var row table.Row
		var err error
		switch v := o.rows[kind.Title].(type) {
		case nil:
			if kind.Number > benefit.OrderRedemptions.Number {
				return
			}
			err = fmt.Errorf("unreadable")
		case *benefit.Session:
			err = kind.Encode(v, &row)
		default:
			value := reflect.ValueOf(v).Elem().Interface()
			if kind == benefit.EntityVersions.Kind {
				value = benefit.EntityVersion{Version: 1, Entity: value.(benefit.Entity)}
			}
			err = kind.Encode(value, &row)
		}
		yield(&row, err)
	}
}

func (o oneOfEach) Entities(context.Context) ([]benefit.Entity, int64, error) { return nil, 1, nil }
