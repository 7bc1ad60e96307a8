package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/seal"
	"faquan/internal/store"
)

// Changes plans what the file changes: it returns the rows to commit, and the plan to show. What the reader and the
// catalogue return must not change before the commit; the committer ensures that (engine.Engine.Change).
//
// A file that does not fit is refused as a whole, with Problems. The changes are empty when the file states what
// exists already. The catalogue gets a new version when an entity changes, but not for users and sessions alone.
func (f *File) Changes(
	ctx context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env, box *seal.Box,
) (*benefit.Changes, *Plan, error) {
	p := &planner{
		problems: problems{file: f.name}, ctx: ctx, file: f, r: r, cat: cat, env: env, box: box, tables: tablesOf(cat),
		generated: map[string]bool{}, users: map[string]*benefit.User{}, identifiers: map[benefit.Identifier]*benefit.User{},
		changes: &benefit.Changes{}, plan: &Plan{},
	}
	p.state()
	p.merchantDocs()
	p.appDocs()
	p.templateDocs()
	p.activityDocs()
	p.sceneDocs()
	p.subscriptionDocs()
	for _, generate := range p.later {
		generate()
	}
	p.guardCaps()
	for _, step := range []func() error{p.guardIssued, p.userDocs, p.sessionDocs, p.platformDoc} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	if err := p.err(); err != nil {
		return nil, nil, err
	}
	if err := p.finish(); err != nil {
		return nil, nil, err
	}
	p.warn()
	return p.changes, p.plan, nil
}

// Plan returns the plan of Changes without the changes: what applying the file would do now.
func (f *File) Plan(ctx context.Context, r store.Reader, cat *benefit.Catalogue, box *seal.Box) (*Plan, error) {
	// The ids of new users are discarded, and no plan shows them, so any source is fine.
	draws := rand.New(rand.NewPCG(1, 1))
	_, plan, err := f.Changes(ctx, r, cat, benefit.Env{IDs: id.NewGenerator(draws, 0), Rand: draws}, box)
	return plan, err
}

// planner plans the changes of one file.
type planner struct {
	problems
	ctx  context.Context
	file *File
	r    store.Reader
	cat  *benefit.Catalogue
	env  benefit.Env
	box  *seal.Box

	*tables
	later     []func()        // generate the ids on the wire that the file leaves out
	generated map[string]bool // the values that were generated, see mark

	users       map[string]*benefit.User             // of the file, by name
	identifiers map[benefit.Identifier]*benefit.User // of the file

	changes  *benefit.Changes
	entities []benefit.Entity // of the changes
	sessions []*benefit.Session
	plan     *Plan
}

// state assigns an id to every entity of the file first, so that references may point forward.
func (p *planner) state() {
	for _, d := range p.file.merchants {
		d.merchant.ID = p.merchants.state(d.merchant.Name, d.sourcePos)
	}
	for _, d := range p.file.apps {
		d.app.ID = p.apps.state(d.app.Name, d.sourcePos)
	}
	for _, d := range p.file.templates {
		d.template.ID = p.templates.state(d.template.Name, d.sourcePos)
	}
	for _, d := range p.file.activities {
		d.activity.ID = p.activities.state(d.activity.Name, d.sourcePos)
	}
	for _, d := range p.file.scenes {
		d.scene.ID = p.scenes.state(d.scene.Name, d.sourcePos)
	}
	for _, d := range p.file.subscriptions {
		d.subscription.ID = p.subscriptions.state(d.subscription.Name, d.sourcePos)
	}
}

// finish returns the rows that differ from what is stored.
func (p *planner) finish() error {
	for _, t := range []interface{ finish(*planner) error }{p.merchants, p.apps, p.templates, p.activities, p.scenes, p.subscriptions} {
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

// appSecretDifference returns a difference for a new secret, without the secret.
func appSecretDifference(old, now *benefit.App) []Difference {
	switch {
	case bytes.Equal(old.AppSecret, now.AppSecret):
		return nil
	case old.AppSecret == nil:
		return []Difference{{Field: "app_secret", New: secret}}
	}
	return []Difference{{Field: "app_secret", Old: secret, New: anotherSecret}}
}
