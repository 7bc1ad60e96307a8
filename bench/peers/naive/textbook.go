package naive

import (
	"context"

	"github.com/jackc/pgx/v5"

	"faquan/bench/peers/peer"
)

// Textbook is a chain of statements around a row lock.
type Textbook struct{ *database }

// OpenTextbook makes its tables in a new schema of the database.
func OpenTextbook(ctx context.Context, url string, connections int) (*Textbook, error) {
	d, err := open(ctx, url, connections)
	return &Textbook{d}, err
}

// About describes it.
func (t *Textbook) About(ctx context.Context) (peer.About, error) {
	return t.about(ctx, "naive", "PostgreSQL, a transaction per issue: SELECT … FOR UPDATE of the template, then its rows")
}

// Issue runs one transaction. A refusal rolls it back.
func (t *Textbook) Issue(ctx context.Context, r peer.Request) (peer.Answer, error) {
	tx, err := t.pool.Begin(ctx)
	if err != nil {
		return 0, err
	}
	answer, err := issueIn(ctx, tx, r)
	if err != nil || answer != peer.Issued {
		_ = tx.Rollback(ctx) // the pool drops a connection whose transaction stays open
		return answer, err
	}
	return answer, tx.Commit(ctx)
}

func issueIn(ctx context.Context, tx pgx.Tx, r peer.Request) (peer.Answer, error) {
	// Where another transaction has just written the key this waits for its end.
	claim, err := tx.Exec(ctx, "INSERT INTO claim (key) VALUES ($1) ON CONFLICT DO NOTHING", r.Key)
	if err != nil {
		return 0, err
	}
	if claim.RowsAffected() == 0 {
		return peer.Repeated, nil
	}
	var issued, stock, perUser int64
	err = tx.QueryRow(ctx, "SELECT issued, stock, per_user FROM template WHERE id = $1 FOR UPDATE", r.Template).
		Scan(&issued, &stock, &perUser)
	if err != nil {
		return 0, err
	}
	if issued >= stock {
		return peer.OutOfStock, nil
	}
	counter, err := tx.Exec(ctx, `
		INSERT INTO user_counter AS c (template, user_id, per_user, total) VALUES ($1, $2, $3, 1)
		ON CONFLICT (template, user_id) DO UPDATE SET total = c.total + 1 WHERE c.total < $3`,
		r.Template, r.User, perUser)
	if err != nil {
		return 0, err
	}
	if counter.RowsAffected() == 0 {
		return peer.OverLimit, nil
	}
	_, err = tx.Exec(ctx, "INSERT INTO voucher (key, template, user_id) VALUES ($1, $2, $3)", r.Key, r.Template, r.User)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, "UPDATE template SET issued = issued + 1 WHERE id = $1", r.Template)
	return peer.Issued, err
}
