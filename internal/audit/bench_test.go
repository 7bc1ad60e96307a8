package audit

import (
	"fmt"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/store/embedded"
	"faquan/internal/store/storetest"
)

// BenchmarkEmbedded audits a directory of 100,000 vouchers, half of which went to new users. It reports the time
// for each voucher.
func BenchmarkEmbedded(b *testing.B) {
	const batches, size = 500, 200
	o := embedded.Options{Dir: b.TempDir(), GenerationSize: 40_000, MaxMemtable: 20_000}
	st, err := embedded.Open(o)
	if err != nil {
		b.Fatalf("Open: %v", err)
	}
	crowdOf(b, st, 1, 1)
	c := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(crowdTemplate)), 1)
	for n := range batches {
		requests := make([]*benefit.Request, size)
		for k := range requests {
			user := (n*size + k) % (batches * size / 2)
			requests[k] = storetest.Request(fmt.Sprintf("20261111%022d", n*size+k), fmt.Sprintf("2088%012d", user), storetest.Line(crowdTemplate))
		}
		if _, err := c.Issue(b.Context(), storetest.Start+benefit.Instant(n), requests...); err != nil {
			b.Fatalf("issuing: %v", err)
		}
	}
	closeStore(b, st)
	for b.Loop() {
		report, err := Embedded(b.Context(), EmbeddedOptions{Store: o})
		if err != nil || !report.OK() || report.Checked.Vouchers != batches*size+1 {
			b.Fatalf("%+v, %v", report, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/(batches*size), "µs/voucher")
}
