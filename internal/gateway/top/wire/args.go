package wire

import (
	"slices"
	"strconv"
	"strings"

	"faquan/internal/gateway/form"
)

// Args are the business parameters of a call, or the members of an object parameter, asked for by name, each with
// its rule. The first broken rule is kept for Err, so that a method reads everything and looks once:
//
//	args := req.Args()
//	dto := args.Object("single_benefit_request")
//	uniqueID := dto.RequiredText("unique_id", 64)
//	count := dto.RequiredInt("send_count")
//	cards := dto.Texts("card_types", 10, 32)
//	if bad := args.Err(); bad != nil { … }
//
// An absent member, null and "" are the same. What the gateway does not ask for is ignored, as the platform does.
// Lengths count characters, not bytes. Refusals have the codes 40 and 41 and name the member.
//
// Callers in PHP and by hand often quote numbers and booleans, and leave quotes from numeric texts: whatever has the
// right text is accepted. Numbers never pass through a float, so that ids beyond 2^53 are exact.
//
// Texts are copies: the text of a request lies in one piece, all of which would stay in memory with any part of it.
type Args struct {
	params  []Param       // of the call, or
	members []form.Member // of an object
	first   **Error       // refusal, shared by an object and all that it was read out of
}

// Args returns the parameters of the call. Object parameters among them are JSON texts, lists of simple values are
// joined by commas (or JSON as well).
func (r *Request) Args() *Args { return &Args{params: r.Params, first: new(*Error)} }

// Err returns the first broken rule of all that was read out of the call, nil when there is none.
func (a *Args) Err() *Error { return *a.first }

// Fail records a refusal that the method found itself, unless there is an earlier one.
func (a *Args) Fail(bad *Error) {
	if *a.first == nil {
		*a.first = bad
	}
}

// Has reports whether a member is there and not empty.
func (a *Args) Has(name string) bool {
	return a.find(name).Text != ""
}

// Text returns an optional string of at most max characters: see form.Member.AsText.
func (a *Args) Text(name string, max int) string {
	text, broken := a.find(name).AsText(max)
	a.check(name, broken)
	return strings.Clone(text)
}

// RequiredText returns a string of 1 to max characters.
func (a *Args) RequiredText(name string, max int) string {
	a.require(name)
	return a.Text(name, max)
}

// Int returns an optional whole number: see form.Member.AsInteger. ok is false when it is absent or broken.
func (a *Args) Int(name string) (value int64, ok bool) {
	m := a.find(name)
	if m.Text == "" {
		return 0, false
	}
	value, broken := m.AsInteger()
	a.check(name, broken)
	return value, broken == ""
}

// RequiredInt returns a whole number. A broken one is 0, as is an absent one, which is an error too.
func (a *Args) RequiredInt(name string) int64 {
	a.require(name)
	value, _ := a.Int(name)
	return value
}

// Texts returns an optional list of at most maxItems strings, each of 1 to max characters: an array, or a text of them
// joined by commas.
func (a *Args) Texts(name string, maxItems, max int) []string {
	var texts []string
	for _, m := range a.list(name, maxItems) {
		text, broken := m.AsText(max)
		if broken != "" {
			a.check(name, "的元素"+broken)
		}
		texts = append(texts, strings.Clone(text))
	}
	return texts
}

// Object returns a member that is an object, or the JSON text of one. An absent one is an error; what is then read out
// of the result is absent and no further error.
func (a *Args) Object(name string) *Args {
	a.require(name)
	return a.object(name, a.json(name, form.Object, "应为JSON对象"))
}

// Objects returns an optional list of at most maxItems objects: an array, or the JSON text of one.
func (a *Args) Objects(name string, maxItems int) []*Args {
	var objects []*Args
	for _, m := range a.array(name, a.json(name, form.Array, "应为JSON数组"), maxItems, form.Object) {
		objects = append(objects, a.object(name, m.Text))
	}
	return objects
}

func (a *Args) object(name, text string) *Args {
	o := &Args{first: a.first}
	if text == "" {
		return o
	}
	var problem *form.Problem
	o.members, problem = form.ParseObject(text)
	switch {
	case problem == nil:
	case problem.Name != "":
		a.Fail(Invalid(name, "的成员"+problem.Name+problem.Text))
	default:
		a.Fail(Invalid(name, "不是合法的JSON对象："+problem.Text))
	}
	return o
}

// list returns the elements of a list of simple values.
func (a *Args) list(name string, maxItems int) []form.Member {
	m := a.find(name)
	switch {
	case m.Text == "":
		return nil
	case m.Kind == form.Array || m.Kind == form.String && m.Text[0] == '[':
		return a.array(name, m.Text, maxItems, form.String, form.Number)
	case m.Kind != form.String && m.Kind != form.Number:
		a.Fail(Invalid(name, "应为数组"))
		return nil
	case strings.Count(m.Text, ",") >= maxItems:
		a.Fail(tooMany(name, maxItems))
		return nil
	}
	var values []form.Member
	for value := range strings.SplitSeq(m.Text, ",") {
		if value == "" {
			a.check(name, "的元素不能为空")
		}
		values = append(values, form.Member{Kind: m.Kind, Text: value})
	}
	return values
}

// array returns the elements of a JSON array, which must be of one of the kinds, and not empty.
func (a *Args) array(name, text string, maxItems int, kinds ...form.Kind) (values []form.Member) {
	if text == "" {
		return nil
	}
	problem := form.Elements(text, func(kind form.Kind, text string) bool {
		switch {
		case !slices.Contains(kinds, kind):
			a.check(name, "的元素类型有误")
		case text == "":
			a.check(name, "的元素不能为空")
		case len(values) == maxItems:
			a.Fail(tooMany(name, maxItems))
		default:
			values = append(values, form.Member{Kind: kind, Text: text})
			return true
		}
		return false
	})
	if problem != nil {
		a.Fail(Invalid(name, "不是合法的JSON数组："+problem.Text))
	}
	return values
}

func tooMany(name string, maxItems int) *Error {
	return Invalid(name, "最多"+strconv.Itoa(maxItems)+"个元素")
}

func (a *Args) require(name string) {
	if !a.Has(name) {
		a.Fail(Missing(name))
	}
}

// find returns the member of a name; an absent one and null are an empty text.
func (a *Args) find(name string) form.Member {
	for i := range a.params {
		if a.params[i].Name == name {
			return form.Member{Kind: form.String, Text: a.params[i].Value}
		}
	}
	for _, m := range a.members {
		if m.Name == name && m.Kind != form.Null {
			return m
		}
	}
	return form.Member{}
}

// json returns a member of the kind as JSON; a string may hold it. Of another kind it breaks the rule.
func (a *Args) json(name string, kind form.Kind, rule string) string {
	m := a.find(name)
	if m.Kind != kind && m.Kind != form.String {
		a.Fail(Invalid(name, rule))
		return ""
	}
	return m.Text
}

// check records the rule of a value, if it is broken.
func (a *Args) check(name, broken string) {
	if broken != "" {
		a.Fail(Invalid(name, broken))
	}
}
