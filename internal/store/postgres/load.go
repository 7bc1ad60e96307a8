package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
)

// lockKey names what batches take turns at.
type lockKey struct {
	kind int16
	id   int64
}

const (
	templateLock int16 = 1
	activityLock int16 = 2
)

// loader is the state of one Load: what was requested, in the order in which it was sent, and what was found.
type loader struct {
	t      *tx
	keys   *benefit.Keys
	into   *benefit.State
	ids    []id.ID // under the claims
	links  []benefit.UserID
	counts []benefit.TemplateCount
	days   map[benefit.TemplateID]benefit.TemplateDay
	users  map[benefit.UserID]*benefit.User
	found  map[id.ID]*benefit.Issuance
}

// Load takes the locks and reads the rows, see store.Tx.
func (t *tx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	l := &loader{t: t, keys: keys, into: into, days: map[benefit.TemplateID]benefit.TemplateDay{}}
	b := &pgx.Batch{}
	if err := l.queueLocks(ctx, b); err != nil {
		return err
	}
	l.queueClaims(b)
	l.queueLinks(b)
	l.queueCounters(b)
	l.queueQuotas(b)
	l.queueParticipations(b)
	if b.Len() == 0 {
		return nil
	}
	if err := t.send(ctx, b); err != nil {
		return err
	}
	if err := l.follow(ctx); err != nil {
		return err
	}
	if err := l.setClaims(); err != nil {
		return err
	}
	l.setTemplates()
	return l.setRecipients(ctx)
}

// queueLocks waits for the lock of each template and activity that the batch does not hold yet, and then asks for the
// time again. Locks are taken once, in one order; a batch that finds that it needs more begins again.
func (l *loader) queueLocks(ctx context.Context, b *pgx.Batch) error {
	var want []lockKey
	for _, x := range l.keys.Templates {
		want = append(want, lockKey{templateLock, int64(x)})
	}
	for _, x := range l.keys.Activities { //guard:TestGuardOfAnActivity|TestRulesThatExcludeEachOther/activities
		want = append(want, lockKey{activityLock, int64(x)})
	}
	want = slices.DeleteFunc(want, func(k lockKey) bool { return l.t.locks[k] })
	if len(want) == 0 {
		return nil
	}
	if len(l.t.locks) > 0 {
		return fmt.Errorf("%w: the batch needs more turns than it has taken", store.ErrConflict)
	}
	slices.SortFunc(want, func(a, b lockKey) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) })
	want = slices.Compact(want)
	if err := l.t.s.createLocks(ctx, want); err != nil {
		return err
	}
	for _, k := range want {
		l.t.locks[k] = true
	}
	kinds, ids := lockColumns(want)
	b.Queue(acquireLocks.text, kinds, ids).Exec(func(ct pgconn.CommandTag) error {
		err := wantRows(len(want))(ct)
		if err != nil { // a standby took over that never had them
			l.t.s.forgetLocks(want) //guard:TestLocksAreCreatedAgain without want
		}
		return err
	})
	l.t.queueState(b) //guard:TestNowIsReadAfterTheLocks
	return nil
}

func lockColumns(all []lockKey) (kinds []int16, ids []int64) {
	for _, k := range all {
		kinds, ids = append(kinds, k.kind), append(ids, k.id)
	}
	return kinds, ids
}

// createLocks makes the lock rows that are new. It commits by itself: a row that a batch makes and does not commit would
// keep the others waiting in no order.
func (s *Store) createLocks(ctx context.Context, all []lockKey) error {
	fresh := slices.DeleteFunc(slices.Clone(all), func(k lockKey) bool {
		_, there := s.knownLocks.Load(k)
		return there
	})
	if len(fresh) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.stepTimeout) // the batch holds the store's lock meanwhile
	defer cancel()
	kinds, ids := lockColumns(fresh)
	if _, err := s.reading.Exec(ctx, insertLocks.text, kinds, ids); err != nil {
		return s.broken(err)
	}
	for _, k := range fresh {
		s.knownLocks.Store(k, struct{}{})
	}
	return nil
}

