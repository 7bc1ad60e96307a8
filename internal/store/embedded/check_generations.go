package embedded

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"zombiezen.com/go/sqlite"
)

// genCheck holds the rows of a table to what every look-up by key relies on: the generation of a row is in the list, and
// a later generation holds later commits. That filters do not hide a key is checked in filters.
type genCheck struct {
	x       *comparison
	t       *viewTable
	at      int                 // the column with the place in the order of commits, or -1
	commits map[int64][2]uint64 // by generation: the first and the last journal record, 0 where rows have none
	claim   []byte              // the last claim, and its generation
	gen     int64
}

func (x *comparison) newGenCheck(t *viewTable) *genCheck {
	return &genCheck{x: x, t: t, at: t.column("at"), commits: map[int64][2]uint64{}}
}

// row takes a row; again: the one before has the same key. Only a row that is nothing but its key may be in two
// generations: the claim of an issuance that was continued.
func (g *genCheck) row(r row, again bool) {
	if !g.t.gen {
		return
	}
	gen := r[len(g.t.columns)].n
	span, known := g.commits[gen]
	if g.at >= 0 {
		seq := seqOf(r[g.at].n)
		if !known || seq < span[0] {
			span[0] = seq
		}
		span[1] = max(span[1], seq)
	}
	g.commits[gen] = span
	if again && g.t.key < len(g.t.columns) { //guard:internal/audit.TestDamagedView
		g.x.fault(Fault{g.t.name, g.t.rowName(r), "one row", "a row in each of two generations"})
	}
	if g.t.name == "claim" {
		if gen < g.gen && bytes.Equal(r[0].b, g.claim) { //guard:internal/audit.TestDamagedView
			want := fmt.Sprintf("generation %d or later, which has an older issuance", g.gen)
			g.x.fault(Fault{g.t.name, g.t.rowName(r), want, fmt.Sprint("generation ", gen)})
		}
		g.claim, g.gen = append(g.claim[:0], r[0].b...), gen
	}
}

// end reports generations that are not in the list, and commits that are in an older generation than earlier ones.
func (g *genCheck) end() {
	last := int64(-1)
	for _, gen := range slices.Sorted(maps.Keys(g.commits)) {
		if !slices.Contains(g.x.c.view.gens, gen) { //guard:internal/audit.TestDamagedView
			g.x.fault(Fault{g.t.name, fmt.Sprint("generation ", gen), "a listed generation", "one that no look-up reads"})
			continue
		}
		if last >= 0 && g.at >= 0 && g.commits[last][1] >= g.commits[gen][0] { //guard:internal/audit.TestDamagedView
			g.x.fault(Fault{g.t.name, fmt.Sprintf("generations %d and %d", last, gen), "journal records that follow one another",
				fmt.Sprintf("record %d in the first and %d in the second", g.commits[last][1], g.commits[gen][0])})
		}
		last = gen
	}
}

// filters looks for keys of the view that its stored filters hide, as a store that opens the view would use them.
func (x *comparison) filters() error {
	gens, err := loadGenerations(x.view, x.c.at.seq, func(gen int64, column string) {
		x.fault(Fault{"generation", fmt.Sprintf("generation %d, %s", gen, column), "an intact filter", errFilter.Error()})
	})
	if err != nil {
		return x.broken("generation", err)
	}
	byGen := map[int64]*generation{}
	for _, g := range gens {
		byGen[g.gen] = g
	}
	for _, source := range filterSources {
		err := each(x.view, source.query, func(stmt *sqlite.Stmt) error {
			g := byGen[stmt.ColumnInt64(0)]
			if g == nil { // which was reported with the table
				return nil
			}
			//guard:internal/audit.TestDamagedView source.of(g.filters).mayContain(source.hash(stmt)) -> true
			if source.of(g.filters).mayContain(source.hash(stmt)) || source.table == "link" && x.formerIdentifier(columnBytes(stmt, 1)) {
				return nil
			}
			hidden := fmt.Sprintf("generation %d, %s %s", g.gen, source.table, keyOf(stmt))
			x.fault(Fault{"generation", hidden, "a filter that contains it", "one that hides it"})
			return nil
		})
		if err := x.broken(source.table, err); err != nil {
			return err
		}
	}
	return nil
}

// keyOf names a row by the columns that are hashed.
func keyOf(stmt *sqlite.Stmt) string {
	t, r := &viewTable{}, row{}
	for col := 1; col < stmt.ColumnCount(); col++ {
		var v value
		v.read(stmt, col)
		t.columns, r = append(t.columns, stmt.ColumnName(col)), append(r, v)
	}
	t.key = len(r)
	return t.rowName(r)
}
