package catalog

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/money"
	"faquan/internal/seal"
)

// Each of these merges the entities of the file with the stored ones: ids, references, and the fields that are kept when
// the file leaves them out.

func (p *planner) merchantDocs() {
	for _, d := range p.file.merchants {
		m := d.merchant
		old := p.merchants.old[m.ID]
		switch {
		case d.has("user_types"):
		case old != nil:
			m.UserTypes = old.UserTypes // merchants from before the list existed accept any
		default:
			// Those of the platforms: a caller cannot make recipients with fresh limits by inventing types.
			m.UserTypes = []string{benefit.AlipayID, benefit.TaobaoID, benefit.OpenID}
		}
		p.merchants.keep(&m, p.merchants.stored(m.ID))
		p.merchants.put(p, m.ID, &m, d.sourcePos)
	}
}

// appSecret returns the context for which an app's secret is sealed.
func appSecret(id benefit.AppID) string { return fmt.Sprintf("app/%d/app_secret", id) }

// AppSecret returns the opened secret of an app on TOP; "" when it has none. Errors wrap those of package seal.
func AppSecret(a *benefit.App, box *seal.Box) (string, error) {
	if len(a.AppSecret) == 0 {
		return "", nil
	}
	opened, err := box.Open(a.AppSecret, appSecret(a.ID))
	return string(opened), err
}

func (p *planner) appDocs() {
	for _, d := range p.file.apps {
		a, old := d.app, p.apps.stored(d.app.ID)
		a.Merchant = p.merchants.find(&p.problems, fmt.Sprintf("app %q", a.Name), d.merchant)
		if !d.has("status") {
			a.Disabled = old.Disabled
		}
		a.AppSecret = p.resealed(old.AppSecret, d.secret, appSecret(a.ID))
		p.apps.keep(&a, old)
		p.credentials(d, &a)
		p.apps.put(p, a.ID, &a, d.sourcePos)
	}
}

// credentials checks that an app can call at least one gateway, and has both credentials that the gateway needs.
func (p *planner) credentials(d *appDoc, a *benefit.App) {
	top, alipay := a.AppKey != "" || a.AppSecret != nil, a.AppID != "" || a.PublicKey != ""
	switch {
	case !top && !alipay:
		p.report(d.line, "app %q: needs app_key and app_secret (TOP), or app_id and public_key (Alipay), or both", a.Name)
	case top && a.AppSecret == nil:
		p.report(d.lineOf("app_key"), "app %q: app_secret is missing, and none is stored yet", a.Name)
	case alipay && a.PublicKey == "":
		p.report(d.lineOf("app_id"), "app %q: public_key is missing", a.Name)
	}
}

// resealed returns the sealed secret: the stored one if the file leaves the secret out or states the same one.
func (p *planner) resealed(old []byte, secret, context string) []byte {
	if secret == "" {
		return old
	}
	// A value that does not open is replaced: stating the secret again is the way to repair it.
	if was, err := p.box.Open(old, context); err == nil && bytes.Equal(was, []byte(secret)) {
		return old
	}
	return p.box.Seal([]byte(secret), context)
}

func (p *planner) templateDocs() {
	for _, d := range p.file.templates {
		t, old := d.template, p.templates.stored(d.template.ID)
		what := fmt.Sprintf("template %q", t.Name)
		t.Merchant = p.merchants.find(&p.problems, what, d.merchant)
		for _, r := range d.grantedTo {
			if app := p.apps.find(&p.problems, what, r); app != 0 && !slices.Contains(t.GrantedTo, app) {
				t.GrantedTo = append(t.GrantedTo, app)
			}
		}
		t.Status = p.status(what, d.lineOf("status"), old.Status, t.Status)
		if old.Kind == t.Kind {
			p.templates.keep(&t, old)
		}
		p.templates.put(p, t.ID, &t, d.sourcePos)
	}
}

// status returns the status of an entity: that of the file, else the stored one, else ACTIVE.
func (p *planner) status(what string, line int, was, want benefit.Status) benefit.Status {
	switch {
	case want == 0 && was == 0:
		return benefit.Active
	case want == 0:
		return was
	case was == benefit.Ended && want != benefit.Ended:
		p.report(line, "%s: cannot leave status ENDED, which is final", what)
	case was != 0 && was != benefit.Draft && want == benefit.Draft:
		p.report(line, "%s: cannot go from status %s back to DRAFT; use PAUSED to stop it", what, statuses.of(was))
	}
	return want
}

