package postgres_test

import (
	"hash/maphash"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// everything is a kind with columns of every type, which the store has never heard of: the cases of storetest and the rules
// of statements hold for it, too.
var everything = table.New(table.Spec[everythingKey, everythingRow]{
	Name: "everything", Number: 250, Home: table.ByID,
	Key: []table.Column{{Name: "owner", Type: table.ID}, {Name: "hash", Type: table.Digest}, {Name: "label", Type: table.Text}},
	Value: []table.Column{
		{Name: "n", Type: table.Int}, {Name: "other", Type: table.ID}, {Name: "d", Type: table.Digest}, {Name: "note", Type: table.Text},
		{Name: "body", Type: table.Bytes},
	},
	KeyOf:  func(r *everythingRow) everythingKey { return r.everythingKey },
	Absent: func(k everythingKey) everythingRow { return everythingRow{everythingKey: k} },
	PutKey: func(w *table.Writer, k everythingKey) { w.Int(int64(k.Owner)); w.Digest(k.Hash); w.Text(k.Label) },
	GetKey: func(r *table.Reader) everythingKey { return everythingKey{id.ID(r.Int()), r.Digest(), r.Text()} },
	Put: func(w *table.Writer, r *everythingRow) {
		w.Int(-r.N)
		w.Int(int64(r.Other))
		w.Digest(r.D)
		w.Text(r.Note)
		w.Bytes(r.Body)
	},
	Get: func(r *table.Reader, to *everythingRow) {
		to.N, to.Other, to.D, to.Note, to.Body = -r.Int(), id.ID(r.Int()), r.Digest(), r.Text(), r.Bytes()
	},
})

type everythingKey struct {
	Owner id.ID
	Hash  benefit.Digest
	Label string
}

type everythingRow struct {
	everythingKey
	N     int64
	Other id.ID
	D     benefit.Digest
	Note  string
	Body  []byte
}

// A text may have any character, in a key as well.
func TestTextWithNUL(t *testing.T) {
	p := processes(t, 1, template(1))[0]
	row := everythingRow{everythingKey: everythingKey{Owner: 7, Label: "a\x00b"}, Note: "\x00"}
	if err := storetest.Write(t.Context(), p.st, 0, &benefit.Changes{Rows: []table.Rows{everything.Rows(row)}}); err != nil {
		t.Fatal(err)
	}
	got, ok, err := store.Get(t.Context(), p.st, everything, row.everythingKey)
	if err != nil || !ok || got.Note != row.Note || got.Label != row.Label {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
}

// operate is a command that looks at an operation and at another row before the batch has its locks, and changes what it is
// told to.
type operate struct {
	claim   benefit.ClaimID
	changes []table.Rows
}

func (c *operate) Check() error            { return nil }
func (c *operate) Size() int               { return 1 }
func (c *operate) Touches(h *maphash.Hash) { maphash.WriteComparable(h, c.claim) }
func (c *operate) Names(b *benefit.Batch)  { benefit.Operations.Want(b.State.Rows(), c.claim) }
func (c *operate) Rows(b *benefit.Batch)   { b.Lock(benefit.Lock{Kind: benefit.TemplateLock, ID: 1}) }
func (c *operate) Apply(*benefit.Batch) benefit.Decision {
	return benefit.Decision{Effect: &benefit.Effect{Rows: c.changes}}
}

func operation(n int64) benefit.Operation {
	return benefit.Operation{Claim: benefit.ClaimIDOf("s", "k"), Kind: 2, ID: id.ID(n), Scope: "s", Key: "k"}
}

// A row that a batch has read before it had its locks, and does not write, is as it was read when the batch ends, or the
// batch is decided again. It may rest on that row that nothing is written, or something else.
func TestRowReadBeforeTheLocks(t *testing.T) {
	count := benefit.TemplateCounts.Rows(benefit.TemplateCount{Template: 9, Count: 1})
	for name, changes := range map[string][]table.Rows{"nothing is written": nil, "another row is written": {count}} {
		for _, there := range []bool{false, true} {
			for _, changed := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					all := processes(t, 2, template(1))
					write := func(n int64) {
						t.Helper()
						h := all[0].beginAll(&operate{operation(n).Claim, []table.Rows{benefit.Operations.Rows(operation(n))}}).rows()
						if err := h.commit(); err != nil {
							t.Fatal(err)
						}
					}
					if there {
						write(1)
					}
					late := all[1].beginAll(&operate{operation(1).Claim, changes})
					if changed {
						write(2)
					}
					if err := late.rows().commit(); changed {
						wantConflict(t, err)
					} else if err != nil {
						t.Errorf("it conflicts with nothing: %v", err)
					}
				})
			}
		}
	}
}

