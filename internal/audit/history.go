package audit

import (
	"encoding/json"
	"fmt"

	"faquan/internal/benefit"
)

// History knows each template as it stood in each version of the catalogue.
type History struct {
	templates map[benefit.TemplateID][]dated
}

// dated is a template from a version on.
type dated struct {
	version  int64
	template *benefit.Template
}

// NewHistory makes an empty history.
func NewHistory() *History { return &History{templates: map[benefit.TemplateID][]dated{}} }

// Add takes the entities that a version of the catalogue changed. Versions come in order.
func (h *History) Add(version int64, entities []benefit.Entity) error {
	for _, e := range entities {
		if e.Kind != benefit.TemplateEntity {
			continue
		}
		t := new(benefit.Template)
		if err := json.Unmarshal(e.Body, t); err != nil {
			return fmt.Errorf("template %d of catalogue version %d: %w", e.ID, version, err)
		}
		h.templates[t.ID] = append(h.templates[t.ID], dated{version, t})
	}
	return nil
}

// at is the template as it stood in a version; nil when it was not there.
func (h *History) at(t benefit.TemplateID, version int64) *benefit.Template {
	var found *benefit.Template
	for _, d := range h.templates[t] {
		if d.version > version {
			break
		}
		found = d.template
	}
	return found
}

// rules are the templates to judge by.
type rules struct {
	now     *benefit.Catalogue
	history *History // nil: unknown
}

// at is the template by which a line of the version is judged. sure says that it stood so at that version;
// otherwise it is today's.
func (r *rules) at(t benefit.TemplateID, version int64) (found *benefit.Template, sure bool) {
	if r.history != nil {
		if found := r.history.at(t, version); found != nil {
			return found, true
		}
	}
	return r.now.Templates[t], version == r.now.Version
}

// lowestPerPerson is the lowest limit per person that the template has, or ever had; 0: it never had one.
func (r *rules) lowestPerPerson(t benefit.TemplateID) int64 {
	var lowest int64
	take := func(t *benefit.Template) {
		if n := t.Limits.PerPerson; n > 0 && (lowest == 0 || n < lowest) {
			lowest = n
		}
	}
	if now := r.now.Templates[t]; now != nil {
		take(now)
	}
	if r.history != nil {
		for _, d := range r.history.templates[t] {
			take(d.template)
		}
	}
	return lowest
}
