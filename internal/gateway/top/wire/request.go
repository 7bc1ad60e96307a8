package wire

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"faquan/internal/gateway/form"
)

// Limits bounds what Parse reads. Zero fields take the default.
type Limits struct {
	Bytes  int // of the query and of the body, each; default 1 MiB
	Params int // parameters in query and body together, and in each item of a batch; default 256
}

// Param is one parameter, in UTF-8.
type Param struct{ Name, Value string }

// Request is what one call sent: the parameters of query and body as one set, sorted by name, each name once.
type Request struct {
	// Params are sorted by name. Before Policy.Check has passed they are unverified, and after it they hold only
	// what the signature covers.
	Params []Param
	// Body is a body that is no form (a batch, JSON, XML), as it was sent; it is signed. Else "".
	Body string

	limits Limits
}

// NewRequest makes a request of parameters that were read elsewhere, for the command line and for tests.
func NewRequest(params map[string]string, body string) *Request {
	r := &Request{Body: body}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		r.Params = append(r.Params, Param{name, params[name]})
	}
	return r
}

// Get returns the value of a parameter, "" when it is absent.
func (r *Request) Get(name string) string {
	for i := range r.Params {
		if r.Params[i].Name == name {
			return r.Params[i].Value
		}
	}
	return ""
}

// Method returns the name of the API called, such as "tmall.nrt.certificate.send".
func (r *Request) Method() string { return r.Get("method") }

// AppKey returns the caller's app_key.
func (r *Request) AppKey() string { return r.Get("app_key") }

// Session returns the session key, "" when the call has none.
func (r *Request) Session() string { return r.Get("session") }

// Format returns the shape to answer in: XML unless the request asks for JSON, also when it asks for what does not
// exist. Simplify is ignored for XML.
func (r *Request) Format() Format {
	switch {
	case !strings.EqualFold(r.Get("format"), "json"):
		return XML
	case strings.EqualFold(r.Get("simplify"), "true"):
		return SimplifiedJSON
	}
	return JSON
}

// Parse reads a call of /router/rest. Parameters come in the query, in a URL-encoded or multipart body, or in both:
// each SDK has its own way. A GET may have a body too (topsdk for Node sends its parameters so). A body of another
// type is kept in Body.
//
// The Request is never nil: with an error it holds what could be read, so that the failure can be answered in the
// format that was asked for. The same name twice with the same value counts once; with different values the call is
// refused, since only one of them can be what the caller signed.
func Parse(r *http.Request, limits Limits) (*Request, *Error) { return parse(r, limits, false) }

// ParseBatch reads a call of /router/batch, whose body is a batch whatever its Content-Type.
func ParseBatch(r *http.Request, limits Limits) (*Request, *Error) { return parse(r, limits, true) }

func parse(r *http.Request, limits Limits, batch bool) (*Request, *Error) {
	f, problem := form.Read(r, form.Options{Bytes: limits.Bytes, Params: limits.Params, RawBody: batch})
	if dup := f.Merge(""); problem == nil {
		problem = dup
	}
	req := &Request{Body: f.Body, limits: limits}
	var bad *Error
	req.Params, bad = decode(f.Params)
	switch {
	case r.Method != http.MethodPost && r.Method != http.MethodGet:
		bad = ErrVerb
	case problem != nil:
		bad = unreadable(problem)
	case !batch && f.Body != "": //guard:internal/gateway/top.TestSignedTextIsNotCutElsewhere/the_rest_in_a_body
		// A signature covers it behind the parameters, where it could take up the rest of another call.
		bad = ErrParameter.With("不支持的Content-Type，请使用application/x-www-form-urlencoded")
	case batch && r.Header.Get(SeparatorHeader) != "":
		bad = ErrParameter.With("不支持请求头top-api-separator，因为签名未覆盖该请求头，请使用默认的分隔符")
	case bad == nil && !utf8.ValidString(f.Body):
		bad = ErrInvalidEncoding.With("请求体不是合法的UTF-8编码")
	}
	return req, bad
}

// decode takes the bytes for UTF-8, the one charset of this wire.
func decode(raw []form.Param) (params []Param, bad *Error) {
	params = make([]Param, len(raw))
	for i := range raw {
		value := raw[i].Raw
		if !utf8.ValidString(value) {
			value = strings.ToValidUTF8(value, "\uFFFD")
			if bad == nil {
				bad = ErrInvalidEncoding.With("参数" + raw[i].Name + "的内容不是合法的UTF-8编码")
			}
		}
		params[i] = Param{raw[i].Name, value}
	}
	return params, bad
}

// unreadable returns the refusal of a call whose parameters cannot be read.
func unreadable(p *form.Problem) *Error {
	if p == form.Busy || p == form.Slow {
		return ErrBusy.With(p.Text)
	}
	if p.Name != "" {
		return Invalid(p.Name, p.Text)
	}
	return ErrParameter.With(p.Text)
}
