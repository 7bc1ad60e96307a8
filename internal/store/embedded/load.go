package embedded

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
)

// lookup finds rows: in memory, and what is not there in the view. The view is asked after the memtables, so a row that moves
// from one to the other meanwhile is found in one of them.
type lookup struct {
	s    *Store
	view func(question func(conn *sqlite.Conn) error) error
	// keeps reports whether what the view has goes into the caches. That is for the committer alone: what another has read
	// may be old by then.
	keeps bool
}

func fromView[T any](l *lookup, read func(conn *sqlite.Conn) (T, error)) (found T, err error) {
	err = l.view(func(conn *sqlite.Conn) error {
		found, err = read(conn)
		return err
	})
	return found, err
}

func (t *tx) Load(_ context.Context, keys *benefit.Keys, into *benefit.State) error {
	return t.s.viewError(t.s.committerLookup(func(l *lookup) error { return l.load(keys, into) }))
}

// committerLookup has the committer look for rows. All that it asks the view is in one read transaction: it saves a lock for each.
func (s *Store) committerLookup(rows func(l *lookup) error) (err error) {
	s.loading.Lock()
	defer s.loading.Unlock()
	end := func(*error) {}
	begun := false
	defer func() { end(&err) }()
	return rows(&lookup{s: s, keeps: true, view: func(question func(conn *sqlite.Conn) error) error {
		if !begun {
			begun, end = true, sqlitex.Transaction(s.loader)
		}
		return question(s.loader)
	}})
}

func (l *lookup) load(keys *benefit.Keys, into *benefit.State) error {
	for _, k := range keys.Claims {
		i, err := l.claim(k.ID)
		if err != nil {
			return err
		}
		into.SetClaim(k.ID, i)
	}
	for _, v := range keys.Vouchers {
		i, err := l.holder(v)
		if err != nil {
			return err
		}
		into.SetVoucher(v, i)
	}
	for _, wanted := range keys.Rows {
		if err := l.rows(wanted); err != nil {
			return err
		}
	}
	for _, ident := range keys.Recipients {
		u, err := l.recipient(ident)
		if err != nil {
			return err
		}
		members, err := l.members(u)
		if err != nil {
			return err
		}
		into.SetRecipient(ident, u, members)
	}
	return nil
}

func (l *lookup) claim(claim benefit.ClaimID) (*benefit.Issuance, error) {
	l.s.mu.Lock()
	body, ok := inMemtables(l.s, func(o *memtable) ([]byte, bool) { return o.claim(claim) })
	gens := l.s.gensWith(func(g *generation) bool { return !ok && g.claims.mayContain(claimHash(claim)) })
	l.s.mu.Unlock()
	switch {
	case ok:
		return requireIssuance(body), nil
	case len(gens) == 0:
		return nil, nil
	}
	return fromView(l, func(conn *sqlite.Conn) (*benefit.Issuance, error) { return viewClaim(conn, gens, claim) })
}

// holder finds the issuance that holds a voucher.
func (l *lookup) holder(voucher id.ID) (*benefit.Issuance, error) {
	for _, o := range l.s.memtables(nil) {
		at, ok := o.byID.lastUntil(o.issuances, voucher)
		if !ok {
			continue
		}
		i := l.s.issuanceAt(o.memtable, at.row)
		if _, ok := i.Voucher(voucher); ok {
			return i, nil
		}
	}
	return fromView(l, func(conn *sqlite.Conn) (*benefit.Issuance, error) { return viewHolder(conn, voucher) })
}

// recipient finds the user that an identifier names.
func (l *lookup) recipient(ident benefit.Identifier) (*benefit.User, error) {
	if u, ok := ident.Ref(); ok {
		return l.user(u)
	}
	to, err := l.link(codec.IdentifierHash(ident))
	if err != nil || to.user == 0 {
		return nil, err
	}
	if to.plain {
		return benefit.PlainUser(to.user, ident), nil
	}
	u, err := l.user(to.user)
	switch {
	case err != nil:
		return nil, err
	case u == nil: // "nobody" would be an answer, and nobody knows whether it is right
		//guard:TestLostUserIsLookedUp|TestConformance$/Damage
		return nil, l.s.viewError(fmt.Errorf("%w: %w: an identifier names user %d, which is not there", store.ErrDamaged, ErrView, to.user))
	case !slices.Contains(u.Identifiers, ident): // it named the user once
		return nil, nil
	}
	return u, nil
}

