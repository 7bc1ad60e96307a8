package catalog

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/store"
)

// at reads a time as the wire shows it.
func at(t *testing.T, text string) benefit.Instant {
	t.Helper()
	i, err := instant(text)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestTheExampleMeansWhatItSays(t *testing.T) {
	w := newWorld(t)
	plan := w.mustApply(string(example(t)))
	if plan.Version != 1 || plan.Same != 0 || len(plan.Changes) != 13 {
		t.Errorf("the plan: version %d, %d the same, %d changes", plan.Version, plan.Same, len(plan.Changes))
	}
	cat := w.catalogue()
	if cat.Version != 1 {
		t.Errorf("version %d", cat.Version)
	}
	want := []any{
		&benefit.Merchant{ID: 1, Name: "acme", Title: "优酷旗舰店", SellerID: 2203102002536848287, UserTypes: []string{"ALIPAY", "TAOBAO", "OPEN_ID"}},
		&benefit.Template{
			ID: 1, Name: "cinema-20", Merchant: 1, Title: "平台红包", Kind: benefit.Reduction,
			TemplateID: "20140601000730010040000000EB", RightID: 2203102002536848287, BizID: cat.Templates[1].BizID,
			Face:    benefit.Face{Reduction: 1050, Threshold: 10000},
			Publish: benefit.Window{Start: at(t, "2022-04-07 00:00:00"), End: at(t, "2036-04-30 23:59:59")},
			Valid:   benefit.Validity{ForMillis: 30 * 24 * 3600 * 1000},
			Stock:   benefit.Stock{Count: 1000000, Amount: -1, CountPerDay: -1, AmountPerDay: -1}, Status: benefit.Active,
		},
		&benefit.Template{
			ID: 2, Name: "red-packet", Merchant: 1, Title: "现金红包", Kind: benefit.Cash,
			TemplateID: "20140601000730010040000000EC", RightID: cat.Templates[2].RightID, BizID: "12457112",
			Amount:  benefit.AmountRule{From: benefit.FromRequest, Min: 1, Max: 20000},
			Publish: benefit.Window{Start: at(t, "2022-01-01 00:00:00"), End: at(t, "2036-12-31 23:59:59")},
			Valid:   benefit.Validity{ForMillis: 7 * 24 * 3600 * 1000},
			Stock:   benefit.Stock{Count: 1000000, Amount: 500000000, CountPerDay: -1, AmountPerDay: -1}, Status: benefit.Active,
		},
		&benefit.Template{
			ID: 3, Name: "gift-certificate", Merchant: 1, Title: "有价礼包电子凭证", Kind: benefit.Certificate,
			OutID: 9007199254740993, RightID: cat.Templates[3].RightID, BizID: cat.Templates[3].BizID, Channels: []int64{7}, Code: benefit.CodeRule{Digits: 12},
			Publish: benefit.Window{Start: at(t, "2022-01-01 00:00:00"), End: at(t, "2036-12-31 23:59:59")},
			Valid:   benefit.Validity{ForMillis: 90 * 24 * 3600 * 1000},
			Stock:   benefit.Stock{Count: 1000000, Amount: -1, CountPerDay: -1, AmountPerDay: -1}, Status: benefit.Active,
		},
		&benefit.Activity{
			ID: 1, Name: "lucky-box", Merchant: 1, ActCode: "box-2026", RelationID: 12345234,
			Window: benefit.Window{Start: at(t, "2022-01-01 00:00:00"), End: at(t, "2036-12-31 23:59:59")},
			Status: benefit.Active, NoGuard: true, Box: &benefit.Box{Cards: []string{"game", "beauty"}, DoneAfter: 2},
			Items: []benefit.Item{{DetailID: 9007199254740995, Template: 2, BenefitType: 1, MaxSends: 10, Quantity: 1, Amount: 100}},
		},
		&benefit.Activity{
			ID: 2, Name: "spring", Merchant: 1, ActCode: "b4d3rkj7d29kwlqg", RelationID: cat.Activities[2].RelationID,
			Window: benefit.Window{Start: at(t, "2022-01-01 00:00:00"), End: at(t, "2036-12-31 23:59:59")},
			Status: benefit.Active, Rule: `user.level >= 2 && request.biz_code == "XXXX"`, Priority: 10,
			Items: []benefit.Item{{DetailID: cat.Activities[2].Items[0].DetailID, Template: 1, MaxSends: 1, Quantity: 1}},
		},
		&benefit.Scene{
			ID: 1, Name: "home-popup", Merchant: 1, SceneCode: "1512AINNA61", Strategy: benefit.ChooseAll,
			Activities: []benefit.SceneEntry{{Activity: 2}}, Status: benefit.Active,
		},
		&benefit.Subscription{
			ID: 1, Name: "acme-expiry", Merchant: 1, Types: []benefit.EventPattern{"voucher.expired"}, Templates: []benefit.TemplateID{1}, Status: benefit.Active,
		},
	}
	got := []any{
		cat.Merchants[1], cat.Templates[1], cat.Templates[2], cat.Templates[3], cat.Activities[1], cat.Activities[2], cat.Scenes[1],
		cat.Subscriptions[1],
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTheExamplesAppsUsersAndSessions(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.mustApply(string(example(t)))
	cat, r := w.catalogue(), w.reader()

	shop, alipay := cat.Apps[1], cat.Apps[2]
	if secret, err := w.box.Open(shop.AppSecret, "app/1/app_secret"); err != nil || string(secret) != "4b0f28396e072d67fae169684613bcd1" {
		t.Errorf("app_secret: %q, %v", secret, err)
	}
	want := benefit.App{
		ID: 2, Name: "shop-alipay", Merchant: 1, AppID: "2014072300007148",
		PublicKey: string(keyFiles()["app_public.pem"]), SignTypes: []string{"RSA2", "RSA"},
	}
	if d := cmp.Diff(want, *alipay); d != "" || shop.AppKey != "12345678" || shop.AppID != "" {
		t.Errorf("%+v\n%s", shop, d)
	}

	alice, err := r.UserByName(ctx, "alice")
	if err != nil || alice == nil {
		t.Fatal(alice, err)
	}
	wantUser := benefit.User{
		ID: alice.ID, Name: "alice", Alipay: "2088302001456115", Attributes: []byte(`{"city":"杭州","level":3}`),
		Identifiers: []benefit.Identifier{
			{Type: "ALIPAY", Value: "2088302001456115"}, {Type: "ALIPAY", Value: "666450000"},
			{Type: "LOGIN", Value: "13196215350"}, {Type: "NICK", Value: "yue54333"},
			{Type: "TAOBAO", Value: "12312312"}, {Type: "OPEN_ID", Value: "AXBZ", App: 1},
		},
	}
	if d := cmp.Diff(wantUser, *alice); d != "" {
		t.Error(d)
	}

	s, err := store.Session(ctx, r, benefit.SessionDigest("6100e23a5b7c9d1f"))
	if err != nil || s == nil {
		t.Fatal(s, err)
	}
	if s.App != 1 || s.Merchant != 1 || s.User != alice.ID || s.Expires != at(t, "2036-01-01 00:00:00") {
		t.Errorf("the session: %+v", s)
	}
	entities, _, err := r.Entities(ctx)
	if err != nil {
		t.Fatal(err)
	}
	platform, err := PlatformOf(entities)
	if err != nil {
		t.Fatal(err)
	}
	key, err := platform.Key(w.box)
	block, _ := pem.Decode(keyFiles()["gateway_private_pkcs8.pem"])
	if given, _ := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil || !key.Equal(given) {
		t.Errorf("the platform's key is another one: %v", err)
	}
}

func TestApplyingTwiceChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.mustApply(string(example(t)))
	again := w.mustApply(string(example(t)))
	if !again.Empty() || again.Version != 0 || again.Same != 13 {
		t.Errorf("the second plan: %+v", again)
	}
	if v := w.catalogue().Version; v != 1 {
		t.Errorf("version %d after applying twice", v)
	}
}

func TestSecretsAreStoredSealedAndShownNowhere(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	plan := w.mustApply(string(example(t)))
	var shown strings.Builder
	if _, err := plan.WriteTo(&shown); err != nil {
		t.Fatal(err)
	}
	r := w.reader()
	entities, _, err := r.Entities(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(entities)
	if err != nil {
		t.Fatal(err)
	}
	for s, err := range store.All(ctx, r, benefit.Sessions) {
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, s.Sealed...)
	}
	for _, e := range entities {
		stored = append(stored, e.Body...)
	}
	for pos, text := range map[string]string{"store": string(stored), "plan": shown.String(), "export": w.export(false)} {
		for _, secret := range []string{"4b0f28396e072d67fae169684613bcd1", "6100e23a5b7c9d1f", "PRIVATE KEY"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s shows %s", pos, secret)
			}
		}
	}
}
