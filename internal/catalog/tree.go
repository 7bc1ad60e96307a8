package catalog

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"faquan/internal/benefit"
	"faquan/internal/money"
)

// The entities in the form of the file. Export writes it, and a plan compares it, so that differences have the names of
// the file's fields.

// What stands in place of secrets.
const (
	secret        = "(secret)"
	anotherSecret = "(another secret)" // in place of a stored one
)

// mapping builds a YAML mapping field by field, leaving out what has its zero value.
type mapping struct{ *yaml.Node }

func newMapping() mapping { return mapping{&yaml.Node{Kind: yaml.MappingNode}} }

// newInline returns a mapping that is written on one line.
func newInline() mapping { return mapping{&yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}} }

func (m mapping) add(field string, value *yaml.Node) {
	m.Content = append(m.Content, plain(field), value)
}

// text adds free text.
func (m mapping) text(field, value string) {
	if value != "" {
		m.add(field, textNode(value))
	}
}

// plain adds a word, a number or a time, which need no quotes.
func (m mapping) plain(field, value string) {
	if value != "" {
		m.add(field, plain(value))
	}
}

// yes adds the field with the value true, or nothing.
func (m mapping) yes(field string, value bool) {
	if value {
		m.plain(field, "true")
	}
}

func (m mapping) number(field string, value int64) {
	if value != 0 {
		m.plain(field, strconv.FormatInt(value, 10))
	}
}

func (m mapping) yuan(field string, value money.Fen) {
	if value != 0 {
		m.add(field, quoted(value.Yuan()))
	}
}

// nested adds a mapping unless it is empty.
func (m mapping) nested(field string, value mapping) {
	if len(value.Content) > 0 {
		m.add(field, value.Node)
	}
}

func (m mapping) list(field string, values []*yaml.Node) {
	if len(values) > 0 {
		m.add(field, flow(values...))
	}
}

func (m mapping) texts(field string, values []string) {
	nodes := make([]*yaml.Node, len(values))
	for k, v := range values {
		nodes[k] = textNode(v)
	}
	m.list(field, nodes)
}

// flow returns a list that is written on one line.
func flow(values ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: values, Style: yaml.FlowStyle}
}

func plain(value string) *yaml.Node  { return &yaml.Node{Kind: yaml.ScalarNode, Value: value} }
func quoted(value string) *yaml.Node { return styled(value, yaml.DoubleQuotedStyle) }

func styled(value string, style yaml.Style) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: style}
}

// textNode quotes everything but ordinary words, so that every YAML parser reads it as text.
func textNode(value string) *yaml.Node {
	if strings.HasPrefix(value, "-----BEGIN ") {
		return styled(value, yaml.LiteralStyle)
	}
	for k, r := range value {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '一' && r <= '龥'
		if !letter && (k == 0 || !(r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')) {
			return quoted(value)
		}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value} // the encoder quotes it when it is a word like true
}

func platformNode(key string) mapping {
	m := newMapping()
	m.text("alipay_private_key", key)
	return m
}

func merchantNode(e *benefit.Merchant, _ *tables) mapping {
	m := newMapping()
	m.text("name", e.Name)
	m.text("title", e.Title)
	m.number("seller_id", e.SellerID)
	m.plain("recipients", openWords.of(e.Open))
	if len(e.UserTypes) == 0 {
		m.plain("user_types", anyType)
	}
	m.texts("user_types", e.UserTypes)
	m.plain("alipay_user_ids", anyUserIDWords.of(e.AnyUserID))
	return m
}

func appNode(e *benefit.App, in *tables) mapping { return appNodeWith(e, "", in) }

// appNodeWith returns an app with its secret.
func appNodeWith(e *benefit.App, shownSecret string, in *tables) mapping {
	m := newMapping()
	m.text("name", e.Name)
	m.text("merchant", in.merchants.names[e.Merchant])
	m.text("app_key", e.AppKey)
	m.text("app_secret", shownSecret)
	m.text("app_id", e.AppID)
	m.text("public_key", e.PublicKey)
	m.texts("sign_types", e.SignTypes)
	m.texts("methods", e.Methods)
	m.number("rate_per_second", e.RatePerSecond)
	m.texts("redirect_uris", e.RedirectURIs)
	m.yes("explain_signature", e.ExplainSignature)
	m.plain("status", disabledWords.of(e.Disabled))
	return m
}

func userNode(u *benefit.User, in *tables) mapping {
	m, ids := newMapping(), newMapping()
	m.text("name", u.Name)
	lists := map[string]*yaml.Node{}
	for _, i := range u.Identifiers {
		if lists[i.Type] == nil {
			lists[i.Type] = flow()
			ids.Content = append(ids.Content, textNode(i.Type), lists[i.Type])
		}
		node := textNode(i.Value)
		if i.Type == benefit.OpenID {
			open := newInline()
			open.text("app", in.apps.names[i.App])
			open.text("id", i.Value)
			node = open.Node
		}
		lists[i.Type].Content = append(lists[i.Type].Content, node)
	}
	m.nested("ids", ids)
	//guard:TestUsersOfCallsSurviveExport
	m.yes("unchecked_ids", slices.ContainsFunc(u.Identifiers, func(i benefit.Identifier) bool { return i.Breaks() != "" }))
	m.plain("status", frozenWords.of(u.Frozen))
	if u.Unregistered {
		m.plain("registered", "false")
	}
	if len(u.Attributes) > 0 {
		m.add("attributes", attributesNode(u.Attributes))
	}
	m.text("person", u.Person)
	return m
}

// attributesNode returns attributes, which are JSON, as YAML.
func attributesNode(body []byte) *yaml.Node {
	var doc yaml.Node
	if !json.Valid(body) || yaml.Unmarshal(body, &doc) != nil || len(doc.Content) == 0 {
		return quoted(string(body))
	}
	node := doc.Content[0]
	reflow(node)
	return node
}

// reflow removes quotes that are not needed.
func reflow(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		*n = *textNode(n.Value)
		return
	}
	n.Style = yaml.FlowStyle
	if n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	for _, child := range n.Content {
		reflow(child)
	}
}

