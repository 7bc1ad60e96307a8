package store

import (
	"context"
	"encoding/hex"
	"iter"
	"maps"
	"slices"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/table"
)

// Get returns the row of a key, and whether there is one.
func Get[K comparable, V any](ctx context.Context, from Lookup, t *table.Table[K, V], k K) (v V, ok bool, err error) {
	all, err := GetAll(ctx, from, t, k)
	if err != nil {
		return v, false, err
	}
	v, ok = all[k]
	return v, ok, nil
}

// GetAll returns the rows of the keys, by key, without those that do not exist.
func GetAll[K comparable, V any](ctx context.Context, from Lookup, t *table.Table[K, V], keys ...K) (map[K]V, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	data := make([][]table.Datum, len(keys))
	for n, k := range keys {
		data[n] = t.DatumsOf(k)
	}
	rows, err := from.Rows(ctx, t.Kind, data)
	if err != nil {
		return nil, err
	}
	all := make(map[K]V, len(keys))
	for n, row := range rows {
		if row == nil {
			continue
		}
		if all[keys[n]], err = t.Decode(row); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// All iterates over the rows of a table whose keys begin with the given columns, if any, in the order of their keys.
func All[K comparable, V any](ctx context.Context, r Reader, t *table.Table[K, V], prefix ...table.Datum) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		for row, err := range r.Scan(ctx, t.Kind, prefix) {
			var v V
			if err == nil {
				v, err = t.Decode(row)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Under returns the rows of a table whose keys begin with the given columns, in the order of their keys, at most limit.
func Under[K comparable, V any](ctx context.Context, from Finder, t *table.Table[K, V], limit int, prefix ...table.Datum) ([]V, error) {
	rows, err := from.RowsUnder(ctx, t.Kind, prefix, limit)
	if err != nil {
		return nil, err
	}
	all := make([]V, len(rows))
	for n, row := range rows {
		if all[n], err = t.Decode(row); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// FirstUnder is RowsUnder of a store whose Read is cheap.
func FirstUnder(ctx context.Context, s Store, kind *table.Kind, prefix []table.Datum, limit int) (all []*table.Row, err error) {
	r, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for row, err := range r.Scan(ctx, kind, prefix) {
		if err != nil || len(all) == limit {
			return all, err
		}
		all = append(all, row.Clone())
	}
	return all, nil
}

// minPrefix is the fewest hex digits by which DigestWithPrefix looks for a digest.
const minPrefix = 8

// DigestWithPrefix looks among the rows of a table for the digests that begin with the hex digits. It returns how many there
// are, and one of them; prefixes of less than eight digits, and other texts, have none. A whole digest is returned without
// a look. Otherwise it may read all rows, so it belongs outside of the committer, which is safe because digests never change.
func DigestWithPrefix[V any](
	ctx context.Context, read func(context.Context) (Reader, error), t *table.Table[benefit.Digest, V], digestOf func(V) benefit.Digest, prefix string,
) (found benefit.Digest, count int, err error) {
	switch {
	case len(prefix) < minPrefix || strings.Trim(prefix, "0123456789abcdef") != "":
		return found, 0, nil
	case len(prefix) == hex.EncodedLen(len(found)):
		return found, 1, found.UnmarshalText([]byte(prefix))
	}
	r, err := read(ctx)
	if err != nil {
		return found, 0, err
	}
	defer r.Close()
	for v, err := range All(ctx, r, t) {
		if err != nil {
			return found, 0, err
		}
		if d := digestOf(v); strings.HasPrefix(d.String(), prefix) {
			found, count = d, count+1
		}
	}
	return found, count, nil
}

// Session returns the session whose key has the digest; nil when there is none.
func Session(ctx context.Context, from Lookup, digest benefit.Digest) (*benefit.Session, error) {
	s, _, err := Get(ctx, from, benefit.Sessions, digest)
	return s, err
}

// Token returns the token whose secret has the digest; nil when there is none.
func Token(ctx context.Context, from Lookup, digest benefit.Digest) (*benefit.Token, error) {
	t, _, err := Get(ctx, from, benefit.Tokens, digest)
	return t, err
}

// EntitiesAt returns the entities of the catalogue as they were at a version, by kind and id; ErrNoVersion when the
// store does not know the version.
func EntitiesAt(ctx context.Context, r Reader, version int64) ([]benefit.Entity, error) {
	_, last, err := r.Entities(ctx)
	if err != nil {
		return nil, err
	}
	if version < 1 || version > last {
		return nil, ErrNoVersion
	}
	then := map[benefit.EntityKey]benefit.Entity{}
	for form, err := range All(ctx, r, benefit.EntityVersions) { // by version
		if err != nil {
			return nil, err
		}
		if form.Version > version {
			break
		}
		then[benefit.EntityKey{Kind: form.Kind, ID: form.ID}] = form.Entity
	}
	return benefit.SortEntities(slices.Collect(maps.Values(then))), nil
}
