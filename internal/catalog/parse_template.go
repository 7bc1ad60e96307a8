package catalog

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"faquan/internal/benefit"
	"faquan/internal/money"
)

const (
	maxTemplateID = 28 // template_id of alipay.marketing.voucher.send
	maxBizID      = 64
	minDigits     = 8
	maxDigits     = 64
	defaultDigits = 12
	maxRepeat     = 30 * dayMillis
)

type templateDoc struct {
	sourcePos
	template  benefit.Template
	merchant  ref
	grantedTo []ref
}

// kindFields are the fields that only some kinds have: first those that a kind requires, then those that it allows.
var kindFields = map[benefit.Kind][2][]string{
	benefit.Cash:        {{"amount"}, nil},
	benefit.Reduction:   {{"reduction"}, {"threshold"}},
	benefit.Discount:    {{"percent"}, {"threshold", "ceiling"}},
	benefit.FixedPrice:  {{"price"}, nil},
	benefit.Exchange:    {nil, nil},
	benefit.Certificate: {{"channels"}, {"code", "repeat", "out_id"}},
}

var allKindFields = []string{
	"amount", "reduction", "threshold", "percent", "ceiling", "price", "channels", "code", "repeat", "out_id",
}

func (p *parser) template(o *object) *templateDoc {
	o.require("name", "merchant", "kind", "valid")
	kind := scalar(o, "kind", kinds.read)
	d := &templateDoc{sourcePos: o.sourcePos, merchant: o.ref("merchant"), grantedTo: o.refs("granted_to"), template: benefit.Template{
		Name: scalar(o, "name", handle), Title: scalar(o, "title", text(maxTitle)), Kind: kind,
		TemplateID: scalar(o, "template_id", token(maxTemplateID)), RightID: scalar(o, "right_id", wireNumber),
		OutID: scalar(o, "out_id", wireNumber), BizID: scalar(o, "biz_id", token(maxBizID)),
		Face: benefit.Face{
			Reduction: scalar(o, "reduction", someYuan), Threshold: scalar(o, "threshold", money.ParseYuan),
			Percent: scalar(o, "percent", percent), Ceiling: scalar(o, "ceiling", someYuan),
			Price: scalar(o, "price", someYuan),
		},
		Amount: o.amountRule(), Code: o.codeRule(kind),
		Publish: o.window("publish"), Valid: o.validity(), Stock: o.stock(kind), Limits: o.limits(),
		Status:   scalar(o, "status", statuses.read),
		Channels: scalars(o, "channels", number[int64](0, 1<<31-1)), RepeatMillis: o.repeat(),
	}}
	if kind != 0 {
		o.kindFields(kind)
	}
	if kind == benefit.Certificate && o.empty("channels") {
		o.report("channels", "must not be empty: a call must name an allowed channel")
	}
	unique(o, "channels", d.template.Channels)
	return d
}

// kindFields refuses the fields that the kind does not have, and reports the required ones that are missing.
func (o *object) kindFields(kind benefit.Kind) {
	needed, allowed := kindFields[kind][0], kindFields[kind][1]
	o.require(needed...)
	for _, f := range allKindFields {
		if o.has(f) && !slices.Contains(needed, f) && !slices.Contains(allowed, f) {
			o.report(f, "is not allowed for kind %s", kinds.of(kind))
		}
	}
}

// amountRule reads one of {from: request, min, max}, {fixed: …} and {random: {min, max}}.
func (o *object) amountRule() (rule benefit.AmountRule) {
	a := o.object("amount")
	if a == nil {
		return rule
	}
	request := scalar(a, "from", words[benefit.AmountFrom]{{"request", benefit.FromRequest}}.read)
	fixed := scalar(a, "fixed", someYuan)
	random := a.object("random")
	min, limit := scalar(a, "min", someYuan), scalar(a, "max", someYuan)
	switch {
	case a.has("from") && !a.has("fixed") && !a.has("random"):
		rule = benefit.AmountRule{From: request, Min: max(min, 1), Max: limit}
		if !a.has("max") {
			rule.Max = money.MaxFen
		}
	case a.has("fixed") && !a.has("from") && !a.has("random") && !a.has("min") && !a.has("max"):
		rule = benefit.AmountRule{From: benefit.Fixed, Min: fixed, Max: fixed}
	case a.has("random") && !a.has("from") && !a.has("fixed") && !a.has("min") && !a.has("max"):
		if random != nil {
			random.require("min", "max")
			rule = benefit.AmountRule{From: benefit.Random, Min: scalar(random, "min", someYuan), Max: scalar(random, "max", someYuan)}
			random.done()
		}
	default:
		o.report("amount", "must be {from: request, min: …, max: …}, {fixed: …} or {random: {min: …, max: …}}")
	}
	if rule.Max != 0 && rule.Min > rule.Max {
		o.report("amount", "min %s is above max %s", rule.Min.Yuan(), rule.Max.Yuan())
	}
	a.done()
	return rule
}

