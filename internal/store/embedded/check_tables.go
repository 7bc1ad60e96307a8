package embedded

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/codec"
	"faquan/internal/table"
)

// viewTable is a table of the view as SQLite describes it. No table is known here in advance, but for the few that are named
// below.
type viewTable struct {
	name     string
	declared string   // what it is, and its columns, in words
	columns  []string // without gen: those of the primary key, in its order, and then the others; none of an index
	key      int      // how many of the columns are the key
	gen      bool     // rows have a generation
	genFirst bool     // the primary key begins with it
}

// tables compares the schemas, and then the rows of every table.
func (x *comparison) tables() error {
	want, err := schemaOf(x.rebuilt)
	if err != nil {
		return err
	}
	got, err := schemaOf(x.view)
	if err != nil {
		return x.broken("sqlite_schema", err)
	}
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t := want[name]
		switch {
		case t.declared != got[name].declared: //guard:internal/audit.TestDamagedView
			x.fault(Fault{name, "columns", cmp.Or(t.declared, "none"), cmp.Or(got[name].declared, "none")})
			continue
		case name == "generation" || t.key == 0:
			continue
		case name == blocksTable:
			t.columns, t.key = []string{"template", "issuance"}, 2
		}
		if err := x.table(&t); err != nil {
			return fmt.Errorf("comparing %s: %w", name, err)
		}
	}
	return nil
}

// schemaOf describes the tables and indexes of a view. All tables have a primary key.
func schemaOf(conn *sqlite.Conn) (map[string]viewTable, error) {
	all := map[string]viewTable{}
	const query = `SELECT s.name, c.name, c.pk, concat_ws(' ', c.name, c.type, c."notnull", c.pk), s.type FROM sqlite_schema s
		LEFT JOIN pragma_table_info(s.name) c ON s.type='table' ORDER BY s.name, c.pk=0, c.pk, c.cid`
	err := each(conn, query, func(stmt *sqlite.Stmt) error {
		name, column, pk := stmt.ColumnText(0), stmt.ColumnText(1), stmt.ColumnInt(2)
		t := all[name]
		t.name, t.declared = name, cmp.Or(t.declared, stmt.ColumnText(4)+":")+" "+stmt.ColumnText(3)
		switch {
		case column == "gen":
			t.gen, t.genFirst = true, pk == 1
		case column != "":
			t.columns, t.key = append(t.columns, column), t.key+min(pk, 1)
		}
		all[name] = t
		return nil
	})
	return all, err
}

// value is what a column of a row has. Its type counts: SQLite keeps whatever a column was given, and a digest that
// became a text of the same bytes is another key.
type value struct {
	kind sqlite.ColumnType
	n    int64
	b    []byte
}

func (v *value) read(stmt *sqlite.Stmt, col int) {
	v.kind, v.n, v.b = stmt.ColumnType(col), 0, v.b[:0]
	switch v.kind {
	case sqlite.TypeNull:
	case sqlite.TypeInteger:
		v.n = stmt.ColumnInt64(col)
	default: // a float as text: no column has one
		n := stmt.ColumnLen(col)
		v.b = slices.Grow(v.b, n)[:n]
		stmt.ColumnBytes(col, v.b)
	}
}

// compareValues orders values as SQLite does: null, numbers, texts, blobs.
func compareValues(a, b value) int {
	if a.kind != b.kind { //guard:internal/audit.TestDamagedView
		return cmp.Compare(a.kind%sqlite.TypeNull, b.kind%sqlite.TypeNull)
	}
	if a.n != b.n {
		return cmp.Compare(a.n, b.n)
	}
	return bytes.Compare(a.b, b.b)
}

// row has the values of a table's columns, and of its generation last if it has one.
type row []value

// compareKeys orders rows by their keys, and a row that is not there after all others.
func (t *viewTable) compareKeys(a, b row) int {
	if a == nil || b == nil {
		return cmp.Compare(len(b), len(a))
	}
	for k := range t.key {
		if c := compareValues(a[k], b[k]); c != 0 {
			return c
		}
	}
	return 0
}

