package postgres

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
)

// Keys are read before the locks are taken, and what a batch writes is checked when it is written. A refusal writes
// nothing. But it may rest on what another process took, meanwhile, under the very same key: then that outcome must be
// answered. So a batch that does not write a key checks at its end that the key is unchanged. It does the same with the
// issuances of vouchers and with all other rows that it has read before the locks.

// noteKey remembers a key that another process may still bind, continue or bind again. Any other issuance stays under
// its key for ever.
func (t *tx) noteKey(c benefit.ClaimID, i *benefit.Issuance) {
	if i == nil || i.Continues || i.BindMillis > 0 {
		t.unsettledKeys = append(t.unsettledKeys, c)
	}
}

// sendRevalidation reads again the keys that may have changed and that the batch does not write; those that it does
// write are marked in t.claims already. Without a lock nothing was issued or refused that could conflict with a key, but
// other commands may have decided on rows and on the issuances of vouchers.
func (t *tx) sendRevalidation(q *stream) {
	if t.change {
		return
	}
	t.revalidateRows(q)
	var keys []benefit.ClaimID
	if len(t.locks) > 0 { //guard:internal/sim.TestDatabase$ -sim.seed=110 len(t.locks) > 0 -> false
		for _, c := range t.unsettledKeys {
			at := t.claims[c]
			if _, read := t.issuances[at]; at == 0 || read {
				keys = append(keys, c)
			}
		}
	}
	t.revalidateClaims(q, keys)
	t.revalidateIssuances(q, keys)
}

func (t *tx) revalidateClaims(q *stream, keys []benefit.ClaimID) {
	if len(keys) == 0 {
		return
	}
	buckets, hashes := placeColumns(keys, placeOf)
	q.query(loadClaims, func(rows pgx.Rows) error {
		now := make([]id.ID, len(keys))
		err := eachClaim(func(k int, issuance id.ID) { now[k] = issuance })(rows)
		for k, c := range keys {
			if err == nil && now[k] != t.claims[c] { //guard:TestKeyNewToBoth/last_one|TestWindowBoundTwice
				err = fmt.Errorf("%w: a key that was read", store.ErrConflict)
			}
		}
		return err
	}, buckets, hashes)
}

// revalidateIssuances checks whether another process has changed the issuances under the keys, or those of vouchers.
func (t *tx) revalidateIssuances(q *stream, keys []benefit.ClaimID) {
	all := slices.Clone(t.byVoucher) //guard:TestIssuanceOfAVoucherChanged slices.Clone(t.byVoucher) -> []id.ID(nil)
	for _, c := range keys {
		if i := t.claims[c]; i != 0 {
			all = append(all, i)
		}
	}
	buckets, ids := idColumns(all)
	if len(ids) == 0 {
		return
	}
	q.query(loadIssuances, func(rows pgx.Rows) error {
		var i int64
		var version int32
		var body []byte
		changed := false
		_, err := pgx.ForEachRow(rows, []any{&i, &version, &body}, func() error {
			changed = changed || version != t.issuances[id.ID(i)].version //guard:TestContinuedTwice/the_last_one
			return nil
		})
		if err == nil && changed {
			err = fmt.Errorf("%w: an issuance that was read", store.ErrConflict)
		}
		return err
	}, buckets, ids)
}
