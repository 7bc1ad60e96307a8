package embedded

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/money"
	"faquan/internal/store/storetest"
)

// formatOne is a journal record as the first format wrote it, of the changes that formatOneChanges makes.
const formatOne = "" +
	"0180f4aa85b968018301000001000000000003742f37036b65790271c6621019d42c003c715fb7275f6179074f50454e5f4944046f70656e" +
	"0200000100000000090432303838080103e7acac027b7d057472616365010e060a04023c0100023c3c023d0108313233343536373880f4aa" +
	"85b9680880f4aa85b968d083ab85b9680100c801000000020406080a0c010000010000000009016e0001700432303838027b7d01074f5045" +
	"4e5f4944046f70656e020100000100000000090e0cc0b8020e010e0440010ec0b80208440801030e087b226964223a377d00"

func formatOneChanges() *benefit.Changes {
	line := benefit.Line{Template: 7, Activity: 3, DetailID: 5, Sends: 2, Quantity: 1, Amount: 30, HasAmount: true}
	open := benefit.Identifier{Type: benefit.OpenID, Value: "open", App: 1}
	return &benefit.Changes{
		Now: storetest.Start,
		Issuances: []*benefit.Issuance{{
			ID: 1 << 40, Scope: "t/7", Key: "key", App: 1, Meaning: benefit.MeaningOf([]benefit.Line{line}), Recipient: open,
			User: 1<<40 + 9, Alipay: "2088", Catalogue: 4, Continues: true,
			Note: benefit.Note{Memo: "第", Extend: "{}", TraceID: "trace"},
			Lines: []benefit.IssuedLine{{
				Line: line, First: 1 << 40, Amounts: []money.Fen{30, 30}, Issued: 1, Reason: benefit.StockEmpty, Codes: []string{"12345678"},
				At: storetest.Start, Catalogue: 4, Valid: benefit.Window{Start: storetest.Start, End: storetest.Start + 1000},
				Kind: benefit.Cash, Face: benefit.Face{Threshold: 100},
				Seen: benefit.Counters{Count: 1, Amount: 2, DayCount: 3, DayAmount: 4, User: 5, UserDay: 6},
			}},
		}},
		Users:     []*benefit.User{{ID: 1<<40 + 9, Name: "n", Person: "p", Alipay: "2088", Attributes: []byte("{}"), Identifiers: []benefit.Identifier{open}}},
		Quotas:    []benefit.Quota{{QuotaKey: benefit.QuotaKey{User: 1<<40 + 9, Template: 7}, Total: 6, Day: 20000, DayTotal: 7}},
		Templates: []benefit.TemplateCount{{Template: 7, Count: 2, Amount: 32}},
		Days:      []benefit.TemplateDay{{Template: 7, Day: 20000, Count: 4, Amount: 34}},
		Catalogue: 4, Entities: []benefit.Entity{{Kind: benefit.TemplateEntity, ID: 7, Body: []byte(`{"id":7}`)}},
	}
}

func formatOneRecord(t testing.TB) []byte {
	t.Helper()
	record, err := hex.DecodeString(formatOne)
	if err != nil || record[0] != 1 {
		t.Fatalf("not a record of format 1: %v", err)
	}
	return record
}

// A record of the first format, which has no participations and no groups behind the lines, says what it said.
func TestFormatOne(t *testing.T) {
	got, at, err := decodeChanges(formatOneRecord(t))
	if err != nil || len(at) != 1 {
		t.Fatalf("decoding: %v, %d bodies", err, len(at))
	}
	if diff := storetest.Diff(formatOneChanges(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, _, err := decodeChanges(append(formatOneRecord(t), 0)); err == nil {
		t.Error("participations in a record of the first format go unnoticed")
	}
}

// A journal that begins in the first format goes on in today's, and its view is what both say.
func TestJournalOfFormatOne(t *testing.T) {
	p := newMemPlace(t, Options{})
	j, err := journal.Open(journal.Options{FS: p.disk, Dir: p.o.JournalDir, SegmentBytes: p.o.SegmentBytes}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(recordKind, formatOneRecord(t)); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	p.disk = p.disk.CrashProcess()

	s := p.open(t)
	more := &benefit.Changes{Participations: []benefit.Participation{{
		ParticipationKey: benefit.ParticipationKey{User: 1<<40 + 9, Activity: 3}, Total: 1, At: storetest.Start, Cards: []string{"game"},
	}}, Users: formatOneChanges().Users}
	if err := commit(t, s, more); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		got := contentsOf(t, s)
		want := formatOneChanges()
		if diff := storetest.Diff(want.Issuances, got.Issuances); diff != "" {
			t.Errorf("%s: issuances (-want +got):\n%s", when, diff)
		}
		if diff := storetest.Diff(more.Participations, got.Joined); diff != "" {
			t.Errorf("%s: participations (-want +got):\n%s", when, diff)
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
	for _, killed := range []bool{false, true} {
		p := newMemPlace(t, Options{GenerationSize: 9, MaxOverlay: 8})
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
		makeSchemaOne(t, p)
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

// makeSchemaOne makes of a view one as the first schema had it.
func makeSchemaOne(t *testing.T, p *testPlace) {
	t.Helper()
	conn, err := sqlite.OpenConn(ViewPath(p.dir), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	script := "DROP TABLE participation; DROP TABLE trace; DROP TABLE entity_version; DELETE FROM issuance; PRAGMA user_version=1;"
	if err := errors.Join(sqlitex.ExecuteScript(conn, script, nil), conn.Close()); err != nil {
		t.Fatal(err)
	}
}
