package naive

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"faquan/bench/peers/peer"
)

// OneTrip sends a whole transaction at once.
type OneTrip struct{ *database }

// OpenOneTrip makes its tables in a new schema of the database.
func OpenOneTrip(ctx context.Context, url string, connections int) (*OneTrip, error) {
	d, err := open(ctx, url, connections)
	return &OneTrip{d}, err
}

// About describes it.
func (o *OneTrip) About(ctx context.Context) (peer.About, error) {
	return o.about(ctx, "naive-onetrip", "PostgreSQL, a transaction per issue in one round trip: rules as constraints, the template last")
}

// refusals are what a violated constraint means.
var refusals = map[string]peer.Answer{
	"one_per_key":  peer.Repeated,
	"within_limit": peer.OverLimit,
	"within_stock": peer.OutOfStock,
}

// Issue sends three statements and one Sync: PostgreSQL runs what stands before a Sync as one transaction, and rolls
// it back when a constraint is violated.
func (o *OneTrip) Issue(ctx context.Context, r peer.Request) (peer.Answer, error) {
	var batch pgx.Batch
	batch.Queue("INSERT INTO voucher (key, template, user_id) VALUES ($1, $2, $3)", r.Key, r.Template, r.User)
	batch.Queue(`
		INSERT INTO user_counter AS c (template, user_id, per_user, total) VALUES ($1, $2, $3, 1)
		ON CONFLICT (template, user_id) DO UPDATE SET total = c.total + 1`,
		r.Template, r.User, o.templates[r.Template].PerUser)
	batch.Queue("UPDATE template SET issued = issued + 1 WHERE id = $1", r.Template)
	err := o.pool.SendBatch(ctx, &batch).Close()
	var violated *pgconn.PgError
	if errors.As(err, &violated) {
		if answer, ok := refusals[violated.ConstraintName]; ok {
			return answer, nil
		}
	}
	return peer.Issued, err
}