// forgetLocks causes the rows to be created again.
func (s *Store) forgetLocks(all []lockKey) {
	for _, k := range all {
		s.knownLocks.Delete(k)
	}
}

// errSwallowed is returned when a statement changed fewer rows than it always does.
var errSwallowed = errors.New("the database did not write every row; a table may have a trigger or a rule")

// allRows returns what a statement is checked by that changes so many rows whatever other processes do: an insert that
// meets no other row, or replaces it.
func allRows(n int) func(ct pgconn.CommandTag) error {
	return func(ct pgconn.CommandTag) error {
		if got := ct.RowsAffected(); got != int64(n) {
			return fmt.Errorf("%w: %d rows of %d", errSwallowed, got, n) //guard:TestSwallowedWrites
		}
		return nil
	}
}

// wantRows returns what a statement is checked by that must touch so many rows: fewer mean that another process was
// first.
func wantRows(n int) func(ct pgconn.CommandTag) error {
	return func(ct pgconn.CommandTag) error {
		if got := ct.RowsAffected(); got != int64(n) {
			return fmt.Errorf("%w: %d rows of %d", store.ErrConflict, got, n)
		}
		return nil
	}
}

func (l *loader) queueClaims(b *pgx.Batch) {
	n := len(l.keys.Claims)
	if n == 0 {
		return
	}
	buckets, hashes := make([]int16, n), make([]uuid, n)
	for k := range l.keys.Claims {
		c := l.keys.Claims[k].ID
		buckets[k], hashes[k] = bucketOf(c), uuidOf(c)
	}
	l.ids = make([]id.ID, n)
	b.Queue(loadClaims.text, buckets, hashes).Query(func(rows pgx.Rows) error {
		var ord, issuance int64
		_, err := pgx.ForEachRow(rows, []any{&ord, &issuance}, func() error {
			l.ids[ord-1] = id.ID(issuance)
			return nil
		})
		return err
	})
}

func (l *loader) queueLinks(b *pgx.Batch) {
	n := len(l.keys.Recipients)
	if n == 0 {
		return
	}
	buckets, hashes := make([]int16, n), make([]uuid, n)
	l.links = make([]benefit.UserID, n)
	l.users = make(map[benefit.UserID]*benefit.User, n)
	for k, ident := range l.keys.Recipients {
		if user, ok := ident.Ref(); ok {
			l.links[k] = user
		}
		buckets[k], hashes[k] = linkKey(ident)
	}
	b.Queue(loadLinks.text, buckets, hashes).Query(func(rows pgx.Rows) error {
		var ord, user int64
		var plain bool
		_, err := pgx.ForEachRow(rows, []any{&ord, &user, &plain}, func() error {
			l.links[ord-1] = benefit.UserID(user)
			if plain {
				l.users[benefit.UserID(user)] = benefit.PlainUser(benefit.UserID(user), l.keys.Recipients[ord-1])
			}
			return nil
		})
		return err
	})
}

func (l *loader) queueCounters(b *pgx.Batch) {
	if len(l.keys.Templates) == 0 {
		return
	}
	ids := make([]int64, len(l.keys.Templates))
	for k, t := range l.keys.Templates {
		ids[k] = int64(t)
	}
	b.Queue(loadCounts.text, ids).Query(func(rows pgx.Rows) error {
		var c benefit.TemplateCount
		_, err := pgx.ForEachRow(rows, []any{&c.Template, &c.Count, &c.Amount}, func() error {
			l.counts = append(l.counts, c)
			return nil
		})
		return err
	})
	b.Queue(loadLatestDays.text, ids).Query(l.scanDays)
}

func (l *loader) scanDays(rows pgx.Rows) error {
	var d benefit.TemplateDay
	_, err := pgx.ForEachRow(rows, []any{&d.Template, &d.Day, &d.Count, &d.Amount}, func() error {
		l.days[d.Template] = d
		return nil
	})
	return err
}

