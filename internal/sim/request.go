package sim

import (
	"fmt"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/money"
	"faquan/internal/oracle"
	"faquan/internal/store/storetest"
)

// wish is what a caller asks for, as often as needed: a request, but for what the gateway takes from the catalogue of the
// moment, or another command.
type wish struct {
	benefit.Request
	relation benefit.ActivityID // the activity whose item is sent; 0: the request says it all
	detail   int64              // the item
	sends    int
	other    oracle.Call // instead of all that: a command other than the issue
	open     bool        // the caller does not know yet how it went
	// short are the templates of the lines that a retry may get, when others were issued.
	short []benefit.TemplateID
}

// answered notes what the caller saw of the answer, if anything.
func (x *wish) answered(c oracle.Call, seen bool) {
	x.open = !seen
	i, issue := c.(*oracle.Issue)
	if !seen || !issue {
		return
	}
	x.short = nil
	for _, l := range i.Outcome.Lines {
		if x.Continues && i.Outcome.Issuance != nil && !l.Final() {
			x.short = append(x.short, l.Template)
		}
	}
}

// call makes a new call of a wish.
func (w *world) call(x *wish) oracle.Call {
	if x.other != nil {
		return x.other.Again()
	}
	return oracle.NewIssue(w.build(x))
}

// build makes a new request of a wish, as every call does.
func (w *world) build(x *wish) *benefit.Request {
	r := x.Request
	if x.relation == 0 {
		return &r
	}
	line := benefit.Line{DetailID: x.detail, Sends: 1, Quantity: 1} // of no template: there is no such item
	act := w.oracle.Catalogue.Activities[x.relation]
	if at := slices.IndexFunc(act.Items, func(i benefit.Item) bool { return i.DetailID == x.detail }); at >= 0 {
		line = act.Items[at].Line(w.oracle.Catalogue, act, x.sends)
	}
	r.Lines = []benefit.Line{line}
	if act.Box == nil {
		r.Params.Card = ""
	}
	return &r
}

// requests draws what callers ask next: a few things, or several for one user and activity at once.
func (w *world) requests() []*wish {
	all := w.issues()
	for _, source := range w.sources {
		for _, c := range source.Next(w.oracle) {
			x := &wish{other: c, open: true}
			w.others = append(w.others, x)
			all = append(all, x)
		}
	}
	return all
}

func (w *world) issues() (all []*wish) {
	if w.pick(6) == 0 {
		first := w.activitySend()
		for range 2 + w.pick(3) {
			other := w.activitySend()
			other.relation, other.Scope, other.Recipient = first.relation, first.Scope, first.Recipient
			all = append(all, w.add(other))
		}
		return all
	}
	for range 1 + w.pick(6) {
		all = append(all, w.request())
	}
	return all
}

// add takes a wish among those that come again.
func (w *world) add(x *wish) *wish {
	w.submitted = append(w.submitted, x)
	x.open = true
	return x
}

// request draws a request: one that came before, one like it, or a new one.
func (w *world) request() *wish {
	if n := len(w.submitted); n > 0 && w.pick(3) == 0 {
		if rest := w.filter(func(x *wish) bool { return len(x.short) > 0 }); len(rest) > 0 && w.pick(2) == 0 {
			return rest[w.pick(len(rest))]
		}
		return w.again(w.submitted[w.pick(n)])
	}
	switch w.pick(10) {
	case 0, 1, 2:
		return w.add(w.plain())
	case 3, 4:
		return w.add(w.activitySend())
	case 5, 6, 7:
		return w.add(w.decisionSend())
	}
	return w.add(w.certificateSend())
}

// again returns a wish that was asked before, mostly as it was.
func (w *world) again(first *wish) *wish {
	again := *first
	switch w.pick(8) {
	case 0:
		again.Recipient = w.recipient()
	case 1:
		again.Fingerprint = benefit.FingerprintOf(again.Lines, "another")
		if len(again.Lines) > 0 {
			again.Lines = w.lines(again.Continues)
			again.Fingerprint = benefit.FingerprintOf(again.Lines)
		}
	case 2:
		again.Note.TraceID = "again"
	default:
		return first
	}
	return &again
}

// filter lists wishes in the order in which they were first asked.
func (w *world) filter(wanted func(*wish) bool) []*wish {
	return slices.DeleteFunc(slices.Clone(w.submitted), func(x *wish) bool { return !wanted(x) })
}

// open returns the wishes whose callers do not know how they went.
func (w *world) open() []*wish {
	all := append(slices.Clone(w.submitted), w.others...)
	return slices.DeleteFunc(all, func(x *wish) bool { return !x.open })
}

// key is one that was not asked before.
func (w *world) key() string { return fmt.Sprint("k", len(w.submitted)) }

func (w *world) note() benefit.Note {
	return benefit.Note{Memo: "第", TraceID: some(w, "again", fmt.Sprint(len(w.submitted)))}
}

// plain names its lines, as voucher.send does, and some of them are frozen.
func (w *world) plain() *wish {
	r := benefit.Request{
		Scope: some[benefit.Scope](w, "w/1", "w/2"), Key: w.key(), App: storetest.App,
		Recipient: w.recipient(), Continues: w.pick(2) == 0, Note: w.note(),
	}
	r.Lines = w.lines(r.Continues)
	r.Fingerprint = benefit.FingerprintOf(r.Lines)
	return &wish{Request: r}
}

