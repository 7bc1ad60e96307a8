package catalog

import (
	"cmp"
	"errors"
	"slices"

	"go.yaml.in/yaml/v3"

	"faquan/internal/benefit"
	"faquan/internal/rule"
)

const (
	maxCode     = 64 // act_code and scene_code
	maxCard     = 32
	maxPriority = 1_000_000_000
	maxWeight   = 1_000_000
)

type activityDoc struct {
	sourcePos
	activity benefit.Activity // without items
	merchant ref
	items    []itemDoc
	rule     *rule.Rule // compiled; nil when the activity has none
}

type itemDoc struct {
	sourcePos
	item     benefit.Item
	template ref
}

func (p *parser) activity(o *object) *activityDoc {
	o.require("name", "merchant", "items")
	d := &activityDoc{sourcePos: o.sourcePos, merchant: o.ref("merchant"), activity: benefit.Activity{
		Name: scalar(o, "name", handle), ActCode: scalar(o, "act_code", token(maxCode)),
		RelationID: scalar(o, "relation_id", wireNumber), Window: o.window("window"),
		Status: scalar(o, "status", statuses.read), NoGuard: scalar(o, "guard", noGuardWords.read),
		Box: o.box(), Rule: scalar(o, "rule", longText(rule.MaxRule)),
		Priority: scalar(o, "priority", number[int64](-maxPriority, maxPriority)),
	}}
	d.rule = o.rule(d.activity.Rule)
	for _, n := range o.elements("items") {
		if item := p.object(n, o.what+": item"); item != nil {
			d.items = append(d.items, p.item(item))
			item.done()
		}
	}
	if o.has("items") && len(d.items) == 0 {
		o.report("items", "must not be empty: an activity needs at least one item")
	}
	return d
}

// rule compiles the text of a rule, so that no rule is stored that could not run.
func (o *object) rule(text string) *rule.Rule {
	if text == "" {
		return nil
	}
	r, err := rule.Compile(text)
	if err == nil {
		return r
	}
	line := o.lineOf("rule")
	// When the rule is in the file verbatim, line by line, the line of the file is known.
	if at := (*rule.Error)(nil); errors.As(err, &at) && o.nodes["rule"].Style&yaml.LiteralStyle != 0 {
		line += at.Line
	}
	o.p.report(line, "%s: rule: %v", o.what, err)
	return nil
}

func (p *parser) item(o *object) itemDoc {
	o.require("template")
	d := itemDoc{sourcePos: o.sourcePos, template: o.ref("template"), item: benefit.Item{
		DetailID: scalar(o, "detail_id", wireNumber), BenefitType: scalar(o, "benefit_type", number[int64](0, 1<<31-1)),
		MaxSends: max(scalar(o, "max_send_count", number[int](1, benefit.MaxRequestVouchers)), 1),
		Quantity: max(scalar(o, "quantity", number[int](1, benefit.MaxRequestVouchers)), 1),
		Amount:   int64(scalar(o, "amount", someYuan)),
	}}
	if n := d.item.MaxSends * d.item.Quantity; n > benefit.MaxRequestVouchers {
		p.report(o.line, "%s: max_send_count × quantity is %d, at most %d vouchers are issued in one call", o.what, n, benefit.MaxRequestVouchers)
	}
	return d
}

func (o *object) box() (box *benefit.Box) {
	o.nested("box", func(b *object) {
		b.require("cards", "done_after")
		box = &benefit.Box{
			Cards: scalars(b, "cards", token(maxCard)), DoneAfter: scalar(b, "done_after", number[int](1, 1_000_000)),
			CountSends: scalar(b, "count", sendsWords.read),
		}
		unique(b, "cards", box.Cards)
		switch {
		case b.has("cards") && len(box.Cards) == 0:
			b.report("cards", "must not be empty: a box needs at least one card")
		case !box.CountSends && box.DoneAfter > len(box.Cards):
			b.report("done_after", "needs %d different cards, but the box has %d", box.DoneAfter, len(box.Cards))
		}
	})
	return box
}

type sceneDoc struct {
	sourcePos
	scene    benefit.Scene // without activities
	merchant ref
	entries  []entryDoc
}

type entryDoc struct {
	activity ref
	weight   int64
}

func (p *parser) scene(o *object) *sceneDoc {
	o.require("name", "merchant", "activities")
	d := &sceneDoc{sourcePos: o.sourcePos, merchant: o.ref("merchant"), scene: benefit.Scene{
		Name: scalar(o, "name", handle), SceneCode: scalar(o, "scene_code", token(maxCode)),
		Strategy: cmp.Or(scalar(o, "strategy", strategies.read), benefit.ChooseAll), Status: scalar(o, "status", statuses.read),
		Narrowing: scalar(o, "narrowing", narrowings.read),
	}}
	for _, n := range o.elements("activities") {
		d.entries = append(d.entries, o.entry(n, d.scene.Strategy))
	}
	if o.has("activities") && len(d.entries) == 0 {
		o.report("activities", "must not be empty: a scene needs at least one activity")
	}
	for k, e := range d.entries {
		if e.activity.given() && slices.ContainsFunc(d.entries[:k], func(x entryDoc) bool { return x.activity.name == e.activity.name }) {
			p.report(e.activity.line, "%s: activity %q is given twice", o.what, e.activity.name)
		}
	}
	return d
}

// entry reads the name of an activity, or {activity, weight} in a WEIGHTED scene.
func (o *object) entry(n *yaml.Node, strategy benefit.Strategy) entryDoc {
	what := o.what + ": activities"
	if n.Kind != yaml.MappingNode {
		name, _ := scalarNode(o.p, n, what, handle)
		if strategy == benefit.ChooseWeighted {
			o.p.report(n.Line, "%s: a WEIGHTED scene needs {activity: …, weight: …}", what)
		}
		return entryDoc{activity: ref{name, n.Line}}
	}
	e := o.p.object(n, what)
	if e == nil {
		return entryDoc{}
	}
	e.require("activity")
	d := entryDoc{activity: e.ref("activity"), weight: scalar(e, "weight", number[int64](1, maxWeight))}
	switch {
	case strategy == benefit.ChooseWeighted:
		e.require("weight")
	case e.has("weight"):
		e.report("weight", "only a WEIGHTED scene has weights")
	}
	e.done()
	return d
}
