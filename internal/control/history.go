package control

import (
	"context"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/store"
)

// The calls about the history of the catalogue, and to pause and resume: see the methods of Service.
var (
	History   = newCall("/history", "", (*Service).History)
	SetStatus = newCall("/pause", "Repeating it is safe", (*Service).SetStatus)
)

// HistoryQuery selects versions of the catalogue.
type HistoryQuery struct {
	catalog.HistoryFilter
	Limit int // the maximum number of versions; 0 is 20
}

// CatalogueVersion is a version of the catalogue in a form for people.
type CatalogueVersion struct {
	Version int64          `json:"version"`
	At      string         `json:"at,omitzero"`      // at +08:00; none for versions from before this was kept
	By      string         `json:"by,omitzero"`      // the user of the machine
	Command string         `json:"command,omitzero"` // such as apply
	Changes []EntityChange `json:"changes"`
}

// EntityChange is the change of one entity.
type EntityChange struct {
	Kind   string        `json:"kind"`
	Name   string        `json:"name,omitzero"`
	Action string        `json:"action"` // added or changed
	Fields []FieldChange `json:"fields,omitempty"`
}

// FieldChange is the change of one field, by its path in a catalogue file.
type FieldChange struct {
	Field string `json:"field"`
	Old   string `json:"old,omitzero"` // none: left out
	New   string `json:"new,omitzero"`
}

// History returns the last versions of the catalogue that a query selects, the newest first; ErrNotFound when there are none.
func (d *Service) History(ctx context.Context, q *HistoryQuery) ([]CatalogueVersion, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 20
	}
	r, err := d.Store.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cat, err := catalogueOf(ctx, r)
	if err != nil {
		return nil, err
	}
	versions, err := catalog.History(ctx, r, cat, q.HistoryFilter, limit)
	if err == nil && len(versions) == 0 {
		err = ErrNotFound
	}
	shown := make([]CatalogueVersion, len(versions))
	for k, v := range versions {
		shown[k] = CatalogueVersion{Version: v.Version, At: v.Note.At.String(), By: v.Note.By, Command: v.Note.Command}
		for _, c := range v.Changes {
			change := EntityChange{Kind: c.Kind, Name: c.Name, Action: string(c.Action)}
			for _, f := range c.Fields {
				change.Fields = append(change.Fields, FieldChange{f.Field, f.Old, f.New})
			}
			shown[k].Changes = append(shown[k].Changes, change)
		}
	}
	return shown, err
}

// StatusOrder asks for a template, an activity or an app to be paused or resumed.
type StatusOrder struct {
	Kind  string // template, activity or app
	Name  string // of a template also the template_id
	Pause bool
}

// SetStatus pauses or resumes a template, an activity or an app, as applying a file with the other status does. When it returns without
// error, that is in force and durable.
func (d *Service) SetStatus(ctx context.Context, o *StatusOrder) (plan *catalog.Plan, err error) {
	command, status := "resume", benefit.Active
	if o.Pause {
		command, status = "pause", benefit.Paused
	}
	err = d.change(ctx, command, func(
		ctx context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env,
	) (changes *benefit.Changes, err error) {
		name := o.Name
		if t := cat.TemplateByWireID(name); o.Kind == "template" && cat.TemplateByName(name) == nil && t != nil {
			name = t.Name
		}
		file, err := catalog.StatusFile(cat, o.Kind, name, status)
		if err != nil {
			return nil, err
		}
		changes, plan, err = file.Changes(ctx, r, cat, env, d.Box)
		return changes, err
	})
	if err != nil {
		return nil, err
	}
	plan.Applied = true
	return plan, nil
}
