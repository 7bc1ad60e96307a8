package postgres

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
)

var readFeedNew = spanning("read_feed_new", "the feed is not distributed", `
SELECT id, now, body FROM feed_new WHERE id > $1 ORDER BY id LIMIT $2`)

// feedPage is how many commits of the feed a reader reads at once.
const feedPage = 200

// AllCommits reads those with a number, and then those without one, in the order in which they will get theirs.
func (r *reader) AllCommits(ctx context.Context) iter.Seq2[*store.Commit, error] {
	return func(yield func(*store.Commit, error) bool) {
		f, err := one(ctx, r, readFeedState, func(row pgx.CollectableRow) (f feedState, err error) { return f, f.scan(row) })
		if err != nil {
			yield(nil, err)
			return
		}
		numbered := func(after int64) ([]feedRow, error) {
			return several(ctx, r, readFeed, scanFeedRow, after+1, feedPage)
		}
		unnumbered := func(after int64) ([]feedRow, error) {
			return several(ctx, r, readFeedNew, scanFeedRow, after, feedPage)
		}
		if r.pages(ctx, numbered, f.place, yield) {
			r.pages(ctx, unnumbered, func(int64) store.Place { return f.place(0) }, yield)
		}
	}
}

// feedRow is a row of the feed, or one that is not in it yet, with the number or the id.
type feedRow struct {
	number int64
	now    benefit.Instant
	steps  []codec.StepRef
}

func scanFeedRow(row pgx.CollectableRow) (f feedRow, err error) {
	var now int64
	var body []byte
	if err := row.Scan(&f.number, &now, &body); err != nil {
		return f, err
	}
	f.now = benefit.Instant(now)
	if f.steps, err = codec.DecodeSteps(body); err != nil {
		err = fmt.Errorf("%w: row %d of the feed: %w", store.ErrDamaged, f.number, err)
	}
	return f, err
}

// pages iterates over the commits of all pages, and reports whether to go on.
func (r *reader) pages(
	ctx context.Context, read func(after int64) ([]feedRow, error), place func(number int64) store.Place, yield func(*store.Commit, error) bool,
) bool {
	for after, more := int64(0), true; more; {
		rows, err := read(after)
		all := make([]*store.Commit, len(rows))
		refs := make([][]codec.StepRef, len(rows))
		for k, row := range rows {
			all[k], refs[k], after = &store.Commit{Place: place(row.number), Now: row.now}, row.steps, row.number
		}
		if err == nil {
			err = resolveSteps(ctx, r, r.issuances, all, refs)
		}
		if err != nil {
			yield(nil, err)
			return false
		}
		for _, c := range all {
			if !yield(c, nil) {
				return false
			}
		}
		more = len(rows) == feedPage
	}
	return true
}

// issuances reads the issuances that have a key in the map, where they are there.
func (r *reader) issuances(ctx context.Context, into map[id.ID]*benefit.Issuance) error {
	buckets, ids := idColumns(slices.Collect(maps.Keys(into)))
	rows, err := r.Query(ctx, loadIssuances.text, buckets, ids)
	if err != nil {
		return err
	}
	columns, put := scanIssuances(into)
	_, err = pgx.ForEachRow(rows, columns, put)
	return err
}