// link finds what an identifier names; the zero link when it names nobody.
func (l *lookup) link(key linkKey) (link, error) {
	s := l.s
	s.mu.Lock()
	to, ok := s.links.get(key)
	if !ok {
		to, ok = inMemtables(s, func(o *memtable) (link, bool) {
			to, ok := o.links[key]
			return to, ok
		})
	}
	absent := !ok && len(s.gensWith(func(g *generation) bool { return g.claims.mayContain(claimHash(key)) })) == 0
	s.mu.Unlock()
	if ok || absent {
		return to, nil
	}
	to, err := fromView(l, func(conn *sqlite.Conn) (link, error) { return viewLink(conn, key) })
	if err == nil && to.user != 0 && l.keeps {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.links.put(key, to)
	}
	return to, err
}

// user finds a user by id; nil when there is none.
func (l *lookup) user(user benefit.UserID) (found *benefit.User, err error) {
	s := l.s
	s.mu.Lock()
	found, ok := s.users.get(user)
	s.mu.Unlock()
	if ok {
		return found, nil
	}
	if found = s.memtableUser(user); found == nil {
		found, err = fromView(l, func(conn *sqlite.Conn) (*benefit.User, error) { return viewUser(conn, user) })
	}
	if found != nil && l.keeps {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.users.put(user, found)
	}
	return found, err
}

// members lists the users of a user's person, by id; none when it has no person. What the view has of a user gives way to
// what the memtables have.
func (l *lookup) members(u *benefit.User) (members []benefit.UserID, err error) {
	if u == nil || u.Person == "" {
		return nil, nil
	}
	s := l.s
	s.mu.Lock()
	for _, o := range []*memtable{s.active, s.flushing} {
		if o != nil {
			members = append(members, o.persons[u.Person]...)
		}
	}
	s.mu.Unlock()
	members, err = fromView(l, func(conn *sqlite.Conn) ([]benefit.UserID, error) {
		return appendIDs(members, conn, "SELECT id FROM user WHERE person=?", u.Person)
	})
	slices.Sort(members)
	return slices.DeleteFunc(slices.Compact(members), func(other benefit.UserID) bool {
		now := s.memtableUser(other)
		return now != nil && now.Person != u.Person
	}), err
}

// removedLinks lists the identifiers that changed users no longer have. Only an operator changes users; a commit that
// issues makes new ones, and there may be many.
func (s *Store) removedLinks(c *benefit.Changes) (gone []namedLink, err error) {
	if len(c.Issuances) > 0 {
		return nil, nil
	}
	err = s.committerLookup(func(l *lookup) error {
		for _, u := range c.Users {
			old, err := l.user(u.ID)
			if err != nil {
				return err
			}
			if old == nil {
				continue
			}
			for _, i := range old.Identifiers {
				if !slices.Contains(u.Identifiers, i) { //guard:TestMovedIdentifiers
					gone = append(gone, namedLink{codec.IdentifierHash(i), link{user: u.ID}})
				}
			}
		}
		return nil
	})
	return gone, err
}

// requireIssuance decodes a body that this process encoded, or decoded once already.
func requireIssuance(body []byte) *benefit.Issuance {
	i, err := codec.DecodeIssuance(body)
	if err != nil {
		panic(fmt.Sprintf("embedded: an issuance in the memtable: %v", err))
	}
	return i
}

// memtableRows are the rows of a memtable as of some moment, for those who look through them without the lock. The rows stay
// as they are, but for the body of an issuance: see issuanceAt.
type memtableRows struct {
	*memtable
	issuances []issuanceRow
	ids       iter.Seq[id.ID] // what list returned for the memtable
}

// memtables returns the memtables as they are now, the newer one first. list is called with the lock held; it may be nil.
func (s *Store) memtables(list func(*memtable) iter.Seq[id.ID]) []memtableRows {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []memtableRows
	for _, o := range []*memtable{s.active, s.flushing} {
		if o == nil || o.empty() {
			continue
		}
		rows := memtableRows{memtable: o, issuances: o.issuances}
		if list != nil {
			rows.ids = list(o)
		}
		all = append(all, rows)
	}
	return all
}

// issuanceAt returns an issuance of a memtable as it is now: it may be continued while it is there.
func (s *Store) issuanceAt(o *memtable, row int32) *benefit.Issuance {
	s.mu.Lock()
	body := o.bytes(o.issuances[row].body)
	s.mu.Unlock()
	return requireIssuance(body)
}

// inMemtables asks the memtables, the newer one first. The caller holds mu.
func inMemtables[T any](s *Store, ask func(*memtable) (T, bool)) (found T, ok bool) {
	if found, ok = ask(s.active); ok || s.flushing == nil {
		return found, ok
	}
	return ask(s.flushing)
}

