package sim

import (
	"context"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/id"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

const hour benefit.Instant = 3_600_000

// world draws what clients and operators do. It is small, so that things meet: a few templates with tight caps
// and limits, a few activities and scenes, a few users, keys that come again.
type world struct {
	pickFrom  func(n int) int
	oracle    *oracle.Oracle // what stands in the catalogue, and who the users are
	templates int
	campaigns int
	submitted []*wish // one for each key of an issue
	sources   []*oracle.Source
	others    []*wish         // of commands other than the issue
	pickApp   func(n int) int // draws whether an app changes; nil: none does

	endsChange bool // subscriptions to ends of vouchers come and go, and validities change
}

func newWorld(pick func(n int) int, o *oracle.Oracle) *world {
	return &world{pickFrom: pick, oracle: o, templates: 2 + pick(4), campaigns: 2 + pick(3)}
}

func (w *world) pick(n int) int { return w.pickFrom(n) }

// setUp plans the first catalogue.
func (w *world) setUp(clock benefit.Instant) engine.ChangeFunc {
	return func(_ context.Context, _ store.Reader, _ *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error) {
		all := []any{
			&benefit.Merchant{ID: storetest.OpenMerchant, Name: "open", Open: true},
			&benefit.Merchant{ID: storetest.RegisteredMerchant, Name: "registered"},
			&benefit.App{ID: storetest.App, Name: "app", Merchant: storetest.OpenMerchant},
			&benefit.App{ID: storetest.App + 1, Name: "stranger", Merchant: storetest.RegisteredMerchant},
			&benefit.Activity{ID: 1, Name: "a1", Merchant: storetest.OpenMerchant, Status: benefit.Active},
			&benefit.Activity{ID: 2, Name: "a2", Merchant: storetest.OpenMerchant, Status: benefit.Active, Window: benefit.Window{Start: clock + 3*hour}},
		}
		if w.endsChange {
			all = append(all, expirySubscription(1, storetest.OpenMerchant))
		}
		for n := range w.templates {
			all = append(all, w.template(benefit.TemplateID(n+1)))
		}
		for n := range w.campaigns {
			all = append(all, w.campaign(benefit.ActivityID(firstCampaign+n)))
		}
		for n := range scenes {
			all = append(all, w.scene(benefit.SceneID(n+1)))
		}
		changes := &benefit.Changes{Catalogue: 1}
		for n := range 4 {
			changes.Users = append(changes.Users, w.newUser(clock, n, env))
		}
		return changes, entities(changes, all...)
	}
}

func entities(changes *benefit.Changes, all ...any) error {
	var rows []benefit.Entity
	for _, v := range all {
		e, err := benefit.EntityOf(v)
		if err != nil {
			return err
		}
		rows = append(rows, e)
	}
	changes.Rows = append(changes.Rows, benefit.Entities.Rows(rows...))
	return nil
}

func (w *world) newUser(clock benefit.Instant, n int, env benefit.Env) *benefit.User {
	alipay := fmt.Sprint("20880", n)
	return &benefit.User{
		ID: env.IDs.Block(int64(clock), id.BucketOf(alipay), 1), Name: fmt.Sprint("u", n), Alipay: alipay, Person: some(w, "", "p", "p", "q"),
		Attributes:  w.attributes(),
		Identifiers: []benefit.Identifier{{Type: benefit.AlipayID, Value: alipay}, {Type: benefit.OpenID, Value: fmt.Sprint("o", n), App: storetest.App}, {Type: benefit.Login, Value: fmt.Sprint("u", n)}},
	}
}

func (w *world) template(n benefit.TemplateID) *benefit.Template {
	t := storetest.Template(n, some(w,
		func(t *benefit.Template) { t.Face.Reduction = 5 },
		func(t *benefit.Template) { t.Kind, t.Face = benefit.Exchange, benefit.Face{} },
		storetest.Cash(benefit.FromRequest, 2, 9), storetest.Cash(benefit.Random, 2, 9), storetest.Cash(benefit.Fixed, 4, 4),
		storetest.Certificate(1), storetest.Certificate(2), storetest.Certificate(3)))
	t.Name, t.RightID = fmt.Sprint("t", n), 100+int64(n)
	t.Merchant = some(w, storetest.OpenMerchant, storetest.OpenMerchant, storetest.OpenMerchant, storetest.OpenMerchant, storetest.RegisteredMerchant)
	t.GrantedTo = granted(w)
	t.Stock = benefit.Stock{Count: w.cap(80), Amount: w.cap(300), CountPerDay: w.cap(30), AmountPerDay: w.cap(120)}
	t.Limits = w.limits()
	if w.sources != nil {
		storetest.VaryUse(w.pick, t)
	}
	return t
}

// granted returns the apps of other merchants that may issue a template. Scenes give only what they may.
func granted(w *world) []benefit.AppID {
	return some(w, nil, []benefit.AppID{storetest.App}, []benefit.AppID{storetest.App})
}

func (w *world) cap(limit int) benefit.Cap {
	return some(w, benefit.Unlimited, benefit.Unlimited, benefit.Unlimited, benefit.Cap(w.pick(limit)))
}

func (w *world) limits() benefit.Limits {
	return benefit.Limits{
		PerUser: some[int64](w, 0, 0, 0, 4, 9), PerUserPerDay: some[int64](w, 0, 0, 0, 0, 2, 5), PerPerson: some[int64](w, 0, 0, 0, 5, 12),
	}
}
