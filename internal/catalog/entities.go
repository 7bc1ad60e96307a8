package catalog

import (
	"bytes"
	"fmt"
	"slices"

	"faquan/internal/benefit"
)

// Each of these merges the entities of the file with the stored ones: ids, references, and the fields that are kept when
// the file leaves them out.

func (p *planner) merchantDocs() {
	for _, d := range p.file.merchants {
		m := d.merchant
		old := p.merchants.old[m.ID]
		if old != nil {
			keep(&m.SellerID, old.SellerID)
		}
		switch {
		case d.has("user_types"):
		case old != nil:
			m.UserTypes = old.UserTypes // merchants from before the list existed accept any
		default:
			m.UserTypes = defaultUserTypes()
		}
		p.merchants.all[m.ID] = &m
		p.wireID("seller_id", owner{int64(m.ID), m.Name}, d.of("seller_id"), numberSlot(&m.SellerID), numberForm)
	}
}

// defaultUserTypes returns the user types of a new merchant: those of the platforms. A caller cannot make recipients
// with fresh limits by inventing types.
func defaultUserTypes() []string { return []string{benefit.AlipayID, benefit.TaobaoID, benefit.OpenID} }

// appSecret returns the context for which an app's secret is sealed.
func appSecret(id benefit.AppID) string { return fmt.Sprintf("app/%d/app_secret", id) }

func (p *planner) appDocs() {
	for _, d := range p.file.apps {
		a := d.app
		what := fmt.Sprintf("app %q", a.Name)
		a.Merchant = p.merchants.find(&p.problems, what, d.merchant)
		old := p.apps.old[a.ID]
		if old == nil {
			old = &benefit.App{}
		}
		keep(&a.AppKey, old.AppKey)
		keep(&a.AppID, old.AppID)
		if !d.has("status") {
			a.Disabled = old.Disabled
		}
		a.AppSecret = p.resealed(old.AppSecret, d.secret, appSecret(a.ID))
		p.credentials(d, &a)
		p.apps.all[a.ID] = &a
	}
}

// credentials checks that an app can call at least one gateway, and has both credentials that the gateway needs.
func (p *planner) credentials(d *appDoc, a *benefit.App) {
	to := owner{int64(a.ID), a.Name}
	top, alipay := a.AppKey != "" || a.AppSecret != nil, a.AppID != "" || a.PublicKey != ""
	switch {
	case !top && !alipay:
		p.report(d.line, "app %q: needs app_key and app_secret (TOP), or app_id and public_key (Alipay), or both", a.Name)
	case top && a.AppSecret == nil:
		p.report(d.of("app_key"), "app %q: app_secret is missing, and none is stored yet", a.Name)
	case alipay && a.PublicKey == "":
		p.report(d.of("app_id"), "app %q: public_key is missing", a.Name)
	}
	if top {
		p.wireID("app_key", to, d.of("app_key"), textSlot(&a.AppKey), numberForm)
	}
	if alipay {
		p.wireID("app_id", to, d.of("app_id"), textSlot(&a.AppID), numberForm)
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
		t := d.template
		what := fmt.Sprintf("template %q", t.Name)
		t.Merchant = p.merchants.find(&p.problems, what, d.merchant)
		for _, r := range d.grantedTo {
			if app := p.apps.find(&p.problems, what, r); app != 0 && !slices.Contains(t.GrantedTo, app) {
				t.GrantedTo = append(t.GrantedTo, app)
			}
		}
		old := p.templates.old[t.ID]
		var was benefit.Status
		if old != nil {
			was = old.Status
			if old.Kind == t.Kind {
				keep(&t.TemplateID, old.TemplateID)
				keep(&t.RightID, old.RightID)
				keep(&t.OutID, old.OutID)
				keep(&t.BizID, old.BizID)
			}
		}
		t.Status = p.status(what, d.of("status"), was, t.Status)
		p.templates.all[t.ID] = &t
		p.templateIDs(d, &t)
	}
}

