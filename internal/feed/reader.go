package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// Errors of positions, for errors.Is.
var (
	ErrFrom            = errors.New(`must be start, end, a time such as 2026-11-30T12:00:00+08:00, or a position that an event or a page had`)
	ErrForeignPosition = errors.New("it is not in this feed: it is of another store, or of this one before a restore. Begin again from start, end or a time")
	ErrPositionGone    = errors.New("the events behind it are no longer kept. Begin again from start, and query vouchers for what was missed")
)

// Source is what a Reader needs of a store.
type Source interface {
	store.Feed
	store.Lookup
	Entities(ctx context.Context) ([]benefit.Entity, int64, error)
}

// Reader reads the events of a store. It is safe for concurrent use.
type Reader struct {
	source    Source
	catalogue func() *benefit.Catalogue

	mu       sync.Mutex
	vouchers map[id.ID]benefit.Voucher // of operations that were read lately, as issued and without their codes

	endMu   sync.Mutex // held while the store is asked for the end
	end     store.Place
	endRead time.Time
}

// NewReader makes a reader. The catalogue is the one in force, or an older one: when an event is of something newer, the
// reader takes that of the store.
func NewReader(source Source, catalogue func() *benefit.Catalogue) *Reader {
	return &Reader{source: source, catalogue: catalogue, vouchers: map[id.ID]benefit.Voucher{}}
}

// DefaultKeep is how old the events behind start may be where nothing else is set.
const DefaultKeep = 7 * 24 * time.Hour

// From returns the position that a text names: start, which is before what happened at the instant oldest or later, as far as
// it is kept; end; a time, in RFC 3339 or to the second at +08:00; or a position as text. The error is ErrFrom when it is none
// of these.
func (r *Reader) From(ctx context.Context, text string, oldest benefit.Instant) (Position, error) {
	switch text {
	case "start":
		return at(r.source.FeedSince(ctx, oldest))
	case "end":
		return at(r.source.FeedEnd(ctx))
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return at(r.source.FeedSince(ctx, benefit.InstantOf(t)))
	}
	if t, err := time.ParseInLocation(benefit.WireTime, text, benefit.Shanghai); err == nil {
		return at(r.source.FeedSince(ctx, benefit.InstantOf(t)))
	}
	p, err := ParsePosition(text)
	if err != nil {
		return p, ErrFrom
	}
	return p, nil
}

func at(p store.Place, err error) (Position, error) { return Position{Place: p}, err }

// Page is a part of the events.
type Page struct {
	Events []*Event `json:"events"`
	Next   Position `json:"-"` // behind all that was looked at
	// More reports whether there may be more now. Without it the end was reached.
	More bool `json:"more"`
}

// What a page looks at. Whatever its filter selects, its work is bounded.
const (
	minCommits = 8 // that are read at once, at first
	maxCommits = 64
	maxLooked  = 20_000 // events
	maxRead    = 1024   // commits
)

// Page returns the next events behind a position that the filter selects, at most limit. A page may have fewer events than
// its limit, or none, and there may be more behind it. The errors are ErrForeignPosition, ErrPositionGone and those of the
// store.
func (r *Reader) Page(ctx context.Context, from Position, f *Filter, limit int) (*Page, error) {
	p := &pager{reader: r, filter: f, cat: r.catalogue(), limit: limit, Page: Page{Events: []*Event{}, Next: from}}
	for n := minCommits; ; n = min(2*n, maxCommits) {
		commits, err := r.source.Commits(ctx, p.Next.Place, n)
		switch {
		case errors.Is(err, store.ErrForeignPlace):
			return nil, fmt.Errorf("position %s: %w", from, ErrForeignPosition)
		case errors.Is(err, store.ErrPlaceGone):
			return nil, fmt.Errorf("position %s: %w", from, ErrPositionGone)
		case err != nil:
			return nil, err
		}
		//guard:TestPartOfACommitThatIsGone
		if p.Next.Events > 0 && (len(commits) == 0 || commits[0].Place != p.Next.Place) { // it lies inside a commit
			return nil, fmt.Errorf("position %s: %w", from, ErrPositionGone)
		}
		before := p.Next
		for _, c := range commits {
			if full, err := p.read(ctx, c); full || err != nil {
				return &p.Page, err
			}
		}
		if p.Next == before {
			return &p.Page, nil
		}
		if p.looked >= maxLooked || p.commits >= maxRead { //guard:TestWorkOfAPage
			p.More = true
			return &p.Page, nil
		}
	}
}

// pager reads a page.
type pager struct {
	Page
	reader          *Reader
	filter          *Filter
	cat             *benefit.Catalogue
	reloaded        bool // cat is that of the store
	limit           int
	looked, commits int // events and commits that were looked at
}

