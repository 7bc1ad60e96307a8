package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// expiryCursors returns the cursors over the ends of vouchers that a new version of the catalogue begins: all of a template
// whose expired events are wanted from now on, one for each validity that it has had and one for the ends out of order;
// otherwise one for a new validity.
func expiryCursors(ctx context.Context, r store.Reader, before, after *benefit.Catalogue, now benefit.Instant) ([]benefit.ExpiryCursor, error) {
	wanted := after.ExpiryWanted()
	first := make([]benefit.ExpiryKey, len(wanted))
	for n, t := range wanted {
		first[n].Template = t
	}
	there, err := store.GetAll(ctx, r, benefit.ExpiryCursors, first...)
	if err != nil {
		return nil, err
	}
	var keys []benefit.ExpiryKey
	old := map[benefit.TemplateID]bool{} // templates that may have had other validities
	for _, k := range first {
		was, is := before.Templates[k.Template], after.Templates[k.Template]
		_, has := there[k]
		switch {
		case !has || benefit.ExpiryBegins(before, after, k.Template):
			keys = append(keys, k)
			if was != nil {
				old[k.Template] = true
			} else {
				keys = append(keys, benefit.ExpiryKey{Template: k.Template, Version: after.Version})
			}
		case was.Valid != is.Valid: //guard:internal/expiry.TestEnds was.Valid != is.Valid -> false
			keys = append(keys, benefit.ExpiryKey{Template: k.Template, Version: after.Version})
		}
	}
	if len(old) > 0 {
		versions, err := validities(ctx, r, after, old)
		if err != nil {
			return nil, err
		}
		keys = append(keys, versions...)
	}
	kept, err := store.GetAll(ctx, r, benefit.ExpiryCursors, keys...)
	if err != nil {
		return nil, err
	}
	cursors := make([]benefit.ExpiryCursor, len(keys))
	for n, k := range keys {
		cursors[n] = benefit.ExpiryCursor{ExpiryKey: k, Since: now}
		switch {
		case k.Version == 0:
			cursors[n].Due = now
		case kept[k].ID == benefit.LastExpiry:
			cursors[n].ID = benefit.LastExpiry
		}
	}
	return cursors, nil
}

// validities returns the versions of the catalogue that brought a validity of the templates, as keys, up to the version that
// is about to be in force.
func validities(ctx context.Context, r store.Reader, next *benefit.Catalogue, templates map[benefit.TemplateID]bool) (keys []benefit.ExpiryKey, err error) {
	last := map[benefit.TemplateID]benefit.Validity{}
	add := func(t *benefit.Template, version int64) {
		if valid, had := last[t.ID]; !had || valid != t.Valid {
			last[t.ID] = t.Valid
			keys = append(keys, benefit.ExpiryKey{Template: t.ID, Version: version})
		}
	}
	for form, err := range store.All(ctx, r, benefit.EntityVersions) { // by version
		if err != nil {
			return nil, err
		}
		if form.Kind != benefit.TemplateEntity || !templates[benefit.TemplateID(form.ID)] {
			continue
		}
		t := new(benefit.Template)
		if err := json.Unmarshal(form.Body, t); err != nil {
			return nil, fmt.Errorf("template %d in version %d of the catalogue: %w", form.ID, form.Version, err)
		}
		add(t, form.Version)
	}
	for _, t := range slices.Sorted(maps.Keys(templates)) {
		add(next.Templates[t], next.Version)
	}
	return keys, nil
}
