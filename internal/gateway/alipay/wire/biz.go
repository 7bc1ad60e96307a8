package wire

import (
	"slices"
	"strconv"

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
// An absent member, null and "" are the same. Members that nobody asks for are
// ignored, as the platform does. Lengths count characters, not bytes.
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

// Error is the text for a sub_msg.
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

// Err is the first broken rule, nil when there is none.
func (b *Biz) Err() *FieldError { return b.broken }

// Fail records a rule that the handler found broken itself, unless an earlier one
// is.
func (b *Biz) Fail(field, rule string) {
	if b.broken == nil {
		b.broken = &FieldError{Field: field, Rule: rule}
	}
}

// Text is an optional string of at most max characters: see form.Member.AsText.
func (b *Biz) Text(name string, max int) string {
	text, broken := b.find(name).AsText(max)
	b.check(name, broken)
	return text
}

// RequiredText is a string of 1 to max characters.
func (b *Biz) RequiredText(name string, max int) string {
	text := b.Text(name, max)
	if text == "" {
		b.Fail(name, "不能为空")
	}
	return text
}

// Price is an optional amount, sent as a number (9.99) or a string ("9.99"): its
// text exactly as written, of at most max characters. A number never passes through
// a float; whether the text is a price is for the reader of money to say.
func (b *Biz) Price(name string, max int) string {
	text := b.get(name, "应为数字或字符串", form.Number, form.String)
	b.check(name, form.CheckText(text, max))
	return text
}

// Int is an optional whole number: see form.Member.AsInteger. ok is false when it
// is absent or broken.
func (b *Biz) Int(name string) (value int64, ok bool) {
	m := b.find(name)
	if m.Text == "" {
		return 0, false
	}
	value, broken := m.AsInteger()
	b.check(name, broken)
	return value, broken == ""
}

// Bool is an optional true or false. ok is false when it is absent or broken.
func (b *Biz) Bool(name string) (value, ok bool) {
	text := b.get(name, "应为true或false", form.Bool)
	return text == "true", text != ""
}

// Texts is an optional list of at most maxItems strings, each of 1 to max
// characters.
func (b *Biz) Texts(name string, maxItems, max int) []string {
	source := b.get(name, "应为字符串数组", form.Array)
	if source == "" {
		return nil
	}
	var texts []string
	_ = form.Elements(source, func(kind form.Kind, text string) bool { // it was read once already: it is an array
		text, broken := form.Member{Kind: kind, Text: text}.AsText(max)
		switch {
		case broken != "":
			b.Fail(name, "的元素"+broken)
		case text == "":
			b.Fail(name, "的元素不能为空")
		case len(texts) == maxItems:
			b.Fail(name, "最多"+strconv.Itoa(maxItems)+"个元素")
		default:
			texts = append(texts, text)
			return true
		}
		return false
	})
	return texts
}

// Raw is the JSON source of an optional object or array.
func (b *Biz) Raw(name string) string {
	return b.get(name, "应为对象或数组", form.Object, form.Array)
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

// find is the member of a name; an absent one and null are an empty text.
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
