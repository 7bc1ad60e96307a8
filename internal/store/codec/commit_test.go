package codec

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store/storetest"
)

// A commit has the time and the steps of the whole record, in records of every format.
func TestDecodeCommit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyChanges(t)
		record, _ := EncodeChanges(nil, c, nil)
		now, steps, err := DecodeCommit(record)
		if err != nil || now != c.Now {
			t.Fatalf("at %v, want %v: %v", now, c.Now, err)
		}
		if diff := storetest.Diff(c.Steps, steps); diff != "" && len(c.Steps)+len(steps) > 0 {
			t.Fatalf("(-written +read):\n%s", diff)
		}
		before := fmt.Sprintf("%+v", steps)
		if _, _, err := DecodeCommit(record[:rapid.IntRange(0, len(record)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a part is taken for a record")
		}
		if _, _, err := DecodeCommit(append(record, 0)); err == nil {
			t.Fatal("a byte too many goes unnoticed")
		}
		clear(record)
		if after := fmt.Sprintf("%+v", steps); after != before {
			t.Fatalf("the steps change with the record:\n%s\n%s", before, after)
		}
	})
}

// Commits from before there were steps have none.
func TestDecodeCommitOfFormat4(t *testing.T) {
	c := usualBatch(3)
	record, _ := EncodeChanges(nil, c, nil)
	record = record[:len(record)-1] // which says that the steps are the usual ones
	record[0] = 4
	for name, record := range map[string][]byte{"4": record, "1": formatOneRecord(t)} {
		whole, _, err := DecodeChanges(record)
		if err != nil || len(whole.Issuances) == 0 || len(whole.Steps) > 0 {
			t.Fatalf("format %s: %+v, %v", name, whole, err)
		}
		if now, steps, err := DecodeCommit(record); err != nil || now != whole.Now || len(steps) > 0 {
			t.Errorf("format %s: at %v, %d steps, %v", name, now, len(steps), err)
		}
	}
	record[0] = RecordFormat + 1
	if _, _, err := DecodeCommit(record); err == nil {
		t.Error("a newer format is accepted")
	}
}

// usualBatch returns what a batch of n issues to new users changes.
func usualBatch(n int) *benefit.Changes {
	c := &benefit.Changes{Now: storetest.Start}
	var quotas []benefit.Quota
	for k := range n {
		i := id.ID(1)<<40 + id.ID(2*k)
		user := benefit.UserID(i + 1)
		line := storetest.Line(1)
		recipient := benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprintf("2088%012d", k)}
		c.Users = append(c.Users, benefit.PlainUser(user, recipient))
		c.Issuances = append(c.Issuances, &benefit.Issuance{
			ID: i, Scope: "a/1/1", Key: fmt.Sprintf("2026113000%d", k), App: 1, User: user, Recipient: recipient, Catalogue: 3,
			Lines: []benefit.IssuedLine{{
				Line: line, First: i, Amounts: []money.Fen{500}, Issued: 1, At: storetest.Start, Catalogue: 3,
				Valid: benefit.Window{Start: storetest.Start, End: 2 * storetest.Start}, Seen: benefit.Counters{Count: 500_000 + int64(k)},
			}},
		})
		quotas = append(quotas, benefit.Quota{QuotaKey: benefit.QuotaKey{User: user, Template: 1}, Total: 1, Day: 20000, DayTotal: 1})
	}
	c.Rows = benefit.RowsOf(benefit.Quotas.Rows(quotas...), benefit.TemplateCounts.Rows(benefit.TemplateCount{Template: 1, Count: 500_000}))
	c.Steps = stepsOfIssues(c)
	return c
}

func BenchmarkDecodeCommit(b *testing.B) {
	const n = 130
	record, _ := EncodeChanges(nil, usualBatch(n), nil)
	for name, decode := range map[string]func() error{
		"whole": func() error { _, _, err := DecodeChanges(record); return err },
		"steps": func() error { _, _, err := DecodeCommit(record); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/issuance")
			b.ReportMetric(float64(len(record))/n, "B/issuance")
		})
	}
}
