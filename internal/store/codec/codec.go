// Package codec turns rows into bytes and back: the record of a commit, as the journal of the embedded store holds
// it, and the bodies of issuances, users, participations and sessions, which every store keeps as they are. So a row
// that moves from one kind of store to another is copied, not translated.
//
// Numbers are varints, texts and lists carry their length first; a session is JSON, because sessions are rare and
// their form may grow. What is rare in an issuance follows its lines in groups, see extensions.go. Nothing here may
// change what bytes mean that were written once: a form that must hold more gets a new format of the record, or a new
// group. Whatever the bytes are, decoding returns an error or a row that can be shown; it allocates little more than the
// input's length.
package codec

import (
	"bytes"
	"encoding/binary"
	"math"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/table"
)

// maxList bounds the lengths of lists, so that a damaged one cannot ask for all memory.
const maxList = 1 << 24

// ErrMalformed is wrapped by errors about bytes that nothing here can have written.
var ErrMalformed = table.ErrMalformed

// coder writes rows, or reads them. The form of each is described once, by a function that does both: it is given the
// address of a value, which is written and not changed, or read. After the first error every read gives zeros.
type coder struct {
	b       []byte // what was written, or what is still to be read
	reading bool
	err     error // of reading

	str string // ends as b does, if it is not empty: texts that are read are parts of it
}

func (c *coder) fail() {
	if c.err == nil {
		c.err = ErrMalformed
	}
	c.b = nil
}

// whole is the error of a coder that should have read everything.
func (c *coder) whole() error {
	if c.err == nil && len(c.b) > 0 { //guard:TestCodec
		c.err = ErrMalformed
	}
	return c.err
}

func (c *coder) int(all ...*int64) {
	b := c.b
	for _, n := range all {
		if !c.reading {
			b = binary.AppendVarint(b, *n)
			continue
		}
		read, size := binary.Varint(b)
		if size <= 0 {
			c.fail()
			read, size, b = 0, 0, nil
		}
		*n, b = read, b[size:]
	}
	c.b = b
}

// uint reads a number that is not negative.
func (c *coder) uint() uint64 {
	n, size := binary.Uvarint(c.b)
	if size <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[size:]
	return n
}

// small is a number of at most 32 bits.
func small[T ~int | ~int32](c *coder, n *T) {
	if !c.reading {
		c.b = binary.AppendVarint(c.b, int64(*n))
		return
	}
	var wide int64
	if c.int(&wide); wide < math.MinInt32 || wide > math.MaxInt32 {
		c.fail()
		wide = 0
	}
	*n = T(wide)
}

// id has a fixed length.
func (c *coder) id(i *id.ID) {
	if !c.reading {
		c.b = binary.BigEndian.AppendUint64(c.b, uint64(*i))
	} else if len(c.b) < 8 {
		c.fail()
	} else {
		*i, c.b = id.ID(binary.BigEndian.Uint64(c.b)), c.b[8:]
	}
}

func (c *coder) byte(n *uint8) {
	if !c.reading {
		c.b = append(c.b, *n)
	} else if len(c.b) < 1 {
		c.fail()
		*n = 0
	} else {
		*n, c.b = c.b[0], c.b[1:]
	}
}

func (c *coder) bool(v *bool) {
	var n uint8
	if *v {
		n = 1
	}
	c.byte(&n)
	if c.reading {
		*v = n != 0
	}
}

// length is that of a list. One that is read must be covered by what is left, at unit bytes or more for each element.
func (c *coder) length(n, unit int) int {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, uint64(n))
		return n
	}
	size := c.uint()
	if size > maxList || int(size)*unit > len(c.b) {
		c.fail()
		return 0
	}
	return int(size)
}

func (c *coder) text(all ...*string) {
	for _, s := range all {
		if !c.reading {
			c.b = append(binary.AppendUvarint(c.b, uint64(len(*s))), *s...)
			continue
		}
		if n := c.length(0, 1); c.str == "" {
			*s, c.b = string(c.b[:n]), c.b[n:]
		} else {
			at := len(c.str) - len(c.b)
			*s, c.b = c.str[at:at+n], c.b[n:]
		}
	}
}

func (c *coder) bytes(s *[]byte) {
	if !c.reading {
		c.b = append(binary.AppendUvarint(c.b, uint64(len(*s))), *s...)
	} else if read := c.raw(); len(read) > 0 {
		*s = bytes.Clone(read)
	}
}

