package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
)

// The bytes of a journal record, and of the bodies that the view keeps. Numbers are varints, texts and lists
// carry their length first. A record starts with its format; a binary refuses formats that it does not know, and
// reads every one that was ever written. Format 1 has no participations.
const recordFormat = 2

// maxList bounds what a length may claim, so that a damaged one cannot ask for all memory.
const maxList = 1 << 24

var errCodec = errors.New("malformed record")

type encoder struct{ b []byte }

func (e *encoder) int(n int64)    { e.b = binary.AppendVarint(e.b, n) }
func (e *encoder) uint(n uint64)  { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) fixed(n int64)  { e.b = binary.BigEndian.AppendUint64(e.b, uint64(n)) }
func (e *encoder) byte(n uint8)   { e.b = append(e.b, n) }
func (e *encoder) text(s string)  { e.uint(uint64(len(s))); e.b = append(e.b, s...) }
func (e *encoder) bytes(s []byte) { e.uint(uint64(len(s))); e.b = append(e.b, s...) }

func (e *encoder) bool(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

// decoder reads what encoder wrote. After the first error every read gives zeros, and err says what was wrong.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errCodec
	}
	d.b = nil
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) fixed() int64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	n := int64(binary.BigEndian.Uint64(d.b))
	d.b = d.b[8:]
	return n
}

func (d *decoder) byte() uint8 {
	if len(d.b) < 1 {
		d.fail()
		return 0
	}
	n := d.b[0]
	d.b = d.b[1:]
	return n
}

func (d *decoder) bool() bool { return d.byte() != 0 }

// size reads a length that must be covered by what is left, at unit bytes or more for each element.
func (d *decoder) size(unit int) int {
	n := d.uint()
	if n > maxList || int(n)*unit > len(d.b) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) small() int {
	n := d.int()
	if n < math.MinInt32 || n > math.MaxInt32 {
		d.fail()
		return 0
	}
	return int(n)
}

// raw gives a slice of the input itself.
func (d *decoder) raw() []byte {
	n := d.size(1)
	s := d.b[:n:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) text() string { return string(d.raw()) }

func (d *decoder) bytes() []byte {
	if s := d.raw(); len(s) > 0 {
		return append([]byte(nil), s...)
	}
	return nil
}

func (e *encoder) identifier(i benefit.Identifier) {
	e.text(i.Type)
	e.text(i.Value)
	e.int(int64(i.App))
}

func (d *decoder) identifier() benefit.Identifier {
	return benefit.Identifier{Type: d.text(), Value: d.text(), App: benefit.AppID(d.int())}
}

func (e *encoder) window(w benefit.Window) { e.int(int64(w.Start)); e.int(int64(w.End)) }

func (d *decoder) window() benefit.Window {
	return benefit.Window{Start: benefit.Instant(d.int()), End: benefit.Instant(d.int())}
}

// issuance writes a whole issuance. Its id stands first with a fixed length, where the view looks for it.
func (e *encoder) issuance(i *benefit.Issuance) {
	e.fixed(int64(i.ID))
	e.text(string(i.Scope))
	e.text(i.Key)
	e.int(int64(i.App))
	e.b = append(e.b, i.Meaning[:]...)
	e.identifier(i.Recipient)
	e.fixed(int64(i.User))
	e.text(i.Alipay)
	e.int(i.Catalogue)
	e.bool(i.Continues)
	e.text(i.Note.Memo)
	e.text(i.Note.Extend)
	e.text(i.Note.TraceID)
	e.uint(uint64(len(i.Lines)))
	for k := range i.Lines {
		e.line(&i.Lines[k], i.ID)
	}
	e.more(i)
}

func (d *decoder) issuance() *benefit.Issuance {
	i := &benefit.Issuance{
		ID: id.ID(d.fixed()), Scope: benefit.Scope(d.text()), Key: d.text(), App: benefit.AppID(d.int()),
	}
	if len(d.b) < len(i.Meaning) {
		d.fail()
	} else {
		d.b = d.b[copy(i.Meaning[:], d.b):]
	}
	i.Recipient = d.identifier()
	i.User = benefit.UserID(d.fixed())
	i.Alipay = d.text()
	i.Catalogue = d.int()
	i.Continues = d.bool()
	i.Note = benefit.Note{Memo: d.text(), Extend: d.text(), TraceID: d.text()}
	i.Lines = make([]benefit.IssuedLine, d.size(1))
	for k := range i.Lines {
		d.line(&i.Lines[k], i.ID)
	}
	d.more(i)
	return i
}

func (e *encoder) line(l *benefit.IssuedLine, base id.ID) {
	e.int(int64(l.Template))
	e.int(int64(l.Activity))
	e.int(l.DetailID)
	e.int(int64(l.Sends))
	e.int(int64(l.Quantity))
	e.int(int64(l.Amount))
	e.bool(l.HasAmount)
	e.int(int64(l.First - base))
	e.uint(uint64(len(l.Amounts)))
	for _, a := range l.Amounts {
		e.int(int64(a))
	}
	e.int(int64(l.Issued))
	e.byte(uint8(l.Reason))
	e.uint(uint64(len(l.Codes)))
	for _, c := range l.Codes {
		e.text(c)
	}
	e.int(int64(l.At))
	e.int(l.Catalogue)
	e.window(l.Valid)
	e.byte(uint8(l.Kind))
	e.face(l.Face)
	s := l.Seen
	for _, n := range [...]int64{s.Count, s.Amount, s.DayCount, s.DayAmount, s.User, s.UserDay} {
		e.int(n)
	}
}

func (d *decoder) line(l *benefit.IssuedLine, base id.ID) {
	l.Template = benefit.TemplateID(d.int())
	l.Activity = benefit.ActivityID(d.int())
	l.DetailID = d.int()
	l.Sends = d.small()
	l.Quantity = d.small()
	l.Amount = money.Fen(d.int())
	l.HasAmount = d.bool()
	l.First = base + id.ID(d.int())
	if n := d.size(1); n > 0 {
		l.Amounts = make([]money.Fen, n)
		for k := range l.Amounts {
			l.Amounts[k] = money.Fen(d.int())
		}
	}
	l.Issued = d.small()
	l.Reason = benefit.Reason(d.byte())
	if n := d.size(1); n > 0 {
		l.Codes = make([]string, n)
		for k := range l.Codes {
			l.Codes[k] = d.text()
		}
	}
	l.At = benefit.Instant(d.int())
	l.Catalogue = d.int()
	l.Valid = d.window()
	l.Kind = benefit.Kind(d.byte())
	l.Face = d.face()
	s := &l.Seen
	for _, n := range [...]*int64{&s.Count, &s.Amount, &s.DayCount, &s.DayAmount, &s.User, &s.UserDay} {
		*n = d.int()
	}
	if l.Issued < 0 || l.Quantity < 0 || l.Issued*l.Quantity > len(l.Amounts) {
		d.fail()
		l.Issued = 0
	}
}

func (e *encoder) face(f benefit.Face) {
	for _, n := range [...]int64{int64(f.Reduction), int64(f.Threshold), f.Percent, int64(f.Ceiling), int64(f.Price)} {
		e.int(n)
	}
}

func (d *decoder) face() benefit.Face {
	return benefit.Face{
		Reduction: money.Fen(d.int()), Threshold: money.Fen(d.int()), Percent: d.int(), Ceiling: money.Fen(d.int()),
		Price: money.Fen(d.int()),
	}
}

func (e *encoder) user(u *benefit.User) {
	e.fixed(int64(u.ID))
	e.text(u.Name)
	e.bool(u.Frozen)
	e.text(u.Person)
	e.text(u.Alipay)
	e.bytes(u.Attributes)
	e.uint(uint64(len(u.Identifiers)))
	for _, i := range u.Identifiers {
		e.identifier(i)
	}
}

func (d *decoder) user() *benefit.User {
	u := &benefit.User{
		ID: benefit.UserID(d.fixed()), Name: d.text(), Frozen: d.bool(), Person: d.text(), Alipay: d.text(), Attributes: d.bytes(),
	}
	if n := d.size(3); n > 0 {
		u.Identifiers = make([]benefit.Identifier, n)
		for k := range u.Identifiers {
			u.Identifiers[k] = d.identifier()
		}
	}
	return u
}

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

// encodeChanges appends the record of a commit. The bodies of its issuances lie in it in order; at tells where
// each begins and ends, so that the view can keep them without encoding them again.
func encodeChanges(b []byte, c *benefit.Changes, at [][2]int) ([]byte, [][2]int) {
	e := encoder{b: append(b, recordFormat)}
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

// session is written as JSON: sessions are rare, and the form may grow.
func (e *encoder) session(s *benefit.Session) {
	body, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("embedded: a session that JSON cannot hold: %v", err)) // it has no such fields
	}
	e.bytes(body)
}

