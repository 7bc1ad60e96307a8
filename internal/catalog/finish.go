package catalog

import (
	"bytes"
	"encoding/json"
	"slices"

	"faquan/internal/benefit"
)

// finish returns the rows that differ from what is stored.
func (p *planner) finish() error {
	for _, t := range []interface{ finish(*planner) error }{p.merchants, p.apps, p.templates, p.activities, p.scenes} {
		if err := t.finish(p); err != nil {
			return err
		}
	}
	slices.SortStableFunc(p.plan.Changes, func(a, b Change) int { return a.Line - b.Line })
	p.changes.Rows = benefit.RowsOf(benefit.Entities.Rows(p.entities...), benefit.Sessions.Rows(p.sessions...))
	if len(p.entities) > 0 {
		p.changes.Catalogue = p.cat.Version + 1
		p.plan.Version = p.changes.Catalogue
	}
	return nil
}

// finish compares the entities of one kind that the file states with the stored ones.
func (t *table[ID, T]) finish(p *planner) error {
	for _, id := range t.ids() {
		at, stated := t.stated[id]
		if !stated {
			continue
		}
		old, now := t.old[id], t.all[id]
		same, err := p.same(old, now)
		if err != nil {
			return err
		}
		if same {
			continue
		}
		entity, err := benefit.EntityOf(any(now))
		if err != nil {
			return err
		}
		p.entities = append(p.entities, entity)
		was := mapping{}
		if old != nil {
			was = t.node(old, p.tables)
		}
		var hidden []Difference
		if t.hidden != nil {
			hidden = t.hidden(t.stored(id), now)
		}
		p.record(Change{Kind: t.kind, Name: t.names[id], Line: at.line}, was, t.node(now, p.tables), hidden...)
	}
	return nil
}

// same reports whether an entity is stored like this already, and counts it if so.
func (p *planner) same(old, now any) (bool, error) {
	before, err := json.Marshal(old)
	if err != nil {
		return false, err
	}
	after, err := json.Marshal(now)
	if err != nil || !bytes.Equal(before, after) {
		return false, err
	}
	p.plan.Same++
	return true, nil
}

// record adds a change to the plan, with the differences of the two forms in a file and those that the forms hide. A
// zero mapping is that of an entity that is new.
func (p *planner) record(c Change, was, now mapping, hidden ...Difference) {
	c.Action = Changed
	if was.Node == nil {
		c.Action = Added
	}
	c.Fields = append(difference(flatten(was.Node), flatten(now.Node), func(value string) bool {
		return p.generated[mark(c.Kind, value)]
	}), hidden...)
	p.plan.Changes = append(p.plan.Changes, c)
}

// secretDifference returns a difference for a new secret, without the secret.
func secretDifference(field string, old, now []byte) []Difference {
	switch {
	case bytes.Equal(old, now):
		return nil
	case old == nil:
		return []Difference{{Field: field, New: secret}}
	}
	return []Difference{{Field: field, Old: secret, New: anotherSecret}}
}

func appSecretDifference(old, now *benefit.App) []Difference {
	return secretDifference("app_secret", old.AppSecret, now.AppSecret)
}
