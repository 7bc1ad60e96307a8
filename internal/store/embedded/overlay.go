package embedded

import (
	"crypto/sha256"
	"encoding/binary"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// overlay holds what was committed to the journal and is not in the view yet. Its maps hold no pointers, so that
// the garbage collector need not walk them: what is large stays encoded in the records, and places point there.
type overlay struct {
	gen         int64
	floor       int64  // no new id carries an earlier millisecond
	first, last uint64 // journal records, first 0 when there are none
	hash        [32]byte
	now         benefit.Instant
	idMillis    int64
	catalogue   int64

	records   [][]byte
	size      int // of the records, bytes
	issuances []issuanceRow
	claims    map[benefit.ClaimID]int32 // into issuances
	ids       map[id.ID]int32           // into issuances
	ledger    []ledgerRow
	quotas    map[benefit.QuotaKey]int32 // into ledger
	templates map[benefit.TemplateID]benefit.TemplateCount
	days      map[templateDay]benefit.TemplateDay
	users     map[benefit.UserID]overlayUserRow
	links     map[linkKey]link
	persons   map[string][]benefit.UserID
	sessions  map[benefit.Digest]*benefit.Session
	entities  map[entityKey]benefit.Entity
	lists     map[benefit.TemplateID][]id.ID // new issuances, for the templates' lists
}

// place is where bytes lie in the records.
type place struct {
	record     int32
	start, end int32
}

type issuanceRow struct {
	id    id.ID
	claim benefit.ClaimID
	body  place
}

type overlayUserRow struct {
	body  place
	plain bool
}

type ledgerRow struct {
	benefit.Quota
	at       int64
	issuance id.ID
}

type templateDay struct {
	template benefit.TemplateID
	day      benefit.Day
}

type entityKey struct {
	kind benefit.EntityKind
	id   int64
}

// linkKey is what an identifier is looked up by: 128 bits of SHA-256 over its canonical parts.
type linkKey = benefit.Digest

func linkKeyOf(i benefit.Identifier) linkKey {
	var room [192]byte
	b := binary.AppendUvarint(room[:0], uint64(len(i.Type)))
	b = append(b, i.Type...)
	b = binary.AppendVarint(b, int64(i.App))
	b = append(b, i.Value...)
	sum := sha256.Sum256(b)
	return linkKey(sum[:16])
}

// link says whom an identifier names.
type link struct {
	user benefit.UserID
	// plain says that the identifier is all there is to the user, so that no row need be read. Users that were
	// made by issuing to an unknown recipient are plain; they are the many.
	plain bool
}

func plain(u *benefit.User) bool {
	return len(u.Identifiers) == 1 && u.Name == "" && !u.Frozen && u.Person == "" && len(u.Attributes) == 0 &&
		u.Alipay == plainUser(u.ID, u.Identifiers[0]).Alipay
}

// plainUser is the user of which an identifier is all.
func plainUser(u benefit.UserID, i benefit.Identifier) *benefit.User {
	user := &benefit.User{ID: u, Identifiers: []benefit.Identifier{i}}
	if i.Type == benefit.AlipayID {
		user.Alipay = i.Value
	}
	return user
}

func newOverlay(gen, floor int64) *overlay {
	return &overlay{
		gen: gen, floor: floor, claims: map[benefit.ClaimID]int32{}, ids: map[id.ID]int32{}, quotas: map[benefit.QuotaKey]int32{},
		templates: map[benefit.TemplateID]benefit.TemplateCount{}, days: map[templateDay]benefit.TemplateDay{},
		users: map[benefit.UserID]overlayUserRow{}, links: map[linkKey]link{}, persons: map[string][]benefit.UserID{}, sessions: map[benefit.Digest]*benefit.Session{},
		entities: map[entityKey]benefit.Entity{}, lists: map[benefit.TemplateID][]id.ID{},
	}
}

func (o *overlay) empty() bool { return o.first == 0 }

// weight bounds the overlay's memory: its issuances, which take a few hundred bytes each, or when they take more than
// 1 KiB on average, that many KiB.
func (o *overlay) weight() int { return max(len(o.issuances), o.size>>10) }

// record is one committed journal record with its changes, as commit or replay has it at hand.
type record struct {
	seq     uint64
	hash    [32]byte
	bytes   []byte
	changes *benefit.Changes
	bodies  [][2]int // where the issuances lie in bytes
	gone    []goneLink
}

// goneLink is an identifier that its user no longer has.
type goneLink struct {
	key  linkKey
	user benefit.UserID
}

// commitOrder is a number that grows with every issuance of every commit.
func commitOrder(seq uint64, k int) int64 { return int64(seq)<<12 | int64(k) }

// maxIssuances is how many issuances one record may hold, so that commitOrder stays unique.
const maxIssuances = 1 << 12

// add takes a record.
func (o *overlay) add(r record) {
	if o.first == 0 {
		o.first = r.seq
	}
	c := r.changes
	o.last, o.hash, o.now = r.seq, r.hash, c.Now
	at := int32(len(o.records))
	o.records = append(o.records, r.bytes)
	o.size += len(r.bytes)
	for k, i := range c.Issuances {
		o.addIssuance(i, place{at, int32(r.bodies[k][0]), int32(r.bodies[k][1])})
	}
	for _, row := range ledgerOf(r.seq, c) {
		if row.Total != noCounters {
			o.quotas[row.QuotaKey] = int32(len(o.ledger))
		}
		o.ledger = append(o.ledger, row)
	}
	// A link that is not plain is looked up in the user, and not found there. Links that were taken over by
	// another user of the record are written after it.
	for _, g := range r.gone {
		o.links[g.key] = link{user: g.user}
	}
	for _, u := range c.Users {
		o.addUser(u)
	}
	for _, t := range c.Templates {
		o.templates[t.Template] = t
	}
	for _, t := range c.Days {
		o.days[templateDay{t.Template, t.Day}] = t
	}
	for _, s := range c.Sessions {
		o.sessions[s.Digest] = s
	}
	for _, e := range c.Entities {
		o.entities[entityKey{e.Kind, e.ID}] = e
	}
	if c.Catalogue != 0 {
		o.catalogue = c.Catalogue
	}
}

func (o *overlay) addIssuance(i *benefit.Issuance, body place) {
	claim := benefit.ClaimIDOf(i.Scope, i.Key)
	o.idMillis = max(o.idMillis, i.ID.Millis())
	if k, ok := o.ids[i.ID]; ok { // continued while still here
		o.issuances[k].body = body
		return
	}
	k := int32(len(o.issuances))
	o.issuances = append(o.issuances, issuanceRow{i.ID, claim, body})
	o.claims[claim], o.ids[i.ID] = k, k
	// What is continued stands in the lists already. If it is as new as what comes new it may be listed again:
	// readers drop doubles, but a block that reaches far back would mislead them.
	if i.ID.Millis() >= o.floor {
		for _, t := range templatesOf(i) {
			o.lists[t] = append(o.lists[t], i.ID)
		}
	}
}

// templatesOf lists the templates of the issuance's lines, each once, whether they issued yet or not.
func templatesOf(i *benefit.Issuance) []benefit.TemplateID {
	if len(i.Lines) == 1 {
		return []benefit.TemplateID{i.Lines[0].Template}
	}
	var all []benefit.TemplateID
	seen := map[benefit.TemplateID]bool{}
	for k := range i.Lines {
		if t := i.Lines[k].Template; !seen[t] {
			seen[t] = true
			all = append(all, t)
		}
	}
	return all
}

// noCounters marks a ledger row that only lists an issuance and says nothing of the user's counters.
const noCounters = -1

// ledgerOf lists the ledger rows that a record makes: one for each issuance and template, with the counters that
// the record leaves behind where it changed them; and one for each quota that changed without an issuance.
func ledgerOf(seq uint64, c *benefit.Changes) []ledgerRow {
	rows := make([]ledgerRow, 0, len(c.Issuances))
	type counted struct {
		benefit.Quota
		used bool
	}
	quotas := make(map[benefit.QuotaKey]*counted, len(c.Quotas))
	for _, q := range c.Quotas {
		quotas[q.QuotaKey] = &counted{Quota: q}
	}
	for k, i := range c.Issuances {
		for _, t := range templatesOf(i) {
			row := ledgerRow{at: commitOrder(seq, k), issuance: i.ID}
			if q := quotas[benefit.QuotaKey{User: i.User, Template: t}]; q != nil {
				row.Quota, q.used = q.Quota, true
			} else {
				row.User, row.Template, row.Total = i.User, t, noCounters
			}
			rows = append(rows, row)
		}
	}
	for _, q := range c.Quotas {
		if !quotas[q.QuotaKey].used {
			rows = append(rows, ledgerRow{Quota: q, at: commitOrder(seq, 0)})
		}
	}
	return rows
}

func (o *overlay) addUser(u *benefit.User) {
	at := int32(len(o.records))
	body := encodeUser(u)
	o.records = append(o.records, body)
	o.size += len(body)
	o.users[u.ID] = overlayUserRow{place{at, 0, int32(len(body))}, plain(u)}
	o.idMillis = max(o.idMillis, u.ID.Millis())
	if u.Person != "" {
		o.persons[u.Person] = append(o.persons[u.Person], u.ID)
	}
	for _, i := range u.Identifiers {
		o.links[linkKeyOf(i)] = link{u.ID, plain(u)}
	}
}

func (o *overlay) bytes(p place) []byte { return o.records[p.record][p.start:p.end] }

// quota finds the counters of a user and template.
func (o *overlay) quota(k benefit.QuotaKey) (benefit.Quota, bool) {
	if n, ok := o.quotas[k]; ok {
		return o.ledger[n].Quota, true
	}
	return benefit.Quota{}, false
}

// claim finds the body of the issuance under a claim.
func (o *overlay) claim(c benefit.ClaimID) ([]byte, bool) {
	if n, ok := o.claims[c]; ok {
		return o.bytes(o.issuances[n].body), true
	}
	return nil, false
}
