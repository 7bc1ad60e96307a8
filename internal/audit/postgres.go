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
	if o.History == nil {
		o.History, err = historyOf(ctx, check.Reader())
	}
	if err == nil {
		err = countAgain(ctx, c, check.Reader(), o, nil)
	}
	if err != nil {
		if len(compared.Faults) == 0 || ctx.Err() != nil {
			return nil, err
		}
		c = newReporter(o.MaxFindings) // what was counted is incomplete
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
