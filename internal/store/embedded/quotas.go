package embedded

import (
	"context"
	"iter"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/table"
)

// Quotas are counted with every voucher that is issued, so they do not go the way of all other kinds, see rows.go. A quota
// is a row of the ledger, which lists the issuances of its user as well: it takes no row of its own in the view, and in
// memory it is numbers in maps by numbers, which are neither encoded nor decoded. Measured with BenchmarkQuotas: the other way
// takes 45% more processor time for all of loading, committing and flushing, and 20% more space in the view.
// TestQuotasEitherWay holds both to the same results.

// counters are what the cache and the view have of a quota: all but its key.
type counters struct {
	at              int64 // the commit that wrote it, in the order of commits; 0: there is no such quota
	total, dayTotal int64
	day             benefit.Day
}

func countersOf(q *benefit.Quota, at int64) counters {
	return counters{commitOf(at), q.Total, q.DayTotal, q.Day}
}

// row returns the quota of a key as a row; nil when there is none.
func (c counters) row(key []table.Datum) *table.Row {
	if c.at == 0 {
		return nil
	}
	return &table.Row{Key: key, Value: []table.Datum{{Int: c.total}, {Int: int64(c.day)}, {Int: c.dayTotal}}}
}

func quotaKeyOf(key []table.Datum) benefit.QuotaKey {
	return benefit.QuotaKey{User: id.ID(key[0].Int), Template: benefit.TemplateID(key[1].Int)}
}

type quotaKeys = table.KeySet[benefit.QuotaKey, benefit.Quota]

func (l *lookup) quotas(wanted *quotaKeys) error {
	for i := range wanted.Len() {
		k := wanted.TypedKey(i)
		c, err := l.quota(k)
		if err != nil {
			return err
		}
		if c.at == 0 {
			wanted.Absent(i)
		} else {
			wanted.FoundTyped(i, c.at, benefit.Quota{QuotaKey: k, Total: c.total, Day: c.day, DayTotal: c.dayTotal})
		}
	}
	return nil
}

// quota is row for a quota.
func (l *lookup) quota(k benefit.QuotaKey) (counters, error) {
	s := l.s
	s.mu.Lock()
	c, gens, known := s.quotaInMemory(k)
	s.mu.Unlock()
	if known {
		return c, nil
	}
	c, err := fromView(l, func(conn *sqlite.Conn) (counters, error) { return viewQuota(conn, gens, k) })
	if err == nil && l.keeps {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.quotas.put(k, c)
	}
	return c, err
}

// quotaInMemory is rowInMemory for a quota.
func (s *Store) quotaInMemory(k benefit.QuotaKey) (c counters, gens []int64, known bool) {
	if c, ok := s.quotas.get(k); ok {
		return c, nil, true
	}
	hash := quotaHash(k.User, k.Template)
	if gens = s.gensWith(func(g *generation) bool { return g.quotas.mayContain(hash) }); len(gens) == 0 {
		return c, nil, true
	}
	c, known = inMemtables(s, func(o *memtable) (counters, bool) { return o.quota(k) })
	return c, gens, known
}

func viewQuota(conn *sqlite.Conn, gens []int64, k benefit.QuotaKey) (c counters, err error) {
	//guard:TestQuotasEitherWay " AND total>=0" -> ""
	const query = "SELECT at, total, day, day_total FROM ledger WHERE gen=? AND user=? AND template=? AND total>=0"
	_, err = newestIn(conn, query, gens, func(stmt *sqlite.Stmt) {
		stmt.BindInt64(2, int64(k.User))
		stmt.BindInt64(3, int64(k.Template))
	}, func(stmt *sqlite.Stmt) {
		c = counters{commitOf(stmt.ColumnInt64(0)), stmt.ColumnInt64(1), stmt.ColumnInt64(3), benefit.Day(stmt.ColumnInt(2))}
	})
	return c, err
}

// scanQuotas is Scan for quotas.
func (r *reader) scanQuotas(ctx context.Context, prefix []table.Datum) iter.Seq2[*table.Row, error] {
	where, args := "total>=0", []any{} //guard:TestQuotasEitherWay "total>=0" -> "1"
	if len(prefix) > 0 {               // else the generations would only keep the database from reading the table as it lies
		where += " AND gen IN (SELECT gen FROM generation)"
	}
	for k, d := range prefix {
		where, args = where+" AND "+[]string{"user", "template"}[k]+"=?", append(args, d.Int)
	}
	// With a lone max() SQLite takes the bare columns from the row that holds the maximum.
	query := "SELECT user, template, total, day, day_total, max(at) FROM ledger WHERE " + where + " GROUP BY user, template ORDER BY user, template"
	columns := make([]table.Datum, 5)
	row := &table.Row{Key: columns[:2:2], Value: columns[2:]}
	return queryRows(ctx, r.conn, query, args, func(stmt *sqlite.Stmt) (*table.Row, error) {
		for k := range columns {
			columns[k].Int = stmt.ColumnInt64(k)
		}
		return row, nil
	})
}
