package main

import (
	"io"
	"strings"
	"testing"
)

// TestStartIsRefused: once both templates have been given to the only user, a start says so and leaves the store closed.
func TestStartIsRefused(t *testing.T) {
	o := startOptions{Workload: Workload{Templates: 2, Users: 1, PerUser: 1}, Dir: t.TempDir(), Callers: 1, Out: io.Discard}
	var err error
	for n := 0; err == nil && n < 60; n++ { // each gives one of the two, drawn at random
		err = measureStart(t.Context(), o)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "the first request is refused: ") || strings.Contains(err.Error(), "%!w") {
		t.Errorf("got %v", err)
	}
}

// TestStartHasNoRetries: it does not know what the store has been asked before.
func TestStartHasNoRetries(t *testing.T) {
	if newStart().Flags().Lookup("retry-every") != nil || newEngine().Flags().Lookup("retry-every") == nil {
		t.Error("--retry-every is a flag of engine, and of engine alone")
	}
}
