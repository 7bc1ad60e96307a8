package wire

import (
	"maps"
	"slices"
	"strings"
)

// The text that a call signs has nothing between names and values, so "a=bc" and "ab=c" have one signature. Where a
// stranger chose a part of what a caller signs, he could cut the text at other places and make another call of it. So a
// call is refused unless its text can be read in one way only, as far as the parameters go that decide.

// deciding are the common parameters that decide who asks for what. The object parameters of the APIs belong to them, too.
var deciding = []string{"app_key", "method", "session", "sign_method", "timestamp"}

// common are all parameters of the protocol itself, without the method and the signature.
var common = []string{
	"app_key", "format", "partner_id", "session", "sign_method", "simplify", "target_app_key", "timestamp", "v",
}

// checkReading refuses a call whose signed text holds the name of a parameter that decides anywhere but at the beginning
// of that parameter. It may stand inside the object parameter of the API itself, since JSON has one end. Callers may add
// parameters of any other name, as SDKs let them, but then the text of these is not free.
func (p *Policy) checkReading(req *Request) *Error {
	names := slices.AppendSeq(slices.Clone(deciding), maps.Values(p.Objects))
	slices.Sort(names) // of two wrongs the same one is answered
	// free is the signed text without known names, the API's object, and the app, which must exist: a zero byte stands for
	// each of these. Keys of sessions, which must exist, too, may hold the word session.
	var free strings.Builder
	var ends []int // of each parameter in it
	for i := range req.Params {
		param := &req.Params[i]
		switch {
		case param.Name == "sign":
		case param.Name == p.Objects[req.Method()], param.Name == "app_key":
			free.WriteByte(0)
		case param.Name == "session":
			free.WriteString("\x00" + strings.ReplaceAll(param.Value, "session", "\x00"))
		case param.Name == "method", slices.Contains(common, param.Name), slices.Contains(names, param.Name):
			free.WriteByte(0)
			free.WriteString(param.Value)
		default:
			free.WriteString(param.Name)
			free.WriteString(param.Value)
		}
		ends = append(ends, free.Len())
	}
	for _, name := range names {
		if at := strings.Index(free.String(), name); at >= 0 {
			i, _ := slices.BinarySearch(ends, at+1)
			return Invalid(req.Params[i].Name, "的名称或内容含有“"+name+"”，签名无法将它与参数"+name+"区分")
		}
	}
	return nil
}

// checkBatchReading does the same for what stands around a batch. It also refuses all parameters but the protocol's own, so
// that the signed body begins where it seems to, and a call of /router/rest, which has a method, is no batch.
func (p *Policy) checkBatchReading(req *Request) *Error {
	for i := range req.Params {
		if name := req.Params[i].Name; name != "sign" && !slices.Contains(common, name) {
			return ErrParameter.With("批量请求的URL不支持参数" + name)
		}
	}
	return p.checkReading(req)
}
