package embedded

import (
	"context"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
	"faquan/internal/table"
)

// Load puts rows into the state: from the caches and memtables, and what is not there from the view. The view is read
// after the memtables, so a row that moves from one to the other meanwhile is found in one of them.
func (t *tx) Load(_ context.Context, keys *benefit.Keys, into *benefit.State) error {
	return t.s.viewError(t.load(keys, into))
}

func (t *tx) load(keys *benefit.Keys, into *benefit.State) (err error) {
	s := t.s
	s.loading.Lock()
	defer s.loading.Unlock()
	missing, err := s.findInMemory(keys, into)
	if err != nil || missing.none() {
		return err
	}
	// One read transaction for all of them: it saves a lock for each.
	end := sqlitex.Transaction(s.loader)
	defer end(&err)
	return s.loadFromView(missing, into)
}

// missing lists the rows that are not in memory.
type missing struct {
	claims     []claimMiss
	quotas     []quotaMiss
	rows       []rowMiss
	vouchers   []id.ID
	recipients []benefit.Identifier
}

type claimMiss struct {
	key  benefit.ClaimKey
	gens []int64 // that may hold it, newest first
}

type quotaMiss struct {
	keys *quotaKeys
	i    int
	gens []int64
}

type rowMiss struct {
	keys table.Keys
	i    int
	gens []int64
}

func (m *missing) none() bool {
	return len(m.claims)+len(m.quotas)+len(m.rows)+len(m.vouchers)+len(m.recipients) == 0
}

func (s *Store) findInMemory(keys *benefit.Keys, into *benefit.State) (*missing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &missing{}
	for _, k := range keys.Claims {
		body, ok := s.memtableClaim(k.ID)
		if ok {
			into.SetClaim(k.ID, requireIssuance(body))
			continue
		}
		if gens := s.gensWith(func(g *generation) bool { return g.mayContainClaim(k.ID) }); len(gens) > 0 {
			m.claims = append(m.claims, claimMiss{k, gens})
		} else {
			into.SetClaim(k.ID, nil)
		}
	}
	for _, v := range keys.Vouchers {
		if i, ok := inMemtables(s, func(o *memtable) (*benefit.Issuance, bool) { return o.holder(v) }); ok {
			into.SetVoucher(v, i)
		} else {
			m.vouchers = append(m.vouchers, v)
		}
	}
	for _, wanted := range keys.Rows {
		if err := s.findRowsInMemory(wanted, m); err != nil {
			return nil, err
		}
	}
	for _, ident := range keys.Recipients {
		if u, ok := ident.Ref(); ok {
			if known, ok := s.users.get(u); ok && known.Person == "" {
				into.SetRecipient(ident, known, nil)
			} else {
				m.recipients = append(m.recipients, ident)
			}
			continue
		}
		key := codec.IdentifierHash(ident)
		switch l, ok := s.memoryLink(key); {
		case ok && l.plain:
			into.SetRecipient(ident, benefit.PlainUser(l.user, ident), nil)
		case !ok && len(s.gensWith(func(g *generation) bool { return g.mayContainClaim(key) })) == 0:
			into.SetRecipient(ident, nil, nil)
		default:
			m.recipients = append(m.recipients, ident)
		}
	}
	return m, nil
}

func (s *Store) findRowsInMemory(wanted table.Keys, m *missing) error {
	if quotas, ok := wanted.(*quotaKeys); ok && wanted.Kind() == s.hot {
		for i := range quotas.Len() {
			if c, gens, known := s.quotaInMemory(quotas.TypedKey(i)); known {
				setQuota(quotas, i, c)
			} else {
				m.quotas = append(m.quotas, quotaMiss{quotas, i, gens})
			}
		}
		return nil
	}
	kind := wanted.Kind()
	l := rowLoader{keys: wanted}
	for i := range wanted.Len() {
		row, gens, known := s.rowInMemory(kind, l.key(i))
		if !known {
			m.rows = append(m.rows, rowMiss{wanted, i, gens})
		} else if err := l.set(i, row); err != nil {
			return err
		}
	}
	return nil
}

// rowLoader gives rows that were asked for. It uses its memory again.
type rowLoader struct {
	keys  table.Keys
	row   table.Row
	bytes []byte
}

// key returns the i-th key.
func (l *rowLoader) key(i int) []byte {
	l.keys.Key(i, &l.row)
	l.bytes = l.keys.Kind().AppendKey(l.bytes[:0], l.row.Key)
	return l.bytes
}

// set gives the i-th row.
func (l *rowLoader) set(i int, row storedRow) (err error) {
	if row.at == 0 {
		l.keys.Absent(i)
		return nil
	}
	if l.row.Value, err = l.keys.Kind().ParseValue(row.value, l.row.Value); err != nil {
		return err
	}
	return l.keys.Found(i, row.at, l.row.Value)
}

