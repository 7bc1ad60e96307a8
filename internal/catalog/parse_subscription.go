package catalog

import (
	"fmt"
	"slices"

	"faquan/internal/benefit"
)

type subscriptionDoc struct {
	sourcePos
	subscription benefit.Subscription // without templates
	merchant     ref
	templates    []ref
}

func (p *parser) subscription(o *object) *subscriptionDoc {
	o.require("name", "merchant", "types")
	d := &subscriptionDoc{sourcePos: o.sourcePos, merchant: o.ref("merchant"), templates: o.refs("templates"), subscription: benefit.Subscription{
		Name: scalar(o, "name", handle), Types: scalars(o, "types", eventPattern), Status: scalar(o, "status", statuses.read),
	}}
	unique(o, "types", d.subscription.Types)
	if o.empty("types") {
		o.report("types", "must not be empty: a subscription needs at least one type of events")
	}
	for k, r := range d.templates {
		if slices.ContainsFunc(d.templates[:k], func(x ref) bool { return x.name == r.name }) {
			p.report(r.line, "%s: template %q is given twice", o.what, r.name)
		}
	}
	if o.empty("templates") {
		o.report("templates", "must not be empty; leave it out for all templates of the merchant")
	}
	return d
}

// eventPattern reads the name of a type of events, or voucher.* or template.*.
func eventPattern(s string) (benefit.EventPattern, error) {
	if p := benefit.EventPattern(s); p.Known() {
		return p, nil
	}
	return "", fmt.Errorf("unknown type of events %q; known: %s", clip(s), benefit.EventPatternNames())
}
