package top_test

import (
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/id"
	"faquan/internal/store/storetest"
)

const activityMethod = "taobao.mobile.promotion.benefit.activity.send"

func init() {
	objects[activityMethod] = "single_benefit_request"
	d := newDraft()
	withActivities(d)
	for k, item := range d.activities["plain"].Items {
		for name, t := range d.templates {
			if t.ID == item.Template {
				details[name] = int64(100 + k)
			}
		}
	}
}

// The relation ids of the activities of an activityLab.
const (
	plainRelation   = 12345234
	boxRelation     = 5000 // cards game, beauty and food; done after two different ones
	sendsRelation   = 5001 // a box that counts sends: done after three
	closedRelation  = 5002
	theirRelation   = 5003 // of another merchant
	grantedRelation = 5004 // of another merchant, whose template is granted to the app
)

// The details of the plain activity, by what they are for.
var details = map[string]int64{}

// withActivities puts into a draft what activity.send needs: activities, users, and sessions that name a user.
func withActivities(d *draft) {
	template := func(name string, change func(*benefit.Template)) benefit.TemplateID {
		t := d.template(name, benefit.Reduction)
		t.Face, t.BizID = benefit.Face{Reduction: 500, Threshold: 2000}, "biz-"+name
		if change != nil {
			change(t)
		}
		return t.ID
	}
	plain := &benefit.Activity{Name: "plain", Merchant: 1, RelationID: plainRelation}
	item := func(name string, change func(*benefit.Template)) *benefit.Item {
		plain.Items = append(plain.Items, benefit.Item{
			DetailID: int64(100 + len(plain.Items)), Template: template(name, change), BenefitType: 1, MaxSends: 5, Quantity: 1,
		})
		return &plain.Items[len(plain.Items)-1]
	}
	at := func(d time.Duration) benefit.Instant { return benefit.InstantOf(labNoon.Add(d)) }
	item("many", func(t *benefit.Template) { t.BizID = "12457112" })
	item("pairs", nil).Quantity = 2
	item("one", func(t *benefit.Template) { t.Limits.PerUser = 1 })
	item("three", func(t *benefit.Template) { t.Stock.Count = 3 })
	item("none", func(t *benefit.Template) { t.Stock.Count = 0 })
	item("no-budget", func(t *benefit.Template) { t.Stock.Amount = 499 })
	item("no-day", func(t *benefit.Template) { t.Stock.CountPerDay = 0 })
	item("no-day-budget", func(t *benefit.Template) { t.Stock.AmountPerDay = 499 })
	item("a-day", func(t *benefit.Template) { t.Limits.PerUserPerDay = 1 })
	item("a-person", func(t *benefit.Template) { t.Limits.PerPerson = 1 })
	item("drafted", func(t *benefit.Template) { t.Status = benefit.Draft })
	item("paused", func(t *benefit.Template) { t.Status = benefit.Paused })
	item("soon", func(t *benefit.Template) { t.Publish.Start = at(time.Hour) })
	item("ended", func(t *benefit.Template) { t.Status = benefit.Ended })
	asked := func(t *benefit.Template) {
		t.Kind, t.Face, t.Amount = benefit.Cash, benefit.Face{}, benefit.AmountRule{From: benefit.FromRequest, Min: 100, Max: 200}
	}
	item("coins", asked).Amount = 150
	item("no-amount", asked)
	item("too-much", asked).Amount = 201
	sole := func(name string, change func(*benefit.Template)) []benefit.Item {
		return []benefit.Item{{DetailID: 1, Template: template(name, change), BenefitType: 1, MaxSends: 5, Quantity: 1}}
	}
	theirs := func(t *benefit.Template) { t.Merchant = 3 }
	for _, act := range []*benefit.Activity{
		plain,
		{Name: "box", Merchant: 1, RelationID: boxRelation, Items: sole("box", nil), NoGuard: true,
			Box: &benefit.Box{Cards: []string{"game", "beauty", "food"}, DoneAfter: 2}},
		{Name: "sends", Merchant: 1, RelationID: sendsRelation, Items: sole("sends", nil), NoGuard: true,
			Box: &benefit.Box{Cards: []string{"beauty"}, DoneAfter: 3, CountSends: true}},
		{Name: "closed", Merchant: 1, RelationID: closedRelation, Items: sole("closed", nil), Status: benefit.Paused},
		{Name: "theirs", Merchant: 3, RelationID: theirRelation, Items: sole("theirs", theirs)},
		{Name: "granted", Merchant: 3, RelationID: grantedRelation, Items: sole("granted", func(t *benefit.Template) {
			theirs(t)
			t.GrantedTo = []benefit.AppID{1}
		})},
	} {
		act.ID = benefit.ActivityID(100 + len(d.activities))
		if act.Status == 0 {
			act.Status = benefit.Active
		}
		d.activities[act.Name] = act
	}
	d.merchants[0].Title, d.merchants[2].SellerID = "我们的旗舰店", 3003
	d.sendsSessions(at)
}

