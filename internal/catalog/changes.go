package catalog

import (
	"context"
	"errors"
	"math/rand/v2"

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
	if box == nil {
		return nil, nil, errors.New("catalog: no key to seal secrets with")
	}
	p := newPlanner(ctx, f, r, cat, env, box)
	p.state()
	p.merchantDocs()
	p.appDocs()
	p.templateDocs()
	p.activityDocs()
	p.sceneDocs()
	p.generate()
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

	merchants  *table[benefit.MerchantID, benefit.Merchant]
	apps       *table[benefit.AppID, benefit.App]
	templates  *table[benefit.TemplateID, benefit.Template]
	activities *table[benefit.ActivityID, benefit.Activity]
	scenes     *table[benefit.SceneID, benefit.Scene]

	wire      map[string]*wireIDs // by field
	later     []func()            // generate the ids that the file leaves out, once all that it states are known
	generated map[string]bool     // the fields that were, see mark

	users       map[string]*benefit.User             // of the file, by name
	identifiers map[benefit.Identifier]*benefit.User // of the file

	changes  *benefit.Changes
	entities []benefit.Entity // of the changes
	sessions []*benefit.Session
	plan     *Plan
}

func newPlanner(
	ctx context.Context, f *File, r store.Reader, cat *benefit.Catalogue, env benefit.Env, box *seal.Box,
) *planner {
	if cat == nil {
		cat = benefit.NewCatalogue(0, nil, nil, nil, nil, nil)
	}
	p := &planner{
		problems: problems{file: f.name}, ctx: ctx, file: f, r: r, cat: cat, env: env, box: box,
		merchants:  newTable("merchant", cat.Merchants, func(m *benefit.Merchant) string { return m.Name }),
		apps:       newTable("app", cat.Apps, func(a *benefit.App) string { return a.Name }),
		templates:  newTable("template", cat.Templates, func(t *benefit.Template) string { return t.Name }),
		activities: newTable("activity", cat.Activities, func(a *benefit.Activity) string { return a.Name }),
		scenes:     newTable("scene", cat.Scenes, func(s *benefit.Scene) string { return s.Name }),
		generated:  map[string]bool{}, users: map[string]*benefit.User{}, identifiers: map[benefit.Identifier]*benefit.User{},
		changes: &benefit.Changes{}, plan: &Plan{},
	}
	p.takeWireIDs()
	return p
}

// takeWireIDs claims every id on the wire for the entity that has it now.
func (p *planner) takeWireIDs() {
	p.wire = map[string]*wireIDs{}
	for kind, fields := range map[string][]string{
		"merchant": {"seller_id"}, "app": {"app_key", "app_id"}, "template": {"template_id", "right_id", "out_id"},
		"activity": {"act_code", "relation_id", "detail_id"}, "scene": {"scene_code"},
	} {
		for _, f := range fields {
			p.wire[f] = newWireIDs(kind, f)
		}
	}
	take := func(field string, id int64, name string, s slot) { p.wire[field].claim(s.get(), owner{id, name}) }
	for _, m := range p.merchants.values() {
		take("seller_id", int64(m.ID), m.Name, numberSlot(&m.SellerID))
	}
	for _, a := range p.apps.values() {
		take("app_key", int64(a.ID), a.Name, textSlot(&a.AppKey))
		take("app_id", int64(a.ID), a.Name, textSlot(&a.AppID))
	}
	for _, t := range p.templates.values() {
		take("template_id", int64(t.ID), t.Name, textSlot(&t.TemplateID))
		take("right_id", int64(t.ID), t.Name, numberSlot(&t.RightID))
		take("out_id", int64(t.ID), t.Name, numberSlot(&t.OutID))
	}
	for _, a := range p.activities.values() {
		take("act_code", int64(a.ID), a.Name, textSlot(&a.ActCode))
		take("relation_id", int64(a.ID), a.Name, numberSlot(&a.RelationID))
		for k := range a.Items {
			take("detail_id", int64(a.ID), a.Name, numberSlot(&a.Items[k].DetailID))
		}
	}
	for _, s := range p.scenes.values() {
		take("scene_code", int64(s.ID), s.Name, textSlot(&s.SceneCode))
	}
}

// wireID claims the id of a field for an entity, or generates one with form when there is none.
func (p *planner) wireID(field string, to owner, line int, s slot, form func([32]byte) string) {
	ids, value := p.wire[field], s.get()
	if value != "" {
		if holder, ok := ids.claim(value, to); !ok {
			p.report(line, "%s %q: %s %s already belongs to %s %q", ids.kind, to.name, field, value, ids.kind, holder.name)
		}
		return
	}
	if form != nil {
		p.later = append(p.later, func() {
			s.set(ids.generate(to, form))
			p.generated[mark(ids.kind, s.get())] = true
		})
	}
}

// mark records that a value is generated, for the plan.
func mark(kind, value string) string { return kind + " " + value }

func (p *planner) generate() {
	for _, one := range p.later {
		one()
	}
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
}