// gensWith lists the generations that may hold a key, newest first.
func (s *Store) gensWith(perhaps func(*generation) bool) []int64 {
	var gens []int64
	for _, g := range slices.Backward(s.gens) { //guard:TestReboundKeys without slices.Backward
		if perhaps(g) {
			gens = append(gens, g.gen)
		}
	}
	return gens
}

// newestIn runs a query in one generation after the other, the newest first, until one has rows, and calls row for each of
// these. They come in the order of the key, so the last one counts. ORDER BY at DESC LIMIT 1 would read only that one, but
// SQLite plans it anew for every binding, which costs more than the few rows of a key. The first parameter is the
// generation; bind binds the others.
func newestIn(conn *sqlite.Conn, query string, gens []int64, bind, row func(*sqlite.Stmt)) (found bool, err error) {
	stmt, err := conn.Prepare(query)
	if err != nil {
		return false, err
	}
	defer stmt.Reset()
	bind(stmt)
	for _, gen := range gens {
		stmt.BindInt64(1, gen)
		for {
			more, err := stmt.Step()
			if err != nil {
				return false, err
			}
			if !more {
				break
			}
			row(stmt)
			found = true
		}
		if found {
			return true, nil
		}
		if err := stmt.Reset(); err != nil {
			return false, err
		}
	}
	return false, nil
}

// viewClaim finds the issuance under a claim; nil when there is none.
func viewClaim(conn *sqlite.Conn, gens []int64, claim benefit.ClaimID) (*benefit.Issuance, error) {
	newest := id.ID(0) // the rows come in the order of their ids
	found, err := newestIn(conn, "SELECT id FROM claim WHERE gen=? AND hash=?", gens, func(stmt *sqlite.Stmt) {
		stmt.BindBytes(2, claim[:])
	}, func(stmt *sqlite.Stmt) {
		newest = id.ID(stmt.ColumnInt64(0))
	})
	if err != nil || !found {
		return nil, err
	}
	return viewIssuance(conn, newest)
}

// viewIssuance reads an issuance that an index points to.
func viewIssuance(conn *sqlite.Conn, i id.ID) (*benefit.Issuance, error) {
	found, err := one(conn, "SELECT body FROM issuance WHERE id=?", readIssuance, i)
	if err == nil && found == nil { //guard:TestConformance/Damage
		err = fmt.Errorf("%w: %w: an index names issuance %d, which is not there", store.ErrDamaged, ErrView, i)
	}
	return found, err
}

// lastIssuance is answered by the primary key: one row is read, whatever buckets the ids before it are of.
const lastIssuance = "SELECT body FROM issuance WHERE id<=? ORDER BY id DESC LIMIT 1"

// viewHolder finds the issuance that holds a voucher; nil when there is none. The vouchers of an issuance follow its id
// without a gap, so the one that may hold this voucher is the last at or before it.
func viewHolder(conn *sqlite.Conn, voucher id.ID) (*benefit.Issuance, error) {
	stmt, err := conn.Prepare(lastIssuance)
	if err != nil {
		return nil, err
	}
	defer stmt.Reset()
	stmt.BindInt64(1, int64(voucher))
	if more, err := stmt.Step(); err != nil || !more {
		return nil, err
	}
	found, err := readIssuance(stmt)
	if err != nil {
		return nil, err
	}
	if _, ok := found.Voucher(voucher); !ok {
		return nil, nil
	}
	return found, nil
}

func viewLink(conn *sqlite.Conn, k linkKey) (link, error) {
	return one(conn, "SELECT user, plain FROM link WHERE hash=?", func(stmt *sqlite.Stmt) (link, error) {
		return link{user: id.ID(stmt.ColumnInt64(0)), plain: stmt.ColumnInt(1) == 1}, nil
	}, k[:])
}

func (s *Store) memtableUser(u benefit.UserID) *benefit.User {
	s.mu.Lock()
	body, ok := inMemtables(s, func(o *memtable) ([]byte, bool) {
		at, ok := o.users[u]
		if !ok {
			return nil, false
		}
		return o.bytes(at.body), true
	})
	s.mu.Unlock()
	if !ok {
		return nil
	}
	found, err := codec.DecodeUser(body)
	if err != nil {
		panic(fmt.Sprintf("embedded: a user in the memtable: %v", err))
	}
	return found
}

func viewUser(conn *sqlite.Conn, u benefit.UserID) (*benefit.User, error) {
	return one(conn, "SELECT body FROM user WHERE id=?", readUser, u)
}
