package wire

import (
	"slices"

	"faquan/internal/gateway/form"
)

// Biz is a biz_content: one JSON object. Its members are asked for by name, each
// with its rule; the first rule broken is kept and Err tells it, so that a handler
// reads all members and looks once:
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
	broken  *FieldError
}

// FieldError is a broken rule of biz_content. Its text is Chinese and meant for the
// caller.
type FieldError struct {
	Field string // the member; "" when the text is no JSON object
	Rule  string // such as "最多128个字符"
}

// Error returns the text for a sub_msg.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return "biz_content不是合法的JSON对象：" + e.Rule
	}
	return "参数" + e.Field + e.Rule
}

// ParseBiz reads a biz_content strictly: one object, no name twice, no broken
// characters, at most 32 levels. A broken rule with Field "" belongs to
// ErrIllegalJSON, every other to the error that the API has for its parameters.
func ParseBiz(text string) (*Biz, *FieldError) {
	members, problem := form.ParseObject(text)
	if problem != nil {
		return nil, &FieldError{Field: problem.Name, Rule: problem.Text}
	}
	return &Biz{members: members}, nil
}

// Err returns the first broken rule, nil when there is none.
func (b *Biz) Err() *FieldError { return b.broken }

// Fail records a rule that the handler found broken itself, unless an earlier one
// is.
func (b *Biz) Fail(field, rule string) {
	if b.broken == nil {
		b.broken = &FieldError{Field: field, Rule: rule}
	}
}

// Text returns an optional string of at most max characters: see form.Member.AsText.
func (b *Biz) Text(name string, max int) string {
	text, broken := b.find(name).AsText(max)
	b.check(name, broken)
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

// Price returns an optional amount, sent as a number (9.99) or a string ("9.99"): its text exactly as written, of at
// most max characters. A number never passes through a float; whether the text is a price is for the reader of money to
// say.
func (b *Biz) Price(name string, max int) string {
	text := b.get(name, "应为数字或字符串", form.Number, form.String)
	b.check(name, form.CheckText(text, max))
	return text
}

// get finds a member of one of the kinds; rule is told when it is of another.
func (b *Biz) get(name, rule string, kinds ...form.Kind) string {
	m := b.find(name)
	if m.Text == "" || slices.Contains(kinds, m.Kind) {
		return m.Text
	}
	b.Fail(name, rule)
	return ""
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

// check records the rule of a value, if it is broken.
func (b *Biz) check(name, broken string) {
	if broken != "" {
		b.Fail(name, broken)
	}
}
