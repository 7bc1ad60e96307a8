package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/refusals"
)

// refuse makes a call that is refused, and returns the trace id of its answer.
func (s *server) refuse(t *testing.T) string {
	t.Helper()
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	e, err := app.send(t.Context(), &voucherSend{TemplateID: "NONE", UserID: "2088000000000001", OutBizNo: "k"})
	if err != nil || e.answer.SubCode != "STOCK_NOT_ENOUGH" {
		t.Fatalf("%+v, %v", e, err)
	}
	return e.trace
}

// wantRefused checks that the refused calls with the trace ids are found, and no others.
func (s *server) wantRefused(t *testing.T, what string, traces ...string) {
	t.Helper()
	found, err := s.service.Find(t.Context(), &control.Search{Refusals: true})
	if err != nil && !errors.Is(err, control.ErrNotFound) || len(found) != len(traces) {
		t.Fatalf("%s: %d are found: %v", what, len(found), err)
	}
	for k, decision := range found {
		if want := traces[len(traces)-1-k]; decision.Answer.Trace != want || decision.Reason != "STOCK_EMPTY" || decision.Key != "k" || len(decision.Lines) != 1 {
			t.Errorf("%s: %+v, want trace id %s", what, decision, want)
		}
	}
}

// What was refused up to the end of a process is found by the next one.
func TestRefusalsAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, testDocument(metricsTemplates))
	first := s.refuse(t)
	s.wantRefused(t, "at once", first)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = testServer(t, dir, nil)
	s.wantRefused(t, "after a restart", first)
	second := s.refuse(t)
	s.wantRefused(t, "and what is new", first, second)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = testServer(t, dir, nil, func(c *config.Config) { c.Refusals.Keep = 0 })
	s.wantRefused(t, "when none are kept")
	third := s.refuse(t)
	s.wantRefused(t, "when none are kept, of this process", third)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

// A server that cannot write the files serves, and remembers the latest refusals.
func TestRefusalsThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, refusals.Dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := testServer(t, dir, testDocument(metricsTemplates))
	s.wantRefused(t, "of this process", s.refuse(t))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}