// activitySend is one of benefit.activity.send: an item of an activity, to the session's user, under the guard.
func (w *world) activitySend() *wish {
	x := &wish{
		relation: benefit.ActivityID(firstCampaign + w.pick(w.campaigns)), detail: some[int64](w, 1, 1, 1, 2, 2, 3), sends: 1 + w.pick(3),
	}
	x.Request = benefit.Request{
		Key: w.key(), App: storetest.App, Recipient: w.user(), Guarded: true, Note: w.note(),
		Params: benefit.Params{Card: some(w, cards...)},
	}
	if w.pick(5) == 0 {
		x.Recipient = w.recipient()
	}
	x.Scope = scope.Relation(x.App, 1000+int64(x.relation))
	x.Fingerprint = benefit.FingerprintOf(nil, fmt.Sprint(x.detail), fmt.Sprint(x.sends), x.Params.Card)
	return x
}

// decisionSend is one of right.decisionsend: a scene is to choose.
func (w *world) decisionSend() *wish {
	sub := benefit.Params{BizCode: some(w, "b1", "b2"), SceneCode: fmt.Sprint("scene", 1+w.pick(scenes+1))}
	if w.pick(3) > 0 { // the others are there to be refused
		sub.SceneCode = fmt.Sprint("scene", 1+w.pick(scenes-1))
	}
	act := func() string { return fmt.Sprint("act", firstCampaign+w.pick(w.campaigns+1)) }
	right := func() int64 { return int64(101 + w.pick(w.templates+1)) }
	switch w.pick(6) {
	case 0:
		sub.ActCodes = []string{act(), act()}
		slices.Sort(sub.ActCodes)
		sub.ActCodes = slices.Compact(sub.ActCodes)
	case 1:
		sub.Rights = []benefit.ActRight{some(w, benefit.ActRight{ActCode: act(), RightID: right()}, benefit.ActRight{RightID: right()}, benefit.ActRight{ActCode: act()})}
	case 2:
		sub.ActCodes = []string{act()}
		sub.Rights = []benefit.ActRight{{RightID: right()}}
	}
	return &wish{Request: benefit.Request{
		Scope: scope.Biz(storetest.App, sub.BizCode), Key: w.key(), App: storetest.App, Recipient: w.recipient(),
		Params: sub, Note: w.note(), Continues: true, Fingerprint: benefit.FingerprintOf(nil, sub.SceneCode, fmt.Sprint(sub.ActCodes, sub.Rights)),
	}}
}

// certificateSend is one of certificate.send: one voucher, under a key that is bound for a while, or for ever.
func (w *world) certificateSend() *wish {
	template, n := benefit.TemplateID(1+w.pick(w.templates)), w.pick(3)
	r := benefit.Request{
		Scope: scope.Certificate(storetest.App), Key: w.key(), App: storetest.App, Note: w.note(),
		Recipient:   benefit.Identifier{Type: benefit.OpenID, Value: fmt.Sprint("o", n), App: storetest.App},
		Fingerprint: benefit.FingerprintOf(nil, fmt.Sprint(template)),
		Lines:       []benefit.Line{w.line(template)}, Params: benefit.Params{Channel: int64(n)},
	}
	if w.pick(4) > 0 {
		r.Key, r.BindMillis = fmt.Sprintf("w%d-%d", template, n), some[int64](w, 1, 700, 5000, int64(hour))
	}
	return &wish{Request: r}
}

// user returns a user named by id.
func (w *world) user() benefit.Identifier {
	ids := slices.Sorted(maps.Keys(w.oracle.Users))
	if len(ids) == 0 || w.pick(20) == 0 {
		return benefit.RefTo(12345) // nobody
	}
	return benefit.RefTo(ids[w.pick(min(len(ids), 4))])
}

func (w *world) recipient() benefit.Identifier {
	n := w.pick(4)
	return some(w,
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20880", n)},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20880", n)},
		benefit.Identifier{Type: benefit.Login, Value: fmt.Sprint("u", n)},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20882", w.pick(200))},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20882", w.pick(200))},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20882", w.pick(200))},
		benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("20881", n)},
		benefit.Identifier{Type: benefit.OpenID, Value: "unknown", App: storetest.App},
		benefit.Identifier{Type: benefit.Nick, Value: fmt.Sprint("nick", n)},
		w.user(),
	)
}

func (w *world) lines(continues bool) []benefit.Line {
	all := make([]benefit.Line, some(w, 1, 1, 2, 3))
	for k := range all {
		l := w.line(benefit.TemplateID(1 + w.pick(w.templates)))
		if w.pick(30) == 0 {
			l.Template = 99 // there is none
		}
		l.Quantity = some(w, 1, 1, 2)
		if !continues {
			l.Sends = some(w, 1, 1, 3)
		}
		l.Activity = benefit.ActivityID(some(w, 0, 0, 0, 0, 1, 1, 2, firstCampaign))
		all[k] = l
	}
	return all
}

// line asks for one voucher, mostly with an amount when the template needs one.
func (w *world) line(template benefit.TemplateID) benefit.Line {
	l := storetest.Line(template)
	if t := w.oracle.Catalogue.Templates[template]; (t.Kind == benefit.Cash && t.Amount.From == benefit.FromRequest) != (w.pick(12) == 0) {
		l.HasAmount, l.Amount = true, money.Fen(1+w.pick(10))
	}
	return l
}
