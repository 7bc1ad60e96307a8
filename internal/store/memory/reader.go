package memory

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/table"
)

// reader answers from tables that are no longer written to.
type reader struct{ rows *tables }

func (r reader) Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	return r.rows.issuances[r.rows.claims[claimKey{scope, key}]], ctx.Err()
}

func (r reader) IssuanceOf(ctx context.Context, voucher id.ID) (*benefit.Issuance, error) {
	return r.rows.issuanceOf(voucher), ctx.Err()
}

func (r reader) UserIssuances(ctx context.Context, user benefit.UserID, after id.ID, limit int) ([]*benefit.Issuance, error) {
	return r.page(after, limit, func(i *benefit.Issuance) bool { return i.User == user }), ctx.Err()
}

func (r reader) TemplateIssuances(ctx context.Context, template benefit.TemplateID, after id.ID, limit int) ([]*benefit.Issuance, error) {
	return r.page(after, limit, func(i *benefit.Issuance) bool {
		return slices.ContainsFunc(i.Lines, func(l benefit.IssuedLine) bool { return l.Template == template })
	}), ctx.Err()
}

func (r reader) TraceIssuances(ctx context.Context, traceID string, after id.ID, limit int) ([]*benefit.Issuance, error) {
	return r.page(after, limit, func(i *benefit.Issuance) bool { return traceID != "" && i.Note.TraceID == traceID }), ctx.Err()
}

// page lists at most limit of the wanted issuances with an id above after, in id order.
func (r reader) page(after id.ID, limit int, wanted func(*benefit.Issuance) bool) []*benefit.Issuance {
	var all []*benefit.Issuance
	for _, i := range r.rows.issuances {
		if i.ID > after && wanted(i) {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b *benefit.Issuance) int { return cmp.Compare(a.ID, b.ID) })
	return all[:min(len(all), limit)]
}

func (r reader) Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error) {
	return r.rows.recipient(ident), ctx.Err()
}

func (r reader) User(ctx context.Context, user benefit.UserID) (*benefit.User, error) {
	return r.rows.users[user], ctx.Err()
}

func (r reader) UserByName(ctx context.Context, name string) (*benefit.User, error) {
	for _, u := range r.rows.users {
		if u.Name == name && name != "" {
			return u, ctx.Err()
		}
	}
	return nil, ctx.Err()
}

func (r reader) Rows(ctx context.Context, kind *table.Kind, keys [][]table.Datum) ([]*table.Row, error) {
	rows := make([]*table.Row, len(keys))
	for n, key := range keys {
		if one, ok := r.rows.rows[rowKey{kind.Number, string(kind.AppendKey(nil, key))}]; ok {
			rows[n] = &one.row
		}
	}
	return rows, ctx.Err()
}

func (r reader) Entities(ctx context.Context) ([]benefit.Entity, int64, error) {
	var all []benefit.Entity
	for e, err := range store.All(ctx, r, benefit.Entities) {
		if err != nil {
			return nil, 0, err
		}
		all = append(all, e)
	}
	return all, r.rows.version, ctx.Err()
}

// Scan looks at every row that there is.
func (r reader) Scan(ctx context.Context, kind *table.Kind, prefix []table.Datum) iter.Seq2[*table.Row, error] {
	begin := string(kind.AppendKey(nil, prefix))
	var keys []rowKey
	for k := range r.rows.rows {
		if k.kind == kind.Number && strings.HasPrefix(k.key, begin) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b rowKey) int { return cmp.Compare(a.key, b.key) })
	all := make([]*table.Row, len(keys))
	for i, k := range keys {
		row := r.rows.rows[k].row
		all[i] = &row
	}
	return each(ctx, all)
}

func (r reader) AllIssuances(ctx context.Context) iter.Seq2[*benefit.Issuance, error] {
	return each(ctx, r.page(math.MinInt64, math.MaxInt, func(*benefit.Issuance) bool { return true }))
}

func (r reader) AllUsers(ctx context.Context) iter.Seq2[*benefit.User, error] {
	return each(ctx, slices.SortedFunc(maps.Values(r.rows.users), func(a, b *benefit.User) int { return cmp.Compare(a.ID, b.ID) }))
}

func (r reader) AllCommits(ctx context.Context) iter.Seq2[*store.Commit, error] {
	return each(ctx, r.rows.commits)
}

func (r reader) Close() error { return nil }

// each iterates over rows, until ctx ends.
func each[V any](ctx context.Context, all []*V) iter.Seq2[*V, error] {
	return func(yield func(*V, error) bool) {
		for _, v := range all {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}