// sendsSessions adds users, and a session for each.
func (d *draft) sendsSessions(at func(time.Duration) benefit.Instant) {
	g := id.NewGenerator(mathrand.New(mathrand.NewPCG(4, 4)), 0)
	session := func(key string, user benefit.UserID) *benefit.Session {
		s := &benefit.Session{Digest: benefit.SessionDigest(key), App: 1, Merchant: 1, User: user}
		d.sessions = append(d.sessions, s)
		return s
	}
	for _, name := range []string{"carol", "dave", "twin", "cold"} {
		u := &benefit.User{
			ID: g.Block(labNoon.UnixMilli()-1000, id.BucketOf(name), 1), Name: name, Frozen: name == "cold",
			Identifiers: []benefit.Identifier{{Type: benefit.TaobaoID, Value: name}},
		}
		if name == "carol" || name == "twin" {
			u.Person = "p"
		}
		d.users = append(d.users, u)
		session(name, u.ID)
		if name == "carol" {
			session("carol-lasts", u.ID).Expires = at(time.Millisecond)
			session("carol-over", u.ID).Expires = at(0)
			session("carol-revoked", u.ID).Ended = at(-time.Hour)
			session("carol-code", u.ID).Kind = benefit.CodeSession
			session("carol-other", u.ID).App = 2
			session("carol-appless", u.ID).Merchant = 0
		}
	}
	session("nobody", 12345)
	session("userless", 0)
}

// newActivityLab starts a lab with activities; change, unless nil, comes after that.
func newActivityLab(t testing.TB, change func(*draft)) *lab {
	t.Helper()
	return newLab(t, func(d *draft) {
		withActivities(d)
		if change != nil {
			change(d)
		}
	})
}

// with puts another handler in the lab's place, whose options change may set.
func (l *lab) with(change func(*top.Options)) *lab {
	log := slog.New(slog.NewJSONHandler(&l.log, nil))
	apps := gateway.NewApps(func() *benefit.Catalogue { return l.issuer.Catalogue() }, log)
	o := top.Options{
		Issuer: l, Apps: apps.WithSecrets(func(a *benefit.App) (string, error) { return string(a.AppSecret), nil }),
		Sessions: gateway.NewSessions(storetest.Sessions(l.store), 0),
		Finder:   labFinder{l}, States: l.states,
		Clock: l.now, Log: log,
	}
	change(&o)
	l.Handler = top.New(o)
	return l
}

// sending returns a call of activity.send by carol's session, for one of what details names; change is put over the
// members.
func sending(key, what string, change object) *labCall {
	body := object{
		"benefit_type": 1, "send_count": 1, "unique_id": key, "relation_id": plainRelation, "purchaser_id": 1001,
		"detail_id": details[what], "trace_id": "5e7541dc-89ec-4283-a943-e1f3b72fc975", "biz_id": "biz-" + what,
	}
	switch what {
	case "many":
		body["biz_id"] = "12457112"
	case "box":
		body["relation_id"], body["detail_id"] = boxRelation, 1
	case "sends":
		body["relation_id"], body["detail_id"], body["card_type"] = sendsRelation, 1, "beauty"
	case "closed":
		body["relation_id"], body["detail_id"] = closedRelation, 1
	case "theirs":
		body["relation_id"], body["detail_id"], body["purchaser_id"] = theirRelation, 1, 3003
	case "granted":
		body["relation_id"], body["detail_id"], body["purchaser_id"] = grantedRelation, 1, 3003
	}
	put(body, change)
	return &labCall{method: activityMethod, session: "carol", body: body}
}

// sent is an answer of activity.send in short.
type sent struct {
	Refusal        string // code and sub_code
	Code           string // error_code
	Issued, Failed string
	Codes          string // error_code_list
	Done           string // is_baoxiang_task_done
}

// send makes a call of activity.send, and checks what every answer must hold to.
func (l *lab) send(c *labCall) sent {
	l.t.Helper()
	return l.read(c, l.call(c))
}

func (l *lab) read(c *labCall, r *wire.Reply) sent {
	l.t.Helper()
	if r.Refusal != nil {
		return sent{Refusal: fmt.Sprint(r.Refusal.Code, " ", r.Refusal.SubCode)}
	}
	s := sent{Code: r.Text("send_result", "error_code"), Done: r.Text("send_result", "is_baoxiang_task_done")}
	results := r.List("mobile_benefit_send_result_ext", "send_result", "results")
	if len(results) != 1 {
		l.t.Fatalf("results: %v", results)
	}
	result := results[0].(object)
	s.Issued, s.Failed = fmt.Sprint(result["success_count"]), fmt.Sprint(result["failure_count"])
	if list, ok := result["error_code_list"].(object); ok {
		s.Codes = fmt.Sprint(list["string"])
	}
	if success := r.Text("send_result", "is_success"); success != fmt.Sprint(s.Code == "") {
		l.t.Errorf("error_code %q with is_success %s", s.Code, success)
	}
	if (s.Code == "") != (r.Text("send_result", "error_message") == "") || (s.Code == "") != (s.Issued != "0") {
		l.t.Errorf("error_code %q with message %q, %s issued", s.Code, r.Text("send_result", "error_message"), s.Issued)
	}
	if body, ok := c.body.(object); ok {
		if got := r.Text("send_result", "unique_id"); got != body["unique_id"] {
			l.t.Errorf("unique_id %q, sent %v", got, body["unique_id"])
		}
		if got := fmt.Sprint(result["index_id"]); got != fmt.Sprint(body["detail_id"]) {
			l.t.Errorf("index_id %q, sent %v", got, body["detail_id"])
		}
	}
	return s
}
