package postgres_test

import (
	"testing"

	"faquan/internal/bench"
	"faquan/internal/pgtest"
	"faquan/internal/store/postgres"
)

// BenchmarkIssue issues from 256 callers, each answer durable.
func BenchmarkIssue(b *testing.B) {
	url := pgtest.Start(b, pgtest.With("max_wal_size", "4GB"), pgtest.With("shared_buffers", "1GB")).Database(b)
	st, err := postgres.Open(b.Context(), postgres.Options{URL: url})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	w := bench.Workload{Templates: 1, Users: 1_000_000, PerUser: 5, RetryEvery: 100}
	e, err := bench.NewEngine(b.Context(), st, w, 256, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	b.ResetTimer()
	f, err := e.Run(b.Context(), int64(b.N), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(f.PerSecond, "issues/s")
	b.Log(f)
}
