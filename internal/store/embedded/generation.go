package embedded

import (
	"encoding/binary"
	"fmt"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// generation is a stretch of issuances that share a key prefix in the view's random indexes, with the filters that say what
// may be in it.
type generation struct {
	gen   int64
	share int // what it holds, in issuances; see memtable.share
	filters
	// fresh are filters of what has come since the store was opened, while those above are being made from the view in the
	// background; nil for a generation that takes nothing new.
	fresh filters
}

// filters of a generation. One that is nil says "perhaps" of everything.
type filters struct {
	claims *filter // of keys and codes, and the identifiers of new users: digests, so what is in none of them is new
	quotas *filter // and the rows of other kinds that grow
}

// newFilters makes the filters of a generation of so many issuances.
func newFilters(capacity int) filters {
	return filters{newFilter(capacity * 2), newFilter(capacity * 3 / 2)}
}

// newGeneration returns an empty one, whose filters are complete from the start.
func newGeneration(gen int64, capacity int) *generation {
	all := newFilters(capacity)
	return &generation{gen: gen, filters: all, fresh: all}
}

// resume prepares a generation that was read from the view for new rows. empty says that the whole view is.
func (g *generation) resume(capacity int, empty bool) {
	if empty {
		g.filters = newFilters(capacity)
	}
	if g.fresh = g.filters; !g.complete() {
		g.filters = filters{} // a single filter would not get the new rows, and would hide them
		g.fresh = newFilters(capacity)
	}
}

// complete reports whether the filters hold everything.
func (f *filters) complete() bool { return f.claims != nil && f.quotas != nil }

// fill completes the filters with what was read from the view.
func (g *generation) fill(read filters) {
	if g.fresh.claims != nil {
		read.claims.or(g.fresh.claims) //guard:TestFilterFilledAfterRotation
		read.quotas.or(g.fresh.quotas)
		g.fresh = read
	}
	g.filters = read
}

// The filters' hashes. Claims are hashes already; users and templates are numbers that need mixing. For other rows see
// rowHash.

func claimHash(c benefit.ClaimID) uint64 { return binary.LittleEndian.Uint64(c[:8]) }

func quotaHash(user id.ID, template benefit.TemplateID) uint64 {
	return mix(uint64(user)*0x9e3779b97f4a7c15 ^ uint64(template)*0xd1342543de82ef95)
}

func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// note adds what a record brings.
func (g *generation) note(r *record) {
	for _, c := range r.claims {
		g.fresh.claims.add(claimHash(c)) //guard:internal/sim.TestSim$ -sim.seeds=30
	}
	for _, c := range r.codes {
		g.fresh.claims.add(claimHash(c.claim)) //guard:TestFiltersOfActivities$
	}
	for _, l := range r.links {
		g.fresh.claims.add(claimHash(l.key))
	}
	for _, q := range r.quotas {
		g.fresh.quotas.add(quotaHash(q.User, q.Template))
	}
	for k := range r.rows {
		if e := &r.rows[k]; !e.local {
			g.fresh.quotas.add(rowHash(e.kind, r.rowKey(e))) //guard:TestFiltersOfActivities$
		}
	}
}

// loadGenerations reads the generations, oldest first, with the filters of those that are full. A stored filter
// that is damaged is left out, and reported: then the view itself is asked. The last generation is the one being
// filled; its filters are there only if the store was closed in order at the view's position.
func loadGenerations(conn *sqlite.Conn, at uint64, damaged func(gen int64, column string)) (all []*generation, err error) {
	var seq uint64 // of the last one's filters
	err = each(conn, "SELECT gen, issuances, seq, claims, quotas FROM generation ORDER BY gen", func(stmt *sqlite.Stmt) error {
		g := &generation{gen: stmt.ColumnInt64(0), share: stmt.ColumnInt(1)}
		stored := func(col int) *filter {
			f, err := unmarshalFilter(columnBytes(stmt, col))
			if err != nil && stmt.ColumnType(col) != sqlite.TypeNull {
				damaged(g.gen, stmt.ColumnName(col))
			}
			return f
		}
		if seq = uint64(stmt.ColumnInt64(2)); seq <= at {
			g.claims, g.quotas = stored(3), stored(4)
		}
		all = append(all, g)
		return nil
	})
	if err == nil && len(all) == 0 {
		err = ErrView
	}
	if err == nil && seq != at {
		all[len(all)-1].filters = filters{}
	}
	return all, err
}

// saveFilters keeps the filters of a generation, if it is there and they are, with the journal record up to which they are
// complete.
func saveFilters(conn *sqlite.Conn, g *generation, seq uint64) error {
	if g == nil || !g.complete() {
		return nil
	}
	return each(conn, "UPDATE generation SET seq=?, claims=?, quotas=? WHERE gen=?", nil,
		seq, g.claims.marshal(), g.quotas.marshal(), g.gen)
}

// filterSource is a table whose keys are in a filter.
type filterSource struct {
	table string
	query string // selects gen, and what is hashed
	hash  func(*sqlite.Stmt) uint64
	of    func(filters) *filter
}

var filterSources = []filterSource{
	{"claim", "SELECT gen, hash FROM claim", columnDigest, inClaims},
	{"link", "SELECT gen, hash FROM link", columnDigest, inClaims},
	{"ledger", fmt.Sprint("SELECT gen, user, template FROM ledger WHERE total<>", noCounters), func(stmt *sqlite.Stmt) uint64 {
		return quotaHash(id.ID(stmt.ColumnInt64(1)), benefit.TemplateID(stmt.ColumnInt64(2)))
	}, inQuotas},
	{"row_history", "SELECT gen, kind, key FROM row_history", func(stmt *sqlite.Stmt) uint64 {
		return rowHash(uint8(stmt.ColumnInt(1)), columnBytes(stmt, 2))
	}, inQuotas},
}

func inClaims(f filters) *filter { return f.claims }
func inQuotas(f filters) *filter { return f.quotas }

func columnDigest(stmt *sqlite.Stmt) uint64 {
	var c benefit.ClaimID
	stmt.ColumnBytes(1, c[:])
	return claimHash(c)
}

// readFilters makes a generation's filters from the view's rows.
func readFilters(conn *sqlite.Conn, gen int64, capacity int) (filters, error) {
	all := newFilters(capacity)
	for _, source := range filterSources {
		f := source.of(all)
		err := each(conn, "SELECT * FROM ("+source.query+") WHERE gen=?", func(stmt *sqlite.Stmt) error {
			f.add(source.hash(stmt))
			return nil
		}, gen)
		if err != nil {
			return filters{}, err
		}
	}
	return all, nil
}
