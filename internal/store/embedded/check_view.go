package embedded

import (
	"context"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// sumView adds up what the view says, and looks at how its generations lie.
func (x *comparison) sumView(ctx context.Context) error {
	gens, err := x.loadGens()
	if err := x.broken("generation", err); err != nil {
		return err
	}
	check := &genCheck{x: x, all: map[int64]*checkedGen{}}
	for _, g := range gens {
		check.all[g.gen] = g
	}
	if err := x.viewRows(ctx, x.take(&x.view), check); err != nil {
		return err
	}
	check.order(gens)
	for t := range tableCount {
		x.report.Rows[t.String()] = x.view.rows[t]
	}
	return nil
}

// checkedGen is a generation of the view as a store that opens it would use it.
type checkedGen struct {
	gen            int64
	claims, quotas *filter // nil: the view itself is asked
	first, last    uint64  // journal records of its ledger; 0: none yet
}

// loadGens reads the generations. Filters that a store would not use count for nothing.
func (x *comparison) loadGens() (all []*checkedGen, err error) {
	err = sqlitex.Execute(x.c.view.conn, "SELECT gen, seq, claims, quotas FROM generation ORDER BY gen", &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error {
			g := &checkedGen{gen: stmt.ColumnInt64(0)}
			all = append(all, g)
			if uint64(stmt.ColumnInt64(1)) <= x.c.at.seq {
				g.claims, g.quotas = x.storedFilter(stmt, g.gen, 2), x.storedFilter(stmt, g.gen, 3)
			}
			return nil
		}})
	if err != nil || len(all) == 0 {
		return all, err
	}
	last := all[len(all)-1]
	seq, err := textOf(x.c.view.conn, fmt.Sprint("SELECT seq FROM generation WHERE gen=", last.gen))
	if seq != fmt.Sprint(x.c.at.seq) {
		last.claims, last.quotas = nil, nil
	}
	return all, err
}

func (x *comparison) storedFilter(stmt *sqlite.Stmt, gen int64, col int) *filter {
	if stmt.ColumnType(col) == sqlite.TypeNull {
		return nil
	}
	f, err := unmarshalFilter(columnBytes(stmt, col))
	if err != nil {
		x.fault(Fault{"generation", fmt.Sprintf("generation %d, %s", gen, stmt.ColumnName(col)), "an intact filter", err.Error()})
		return nil
	}
	return f
}

// genCheck holds rows to what every look-up by key relies on: the generation of the key is in the list, its filters
// do not hide the key, and a later generation holds later commits.
type genCheck struct {
	x   *comparison
	all map[int64]*checkedGen
}

// of returns the generation of a row; nil when it is not in the list.
func (g *genCheck) of(t table, gen int64) *checkedGen {
	found, listed := g.all[gen]
	if !listed {
		g.x.fault(Fault{t.String(), fmt.Sprint("generation ", gen), "a listed generation", "one that no look-up reads"})
		g.all[gen] = nil // once is enough
	}
	return found
}

func (g *genCheck) claim(gen int64, claim benefit.ClaimID, i id.ID) {
	if g == nil {
		return
	}
	if of := g.of(claimTable, gen); of != nil && of.claims != nil && !of.claims.mayContain(claimHash(claim)) {
		g.hidden(claimTable, gen, rowName(claimTable, numbers(claim[:], int64(i)), nil))
	}
}

// link looks for an identifier in the filter that holds claims. An identifier that no user has any more may be hidden.
func (g *genCheck) link(gen int64, key []byte, user id.ID) {
	if g == nil || len(key) != len(linkKey{}) || g.x.journal.latest[string(g.x.rowKey(linkTable, key))] == removedLinkRow {
		return
	}
	if of := g.of(linkTable, gen); of != nil && of.claims != nil && !of.claims.mayContain(claimHash(linkKey(key))) {
		g.hidden(linkTable, gen, rowName(linkTable, key, numbers(nil, int64(user))))
	}
}

func (g *genCheck) ledger(gen int64, r *ledgerRow) {
	if g == nil {
		return
	}
	of := g.of(ledgerTable, gen)
	if of == nil {
		return
	}
	if of.first == 0 {
		of.first = seqOf(r.at)
	}
	of.first, of.last = min(of.first, seqOf(r.at)), max(of.last, seqOf(r.at))
	if r.Total != noCounters && of.quotas != nil && !of.quotas.mayContain(quotaHash(r.User, r.Template)) {
		g.hidden(ledgerTable, gen, fmt.Sprintf("user %d, template %d", r.User, r.Template))
	}
}

