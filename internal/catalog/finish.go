package catalog

import (
	"bytes"
	"slices"

	"faquan/internal/benefit"
)

// finish returns the rows that differ from what is stored.
func (p *planner) finish() error {
	if err := finishTable(p, p.merchants, nil); err != nil {
		return err
	}
	if err := finishTable(p, p.apps, appSecretDifference); err != nil {
		return err
	}
	if err := finishTable(p, p.templates, nil); err != nil {
		return err
	}
	if err := finishTable(p, p.activities, nil); err != nil {
		return err
	}
	if err := finishTable(p, p.scenes, nil); err != nil {
		return err
	}
	slices.SortStableFunc(p.plan.Changes, func(a, b Change) int { return a.Line - b.Line })
	p.changes.Rows = benefit.RowsOf(benefit.Entities.Rows(p.entities...), benefit.Sessions.Rows(p.sessions...))
	if len(p.entities) > 0 {
		p.changes.Catalogue = p.cat.Version + 1
		p.plan.Version = p.changes.Catalogue
	}
	return nil
}

func (p *planner) names() names {
	return names{p.merchants.all, p.apps.all, p.templates.all, p.activities.all}
}

// finishTable compares the entities of one kind that the file states. extra returns the differences that their form in a file hides.
func finishTable[ID ~int64, T any](p *planner, t *table[ID, T], extra func(old, now *T) []Difference) error {
	for _, id := range t.ids() {
		at, stated := t.stated[id]
		if !stated {
			continue
		}
		old, now := t.old[id], t.all[id]
		entity, err := benefit.EntityOf(any(now))
		if err != nil {
			return err
		}
		c := Change{Kind: t.kind, Name: t.nameOf(id), Line: at.line, Action: Added}
		was := fields(nil)
		if old != nil {
			before, err := benefit.EntityOf(any(old))
			if err != nil {
				return err
			}
			if c.Action = Changed; bytes.Equal(before.Body, entity.Body) {
				p.plan.Same++
				continue
			}
			was = flatten(entityNode(any(old), namesOf(p.cat)))
		}
		c.Fields = difference(was, flatten(entityNode(any(now), p.names())), func(value string) bool {
			return p.generated[mark(t.kind, value)]
		})
		if extra != nil {
			c.Fields = append(c.Fields, extra(old, now)...)
		}
		p.entities = append(p.entities, entity)
		p.plan.add(c)
	}
	return nil
}

// nameOf returns the name of the entity with an id.
func (t *table[ID, T]) nameOf(id ID) string {
	for name, known := range t.byName {
		if known == id {
			return name
		}
	}
	return ""
}

// appSecretDifference returns a difference for a new secret, without the secret.
func appSecretDifference(old, now *benefit.App) []Difference {
	d := Difference{Field: "app_secret", New: secret}
	switch {
	case old == nil && now.AppSecret == nil, old != nil && bytes.Equal(old.AppSecret, now.AppSecret):
		return nil
	case old != nil && old.AppSecret != nil:
		d.Old, d.New = secret, "(another secret)"
	}
	return []Difference{d}
}
