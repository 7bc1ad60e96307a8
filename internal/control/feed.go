package control

import (
	"cmp"
	"context"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/feed"
)

// Events reads a page of events: see the method of Service.
var Events = newCall("/events", "", (*Service).Events)

// EventQuery selects events.
type EventQuery struct {
	From      string   // as feed.Reader.From has it
	Types     []string `json:",omitempty"` // names or patterns; none: all
	Templates []string `json:",omitempty"` // names or template_ids; none: all
	Limit     int      // the maximum number of events
}

// EventPage is a page of events, the oldest first.
type EventPage struct {
	Events []*feed.Event
	Next   string // the From of the next page
	More   bool   // there may be more events now
}

// Events returns the events that a query selects.
func (d *Service) Events(ctx context.Context, q *EventQuery) (*EventPage, error) {
	reader := feed.NewReader(d.Store, d.Engine.Catalogue)
	patterns, err := feed.ParsePatterns(q.Types)
	if err != nil {
		return nil, err
	}
	filter := feed.Filter{Types: patterns}
	for _, name := range q.Templates {
		t, err := templateNamed(d.Engine.Catalogue(), name)
		if err != nil {
			return nil, err
		}
		filter.Templates = append(filter.Templates, t.ID)
	}
	if d.Sequence != nil {
		if err := d.Sequence(ctx); err != nil {
			return nil, err
		}
	}
	keep := cmp.Or(d.FeedKeep, feed.DefaultKeep)
	from, err := reader.From(ctx, q.From, d.now()-benefit.Instant(keep.Milliseconds()))
	if err != nil {
		return nil, fmt.Errorf("from %q: %w", q.From, err)
	}
	page, err := reader.Page(ctx, from, &filter, q.Limit)
	if err != nil {
		return nil, err
	}
	return &EventPage{page.Events, page.Next.String(), page.More}, nil
}