func (g *genCheck) participation(gen int64, k benefit.ParticipationKey) {
	if g == nil {
		return
	}
	if of := g.of(participationTable, gen); of != nil && of.quotas != nil && !of.quotas.mayContain(participationHash(k)) {
		g.hidden(participationTable, gen, fmt.Sprintf("user %d, activity %d", k.User, k.Activity))
	}
}

func (g *genCheck) hidden(t table, gen int64, name string) {
	g.x.fault(Fault{"generation", fmt.Sprintf("generation %d, %s", gen, name), "a filter that contains it", "one that hides it from " + t.String()})
}

// order looks for commits that lie in an older generation than earlier ones: the newest generation with counters
// of a user is taken to hold the newest.
func (g *genCheck) order(gens []*checkedGen) {
	var before *checkedGen
	for _, one := range gens {
		if one.first == 0 {
			continue
		}
		if before != nil && before.last >= one.first {
			g.x.fault(Fault{"ledger", fmt.Sprintf("generations %d and %d", before.gen, one.gen), "journal records that follow one another",
				fmt.Sprintf("record %d in the first and %d in the second", before.last, one.first)})
		}
		before = one
	}
}

// viewTable describes how the rows of a table are read.
type viewTable struct {
	table table
	query string
	types string // of the columns: i integer, b blob, t text or null
	row   func(stmt *sqlite.Stmt, emit rowFunc, gens *genCheck)
}

// viewRows makes the rows of the view from its tables. gens is nil when generations are not looked at. A table
// that cannot be read to its end is a fault, and is not compared.
func (x *comparison) viewRows(ctx context.Context, emit rowFunc, gens *genCheck) error {
	for _, t := range []viewTable{
		{issuanceTable, "SELECT id, body FROM issuance", "ib", x.readBodies(issuanceTable)},
		{claimTable, "SELECT gen, hash, id FROM claim", "ibi", readClaim},
		{ledgerTable, "SELECT gen, user, template, at, issuance, total, day, day_total FROM ledger", "iiiiiiii", readLedger},
		{listTable, "SELECT template, last, first, ids FROM template_block", "iiib", x.readBlock},
		{countTable, "SELECT template, count, amount FROM template_count", "iii", readCount},
		{dayTable, "SELECT template, day, count, amount FROM template_day", "iiii", readDay},
		{userTable, "SELECT id, name, person, body FROM user", "ittb", readUser},
		{linkTable, "SELECT hash, user, plain, gen FROM link", "biii", readLink},
		{sessionTable, "SELECT digest, body FROM session", "bb", readSession},
		{entityTable, "SELECT kind, id, body FROM entity", "iib", readEntity},
		{traceTable, "SELECT gen, hash, id FROM trace", "iii", readTrace},
		{participationTable, "SELECT gen, user, activity, at, body FROM participation", "iiiib", readParticipation},
		{versionTable, "SELECT version, kind, id, body FROM entity_version", "iiib", readVersion},
	} {
		err := sqlitex.ExecuteTransient(x.c.view.conn, t.query, &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
			if hasColumnTypes(stmt, t.types) {
				t.row(stmt, emit, gens)
			} else {
				t.row(stmt, isUncanonical(emit), gens)
			}
			return nil
		}})
		if err != nil && damaged(err) {
			x.unreadable[t.table] = true
		}
		if err := x.broken(t.table.String(), err); err != nil {
			return fmt.Errorf("reading %s: %w", t.table, err)
		}
	}
	return ctx.Err()
}

// hasColumnTypes reports whether the columns of a row have the right types. SQLite keeps whatever a column was given: a
// digest that became a text of the same bytes is another key.
func hasColumnTypes(stmt *sqlite.Stmt, types string) bool {
	for col := range types {
		switch got := stmt.ColumnType(col); types[col] {
		case 'i':
			if got != sqlite.TypeInteger {
				return false
			}
		case 'b':
			if got != sqlite.TypeBlob {
				return false
			}
		case 't':
			if got != sqlite.TypeNull && (got != sqlite.TypeText || stmt.ColumnLen(col) == 0) {
				return false
			}
		}
	}
	return true
}

// isUncanonical makes rows unlike those of the journal, whatever they say.
func isUncanonical(emit rowFunc) rowFunc {
	return func(t table, key, content []byte) { emit(t, key, append(slices.Clone(content), uncanonical...)) }
}

// uncanonical marks the content of a row whose columns have other types.
const uncanonical = " in another form"

// readBodies reads rows that are a number and a body, into one buffer.
func (x *comparison) readBodies(t table) func(*sqlite.Stmt, rowFunc, *genCheck) {
	var body []byte
	return func(stmt *sqlite.Stmt, emit rowFunc, _ *genCheck) {
		body = slices.Grow(body[:0], stmt.ColumnLen(1))[:stmt.ColumnLen(1)]
		stmt.ColumnBytes(1, body)
		var key [8]byte
		emit(t, numbers(key[:0], stmt.ColumnInt64(0)), body)
	}
}

