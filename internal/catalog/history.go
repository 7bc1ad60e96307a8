package catalog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// Version is a version of the catalogue with the changes that made it. Its changes have no line of a file.
type Version struct {
	Version int64
	Note    benefit.CatalogueChange // zero for versions from before the notes
	Changes []Change
}

// HistoryFilter selects changes of entities. The zero filter selects all.
type HistoryFilter struct {
	Kind string // as in Change
	Name string
}

func (f HistoryFilter) selects(c *Change) bool {
	return (f.Kind == "" || f.Kind == c.Kind) && (f.Name == "" || f.Name == c.Name)
}

// History returns the last versions of the catalogue with changes that the filter selects, at most limit, the newest first. It
// has no secrets. References are shown by the names of the catalogue.
func History(ctx context.Context, r store.Reader, cat *benefit.Catalogue, f HistoryFilter, limit int) ([]Version, error) {
	tables := tablesOf(cat)
	before := map[benefit.EntityKey][]byte{}
	var all []Version
	for form, err := range store.All(ctx, r, benefit.EntityVersions) { // by version
		if err != nil {
			return nil, err
		}
		key := benefit.EntityKey{Kind: form.Kind, ID: form.ID}
		change, err := tables.changeOf(before[key], form.Entity)
		if err != nil {
			return nil, fmt.Errorf("version %d of the catalogue: %w", form.Version, err)
		}
		before[key] = form.Body
		if !f.selects(&change) {
			continue
		}
		if len(all) == 0 || all[len(all)-1].Version != form.Version {
			if len(all) == limit {
				all = slices.Delete(all, 0, 1)
			}
			all = append(all, Version{Version: form.Version})
		}
		last := &all[len(all)-1]
		last.Changes = append(last.Changes, change)
	}
	slices.Reverse(all)
	versions := make([]int64, len(all))
	for k := range all {
		versions[k] = all[k].Version
	}
	notes, err := store.GetAll(ctx, r, benefit.CatalogueChanges, versions...)
	for k := range all {
		all[k].Note = notes[all[k].Version]
	}
	return all, err
}

// changeOf returns the change from one stored form of an entity to the next; before is nil for a new one.
func (t *tables) changeOf(before []byte, e benefit.Entity) (Change, error) {
	switch e.Kind {
	case benefit.MerchantEntity:
		return changeOf(t.merchants, t, before, e)
	case benefit.AppEntity:
		return changeOf(t.apps, t, before, e)
	case benefit.TemplateEntity:
		return changeOf(t.templates, t, before, e)
	case benefit.ActivityEntity:
		return changeOf(t.activities, t, before, e)
	case benefit.SceneEntity:
		return changeOf(t.scenes, t, before, e)
	case benefit.SubscriptionEntity:
		return changeOf(t.subscriptions, t, before, e)
	case benefit.PlatformEntity:
		c := Change{Kind: "platform", Action: Added, Fields: []Difference{{Field: "alipay_private_key", New: secret}}}
		if before != nil {
			c.Action, c.Fields[0].Old, c.Fields[0].New = Changed, anotherSecret, secret
		}
		return c, nil
	}
	return Change{}, fmt.Errorf("entity %d/%d is of no kind that this version knows", e.Kind, e.ID)
}

func changeOf[ID ~int64, T any](t *table[ID, T], in *tables, before []byte, e benefit.Entity) (c Change, err error) {
	old, now := new(T), new(T)
	was := mapping{}
	if err := json.Unmarshal(e.Body, now); err != nil {
		return c, err
	}
	c = Change{Kind: t.kind, Name: t.names[ID(e.ID)], Action: Added}
	if before != nil {
		if err := json.Unmarshal(before, old); err != nil {
			return c, err
		}
		c.Action, was = Changed, t.node(old, in)
	}
	c.Fields = difference(flatten(was.Node), flatten(t.node(now, in).Node), func(string) bool { return false })
	if t.hidden != nil {
		c.Fields = append(c.Fields, t.hidden(old, now)...)
	}
	return c, nil
}

// StatusFile returns a file that states what is stored of the template, the activity or the app with the name, with another
// status: ACTIVE or PAUSED. A template or activity that is neither cannot have it. An app that is paused is DISABLED.
func StatusFile(cat *benefit.Catalogue, kind, name string, status benefit.Status) (*File, error) {
	var text bytes.Buffer
	e := &exporter{w: bufio.NewWriter(&text), tables: tablesOf(cat)}
	was := benefit.Status(0)
	var err error
	switch kind {
	case e.templates.kind:
		if t := e.templates.all[e.templates.byName[name]]; t != nil {
			one := *t
			was, one.Status = t.Status, status
			err = e.add("templates", templateNode(&one, e.tables))
		}
	case e.activities.kind:
		if a := e.activities.all[e.activities.byName[name]]; a != nil {
			one := *a
			was, one.Status = a.Status, status
			err = e.add("activities", activityNode(&one, e.tables))
		}
	case e.apps.kind:
		if a := e.apps.all[e.apps.byName[name]]; a != nil {
			one := *a
			was, one.Disabled = benefit.Active, status == benefit.Paused
			err = e.add("apps", appNode(&one, e.tables))
		}
	default:
		return nil, fmt.Errorf("a %s cannot be paused", kind)
	}
	switch {
	case err != nil:
		return nil, err
	case was == 0:
		return nil, fmt.Errorf("there is no %s %q", kind, name)
	case was != benefit.Active && was != benefit.Paused: //guard:TestPauseOfADraft
		return nil, fmt.Errorf("%s %q is %s; only one that is ACTIVE or PAUSED can be paused and resumed", kind, name, statuses.of(was))
	}
	if err := e.w.Flush(); err != nil {
		return nil, err
	}
	return Parse(kind+" "+name, text.Bytes(), nil)
}
