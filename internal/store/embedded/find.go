package embedded

import (
	"context"
	"errors"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/table"
)

// maxFinders is how many connections to the view answer the questions of callers. They are apart from the committer's,
// and few: what callers ask takes no more of the machine than they can.
const maxFinders = 2

// finderCache is the cache_size of each, in place of the one in settings: enough for the inner pages of the indexes.
// The rest the operating system has.
const finderCache = "-4096"

// finder looks for rows for a caller. Each question to the view is one read transaction, which must be short, on one of the
// connections. What the caller asks the memtables it must ask before: a row that moves from a memtable to the view meanwhile
// is then found in one of them.
func (s *Store) finder(ctx context.Context, finders chan *sqlite.Conn) *lookup {
	return &lookup{s: s, view: func(question func(conn *sqlite.Conn) error) error {
		return s.viewError(s.onFinder(ctx, finders, question))
	}}
}

func newFinders(n int) chan *sqlite.Conn {
	idle := make(chan *sqlite.Conn, n)
	for range n {
		idle <- nil
	}
	return idle
}

func (s *Store) onFinder(ctx context.Context, finders chan *sqlite.Conn, question func(conn *sqlite.Conn) error) (err error) {
	var conn *sqlite.Conn
	select {
	case conn = <-finders:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return errClosed
	}
	defer func() { finders <- conn }()
	if conn == nil {
		if conn, err = openFinder(ViewPath(s.o.Dir)); err != nil {
			return err
		}
	}
	defer interrupt(ctx, conn)()
	end := sqlitex.Transaction(conn)
	defer end(&err)
	return question(conn)
}

func openFinder(path string) (*sqlite.Conn, error) {
	conn, err := openConn(path, true)
	if err != nil {
		return nil, err
	}
	if err := sqlitex.ExecuteTransient(conn, "PRAGMA cache_size="+finderCache, nil); err != nil {
		conn.Close()
		return nil, openError(err)
	}
	return conn, nil
}

// closeFinders waits for the questions under way. No later one finds a connection.
func (s *Store) closeFinders() error {
	var errs []error
	for _, finders := range []chan *sqlite.Conn{s.finders, s.rowFinder} {
		for range cap(finders) {
			if conn := <-finders; conn != nil {
				errs = append(errs, conn.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// Claim returns the newest issuance under a key.
func (s *Store) Claim(ctx context.Context, scope benefit.Scope, key string) (*benefit.Issuance, error) {
	found, err := s.finder(ctx, s.finders).claim(benefit.ClaimIDOf(scope, key))
	if err != nil || found == nil || !found.Under(scope, key) {
		return nil, err
	}
	return found, nil
}

// IssuanceOf returns the issuance that holds a voucher.
func (s *Store) IssuanceOf(ctx context.Context, voucher id.ID) (*benefit.Issuance, error) {
	return s.finder(ctx, s.finders).holder(voucher)
}

// Recipient returns the user that an identifier names.
func (s *Store) Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error) {
	return s.finder(ctx, s.finders).recipient(ident)
}

// Rows returns the rows of keys. It does not wait behind those who list issuances: gateways look up a session for every call.
func (s *Store) Rows(ctx context.Context, kind *table.Kind, keys [][]table.Datum) ([]*table.Row, error) {
	l := s.finder(ctx, s.rowFinder) //guard:TestQueriesHoldUpNothing s.rowFinder -> s.finders
	return readKeys(keys, func(key []table.Datum) (*table.Row, error) {
		if kind == s.hot {
			c, err := l.quota(quotaKeyOf(key))
			return c.row(key), err
		}
		encoded := kind.AppendKey(nil, key)
		row, err := l.row(kind, encoded)
		if err != nil {
			return nil, err
		}
		return row.decode(kind, encoded)
	})
}

// readKeys reads the rows of keys one by one.
func readKeys(keys [][]table.Datum, read func(key []table.Datum) (*table.Row, error)) (rows []*table.Row, err error) {
	rows = make([]*table.Row, len(keys))
	for n, key := range keys {
		if rows[n], err = read(key); err != nil {
			return nil, err
		}
	}
	return rows, nil
}