func (l *loader) queueQuotas(b *pgx.Batch) {
	n := len(l.keys.Quotas)
	if n == 0 {
		return
	}
	buckets, users, templates := make([]int16, n), make([]int64, n), make([]int64, n)
	for k, q := range l.keys.Quotas {
		buckets[k], users[k], templates[k] = homeBucket(q.User), int64(q.User), int64(q.Template)
	}
	b.Queue(loadQuotas.text, buckets, users, templates).Query(func(rows pgx.Rows) error {
		found := make([]benefit.Quota, n)
		var ord int64
		var q benefit.Quota
		_, err := pgx.ForEachRow(rows, []any{&ord, &q.Total, &q.Day, &q.DayTotal}, func() error {
			found[ord-1] = q
			l.t.quotas[l.keys.Quotas[ord-1]] = rowSeen{true, q.Total}
			return nil
		})
		if err != nil {
			return err
		}
		for k, key := range l.keys.Quotas {
			if _, there := l.t.quotas[key]; !there {
				l.t.quotas[key] = rowSeen{}
			}
			found[k].QuotaKey = key
			l.into.SetQuota(found[k])
		}
		return nil
	})
}

func (l *loader) queueParticipations(b *pgx.Batch) {
	n := len(l.keys.Participations)
	if n == 0 {
		return
	}
	buckets, users, activities := make([]int16, n), make([]int64, n), make([]int64, n)
	for k, p := range l.keys.Participations {
		buckets[k], users[k], activities[k] = homeBucket(p.User), int64(p.User), int64(p.Activity)
	}
	b.Queue(loadParticipations.text, buckets, users, activities).Query(func(rows pgx.Rows) error {
		found := make([]benefit.Participation, n)
		var ord int64
		var body []byte
		_, err := pgx.ForEachRow(rows, []any{&ord, &body}, func() (err error) {
			key := l.keys.Participations[ord-1]
			found[ord-1], err = codec.DecodeParticipation(body, key)
			l.t.participations[key] = rowSeen{true, found[ord-1].Total}
			return err
		})
		if err != nil {
			return err
		}
		for k, key := range l.keys.Participations {
			if _, there := l.t.participations[key]; !there {
				l.t.participations[key] = rowSeen{}
			}
			found[k].ParticipationKey = key
			l.into.SetParticipation(found[k])
		}
		return nil
	})
}

// follow reads what the first rows named: the issuances under the claims, the users behind the identifiers.
func (l *loader) follow(ctx context.Context) error {
	b := &pgx.Batch{}
	l.queueIssuances(b)
	l.queueUsers(b)
	today := l.t.now.Day()
	var later []int64
	for t, d := range l.days {
		if d.Day > today { // only where rows were written by hand
			later = append(later, int64(t))
			delete(l.days, t)
		}
	}
	if len(later) > 0 {
		b.Queue(loadDays.text, later, int32(today)).Query(l.scanDays)
	}
	if b.Len() == 0 {
		return nil
	}
	return l.t.send(ctx, b)
}

func (l *loader) queueIssuances(b *pgx.Batch) {
	var buckets []int16
	var ids []int64
	for _, i := range l.ids {
		if i != 0 {
			buckets, ids = append(buckets, homeBucket(i)), append(ids, int64(i))
		}
	}
	if len(ids) == 0 {
		return
	}
	l.t.readCommitted = true
	l.found = make(map[id.ID]*benefit.Issuance, len(ids))
	b.Queue(loadIssuances.text, buckets, ids).Query(func(rows pgx.Rows) error {
		var i int64
		var version int32
		var body []byte
		_, err := pgx.ForEachRow(rows, []any{&i, &version, &body}, func() error {
			found, err := codec.DecodeIssuance(body)
			if err != nil {
				return err
			}
			// It may come again, behind a code that was drawn: then it must be what the key has shown.
			if before, read := l.t.issuances[id.ID(i)]; read && before.version != version { //guard:TestIssuanceReadTwice
				return fmt.Errorf("%w: an issuance that was read", store.ErrConflict)
			}
			l.t.issuances[id.ID(i)] = issuanceSeen{version, found.Scope, found.Key}
			l.found[id.ID(i)] = found
			return nil
		})
		return err
	})
}