// userRef returns the user of a session: the name, else the first identifier.
func userRef(u *benefit.User, in *tables) string {
	switch {
	case u == nil:
		return ""
	case u.Name != "":
		return u.Name
	case len(u.Identifiers) == 0:
		return ""
	}
	i := u.Identifiers[0]
	if i.App != 0 {
		return i.Type + "/" + in.apps.names[i.App] + ":" + i.Value
	}
	return i.Type + ":" + i.Value
}

func sessionNode(s *benefit.Session, key, user string, in *tables) mapping {
	m := newMapping()
	m.text("key", key)
	m.text("app", in.apps.names[s.App])
	m.text("merchant", in.merchants.names[s.Merchant])
	m.text("user", user)
	m.plain("expires", s.Expires.String())
	return m
}

func windowNode(w benefit.Window) mapping {
	m := newInline()
	m.plain("start", w.Start.String())
	m.plain("end", w.End.String())
	return m
}

func templateNode(t *benefit.Template, in *tables) mapping {
	m := newMapping()
	m.text("name", t.Name)
	m.text("merchant", in.merchants.names[t.Merchant])
	m.text("title", t.Title)
	m.plain("kind", kinds.of(t.Kind))
	m.text("template_id", t.TemplateID)
	m.number("right_id", t.RightID)
	m.number("out_id", t.OutID)
	m.text("biz_id", t.BizID)
	m.nested("amount", amountNode(t.Amount))
	m.yuan("reduction", t.Face.Reduction)
	m.yuan("threshold", t.Face.Threshold)
	if t.Face.Percent != 0 {
		m.add("percent", quoted(money.Fen(t.Face.Percent).ShortYuan())) // hundredths, like fen
	}
	m.yuan("ceiling", t.Face.Ceiling)
	m.yuan("price", t.Face.Price)
	channels := make([]*yaml.Node, len(t.Channels))
	for k, c := range t.Channels {
		channels[k] = plain(strconv.FormatInt(c, 10))
	}
	m.list("channels", channels)
	code, repeat := newInline(), newInline()
	code.number("digits", int64(t.Code.Digits))
	m.nested("code", code)
	repeat.plain("window", durationText(t.RepeatMillis))
	m.nested("repeat", repeat)
	m.nested("publish", windowNode(t.Publish))
	m.nested("valid", validNode(t.Valid))
	m.nested("stock", stockNode(t.Stock))
	limits := newInline()
	limits.number("per_user", t.Limits.PerUser)
	limits.number("per_user_per_day", t.Limits.PerUserPerDay)
	limits.number("per_person", t.Limits.PerPerson)
	m.nested("limits", limits)
	var grantedTo []string
	for _, app := range t.GrantedTo {
		grantedTo = append(grantedTo, in.apps.names[app])
	}
	m.texts("granted_to", grantedTo)
	m.plain("status", statuses.of(t.Status))
	return m
}