func (p *planner) activityDocs() {
	for _, d := range p.file.activities {
		a, old := d.activity, p.activities.stored(d.activity.ID)
		what := fmt.Sprintf("activity %q", a.Name)
		a.Merchant = p.merchants.find(&p.problems, what, d.merchant)
		for _, i := range d.items {
			i.item.Template = p.templates.find(&p.problems, what, i.template)
			a.Items = append(a.Items, i.item)
		}
		p.ruleNames(what, d)
		a.Status = p.status(what, d.lineOf("status"), old.Status, a.Status)
		p.activities.keep(&a, old)
		p.activities.put(p, a.ID, &a, d.sourcePos)
		keepDetails(a.Items, old.Items)
		p.detailIDs(d, &a)
	}
	p.items()
}

// ruleNames checks that the templates and activities that a rule counts exist: an unknown name would count 0 forever.
func (p *planner) ruleNames(what string, d *activityDoc) {
	if d.rule == nil { //guard:TestWrongFilesAreRefused without d.rule == nil
		return
	}
	for _, name := range d.rule.Templates {
		p.templates.find(&p.problems, what+": rule", ref{name, d.lineOf("rule")})
	}
	for _, name := range d.rule.Activities {
		p.activities.find(&p.problems, what+": rule", ref{name, d.lineOf("rule")})
	}
}

// keepDetails sets a detail_id that an item leaves out to that of the old item with the same template.
func keepDetails(items, old []benefit.Item) {
	for k := range items {
		if items[k].DetailID != 0 {
			continue
		}
		for _, was := range old {
			free := !slices.ContainsFunc(items, func(i benefit.Item) bool { return i.DetailID == was.DetailID })
			if was.Template == items[k].Template && free {
				items[k].DetailID = was.DetailID
				break
			}
		}
	}
}

func (p *planner) detailIDs(d *activityDoc, a *benefit.Activity) {
	for k := range a.Items {
		i := &a.Items[k]
		same := 0
		for _, before := range a.Items[:k] {
			if before.Template == i.Template {
				same++
			}
			if i.DetailID != 0 && before.DetailID == i.DetailID {
				p.report(d.items[k].lineOf("detail_id"), "activity %q: two items have detail_id %d", a.Name, i.DetailID)
			}
		}
		p.activities.claim(p, a.ID, fmt.Sprintf("%s/%s/%d", a.Name, d.items[k].template.name, same), d.items[k].sourcePos, detailID(i))
	}
}

// items checks items against their templates, where the file touches either of them.
func (p *planner) items() {
	docs := map[benefit.ActivityID]*activityDoc{}
	for _, d := range p.file.activities {
		docs[d.activity.ID] = d
	}
	for _, id := range p.activities.ids() {
		a := p.activities.all[id]
		for k := range a.Items {
			i := &a.Items[k]
			t := p.templates.all[i.Template]
			at, touched := p.templates.stated[i.Template]
			if d := docs[id]; d != nil {
				at, touched = d.items[k].sourcePos, true
			}
			if t == nil || !touched {
				continue
			}
			if wrong := itemProblem(t, i); wrong != "" {
				p.report(at.lineOf("amount"), "activity %q: item of template %q: %s", a.Name, t.Name, wrong)
			}
		}
	}
}

// itemProblem returns why an item could not issue its template; "" when it can.
func itemProblem(t *benefit.Template, i *benefit.Item) string {
	switch amount := money.Fen(i.Amount); {
	case t.TakesAmount() && amount == 0:
		return "amount is missing; the template takes it from the request"
	case t.TakesAmount() && (amount < t.Amount.Min || amount > t.Amount.Max):
		return fmt.Sprintf("amount %s is outside the template's %s to %s", amount.Yuan(), t.Amount.Min.Yuan(), t.Amount.Max.Yuan())
	case !t.TakesAmount() && amount != 0:
		return "the template sets its own amount; leave it out here"
	}
	return ""
}