func (o *object) codeRule(kind benefit.Kind) (rule benefit.CodeRule) {
	if kind == benefit.Certificate {
		rule.Digits = defaultDigits
	}
	o.nested("code", func(c *object) {
		c.require("digits")
		rule.Digits = scalar(c, "digits", number[int](minDigits, maxDigits))
	})
	return rule
}

// window reads {start, end}; each side may be left out.
func (o *object) window(field string) (win benefit.Window) {
	o.nested(field, func(w *object) { win = w.startEnd() })
	return win
}

func (o *object) startEnd() benefit.Window {
	win := benefit.Window{Start: scalar(o, "start", instant), End: scalar(o, "end", instant)}
	if win.Start != 0 && win.End != 0 && win.Start > win.End {
		o.p.report(o.lineOf("end"), "%s: end %s is before start %s", o.what, win.End, win.Start)
	}
	return win
}

// validity reads one of {start, end}, {days} and {after, for, to_day_end}.
func (o *object) validity() (valid benefit.Validity) {
	o.nested("valid", func(v *object) {
		valid = benefit.Validity{
			Absolute:    v.startEnd(),
			AfterMillis: scalar(v, "after", duration), ForMillis: scalar(v, "for", duration),
			ToDayEnd: scalar(v, "to_day_end", yesNo.read),
		}
		days := scalar(v, "days", number[int64](1, maxDuration/dayMillis))
		absolute := v.has("start") || v.has("end")
		relative := v.has("after") || v.has("for") || v.has("to_day_end")
		switch {
		case absolute && !relative && !v.has("days"):
			v.require("start", "end")
		case v.has("days") && !relative && !absolute:
			valid.ForMillis = days * dayMillis
		case relative && !absolute && !v.has("days"):
			if !valid.ToDayEnd { // to_day_end alone means: to the end of the day of the issue
				v.require("for")
			}
		default:
			o.report("valid", "must be {days: …}, {start: …, end: …} or {after: …, for: …, to_day_end: …}")
		}
	})
	return valid
}

// stock reads the caps. Amounts are only for the kinds whose vouchers have one.
func (o *object) stock(kind benefit.Kind) benefit.Stock {
	stock := benefit.UnlimitedStock()
	o.nested("stock", func(s *object) {
		capped := func(field string, c *benefit.Cap, read func(string) (benefit.Cap, error)) {
			if v := scalar(s, field, read); s.has(field) {
				*c = v
			}
		}
		capped("count", &stock.Count, number[benefit.Cap](0, 1<<53))
		capped("amount", &stock.Amount, amountCap)
		capped("count_per_day", &stock.CountPerDay, number[benefit.Cap](0, 1<<53))
		capped("amount_per_day", &stock.AmountPerDay, amountCap)
		for _, f := range []string{"amount", "amount_per_day"} {
			if s.has(f) && kind != 0 && kind != benefit.Cash && kind != benefit.Reduction {
				s.report(f, "vouchers of kind %s carry no amount; give a count", kinds.of(kind))
			}
		}
	})
	return stock
}

func amountCap(text string) (benefit.Cap, error) {
	fen, err := money.ParseYuan(text)
	return benefit.Cap(fen), err
}

func (o *object) limits() (limits benefit.Limits) {
	o.nested("limits", func(l *object) {
		limits = benefit.Limits{
			PerUser: scalar(l, "per_user", number[int64](0, 1<<53)), PerUserPerDay: scalar(l, "per_user_per_day", number[int64](0, 1<<53)),
			PerPerson: scalar(l, "per_person", number[int64](0, 1<<53)),
		}
	})
	return limits
}

// repeat reads none or {window: …}, in milliseconds.
func (o *object) repeat() (millis int64) {
	if n := o.nodes["repeat"]; n == nil || n.Kind != yaml.MappingNode {
		return scalar(o, "repeat", words[int64]{{"none", 0}}.read)
	}
	o.nested("repeat", func(r *object) {
		r.require("window")
		if millis = scalar(r, "window", duration); millis > maxRepeat {
			r.report("window", "must be at most 30d")
		}
	})
	return millis
}
