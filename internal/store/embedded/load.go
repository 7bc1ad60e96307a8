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
	if err := s.loadTemplates(keys.Templates, t.now.Day(), into); err != nil {
		return err
	}
	missing := s.findInMemory(keys, into)
	if missing.none() {
		return nil
	}
	// One read transaction for all of them: it saves a lock for each.
	end := sqlitex.Transaction(s.loader)
	defer end(&err)
	return s.loadFromView(missing, into)
}

// missing lists the rows that are not in memory.
type missing struct {
	claims         []claimMiss
	quotas         []quotaMiss
	participations []participationMiss
	recipients     []benefit.Identifier
}

type claimMiss struct {
	key  benefit.ClaimKey
	gens []int64 // that may hold it, newest first
}

type quotaMiss struct {
	key  benefit.QuotaKey
	gens []int64
}

type participationMiss struct {
	key  benefit.ParticipationKey
	gens []int64
}

func (m *missing) none() bool {
	return len(m.claims)+len(m.quotas)+len(m.participations)+len(m.recipients) == 0
}

func (s *Store) findInMemory(keys *benefit.Keys, into *benefit.State) *missing {
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
	for _, k := range keys.Quotas {
		if q, ok := s.quotas.get(k); ok {
			into.SetQuota(q)
			continue
		}
		// What no filter knows was never written, not to a memtable either: that spares most keys the look there.
		gens := s.gensWith(func(g *generation) bool { return g.mayContainQuota(k) })
		if len(gens) == 0 {
			into.SetQuota(benefit.Quota{QuotaKey: k})
		} else if q, ok := s.memtableQuota(k); ok {
			into.SetQuota(q)
		} else {
			m.quotas = append(m.quotas, quotaMiss{k, gens})
		}
	}
	for _, k := range keys.Participations {
		if p, ok := s.participations.get(k); ok {
			into.SetParticipation(p)
			continue
		}
		gens := s.gensWith(func(g *generation) bool { return g.mayContainParticipation(k) })
		if len(gens) == 0 {
			into.SetParticipation(benefit.Participation{ParticipationKey: k})
		} else if p, ok := s.memtableParticipation(k); ok {
			into.SetParticipation(p)
		} else {
			m.participations = append(m.participations, participationMiss{k, gens})
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
	return m
}

// requireIssuance decodes a body that this process encoded, or decoded once already.
func requireIssuance(body []byte) *benefit.Issuance {
	i, err := codec.DecodeIssuance(body)
	if err != nil {
		panic(fmt.Sprintf("embedded: an issuance in the memtable: %v", err))
	}
	return i
}

func (s *Store) memtableClaim(c benefit.ClaimID) ([]byte, bool) {
	if body, ok := s.active.claim(c); ok || s.flushing == nil {
		return body, ok
	}
	return s.flushing.claim(c)
}

func (s *Store) memtableQuota(k benefit.QuotaKey) (benefit.Quota, bool) {
	if q, ok := s.active.quota(k); ok || s.flushing == nil {
		return q, ok
	}
	return s.flushing.quota(k)
}

func (s *Store) memtableParticipation(k benefit.ParticipationKey) (benefit.Participation, bool) {
	if p, ok := s.active.participation(k); ok || s.flushing == nil {
		return p, ok
	}
	return s.flushing.participation(k)
}

func (s *Store) memoryLink(k linkKey) (link, bool) {
	if l, ok := s.links.get(k); ok {
		return l, true
	}
	if l, ok := s.active.links[k]; ok || s.flushing == nil {
		return l, ok
	}
	l, ok := s.flushing.links[k]
	return l, ok
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
		q, err := viewQuota(s.loader, miss.gens, miss.key)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.quotas.put(q.QuotaKey, q)
		s.mu.Unlock()
		into.SetQuota(q)
	}
	for _, miss := range m.participations {
		p, err := viewParticipation(s.loader, miss.gens, miss.key)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.participations.put(p.ParticipationKey, p)
		s.mu.Unlock()
		into.SetParticipation(p)
	}
	for _, ident := range m.recipients {
		if err := s.loadRecipient(ident, into); err != nil {
			return err
		}
	}
	return nil
}

// viewClaim finds the issuance under a claim; nil when there is none.
func viewClaim(conn *sqlite.Conn, gens []int64, claim benefit.ClaimID) (*benefit.Issuance, error) {
	stmt, err := conn.Prepare("SELECT id FROM claim WHERE gen=? AND hash=?")
	if err != nil {
		return nil, err
	}
	defer stmt.Reset()
	for _, gen := range gens {
		stmt.BindInt64(1, gen)
		stmt.BindBytes(2, claim[:])
		newest := id.ID(0) // the rows come in the order of their ids
		for {
			more, err := stmt.Step()
			if err != nil {
				return nil, err
			}
			if !more {
				break
			}
			newest = id.ID(stmt.ColumnInt64(0))
		}
		if newest != 0 {
			return viewIssuance(conn, newest)
		}
		if err := stmt.Reset(); err != nil {
			return nil, err
		}
	}
	return nil, nil
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

// viewQuota finds the newest counters of a user and template; the zero counters when there are none.
func viewQuota(conn *sqlite.Conn, gens []int64, k benefit.QuotaKey) (benefit.Quota, error) {
	q := benefit.Quota{QuotaKey: k}
	// The rows come in key order, so the last one counts. ORDER BY at DESC LIMIT 1 would read only that one, but
	// SQLite plans it anew for every binding, which costs more than the few rows of a user.
	stmt, err := conn.Prepare("SELECT total, day, day_total FROM ledger WHERE gen=? AND user=? AND template=?")
	if err != nil {
		return q, err
	}
	defer stmt.Reset()
	for _, gen := range gens {
		stmt.BindInt64(1, gen)
		stmt.BindInt64(2, int64(k.User))
		stmt.BindInt64(3, int64(k.Template))
		found, err := lastCounters(stmt, &q)
		if err != nil || found {
			return q, err
		}
		if err := stmt.Reset(); err != nil {
			return q, err
		}
	}
	return q, nil
}

// viewParticipation finds the newest participation of a user in an activity; the zero counts when there is none.
func viewParticipation(conn *sqlite.Conn, gens []int64, k benefit.ParticipationKey) (p benefit.Participation, err error) {
	p.ParticipationKey = k
	stmt, err := conn.Prepare("SELECT body FROM participation WHERE gen=? AND user=? AND activity=?")
	if err != nil {
		return p, err
	}
	defer stmt.Reset()
	for _, gen := range gens {
		stmt.BindInt64(1, gen)
		stmt.BindInt64(2, int64(k.User))
		stmt.BindInt64(3, int64(k.Activity))
		var newest []byte
		for {
			more, err := stmt.Step()
			if err != nil {
				return p, err
			}
			if !more {
				break
			}
			newest = columnBytes(stmt, 0)
		}
		if newest != nil {
			return codec.DecodeParticipation(newest, k)
		}
		if err := stmt.Reset(); err != nil {
			return p, err
		}
	}
	return p, nil
}

func lastCounters(stmt *sqlite.Stmt, q *benefit.Quota) (found bool, err error) {
	for {
		more, err := stmt.Step()
		if err != nil || !more {
			return found, err
		}
		if total := stmt.ColumnInt64(0); total != noCounters {
			q.Total, q.Day, q.DayTotal, found = total, benefit.Day(stmt.ColumnInt(1)), stmt.ColumnInt64(2), true
		}
	}
}

func (s *Store) loadTemplates(templates []benefit.TemplateID, today benefit.Day, into *benefit.State) error {
	for _, t := range templates {
		c, d, err := s.templateCounts(t, today)
		if err != nil {
			return err
		}
		into.SetTemplate(c, d)
	}
	return nil
}

// templateCounts returns a template's counters. They are kept in memory once they were asked for: templates are few.
func (s *Store) templateCounts(t benefit.TemplateID, today benefit.Day) (benefit.TemplateCount, benefit.TemplateDay, error) {
	s.mu.Lock()
	c, haveCount := s.counts[t]
	d, haveDay := s.days[t]
	s.mu.Unlock()
	var err error
	if !haveCount {
		if c, err = viewCount(s.loader, t); err != nil {
			return c, d, err
		}
	}
	if !haveDay {
		if d, err = viewLatestDay(s.loader, t); err != nil {
			return c, d, err
		}
	}
	if !haveCount || !haveDay {
		s.mu.Lock()
		s.counts[t] = c
		s.keepDay(d)
		s.mu.Unlock()
	}
	// No commit is later than now, so when the latest day that has one is not today, today has none. (A batch that
	// committed nothing may have been later: what it asked for must not be remembered as a day.)
	if d.Day != today {
		d = benefit.TemplateDay{Template: t, Day: today}
	}
	return c, d, nil
}

// keepDay remembers the counters of a template's latest day.
func (s *Store) keepDay(d benefit.TemplateDay) {
	if old, ok := s.days[d.Template]; !ok || d.Day >= old.Day {
		s.days[d.Template] = d
	}
}

func viewCount(conn *sqlite.Conn, t benefit.TemplateID) (benefit.TemplateCount, error) {
	c := benefit.TemplateCount{Template: t}
	err := sqlitex.Execute(conn, "SELECT count, amount FROM template_count WHERE template=?", &sqlitex.ExecOptions{
		Args: []any{int64(t)}, ResultFunc: func(stmt *sqlite.Stmt) error {
			c.Count, c.Amount = stmt.ColumnInt64(0), stmt.ColumnInt64(1)
			return nil
		}})
	return c, err
}

// viewLatestDay returns the counters of the last day on which something of the template was issued, if there is one.
func viewLatestDay(conn *sqlite.Conn, t benefit.TemplateID) (benefit.TemplateDay, error) {
	d := benefit.TemplateDay{Template: t}
	//guard:TestDayAfterStepBack "LIMIT 1" -> "LIMIT 1 OFFSET 1"
	err := sqlitex.Execute(conn, "SELECT day, count, amount FROM template_day WHERE template=? ORDER BY day DESC LIMIT 1", &sqlitex.ExecOptions{
		Args: []any{int64(t)}, ResultFunc: func(stmt *sqlite.Stmt) error {
			d.Day, d.Count, d.Amount = benefit.Day(stmt.ColumnInt(0)), stmt.ColumnInt64(1), stmt.ColumnInt64(2)
			return nil
		}})
	return d, err
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
	defer s.mu.Unlock()
	for _, o := range []*memtable{s.active, s.flushing} {
		if o == nil {
			continue
		}
		if at, ok := o.users[u]; ok {
			found, err := codec.DecodeUser(o.bytes(at.body))
			if err != nil {
				panic(fmt.Sprintf("embedded: a user in the memtable: %v", err))
			}
			return found
		}
	}
	return nil
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