// read reads a commit, or what of it lies behind the position, and reports whether the page is full.
func (p *pager) read(ctx context.Context, c *store.Commit) (full bool, err error) {
	done := 0
	if c.Place == p.Next.Place {
		if done = p.Next.Events; done == 0 {
			return false, nil
		}
	}
	entries, err := entriesOf(c)
	if err != nil {
		return false, fmt.Errorf("commit %d: %w", c.Seq, err)
	}
	if done > len(entries) {
		return false, fmt.Errorf("position %s: %w", p.Next, ErrForeignPosition)
	}
	for n := done; n < len(entries); n++ {
		behind := Position{Place: c.Place, Events: n + 1}
		if n+1 == len(entries) {
			behind.Events = 0
		}
		event, err := p.event(ctx, c, &entries[n], behind)
		if err != nil {
			return false, err
		}
		if event != nil {
			if len(p.Events) == p.limit {
				p.More = true
				return true, nil
			}
			p.Events = append(p.Events, event)
		}
		p.Next = behind
	}
	p.Next = Position{Place: c.Place}
	p.looked += len(entries) - done
	p.commits++
	return false, nil
}

// event returns the event of an entry; nil when the filter does not select it.
func (p *pager) event(ctx context.Context, c *store.Commit, e *entry, behind Position) (*Event, error) {
	if p.cat.Templates[e.template] == nil {
		if err := p.reload(ctx); err != nil {
			return nil, err
		}
	}
	t := p.cat.Templates[e.template]
	if t == nil || p.cat.Merchants[t.Merchant] == nil {
		return nil, fmt.Errorf("%w: template %d of an event, or its merchant, is not in the catalogue", store.ErrDamaged, e.template)
	}
	if !p.filter.selects(e.kind, t) {
		return nil, nil
	}
	event := &Event{
		ID: e.id(), Type: e.kind.String(), At: e.at(c.Now).RFC3339(), Merchant: p.cat.Merchants[t.Merchant].Name, Template: t.Name,
		Position: behind.String(),
	}
	var activity benefit.ActivityID
	switch {
	case e.voucher != nil:
		event.Data, event.App, activity = e.issued(), e.of.App, e.voucher.Activity
		event.Data.Key = e.of.Key
	case e.transition != nil:
		v, err := p.reader.voucher(ctx, e.transition.Voucher)
		if err != nil {
			return nil, err
		}
		event.Data, event.App, activity = e.operated(v), e.transition.App, v.Activity
	case e.expired != nil:
		v, err := p.reader.voucher(ctx, e.expired.Voucher)
		if err != nil {
			return nil, err
		}
		event.Data, activity = voucherData(v, benefit.Expired, e.expired.Redeemed, e.expired.End), v.Activity
	default:
		event.Data = templateData(e.ofTemplate)
	}
	return event, p.name(ctx, event, activity)
}

// name sets the names of the app and of the activity.
func (p *pager) name(ctx context.Context, e *Event, activity benefit.ActivityID) error {
	if e.App != 0 && p.cat.Apps[e.App] == nil || activity != 0 && p.cat.Activities[activity] == nil {
		if err := p.reload(ctx); err != nil {
			return err
		}
	}
	if a := p.cat.Apps[e.App]; a != nil {
		e.Data.App = a.Name
	}
	if a := p.cat.Activities[activity]; a != nil {
		e.Data.Activity = a.Name
	}
	return nil
}

// reload takes the catalogue of the store, which has what the events of the feed name. It does so once for a page.
func (p *pager) reload(ctx context.Context) error {
	if p.reloaded {
		return nil
	}
	entities, version, err := p.reader.source.Entities(ctx)
	if err != nil {
		return err
	}
	p.cat, err = benefit.CatalogueOf(version, entities)
	p.reloaded = true
	return err
}

// maxKnown is how many vouchers a reader remembers.
const maxKnown = 4096

// voucher returns a voucher as it was issued, without its code.
func (r *Reader) voucher(ctx context.Context, voucher id.ID) (*benefit.Voucher, error) {
	r.mu.Lock()
	v, ok := r.vouchers[voucher]
	r.mu.Unlock()
	if ok {
		return &v, nil
	}
	i, err := r.source.IssuanceOf(ctx, voucher)
	if err != nil {
		return nil, err
	}
	if i != nil {
		v, ok = i.Voucher(voucher)
	}
	if !ok {
		return nil, fmt.Errorf("%w: voucher %d of an operation is missing", store.ErrDamaged, voucher)
	}
	v.Code = ""
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.vouchers) >= maxKnown {
		clear(r.vouchers)
	}
	r.vouchers[voucher] = v
	return &v, nil
}

// endEvery is how often the store is asked whether the feed has grown.
const endEvery = 200 * time.Millisecond

// End returns the end of the feed, as it was at most endEvery ago. Whoever waits for events asks often, so all share the answer.
func (r *Reader) End(ctx context.Context) (store.Place, error) {
	r.endMu.Lock()
	defer r.endMu.Unlock()
	if time.Since(r.endRead) < endEvery {
		return r.end, nil
	}
	end, err := r.source.FeedEnd(ctx)
	if err == nil {
		r.end, r.endRead = end, time.Now()
	}
	return end, err
}

// Wait returns when the end of the feed is another one than seen, which End returned before the feed was read. Its error is
// that of the store or the context.
func (r *Reader) Wait(ctx context.Context, seen store.Place) error {
	tick := time.NewTicker(endEvery)
	defer tick.Stop()
	for {
		if end, err := r.End(ctx); err != nil || end != seen {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
