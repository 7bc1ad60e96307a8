// Package codec turns rows into bytes and back: the record of a commit, as the journal of the embedded store holds
// it, and the bodies of issuances, users, participations and sessions, which every store keeps as they are. So a row
// that moves from one kind of store to another is copied, not translated.
//
// Numbers are varints, texts and lists carry their length first; a session is JSON, because sessions are rare and
// their form may grow. What is rare in an issuance follows its lines in groups, see more.go. Nothing here may change
// what bytes mean that were written once: a form that must say more gets a new format of the record, or a new group.
// Whatever the bytes are, decoding answers an error or a row that can be shown; it allocates little more than the
// input's length.
package codec

import (
	"encoding/binary"
	"math"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/table"
)

// maxList bounds what a length may claim, so that a damaged one cannot ask for all memory.
const maxList = 1 << 24

// ErrMalformed is answered for bytes that nothing here can have written.
var ErrMalformed = table.ErrMalformed

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
		d.err = ErrMalformed
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

// raw returns a slice of the input itself.
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

// whole is the error of a decoder that should have read everything.
func (d *decoder) whole() error {
	if d.err == nil && len(d.b) > 0 { //guard:TestCodec
		d.err = ErrMalformed
	}
	return d.err
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
	e.b = append(e.b, i.Fingerprint[:]...)
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
	e.extensions(i)
}

func (d *decoder) issuance() *benefit.Issuance {
	i := &benefit.Issuance{
		ID: id.ID(d.fixed()), Scope: benefit.Scope(d.text()), Key: d.text(), App: benefit.AppID(d.int()),
	}
	if len(d.b) < len(i.Fingerprint) {
		d.fail()
	} else {
		d.b = d.b[copy(i.Fingerprint[:], d.b):]
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
	d.extensions(i)
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

// Bits of the byte that once told only whether a user, or the user of a basis, was frozen. A user has one of the last
// two; one from before has neither, and is unregistered if its identifier is all there is to it: issuing makes no others.
const (
	flagFrozen = 1 << iota
	flagUnregistered
	flagRegistered
)

func userFlags(frozen, unregistered bool) (flags uint8) {
	if frozen {
		flags |= flagFrozen
	}
	if unregistered {
		flags |= flagUnregistered
	}
	return flags
}

func (e *encoder) user(u *benefit.User) {
	e.fixed(int64(u.ID))
	e.text(u.Name)
	flags := userFlags(u.Frozen, u.Unregistered)
	if !u.Unregistered {
		flags |= flagRegistered
	}
	e.byte(flags)
	e.text(u.Person)
	e.text(u.Alipay)
	e.bytes(u.Attributes)
	e.uint(uint64(len(u.Identifiers)))
	for _, i := range u.Identifiers {
		e.identifier(i)
	}
}

func (d *decoder) user() *benefit.User {
	u := &benefit.User{ID: benefit.UserID(d.fixed()), Name: d.text()}
	flags := d.byte()
	if flags > flagFrozen|flagUnregistered && flags != flagRegistered && flags != flagRegistered|flagFrozen {
		d.fail()
	}
	u.Frozen, u.Unregistered = flags&flagFrozen != 0, flags&flagUnregistered != 0
	u.Person, u.Alipay, u.Attributes = d.text(), d.text(), d.bytes()
	if n := d.size(3); n > 0 {
		u.Identifiers = make([]benefit.Identifier, n)
		for k := range u.Identifiers {
			u.Identifiers[k] = d.identifier()
		}
	}
	if flags&(flagUnregistered|flagRegistered) == 0 {
		u.Unregistered = true
		u.Unregistered = u.Plain() //guard:TestUsersThatDoNotSay without u.Plain()
	}
	return u
}
