package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/codec"
)

// The claims of a store on two databases. A key's row holds the claim in its body, so that it can be applied by
// whoever finds it; a code's row says that the code is taken, and by which issuance.

var (
	insertBodies = streamed(hot("insert_claim_bodies", `
INSERT INTO claim (bucket, hash, issuance, body) SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bytea[]) ON CONFLICT DO NOTHING`))

	rebindBodies = streamed(hot("rebind_claim_bodies", `
UPDATE claim c SET issuance = k.issuance, body = k.body FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bigint[]) k(bucket, hash, issuance, body, before)
WHERE c.bucket = k.bucket AND c.hash = k.hash AND c.issuance = k.before`))
)

// Load takes the turns and reads the rows, see store.Tx. Claims are read last, and need no lock: whoever applies one of
// them meanwhile makes the row that this batch would make.
func (t *splitTx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	others := *keys
	others.Claims = nil
	if err := t.rest.Load(ctx, &others, into); err != nil {
		return err
	}
	return t.loadClaims(ctx, keys.Claims, into)
}

// bound is what the table claim says of a key.
type bound struct {
	to   id.ID // 0: nothing
	body []byte
}

func (t *splitTx) loadClaims(ctx context.Context, keys []benefit.ClaimKey, into *benefit.State) error {
	if len(keys) == 0 {
		return nil
	}
	rows, err := t.bounds(ctx, keys)
	if err != nil {
		return err
	}
	l := &loading{t: t.rest}
	for k := range rows {
		t.claims.claims[keys[k].ID] = rows[k].to
		t.claims.rested = t.claims.rested || rows[k].to != 0
		l.ids = append(l.ids, rows[k].to)
	}
	b := &pgx.Batch{}
	if l.queueIssuances(b); b.Len() > 0 {
		if err := t.rest.send(ctx, b); err != nil {
			return err
		}
	}
	for k, key := range keys {
		i, err := standing(key, rows[k], l.found[rows[k].to])
		if err != nil {
			return err
		}
		into.SetClaim(key.ID, i)
	}
	return nil
}

func (t *splitTx) bounds(ctx context.Context, keys []benefit.ClaimKey) ([]bound, error) {
	n := len(keys)
	buckets, hashes, rows := make([]int16, n), make([]uuid, n), make([]bound, n)
	for k := range keys {
		buckets[k], hashes[k] = bucketOf(keys[k].ID), uuidOf(keys[k].ID)
	}
	b := &pgx.Batch{}
	b.Queue(loadClaims.text, buckets, hashes).Query(func(found pgx.Rows) error {
		var ord, to int64
		var body []byte
		_, err := pgx.ForEachRow(found, []any{&ord, &to, &body}, func() error {
			rows[ord-1] = bound{id.ID(to), slices.Clone(body)}
			return nil
		})
		return err
	})
	return rows, t.claims.send(ctx, b)
}

// standing is what a state is told of a key that is bound: the issuance, when there is one, else the claim.
func standing(key benefit.ClaimKey, row bound, issued *benefit.Issuance) (*benefit.Issuance, error) {
	switch {
	case row.to == 0 || issued != nil && issued.Under(key.Scope, key.Key):
		return issued, nil
	case key.Scope == benefit.CodeScope:
		// Taken, by a claim that nothing was issued of yet, or that had it when a crash came and was issued without.
		return &benefit.Issuance{ID: row.to, Claimed: true}, nil
	case row.body == nil:
		return nil, fmt.Errorf("postgres: issuance %d has neither a row nor a claim", row.to)
	}
	claim, err := decodeClaim(row.body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the claim of issuance %d: %w", row.to, err)
	case issued != nil && claim.Under(key.Scope, key.Key):
		// Another key was issued under the ids of the claim, which therefore is nobody's any more.
		return nil, nil
	}
	return claim, nil // or of another key with the same digest: the core refuses it
}

// The body of a claim is a byte that says whether its user is made with it, and the issuance.

func encodeClaim(i *benefit.Issuance) []byte {
	body := []byte{0}
	if i.MakesUser {
		body[0] = 1
	}
	return codec.AppendIssuance(body, i)
}

func decodeClaim(body []byte) (*benefit.Issuance, error) {
	if len(body) == 0 || body[0] > 1 {
		return nil, errors.New("a body that is no claim's")
	}
	i, err := codec.DecodeIssuance(body[1:])
	if err != nil {
		return nil, err
	}
	i.Claimed, i.MakesUser = true, body[0] == 1
	return i, nil
}

// claim is the first commit: it binds the keys and the codes that are not bound yet. Even when all of them are, it
// commits, because the claims that it has read must be as durable as what is applied by them.
func (t *splitTx) claim(ctx context.Context, c *benefit.Changes) error {
	if err := t.readUnread(ctx, c); err != nil {
		return err
	}
	if len(c.Issuances) == 0 {
		return nil
	}
	q := t.claims.stream(ctx)
	t.sendBodies(q, c)
	t.claims.now = max(t.claims.now, c.Now)
	t.claims.last = lastMillis(c)
	t.claims.sendClock(q, t.claims.last)
	if err := q.end(); err != nil {
		return err
	}
	return t.claims.commit(ctx)
}

// readUnread reads what the changes write over and the batch has not read.
func (t *splitTx) readUnread(ctx context.Context, c *benefit.Changes) error {
	var unread []benefit.ClaimKey
	for _, i := range c.Issuances {
		for _, k := range i.Claims() {
			if _, read := t.claims.claims[k.ID]; !read {
				unread = append(unread, k)
			}
			t.rest.claims[k.ID] = i.ID // it has none of them
		}
	}
	if err := t.loadClaims(ctx, unread, benefit.NewState()); err != nil {
		return err
	}
	return t.rest.readUnread(ctx, c)
}

// bodyRow is a claimRow with what is kept of the claim.
type bodyRow struct {
	claimRow
	body []byte
}

// sendBodies binds what is not bound to its issuance yet. A claim that is applied stays as it is.
func (t *splitTx) sendBodies(q *stream, c *benefit.Changes) {
	var fresh, again []bodyRow
	for _, i := range c.Issuances {
		for _, k := range i.Claims() {
			row := bodyRow{claimRow{bucketOf(k.ID), k.ID, i.ID, t.claims.claims[k.ID]}, nil}
			if row.before == i.ID {
				continue
			}
			if k.Scope != benefit.CodeScope {
				row.body = encodeClaim(i.Unapplied(t.rest.isNew(i.User, c)))
			}
			if row.before == 0 {
				fresh = append(fresh, row)
			} else {
				again = append(again, row)
			}
			t.claims.claims[k.ID] = i.ID
		}
	}
	sendBodyRows(q, insertBodies, fresh, false)
	sendBodyRows(q, rebindBodies, again, true)
}

func sendBodyRows(q *stream, s *statement, rows []bodyRow, rebind bool) {
	n := len(rows)
	if n == 0 {
		return
	}
	rows = sorted(rows, func(r *bodyRow) int16 { return r.bucket }, func(a, b *bodyRow) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	buckets, hashes, ids, bodies, before := make([]int16, n), make([]uuid, n), make([]int64, n), make([][]byte, n), make([]int64, n)
	for k, r := range rows {
		buckets[k], hashes[k], ids[k], bodies[k], before[k] = r.bucket, uuidOf(r.hash), int64(r.issuance), r.body, int64(r.before)
	}
	args := []any{buckets, hashes, ids, bodies}
	if rebind {
		args = append(args, before)
	}
	q.exec(s, wantRows(n), args...)
}
