package postgres

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store/storetest"
)

// The newest of a user's issuances are read by the primary key, from its end: as many rows as are wanted, of however
// many there are.
func TestRecentIssuancesAreReadBackwards(t *testing.T) {
	conn, reading := newDatabase(t, 0)
	// Two users of one bucket; the one has few issuances, among the other's many.
	if _, err := conn.Exec(t.Context(), `INSERT INTO issuance SELECT 7, n, CASE WHEN n % 100 = 0 THEN 1 ELSE 2 END, 1, 1, NULL, '\x00'::bytea
FROM generate_series(1, 20000) n`); err != nil {
		t.Fatal(err)
	}
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			if _, err := conn.Exec(t.Context(), "ANALYZE issuance"); err != nil {
				t.Fatal(err)
			}
		}
		for _, user := range []int64{1, 2} {
			tx, err := reading.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), planByIndex); err != nil {
				t.Fatal(err)
			}
			var plan []byte
			err = tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+readRecentIssuances.text,
				int16(7), user, int64(math.MaxInt64), 32).Scan(&plan)
			if err != nil {
				t.Fatal(err)
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			var tops []struct{ Plan struct{ Plans []indexScan } }
			if err := json.Unmarshal(plan, &tops); err != nil {
				t.Fatal(err)
			}
			scan := tops[0].Plan.Plans[0] // below the limit
			want := indexScan{Type: "Index Scan", Direction: "Backward", Index: "issuance_pkey", Rows: 32}
			if scan != want {
				t.Errorf("analyzed %v, user %d: %+v, want %+v\n%s", analyzed, user, scan, want, plan)
			}
		}
	}
}

type indexScan struct {
	Type      string  `json:"Node Type"`
	Direction string  `json:"Scan Direction"`
	Index     string  `json:"Index Name"`
	Rows      float64 `json:"Actual Rows"`
	Removed   float64 `json:"Rows Removed by Filter"`
	Buffers   int     `json:"Shared Hit Blocks"`
}

// fillMilliseconds puts an issuance into each of many milliseconds, each in one of 512 buckets.
const fillMilliseconds = `INSERT INTO issuance
SELECT n % 512, (n << 23) + ((n % 512) << 13) + 5, n, 1, 1, NULL, '\x00'::bytea FROM generate_series(1, 20000::bigint) n`

// The issuance of a voucher is read by the index of ids, which holds those of all buckets: no row of another bucket is
// looked at, for a voucher, for an id that nobody has, and for one of a bucket that has none.
func TestIssuanceOfLooksAtOneMillisecond(t *testing.T) {
	conn, reading := newDatabase(t, 0)
	if _, err := conn.Exec(t.Context(), fillMilliseconds); err != nil {
		t.Fatal(err)
	}
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			if _, err := conn.Exec(t.Context(), "ANALYZE issuance"); err != nil {
				t.Fatal(err)
			}
		}
		for what, x := range map[string]struct {
			voucher id.ID
			rows    float64
		}{
			"a voucher":           {19_000<<23 | 19_000%512<<13 | 6, 1},
			"before the first":    {19_000<<23 | 19_000%512<<13 | 4, 0},
			"another millisecond": {19_001<<23 | 19_000%512<<13 | 6, 0},
			"an empty bucket":     {19_000<<23 | 600<<13 | 6, 0},
			"the last id":         {math.MaxInt64, 0},
		} {
			scan := planOf(t, reading, readIssuanceOf, homeBucket(x.voucher), int64(x.voucher.Begin()), int64(x.voucher))
			if scan.Index != "issuance_id" || scan.Rows != x.rows || scan.Removed != 0 || scan.Buffers > 6 {
				t.Errorf("analyzed %v, %s: %+v", analyzed, what, scan)
			}
		}
	}
}

