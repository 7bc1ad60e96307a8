package control

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/scope"
	"faquan/internal/store"
)

// The story of a user has its quotas, its vouchers page by page, and masked identifiers.
func TestExplainUser(t *testing.T) {
	d := deskWorld(t)
	const alice = "ALIPAY:2088302001456115"
	if _, err := d.ExplainUser(t.Context(), &UserQuery{User: alice}); !errors.Is(err, ErrNotFound) {
		t.Errorf("before it received anything: %v", err)
	}
	first, second := d.certificate(t, "k-1"), d.certificate(t, "k-2")
	s, err := d.ExplainUser(t.Context(), &UserQuery{User: alice, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != "ACTIVE" || s.Registered || !reflect.DeepEqual(s.Identifiers, []string{"ALIPAY 208**********115"}) {
		t.Errorf("%+v", s)
	}
	if want := []UserQuota{{Template: "gift", Total: 2, Today: 2}}; !reflect.DeepEqual(s.Quotas, want) {
		t.Errorf("quotas %+v", s.Quotas)
	}
	if len(s.Vouchers) != 1 || s.Vouchers[0].ID != second.ID.String() || s.Next == "" {
		t.Errorf("%+v", s.VoucherPage)
	}
	s, err = d.ExplainUser(t.Context(), &UserQuery{User: s.User, Limit: 1, Cursor: s.Next, Unmasked: true})
	if err != nil || len(s.Vouchers) != 1 || s.Vouchers[0].ID != first.ID.String() || s.Next != "" || s.Identifiers[0] != "ALIPAY 2088302001456115" {
		t.Errorf("the next page: %+v, %v", s, err)
	}
	if _, err := d.ExplainUser(t.Context(), &UserQuery{User: "nobody"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := d.ExplainUser(t.Context(), &UserQuery{User: "alipay:1"}); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("of a mistake: %v", err)
	}
}

// What was received on another day is not of today.
func TestQuotaOfAnotherDay(t *testing.T) {
	d := deskWorld(t)
	v := d.certificate(t, "k")
	yesterday := benefit.Quota{QuotaKey: benefit.QuotaKey{User: v.User, Template: 2}, Total: 1, Day: v.IssuedAt.Day() - 1, DayTotal: 1}
	if err := d.change(t.Context(), "test", func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return &benefit.Changes{Rows: benefit.RowsOf(benefit.Quotas.Rows(yesterday))}, nil
	}); err != nil {
		t.Fatal(err)
	}
	s, err := d.ExplainUser(t.Context(), &UserQuery{User: v.User.String()})
	if want := []UserQuota{{Template: "gift", Total: 1}}; err != nil || !reflect.DeepEqual(s.Quotas, want) {
		t.Errorf("%+v, %v", s, err)
	}
}

// The refusals of a user are those of calls that named it in any way.
func TestRefusalsOfAUser(t *testing.T) {
	d := deskWorld(t)
	v := d.certificate(t, "k")
	recent := gateway.NewRefusals()
	d.Refusals = inMemory{recent}
	for key, named := range map[string]benefit.Identifier{
		"theirs": {Type: benefit.AlipayID, Value: "2088302001456116"}, "identifier": {Type: benefit.AlipayID, Value: "2088302001456115"}, "session": benefit.RefTo(v.User),
	} {
		recent.Note(&gateway.Record{Code: "15", Key: key, App: 1, Request: &benefit.Request{App: 1, Scope: scope.Template(1), Key: key, Recipient: named}}, time.Now())
	}
	recent.Note(&gateway.Record{Code: "15", Key: "wrong"}, time.Now())
	for user, want := range map[string]map[string]bool{
		"ALIPAY:2088302001456115": {"identifier": true, "session": true},
		v.User.String():           {"identifier": true, "session": true},
		"ALIPAY:2088302001456116": {"theirs": true}, // who is not in the store
		"nobody":                  {},
	} {
		found, err := d.Find(t.Context(), &Search{Refusals: true, User: user})
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, one := range found {
			got[one.Key] = true
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("user %s: %v, want %v", user, got, want)
		}
	}
}
