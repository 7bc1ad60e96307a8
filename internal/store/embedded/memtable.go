package embedded

import (
	"cmp"
	"slices"
	"sync"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/codec"
	"faquan/internal/table"
)

// memtable holds what was committed to the journal and is not in the view yet. Its large maps hold no pointers, so
// that the garbage collector need not walk them: what is large stays encoded in the records, and places point there.
type memtable struct {
	gen         int64
	floor       int64  // no new id carries an earlier millisecond
	first, last uint64 // journal records, first 0 when there are none
	hash        [32]byte
	began, now  benefit.Instant // of the first commit and of the last
	idMillis    int64
	catalogue   int64

	records   [][]byte
	bodies    []byte // of users, the record at bodiesAt
	bodiesAt  int32
	size      int // of the records, bytes
	issuances []issuanceRow
	byID      byID                      // of the issuances
	added     []int32                   // where the issuances of the last record lie in issuances
	claims    map[benefit.ClaimID]int32 // into issuances: of keys and of certificate codes
	keys      []keyRow
	traces    []traceRow
	ledger    []ledgerRow
	byUser    byUser                     // of the ledger
	quotas    map[benefit.QuotaKey]int32 // into ledger
	rows      []rowEntry                 // of other kinds
	grown     int                        // how many of them are not local
	rowIndex  map[rowKey]int32           // the newest of each key, into rows
	users     map[benefit.UserID]memtableUserRow
	links     map[linkKey]link
	persons   map[string][]benefit.UserID
	lists     map[benefit.TemplateID][]id.ID // new issuances, for the templates' lists
}

// span locates bytes in the records.
type span struct {
	record     int32
	start, end int32
}

type issuanceRow struct {
	id   id.ID
	body span
}

// keyRow maps a claim to its issuance. One that is continued may come twice.
type keyRow struct {
	claim benefit.ClaimID
	id    id.ID
}

// traceRow lists an issuance under its caller's trace id.
type traceRow struct {
	hash int64
	id   id.ID
}

// traceHash is 64 bits of FNV-1a: the index compares the texts of what it finds.
func traceHash(traceID string) int64 {
	return int64(fnv1a(fnvOffset, traceID))
}

const fnvOffset = 14695981039346656037

func fnv1a[T string | []byte](h uint64, data T) uint64 {
	for k := range len(data) {
		h = (h ^ uint64(data[k])) * 1099511628211
	}
	return h
}

type memtableUserRow struct {
	body  span
	plain bool
}

type ledgerRow struct {
	benefit.Quota
	at       int64
	issuance id.ID
	row      int32 // of the issuance, into memtable.issuances; it means nothing without one
}

// linkKey is the look-up key of an identifier, see codec.IdentifierHash.
type linkKey = benefit.Digest

// link is the user that an identifier names.
type link struct {
	user benefit.UserID
	// plain reports whether the user has nothing but the identifier, so that no row need be read. Users that were
	// created by issuing to an unknown recipient are plain; most users are.
	plain bool
}

func newMemtable(gen, floor int64) *memtable {
	return &memtable{
		gen: gen, floor: floor, claims: map[benefit.ClaimID]int32{}, quotas: map[benefit.QuotaKey]int32{},
		rowIndex: map[rowKey]int32{}, users: map[benefit.UserID]memtableUserRow{}, links: map[linkKey]link{},
		persons: map[string][]benefit.UserID{}, lists: map[benefit.TemplateID][]id.ID{},
	}
}

func (o *memtable) empty() bool { return o.first == 0 }

// weight bounds the memtable's memory: its share of a generation, which takes a few hundred bytes for each issuance, or
// when the issuances take more than 1 KiB on average, that many KiB.
func (o *memtable) weight() int { return max(o.share(), o.size>>10) }

// share returns how much of a generation the memtable takes: its issuances, or where they have many codes or many
// lines, as many as usually fill the filters so far. Filters that are too full say "perhaps" of everything.
func (o *memtable) share() int {
	//guard:TestGenerationOfManyCodes without (len(o.keys)+len(o.links))/3
	return max(len(o.issuances), (len(o.keys)+len(o.links))/3, (len(o.ledger)+o.grown)/2)
}

