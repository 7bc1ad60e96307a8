package embedded

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/codec"
)

// table names a table of the view whose rows follow from the journal.
type table uint8

const (
	issuanceTable table = iota
	claimTable
	ledgerTable
	listTable
	countTable
	dayTable
	userTable
	linkTable
	sessionTable
	entityTable
	traceTable
	participationTable
	versionTable
	tableCount
)

func (t table) String() string {
	return [...]string{
		"issuance", "claim", "ledger", "template_block", "template_count", "template_day", "user", "link", "session", "entity",
		"trace", "participation", "entity_version",
	}[t]
}

// rowFunc takes a row: its key, which is unique in the table, and everything else. The slices are valid until it
// returns. What is in which place is known to journalRows and viewRows alone, which must agree, and to rowName.
type rowFunc func(t table, key, content []byte)

// numbers packs numbers for keys and contents.
func numbers(b []byte, all ...int64) []byte {
	for _, n := range all {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func numberAt(b []byte, k int) int64 {
	if len(b) < 8*k+8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b[8*k:]))
}

// The rows that are made in the same way of what the journal says and of what the view holds.

func claimRow(emit rowFunc, claim []byte, i id.ID) {
	var room [32]byte
	emit(claimTable, numbers(append(room[:0], claim...), int64(i)), nil)
}

func ledgerRowOf(emit rowFunc, r *ledgerRow) {
	var key, content [64]byte
	emit(ledgerTable, numbers(key[:0], int64(r.User), int64(r.Template), r.at),
		numbers(content[:0], int64(r.issuance), r.Total, int64(r.Day), r.DayTotal))
}

func listRow(emit rowFunc, t benefit.TemplateID, i id.ID) {
	var key [16]byte
	emit(listTable, numbers(key[:0], int64(t), int64(i)), nil)
}

func traceRowOf(emit rowFunc, hash int64, i id.ID) {
	var key [16]byte
	emit(traceTable, numbers(key[:0], hash, int64(i)), nil)
}

func versionRowOf(emit rowFunc, version int64, kind benefit.EntityKind, n int64, body []byte) {
	var key [24]byte
	emit(versionTable, numbers(key[:0], version, int64(kind), n), body)
}

func participationRow(emit rowFunc, k benefit.ParticipationKey, at int64, body []byte) {
	var key [24]byte
	emit(participationTable, numbers(key[:0], int64(k.User), int64(k.Activity), at), body)
}

func countRow(emit rowFunc, c benefit.TemplateCount) {
	var key, content [16]byte
	emit(countTable, numbers(key[:0], int64(c.Template)), numbers(content[:0], c.Count, c.Amount))
}

func dayRow(emit rowFunc, d benefit.TemplateDay) {
	var key, content [16]byte
	emit(dayTable, numbers(key[:0], int64(d.Template), int64(d.Day)), numbers(content[:0], d.Count, d.Amount))
}

func userRow(emit rowFunc, u id.ID, name, person string, body []byte) {
	var key [8]byte
	var content []byte
	for _, text := range [...]string{name, person} {
		content = append(binary.AppendUvarint(content, uint64(len(text))), text...)
	}
	emit(userTable, numbers(key[:0], int64(u)), append(content, body...))
}

func linkRow(emit rowFunc, k linkKey, l link) {
	var content [16]byte
	plain := int64(0)
	if l.plain {
		plain = 1
	}
	emit(linkTable, k[:], numbers(content[:0], int64(l.user), plain))
}

// removedLinkRow stands for an identifier that no user has any more: there may be a row or none, as long as the user that
// it names is asked.
const removedLinkRow = "gone"

func isDangling(content string, found bool) bool {
	return !found || numberAt([]byte(content), 1) == 0
}

func entityRow(emit rowFunc, kind benefit.EntityKind, n int64, body []byte) {
	var key [16]byte
	emit(entityTable, numbers(key[:0], int64(kind), n), body)
}

// journalRows makes the rows of the view from the records of the journal. Rows that are written again come again.
type journalRows struct {
	emit rowFunc
	// repeated reports whether the row is written more than once, and repeat marks it as such.
	repeated func(t table, key []byte) bool
	repeat   func(t table, key []byte)
	links    map[benefit.UserID][]linkKey // of users that are written more than once, as they are now
}