func (p *planner) templateIDs(d *templateDoc, t *benefit.Template) {
	to := owner{int64(t.ID), t.Name}
	if t.Kind == benefit.Certificate {
		p.wireID("out_id", to, d.of("out_id"), numberSlot(&t.OutID), numberForm)
		// Alipay's answer has no field for a code, so a certificate is only issued there when its template allows it.
		p.wireID("template_id", to, d.of("template_id"), textSlot(&t.TemplateID), nil)
	} else {
		p.wireID("template_id", to, d.of("template_id"), textSlot(&t.TemplateID), templateForm)
	}
	p.wireID("right_id", to, d.of("right_id"), numberSlot(&t.RightID), numberForm)
	if t.BizID == "" {
		// The campaign's id in its own system: templates of one campaign may share it, so it is not claimed.
		t.BizID = newWireIDs("template", "biz_id").generate(to, numberForm)
		p.generated[mark("template", t.BizID)] = true
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
		a := d.activity
		what := fmt.Sprintf("activity %q", a.Name)
		a.Merchant = p.merchants.find(&p.problems, what, d.merchant)
		for _, i := range d.items {
			i.item.Template = p.templates.find(&p.problems, what, i.template)
			a.Items = append(a.Items, i.item)
		}
		p.ruleNames(what, d)
		var was benefit.Status
		if old := p.activities.old[a.ID]; old != nil {
			was = old.Status
			keep(&a.ActCode, old.ActCode)
			keep(&a.RelationID, old.RelationID)
			keepDetails(a.Items, old.Items)
		}
		a.Status = p.status(what, d.of("status"), was, a.Status)
		p.activities.all[a.ID] = &a
		to := owner{int64(a.ID), a.Name}
		p.wireID("act_code", to, d.of("act_code"), textSlot(&a.ActCode), actForm)
		p.wireID("relation_id", to, d.of("relation_id"), numberSlot(&a.RelationID), numberForm)
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
		p.templates.find(&p.problems, what+": rule", ref{name, d.of("rule")})
	}
	for _, name := range d.rule.Activities {
		p.activities.find(&p.problems, what+": rule", ref{name, d.of("rule")})
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
				p.report(d.items[k].of("detail_id"), "activity %q: two items have detail_id %d", a.Name, i.DetailID)
			}
		}
		// The activity owns the id, so that an item may change its template and keep it; the item's name only makes
		// its generated id unique.
		to := owner{int64(a.ID), a.Name}
		if i.DetailID == 0 {
			to.name = fmt.Sprintf("%s/%s/%d", a.Name, d.items[k].template.name, same)
		}
		p.wireID("detail_id", to, d.items[k].of("detail_id"), numberSlot(&i.DetailID), numberForm)
	}
}

// items checks items against their templates, where the file touches either of them.
func (p *planner) items() {
	docs := map[benefit.ActivityID]*activityDoc{}
	for _, d := range p.file.activities {
		docs[d.activity.ID] = d
	}
	for _, a := range p.activities.values() {
		for k := range a.Items {
			i := &a.Items[k]
			t := p.templates.all[i.Template]
			at, touched := p.templates.stated[i.Template]
			if d := docs[a.ID]; d != nil {
				at, touched = d.items[k].sourcePos, true
			}
			if t == nil || !touched {
				continue
			}
			if wrong := itemProblem(t, i); wrong != "" {
				p.report(at.of("amount"), "activity %q: item of template %q: %s", a.Name, t.Name, wrong)
			}
		}
	}
}

// itemProblem returns why an item could not issue its template; "" when it can.
func itemProblem(t *benefit.Template, i *benefit.Item) string {
	switch amount := itemAmount(i); {
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
		s := d.scene
		what := fmt.Sprintf("scene %q", s.Name)
		s.Merchant = p.merchants.find(&p.problems, what, d.merchant)
		for _, e := range d.entries {
			s.Activities = append(s.Activities, benefit.SceneEntry{
				Activity: p.activities.find(&p.problems, what, e.activity), Weight: e.weight,
			})
		}
		var was benefit.Status
		if old := p.scenes.old[s.ID]; old != nil {
			was = old.Status
			keep(&s.SceneCode, old.SceneCode)
		}
		s.Status = p.status(what, d.of("status"), was, s.Status)
		p.scenes.all[s.ID] = &s
		p.wireID("scene_code", owner{int64(s.ID), s.Name}, d.of("scene_code"), textSlot(&s.SceneCode), sceneForm)
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
	for _, s := range p.scenes.values() {
		for k, e := range s.Activities {
			act := p.activities.all[e.Activity]
			if act == nil {
				continue // a dangling reference, which is reported elsewhere
			}
			at, touched := p.activities.stated[act.ID]
			if d := docs[s.ID]; d != nil {
				at, touched = sourcePos{line: d.entries[k].activity.line}, true
			}
			if act.Merchant != s.Merchant {
				if touched && act.Merchant != 0 && s.Merchant != 0 { //guard:TestWrongFilesAreRefused
					p.report(at.line, "scene %q: activity %q belongs to merchant %q; a scene lists activities of its own merchant",
						s.Name, act.Name, p.names().merchant(act.Merchant))
				}
				continue
			}
			p.rightOwners(s, act, at, touched)
		}
	}
}

func (p *planner) rightOwners(s *benefit.Scene, act *benefit.Activity, at sourcePos, touched bool) {
	for _, item := range act.Items {
		t := p.templates.all[item.Template]
		if t == nil || t.Merchant == 0 || p.givenBy(t, s.Merchant) {
			continue
		}
		if stated, is := p.templates.stated[t.ID]; is && !touched {
			p.foreignRight(s, act, t, stated)
		} else if touched {
			p.foreignRight(s, act, t, at)
		}
	}
}

func (p *planner) foreignRight(s *benefit.Scene, act *benefit.Activity, t *benefit.Template, at sourcePos) {
	p.report(at.line, "scene %q: activity %q holds template %q of merchant %q; list an app of merchant %q in the template's granted_to, or take it out",
		s.Name, act.Name, t.Name, p.names().merchant(t.Merchant), p.names().merchant(s.Merchant))
}

// givenBy reports whether an app of the merchant may issue the template.
func (p *planner) givenBy(t *benefit.Template, merchant benefit.MerchantID) bool {
	return t.Merchant == merchant || slices.ContainsFunc(t.GrantedTo, func(id benefit.AppID) bool {
		app := p.apps.all[id]
		return app != nil && app.Merchant == merchant
	})
}
