package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// History has each template and activity in each version of the catalogue.
type History struct {
	templates  map[benefit.TemplateID][]dated[benefit.Template]
	activities map[benefit.ActivityID][]dated[benefit.Activity]
}

// dated is an entity from a version on.
type dated[V any] struct {
	version int64
	entity  *V
}

// NewHistory makes an empty history.
func NewHistory() *History {
	return &History{
		templates:  map[benefit.TemplateID][]dated[benefit.Template]{},
		activities: map[benefit.ActivityID][]dated[benefit.Activity]{},
	}
}

// Add takes the entities that a version of the catalogue changed. Versions come in order.
func (h *History) Add(version int64, entities []benefit.Entity) error {
	for _, e := range entities {
		var err error
		switch e.Kind {
		case benefit.TemplateEntity:
			err = date(h.templates, benefit.TemplateID(e.ID), version, e.Body)
		case benefit.ActivityEntity:
			err = date(h.activities, benefit.ActivityID(e.ID), version, e.Body)
		}
		if err != nil {
			return fmt.Errorf("entity %d/%d of catalogue version %d: %w", e.Kind, e.ID, version, err)
		}
	}
	return nil
}

func date[K comparable, V any](all map[K][]dated[V], k K, version int64, body []byte) error {
	v := new(V)
	if err := json.Unmarshal(body, v); err != nil {
		return err
	}
	all[k] = append(all[k], dated[V]{version, v})
	return nil
}

// atVersion returns an entity as it stood in a version; nil when it was not there.
func atVersion[V any](all []dated[V], version int64) *V {
	var found *V
	for _, d := range all {
		if d.version > version {
			break
		}
		found = d.entity
	}
	return found
}

// rules are the rules in force at a time.
type rules struct {
	now     *benefit.Catalogue
	history *History // empty: unknown
}

// at returns the template by which a line of the version is judged. sure reports whether it stood so at that version;
// otherwise it is today's.
func (r *rules) at(t benefit.TemplateID, version int64) (found *benefit.Template, sure bool) {
	if found := atVersion(r.history.templates[t], version); found != nil {
		return found, true
	}
	return r.now.Templates[t], version == r.now.Version
}

// activity returns the same of an activity.
func (r *rules) activity(a benefit.ActivityID, version int64) (found *benefit.Activity, sure bool) {
	if found := atVersion(r.history.activities[a], version); found != nil {
		return found, true
	}
	return r.now.Activities[a], version == r.now.Version
}

// everBox reports whether the activity is or ever was a treasure box.
func (r *rules) everBox(a benefit.ActivityID) bool {
	now := r.now.Activities[a]
	return now != nil && now.Box != nil ||
		slices.ContainsFunc(r.history.activities[a], func(d dated[benefit.Activity]) bool { return d.entity.Box != nil })
}

// lowestPerPerson returns the lowest limit per person that the template has, or ever had; 0: it never had one.
func (r *rules) lowestPerPerson(t benefit.TemplateID) int64 {
	var lowest int64
	if now := r.now.Templates[t]; now != nil {
		lowest = now.Limits.PerPerson
	}
	for _, d := range r.history.templates[t] {
		if n := d.entity.Limits.PerPerson; n > 0 && (lowest <= 0 || n < lowest) {
			lowest = n
		}
	}
	return max(lowest, 0)
}

// historyOf returns the history of the catalogue that a store keeps.
func historyOf(ctx context.Context, r store.Reader) (*History, error) {
	h := NewHistory()
	for v, err := range store.All(ctx, r, benefit.EntityVersions) { // by version
		if err != nil {
			return nil, fmt.Errorf("reading the versions of the catalogue: %w", err)
		}
		if err := h.Add(v.Version, []benefit.Entity{v.Entity}); err != nil {
			return nil, err
		}
	}
	return h, nil
}
