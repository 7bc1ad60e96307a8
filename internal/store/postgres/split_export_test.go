package postgres

import (
	"context"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// Split is a store on two databases.
type Split = split

// OpenSplit opens one.
func OpenSplit(ctx context.Context, o Options) (*Split, error) { return openSplit(ctx, o) }

// StopAt has commits call stop on their way, and end with its error.
func (s *split) StopAt(stop func(storetest.Moment) error) {
	s.at = func(at moment) error {
		return stop(map[moment]storetest.Moment{
			beforeClaim: storetest.BeforeClaims, betweenParts: storetest.BetweenParts, afterApply: storetest.AfterBoth,
		}[at])
	}
}

// ClaimOf is the claim that a key's row holds; an error when there is none.
func (s *split) ClaimOf(ctx context.Context, key benefit.ClaimID) (*benefit.Issuance, error) {
	var body []byte
	const read = `SELECT body FROM claim WHERE bucket = $1 AND hash = $2`
	if err := s.claims.reading.QueryRow(ctx, read, bucketOf(key), uuidOf(key)).Scan(&body); err != nil {
		return nil, err
	}
	return decodeClaim(body)
}

// ClaimOnly is the first commit of a batch, as by a process that ends after it.
func ClaimOnly(ctx context.Context, tx store.Tx, c *benefit.Changes) error {
	return tx.(*splitTx).claim(ctx, c)
}