// record is one committed journal record with its changes, as commit or replay has it at hand.
type record struct {
	seq     uint64
	hash    [32]byte
	bytes   []byte
	changes *benefit.Changes
	bodies  [][2]int    // where the issuances lie in bytes
	gone    []namedLink // identifiers that their users no longer have

	// The look-up ids of what the changes hold, made once: each is a SHA-256.
	claims []benefit.ClaimID // of the issuances' keys, in order
	codes  []codeClaim       // of their certificate codes
	links  []namedLink       // of the users' identifiers, in order

	quotas   []benefit.Quota
	rows     []rowEntry // of other kinds, with those that are derived
	rowBytes []byte     // where they lie
}

// codeClaim is the look-up id of a certificate code of the k-th issuance.
type codeClaim struct {
	claim benefit.ClaimID
	k     int
}

// prepare makes the look-up ids, and the rows.
func (r *record) prepare(hot *table.Kind) {
	r.encodeRows(hot)
	r.claims = make([]benefit.ClaimID, len(r.changes.Issuances))
	for k, i := range r.changes.Issuances {
		r.claims[k] = benefit.ClaimIDOf(i.Scope, i.Key)
		for l := range i.Lines {
			for _, code := range i.Lines[l].Codes {
				r.codes = append(r.codes, codeClaim{benefit.CodeKey(code).ID, k})
			}
		}
	}
	for _, u := range r.changes.Users {
		for _, i := range u.Identifiers {
			r.links = append(r.links, namedLink{codec.IdentifierHash(i), link{u.ID, u.Plain()}})
		}
	}
}

// namedLink is the link of an identifier. One that its user no longer has is not plain: it is looked up in the user, and not
// found there.
type namedLink struct {
	key linkKey
	link
}

// commitOrder returns a number that grows with every issuance of every commit.
func commitOrder(seq uint64, k int) int64 { return int64(seq)*maxIssuances | int64(k) }

// indexIn returns the index of the issuance in its commit, given its place in the order of commits.
func indexIn(order int64) int { return int(order & (maxIssuances - 1)) }

// commitOf returns the place of the commit in which a place in the order of commits is.
func commitOf(order int64) int64 { return order &^ (maxIssuances - 1) }

// seqOf returns the journal record of a place in the order of commits.
func seqOf(order int64) uint64 { return uint64(order) / maxIssuances }

// maxIssuances is how many issuances one record may hold, so that commitOrder stays unique.
const maxIssuances = 1 << 12

// add takes a record with its digests.
func (o *memtable) add(r *record) {
	if o.first == 0 {
		o.first, o.began = r.seq, r.changes.Now
	}
	c := r.changes
	o.last, o.hash, o.now = r.seq, r.hash, c.Now
	at := int32(len(o.records))
	o.records = append(o.records, r.bytes)
	o.size += len(r.bytes)
	o.added = o.added[:0]
	for k, i := range c.Issuances {
		o.added = append(o.added, o.addIssuance(i, r.claims[k], span{at, int32(r.bodies[k][0]), int32(r.bodies[k][1])}))
	}
	for _, code := range r.codes {
		//guard:TestCodesAcrossCrashes
		o.claims[code.claim] = o.claims[r.claims[code.k]]
		//guard:TestCodesAcrossCrashes
		o.keys = append(o.keys, keyRow{code.claim, c.Issuances[code.k].ID})
	}
	o.addRows(r)
	for _, row := range ledgerOf(r.seq, c.Issuances, r.quotas) {
		if row.Total != noCounters {
			o.quotas[row.QuotaKey] = int32(len(o.ledger))
		}
		if row.issuance != 0 {
			row.row = o.added[indexIn(row.at)]
		}
		o.ledger = append(o.ledger, row)
	}
	for _, l := range r.gone {
		o.links[l.key] = l.link
	}
	for _, l := range r.links { // some may have been taken over from another user of the record
		o.links[l.key] = l.link
	}
	for _, u := range c.Users {
		o.addUser(u)
	}
	if c.Catalogue != 0 {
		o.catalogue = c.Catalogue
	}
}