func (p *planner) sceneDocs() {
	for _, d := range p.file.scenes {
		s, old := d.scene, p.scenes.stored(d.scene.ID)
		what := fmt.Sprintf("scene %q", s.Name)
		s.Merchant = p.merchants.find(&p.problems, what, d.merchant)
		for _, e := range d.entries {
			s.Activities = append(s.Activities, benefit.SceneEntry{
				Activity: p.activities.find(&p.problems, what, e.activity), Weight: e.weight,
			})
		}
		s.Status = p.status(what, d.lineOf("status"), old.Status, s.Status)
		p.scenes.keep(&s, old)
		p.scenes.put(p, s.ID, &s, d.sourcePos)
	}
	p.sceneOwners()
}

// sceneOwners refuses scenes with an activity of another merchant, or with a right that is not granted to an app of the
// scene's merchant, where the file touches any of them. A decision checks this again.
func (p *planner) sceneOwners() {
	docs := map[benefit.SceneID]*sceneDoc{}
	for _, d := range p.file.scenes {
		docs[d.scene.ID] = d
	}
	for _, id := range p.scenes.ids() {
		s := p.scenes.all[id]
		for k, e := range s.Activities {
			act := p.activities.all[e.Activity]
			if act == nil {
				continue // a dangling reference, which is reported elsewhere
			}
			line := p.activities.stated[act.ID].line
			if d := docs[id]; d != nil {
				line = d.entries[k].activity.line
			}
			if act.Merchant == s.Merchant {
				p.rightOwners(s, act, line)
			} else if line != 0 && act.Merchant != 0 && s.Merchant != 0 { //guard:TestWrongFilesAreRefused
				p.report(line, "scene %q: activity %q belongs to merchant %q; a scene lists activities of its own merchant",
					s.Name, act.Name, p.merchants.names[act.Merchant])
			}
		}
	}
}

// rightOwners checks the templates of an activity of a scene. The line is 0 unless the file states one of the two.
func (p *planner) rightOwners(s *benefit.Scene, act *benefit.Activity, line int) {
	for _, item := range act.Items {
		t := p.templates.all[item.Template]
		if t == nil || t.Merchant == 0 || p.givenBy(t, s.Merchant) {
			continue
		}
		if at := cmp.Or(line, p.templates.stated[t.ID].line); at != 0 {
			p.report(at, "scene %q: activity %q holds template %q of merchant %q; list an app of merchant %q in the template's granted_to, or take it out",
				s.Name, act.Name, t.Name, p.merchants.names[t.Merchant], p.merchants.names[s.Merchant])
		}
	}
}

// givenBy reports whether an app of the merchant may issue the template.
func (p *planner) givenBy(t *benefit.Template, merchant benefit.MerchantID) bool {
	return t.Merchant == merchant || slices.ContainsFunc(t.GrantedTo, func(id benefit.AppID) bool {
		app := p.apps.all[id]
		return app != nil && app.Merchant == merchant
	})
}

func (p *planner) subscriptionDocs() {
	for _, d := range p.file.subscriptions {
		s, old := d.subscription, p.subscriptions.stored(d.subscription.ID)
		what := fmt.Sprintf("subscription %q", s.Name)
		s.Merchant = p.merchants.find(&p.problems, what, d.merchant)
		for _, r := range d.templates {
			s.Templates = append(s.Templates, p.templates.find(&p.problems, what, r))
		}
		s.Status = p.status(what, d.lineOf("status"), old.Status, s.Status)
		p.subscriptions.put(p, s.ID, &s, d.sourcePos)
	}
	p.subscriptionOwners()
}

// subscriptionOwners refuses subscriptions to templates of another merchant, where the file touches either of them.
func (p *planner) subscriptionOwners() {
	docs := map[benefit.SubscriptionID]*subscriptionDoc{}
	for _, d := range p.file.subscriptions {
		docs[d.subscription.ID] = d
	}
	for _, id := range p.subscriptions.ids() {
		s := p.subscriptions.all[id]
		for k, id := range s.Templates {
			t := p.templates.all[id]
			if t == nil {
				continue // a dangling reference, which is reported elsewhere
			}
			line := p.templates.stated[id].line
			if d := docs[s.ID]; d != nil {
				line = d.templates[k].line
			}
			if line != 0 && t.Merchant != s.Merchant && t.Merchant != 0 && s.Merchant != 0 { //guard:TestWrongFilesAreRefused
				p.report(line, "subscription %q: template %q belongs to merchant %q; a subscription lists templates of its own merchant",
					s.Name, t.Name, p.merchants.names[t.Merchant])
			}
		}
	}
}
