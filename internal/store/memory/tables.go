package memory

import (
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/table"
)

// tables are all rows of a store. A row behind a pointer is never changed in place.
type tables struct {
	now          benefit.Instant // of the last commit
	lastIDMillis int64
	version      int64 // of the catalogue

	issuances map[id.ID]*benefit.Issuance
	claims    map[claimKey]id.ID
	users     map[benefit.UserID]*benefit.User
	links     map[benefit.Identifier]benefit.UserID
	rows      map[rowKey]row  // of all kinds
	commits   []*store.Commit // the n-th has the sequence n+1
}

// rowKey is a key of a kind of rows, in the form that has its order.
type rowKey struct {
	kind uint8
	key  string
}

type row struct {
	version int64 // how often it was written
	row     table.Row
}

// claimKey is the key in its scope as text, so that not even two keys with one digest are mixed up.
type claimKey struct {
	scope benefit.Scope
	key   string
}

func newTables() *tables {
	return &tables{
		issuances: map[id.ID]*benefit.Issuance{}, claims: map[claimKey]id.ID{},
		users: map[benefit.UserID]*benefit.User{}, links: map[benefit.Identifier]benefit.UserID{}, rows: map[rowKey]row{},
	}
}

func (t *tables) clone() *tables {
	c := *t
	c.issuances, c.claims = maps.Clone(t.issuances), maps.Clone(t.claims)
	c.users, c.links, c.rows = maps.Clone(t.users), maps.Clone(t.links), maps.Clone(t.rows)
	return &c
}

// load sets in the state what the keys name.
func (t *tables) load(keys *benefit.Keys, into *benefit.State) error {
	for _, c := range keys.Claims {
		into.SetClaim(c.ID, t.issuances[t.claims[claimKey{c.Scope, c.Key}]])
	}
	for _, ident := range keys.Recipients {
		u := t.recipient(ident)
		into.SetRecipient(ident, u, t.members(u))
	}
	for _, v := range keys.Vouchers {
		into.SetVoucher(v, t.issuanceOf(v))
	}
	for _, wanted := range keys.Rows {
		var key table.Row
		for i := range wanted.Len() {
			wanted.Key(i, &key)
			found, ok := t.rows[rowKey{wanted.Kind().Number, string(wanted.Kind().AppendKey(nil, key.Key))}]
			if !ok {
				wanted.Absent(i)
			} else if err := wanted.Found(i, found.version, found.row.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// issuanceOf returns the issuance that holds a voucher.
func (t *tables) issuanceOf(voucher id.ID) *benefit.Issuance {
	for _, i := range t.issuances {
		if _, ok := i.Voucher(voucher); ok {
			return i
		}
	}
	return nil
}

// recipient returns whom an identifier names.
func (t *tables) recipient(ident benefit.Identifier) *benefit.User {
	if u, ok := ident.Ref(); ok {
		return t.users[u]
	}
	return t.users[t.links[ident]]
}

// members lists the users of the user's person, in id order; none when it has no person.
func (t *tables) members(u *benefit.User) []benefit.UserID {
	if u == nil || u.Person == "" {
		return nil
	}
	var all []benefit.UserID
	for _, other := range t.users {
		if other.Person == u.Person {
			all = append(all, other.ID)
		}
	}
	slices.Sort(all)
	return all
}

// write takes the changes of a batch decided at now.
func (t *tables) write(c *benefit.Changes, now benefit.Instant) {
	t.now = now
	for _, i := range c.Issuances {
		t.issuances[i.ID] = i
		for _, c := range i.ClaimKeys() {
			t.claims[claimKey{c.Scope, c.Key}] = i.ID
		}
		t.lastIDMillis = max(t.lastIDMillis, i.ID.Millis())
	}
	t.writeUsers(c.Users)
	for _, rows := range c.All() {
		for i := range rows.Len() {
			var one table.Row
			rows.Read(i, &one)
			k := rowKey{rows.Kind().Number, string(rows.Kind().AppendKey(nil, one.Key))}
			t.rows[k] = row{t.rows[k].version + 1, one}
		}
	}
	if c.Catalogue != 0 {
		t.version = c.Catalogue
	}
	t.commits = append(t.commits[:len(t.commits):len(t.commits)], &store.Commit{
		Place: store.Place{Seq: int64(len(t.commits)) + 1, Check: check}, Now: now, Steps: c.Steps,
	})
}

// writeUsers replaces users with all their identifiers. What they were called before is taken away from all of
// them first, so that an identifier can move from one user of the batch to another.
func (t *tables) writeUsers(users []*benefit.User) {
	for _, u := range users {
		if old := t.users[u.ID]; old != nil {
			for _, ident := range old.Identifiers {
				delete(t.links, ident)
			}
		}
	}
	for _, u := range users {
		t.users[u.ID] = u
		t.lastIDMillis = max(t.lastIDMillis, u.ID.Millis())
		for _, ident := range u.Identifiers {
			t.links[ident] = u.ID
		}
	}
}
