package catalog

import (
	"maps"
	"slices"

	"faquan/internal/benefit"
)

// tables are the entities of a catalogue, by kind.
type tables struct {
	merchants     *table[benefit.MerchantID, benefit.Merchant]
	apps          *table[benefit.AppID, benefit.App]
	templates     *table[benefit.TemplateID, benefit.Template]
	activities    *table[benefit.ActivityID, benefit.Activity]
	scenes        *table[benefit.SceneID, benefit.Scene]
	subscriptions *table[benefit.SubscriptionID, benefit.Subscription]
}

func tablesOf(c *benefit.Catalogue) *tables {
	t := &tables{
		newTable("merchant", c.Merchants, func(m *benefit.Merchant) string { return m.Name }, merchantNode, merchantWireIDs),
		newTable("app", c.Apps, func(a *benefit.App) string { return a.Name }, appNode, appWireIDs),
		newTable("template", c.Templates, func(t *benefit.Template) string { return t.Name }, templateNode, templateWireIDs),
		newTable("activity", c.Activities, func(a *benefit.Activity) string { return a.Name }, activityNode, activityWireIDs),
		newTable("scene", c.Scenes, func(s *benefit.Scene) string { return s.Name }, sceneNode, sceneWireIDs),
		newTable("subscription", c.Subscriptions, func(s *benefit.Subscription) string { return s.Name }, subscriptionNode, noWireIDs),
	}
	t.apps.hidden = appSecretDifference
	for _, id := range t.activities.ids() {
		for k := range c.Activities[id].Items {
			t.activities.take(id, detailID(&c.Activities[id].Items[k]))
		}
	}
	return t
}

// table holds the entities of one kind. While a change is planned, it merges the stored ones with those of the file.
type table[ID ~int64, T any] struct {
	kind    string                         // for messages
	node    func(*T, *tables) mapping      // returns the form in a file
	hidden  func(old, now *T) []Difference // which node hides; may be nil
	wireIDs func(*T) []wireID
	old     map[ID]*T
	all     map[ID]*T // old, merged with what the file states
	byName  map[string]ID
	names   map[ID]string    // the inverse of byName
	owner   map[wireValue]ID // of each id on the wire
	stated  map[ID]sourcePos // where the file states an entity
	last    ID
}

func newTable[ID ~int64, T any](
	kind string, old map[ID]*T, name func(*T) string, node func(*T, *tables) mapping, wireIDs func(*T) []wireID,
) *table[ID, T] {
	t := &table[ID, T]{
		kind: kind, node: node, wireIDs: wireIDs, old: old, all: make(map[ID]*T, len(old)),
		byName: map[string]ID{}, names: map[ID]string{}, owner: map[wireValue]ID{}, stated: map[ID]sourcePos{},
	}
	maps.Copy(t.all, old)
	for _, id := range t.ids() {
		t.byName[name(old[id])], t.names[id] = id, name(old[id])
		for _, w := range wireIDs(old[id]) {
			t.take(id, w)
		}
		t.last = id
	}
	return t
}

// state returns the id of an entity that the file states: its stored id, or the next.
func (t *table[ID, T]) state(name string, at sourcePos) ID {
	id, known := t.byName[name]
	if !known {
		t.last++
		id = t.last
		t.byName[name], t.names[id] = id, name
	}
	t.stated[id] = at
	return id
}

// stored returns the stored entity; a zero one when there is none.
func (t *table[ID, T]) stored(id ID) *T {
	if old := t.old[id]; old != nil {
		return old
	}
	return new(T)
}

// ids returns the ids of all entities, in order.
func (t *table[ID, T]) ids() []ID { return slices.Sorted(maps.Keys(t.all)) }

// find resolves a reference of the entity that what names. It reports a problem and returns 0 when the reference dangles.
// It also returns 0 for a reference that is left out: the parser has checked those that are required.
func (t *table[ID, T]) find(p *problems, what string, r ref) ID {
	if !r.given() {
		return 0
	}
	id, known := t.byName[r.name]
	if !known {
		p.report(r.line, "%s: there is no %s %q", what, t.kind, clip(r.name))
	}
	return id
}