// addIssuance returns the issuance's index in issuances.
func (o *memtable) addIssuance(i *benefit.Issuance, claim benefit.ClaimID, body span) int32 {
	o.idMillis = max(o.idMillis, i.ID.Millis())
	if k, ok := o.claims[claim]; ok && o.issuances[k].id == i.ID { // continued while still here
		o.issuances[k].body = body
		return k
	}
	row := int32(len(o.issuances))
	o.claims[claim] = row
	o.issuances = append(o.issuances, issuanceRow{i.ID, body})
	o.keys = append(o.keys, keyRow{claim, i.ID})
	if i.Note.TraceID != "" {
		o.traces = append(o.traces, traceRow{traceHash(i.Note.TraceID), i.ID})
	}
	// What is continued stands in the lists already. If it is as new as what comes new it may be listed again:
	// readers drop doubles, but a block that reaches far back would mislead them.
	if i.ID.Millis() >= o.floor {
		for _, t := range templatesOf(i) {
			o.lists[t] = append(o.lists[t], i.ID)
		}
	}
	return row
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
func ledgerOf(seq uint64, issuances []*benefit.Issuance, quotas []benefit.Quota) []ledgerRow {
	rows := make([]ledgerRow, 0, len(issuances))
	changed := make(map[benefit.QuotaKey]int, len(quotas))
	for n := range quotas {
		changed[quotas[n].QuotaKey] = n
	}
	listed := make([]bool, len(quotas))
	for k, i := range issuances {
		for _, t := range templatesOf(i) {
			row := ledgerRow{at: commitOrder(seq, k), issuance: i.ID}
			row.QuotaKey, row.Total = benefit.QuotaKey{User: i.User, Template: t}, noCounters
			if n, ok := changed[row.QuotaKey]; ok {
				row.Quota, listed[n] = quotas[n], true
			}
			rows = append(rows, row)
		}
	}
	for n, q := range quotas {
		if !listed[n] {
			rows = append(rows, ledgerRow{Quota: q, at: commitOrder(seq, 0)})
		}
	}
	return rows
}

func (o *memtable) addUser(u *benefit.User) {
	o.users[u.ID] = memtableUserRow{o.keepUser(u), u.Plain()}
	o.idMillis = max(o.idMillis, u.ID.Millis())
	if u.Person != "" {
		o.persons[u.Person] = append(o.persons[u.Person], u.ID)
	}
}

// bodyChunk is how many bytes of users share one allocation.
const bodyChunk = 64 << 10

// keepUser encodes a user behind others.
func (o *memtable) keepUser(u *benefit.User) span {
	if o.bodies == nil || cap(o.bodies)-len(o.bodies) < bodyChunk/16 {
		o.bodies = make([]byte, 0, bodyChunk)
		o.records = append(o.records, nil)
		o.bodiesAt = int32(len(o.records) - 1)
	}
	start := int32(len(o.bodies))
	o.bodies = codec.AppendUser(o.bodies, u) // what is larger than the chunk has moved elsewhere, with all before it
	end := int32(len(o.bodies))
	o.records[o.bodiesAt] = o.bodies
	o.size += int(end - start)
	return span{o.bodiesAt, start, end}
}

func (o *memtable) bytes(p span) []byte { return o.records[p.record][p.start:p.end] }

func (o *memtable) quota(k benefit.QuotaKey) (counters, bool) {
	if n, ok := o.quotas[k]; ok {
		return countersOf(&o.ledger[n].Quota, o.ledger[n].at), true
	}
	return counters{}, false
}

// byID finds issuances by id. Those who ask make it, as far as they need it, and under a lock of its own, so that a commit
// neither pays for it nor waits for it.
type byID struct {
	mu     sync.Mutex
	sorted []issuedID
}

type issuedID struct {
	id  id.ID
	row int32 // in issuances
}

func compareIDs(a, b issuedID) int { return cmp.Compare(a.id, b.id) }

// lastUntil returns the last issuance with an id at or before the given one: see viewHolder. The rows are all that the
// memtable had at some moment; an issuance that came later may be found as well.
func (b *byID) lastUntil(rows []issuanceRow, i id.ID) (last issuedID, ok bool) {
	b.mu.Lock() //guard:TestVouchersBesideCommits
	defer b.mu.Unlock()
	if n := len(b.sorted); n < len(rows) {
		for row := n; row < len(rows); row++ {
			b.sorted = append(b.sorted, issuedID{rows[row].id, int32(row)})
		}
		// Ids grow with time, so that little of what was sorted before comes behind the new ones.
		from, _ := slices.BinarySearchFunc(b.sorted[:n], slices.MinFunc(b.sorted[n:], compareIDs), compareIDs)
		slices.SortFunc(b.sorted[from:], compareIDs) //guard:TestVouchersAnywhere
	}
	at, exact := slices.BinarySearchFunc(b.sorted, issuedID{id: i}, compareIDs)
	if !exact {
		at--
	}
	if at < 0 {
		return last, false
	}
	return b.sorted[at], true
}

func (o *memtable) claim(c benefit.ClaimID) ([]byte, bool) {
	if n, ok := o.claims[c]; ok {
		return o.bytes(o.issuances[n].body), true
	}
	return nil, false
}
