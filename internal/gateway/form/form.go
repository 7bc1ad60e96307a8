package form

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Options bounds what Read reads. Zero numbers take the default.
type Options struct {
	Bytes   int  // of the query and of the body, each; default 1 MiB
	Params  int  // parameters in query and body together; default 256
	RawBody bool // the body is kept as it was sent, whatever its Content-Type
}

// The defaults of Options.
const (
	DefaultBytes  = 1 << 20
	DefaultParams = 256
	maxNameBytes  = 128
)

func (o Options) orDefaults() Options {
	if o.Bytes <= 0 {
		o.Bytes = DefaultBytes
	}
	if o.Params <= 0 {
		o.Params = DefaultParams
	}
	return o
}

// Param is one parameter. Raw is its value as bytes, URL-decoded and nothing else: Read is independent of the charset.
type Param struct {
	Name, Raw string
	InQuery   bool
}

// Form is the parameters of a call, those of the query first, and the body when it is no form.
type Form struct {
	Params []Param
	// Body is a body that is neither a URL-encoded form nor multipart, as it was sent; else "".
	Body string

	maxParams int
}

// Problems that are not about a parameter.
var (
	TooLarge = &Problem{Text: "请求过大"}               // the query or the body is beyond the limit
	Busy     = &Problem{Text: "系统繁忙，本次请求未处理，请稍后重试"} // there is no memory for the body; nothing is wrong with the request
	Slow     = &Problem{Text: "接收请求超时，请稍后重试"}       // the body does not arrive in time
)

// The errors by which a server ends the reading of a body that it does not want to wait for.
var (
	ErrBusy = errors.New("no memory for the request")   // is answered with Busy
	ErrSlow = errors.New("the body arrives too slowly") // is answered with Slow
)

// Read reads the parameters from the query and the body of a call. The Content-Type decides whether a body is read as
// multipart or as a URL-encoded form, which is the default. Files of a multipart body are skipped: no SDK signs them.
//
// The Form is never nil: with a problem it holds what could be read before it.
func Read(r *http.Request, o Options) (*Form, *Problem) {
	o = o.orDefaults()
	f := &Form{Params: make([]Param, 0, 16), maxParams: o.Params}
	return f, f.read(r, o)
}

// ReadText reads parameters from a URL-encoded text.
func ReadText(text string, o Options) (*Form, *Problem) {
	o = o.orDefaults()
	f := &Form{maxParams: o.Params}
	if len(text) > o.Bytes {
		return f, TooLarge
	}
	return f, f.pairs(text, false)
}

// read parses query and body, in this order, and stops at the first problem.
func (f *Form) read(r *http.Request, o Options) *Problem {
	query := r.URL.RawQuery
	bad := f.pairs(query, true)
	if len(query) > o.Bytes {
		return TooLarge // it was read all the same, for the answer to have the method and the format of the call
	}
	if bad != nil {
		return bad
	}
	body, bad := readBody(r, o.Bytes)
	if bad != nil || body == "" {
		return bad
	}
	contentType := r.Header.Get("Content-Type")
	kind := mediaType(contentType)
	switch {
	case o.RawBody:
	case kind == "" || kind == "application/x-www-form-urlencoded":
		return f.pairs(body, false)
	case kind == "multipart/form-data":
		return f.multipart(body, contentType)
	}
	f.Body = body
	return nil
}

// buffers are what bodies are read into.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func readBody(r *http.Request, maxBytes int) (string, *Problem) {
	if r.Body == nil || r.Body == http.NoBody {
		return "", nil
	}
	if r.ContentLength > int64(maxBytes) {
		return "", TooLarge
	}
	buffer := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= 64<<10 { // one large body must not stay in memory for ever
			buffer.Reset()
			buffers.Put(buffer)
		}
	}()
	n, err := buffer.ReadFrom(io.LimitReader(r.Body, int64(maxBytes)+1))
	switch {
	case errors.Is(err, ErrBusy):
		return "", Busy
	case errors.Is(err, ErrSlow):
		return "", Slow
	case err != nil:
		return "", &Problem{Text: "读取请求失败"}
	case n > int64(maxBytes):
		return "", TooLarge
	}
	return buffer.String(), nil
}

// mediaType returns the type in a Content-Type, in lower case, without its parameters. It forgives parameters that
// mime.ParseMediaType refuses.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// pairs parses name=value pairs joined by "&". A semicolon is data: JSON in a value may hold one unescaped.
func (f *Form) pairs(text string, inQuery bool) *Problem {
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, badName := url.QueryUnescape(rawName)
		value, badValue := url.QueryUnescape(rawValue)
		if badName != nil || badValue != nil {
			return &Problem{Text: "参数的URL编码有误"}
		}
		if bad := f.add(name, value, inQuery); bad != nil {
			return bad
		}
	}
	return nil
}

var badMultipart = &Problem{Text: "multipart请求格式有误"}

// multipart adds the text parts of a multipart/form-data body.
func (f *Form) multipart(body string, contentType string) *Problem {
	_, attributes, err := mime.ParseMediaType(contentType)
	if err != nil || attributes["boundary"] == "" {
		return &Problem{Text: "multipart请求缺少boundary"}
	}
	if !strings.Contains(body, "--"+attributes["boundary"]+"--") {
		return badMultipart // the reader would take a body that is cut behind a boundary for one that ends there
	}
	parts := multipart.NewReader(strings.NewReader(body), attributes["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return badMultipart
		}
		if part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return badMultipart
		}
		if bad := f.add(part.FormName(), string(value), false); bad != nil {
			return bad
		}
	}
}

// add takes one parameter. Its bytes are not decoded yet, but in every charset of the platforms a byte below 0x30
// stands for itself, so controls can be found here.
func (f *Form) add(name, raw string, inQuery bool) *Problem {
	switch {
	case len(f.Params) >= f.maxParams:
		return &Problem{Text: "参数个数过多"}
	case !isName(name):
		return &Problem{Text: "参数名无效"}
	case HasControl(raw):
		return &Problem{Name: name, Text: "含有控制字符"}
	}
	f.Params = append(f.Params, Param{Name: name, Raw: raw, InQuery: inQuery})
	return nil
}

// isName accepts printable ASCII without a space, 1 to 128 bytes: all that the platforms ever used, and the one set
// whose order all languages agree on. "=" and "&" are left out: in a text to sign that joins "name=value" by "&", a
// name with one of them could hold another parameter.
func isName(name string) bool {
	return name != "" && len(name) <= maxNameBytes &&
		!strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7F || c == '=' || c == '&' })
}

// Merge sorts the parameters by name and leaves each name once. The same value twice counts once; with different
// values it is a problem, since only one of them can be what the caller signed. The exception is the parameter
// bodyWins, if that is not "": of it the body's value stays and the query's goes.
func (f *Form) Merge(bodyWins string) *Problem {
	slices.SortStableFunc(f.Params, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	var bad *Problem
	kept := f.Params[:0]
	for _, p := range f.Params {
		last := len(kept) - 1
		switch {
		case last < 0 || kept[last].Name != p.Name:
			kept = append(kept, p)
		case kept[last].Raw == p.Raw:
		case p.Name == bodyWins && kept[last].InQuery && !p.InQuery:
			kept[last] = p
		case bad == nil:
			bad = &Problem{Name: p.Name, Text: "重复且取值不同"}
		}
	}
	f.Params = kept
	return bad
}
