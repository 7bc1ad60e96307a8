package main

import "testing"

// TestEngineSmall runs every part of the engine benchmark on a small store: the figures mean nothing, but an ask
// that is not answered as it should fails.
func TestEngineSmall(t *testing.T) {
	err := measureEmbedded(t.Context(), embeddedOptions{
		Workload: Workload{Templates: 1, Users: 500, PerUser: 5, RetryEvery: 20},
		Dir:      t.TempDir(), Callers: 16, Millions: 5, Step: 2000, DirectMeasured: 200, Metrics: true, Out: testWriter{t},
	})
	if err != nil {
		t.Fatal(err)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { w.t.Logf("%s", p); return len(p), nil }