func amountNode(a benefit.AmountRule) mapping {
	m := newInline()
	switch a.From {
	case benefit.FromRequest:
		m.plain("from", "request")
		m.yuan("min", a.Min)
		m.yuan("max", a.Max)
	case benefit.Fixed:
		m.yuan("fixed", a.Min)
	case benefit.Random:
		random := newInline()
		random.yuan("min", a.Min)
		random.yuan("max", a.Max)
		m.nested("random", random)
	}
	return m
}

func validNode(v benefit.Validity) mapping {
	if v.Absolute != (benefit.Window{}) {
		return windowNode(v.Absolute)
	}
	m := newInline()
	if v.AfterMillis == 0 && !v.ToDayEnd && v.ForMillis%dayMillis == 0 {
		m.number("days", v.ForMillis/dayMillis)
		return m
	}
	m.plain("after", durationText(v.AfterMillis))
	m.plain("for", durationText(v.ForMillis))
	m.yes("to_day_end", v.ToDayEnd)
	return m
}

// stockNode leaves out unlimited caps; 0 is a cap.
func stockNode(s benefit.Stock) mapping {
	m := newInline()
	count := func(field string, c benefit.Cap) {
		if c != benefit.Unlimited {
			m.add(field, plain(strconv.FormatInt(int64(c), 10)))
		}
	}
	amount := func(field string, c benefit.Cap) {
		if c != benefit.Unlimited {
			m.add(field, quoted(money.Fen(c).Yuan()))
		}
	}
	count("count", s.Count)
	amount("amount", s.Amount)
	count("count_per_day", s.CountPerDay)
	amount("amount_per_day", s.AmountPerDay)
	return m
}

func activityNode(a *benefit.Activity, in *tables) mapping {
	m := newMapping()
	m.text("name", a.Name)
	m.text("merchant", in.merchants.names[a.Merchant])
	m.text("act_code", a.ActCode)
	m.number("relation_id", a.RelationID)
	m.nested("window", windowNode(a.Window))
	m.plain("status", statuses.of(a.Status))
	m.plain("guard", noGuardWords.of(a.NoGuard))
	if a.Box != nil {
		box := newInline()
		box.texts("cards", a.Box.Cards)
		box.number("done_after", int64(a.Box.DoneAfter))
		box.plain("count", sendsWords.of(a.Box.CountSends))
		m.nested("box", box)
	}
	m.text("rule", a.Rule)
	m.number("priority", a.Priority)
	items := &yaml.Node{Kind: yaml.SequenceNode}
	for k := range a.Items {
		items.Content = append(items.Content, itemNode(&a.Items[k], in))
	}
	m.add("items", items)
	return m
}

func itemNode(i *benefit.Item, in *tables) *yaml.Node {
	m := newMapping()
	m.number("detail_id", i.DetailID)
	m.text("template", in.templates.names[i.Template])
	m.number("benefit_type", i.BenefitType)
	m.number("max_send_count", int64(i.MaxSends))
	m.number("quantity", int64(i.Quantity))
	m.yuan("amount", money.Fen(i.Amount))
	return m.Node
}

func sceneNode(s *benefit.Scene, in *tables) mapping {
	m := newMapping()
	m.text("name", s.Name)
	m.text("merchant", in.merchants.names[s.Merchant])
	m.text("scene_code", s.SceneCode)
	m.plain("strategy", strategies.of(s.Strategy))
	entries := make([]*yaml.Node, len(s.Activities))
	for k, e := range s.Activities {
		entries[k] = textNode(in.activities.names[e.Activity])
		if s.Strategy == benefit.ChooseWeighted {
			weighted := newInline()
			weighted.text("activity", in.activities.names[e.Activity])
			weighted.number("weight", e.Weight)
			entries[k] = weighted.Node
		}
	}
	m.list("activities", entries)
	if s.Narrowing != 0 {
		m.plain("narrowing", narrowings.of(s.Narrowing))
	}
	m.plain("status", statuses.of(s.Status))
	return m
}

func subscriptionNode(s *benefit.Subscription, in *tables) mapping {
	m := newMapping()
	m.text("name", s.Name)
	m.text("merchant", in.merchants.names[s.Merchant])
	types := make([]*yaml.Node, len(s.Types))
	for k, p := range s.Types {
		types[k] = textNode(string(p))
	}
	m.list("types", types)
	templates := make([]string, len(s.Templates))
	for k, id := range s.Templates {
		templates[k] = in.templates.names[id]
	}
	m.texts("templates", templates)
	m.plain("status", statuses.of(s.Status))
	return m
}
