package wire

import (
	"regexp"
	"slices"
	"strings"

	"faquan/internal/gateway/form"
)

// The text that a call signs has nothing between names and values, so "a=bc" and "ab=c" have one signature. Where a
// stranger chose a part of what a caller signs, he could cut the text at other places and make another call of it. What the
// caller signed as a parameter that decides would then stand inside another value. So a call is refused when something
// that looks like such a parameter stands anywhere but at its place.

// decisive are the common parameters that decide who asks for what, with what their values begin with; nil: anything.
var decisive = []struct {
	name  string
	value *regexp.Regexp
}{
	{"method", apiName},
	{"session", nil},
	{"sign_method", regexp.MustCompile(`^(?i:md5|hmac)`)},
	{"timestamp", regexp.MustCompile(`^[0-9]{4}`)},
}

var apiName = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.`)

//guard:internal/gateway/top.TestSignedTextIsNotCutElsewhere without `\x{FEFF}?`
var beginsObject = regexp.MustCompile(`^\x{FEFF}?\s*\{`)

// common are all parameters of the protocol itself, without the method and the signature.
var common = []string{
	"app_key", "format", "partner_id", "session", "sign_method", "simplify", "target_app_key", "timestamp", "v",
}

// checkReading refuses a call whose signed text may be that of another call. Inside the object parameter of the API
// other names may stand, since JSON has one end, but not the method of another call. Callers may add parameters of any other
// name, as SDKs let them.
func (p *Policy) checkReading(req *Request) *Error {
	object, key := p.Methods[req.Method()].Object, p.Methods[req.Method()].Key
	// free is the signed text without known names, the API's object and what must exist: a zero byte stands for each of these.
	// Keys of sessions, which must exist where they decide, may hold the word session.
	var free strings.Builder
	for i := range req.Params {
		param := &req.Params[i]
		switch {
		case param.Name == "sign":
		case param.Name == object:
			//guard:internal/gateway/top.TestSignedTextIsNotCutElsewhere/an_object_that_takes_up_the_method
			if form.Holds(param.Value, "method", apiName) {
				return Invalid(object, "的内容含有“method”及API名称，签名无法将它与参数method区分")
			}
			free.WriteByte(0)
		case param.Name == key:
			free.WriteByte(0)
		case param.Name == "session":
			free.WriteString("\x00" + strings.ReplaceAll(param.Value, "session", "\x00"))
		case param.Name == "method", slices.Contains(common, param.Name):
			free.WriteString("\x00" + param.Value)
		default:
			free.WriteString(param.Name + param.Value)
		}
	}
	text := free.String()
	for _, d := range decisive {
		if form.Holds(text, d.name, d.value) {
			return ambiguous(d.name)
		}
	}
	hidden := ""
	for _, m := range p.Methods {
		if m.Object != "" && form.Holds(text, m.Object, beginsObject) && (hidden == "" || m.Object < hidden) {
			hidden = m.Object // of two the same one is answered
		}
	}
	if hidden != "" {
		return ambiguous(hidden)
	}
	if key != "" && form.Holds(text, key, nil) {
		return ambiguous(key)
	}
	return nil
}

// ambiguous refuses a call in which a parameter that decides may be hidden.
func ambiguous(name string) *Error {
	return Invalid(name, "的名称出现在其他参数的名称或内容中，签名无法区分")
}

// inBody is the end of a query that was signed as such and is part of a body now.
var inBody = regexp.MustCompile(`timestamp([0-9]{10}|[0-9]{4}-[0-9]{2}-[0-9]{2} )`)

// checkBatchReading does the same for what stands around a batch, and sees to it that the signed body begins where it
// seems to. All parameters are the protocol's own, and v is the last of them: a parameter behind it would be
// the beginning of the body, and what comes before it ends with the timestamp.
func (p *Policy) checkBatchReading(req *Request) *Error {
	for i := range req.Params {
		if name := req.Params[i].Name; name != "sign" && !slices.Contains(common, name) { //guard:TestBatchIsRefusedAsAWhole
			return ErrParameter.With("批量请求的URL不支持参数" + name)
		}
	}
	if bad := p.checkReading(req); bad != nil {
		return bad
	}
	//guard:internal/gateway/top.TestSignedTextIsNotCutElsewhere/the_end_of_a_query_in_a_body without inBody.MatchString(req.Body)
	if first, _, _ := strings.Cut(req.Body, "="); first > "v" || inBody.MatchString(req.Body) {
		return ErrParameter.With("批量请求体的开头或内容可能属于URL中的参数，签名无法区分，请以参数method开始每个请求")
	}
	return nil
}
