package wire

import (
	"net/http"
	"strings"

	"faquan/internal/gateway/form"
)

// Param is one parameter of a request. Value is UTF-8.
type Param struct {
	Name, Value string

	raw string // the bytes as sent, after URL-decoding: what the caller signed
}

// Request is what one call sent: the parameters of query and body as one set, sorted by name, each name once.
type Request struct {
	// Charset decoded the parameters and encodes the answer; UTF-8 when the request names none. After a charset that
	// does not exist or does not fit the bytes it is one for the answer alone, which every client can read. When the
	// query names another charset than the body, and all values decode to the same text under both, it is the query's:
	// that is what gopay reads the answer in.
	Charset Charset
	// Params are sorted by name. Before Policy.Check has passed they are unverified, and after it they hold only what
	// the signature covers.
	Params []Param

	charsetProblem *Error // found while decoding, reported in its place by Policy.Check
}

// Get returns the value of a parameter, "" when it is absent. A value of blanks alone counts as absent, as an empty one
// does: some SDKs sign it and some do not, so it must not mean anything, whether or not the signature is checked yet.
func (r *Request) Get(name string) string {
	if p := r.find(name); p != nil {
		return p.Value
	}
	return ""
}

// find returns the parameter of a name, nil when it is absent.
func (r *Request) find(name string) *Param {
	for i := range r.Params {
		if p := &r.Params[i]; p.Name == name && !isBlank(p.raw) { //guard:TestBlankParametersSayNothing without !isBlank(p.raw)
			return p
		}
	}
	return nil
}

// blanks are white space in the bytes of every charset of the platform.
const blanks = " \t\r\n"

// isBlank reports whether a value is empty or of blanks alone.
func isBlank(raw string) bool { return strings.Trim(raw, blanks) == "" }

// Method returns the name of the API called, such as "alipay.marketing.voucher.send".
func (r *Request) Method() string { return r.Get("method") }

// AppID returns the caller's app_id.
func (r *Request) AppID() string { return r.Get("app_id") }

// AnswerSignType returns the algorithm to sign the answer with: the request's own, RSA2 when it names none that exists.
func (r *Request) AnswerSignType() SignType {
	if r.Get("sign_type") == string(RSA) {
		return RSA
	}
	return RSA2
}

// Parse reads the parameters from the query and the body of a call, a GET's too: see form.Read. Each may have maxBytes; 0
// is form.DefaultBytes. The Request is never nil: with an error it holds what could be read, so that the failure can be
// answered under the right method.
//
// The same name twice with the same value counts once. With different values the request is refused, since only one of
// them can be what the caller signed. The exception is charset, which gopay always writes into the query as utf-8,
// whatever the body has: the body's is the one that is signed.
//
// Values are decoded by the charset that the signature covers, and by nothing else: by another one, the same signed bytes
// would be another request. So the charset of a Content-Type is ignored, and that of the query must give the same text. A
// wrong charset is not an error here; Policy.Check reports it in its place.
func Parse(r *http.Request, maxBytes int) (*Request, *Error) {
	f, problem := form.Read(r, form.Options{Bytes: maxBytes})
	bad := refusal(problem)
	if bad == nil && f.Body != "" {
		bad = ErrInvalidParameter.With("不支持的Content-Type，请使用application/x-www-form-urlencoded")
	}
	req := &Request{}
	inQuery := queryCharset(f)
	if dup := f.Merge("charset"); bad == nil {
		bad = refusal(dup)
	}
	req.Params = make([]Param, len(f.Params))
	for i := range f.Params {
		req.Params[i] = Param{Name: f.Params[i].Name, raw: f.Params[i].Raw}
	}
	req.decode(inQuery)
	if req.charsetProblem != nil {
		req.Charset = escaped
	}
	return req, bad
}

// decode fills the values from the bytes, by the charset among the parameters. Under an unknown charset the ASCII ones,
// which are all that the checks before it look at, come out right too. inQuery is the charset that the query names, if
// it is another.
func (r *Request) decode(inQuery string) {
	var known bool
	signed := ""
	if p := r.find("charset"); p != nil {
		signed = p.raw
	}
	//guard:internal/gateway/alipay.TestUnsignedCharsets if r.Charset -> if inQuery != "" { signed = inQuery }; if r.Charset
	if r.Charset, known = ParseCharset(signed); !known && signed != "" {
		r.charsetProblem = ErrInvalidCharset
	}
	for i := range r.Params {
		p := &r.Params[i]
		text, ok := r.Charset.decode(p.raw)
		if !ok && r.charsetProblem == nil {
			r.charsetProblem = ErrInvalidCharset.With("参数" + p.Name + "的内容不是合法的" + r.Charset.String() + "编码").
				withASCII("the value of " + p.Name + " is not valid " + r.Charset.String())
		}
		if !ok {
			text = strings.ToValidUTF8(p.raw, "\uFFFD")
		}
		p.Value = text
	}
	other, known := ParseCharset(inQuery)
	switch {
	case inQuery == "" || r.charsetProblem != nil:
	case !known:
		r.charsetProblem = ErrInvalidCharset
	default:
		r.agree(other)
	}
}

// agree requires that all values decode to the same text by the query's charset.
func (r *Request) agree(inQuery Charset) {
	for i := range r.Params {
		p := &r.Params[i]
		if text, ok := inQuery.decode(p.raw); !ok || text != p.Value {
			r.charsetProblem = ErrInvalidCharset.With("URL中的charset为" + inQuery.String() + "，而签名的charset为" +
				r.Charset.String() + "，参数" + p.Name + "的值按两种编码解码的结果不同").
				withASCII("charset is " + inQuery.String() + " in the URL and " + r.Charset.String() + " in the signed parameters, and the value of " +
					p.Name + " differs between the two")
			return
		}
	}
	r.Charset = inQuery
}

// refusal returns the error for a problem with the form; nil when there is none.
func refusal(p *form.Problem) *Error {
	switch p {
	case nil:
		return nil
	case form.Busy, form.Slow:
		return Business("SYSTEM_ERROR", p.Text)
	}
	return ErrInvalidParameter.With(p.Error())
}

// queryCharset returns the charset that the query names, "" when it names none.
func queryCharset(f *form.Form) string {
	for i := range f.Params {
		if p := &f.Params[i]; p.InQuery && p.Name == "charset" && !isBlank(p.Raw) {
			return p.Raw
		}
	}
	return ""
}