// table compares two tables, row by row.
func (x *comparison) table(t *viewTable) error {
	check := x.newGenCheck(t)
	nextWant, closeWant := iter.Pull2(x.rows(t, x.rebuilt, func(row, bool) {}))
	defer closeWant()
	nextGot, closeGot := iter.Pull2(x.rows(t, x.view, func(r row, again bool) {
		x.report.Rows[t.name]++
		check.row(r, again)
	}))
	defer closeGot()
	var want, got row
	var err error
	for order := 0; ; {
		if order <= 0 {
			if want, err, _ = nextWant(); err != nil {
				return err
			}
		}
		if order >= 0 {
			if got, err, _ = nextGot(); err != nil {
				return x.broken(t.name, err)
			}
		}
		if want == nil && got == nil {
			check.end()
			return nil
		}
		order = t.compareKeys(want, got)
		switch {
		case order < 0:
			x.differ(t, want, nil)
		case order > 0:
			x.differ(t, nil, got)
		case !slices.EqualFunc(want[t.key:len(t.columns)], got[t.key:len(t.columns)], equalValues):
			x.differ(t, want, got)
		}
	}
}

func equalValues(a, b value) bool { return compareValues(a, b) == 0 }

// rows iterates over the rows of a table in the order of the key, without those that have the key of the row before. seen is
// called for every row. A row is valid until the next one.
func (x *comparison) rows(t *viewTable, conn *sqlite.Conn, seen func(r row, again bool)) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		var last row
		into, spare := make(row, len(t.columns)+1), make(row, len(t.columns)+1)
		read := func() error { // what into has
			again := last != nil && t.compareKeys(into, last) == 0
			if seen(into, again); again {
				return nil
			}
			last, into, spare = into, spare, into
			if !yield(last, nil) {
				return errEnough
			}
			return nil
		}
		query, err := t.query(conn)
		switch {
		case err != nil:
		case t.name == blocksTable:
			err = x.listedIDs(conn, query, func(template int64, i id.ID) error {
				into[0], into[1] = value{kind: sqlite.TypeInteger, n: template}, value{kind: sqlite.TypeInteger, n: int64(i)}
				return read()
			})
		default:
			err = each(conn, query, func(stmt *sqlite.Stmt) error {
				for col := range stmt.ColumnCount() {
					into[col].read(stmt, col)
				}
				return read()
			})
		}
		if err != nil && err != errEnough {
			yield(nil, err)
		}
	}
}

// maxGens is how many generations one query merges; SQLite takes up to 500 parts. Where there are more, it sorts.
const maxGens = 400

// query selects the rows of a table in the order of the key. A generation is in this order already, so SQLite only
// merges them.
func (t *viewTable) query(conn *sqlite.Conn) (string, error) {
	if t.name == blocksTable {
		return "SELECT template, first, last, ids FROM template_block ORDER BY template, first", nil
	}
	columns := `"` + strings.Join(t.columns, `", "`) + `"`
	order := " ORDER BY 1"
	for k := 2; k <= t.key; k++ {
		order += fmt.Sprint(", ", k)
	}
	if !t.gen {
		return "SELECT " + columns + " FROM " + t.name + order, nil
	}
	all := "SELECT " + columns + ", gen FROM " + t.name
	if !t.genFirst {
		return all + order, nil
	}
	order += fmt.Sprint(", ", len(t.columns)+1)
	var parts []string
	err := each(conn, strings.ReplaceAll(`WITH RECURSIVE g(gen) AS (
		SELECT min(gen) FROM T UNION ALL SELECT (SELECT min(gen) FROM T WHERE gen>g.gen) FROM g WHERE gen IS NOT NULL)
		SELECT quote(gen) FROM g WHERE gen IS NOT NULL`, "FROM T", "FROM "+t.name), func(stmt *sqlite.Stmt) error {
		parts = append(parts, all+" WHERE gen="+stmt.ColumnText(0))
		return nil
	})
	if len(parts) == 0 || len(parts) > maxGens {
		return all + order, err
	}
	return strings.Join(parts, " UNION ALL ") + order, err
}

// blocksTable packs the ids of a template's list into rows. They are compared one by one, because how they are packed
// together depends on when they were written.
const blocksTable = "template_block"

// listedIDs calls read with the ids of the lists in order. The blocks come by their first ids, and may overlap.
func (x *comparison) listedIDs(conn *sqlite.Conn, query string, read func(template int64, i id.ID) error) error {
	var template int64
	var open [][]id.ID // what is left of the blocks that were begun
	readWhile := func(before func(id.ID) bool) error {
		for len(open) > 0 {
			lowest := 0
			for k, ids := range open {
				if ids[0] < open[lowest][0] {
					lowest = k
				}
			}
			i := open[lowest][0]
			if !before(i) {
				return nil
			}
			if err := read(template, i); err != nil {
				return err
			}
			if open[lowest] = open[lowest][1:]; len(open[lowest]) == 0 {
				open = slices.Delete(open, lowest, lowest+1)
			}
		}
		return nil
	}
	err := each(conn, query, func(stmt *sqlite.Stmt) error {
		next, ids := stmt.ColumnInt64(0), x.block(stmt)
		if len(ids) == 0 {
			return nil
		}
		err := readWhile(func(i id.ID) bool { return next != template || i < ids[0] })
		template, open = next, append(open, ids)
		return err
	})
	if err != nil {
		return err
	}
	return readWhile(func(id.ID) bool { return true })
}

