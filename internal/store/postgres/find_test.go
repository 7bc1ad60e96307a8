package postgres

import (
	"encoding/json"
	"math"
	"testing"
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
}
