package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
)

// Process shows how a serving process does: see the method of Service.
var Process = newCall("/process", "", (*Service).Process)

// Health is what only a serving process knows.
type Health struct {
	Status
	Unready string  // why it cannot issue, as /readyz answers; "" when it can
	Rate    float64 // vouchers issued per second, over the last ten seconds
	Waiting int     // requests that wait for a batch
}

// ProcessStatus is how a serving process does.
type ProcessStatus struct {
	PID     int     `json:"pid"`
	URL     string  `json:"url"`
	Version string  `json:"version"`
	Ready   bool    `json:"ready"`
	Unready string  `json:"unready,omitzero"` // why it cannot issue
	Rate    float64 `json:"issued_per_second"`
	Waiting int     `json:"waiting"`

	// Refusals are the calls of RefusalsSince or later that it refused, as far as it has kept them.
	Refusals      []RefusalCount `json:"refusals"`
	RefusalsSince string         `json:"refusals_since"`
}

// RefusalCount is how many calls were refused for a reason: one of the core, or the code of the answer.
type RefusalCount struct {
	Reason string `json:"reason"`
	Calls  int    `json:"calls"`
}

// Refusals are counted over an hour, but no more than maxCounted, so that the question stays cheap.
const (
	countedTime = time.Hour
	maxCounted  = 100_000
)

// Process returns how this process does. Refusals are those of calls for the template with the name or the template_id; all,
// if it is empty. The error is ErrNotServed when the process does not serve.
func (d *Service) Process(_ context.Context, template string) (*ProcessStatus, error) {
	if d.Health == nil {
		return nil, ErrNotServed
	}
	var of benefit.TemplateID
	if template != "" {
		t, err := templateNamed(d.Engine.Catalogue(), template)
		if err != nil {
			return nil, err
		}
		of, template = t.ID, t.Name
	}
	h := d.Health()
	s := &ProcessStatus{
		PID: h.PID, URL: h.URL, Version: h.Version, Ready: h.Unready == "", Unready: h.Unready, Rate: h.Rate, Waiting: h.Waiting,
		Refusals: []RefusalCount{},
	}
	counts, seen := map[string]int{}, 0
	since := time.Now().Add(-countedTime)
	// The search ends at the first call that matches.
	_, err := d.Refusals.Find(func(r *gateway.Record) bool {
		if r.At.Before(since) { //guard:TestProcess
			return true
		}
		if seen++; seen > maxCounted { //guard:TestProcess
			since = r.At
			return true
		}
		if of == 0 || r.Template == template || lineOf(r.Attempt, of) { //guard:TestProcess of == 0 || r.Template == template || lineOf(r.Attempt, of) -> true
			counts[reasonOf(r)]++
		}
		return false
	}, 1)
	for reason, calls := range counts {
		s.Refusals = append(s.Refusals, RefusalCount{reason, calls})
	}
	slices.SortFunc(s.Refusals, func(a, b RefusalCount) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Reason, b.Reason))
	})
	s.RefusalsSince = benefit.InstantOf(since).String()
	return s, err
}

// lineOf reports whether what was refused would have issued of a template.
func lineOf(i *benefit.Issuance, t benefit.TemplateID) bool {
	return i != nil && slices.ContainsFunc(i.Lines, func(l benefit.IssuedLine) bool { return l.Template == t })
}

// reasonOf returns the core's reason of a refusal, or else the code of the answer.
func reasonOf(r *gateway.Record) string {
	if r.Reason != benefit.NotRefused {
		return r.Reason.String()
	}
	return cmp.Or(r.SubCode, r.Code)
}

// Status returns how each process does. When some do not answer, it returns the others together with an error.
func (all Processes) Status(ctx context.Context, template string) (found []*ProcessStatus, failed error) {
	for _, c := range all {
		bounded, cancel := context.WithTimeout(ctx, processTimeout)
		one, err := Process.On(bounded, c, template)
		cancel()
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		found = append(found, one)
	}
	return found, failed
}