func (l *loader) queueUsers(b *pgx.Batch) {
	var buckets []int16
	var ids []int64
	for _, u := range l.links {
		if u != 0 && l.users[u] == nil {
			buckets, ids = append(buckets, homeBucket(u)), append(ids, int64(u))
		}
	}
	if len(ids) == 0 {
		return
	}
	if l.users == nil {
		l.users = make(map[benefit.UserID]*benefit.User, len(ids))
	}
	b.Queue(loadUsers.text, buckets, ids).Query(func(rows pgx.Rows) error {
		var body []byte
		_, err := pgx.ForEachRow(rows, []any{&body}, func() error {
			u, err := codec.DecodeUser(body)
			if err == nil {
				l.users[u.ID] = u
			}
			return err
		})
		return err
	})
}

// setClaims sets the issuances under the keys. A key that is bound and leads to no issuance is not free: both were one
// commit, and issuances stay.
func (l *loader) setClaims() error {
	for k, c := range l.keys.Claims {
		i := l.found[l.ids[k]]
		if i == nil && l.ids[k] != 0 { //guard:TestConformance/Damage
			return fmt.Errorf("%w: a claim names issuance %d, which is not there", store.ErrDamaged, l.ids[k])
		}
		l.t.claims[c.ID] = l.ids[k]
		l.t.noteKey(c.ID, i)
		l.into.SetClaim(c.ID, i)
	}
	return nil
}

// setTemplates sets the counters on the day of now.
func (l *loader) setTemplates() {
	counts := make(map[benefit.TemplateID]benefit.TemplateCount, len(l.counts))
	for _, c := range l.counts {
		counts[c.Template] = c
	}
	today := l.t.now.Day()
	for _, t := range l.keys.Templates {
		c, d := counts[t], l.days[t]
		if c.Template = t; d.Day != today {
			d = benefit.TemplateDay{}
		}
		d.Template, d.Day = t, today
		l.into.SetTemplate(c, d)
	}
}

// setRecipients sets the users and all users of the same persons.
func (l *loader) setRecipients(ctx context.Context) error {
	members, err := l.members(ctx)
	if err != nil {
		return err
	}
	for k, ident := range l.keys.Recipients {
		u := l.users[l.links[k]]
		_, ref := ident.Ref()
		if u == nil && !ref && l.links[k] != 0 { //guard:TestConformance/Damage
			return fmt.Errorf("%w: an identifier names user %d, which is not there", store.ErrDamaged, l.links[k])
		}
		if u != nil && !ref && !slices.Contains(u.Identifiers, ident) {
			u = nil // another identifier with the same hash
		}
		var all []benefit.UserID
		if u != nil {
			all = members[u.Person]
		}
		l.into.SetRecipient(ident, u, all)
	}
	return nil
}

func (l *loader) members(ctx context.Context) (map[string][]benefit.UserID, error) {
	var persons []string
	for _, u := range l.users {
		if u.Person != "" {
			persons = append(persons, u.Person)
		}
	}
	if len(persons) == 0 {
		return nil, nil
	}
	all := map[string][]benefit.UserID{}
	b := &pgx.Batch{}
	b.Queue(loadMembers.text, persons).Query(func(rows pgx.Rows) error {
		var person string
		var user int64
		_, err := pgx.ForEachRow(rows, []any{&person, &user}, func() error {
			all[person] = append(all[person], benefit.UserID(user))
			return nil
		})
		return err
	})
	return all, l.t.send(ctx, b)
}
