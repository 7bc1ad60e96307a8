package codec

import (
	"encoding/binary"
	"fmt"

	"faquan/internal/benefit"
)

// RecordFormat is the format of the records that EncodeChanges writes. A record starts with it; a program refuses
// formats that it does not know, and reads every one that was ever written. Format 1 has no participations; up to format 2
// users do not say whether they are registered.
const RecordFormat = 3

func (e *encoder) quota(q benefit.Quota) {
	e.fixed(int64(q.User))
	e.int(int64(q.Template))
	e.int(q.Total)
	e.int(int64(q.Day))
	e.int(q.DayTotal)
}

func (d *decoder) quota() benefit.Quota {
	return benefit.Quota{
		QuotaKey: benefit.QuotaKey{User: benefit.UserID(d.fixed()), Template: benefit.TemplateID(d.int())},
		Total:    d.int(), Day: benefit.Day(d.small()), DayTotal: d.int(),
	}
}

// EncodeChanges appends the record of a commit to b. The bodies of its issuances lie in it in order; what is appended
// to at tells where each begins and ends, so that they can be kept without encoding them again.
func EncodeChanges(b []byte, c *benefit.Changes, at [][2]int) ([]byte, [][2]int) {
	e := encoder{b: append(b, RecordFormat)}
	e.int(int64(c.Now))
	e.uint(uint64(len(c.Issuances)))
	for _, i := range c.Issuances {
		// The length goes before the body; two bytes hold it for all but very long ones.
		start := len(e.b)
		e.issuance(i)
		n := len(e.b) - start
		e.uint(uint64(n))
		width := len(e.b) - start - n
		var length [binary.MaxVarintLen64]byte
		copy(length[:], e.b[start+n:])
		copy(e.b[start+width:], e.b[start:start+n])
		copy(e.b[start:], length[:width])
		at = append(at, [2]int{start + width, len(e.b)})
	}
	e.uint(uint64(len(c.Users)))
	for _, u := range c.Users {
		e.user(u)
	}
	e.uint(uint64(len(c.Quotas)))
	for _, q := range c.Quotas {
		e.quota(q)
	}
	e.uint(uint64(len(c.Templates)))
	for _, t := range c.Templates {
		e.int(int64(t.Template))
		e.int(t.Count)
		e.int(t.Amount)
	}
	e.uint(uint64(len(c.Days)))
	for _, t := range c.Days {
		e.int(int64(t.Template))
		e.int(int64(t.Day))
		e.int(t.Count)
		e.int(t.Amount)
	}
	e.catalogue(c)
	e.uint(uint64(len(c.Participations)))
	for k := range c.Participations {
		e.participation(&c.Participations[k])
	}
	return e.b, at
}

// users reads the users of a record. Where they do not say so themselves, the record tells whether they are registered:
// only a commit that issues makes users that are not.
func (d *decoder) users(format uint8, issues bool) (all []*benefit.User) {
	for range d.size(1) {
		u := d.user()
		if format < 3 {
			u.Unregistered = u.Unregistered && issues //guard:TestUsersThatDoNotSay u.Unregistered && issues -> u.Unregistered || issues
		}
		all = append(all, u)
	}
	return all
}

func (e *encoder) catalogue(c *benefit.Changes) {
	e.int(c.Catalogue)
	e.uint(uint64(len(c.Entities)))
	for _, x := range c.Entities {
		e.byte(uint8(x.Kind))
		e.int(x.ID)
		e.bytes(x.Body)
	}
	e.uint(uint64(len(c.Sessions)))
	for _, s := range c.Sessions {
		e.session(s)
	}
}

func (d *decoder) catalogue() (version int64, entities []benefit.Entity, sessions []*benefit.Session) {
	version = d.int()
	for range d.size(1) {
		entities = append(entities, benefit.Entity{Kind: benefit.EntityKind(d.byte()), ID: d.int(), Body: d.bytes()})
	}
	for range d.size(1) {
		sessions = append(sessions, d.session())
	}
	return version, entities, sessions
}

func (e *encoder) session(s *benefit.Session) { e.bytes(EncodeSession(s)) }

func (d *decoder) session() *benefit.Session {
	s, err := DecodeSession(d.raw())
	if err != nil {
		d.fail()
	}
	return s
}

// DecodeChanges reads what EncodeChanges wrote. at is where each issuance's body lies in it.
func DecodeChanges(record []byte) (c *benefit.Changes, at [][2]int, err error) {
	d := decoder{b: record}
	format := d.byte()
	if format < 1 || format > RecordFormat {
		return nil, nil, unknownFormat(format)
	}
	c = &benefit.Changes{Now: benefit.Instant(d.int())}
	for range d.size(1) {
		body := d.raw()
		end := len(record) - len(d.b)
		at = append(at, [2]int{end - len(body), end})
		i, err := DecodeIssuance(body)
		if err != nil {
			return nil, nil, err
		}
		c.Issuances = append(c.Issuances, i)
	}
	c.Users = d.users(format, len(c.Issuances) > 0)
	for range d.size(1) {
		c.Quotas = append(c.Quotas, d.quota())
	}
	for range d.size(1) {
		c.Templates = append(c.Templates, benefit.TemplateCount{Template: benefit.TemplateID(d.int()), Count: d.int(), Amount: d.int()})
	}
	for range d.size(1) {
		c.Days = append(c.Days, benefit.TemplateDay{
			Template: benefit.TemplateID(d.int()), Day: benefit.Day(d.small()), Count: d.int(), Amount: d.int(),
		})
	}
	c.Catalogue, c.Entities, c.Sessions = d.catalogue()
	if format > 1 { //guard:TestFormatOne 1 -> 0
		for range d.size(1) {
			c.Participations = append(c.Participations, d.participation())
		}
	}
	return c, at, d.whole()
}

// Skimmed is a record of which the issuances were not decoded: going through a whole journal takes a third of the
// time so.
type Skimmed struct {
	Issuances [][]byte // bodies; they point into the record
	Users     []*benefit.User
	Catalogue int64
	Entities  []benefit.Entity
	Sessions  []*benefit.Session
}

// Skim reads of a record what need not be counted.
func Skim(record []byte) (s Skimmed, err error) {
	d := decoder{b: record}
	format := d.byte()
	if format < 1 || format > RecordFormat {
		return s, unknownFormat(format)
	}
	d.int()
	for range d.size(1) {
		s.Issuances = append(s.Issuances, d.raw())
	}
	s.Users = d.users(format, len(s.Issuances) > 0)
	for range d.size(1) {
		d.quota()
	}
	for range d.size(1) {
		_, _, _ = d.int(), d.int(), d.int()
	}
	for range d.size(1) {
		_, _, _, _ = d.int(), d.int(), d.int(), d.int()
	}
	s.Catalogue, s.Entities, s.Sessions = d.catalogue()
	return s, d.err
}

func unknownFormat(format uint8) error {
	return fmt.Errorf("a journal record of format %d; this version reads formats up to %d: a newer faquan wrote it", format, RecordFormat)
}