// operateLocked reads the operation behind a lock of its own.
type operateLocked struct {
	operate
	lock int64
}

func (c *operateLocked) Names(*benefit.Batch) {}
func (c *operateLocked) Rows(b *benefit.Batch) {
	b.Lock(benefit.Lock{Kind: benefit.TemplateLock, ID: c.lock})
	c.operate.Names(b)
}

// Of two batches that have read a row only one writes over it, whether it was there or not. Here they read it behind locks
// that do not exclude each other.
func TestRowsAreUpdatedAsRead(t *testing.T) {
	for _, there := range []bool{false, true} {
		all := processes(t, 2, template(1), template(2))
		if there {
			if err := storetest.Write(t.Context(), all[0].st, 0, &benefit.Changes{Rows: []table.Rows{benefit.Operations.Rows(operation(1))}}); err != nil {
				t.Fatal(err)
			}
		}
		begin := func(p *process, n int64) *hand {
			rows := []table.Rows{benefit.Operations.Rows(operation(n))}
			return p.beginAll(&operateLocked{operate{operation(1).Claim, rows}, n - 1}).rows()
		}
		one, other := begin(all[0], 2), begin(all[1], 3)
		if err := one.commit(); err != nil {
			t.Fatal(err)
		}
		wantConflict(t, other.commit())
		got, _, err := store.Get(t.Context(), all[0].st, benefit.Operations, operation(1).Claim)
		if err != nil || got.ID != 2 {
			t.Errorf("the row is of %d, %v; want that of the first", got.ID, err)
		}
	}
}

// An issuance that was read by its voucher, and that the batch does not write, is as it was read when the batch ends.
func TestIssuanceOfAVoucherChanged(t *testing.T) {
	for name, c := range map[string]struct {
		line  int
		locks []benefit.Lock
	}{
		"locked":          {locks: []benefit.Lock{{Kind: benefit.TemplateLock, ID: 1}}},
		"without a lock":  {},
		"not issued then": {line: 1},
	} {
		t.Run(name, func(t *testing.T) {
			all := processes(t, 2, template(1), template(2, func(t *benefit.Template) { t.Stock.Count = 0 }))
			r := storetest.Request("k", "1", storetest.Line(1), storetest.Line(2))
			r.Continues = true
			first := all[0].begin(r).rows()
			first.mustIssue()
			changeTemplate(t, all, template(2))
			late := all[1].beginAll(&lookUp{first.outcomes[0].Issuance.Lines[c.line].First, c.locks})
			all[0].begin(r).rows().mustIssue()
			wantConflict(t, late.rows().commit())
		})
	}
}

// lookUp is a command that reads the issuance of a voucher and changes nothing.
type lookUp struct {
	voucher id.ID
	locks   []benefit.Lock
}

func (c *lookUp) Check() error            { return nil }
func (c *lookUp) Size() int               { return 1 }
func (c *lookUp) Touches(h *maphash.Hash) { maphash.WriteComparable(h, c.voucher) }
func (c *lookUp) Names(b *benefit.Batch)  { b.WantVoucher(c.voucher) }
func (c *lookUp) Rows(b *benefit.Batch) {
	for _, l := range c.locks {
		b.Lock(l)
	}
}
func (c *lookUp) Apply(*benefit.Batch) benefit.Decision { return benefit.Decision{} }
