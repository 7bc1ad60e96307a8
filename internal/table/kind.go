// Package table describes the kinds of rows that faquan keeps, each in one place. Everything that stores, moves or
// checks rows is derived from these descriptions: the records of the journal, the tables of the stores and their
// statements, the rows of a batch, migration, export and the audit's checksum.
//
//	var Quotas = table.New(table.Spec[QuotaKey, Quota]{Name: "quota", Number: 2, …})
//
// A [Table] is the typed side of a description, for the code that decides. A [Kind] is the side that stores see: names
// and types of columns. Rows travel between the two as [Rows], and what is to be loaded as [Keys]; neither shows its
// types, so a store handles a new kind of row without a change.
package table

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"faquan/internal/id"
)

// Type is the type of a column.
type Type uint8

// The types.
const (
	Int    Type = iota + 1 // an int64; in keys it is never negative
	ID                     // an int64 that carries a bucket: see package id
	Digest                 // 16 bytes
	Text                   // UTF-8; empty is absent. In keys it is the last column
	Bytes                  // in keys it is the last column
)

// Column is a column of a table.
type Column struct {
	Name string // in SQL
	Type Type
}

// Home describes where the rows of a kind live in a store that is distributed.
type Home uint8

// The homes.
const (
	Local    Home = iota // few rows, on one node, in a table without buckets
	ByID                 // in the bucket that the first column of the key carries, an [ID]
	ByDigest             // in the bucket of the first column of the key, a [Digest]
)

// Kind describes a table without its Go types.
type Kind struct {
	Name    string // of the table in SQL
	Title   string // for people, in the plural
	Number  uint8  // in stored records: never used for another kind, not even after the kind is gone
	Home    Home
	Key     []Column // the primary key, in this order
	Value   []Column // further columns may be appended, with a new schema of the embedded view; in rows from before they are zero
	Derived bool     // its rows follow from others of the same commit, so journals do not hold them, and are written once

	// What follows works on rows as a V, the type of the kind's table.

	Decode  func(*Row) (any, error)
	Encode  func(any, *Row) error                        // the inverse of Decode; it fails for a value of another type
	Sum     func(any) (vouchers, fen int64, counts bool) // what a row counts, and whether rows of the kind count something
	New     func() any                                   // a pointer to a zero V
	Builder func() Builder                               // an empty set of rows
	Want    func(*State, []Datum)                        // has the row of a key loaded, unless it was asked for already
}

// Bucket returns the bucket of a key, 0 to id.Buckets-1; 0 for local rows.
func (k *Kind) Bucket(key []Datum) int16 {
	switch k.Home {
	case ByID:
		return int16(id.ID(key[0].Int).Bucket())
	case ByDigest:
		return int16(binary.BigEndian.Uint64(key[0].Bytes) % id.Buckets)
	}
	return 0
}

// Pad appends the columns that a value of an earlier version does not have.
func (k *Kind) Pad(value []Datum) []Datum {
	for _, c := range k.Value[len(value):] {
		d := Datum{}
		if c.Type == Digest {
			d.Bytes = make([]byte, 16)
		}
		value = append(value, d)
	}
	return value
}

// RowName names a row by the numbers of its key, and the beginning of a digest. It never shows a text: that may be secret.
func (k *Kind) RowName(key []Datum) string {
	var parts []string
	for i, c := range k.Key {
		switch c.Type {
		case Int, ID:
			parts = append(parts, fmt.Sprintf("%s %d", c.Name, key[i].Int))
		case Digest:
			parts = append(parts, fmt.Sprintf("%s %x…", c.Name, key[i].Bytes[:4]))
		}
	}
	return strings.Join(parts, ", ")
}

// kinds are all that were described, in the order of their numbers.
var kinds []*Kind

// Kinds returns all kinds of rows, in the order of their numbers.
func Kinds() []*Kind { return slices.Clone(kinds) }

// ByNumber returns the kind with the number, nil when there is none.
func ByNumber(number uint8) *Kind {
	for _, k := range kinds {
		if k.Number == number {
			return k
		}
	}
	return nil
}

// Described returns what this program knows of kinds, for stores to keep: the numbers of all kinds, each with the number of
// its value's columns, such as "1/3 2/1".
func Described() string {
	var all []string
	for _, k := range kinds {
		all = append(all, fmt.Sprintf("%d/%d", k.Number, len(k.Value)))
	}
	return strings.Join(all, " ")
}

// CheckDescribed returns an error when a store was written by a program that knew a kind, or a column, that this one does
// not.
func CheckDescribed(text string) error {
	for one := range strings.FieldsSeq(text) {
		var number uint8
		var columns int
		if _, err := fmt.Sscanf(one, "%d/%d", &number, &columns); err != nil {
			return fmt.Errorf("the kinds of rows %q: %w", text, err)
		}
		if k := ByNumber(number); k == nil || len(k.Value) < columns { //guard:TestCheckDescribed
			return fmt.Errorf("rows of kind %d with %d columns: a newer faquan wrote them", number, columns)
		}
	}
	return nil
}

// register adds a kind. A description that contradicts itself or another is a mistake in the program.
func register(k *Kind) {
	for _, other := range kinds {
		if other.Number == k.Number || other.Name == k.Name {
			panic(fmt.Sprintf("table: %s and %s have the same name or number", k.Name, other.Name))
		}
	}
	first := map[Home]Type{ByID: ID, ByDigest: Digest}[k.Home]
	if k.Number == 0 || len(k.Key) == 0 || first != 0 && k.Key[0].Type != first {
		panic(fmt.Sprintf("table: the description of %s is wrong", k.Name))
	}
	for _, c := range k.Key[:len(k.Key)-1] {
		if c.Type == Text || c.Type == Bytes {
			panic(fmt.Sprintf("table: column %s of %s must be the last of the key", c.Name, k.Name))
		}
	}
	kinds = append(kinds, k)
	slices.SortFunc(kinds, func(a, b *Kind) int { return cmp.Compare(a.Number, b.Number) })
}
