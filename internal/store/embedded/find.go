package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/store/codec"
)

// maxFinders is how many connections to the view answer the questions of callers. They are apart from the committer's,
// and few: what callers ask takes no more of the machine than they can.
const maxFinders = 2

// finderCache is the cache_size of each, in place of the one in settings: enough for the inner pages of the indexes.
// The rest the operating system has.
const finderCache = "-4096"

// find runs a question on a connection of its own, in one read transaction, which must be short. What the caller asks
// the memtables it must ask before: a row that moves from a memtable to the view meanwhile is then found in one of
// them.
func (s *Store) find(ctx context.Context, question func(conn *sqlite.Conn) error) error {
	return s.viewError(s.onFinder(ctx, s.finders, question))
}

// findRow is find for a row, whose connection no other question uses: gateways look up the session of a call there, and do
// not wait behind those who list issuances.
func (s *Store) findRow(ctx context.Context, question func(conn *sqlite.Conn) error) error {
	return s.viewError(s.onFinder(ctx, s.rowFinder, question)) //guard:TestQueriesHoldUpNothing s.rowFinder -> s.finders
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
		return nil, fmt.Errorf("opening the view: %w", err)
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
func (s *Store) Claim(ctx context.Context, scope benefit.Scope, key string) (found *benefit.Issuance, err error) {
	claim := benefit.ClaimIDOf(scope, key)
	s.mu.Lock()
	body, ok := s.memtableClaim(claim)
	gens := s.gensWith(func(g *generation) bool { return g.mayContainClaim(claim) })
	s.mu.Unlock()
	switch {
	case ok:
		found = requireIssuance(body)
	case len(gens) > 0:
		err = s.find(ctx, func(conn *sqlite.Conn) error {
			found, err = viewClaim(conn, gens, claim)
			return err
		})
	}
	if err != nil || found == nil || !found.Under(scope, key) {
		return nil, err
	}
	return found, nil
}

// Recipient returns the user that an identifier names.
func (s *Store) Recipient(ctx context.Context, ident benefit.Identifier) (*benefit.User, error) {
	if ref, ok := ident.Ref(); ok {
		return s.findUser(ctx, ref)
	}
	key := codec.IdentifierHash(ident)
	s.mu.Lock()
	l, ok := s.memoryLink(key)
	absent := !ok && len(s.gensWith(func(g *generation) bool { return g.mayContainClaim(key) })) == 0
	s.mu.Unlock()
	if absent {
		return nil, nil
	}
	if !ok {
		err := s.find(ctx, func(conn *sqlite.Conn) (err error) {
			l, ok, err = viewLink(conn, key)
			return err
		})
		if err != nil || !ok {
			return nil, err
		}
	}
	if l.plain {
		return benefit.PlainUser(l.user, ident), nil
	}
	u, err := s.findUser(ctx, l.user)
	switch {
	case err != nil:
		return nil, err
	case u == nil: // "nobody" would be an answer, and nobody knows whether it is right
		return nil, s.viewError(missingUser(l.user)) //guard:TestLostUserIsLookedUp
	case !slices.Contains(u.Identifiers, ident): // it named the user once
		return nil, nil
	}
	return u, nil
}

// findUser returns a user by id.
func (s *Store) findUser(ctx context.Context, user benefit.UserID) (found *benefit.User, err error) {
	if found = s.memtableUser(user); found != nil {
		return found, nil
	}
	err = s.find(ctx, func(conn *sqlite.Conn) error {
		found, err = viewUser(conn, user)
		return err
	})
	return found, err
}