func (d *decoder) session() *benefit.Session {
	s := new(benefit.Session)
	if err := json.Unmarshal(d.raw(), s); err != nil {
		d.fail()
	}
	return s
}

// decodeChanges reads a record. at is where each issuance's body lies in it.
func decodeChanges(record []byte) (c *benefit.Changes, at [][2]int, err error) {
	d := decoder{b: record}
	format := d.byte()
	if format < 1 || format > recordFormat {
		return nil, nil, fmt.Errorf("a journal record of format %d; this version reads formats up to %d: a newer faquan wrote it", format, recordFormat)
	}
	c = &benefit.Changes{Now: benefit.Instant(d.int())}
	for range d.size(1) {
		body := d.raw()
		end := len(record) - len(d.b)
		at = append(at, [2]int{end - len(body), end})
		i, err := decodeIssuance(body)
		if err != nil {
			return nil, nil, err
		}
		c.Issuances = append(c.Issuances, i)
	}
	for range d.size(1) {
		c.Users = append(c.Users, d.user())
	}
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
	c.Catalogue = d.int()
	for range d.size(1) {
		c.Entities = append(c.Entities, benefit.Entity{Kind: benefit.EntityKind(d.byte()), ID: d.int(), Body: d.bytes()})
	}
	for range d.size(1) {
		c.Sessions = append(c.Sessions, d.session())
	}
	if format > 1 {
		for range d.size(1) {
			c.Participations = append(c.Participations, d.participation())
		}
	}
	if d.err == nil && len(d.b) > 0 {
		d.err = errCodec
	}
	return c, at, d.err
}

// decodeIssuance reads the body of one issuance.
func decodeIssuance(body []byte) (*benefit.Issuance, error) {
	d := decoder{b: body}
	i := d.issuance()
	if d.err == nil && len(d.b) > 0 {
		d.err = errCodec
	}
	return i, d.err
}

// encodeUser is the body that the view keeps of a user.
func encodeUser(u *benefit.User) []byte {
	e := encoder{}
	e.user(u)
	return e.b
}

func decodeUser(body []byte) (*benefit.User, error) {
	d := decoder{b: body}
	u := d.user()
	if d.err == nil && len(d.b) > 0 {
		d.err = errCodec
	}
	return u, d.err
}

// AppendIssuance appends the body that the journal and the view keep of an issuance.
func AppendIssuance(b []byte, i *benefit.Issuance) []byte {
	e := encoder{b}
	e.issuance(i)
	return e.b
}

// DecodeIssuance reads what AppendIssuance wrote.
func DecodeIssuance(body []byte) (*benefit.Issuance, error) { return decodeIssuance(body) }
