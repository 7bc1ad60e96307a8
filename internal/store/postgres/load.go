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

// loader is the state of one Load: what was requested, in the order in which it was sent, and what was found.
type loader struct {
	t     *tx
	keys  *benefit.Keys
	into  *benefit.State
	ids   []id.ID // under the claims
	links []benefit.UserID
	users map[benefit.UserID]*benefit.User
	found map[id.ID]*benefit.Issuance
}

// Load takes the locks and reads the rows, see store.Tx.
func (t *tx) Load(ctx context.Context, keys *benefit.Keys, into *benefit.State) error {
	l := &loader{t: t, keys: keys, into: into, found: map[id.ID]*benefit.Issuance{}}
	b := &pgx.Batch{}
	if err := l.queueLocks(ctx, b); err != nil {
		return err
	}
	l.queueClaims(b)
	l.queueLinks(b)
	l.queueVouchers(b)
	l.queueRows(b)
	if err := t.send(ctx, b); err != nil {
		return err
	}
	if err := l.follow(ctx); err != nil {
		return err
	}
	if err := l.setClaims(); err != nil {
		return err
	}
	return l.setRecipients(ctx)
}

// queueLocks waits for the locks that the batch does not hold yet, and then asks for the time again. Locks are taken once,
// in one order; a batch that finds that it needs more begins again.
func (l *loader) queueLocks(ctx context.Context, b *pgx.Batch) error {
	//guard:TestGuardOfAnActivity|TestRulesThatExcludeEachOther/activities l.t.locks[k] -> k.Kind == benefit.ActivityLock
	want := slices.DeleteFunc(slices.Clone(l.keys.Locks), func(k benefit.Lock) bool { return l.t.locks[k] })
	if len(want) == 0 {
		return nil
	}
	if len(l.t.locks) > 0 {
		return fmt.Errorf("%w: the batch needs more locks than it has taken", store.ErrConflict)
	}
	slices.SortFunc(want, func(a, b benefit.Lock) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
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
			for _, k := range want {
				l.t.s.knownLocks.Delete(k) //guard:TestLocksAreCreatedAgain
			}
		}
		return err
	})
	l.t.queueState(b) //guard:TestNowIsReadAfterTheLocks
	return nil
}

func lockColumns(all []benefit.Lock) (kinds []int16, ids []int64) {
	for _, k := range all {
		kinds, ids = append(kinds, int16(k.Kind)), append(ids, k.ID)
	}
	return kinds, ids
}

// createLocks makes the lock rows that are new. It commits by itself: a row that a batch makes and does not commit would
// keep the others waiting in no order.
func (s *Store) createLocks(ctx context.Context, all []benefit.Lock) error {
	fresh := slices.DeleteFunc(slices.Clone(all), func(k benefit.Lock) bool {
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

// errSwallowed is returned when a statement changed fewer rows than it always does.
var errSwallowed = errors.New("the database did not write every row; a table may have a trigger or a rule")

// allRows returns what a statement is checked by that changes so many rows whatever other processes do: an insert that
// meets no other row, or replaces it.
func allRows(n int) func(ct pgconn.CommandTag) error { return countRows(n, errSwallowed) }

// wantRows returns what a statement is checked by that must touch so many rows: fewer mean that another process was
// first.
func wantRows(n int) func(ct pgconn.CommandTag) error { return countRows(n, store.ErrConflict) }

func countRows(n int, otherwise error) func(ct pgconn.CommandTag) error {
	return func(ct pgconn.CommandTag) error {
		if got := ct.RowsAffected(); got != int64(n) {
			return fmt.Errorf("%w: %d rows of %d", otherwise, got, n) //guard:TestSwallowedWrites
		}
		return nil
	}
}

// eachRow returns a function that reads rows into variables, and calls fn after each.
func eachRow(into []any, fn func() error) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, into, fn)
		return err
	}
}

// eachClaim returns a function that reads what loadClaims returns: the places of keys that are bound, and the issuances.
func eachClaim(fn func(k int, issuance id.ID)) func(pgx.Rows) error {
	var ord, issuance int64
	return eachRow([]any{&ord, &issuance}, func() error {
		fn(int(ord)-1, id.ID(issuance))
		return nil
	})
}

// eachLink returns a function that reads what loadLinks returns.
func eachLink(fn func(k int, user benefit.UserID, plain bool) error) func(pgx.Rows) error {
	var ord, user int64
	var plain bool
	return eachRow([]any{&ord, &user, &plain}, func() error { return fn(int(ord)-1, benefit.UserID(user), plain) })
}

func (l *loader) queueClaims(b *pgx.Batch) {
	if len(l.keys.Claims) == 0 {
		return
	}
	buckets, hashes := placeColumns(l.keys.Claims, func(c benefit.ClaimKey) place { return placeOf(c.ID) })
	l.ids = make([]id.ID, len(l.keys.Claims))
	b.Queue(loadClaims.text, buckets, hashes).Query(eachClaim(func(k int, issuance id.ID) { l.ids[k] = issuance }))
}

