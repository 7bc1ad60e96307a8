package main

import "testing"

// TestDecideSmall runs the benchmark of decisions on few requests: one that issues anything but one right fails.
func TestDecideSmall(t *testing.T) {
	err := measureDecisions(t.Context(), decideOptions{
		Dir: t.TempDir(), Callers: 16, Users: 200, Activities: 20, Holding: 3, Rounds: 2, Requests: 2000, Out: testWriter{t},
	})
	if err != nil {
		t.Fatal(err)
	}
}
