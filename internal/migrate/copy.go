package migrate

import (
	"context"
	"fmt"
	"iter"

	"faquan/internal/audit"
	"faquan/internal/benefit"
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

// table is one of the source, a step of the copying. The order of the steps is kept in half-filled targets.
type table struct {
	name string
	rows int64
	copy func(step int) error
}

func (m *move) tables(ctx context.Context) []table {
	all := []table{
		copyPhase(ctx, m, "users", m.r.AllUsers(ctx), func(c *benefit.Changes, u *benefit.User) int {
			c.Users = append(c.Users, u)
			return 1
		}),
		copyPhase(ctx, m, "issuances", m.r.AllIssuances(ctx), func(c *benefit.Changes, i *benefit.Issuance) int {
			c.Issuances = append(c.Issuances, i)
			return max(len(i.ClaimKeys()), 1+i.Size()/16)
		}),
		copyPhase(ctx, m, "quotas", m.r.AllQuotas(ctx), func(c *benefit.Changes, q benefit.Quota) int {
			c.Quotas = append(c.Quotas, q)
			return 1
		}),
		copyPhase(ctx, m, "participations", m.r.AllParticipations(ctx), func(c *benefit.Changes, p benefit.Participation) int {
			c.Participations = append(c.Participations, p)
			return 1
		}),
		copyPhase(ctx, m, "template counters", m.r.AllTemplateCounts(ctx), func(c *benefit.Changes, t benefit.TemplateCount) int {
			c.Templates = append(c.Templates, t)
			return 1
		}),
		copyPhase(ctx, m, "template days", m.r.AllTemplateDays(ctx), func(c *benefit.Changes, d benefit.TemplateDay) int {
			c.Days = append(c.Days, d)
			return 1
		}),
		copyPhase(ctx, m, "sessions", m.r.AllSessions(ctx), func(c *benefit.Changes, s *benefit.Session) int {
			c.Sessions = append(c.Sessions, s)
			return 1
		}),
		// Last, because it is the catalogue that gives the rest its sense. Each version is a commit, as it was.
		copyPhase(ctx, m, "catalogue versions", audit.Versions(ctx, m.r, m.result.Source.Checksum.Version),
			func(c *benefit.Changes, v audit.VersionChange) int {
				c.Catalogue, c.Entities = v.Version, v.Entities
				return m.o.piece
			}),
	}
	means := m.result.Source.Checksum
	for k := range all {
		all[k].rows = means.Table(all[k].name).Rows
	}
	all[len(all)-1].rows = means.Version // of that table the rows are entities
	return all
}

// copyPhase returns the step that copies the rows of a table. add puts one into the changes, and says how many rows of
// the target it makes, about.
func copyPhase[V any](ctx context.Context, m *move, name string, rows iter.Seq2[V, error], add func(*benefit.Changes, V) int) table {
	return table{name: name, copy: func(step int) error {
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
			if err := p.add(add(p.changes, row)); err != nil {
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
