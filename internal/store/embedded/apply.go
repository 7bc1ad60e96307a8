package embedded

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/codec"
	"faquan/internal/table"
)

// applyMemtable writes a memtable to the view in one transaction: table by table, each sorted by its key, so that
// neighbouring rows are written together. full is the generation that this memtable fills up, if it does.
func applyMemtable(conn *sqlite.Conn, o *memtable, full *generation) (err error) {
	end, err := sqlitex.ImmediateTransaction(conn)
	if err != nil {
		return err
	}
	defer end(&err)
	for _, step := range []func(*sqlite.Conn, *memtable) error{
		writeIssuances, writeClaims, writeTraces, writeLedger, writeLists, writeUsers, writeRows,
	} {
		if err := step(conn, o); err != nil {
			return err
		}
	}
	if err := each(conn, `INSERT INTO generation (gen, issuances, seq) VALUES (?1, ?2, 0)
		ON CONFLICT (gen) DO UPDATE SET issuances = issuances + ?2`, nil, o.gen, o.share()); err != nil {
		return err
	}
	if err := saveFilters(conn, full, o.last); err != nil {
		return err
	}
	return writePosition(conn, o)
}

func writeIssuances(conn *sqlite.Conn, o *memtable) error {
	byID := func(x, y *issuanceRow) int { return cmp.Compare(x.id, y.id) }
	return insertSorted(conn, "issuance", 2, o.issuances, byID, func(b *binder, row *issuanceRow) {
		b.int(int64(row.id))
		b.blob(o.bytes(row.body))
	})
}

func writeClaims(conn *sqlite.Conn, o *memtable) error {
	byClaim := func(x, y *keyRow) int { return bytes.Compare(x.claim[:], y.claim[:]) }
	return insertSorted(conn, "claim", 3, o.keys, byClaim, func(b *binder, row *keyRow) {
		b.int(o.gen)
		b.blob(row.claim[:])
		b.int(int64(row.id))
	})
}

func writeTraces(conn *sqlite.Conn, o *memtable) error {
	byHash := func(x, y *traceRow) int { return cmp.Compare(x.hash, y.hash) }
	return insertSorted(conn, "trace", 3, o.traces, byHash, func(b *binder, row *traceRow) {
		b.int(o.gen, row.hash, int64(row.id))
	})
}

func writeLedger(conn *sqlite.Conn, o *memtable) error {
	byKey := func(x, y *ledgerRow) int {
		return cmp.Or(cmp.Compare(x.User, y.User), cmp.Compare(x.Template, y.Template), cmp.Compare(x.at, y.at))
	}
	return insertSorted(conn, "ledger", 8, o.ledger, byKey, func(b *binder, row *ledgerRow) {
		b.int(o.gen, int64(row.User), int64(row.Template), row.at, int64(row.issuance), row.Total, int64(row.Day), row.DayTotal)
	})
}

// blockIDs is how many ids one row of a template's list holds.
const blockIDs = 500

func writeLists(conn *sqlite.Conn, o *memtable) error {
	type block struct {
		template benefit.TemplateID
		ids      []id.ID
	}
	var blocks []block
	for _, t := range slices.Sorted(maps.Keys(o.lists)) {
		ids := slices.Sorted(slices.Values(o.lists[t]))
		for part := range slices.Chunk(ids, blockIDs) {
			blocks = append(blocks, block{t, part})
		}
	}
	return insertRows(conn, "template_block", 5, len(blocks), func(b *binder, k int) {
		ids := blocks[k].ids
		packed := make([]byte, 0, 8*len(ids))
		for _, i := range ids {
			packed = binary.BigEndian.AppendUint64(packed, uint64(i))
		}
		b.int(int64(blocks[k].template), int64(ids[len(ids)-1]), int64(ids[0]))
		b.int(int64(o.last)) //guard:TestVouchersAnywhere b.int(int64(o.last)) -> b.int(0)
		b.blob(packed)
	})
}

// unpackIDs reads a row of a template's list.
func unpackIDs(packed []byte) []id.ID {
	ids := make([]id.ID, len(packed)/8)
	for k := range ids {
		ids[k] = id.ID(binary.BigEndian.Uint64(packed[8*k:]))
	}
	return ids
}

func writeUsers(conn *sqlite.Conn, o *memtable) error {
	ids := slices.Sorted(maps.Keys(o.users))
	named := make([]benefit.User, len(ids)) // zero for plain ones: they have neither name nor person
	for k, u := range ids {
		if row := o.users[u]; !row.plain {
			user, err := codec.DecodeUser(o.bytes(row.body))
			if err != nil {
				return fmt.Errorf("user %d: %w", u, err)
			}
			named[k] = *user
		}
	}
	if err := insertRows(conn, "user", 4, len(ids), func(b *binder, k int) {
		b.int(int64(ids[k]))
		b.text(named[k].Name)
		b.text(named[k].Person)
		b.blob(o.bytes(o.users[ids[k]].body))
	}); err != nil {
		return err
	}
	keys := slices.SortedFunc(maps.Keys(o.links), func(a, b linkKey) int { return bytes.Compare(a[:], b[:]) })
	return insertRows(conn, "link", 4, len(keys), func(b *binder, k int) {
		l := o.links[keys[k]]
		b.blob(keys[k][:])
		plain := int64(0)
		if l.plain {
			plain = 1
		}
		b.int(int64(l.user), plain, o.gen)
	})
}

func writePosition(conn *sqlite.Conn, o *memtable) error {
	return each(conn, `UPDATE position SET seq=?, hash=?, now=?, id_millis=max(id_millis, ?),
		catalogue=CASE WHEN ?=0 THEN catalogue ELSE ? END, kinds=?`, nil,
		o.last, o.hash[:], o.now, o.idMillis, o.catalogue, o.catalogue, table.Described())
}
