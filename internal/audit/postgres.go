package audit

import (
	"context"
	"fmt"

	"faquan/internal/store/postgres"
)

// PostgresReport describes what was checked besides the rows.
type PostgresReport struct {
	Rows map[string]int64 `json:"rows"` // that were compared with their columns and with what leads to them, by table
}

// Postgres audits a PostgreSQL store: in one snapshot of it, beside processes that issue, every row against its columns,
// its bucket and the rows by which it is found, and then the rows as [Store] does, by the catalogue as it was when each
// of them was written.
//
// The database keeps no journal, so a byte that was changed on its disk is found only where two rows no longer agree;
// PostgreSQL's own checksums are for the others.
func Postgres(ctx context.Context, st *postgres.Store, o Options) (*Report, error) {
	o.defaults()
	check, err := st.OpenCheck(ctx)
	if err != nil {
		return nil, err
	}
	defer check.Close()
	compared, err := check.Compare(ctx, o.MaxFindings)
	if err != nil {
		return nil, fmt.Errorf("comparing the rows: %w", err)
	}
	c := newReporter(o.MaxFindings)
	counted, err := countDatabase(ctx, check, o)
	switch {
	case err == nil:
		c = counted.reporter
	case len(compared.Faults) == 0 || ctx.Err() != nil:
		return nil, err
	default:
		c.notChecked("the sums of the rows, because some rows cannot be read: %v. Repair the database, and audit again", err)
	}
	c.notChecked("that no rows were changed consistently with each other, because a database has no journal. " +
		"Restrict who can write to the database, and enable its data checksums (pg_checksums)")
	for _, f := range compared.Faults {
		c.find(Finding{Database, f.Table + ": " + f.Row, f.Want, f.Got})
	}
	c.report.More += compared.More
	c.report.Postgres = &PostgresReport{Rows: compared.Rows}
	return c.done(), nil
}

// countDatabase counts the rows again, by the catalogue of their day.
func countDatabase(ctx context.Context, check *postgres.Check, o Options) (c *recount, err error) {
	if o.History == nil {
		if o.History, err = historyOf(ctx, check); err != nil {
			return nil, err
		}
	}
	if c, err = countAgain(ctx, check.Reader(), o); err != nil {
		return nil, err
	}
	for _, p := range c.crowded {
		c.doubt(p.template, rulePerPerson, p.finding())
	}
	return c, c.checksum(ctx)
}

// historyOf returns the versions of the catalogue, which the store keeps.
func historyOf(ctx context.Context, check *postgres.Check) (*History, error) {
	r := check.Reader()
	_, last, err := r.Entities(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	h := NewHistory()
	for v, err := range Versions(ctx, r, last) {
		if err != nil {
			return nil, err
		}
		if err := h.Add(v.Version, v.Entities); err != nil {
			return nil, err
		}
	}
	return h, nil
}
