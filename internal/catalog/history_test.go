package catalog

import (
	"fmt"
	"strings"
	"testing"

	"faquan/internal/benefit"
)

// Only what is active or paused can be paused and resumed: a draft would go live, and what has ended would come back.
func TestPauseOfADraft(t *testing.T) {
	for status, ok := range map[benefit.Status]bool{benefit.Draft: false, benefit.Active: true, benefit.Paused: true, benefit.Ended: false} {
		entity, err := benefit.EntityOf(&benefit.Template{
			ID: 1, Name: "t", Merchant: 1, Kind: benefit.Exchange, Valid: benefit.Validity{ForMillis: dayMillis}, Stock: benefit.UnlimitedStock(), Status: status,
		})
		if err != nil {
			t.Fatal(err)
		}
		merchant, err := benefit.EntityOf(&benefit.Merchant{ID: 1, Name: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		cat, err := benefit.CatalogueOf(1, []benefit.Entity{merchant, entity})
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []benefit.Status{benefit.Active, benefit.Paused} {
			file, err := StatusFile(cat, "template", "t", to)
			if (err == nil) != ok {
				t.Errorf("from %v to %v: %v", status, to, err)
			}
			if ok && file.templates[0].template.Status != to {
				t.Errorf("from %v to %v: %+v", status, to, file.templates[0].template)
			}
		}
		if _, err = StatusFile(cat, "activity", "t", benefit.Paused); err == nil || !strings.Contains(err.Error(), "there is no activity") {
			t.Errorf("got %v", err)
		}
	}
}

// Each template and activity of the example is paused without another change, whatever fields it has.
func TestPauseChangesTheStatusAlone(t *testing.T) {
	w := newWorld(t)
	w.mustApply(string(example(t)))
	cat := w.catalogue()
	check := func(kind, name string, was benefit.Status) {
		file, err := StatusFile(cat, kind, name, benefit.Paused)
		if was == benefit.Draft || was == benefit.Ended {
			return // see TestPauseOfADraft
		}
		if err != nil {
			t.Fatalf("%s %s: %v", kind, name, err)
		}
		plan, err := file.Plan(t.Context(), w.reader(), cat, w.box)
		if err != nil || len(plan.Changes) != 1 || len(plan.Changes[0].Fields) != 1 {
			t.Fatalf("%s %s: %+v, %v", kind, name, plan, err)
		}
		paused := "PAUSED"
		if kind == "app" {
			paused = "DISABLED"
		}
		if got := plan.Changes[0].Fields[0]; got != (Difference{Field: "status", Old: statuses.of(was), New: paused}) {
			t.Errorf("%s %s: %v", kind, name, got)
		}
	}
	for _, one := range cat.Templates {
		check("template", one.Name, one.Status)
	}
	for _, one := range cat.Activities {
		check("activity", one.Name, one.Status)
	}
	for _, one := range cat.Apps {
		check("app", one.Name, benefit.Active)
	}
}

// The history has what each version changed, the newest first, and of which the filter selects; no secret is among it.
func TestHistoryOfVersions(t *testing.T) {
	w := newWorld(t)
	w.mustApply("merchants: [{name: acme, seller_id: 7}]\napps: [{name: shop, merchant: acme, app_key: \"1\", app_secret: hush-hush}]")
	w.mustApply("merchants: [{name: acme, seller_id: 7, title: Acme}, {name: other, seller_id: 8}]")
	w.mustApply("apps: [{name: shop, merchant: acme, app_key: \"1\", app_secret: hush-more}]")
	w.mustApply("subscriptions: [{name: all, merchant: acme, types: [voucher.*]}]")
	for name, test := range map[string]struct {
		filter HistoryFilter
		limit  int
		want   string
	}{
		"all": {HistoryFilter{}, 9, "4: added subscription all merchant: acme…; 3: changed app shop app_secret: (secret) → (another secret); " +
			"2: changed merchant acme title: Acme; 2: added merchant other seller_id: 8…; 1: added merchant acme seller_id: 7…; 1: added app shop merchant: acme…; "},
		"the last":        {HistoryFilter{}, 1, "4: added subscription all merchant: acme…; "},
		"of a new kind":   {HistoryFilter{Kind: "subscription"}, 9, "4: added subscription all merchant: acme…; "},
		"of a kind":       {HistoryFilter{Kind: "app"}, 1, "3: changed app shop app_secret: (secret) → (another secret); "},
		"of one":          {HistoryFilter{Kind: "merchant", Name: "acme"}, 9, "2: changed merchant acme title: Acme; 1: added merchant acme seller_id: 7…; "},
		"of another name": {HistoryFilter{Name: "none"}, 9, ""},
	} {
		versions, err := History(t.Context(), w.reader(), w.catalogue(), test.filter, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, v := range versions {
			for _, c := range v.Changes {
				got += fmt.Sprintf("%d: %s %s %s %v", v.Version, c.Action, c.Kind, c.Name, c.Fields[0])
				if len(c.Fields) > 1 {
					got += "…"
				}
				got += "; "
			}
		}
		if got != test.want || strings.Contains(fmt.Sprint(versions), "hush") {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}