// A batch looks its vouchers up by that index, too, by the one plan that its connection keeps for all vouchers.
func TestVouchersOfABatchByIndex(t *testing.T) {
	st, conn := readingStore(t, 0)
	for _, statement := range []string{fillMilliseconds, "ANALYZE issuance"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	x, err := st.Begin(t.Context(), storetest.Start)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Rollback()
	state := benefit.NewState()
	state.Reset(x.Now())
	const nobodys = 19_000<<23 | 19_000%512<<13 | 4
	if err := x.Load(t.Context(), &benefit.Keys{Vouchers: []id.ID{nobodys}}, state); err != nil {
		t.Fatal(err)
	}
	batch := x.(*tx).conn.Conn()
	names := column[string](t, batch, "SELECT name FROM pg_prepared_statements WHERE statement = $1", loadVouchers.text)
	if len(names) != 1 {
		t.Fatalf("the statement has the names %q", names)
	}
	kept := statement{text: fmt.Sprintf(`EXECUTE %q('{%d}', '{%d}', '{%d}')`, names[0], 19_000%512, nobodys, nobodys-4)}
	if scan := planOf(t, batch, &kept); scan.Index != "issuance_id" || scan.Removed != 0 || scan.Buffers > 6 {
		t.Errorf("%+v", scan)
	}
	if sorts := column[string](t, batch, "SHOW enable_sort"); sorts[0] != "on" {
		t.Errorf("for the other statements of the batch enable_sort is %q", sorts)
	}
}

// planOf runs a statement, and returns how it read the one index that it reads.
func planOf(t *testing.T, conn querier, s *statement, args ...any) indexScan {
	t.Helper()
	scans := scansOf(t, conn, s, args...)
	if len(scans) != 1 {
		t.Fatalf("these indexes are read: %+v", scans)
	}
	return scans[0]
}

// scansOf runs a statement, and returns how it read indexes.
func scansOf(t *testing.T, conn querier, s *statement, args ...any) (scans []indexScan) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+s.text, args...)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	type node struct {
		indexScan
		Plans []json.RawMessage
	}
	var read func(raw json.RawMessage)
	read = func(raw json.RawMessage) {
		var n node
		if err := json.Unmarshal(raw, &n); err != nil {
			t.Fatal(err)
		}
		if n.Index != "" {
			scans = append(scans, n.indexScan)
		}
		for _, below := range n.Plans {
			read(below)
		}
	}
	var tops []struct{ Plan json.RawMessage }
	if err := json.Unmarshal(plan, &tops); err != nil {
		t.Fatal(err)
	}
	read(tops[0].Plan)
	return scans
}

// The lists of a template and of a trace id are read from the end of their indexes, or from an id on: as many rows as are
// wanted, of however many there are.
func TestListsAreReadBackwards(t *testing.T) {
	conn, reading := newDatabase(t, 0)
	for _, fill := range []string{`INSERT INTO issuance
SELECT n % 512, (n << 23) + ((n % 512) << 13), n, CASE WHEN n % 100 = 0 THEN 1 ELSE 2 END, 1,
  md5(CASE WHEN n % 100 = 0 THEN 'few' ELSE 'many' END)::uuid, '\x00'::bytea FROM generate_series(1, 20000::bigint) n`,
		`INSERT INTO issuance_template SELECT bucket, 3 - template, id FROM issuance WHERE user_id % 50 = 0`,
	} {
		if _, err := conn.Exec(t.Context(), fill); err != nil {
			t.Fatal(err)
		}
	}
	const limit = 32
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			if _, err := conn.Exec(t.Context(), "ANALYZE issuance; ANALYZE issuance_template"); err != nil {
				t.Fatal(err)
			}
		}
		tx, err := reading.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), planByIndex); err != nil {
			t.Fatal(err)
		}
		backwards := func(index string) indexScan {
			return indexScan{Type: "Index Scan", Direction: "Backward", Index: index, Rows: limit}
		}
		wantScans := func(what string, got []indexScan, want ...indexScan) {
			for k := range got {
				if got[k].Buffers > 300 { // of 32 look-ups
					t.Errorf("analyzed %v, %s: %+v", analyzed, what, got[k])
				}
				if got[k].Buffers = 0; got[k].Index == "issuance_template_list" {
					got[k].Type = "Index Scan" // or one of the index alone
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("analyzed %v, %s (-want +got):\n%s", analyzed, what, diff)
			}
		}
		for _, before := range []int64{math.MaxInt64, 10_000 << 23} {
			for _, template := range []int64{1, 2} {
				wantScans(fmt.Sprintf("template %d before %d", template, before), scansOf(t, tx, readRecentOfTemplate, template, before, limit),
					backwards("issuance_template_id"), backwards("issuance_template_list"),
					indexScan{Type: "Index Scan", Direction: "Forward", Index: "issuance_id", Rows: 1})
			}
			for _, text := range []string{"few", "many"} {
				trace := uuid{Bytes: md5.Sum([]byte(text)), Valid: true}
				wantScans(fmt.Sprintf("trace %s before %d", text, before), scansOf(t, tx, readRecentOfTrace, trace, before, limit), backwards("issuance_trace"))
			}
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
