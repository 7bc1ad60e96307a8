package wire

import "faquan/internal/gateway/form"

// Biz is a biz_content: one JSON object. Its members are asked for by name, each with its rule. Err returns the first
// rule that is broken, so that a handler reads all members and looks once:
//
//	biz, bad := wire.ParseBiz(req.Get("biz_content"))
//	…
//	templateID := biz.RequiredText("template_id", 28)
//	memo := biz.Text("memo", 128)
//	amount := biz.Price("amount", 10)
//	if bad := biz.Err(); bad != nil { … }
//
// An absent member, null and "" are the same. Members that the gateway does not ask for are ignored, as the platform
// does. Lengths count characters, not bytes.
type Biz struct {
	members []form.Member
	broken  *Error
}

// ParseBiz reads a biz_content strictly: see form.ParseObject.
func ParseBiz(text string) (*Biz, *Error) {
	members, problem := form.ParseObject(text)
	switch {
	case problem == nil:
		return &Biz{members: members}, nil
	case problem.Name == "":
		return nil, ErrIllegalJSON.With("biz_content不是合法的JSON对象：" + problem.Text)
	}
	return nil, Invalid(problem.Name, problem.Text)
}

// Err returns the error of the first broken rule, nil when there is none.
func (b *Biz) Err() *Error { return b.broken }

// Fail records that a member breaks a rule, such as "最多128个字符", unless an earlier one does or the rule is "".
func (b *Biz) Fail(member, rule string) {
	if rule != "" && b.broken == nil {
		b.broken = Invalid(member, rule)
	}
}

// Text returns an optional string of at most max characters: see form.Member.AsText.
func (b *Biz) Text(name string, max int) string {
	text, rule := b.find(name).AsText(max)
	b.Fail(name, rule)
	return text
}

// RequiredText returns a string of 1 to max characters.
func (b *Biz) RequiredText(name string, max int) string {
	text := b.Text(name, max)
	if text == "" {
		b.Fail(name, "不能为空")
	}
	return text
}

// Price returns an optional amount, sent as a number (9.99) or a string ("9.99"): its text exactly as written, of at most
// max characters. A number never passes through a float. Whether the text is a price is not checked.
func (b *Biz) Price(name string, max int) string {
	m := b.find(name)
	if m.Kind != form.Number && m.Kind != form.String {
		b.Fail(name, "应为数字或字符串")
		return ""
	}
	b.Fail(name, form.CheckText(m.Text, max))
	return m.Text
}

// find returns the member of a name; an absent one and null are an empty text.
func (b *Biz) find(name string) form.Member {
	for _, m := range b.members {
		if m.Name == name && m.Kind != form.Null {
			return m
		}
	}
	return form.Member{}
}
