package control

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
)

// The refusals of the last hour are counted by reason, of all templates or of one.
func TestProcess(t *testing.T) {
	d := deskWorld(t)
	if _, err := d.Process(t.Context(), ""); !errors.Is(err, ErrNotServed) {
		t.Errorf("it does not serve: %v", err)
	}
	d.Health = func() Health {
		return Health{Status: Status{PID: 7, URL: "u", Version: "v"}, Unready: "stopping", Rate: 1.5, Waiting: 2}
	}
	recent := gateway.NewRefusals()
	d.Refusals = inMemory{recent}
	now := time.Now()
	note := func(age time.Duration, r gateway.Record) {
		r.Code = "15"
		recent.Note(&r, now.Add(-age))
	}
	note(2*time.Hour, gateway.Record{Reason: benefit.UserLimit, Template: "coupon"})
	note(3*time.Minute, gateway.Record{Reason: benefit.UserLimit, Template: "coupon"})
	note(2*time.Minute, gateway.Record{Reason: benefit.StockEmpty, Attempt: &benefit.Issuance{Lines: []benefit.IssuedLine{{Line: benefit.Line{Template: 1}}}}})
	note(time.Minute, gateway.Record{Reason: benefit.UserLimit, Template: "gift"})
	note(0, gateway.Record{SubCode: "isv.app-disabled"})
	for template, want := range map[string][]RefusalCount{
		"":     {{"USER_LIMIT", 2}, {"STOCK_EMPTY", 1}, {"isv.app-disabled", 1}},
		"C":    {{"STOCK_EMPTY", 1}, {"USER_LIMIT", 1}},
		"gift": {{"USER_LIMIT", 1}},
	} {
		s, err := d.Process(t.Context(), template)
		if err != nil || !reflect.DeepEqual(s.Refusals, want) {
			t.Errorf("template %q: %+v, %v", template, s, err)
		}
		if s.PID != 7 || s.URL != "u" || s.Version != "v" || s.Ready || s.Unready != "stopping" || s.Rate != 1.5 || s.Waiting != 2 {
			t.Errorf("%+v", s)
		}
	}
	if _, err := d.Process(t.Context(), "none"); err == nil {
		t.Error("there is no such template")
	}
	d.Refusals = endless{now}
	s, err := d.Process(t.Context(), "")
	if since := benefit.InstantOf(now.Add(-time.Minute)).String(); err != nil || s.Refusals[0].Calls != maxCounted || s.RefusalsSince != since {
		t.Errorf("%+v, %v; want %d since %s", s, err, maxCounted, since)
	}
}

// endless finds very many of refusals, all of a minute ago.
type endless struct{ now time.Time }

func (e endless) Find(match func(*gateway.Record) bool, _ int) ([]gateway.Record, error) {
	r := gateway.Record{At: e.now.Add(-time.Minute), Code: "15", Reason: benefit.UserLimit}
	for range 2 * maxCounted {
		if match(&r) {
			return []gateway.Record{r}, nil
		}
	}
	return nil, nil
}

// Each process that serves a database is asked.
func TestStatusOfProcesses(t *testing.T) {
	dir := t.TempDir()
	serveShared(t, dir, remembers{url: "one"})
	serveShared(t, dir, remembers{url: "two", err: errors.New("it fails")})
	all, err := DialShared(dir)
	if err != nil {
		t.Fatal(err)
	}
	found, err := all.Status(t.Context(), "")
	if err == nil || len(found) != 1 || found[0].URL != "one" {
		t.Errorf("%+v, %v", found, err)
	}
}
