package control

import (
	"context"
	"slices"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/seal"
	"faquan/internal/store"
)

// A version of the catalogue is noted with the user who asked and the command. A change of something else is not.
func TestHistory(t *testing.T) {
	d := deskWorld(t)
	var err error
	if d.Box, err = seal.New(make([]byte, seal.KeySize)); err != nil {
		t.Fatal(err)
	}
	c := serveHandler(t, Handler(d, nil))
	for _, pause := range []bool{true, true, false} { // the second one changes nothing
		if _, err := SetStatus.On(t.Context(), c, &StatusOrder{Kind: "template", Name: "C", Pause: pause}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.change(t.Context(), "none", func(context.Context, store.Reader, *benefit.Catalogue, benefit.Env) (*benefit.Changes, error) {
		return &benefit.Changes{Users: []*benefit.User{{ID: 1 << 40, Name: "u"}}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	versions, err := History.On(t.Context(), c, &HistoryQuery{})
	if err != nil || len(versions) != 3 {
		t.Fatalf("%+v, %v", versions, err)
	}
	for k, want := range []string{"resume", "pause", "test"} {
		if v := versions[k]; v.Command != want || v.By != systemUser() || v.At == "" || v.Version != int64(3-k) {
			t.Errorf("%+v, want %s", v, want)
		}
	}
	if f := versions[1].Changes[0]; f.Name != "coupon" || !slices.Contains(f.Fields, FieldChange{"status", "ACTIVE", "PAUSED"}) {
		t.Errorf("%+v", f)
	}
	ctx := withUser(t.Context(), map[string][]string{userHeader: {"%E5%BC%A0"}})
	if got := userOf(ctx); got != "张" {
		t.Errorf("the user is %q", got)
	}
}