func (j *journalRows) record(seq uint64, payload []byte, c *benefit.Changes, bodies [][2]int) error {
	for k, i := range c.Issuances {
		var key [8]byte
		j.emit(issuanceTable, numbers(key[:0], int64(i.ID)), payload[bodies[k][0]:bodies[k][1]])
		for _, c := range i.ClaimKeys() {
			claimRow(j.emit, c.ID[:], i.ID)
		}
		if i.Note.TraceID != "" {
			traceRowOf(j.emit, traceHash(i.Note.TraceID), i.ID)
		}
		for _, t := range templatesOf(i) {
			listRow(j.emit, t, i.ID)
		}
	}
	for _, r := range ledgerOf(seq, c) {
		ledgerRowOf(j.emit, &r)
	}
	for k := range c.Participations {
		p := &c.Participations[k]
		participationRow(j.emit, p.ParticipationKey, commitOrder(seq, 0), codec.AppendParticipation(nil, p))
	}
	j.users(c.Users)
	for _, t := range c.Templates {
		countRow(j.emit, t)
	}
	for _, d := range c.Days {
		dayRow(j.emit, d)
	}
	for _, e := range c.Entities {
		entityRow(j.emit, e.Kind, e.ID, e.Body)
		versionRowOf(j.emit, c.Catalogue, e.Kind, e.ID, e.Body)
	}
	for _, s := range c.Sessions {
		j.emit(sessionTable, s.Digest[:], codec.EncodeSession(s))
	}
	return nil
}

// users makes the rows of users and their identifiers. An identifier that a user no longer has leads nowhere,
// unless another user of the record has it.
func (j *journalRows) users(all []*benefit.User) {
	keys := make([][]linkKey, len(all))
	for k, u := range all {
		for _, ident := range u.Identifiers {
			keys[k] = append(keys[k], codec.IdentifierHash(ident))
		}
		for _, old := range j.links[u.ID] {
			if !slices.Contains(keys[k], old) {
				j.emit(linkTable, old[:], []byte(removedLinkRow))
			}
		}
	}
	for k, u := range all {
		var room [8]byte
		key := numbers(room[:0], int64(u.ID))
		again := j.repeated(userTable, key)
		if again {
			j.links[u.ID] = keys[k]
		}
		userRow(j.emit, u.ID, u.Name, u.Person, codec.AppendUser(nil, u))
		for _, l := range keys[k] {
			if again {
				j.repeat(linkTable, l[:])
			}
			linkRow(j.emit, l, link{u.ID, u.Plain()})
		}
	}
}

// rowName names a row for people. Digests of keys and identifiers are cut, so that they cannot be searched for.
func rowName(t table, key, content []byte) string {
	n := func(k int) int64 { return numberAt(key, k) }
	cut := func() string { return fmt.Sprintf("%x…", key[:min(4, len(key))]) }
	switch t {
	case issuanceTable:
		return fmt.Sprintf("issuance %d", n(0))
	case claimTable:
		return fmt.Sprintf("claim %s of issuance %d", cut(), numberAt(key[max(len(key)-8, 0):], 0))
	case ledgerTable:
		return fmt.Sprintf("user %d, template %d, journal record %d, issuance %d", n(0), n(1), seqOf(n(2)), numberAt(content, 0))
	case listTable:
		return fmt.Sprintf("template %d, issuance %d", n(0), n(1))
	case countTable:
		return fmt.Sprintf("template %d", n(0))
	case dayTable:
		return fmt.Sprintf("template %d on %s", n(0), benefit.Day(n(1)))
	case userTable:
		return fmt.Sprintf("user %d", n(0))
	case linkTable:
		return fmt.Sprintf("identifier %s of user %d", cut(), numberAt(content, 0))
	case sessionTable:
		return "session " + cut()
	case entityTable:
		return fmt.Sprintf("kind %d, id %d", n(0), n(1))
	case traceTable:
		return fmt.Sprintf("trace of issuance %d", n(1))
	case participationTable:
		return fmt.Sprintf("user %d, activity %d, journal record %d", n(0), n(1), seqOf(n(2)))
	case versionTable:
		return fmt.Sprintf("kind %d, id %d in version %d", n(1), n(2), n(0))
	}
	return t.String()
}

// writtenTwice marks the content of a row that is there more than once.
const writtenTwice = " twice"

// seqOf returns the journal record of a place in the order of commits.
func seqOf(at int64) uint64 { return uint64(at) >> 12 }

// contentText shows what a row says, where that is short and no secret.
func contentText(t table, content string) string {
	if said, other := strings.CutSuffix(content, uncanonical); other {
		return contentText(t, said) + "," + uncanonical
	}
	if said, again := strings.CutSuffix(content, writtenTwice); again {
		return contentText(t, said) + "," + writtenTwice
	}
	n := func(k int) int64 { return numberAt([]byte(content), k) }
	switch t {
	case ledgerTable:
		return fmt.Sprintf("issuance %d, %d vouchers, %d of them on %s", n(0), n(1), n(3), benefit.Day(n(2)))
	case countTable, dayTable:
		return fmt.Sprintf("%d vouchers, %d fen", n(0), n(1))
	case linkTable:
		if content == removedLinkRow {
			return "nobody's"
		}
		return fmt.Sprintf("user %d, plain %d", n(0), n(1))
	case listTable, claimTable, traceTable:
		return "listed"
	}
	return fmt.Sprintf("a row with checksum %x", content)
}