func readClaim(stmt *sqlite.Stmt, emit rowFunc, gens *genCheck) {
	var claim benefit.ClaimID
	if n := stmt.ColumnLen(1); n != len(claim) {
		claimRow(emit, columnBytes(stmt, 1), id.ID(stmt.ColumnInt64(2)))
		return
	}
	stmt.ColumnBytes(1, claim[:])
	gens.claim(stmt.ColumnInt64(0), claim, id.ID(stmt.ColumnInt64(2)))
	claimRow(emit, claim[:], id.ID(stmt.ColumnInt64(2)))
}

func readLedger(stmt *sqlite.Stmt, emit rowFunc, gens *genCheck) {
	r := ledgerRow{at: stmt.ColumnInt64(3)}
	r.User, r.Template, r.Total = id.ID(stmt.ColumnInt64(1)), benefit.TemplateID(stmt.ColumnInt64(2)), stmt.ColumnInt64(5)
	gens.ledger(stmt.ColumnInt64(0), &r)
	emit(ledgerTable, columns(stmt, 1, 2, 3), columns(stmt, 4, 5, 6, 7))
}

// columns packs columns as they are: types narrower than theirs would lose what a flipped bit has added.
func columns(stmt *sqlite.Stmt, all ...int) []byte {
	b := make([]byte, 0, 32)
	for _, col := range all {
		b = numbers(b, stmt.ColumnInt64(col))
	}
	return b
}

// readBlock takes a row of a template's list apart: how ids are packed together depends on when they were written.
func (x *comparison) readBlock(stmt *sqlite.Stmt, emit rowFunc, gens *genCheck) {
	t, last, first := benefit.TemplateID(stmt.ColumnInt64(0)), id.ID(stmt.ColumnInt64(1)), id.ID(stmt.ColumnInt64(2))
	packed := columnBytes(stmt, 3)
	ids := unpackIDs(packed)
	if gens != nil && (len(packed)%8 != 0 || len(ids) == 0 || !slices.IsSorted(ids) || ids[0] != first || ids[len(ids)-1] != last) {
		x.fault(Fault{listTable.String(), fmt.Sprintf("template %d, the ids %d to %d", t, first, last), "ids in order, between these", "others"})
	}
	for _, i := range ids {
		listRow(emit, t, i)
	}
}

func readCount(stmt *sqlite.Stmt, emit rowFunc, _ *genCheck) {
	emit(countTable, columns(stmt, 0), columns(stmt, 1, 2))
}

func readDay(stmt *sqlite.Stmt, emit rowFunc, _ *genCheck) {
	emit(dayTable, columns(stmt, 0, 1), columns(stmt, 2, 3))
}

func readUser(stmt *sqlite.Stmt, emit rowFunc, _ *genCheck) {
	userRow(emit, id.ID(stmt.ColumnInt64(0)), stmt.ColumnText(1), stmt.ColumnText(2), columnBytes(stmt, 3))
}

func readLink(stmt *sqlite.Stmt, emit rowFunc, gens *genCheck) {
	key := columnBytes(stmt, 0)
	gens.link(stmt.ColumnInt64(3), key, id.ID(stmt.ColumnInt64(1)))
	emit(linkTable, key, columns(stmt, 1, 2))
}

func readSession(stmt *sqlite.Stmt, emit rowFunc, _ *genCheck) {
	emit(sessionTable, columnBytes(stmt, 0), columnBytes(stmt, 1))
}

func readEntity(stmt *sqlite.Stmt, emit rowFunc, _ *genCheck) {
	emit(entityTable, columns(stmt, 0, 1), columnBytes(stmt, 2))
}

func readTrace(stmt *sqlite.Stmt, emit rowFunc, gens *genCheck) {
	if gens != nil {
		gens.of(traceTable, stmt.ColumnInt64(0))
	}
	traceRowOf(emit, stmt.ColumnInt64(1), id.ID(stmt.ColumnInt64(2)))
}

func readParticipation(stmt *sqlite.Stmt, emit rowFunc, gens *genCheck) {
	k := benefit.ParticipationKey{User: id.ID(stmt.ColumnInt64(1)), Activity: benefit.ActivityID(stmt.ColumnInt64(2))}
	gens.participation(stmt.ColumnInt64(0), k)
	participationRow(emit, k, stmt.ColumnInt64(3), columnBytes(stmt, 4))
}

func readVersion(stmt *sqlite.Stmt, emit rowFunc, _ *genCheck) {
	emit(versionTable, columns(stmt, 0, 1, 2), columnBytes(stmt, 3))
}
