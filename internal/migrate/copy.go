package migrate

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/table"
)

// fill copies what the target does not have yet, and then what bounds both.
func (m *move) fill(ctx context.Context) error {
	tables, err := m.tables(ctx)
	if err != nil {
		return err
	}
	step, rows := m.to.Progress()
	for k, t := range tables {
		m.total += t.rows
		if k < step {
			m.done += t.rows
		} else if k == step {
			m.done += rows
		}
	}
	m.result.Resumed = m.done
	for k := step; k < len(tables); k++ {
		if err := tables[k].copy(k); err != nil {
			return err
		}
	}
	m.reportProgress("setting the clock and the latest id")
	if err := m.to.Bound(ctx, m.now, m.from.LastIDMillis()); err != nil {
		return fmt.Errorf("setting the clock and the latest id: %w", err)
	}
	if m.o.Proof != nil {
		if err := m.to.Store().CheckKey(ctx, m.o.Proof); err != nil {
			return err
		}
	}
	return m.to.Analyze(ctx)
}

// tableCopy is a table of the source, a step of the copying. The order of the steps is kept in half-filled targets.
type tableCopy struct {
	name string
	rows int64
	copy func(step int) error
}

func (m *move) tables(ctx context.Context) ([]tableCopy, error) {
	all := []tableCopy{
		copyPhase(ctx, m, "users", m.r.AllUsers(ctx), func(c *benefit.Changes, u *benefit.User) (int, error) {
			c.Users = append(c.Users, u)
			return 1, nil
		}),
		copyPhase(ctx, m, "issuances", m.r.AllIssuances(ctx), func(c *benefit.Changes, i *benefit.Issuance) (int, error) {
			c.Issuances = append(c.Issuances, i)
			return max(len(i.ClaimKeys()), 1+i.Size()/16), nil
		}),
	}
	for _, kind := range table.Kinds() {
		switch {
		case kind == benefit.Entities.Kind: // each version is a commit, as it was
			all = append(all, copyPhase(ctx, m, benefit.EntityVersions.Title, audit.Versions(ctx, m.r, m.result.Source.Checksum.Version),
				func(c *benefit.Changes, v audit.VersionChange) (int, error) {
					c.Catalogue, c.Rows = v.Version, benefit.RowsOf(benefit.Entities.Rows(v.Entities...))
					return m.o.piece, nil
				}))
		case !kind.Derived:
			all = append(all, copyPhase(ctx, m, kind.Title, m.r.Scan(ctx, kind, nil), func(c *benefit.Changes, row *table.Row) (int, error) {
				if len(c.Rows) == 0 {
					c.Rows = []table.Rows{kind.Builder()}
				}
				return 1, c.Rows[0].(table.Builder).Add(row)
			}))
		}
	}
	for k := range all {
		if all[k].name == benefit.EntityVersions.Title { // its rows are entities
			all[k].rows = m.result.Source.Checksum.Version
		} else if counted := m.result.Source.Checksum.Table(all[k].name); counted != nil {
			all[k].rows = counted.Rows
		}
	}
	for _, kind := range table.Kinds() {
		k := slices.IndexFunc(all, func(t tableCopy) bool { return t.name == kind.Title })
		if k < 0 {
			continue
		}
		zeros, err := m.zeros(ctx, kind)
		if err != nil {
			return nil, err
		}
		all[k].rows += zeros
	}
	return all, nil
}

// zeros counts the rows of a kind that count 0, as a void may leave them: they are copied, and a checksum leaves them out.
func (m *move) zeros(ctx context.Context, kind *table.Kind) (n int64, err error) {
	for row, err := range m.r.Scan(ctx, kind, nil) {
		var v any
		if err == nil {
			v, err = kind.Decode(row)
		}
		if err != nil {
			return 0, fmt.Errorf("reading the %s: %w", kind.Title, err)
		}
		vouchers, fen, counts := kind.Sum(v)
		if !counts {
			return 0, nil
		}
		if vouchers == 0 && fen == 0 { //guard:TestPieces
			n++
		}
	}
	return n, nil
}

// copyPhase returns the step that copies the rows of a table. add puts one into the changes, and returns how many rows of
// the target it makes, about.
func copyPhase[V any](ctx context.Context, m *move, name string, rows iter.Seq2[V, error], add func(*benefit.Changes, V) (int, error)) tableCopy {
	return tableCopy{name: name, copy: func(step int) error {
		written := int64(0)
		if at, rows := m.to.Progress(); at == step {
			written = rows
		}
		skip, read, weight, changes := written, written, 0, &benefit.Changes{}
		for row, err := range rows {
			if err != nil {
				return fmt.Errorf("reading the %s: %w", name, err)
			}
			if skip > 0 {
				skip--
				continue
			}
			n, err := add(changes, row)
			if err != nil {
				return err
			}
			read++
			if weight += n; weight < m.o.piece {
				continue
			}
			if err := m.write(ctx, name, changes, read-written, step, read); err != nil {
				return err
			}
			written, weight, changes = read, 0, &benefit.Changes{}
		}
		return m.write(ctx, name, changes, read-written, step+1, 0)
	}}
}

// write commits a piece with the given number of rows of a table, and the progress after it: so many rows of a step.
func (m *move) write(ctx context.Context, name string, changes *benefit.Changes, piece int64, step int, rows int64) error {
	changes.Now = m.now
	if err := m.to.Write(ctx, changes, step, rows); err != nil {
		return fmt.Errorf("writing the %s: %w", name, err)
	}
	m.done += piece
	m.result.Copied += piece
	m.reportProgress("copying " + name)
	if m.o.after != nil {
		return m.o.after()
	}
	return nil
}