// requireIssuance decodes a body that this process encoded, or decoded once already.
func requireIssuance(body []byte) *benefit.Issuance {
	i, err := codec.DecodeIssuance(body)
	if err != nil {
		panic(fmt.Sprintf("embedded: an issuance in the memtable: %v", err))
	}
	return i
}

// inMemtables asks the memtables, the newer one first. The caller holds mu.
func inMemtables[T any](s *Store, ask func(*memtable) (T, bool)) (found T, ok bool) {
	if found, ok = ask(s.active); ok || s.flushing == nil {
		return found, ok
	}
	return ask(s.flushing)
}

func (s *Store) memtableClaim(c benefit.ClaimID) ([]byte, bool) {
	return inMemtables(s, func(o *memtable) ([]byte, bool) { return o.claim(c) })
}

func (s *Store) memoryLink(k linkKey) (link, bool) {
	if l, ok := s.links.get(k); ok {
		return l, true
	}
	return inMemtables(s, func(o *memtable) (link, bool) {
		l, ok := o.links[k]
		return l, ok
	})
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

func (s *Store) loadFromView(m *missing, into *benefit.State) error {
	for _, c := range m.claims {
		i, err := viewClaim(s.loader, c.gens, c.key.ID)
		if err != nil {
			return err
		}
		into.SetClaim(c.key.ID, i)
	}
	for _, miss := range m.quotas {
		k := miss.keys.TypedKey(miss.i)
		c, err := viewQuota(s.loader, miss.gens, k)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.quotas.put(k, c)
		s.mu.Unlock()
		setQuota(miss.keys, miss.i, c)
	}
	for _, miss := range m.rows {
		kind, l := miss.keys.Kind(), rowLoader{keys: miss.keys}
		key := l.key(miss.i)
		row, err := viewRow(s.loader, kind, miss.gens, key)
		if err == nil {
			err = l.set(miss.i, row)
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.cacheRow(rowKeyOf(kind, key), row)
		s.mu.Unlock()
	}
	for _, v := range m.vouchers {
		i, err := viewHolder(s.loader, v)
		if err != nil {
			return err
		}
		into.SetVoucher(v, i)
	}
	for _, ident := range m.recipients {
		if err := s.loadRecipient(ident, into); err != nil {
			return err
		}
	}
	return nil
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
func viewIssuance(conn *sqlite.Conn, i id.ID) (found *benefit.Issuance, err error) {
	err = sqlitex.Execute(conn, "SELECT body FROM issuance WHERE id=?", &sqlitex.ExecOptions{
		Args: []any{int64(i)}, ResultFunc: func(stmt *sqlite.Stmt) error {
			found, err = codec.DecodeIssuance(columnBytes(stmt, 0))
			return err
		}})
	if err == nil && found == nil { //guard:TestConformance/Damage
		err = fmt.Errorf("%w: %w: an index names issuance %d, which is not there", store.ErrDamaged, errView, i)
	}
	return found, err
}

// viewHolder finds the issuance that holds a voucher; nil when there is none. The vouchers of an issuance follow its id
// without a gap, so the one that may hold this voucher is the last at or before it.
func viewHolder(conn *sqlite.Conn, voucher id.ID) (found *benefit.Issuance, err error) {
	err = sqlitex.Execute(conn, "SELECT body FROM issuance WHERE id<=? ORDER BY id DESC LIMIT 1", &sqlitex.ExecOptions{
		Args: []any{int64(voucher)}, ResultFunc: func(stmt *sqlite.Stmt) error {
			found, err = codec.DecodeIssuance(columnBytes(stmt, 0))
			return err
		}})
	if err != nil || found == nil {
		return nil, err
	}
	if _, ok := found.Voucher(voucher); !ok {
		return nil, nil
	}
	return found, nil
}

// loadRecipient finds the user that an identifier names and, when the user is one of several of a person, the others.
func (s *Store) loadRecipient(ident benefit.Identifier, into *benefit.State) error {
	if u, ok := ident.Ref(); ok {
		return s.loadRef(ident, u, into)
	}
	key := codec.IdentifierHash(ident)
	s.mu.Lock()
	l, ok := s.memoryLink(key)
	s.mu.Unlock()
	if !ok {
		var err error
		if l, ok, err = viewLink(s.loader, key); err != nil {
			return err
		}
		if !ok {
			into.SetRecipient(ident, nil, nil)
			return nil
		}
		s.mu.Lock()
		s.links.put(key, l)
		s.mu.Unlock()
	}
	if l.plain {
		into.SetRecipient(ident, benefit.PlainUser(l.user, ident), nil)
		return nil
	}
	u, err := s.user(l.user)
	if err != nil {
		return err
	}
	if !slices.Contains(u.Identifiers, ident) { // it named the user once
		into.SetRecipient(ident, nil, nil)
		return nil
	}
	return s.setRecipient(ident, u, into)
}

// loadRef finds the user that a reference names.
func (s *Store) loadRef(ident benefit.Identifier, ref benefit.UserID, into *benefit.State) error {
	s.mu.Lock()
	u, ok := s.users.get(ref)
	s.mu.Unlock()
	if !ok {
		if u = s.memtableUser(ref); u == nil {
			var err error
			if u, err = viewUser(s.loader, ref); err != nil {
				return err
			}
		}
		if u == nil {
			into.SetRecipient(ident, nil, nil)
			return nil
		}
		s.mu.Lock()
		s.users.put(ref, u)
		s.mu.Unlock()
	}
	return s.setRecipient(ident, u, into)
}

// setRecipient sets a user in the state, with all users of the same person.
func (s *Store) setRecipient(ident benefit.Identifier, u *benefit.User, into *benefit.State) error {
	members, err := s.members(u.Person)
	if err != nil {
		return err
	}
	into.SetRecipient(ident, u, members)
	return nil
}

func viewLink(conn *sqlite.Conn, k linkKey) (l link, ok bool, err error) {
	err = sqlitex.Execute(conn, "SELECT user, plain FROM link WHERE hash=?", &sqlitex.ExecOptions{
		Args: []any{k[:]}, ResultFunc: func(stmt *sqlite.Stmt) error {
			l, ok = link{user: id.ID(stmt.ColumnInt64(0)), plain: stmt.ColumnInt(1) == 1}, true
			return nil
		}})
	return l, ok, err
}

// user reads a user that a link names.
func (s *Store) user(u benefit.UserID) (*benefit.User, error) {
	s.mu.Lock()
	found, ok := s.users.get(u)
	s.mu.Unlock()
	if ok {
		return found, nil
	}
	if found := s.memtableUser(u); found != nil {
		return found, nil
	}
	found, err := viewUser(s.loader, u)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, missingUser(u)
	}
	s.mu.Lock()
	s.users.put(u, found)
	s.mu.Unlock()
	return found, nil
}

// missingUser returns the error of a dangling link.
func missingUser(u benefit.UserID) error {
	return fmt.Errorf("%w: %w: an identifier names user %d, which is not there", store.ErrDamaged, errView, u)
}

// removedLinks lists the identifiers that changed users no longer have. Only an operator changes users; a commit that
// issues makes new ones, and there may be many.
func (s *Store) removedLinks(c *benefit.Changes) (gone []removedLink, err error) {
	if len(c.Issuances) > 0 {
		return nil, nil
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	for _, u := range c.Users {
		old := s.memtableUser(u.ID)
		if old == nil {
			if old, err = viewUser(s.loader, u.ID); err != nil {
				return nil, err
			}
		}
		if old == nil {
			continue
		}
		for _, i := range old.Identifiers {
			if !slices.Contains(u.Identifiers, i) { //guard:TestMovedIdentifiers
				gone = append(gone, removedLink{codec.IdentifierHash(i), u.ID})
			}
		}
	}
	return gone, nil
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

func viewUser(conn *sqlite.Conn, u benefit.UserID) (found *benefit.User, err error) {
	err = sqlitex.Execute(conn, "SELECT body FROM user WHERE id=?", &sqlitex.ExecOptions{
		Args: []any{int64(u)}, ResultFunc: func(stmt *sqlite.Stmt) error {
			found, err = codec.DecodeUser(columnBytes(stmt, 0))
			return err
		}})
	return found, err
}

// members lists the users of a person, by id. What the view says of a user gives way to what the memtables say.
func (s *Store) members(person string) ([]benefit.UserID, error) {
	if person == "" {
		return nil, nil
	}
	all := map[benefit.UserID]bool{}
	s.mu.Lock()
	for _, o := range []*memtable{s.active, s.flushing} {
		if o != nil {
			for _, u := range o.persons[person] {
				all[u] = true
			}
		}
	}
	s.mu.Unlock()
	err := sqlitex.Execute(s.loader, "SELECT id FROM user WHERE person=?", &sqlitex.ExecOptions{
		Args: []any{person}, ResultFunc: func(stmt *sqlite.Stmt) error {
			all[id.ID(stmt.ColumnInt64(0))] = true
			return nil
		}})
	if err != nil {
		return nil, err
	}
	members := make([]benefit.UserID, 0, len(all))
	for u := range all {
		if now := s.memtableUser(u); now == nil || now.Person == person {
			members = append(members, u)
		}
	}
	slices.Sort(members)
	return members, nil
}
