package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"iter"
	"slices"
	"text/tabwriter"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/table"
)

// Checksum is the checksum of a store, independent of the kind of store: for each table the number of rows, what they
// add up to, and a hash of all of them. Two stores hold the same when their Checksums are equal, and when a table
// differs its name says where to look.
//
// It does not cover how a store keeps its rows, nor what only one kind of store keeps: the journal, generations, the
// order of commits.
type Checksum struct {
	Version int64           `json:"catalogue_version"`
	Tables  []TableChecksum `json:"tables"` // of every kind that the program knows, in the same order
}

// TableChecksum is the checksum of one table.
type TableChecksum struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	// What the rows add up to, where that makes sense.
	Vouchers int64 `json:"vouchers,omitzero"`
	Fen      int64 `json:"fen,omitzero"`
	// SHA256 is over the rows in the order of their keys, hex: of each its length as a varint and its canonical form,
	// which is made of the names and values of its fields.
	SHA256 string `json:"sha256"`
}

// Tables whose rows are no described kind. Claims are those that the issuances make: their keys and their certificate
// codes; that each of them is found is for the audit. Of the versions of the catalogue the checksum has the entities that
// each changed.
const (
	tableIssuances = "issuances"
	tableClaims    = "claims"
	tableUsers     = "users"
)

