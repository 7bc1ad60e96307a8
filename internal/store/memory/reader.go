package memory

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// reader answers from tables that are no longer written to.
type reader struct{ rows *tables }

func (r reader) Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	return r.rows.issuances[r.rows.claims[claimKey{scope, key}]], ctx.Err()
}

func (r reader) IssuanceOf(ctx context.Context, voucher id.ID) (*benefit.Issuance, error) {
	for _, i := range r.rows.issuances {
		if _, ok := i.Voucher(voucher); ok {
			return i, ctx.Err()
		}
	}
	return nil, ctx.Err()
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

func (r reader) Session(ctx context.Context, digest benefit.Digest) (*benefit.Session, error) {
	return r.rows.sessions[digest], ctx.Err()
}

func (r reader) Entities(ctx context.Context) ([]benefit.Entity, int64, error) {
	return ordered(r.rows.entities), r.rows.version, ctx.Err()
}

func (r reader) EntitiesAt(ctx context.Context, version int64) ([]benefit.Entity, error) {
	if version < 1 || version > r.rows.version {
		return nil, store.ErrNoVersion
	}
	then := map[entityKey]benefit.Entity{}
	for _, change := range r.rows.history {
		if change.version > version {
			break
		}
		for _, e := range change.entities {
			then[entityKey{e.Kind, e.ID}] = e
		}
	}
	return ordered(then), ctx.Err()
}

func ordered(entities map[entityKey]benefit.Entity) []benefit.Entity {
	return slices.SortedFunc(maps.Values(entities), func(a, b benefit.Entity) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
}

func (r reader) AllIssuances(ctx context.Context) iter.Seq2[*benefit.Issuance, error] {
	return inOrder(ctx, r.rows.issuances, func(a, b *benefit.Issuance) int { return cmp.Compare(a.ID, b.ID) })
}

func (r reader) AllParticipations(ctx context.Context) iter.Seq2[benefit.Participation, error] {
	return inOrder(ctx, r.rows.participations, func(a, b benefit.Participation) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Activity, b.Activity))
	})
}

func (r reader) AllQuotas(ctx context.Context) iter.Seq2[benefit.Quota, error] {
	return inOrder(ctx, r.rows.quotas, func(a, b benefit.Quota) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Template, b.Template))
	})
}

func (r reader) AllTemplateCounts(ctx context.Context) iter.Seq2[benefit.TemplateCount, error] {
	return inOrder(ctx, r.rows.counts, func(a, b benefit.TemplateCount) int { return cmp.Compare(a.Template, b.Template) })
}

func (r reader) AllTemplateDays(ctx context.Context) iter.Seq2[benefit.TemplateDay, error] {
	return inOrder(ctx, r.rows.days, func(a, b benefit.TemplateDay) int {
		return cmp.Or(cmp.Compare(a.Template, b.Template), cmp.Compare(a.Day, b.Day))
	})
}

func (r reader) AllUsers(ctx context.Context) iter.Seq2[*benefit.User, error] {
	return inOrder(ctx, r.rows.users, func(a, b *benefit.User) int { return cmp.Compare(a.ID, b.ID) })
}

func (r reader) AllSessions(ctx context.Context) iter.Seq2[*benefit.Session, error] {
	return inOrder(ctx, r.rows.sessions, func(a, b *benefit.Session) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
}

func (r reader) Close() error { return nil }

// inOrder iterates over the rows of a table, in the order that compare makes.
func inOrder[K comparable, V any](ctx context.Context, table map[K]V, compare func(a, b V) int) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		for _, v := range slices.SortedFunc(maps.Values(table), compare) {
			if err := ctx.Err(); err != nil {
				yield(*new(V), err)
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}