func (l *loader) queueLinks(b *pgx.Batch) {
	n := len(l.keys.Recipients)
	if n == 0 {
		return
	}
	l.links = make([]benefit.UserID, n)
	l.users = make(map[benefit.UserID]*benefit.User, n)
	for k, ident := range l.keys.Recipients {
		if user, ok := ident.Ref(); ok {
			l.links[k] = user
		}
	}
	buckets, hashes := placeColumns(l.keys.Recipients, linkPlace)
	b.Queue(loadLinks.text, buckets, hashes).Query(eachLink(func(k int, user benefit.UserID, plain bool) error {
		l.links[k] = user
		if plain {
			l.users[user] = benefit.PlainUser(user, l.keys.Recipients[k])
		}
		return nil
	}))
}

// follow reads what the first rows named: the issuances under the claims, the users behind the identifiers.
func (l *loader) follow(ctx context.Context) error {
	b := &pgx.Batch{}
	l.queueIssuances(b)
	l.queueUsers(b)
	return l.t.send(ctx, b)
}

func (l *loader) queueIssuances(b *pgx.Batch) {
	buckets, ids := idColumns(slices.DeleteFunc(slices.Clone(l.ids), func(i id.ID) bool { return i == 0 }))
	if len(ids) == 0 {
		return
	}
	l.t.readCommitted = true
	var version int32
	var body []byte
	b.Queue(loadIssuances.text, buckets, ids).Query(eachRow([]any{nil, &version, &body}, func() error {
		found, err := l.t.noteIssuance(version, body)
		if err == nil {
			l.found[found.ID] = found
		}
		return err
	}))
}

// noteIssuance returns an issuance as it was read, and remembers its version.
func (t *tx) noteIssuance(version int32, body []byte) (*benefit.Issuance, error) {
	found, err := codec.DecodeIssuance(body)
	if err != nil {
		return nil, err
	}
	// It may come again, behind a code that was drawn: then it must be what the key has shown.
	if before, read := t.issuances[found.ID]; read && before.version != version { //guard:TestIssuanceReadTwice
		return nil, fmt.Errorf("%w: an issuance that was read", store.ErrConflict)
	}
	t.issuances[found.ID] = issuanceSeen{version, found.Scope, found.Key}
	return found, nil
}

// queueVouchers asks for the issuances that hold vouchers.
func (l *loader) queueVouchers(b *pgx.Batch) {
	if len(l.keys.Vouchers) == 0 {
		return
	}
	for _, v := range l.keys.Vouchers {
		l.into.SetVoucher(v, nil)
	}
	buckets, ids := idColumns(l.keys.Vouchers)
	begins := make([]int64, len(ids))
	for k, v := range l.keys.Vouchers {
		begins[k] = int64(v.Begin())
	}
	var ord int64
	var version int32
	var body []byte
	b.Queue(withoutSort) //guard:TestVouchersOfABatchByIndex
	b.Queue(loadVouchers.text, buckets, ids, begins).Query(eachRow([]any{&ord, &version, &body}, func() error {
		found, err := l.t.noteIssuance(version, body)
		if err != nil {
			return err
		}
		l.t.readCommitted = true
		l.t.byVoucher = append(l.t.byVoucher, found.ID) // also when its line has not issued the voucher yet
		voucher := l.keys.Vouchers[ord-1]
		if _, ok := found.Voucher(voucher); ok { //guard:TestConformance$/Vouchers found.Voucher(voucher) -> 0, true
			l.into.SetVoucher(voucher, found)
		}
		return nil
	}))
	b.Queue(withSort)
}

// withoutSort lets the planner take nothing but the index that has the order, until withSort. One plan is made for all
// vouchers; without their values it would think that an issuance's bucket has fewer rows than its millisecond.
const (
	withoutSort = `SELECT set_config('enable_sort', 'off', true)`
	withSort    = `SELECT set_config('enable_sort', 'on', true)`
)

func (l *loader) queueUsers(b *pgx.Batch) {
	buckets, ids := idColumns(slices.DeleteFunc(slices.Clone(l.links), func(u benefit.UserID) bool { return u == 0 || l.users[u] != nil }))
	if len(ids) == 0 {
		return
	}
	if l.users == nil {
		l.users = make(map[benefit.UserID]*benefit.User, len(ids))
	}
	var body []byte
	b.Queue(loadUsers.text, buckets, ids).Query(eachRow([]any{&body}, func() error {
		u, err := codec.DecodeUser(body)
		if err == nil {
			l.users[u.ID] = u
		}
		return err
	}))
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
	var person string
	var user int64
	b.Queue(loadMembers.text, persons).Query(eachRow([]any{&person, &user}, func() error {
		all[person] = append(all[person], benefit.UserID(user))
		return nil
	}))
	return all, l.t.send(ctx, b)
}