// ComputeChecksum computes the checksum of the store's contents. It reads each table once, in the order of its keys,
// and keeps nothing of it but the catalogue; each version of that is read by itself. A counter of nothing means the
// same as no row, and is left out.
func ComputeChecksum(ctx context.Context, r store.Reader) (*Checksum, error) {
	_, version, err := r.Entities(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	d := &digester{ctx: ctx, r: r, checksum: &Checksum{Version: version}}
	if err := d.issuances(); err != nil {
		return nil, err
	}
	for _, kind := range table.Kinds() {
		if kind == benefit.Sessions.Kind { // the order is that of the first checksums
			if err := d.users(); err != nil {
				return nil, err
			}
		}
		take := d.kind
		if kind == benefit.EntityVersions.Kind {
			take = d.versions
		}
		if err := take(kind); err != nil {
			return nil, err
		}
	}
	return d.checksum, nil
}

// digester makes a Checksum, table by table.
type digester struct {
	ctx      context.Context
	r        store.Reader
	room     []byte
	checksum *Checksum
}

// tableSum is a table that is being read.
type tableSum struct {
	TableChecksum
	d    *digester
	hash hash.Hash
}

func (d *digester) table(name string) *tableSum {
	return &tableSum{TableChecksum: TableChecksum{Table: name}, d: d, hash: sha256.New()}
}

// add takes the canonical form of the next row, which was appended to the digester's room.
func (t *tableSum) add(row []byte) {
	var length [binary.MaxVarintLen64]byte
	t.hash.Write(binary.AppendUvarint(length[:0], uint64(len(row))))
	t.hash.Write(row)
	t.Rows++
	t.d.room = row[:0]
}

func (t *tableSum) done() {
	t.SHA256 = hex.EncodeToString(t.hash.Sum(nil))
	t.d.checksum.Tables = append(t.d.checksum.Tables, t.TableChecksum)
}

// issuances takes their claims as well, in the same pass.
func (d *digester) issuances() error {
	t, claims := d.table(tableIssuances), d.table(tableClaims)
	for i, err := range d.r.AllIssuances(d.ctx) {
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		for k := range i.Lines {
			n, fen := i.Lines[k].Tally()
			t.Vouchers += n
			t.Fen += int64(fen)
		}
		for _, claim := range i.ClaimKeys() {
			row := append(d.room, claim.ID[:]...)
			claims.add(binary.BigEndian.AppendUint64(row, uint64(i.ID)))
		}
		t.add(canonical(d.room, i))
	}
	t.done()
	claims.done()
	return nil
}

// kind takes the rows of a kind. A kind that came after the first checksums is left out when it has no rows, so that the
// checksum of an older store stays what it was.
func (d *digester) kind(kind *table.Kind) error {
	t := d.table(kind.Title)
	for row, err := range d.r.Scan(d.ctx, kind, nil) {
		var v any
		if err == nil {
			v, err = kind.Decode(row)
		}
		if err != nil {
			return fmt.Errorf("reading the %s: %w", kind.Title, err)
		}
		vouchers, fen, counts := kind.Sum(v)
		t.Vouchers += vouchers
		t.Fen += fen
		if !counts || vouchers != 0 || fen != 0 {
			t.add(canonical(d.room, v))
		}
	}
	if t.Rows > 0 || kind.Number <= benefit.EntityVersions.Number {
		t.done()
	}
	return nil
}

func (d *digester) users() error {
	t := d.table(tableUsers)
	for u, err := range d.r.AllUsers(d.ctx) {
		if err != nil {
			return fmt.Errorf("reading the users: %w", err)
		}
		t.add(canonical(d.room, u))
	}
	t.done()
	return nil
}

// versions takes what each version changed: an entity that was not there before, or stood in another form.
func (d *digester) versions(kind *table.Kind) error {
	t := d.table(kind.Title)
	before := map[benefit.EntityKey]string{}
	for v, err := range store.All(d.ctx, d.r, benefit.EntityVersions) { // by version
		if err != nil {
			return fmt.Errorf("reading the versions of the catalogue: %w", err)
		}
		key := benefit.EntityKey{Kind: v.Kind, ID: v.ID}
		if was, ok := before[key]; ok && was == string(v.Body) { //guard:TestChecksumOfUnchangedEntities
			continue
		}
		before[key] = string(v.Body)
		t.add(canonical(binary.AppendVarint(d.room, v.Version), v.Entity))
	}
	t.done()
	return nil
}

// VersionChange is what a version of the catalogue brought.
type VersionChange struct {
	Version  int64
	Entities []benefit.Entity // by kind and id; perhaps as they were before
}

// Versions iterates over the versions of the catalogue, from 1 to the last.
func Versions(ctx context.Context, r store.Reader, last int64) iter.Seq2[VersionChange, error] {
	return func(yield func(VersionChange, error) bool) {
		change := VersionChange{Version: 1}
		for form, err := range store.All(ctx, r, benefit.EntityVersions) { // by version, kind and id
			if err != nil {
				yield(VersionChange{}, fmt.Errorf("reading the versions of the catalogue: %w", err))
				return
			}
			for ; change.Version < form.Version && change.Version < last; change = (VersionChange{Version: change.Version + 1}) {
				if !yield(change, nil) {
					return
				}
			}
			change.Entities = append(change.Entities, form.Entity)
		}
		for ; change.Version <= last; change = (VersionChange{Version: change.Version + 1}) {
			if !yield(change, nil) {
				return
			}
		}
	}
}

// Table returns the checksum of a table; nil when there is none of that name.
func (m *Checksum) Table(name string) *TableChecksum {
	if k := slices.IndexFunc(m.Tables, func(t TableChecksum) bool { return t.Table == name }); k >= 0 {
		return &m.Tables[k]
	}
	return nil
}

// Differences names what two stores do not agree on, in words; none when they hold the same. The other is nil where an
// audit could not count its rows.
func (m *Checksum) Differences(other *Checksum) (all []string) {
	if other == nil {
		return []string{"the checksum of the other is not known"}
	}
	if m.Version != other.Version {
		all = append(all, fmt.Sprintf("version of the catalogue: %d and %d", m.Version, other.Version))
	}
	for _, one := range m.Tables {
		two := other.Table(one.Table)
		switch {
		case two == nil:
			all = append(all, one.Table+": in one store only")
		case one.String() != two.String():
			all = append(all, fmt.Sprintf("%s: %s and %s", one.Table, &one, two))
		case one != *two:
			all = append(all, fmt.Sprintf("%s: %s in both, with different content", one.Table, &one))
		}
	}
	for _, two := range other.Tables {
		if m.Table(two.Table) == nil {
			all = append(all, two.Table+": in one store only")
		}
	}
	return all
}

func (t *TableChecksum) String() string {
	return fmt.Sprintf("%d rows, %d vouchers, %d fen", t.Rows, t.Vouchers, t.Fen)
}

// Write prints the checksum as a table, hashes in full.
func (m *Checksum) Write(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "table\trows\tvouchers\tfen\tsha256")
	for _, t := range m.Tables {
		fmt.Fprintf(tab, "%s\t%d\t%d\t%d\t%s\n", t.Table, t.Rows, t.Vouchers, t.Fen, t.SHA256)
	}
	return tab.Flush()
}
