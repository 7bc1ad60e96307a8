package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Datum is the value of a column: Int of an [Int] or an [ID], Bytes of all others.
type Datum struct {
	Int   int64
	Bytes []byte
}

// Row is a row of some kind.
type Row struct {
	Key, Value []Datum
}

// Clone returns a copy that shares no memory with the row.
func (r *Row) Clone() *Row {
	clone := func(from []Datum) []Datum {
		to := slices.Clone(from)
		for k := range to {
			to[k].Bytes = slices.Clone(to[k].Bytes)
		}
		return to
	}
	return &Row{clone(r.Key), clone(r.Value)}
}

// ErrMalformed is wrapped by errors about bytes that nothing here can have written.
var ErrMalformed = errors.New("malformed record")

// Writer takes the columns of a key or a value, in order.
type Writer struct{ to []Datum }

func (w *Writer) Int(n int64)       { w.to = append(w.to, Datum{Int: n}) }
func (w *Writer) Bytes(b []byte)    { w.to = append(w.to, Datum{Bytes: b}) }
func (w *Writer) Text(s string)     { w.to = append(w.to, Datum{Bytes: []byte(s)}) }
func (w *Writer) Digest(d [16]byte) { w.to = append(w.to, Datum{Bytes: d[:]}) }

// Reader gives the columns of a key or a value, in the order in which they were written.
type Reader struct {
	from []Datum
	err  error
}

func (r *Reader) next() (d Datum) {
	if len(r.from) > 0 {
		d, r.from = r.from[0], r.from[1:]
	}
	return d
}

func (r *Reader) Int() int64   { return r.next().Int }
func (r *Reader) Text() string { return string(r.next().Bytes) }

// Small reads an Int from 0 to most.
func (r *Reader) Small(most int64) int64 {
	n := r.Int()
	if n < 0 || n > most {
		r.Check(fmt.Errorf("%w: %d where %d is the most", ErrMalformed, n, most))
		return 0
	}
	return n
}

// Bytes returns a copy; nil when there are none.
func (r *Reader) Bytes() []byte { return append([]byte(nil), r.next().Bytes...) }

// Digest reads a digest.
func (r *Reader) Digest() (d [16]byte) {
	if b := r.next().Bytes; len(b) == len(d) {
		copy(d[:], b)
	} else if len(b) > 0 {
		r.Check(fmt.Errorf("%w: a digest of %d bytes", ErrMalformed, len(b)))
	}
	return d
}

// Check notes an error in what was read, unless it is nil. The first one counts.
func (r *Reader) Check(err error) {
	if r.err == nil {
		r.err = err
	}
}

// AppendKey appends a key, or its first columns, in a form whose order is that of the keys: numbers as 8 bytes, the high one
// first, digests, and a last text or bytes as they are.
func (k *Kind) AppendKey(b []byte, key []Datum) []byte {
	for i, c := range k.Key[:len(key)] {
		switch c.Type {
		case Int, ID:
			b = binary.BigEndian.AppendUint64(b, uint64(key[i].Int))
		default:
			b = append(b, key[i].Bytes...)
		}
	}
	return b
}

// datum returns a number of 8 bytes, the high one first, or the bytes as they are.
func (t Type) datum(b []byte) Datum {
	if t == Int || t == ID {
		return Datum{Int: int64(binary.BigEndian.Uint64(b))}
	}
	return Datum{Bytes: b[:len(b):len(b)]}
}

// ParseKey is the inverse of AppendKey. What it appends to key points into b.
func (k *Kind) ParseKey(b []byte, key []Datum) ([]Datum, error) {
	for _, c := range k.Key {
		size := len(b)
		switch c.Type {
		case Int, ID:
			size = 8
		case Digest:
			size = 16
		}
		if len(b) < size {
			return nil, fmt.Errorf("%w: a key of table %s is too short", ErrMalformed, k.Name)
		}
		key, b = append(key, c.Type.datum(b[:size])), b[size:]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: a key of table %s is too long", ErrMalformed, k.Name)
	}
	return key, nil
}

// AppendColumns appends columns in the form in which records keep them: an Int as a varint, an ID as 8 bytes, a Digest
// as it is, Text and Bytes behind their length.
func AppendColumns(b []byte, columns []Column, data []Datum) []byte {
	for i, c := range columns {
		switch d := &data[i]; c.Type {
		case Int:
			b = binary.AppendVarint(b, d.Int)
		case ID:
			b = binary.BigEndian.AppendUint64(b, uint64(d.Int))
		case Digest:
			b = append(b, d.Bytes...)
		default:
			b = append(binary.AppendUvarint(b, uint64(len(d.Bytes))), d.Bytes...)
		}
	}
	return b
}

// ParseColumns is the inverse of AppendColumns. It returns what follows the columns. What it appends to data points into
// b.
func ParseColumns(b []byte, columns []Column, data []Datum) (_ []Datum, rest []byte, err error) {
	for _, c := range columns {
		size := 0
		switch c.Type {
		case Int:
			n, width := binary.Varint(b)
			if width <= 0 {
				return nil, nil, ErrMalformed
			}
			data, b = append(data, Datum{Int: n}), b[width:]
			continue
		case ID:
			size = 8
		case Digest:
			size = 16
		default:
			n, width := binary.Uvarint(b)
			if width <= 0 || n > uint64(len(b)-width) {
				return nil, nil, ErrMalformed
			}
			size, b = int(n), b[width:]
		}
		if len(b) < size {
			return nil, nil, ErrMalformed
		}
		data, b = append(data, c.Type.datum(b[:size])), b[size:]
	}
	return data, b, nil
}

// ParseValue reads the value of a row that AppendColumns wrote, perhaps when the kind had fewer columns. It uses the memory
// of data again; what it returns points into b.
func (k *Kind) ParseValue(b []byte, data []Datum) ([]Datum, error) {
	data = data[:0]
	for i := range k.Value {
		if len(b) == 0 {
			return k.Pad(data), nil
		}
		var err error
		if data, b, err = ParseColumns(b, k.Value[i:i+1], data); err != nil {
			return nil, fmt.Errorf("a row of table %s: %w", k.Name, err)
		}
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("a row of table %s: %w", k.Name, ErrMalformed)
	}
	return data, nil
}