// raw reads bytes; what it returns is a slice of the input itself.
func (c *coder) raw() []byte {
	n := c.length(0, 1)
	s := c.b[:n:n]
	c.b = c.b[n:]
	return s
}

// list codes the length of a list, whose elements are of unit bytes or more. One that is read is made; the caller codes
// the elements.
func list[T any](c *coder, all *[]T, unit int) []T {
	if n := c.length(len(*all), unit); c.reading && n > 0 {
		*all = make([]T, n)
	}
	return *all
}

func (c *coder) identifier(i *benefit.Identifier) {
	c.text(&i.Type, &i.Value)
	c.int((*int64)(&i.App))
}

// issuance is a whole issuance. Its id stands first with a fixed length, where the view looks for it.
func (c *coder) issuance(i *benefit.Issuance) {
	c.id(&i.ID)
	c.text((*string)(&i.Scope), &i.Key)
	c.int((*int64)(&i.App))
	if !c.reading {
		c.b = append(c.b, i.Fingerprint[:]...)
	} else if len(c.b) < len(i.Fingerprint) {
		c.fail()
	} else {
		c.b = c.b[copy(i.Fingerprint[:], c.b):]
	}
	c.identifier(&i.Recipient)
	c.id(&i.User)
	c.text(&i.Alipay)
	c.int(&i.Catalogue)
	c.bool(&i.Continues)
	c.text(&i.Note.Memo, &i.Note.Extend, &i.Note.TraceID)
	for k := range list(c, &i.Lines, 1) {
		c.line(&i.Lines[k], i.ID)
	}
	c.extensions(i)
}

func (c *coder) line(l *benefit.IssuedLine, base id.ID) {
	c.int((*int64)(&l.Template), (*int64)(&l.Activity), &l.DetailID)
	small(c, &l.Sends)
	small(c, &l.Quantity)
	c.int((*int64)(&l.Amount))
	c.bool(&l.HasAmount)
	first := int64(l.First - base)
	if c.int(&first); c.reading {
		l.First = base + id.ID(first)
	}
	for k := range list(c, &l.Amounts, 1) {
		c.int((*int64)(&l.Amounts[k]))
	}
	small(c, &l.Issued)
	c.byte((*uint8)(&l.Reason))
	for k := range list(c, &l.Codes, 1) {
		c.text(&l.Codes[k])
	}
	c.int((*int64)(&l.At), &l.Catalogue, (*int64)(&l.Valid.Start), (*int64)(&l.Valid.End))
	c.byte((*uint8)(&l.Kind))
	f := &l.Face
	c.int((*int64)(&f.Reduction), (*int64)(&f.Threshold), &f.Percent, (*int64)(&f.Ceiling), (*int64)(&f.Price))
	c.counters(&l.Seen)
	if c.reading && (l.Issued < 0 || l.Quantity < 0 || l.Issued*l.Quantity > len(l.Amounts)) {
		c.fail()
		l.Issued = 0
	}
}

// counters are those of the first format: without Person, which stands elsewhere.
func (c *coder) counters(s *benefit.Counters) {
	c.int(&s.Count, &s.Amount, &s.DayCount, &s.DayAmount, &s.User, &s.UserDay)
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

func (c *coder) user(u *benefit.User) {
	c.id(&u.ID)
	c.text(&u.Name)
	flags := userFlags(u.Frozen, u.Unregistered)
	if !u.Unregistered {
		flags |= flagRegistered
	}
	if c.byte(&flags); c.reading {
		if flags > flagFrozen|flagUnregistered && flags != flagRegistered && flags != flagRegistered|flagFrozen {
			c.fail()
		}
		u.Frozen, u.Unregistered = flags&flagFrozen != 0, flags&flagUnregistered != 0
	}
	c.text(&u.Person, &u.Alipay)
	c.bytes(&u.Attributes)
	for k := range list(c, &u.Identifiers, 3) {
		c.identifier(&u.Identifiers[k])
	}
	if c.reading && flags&(flagUnregistered|flagRegistered) == 0 {
		u.Unregistered = true
		u.Unregistered = u.Plain() //guard:TestUsersThatDoNotSay without u.Plain()
	}
}