// block reads a block, and reports one that is not as it should be.
func (x *comparison) block(stmt *sqlite.Stmt) []id.ID {
	types := [...]sqlite.ColumnType{stmt.ColumnType(0), stmt.ColumnType(1), stmt.ColumnType(2), stmt.ColumnType(3)}
	first, last, packed := id.ID(stmt.ColumnInt64(1)), id.ID(stmt.ColumnInt64(2)), columnBytes(stmt, 3)
	ids := unpackIDs(packed)
	if n := len(ids); types != blockTypes || len(packed)%8 != 0 || n == 0 || !slices.IsSorted(ids) || ids[0] != first || ids[n-1] != last {
		row := fmt.Sprintf("template %d, the ids %d to %d", stmt.ColumnInt64(0), first, last)
		x.fault(Fault{blocksTable, row, "ids in order, between these", "others"})
	}
	return ids
}

var blockTypes = [...]sqlite.ColumnType{sqlite.TypeInteger, sqlite.TypeInteger, sqlite.TypeInteger, sqlite.TypeBlob}

// differ reports a row that is not the same in both views; nil: it is not there.
func (x *comparison) differ(t *viewTable, want, got row) {
	if t.name == "link" && (got == nil || got[t.column("plain")].n == 0) && want != nil && x.formerIdentifier(want[0].b) { //guard:TestCompareLostIdentifier
		return
	}
	f := Fault{Table: t.name, Want: "no such row", Got: "no such row"}
	if want != nil {
		f.Row, f.Want = t.rowName(want), x.contents(t, want, got)
	}
	if got != nil {
		f.Row, f.Got = t.rowName(got), x.contents(t, got, want)
	}
	x.fault(f)
}

func (t *viewTable) column(name string) int { return slices.Index(t.columns, name) }

// formerIdentifier reports whether an identifier once named a user, and no longer does. There may be a row for it or none, as
// long as the row has the user asked.
func (x *comparison) formerIdentifier(hash []byte) bool {
	if len(hash) != len(linkKey{}) {
		return false
	}
	k := linkKey(hash)
	l, err := viewLink(x.rebuilt, k)
	if err != nil || l.user == 0 || l.plain {
		return false
	}
	u, err := viewUser(x.rebuilt, l.user)
	return err == nil && u != nil && !slices.ContainsFunc(u.Identifiers, func(i benefit.Identifier) bool { return codec.IdentifierHash(i) == k })
}

// rowName names a row by its key. Digests of keys and identifiers are cut, so that they cannot be searched for.
func (t *viewTable) rowName(r row) string {
	var parts []string
	from := 0
	if t.columns[0] == "kind" && t.columns[1] == "key" { // as the kind describes it, if that can be read
		if kind := table.ByNumber(uint8(r[0].n)); kind != nil && int64(kind.Number) == r[0].n {
			if key, err := kind.ParseKey(r[1].b, nil); err == nil {
				parts, from = append(parts, kind.Name, kind.RowName(key)), 2
			}
		}
	}
	for k := from; k < t.key; k++ {
		v := r[k]
		text := fmt.Sprint(t.columns[k], " ", v.n)
		switch {
		case v.kind != sqlite.TypeInteger:
			text = fmt.Sprintf("%s %x…", t.columns[k], v.b[:min(4, len(v.b))])
		case t.columns[k] == "hash":
			text = fmt.Sprintf("hash %x…", uint64(v.n)>>32)
		case t.columns[k] == "at":
			text = fmt.Sprint("journal record ", seqOf(v.n))
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// contents shows what a row has in the columns in which it differs from another, numbers as they are. Texts and bodies
// may be secret: of these there is a checksum, which is of use within one report only.
func (x *comparison) contents(t *viewTable, r, other row) string {
	var parts []string
	for k, name := range t.columns[t.key:] {
		v := r[t.key+k]
		switch {
		case other != nil && equalValues(v, other[t.key+k]):
		case v.kind == sqlite.TypeInteger:
			parts = append(parts, fmt.Sprint(name, " ", v.n))
		default:
			parts = append(parts, fmt.Sprintf("%s %v of %d bytes with checksum %x", name, v.kind, len(v.b), maphash.Bytes(x.seed, v.b)))
		}
	}
	if len(parts) == 0 {
		return "a row"
	}
	return strings.Join(parts, ", ")
}
