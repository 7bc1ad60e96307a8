package migrate

import (
	"context"
	"fmt"
	"iter"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/table"
)

// fill copies what the target does not have yet, and then what bounds both.
func (m *move) fill(ctx context.Context) error {
	tables := m.tables(ctx)
	for _, t := range tables {
		m.total += t.rows
	}
	step, rows := m.to.Progress()
	for k, t := range tables {
		switch {
		case k < step:
			m.done += t.rows
		case k == step:
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
		return fmt.Errorf("reading the progress: %w", err)
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

func (m *move) tables(ctx context.Context) []tableCopy {
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
	means := m.result.Source.Checksum
	for k := range all {
		if all[k].name == benefit.EntityVersions.Title { // its rows are entities
			all[k].rows = means.Version
		} else if counted := means.Table(all[k].name); counted != nil {
			all[k].rows = counted.Rows
		}
	}
	return all
}

// copyPhase returns the step that copies the rows of a table. add puts one into the changes, and says how many rows of
// the target it makes, about.
func copyPhase[V any](ctx context.Context, m *move, name string, rows iter.Seq2[V, error], add func(*benefit.Changes, V) (int, error)) tableCopy {
	return tableCopy{name: name, copy: func(step int) error {
		p := batch{ctx: ctx, m: m, name: name, step: step, changes: &benefit.Changes{}}
		at, read := m.to.Progress()
		if at == step {
			p.rows = read
		}
		skip := p.rows
		for row, err := range rows {
			if err != nil {
				return fmt.Errorf("reading the %s: %w", name, err)
			}
			if skip > 0 {
				skip--
				continue
			}
			weight, err := add(p.changes, row)
			if err == nil {
				err = p.add(weight)
			}
			if err != nil {
				return err
			}
		}
		return p.end()
	}}
}

// batch collects the rows of a commit.
type batch struct {
	ctx     context.Context
	m       *move
	name    string
	step    int
	changes *benefit.Changes
	rows    int64 // of the table so far
	waiting int64 // of them in this piece
	weight  int
}

func (p *batch) add(weight int) error {
	p.rows++
	p.waiting++
	if p.weight += weight; p.weight < p.m.o.piece {
		return nil
	}
	return p.write(p.step, p.rows)
}

// end writes what is left, and that the next table is next.
func (p *batch) end() error { return p.write(p.step+1, 0) }

func (p *batch) write(step int, rows int64) error {
	m := p.m
	p.changes.Now = m.now
	if err := m.to.Write(p.ctx, p.changes, step, rows); err != nil {
		return fmt.Errorf("writing the %s: %w", p.name, err)
	}
	m.done += p.waiting
	m.result.Copied += p.waiting
	p.changes, p.waiting, p.weight = &benefit.Changes{}, 0, 0
	m.reportProgress("copying " + p.name)
	if m.o.after != nil {
		return m.o.after()
	}
	return nil
}
