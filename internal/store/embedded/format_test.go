package embedded

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store/codec"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// formatOneRecord returns a journal record as the first format wrote it. What it says is held by a test of package
// codec.
func formatOneRecord(t testing.TB) (record []byte, says *benefit.Changes) {
	t.Helper()
	text, err := os.ReadFile("../codec/testdata/format-one.hex")
	if err != nil {
		t.Fatal(err)
	}
	record, err = hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	says, _, err = codec.DecodeChanges(record)
	if err != nil {
		t.Fatal(err)
	}
	return record, says
}

// A journal that begins in the first format goes on in today's, and its view is what both say.
func TestJournalOfFormatOne(t *testing.T) {
	record, said := formatOneRecord(t)
	p := newMemPlace(t, Options{})
	j, err := journal.Open(journal.Options{FS: p.disk, Dir: p.o.JournalDir, SegmentBytes: p.o.SegmentBytes}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(recordKind, record); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	p.disk = p.disk.CrashProcess()

	s := p.open(t)
	more := &benefit.Changes{Rows: benefit.RowsOf(benefit.Participations.Rows(benefit.Participation{
		ParticipationKey: benefit.ParticipationKey{User: 1<<40 + 9, Activity: 3}, Total: 1, At: storetest.Start, Cards: []string{"game"},
	})), Users: said.Users}
	if err := commit(t, s, more); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		got := contentsOf(t, s)
		want := said
		if diff := storetest.Diff(want.Issuances, got.Issuances); diff != "" {
			t.Errorf("%s: issuances (-want +got):\n%s", when, diff)
		}
		if diff := storetest.Diff(rowsOf(t, append(said.All(), more.Rows...)), got.Rows); diff != "" {
			t.Errorf("%s: rows (-want +got):\n%s", when, diff)
		}
		r, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, key := range []struct {
			scope benefit.Scope
			key   string
		}{{"t/7", "key"}, {benefit.CodeScope, "12345678"}} {
			if i, err := r.Claim(t.Context(), key.scope, key.key); err != nil || i == nil {
				t.Errorf("%s: nothing stands under %s %s: %v", when, key.scope, key.key, err)
			}
		}
	}
	check("at first")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.disk = p.disk.CrashProcess()
	p.wantSound(t)
	s = p.open(t)
	defer s.Close()
	check("after a start")
}

// rowsOf returns rows as [storetest.Contents] has them.
func rowsOf(t testing.TB, all []table.Rows) map[string][]any {
	t.Helper()
	decoded := map[string][]any{}
	for _, rows := range all {
		var row table.Row
		for i := range rows.Len() {
			rows.Read(i, &row)
			v, err := rows.Kind().Decode(&row)
			if err != nil {
				t.Fatal(err)
			}
			decoded[rows.Kind().Name] = append(decoded[rows.Kind().Name], v)
		}
	}
	return decoded
}

// wantSound compares the view of a closed place with its journal.
func (p *testPlace) wantSound(t testing.TB) {
	t.Helper()
	o := p.o
	o.JournalFS = p.disk
	check, err := OpenCheck(t.Context(), o)
	if err != nil {
		t.Fatalf("OpenCheck: %v", err)
	}
	defer check.Close()
	report, err := check.Compare(t.Context(), 10)
	if err != nil || len(report.Faults) > 0 || report.Records == 0 {
		t.Errorf("comparing the view with the journal: %v, %d records, %+v", err, report.Records, report.Faults)
	}
}

// A view of an older schema is not migrated but made again, and holds the same.
func TestOlderSchema(t *testing.T) {
	for n := range 4 {
		killed, summed := n%2 == 0, n < 2
		p := newMemPlace(t, Options{GenerationSize: 9, MaxMemtable: 8})
		s := p.open(t)
		want := contentsOf(t, fill(t, s, 11, 60))
		wantSame(t, "before", want, contentsOf(t, s))
		if killed {
			p.kill(s)
		} else {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			p.disk = p.disk.CrashProcess()
		}
		makeSchemaOne(t, p, summed)
		o := p.o
		o.JournalFS = p.disk
		if check, err := OpenCheck(t.Context(), o); err == nil || !strings.Contains(err.Error(), "schema 1") || errors.Is(err, ErrView) {
			t.Errorf("a check of an older schema: %v", err)
			check.Close()
		}
		s = p.open(t)
		wantSame(t, "after a start", want, contentsOf(t, s))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		p.disk = p.disk.CrashProcess()
		p.wantSound(t)
	}
}

// makeSchemaOne makes of a view one as the first schema had it; empty and without checksums, unless it is summed.
func makeSchemaOne(t *testing.T, p *testPlace, summed bool) {
	t.Helper()
	var conn *sqlite.Conn
	script := ""
	if summed {
		conn = openSummed(t, ViewPath(p.dir))
	} else {
		err := removeView(ViewPath(p.dir))
		if err == nil {
			conn, err = sqlite.OpenConn(ViewPath(p.dir), sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenWAL)
		}
		if err != nil {
			t.Fatal(err)
		}
		script = viewSchema
	}
	script += "DROP TABLE row_history; DROP TABLE row_body; DROP TABLE trace; DROP TABLE local_row; DELETE FROM issuance; PRAGMA user_version=1;"
	if err := errors.Join(sqlitex.ExecuteScript(conn, script, nil), conn.Close()); err != nil {
		t.Fatal(err)
	}
}
