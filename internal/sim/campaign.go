package sim

import (
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/store/storetest"
)

const (
	firstCampaign = 3 // the id of the first activity that has items
	scenes        = 3 // the last one is another merchant's
)

// cards are those of every treasure box.
var cards = []string{"game", "beauty", "luck"}

// campaign draws an activity with items.
func (w *world) campaign(n benefit.ActivityID) *benefit.Activity {
	a := &benefit.Activity{
		ID: n, Name: fmt.Sprint("a", n), Merchant: storetest.OpenMerchant, ActCode: fmt.Sprint("act", n), RelationID: 1000 + int64(n),
		Status: benefit.Active, NoGuard: w.pick(4) == 0, Box: w.box(), Rule: w.rule(), Priority: int64(w.pick(3)),
	}
	for range 1 + w.pick(3) {
		a.Items = append(a.Items, w.item(len(a.Items)))
	}
	return a
}

func (w *world) item(n int) benefit.Item {
	return benefit.Item{
		DetailID: int64(n + 1), Template: benefit.TemplateID(1 + w.pick(w.templates)), MaxSends: 3, Quantity: some(w, 1, 1, 2),
		Amount: some[int64](w, 3, 3, 5, 0, 20),
	}
}

func (w *world) box() *benefit.Box {
	if w.pick(3) == 0 {
		return nil
	}
	return &benefit.Box{Cards: cards, DoneAfter: 1 + w.pick(3), CountSends: w.pick(2) == 0}
}

// rule draws a rule, mostly none, in the language of oracle.Term.
func (w *world) rule() string {
	t, a := 1+w.pick(w.templates), firstCampaign+w.pick(w.campaigns)
	return some(w, "", "", "", "", "", "", "", "", "", "", "!user.level<2", "user.level<3", "known", "!known",
		fmt.Sprintf("t%d<%d", t, 1+w.pick(6)), fmt.Sprintf("t%d/day<%d", t, 1+w.pick(3)),
		fmt.Sprintf("@a%d<%d", a, 1+w.pick(6)), fmt.Sprintf("@a%d/day<%d", a, 1+w.pick(3)),
		fmt.Sprintf("!@a%d<1", a), "t99<1")
}

func (w *world) attributes() []byte {
	return some(w, nil, []byte(`{"level":1}`), []byte(`{"level":2}`), []byte(`{"level":3}`), []byte(`{"city":"杭州"}`))
}

// scene draws a scene.
func (w *world) scene(n benefit.SceneID) *benefit.Scene {
	s := &benefit.Scene{
		ID: n, Name: fmt.Sprint("s", n), SceneCode: fmt.Sprint("scene", n), Merchant: storetest.OpenMerchant, Status: benefit.Active,
		Strategy:  some(w, benefit.ChooseAll, benefit.ChooseFirst, benefit.ChooseWeighted),
		Narrowing: some(w, 0, 0, benefit.NarrowRights, benefit.NarrowActivities, benefit.NarrowNone),
	}
	if n == scenes {
		s.Merchant = storetest.RegisteredMerchant
	}
	s.Activities = w.entries()
	return s
}

// entries draws the activities of a scene, in any order.
func (w *world) entries() (all []benefit.SceneEntry) {
	first := w.pick(w.campaigns)
	for n := range w.campaigns {
		if w.pick(4) > 0 {
			all = append(all, benefit.SceneEntry{Activity: benefit.ActivityID(firstCampaign + (first+n)%w.campaigns), Weight: int64(1 + w.pick(5))})
		}
	}
	return all
}
