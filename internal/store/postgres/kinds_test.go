package postgres_test

import (
	"errors"
	"sync"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// A kind that is new to a database gets its table, and a column that is new is zero in the rows that there are, whichever
// of several processes comes first.
func TestKindsOfAnEarlierProgram(t *testing.T) {
	for _, partitions := range []int{0, 4} {
		url := pgtest.Shared(t).Database(t)
		options := postgres.Partitioned(postgres.Options{URL: url, CallerClock: true}, partitions)
		st := open(t, options)
		row := everythingRow{everythingKey: everythingKey{Owner: 5 << 13}, N: 3, Other: 4, D: benefit.Digest{5}, Note: "note", Body: []byte("body")}
		if err := storetest.Write(t.Context(), st, storetest.Start, &benefit.Changes{Rows: []table.Rows{everything.Rows(row)}}); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		execute(t, url, "ALTER TABLE everything DROP COLUMN other, DROP COLUMN d, DROP COLUMN note, DROP COLUMN body")
		execute(t, url, "DROP TABLE operation")
		execute(t, url, "UPDATE state SET kinds = replace(replace(kinds, '250/5', '250/1'), ' 8/7', '')")

		var starting sync.WaitGroup
		for range 3 {
			starting.Go(func() {
				st, err := postgres.Open(t.Context(), options)
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				st.Close()
			})
		}
		starting.Wait()
		st = open(t, options)
		defer st.Close()
		got, ok, err := store.Get(t.Context(), st, everything, row.everythingKey)
		if err != nil || !ok || got.N != 3 || got.Other != 0 || got.D != (benefit.Digest{}) || got.Note != "" || len(got.Body) != 0 {
			t.Errorf("a row from before is %+v, %v, %v", got, ok, err)
		}
		changes := &benefit.Changes{Rows: []table.Rows{everything.Rows(row), benefit.Operations.Rows(operation(1))}}
		if err := storetest.Write(t.Context(), st, storetest.Start, changes); err != nil {
			t.Errorf("writing with the new columns: %v", err)
		}
		if n := count(t, url, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'operation'::regclass"); n != int64(partitions) {
			t.Errorf("%d partitions, of %d", n, partitions)
		}
	}
}

// A database whose rows have more than this program knows is a newer program's.
func TestKindsOfANewerProgram(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	options := postgres.Options{URL: url, CallerClock: true}
	running := open(t, options)
	defer running.Close()
	for name, change := range map[string]string{"a kind": "kinds || ' 251/1'", "a column": "replace(kinds, '250/5', '250/6')"} {
		execute(t, url, "UPDATE state SET kinds = "+change)
		st, err := postgres.Open(t.Context(), options)
		if !errors.Is(err, postgres.ErrNewer) {
			t.Errorf("%s that is not known: %v", name, err)
		}
		if err == nil {
			st.Close()
		}
		rows := []table.Rows{benefit.Operations.Rows(operation(1))}
		if err := storetest.Write(t.Context(), running, storetest.Start, &benefit.Changes{Rows: rows}); !errors.Is(err, postgres.ErrNewer) {
			t.Errorf("a process that was running writes beside %s that it does not know: %v", name, err)
		}
		execute(t, url, "UPDATE state SET kinds = replace(replace(kinds, ' 251/1', ''), '250/6', '250/5')")
	}
	open(t, options).Close()
}
