package wire

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Limits bounds what Parse reads. Zero fields take the default.
type Limits struct {
	Bytes  int // of the query and of the body, each; default 1 MiB
	Params int // parameters in query and body together; default 256
}

const (
	defaultBytes  = 1 << 20
	defaultParams = 256
	maxNameBytes  = 128
)

// Param is one parameter of a request. Value is UTF-8.
type Param struct {
	Name, Value string

	raw     string // the bytes as sent, after URL-decoding: what the caller signed
	inQuery bool
}

// Request is what one call sent: the parameters of query and body as one set,
// sorted by name, each name once.
type Request struct {
	// Charset decoded the parameters and encodes the answer; UTF-8 when the
	// request names none. After a charset that does not exist or does not fit the
	// bytes it is one for the answer alone, which every client can read.
	Charset Charset
	// Params are sorted by name. Before Policy.Check has passed they are
	// unverified, and after it they hold only what the signature covers.
	Params []Param

	charsetProblem *Error // found while decoding, reported in its place by Policy.Check
}

// Get is the value of a parameter, "" when it is absent.
func (r *Request) Get(name string) string {
	for i := range r.Params {
		if r.Params[i].Name == name {
			return r.Params[i].Value
		}
	}
	return ""
}

// Method is the name of the API called, such as "alipay.marketing.voucher.send".
func (r *Request) Method() string { return r.Get("method") }

// AppID is the caller's app_id.
func (r *Request) AppID() string { return r.Get("app_id") }

// AnswerSignType is the algorithm to sign the answer with: the request's own,
// RSA2 when it names none that exists.
func (r *Request) AnswerSignType() SignType {
	if r.Get("sign_type") == string(RSA) {
		return RSA
	}
	return RSA2
}

// Parse reads the parameters from the query and the body of a call. A body is read
// as multipart when its Content-Type says so, as a URL-encoded form when it says
// that or nothing; a GET may have a body too. Files of a multipart body are
// skipped, as no SDK signs them.
//
// The Request is never nil: with an error it holds what could be read, so that the
// failure can be answered under the right method. A wrong charset is not an error
// here; Policy.Check reports it after app_id, sign_type and sign.
//
// The same name twice with the same value counts once. With different values the
// request is refused, since only one of them can be what the caller signed. The
// exception is charset, which gopay always writes into the query as utf-8,
// whatever the body says: the query's tells how to decode, the body's is signed.
func Parse(r *http.Request, limits Limits) (*Request, *Error) {
	if limits.Bytes <= 0 {
		limits.Bytes = defaultBytes
	}
	if limits.Params <= 0 {
		limits.Params = defaultParams
	}
	scratch := scratchPool.Get().(*bytes.Buffer)
	defer putScratch(scratch)

	f := form{maxParams: limits.Params, params: make([]Param, 0, 16)}
	contentType := r.Header.Get("Content-Type")
	bad := f.read(r, contentType, scratch, limits.Bytes)
	req := &Request{}
	name := f.charsetName(contentType)
	var known bool
	if req.Charset, known = ParseCharset(name); !known && name != "" {
		req.charsetProblem = ErrInvalidCharset
	}
	slices.SortStableFunc(f.params, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	if dup := f.mergeDuplicates(); bad == nil {
		bad = dup
	}
	req.Params = f.params
	req.decode()
	// The one that is signed must exist too, even where the Content-Type tells how to decode.
	if _, known := ParseCharset(req.Get("charset")); !known && req.Get("charset") != "" && req.charsetProblem == nil {
		req.charsetProblem = ErrInvalidCharset
	}
	if req.charsetProblem != nil {
		req.Charset = escaped
	}
	return req, bad
}

// decode fills the values from the bytes. Under an unknown charset the ASCII ones,
// which are all that the checks before it look at, come out right too.
func (r *Request) decode() {
	for i := range r.Params {
		p := &r.Params[i]
		text, ok := r.Charset.decode(p.raw)
		if !ok && r.charsetProblem == nil {
			r.charsetProblem = ErrInvalidCharset.With("参数" + p.Name + "的内容不是合法的" + r.Charset.String() + "编码")
		}
		if !ok {
			text = strings.ToValidUTF8(p.raw, "\uFFFD")
		}
		p.Value = text
	}
}

// scratchPool keeps the buffers that bodies are read into; nothing of a Request
// points into them.
var scratchPool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func putScratch(b *bytes.Buffer) {
	if b.Cap() <= 64<<10 { // one large body must not stay in memory for ever
		b.Reset()
		scratchPool.Put(b)
	}
}

// form collects parameters. Their text lies in one arena: a strings.Builder hands
// out its bytes as strings without a copy, and they stay good while it grows.
type form struct {
	arena     strings.Builder
	params    []Param
	maxParams int
}

// read parses query and body, in this order, and stops at the first problem.
func (f *form) read(r *http.Request, contentType string, scratch *bytes.Buffer, maxBytes int) *Error {
	query := r.URL.RawQuery
	if len(query) > maxBytes {
		return tooLarge
	}
	scratch.WriteString(query)
	f.arena.Grow(len(query) + int(min(max(r.ContentLength, 0), int64(maxBytes))))
	if bad := f.pairs(scratch.Bytes(), true); bad != nil {
		return bad
	}
	scratch.Reset()
	if bad := readBody(r, scratch, maxBytes); bad != nil || scratch.Len() == 0 {
		return bad
	}
	switch mediaType(contentType) {
	case "", "application/x-www-form-urlencoded":
		return f.pairs(scratch.Bytes(), false)
	case "multipart/form-data":
		return f.multipart(scratch.Bytes(), contentType)
	}
	return ErrInvalidParameter.With("不支持的Content-Type，请使用application/x-www-form-urlencoded")
}

var tooLarge = ErrInvalidParameter.With("请求过大")

func readBody(r *http.Request, into *bytes.Buffer, maxBytes int) *Error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	if r.ContentLength > int64(maxBytes) {
		return tooLarge
	}
	n, err := into.ReadFrom(io.LimitReader(r.Body, int64(maxBytes)+1))
	if err != nil {
		return ErrInvalidParameter.With("读取请求失败")
	}
	if n > int64(maxBytes) {
		return tooLarge
	}
	return nil
}

// mediaType is the type in a Content-Type, in lower case, without its parameters.
// It forgives parameters that mime.ParseMediaType refuses.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// pairs parses name=value pairs joined by "&". A semicolon is data: biz_content
// may hold one unescaped.
func (f *form) pairs(text []byte, inQuery bool) *Error {
	for len(text) > 0 {
		pair := text
		if i := bytes.IndexByte(text, '&'); i >= 0 {
			pair, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		if len(pair) == 0 {
			continue
		}
		rawName, rawValue, _ := bytes.Cut(pair, []byte{'='})
		name, okName := f.unescape(rawName)
		value, okValue := f.unescape(rawValue)
		if !okName || !okValue {
			return ErrInvalidParameter.With("参数的URL编码有误")
		}
		if bad := f.add(name, value, inQuery); bad != nil {
			return bad
		}
	}
	return nil
}

// unescape copies URL-encoded text into the arena: "+" is a space, %XX a byte.
func (f *form) unescape(text []byte) (string, bool) {
	start := f.arena.Len()
	run := 0 // start of the bytes not yet copied
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '+':
			f.arena.Write(text[run:i])
			f.arena.WriteByte(' ')
			run = i + 1
		case '%':
			if i+2 >= len(text) {
				return "", false
			}
			hi, lo := unhex(text[i+1]), unhex(text[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			f.arena.Write(text[run:i])
			f.arena.WriteByte(byte(hi<<4 | lo))
			i += 2
			run = i + 1
		}
	}
	f.arena.Write(text[run:])
	return f.arena.String()[start:], true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// multipart adds the text parts of a multipart/form-data body.
func (f *form) multipart(body []byte, contentType string) *Error {
	_, attributes, err := mime.ParseMediaType(contentType)
	if err != nil || attributes["boundary"] == "" {
		return ErrInvalidParameter.With("multipart请求缺少boundary")
	}
	parts := multipart.NewReader(bytes.NewReader(body), attributes["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return ErrInvalidParameter.With("multipart请求格式有误")
		}
		if part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return ErrInvalidParameter.With("multipart请求格式有误")
		}
		if bad := f.add(part.FormName(), string(value), false); bad != nil {
			return bad
		}
	}
}

// add takes one parameter. Its bytes are not decoded yet, but in all our charsets
// a byte below 0x30 stands for itself, so controls can be found here.
func (f *form) add(name, raw string, inQuery bool) *Error {
	switch {
	case len(f.params) >= f.maxParams:
		return ErrInvalidParameter.With("参数个数过多")
	case !isName(name):
		return ErrInvalidParameter.With("参数名无效")
	case hasControl(raw):
		return ErrInvalidParameter.With("参数" + name + "含有控制字符")
	}
	f.params = append(f.params, Param{Name: name, raw: raw, inQuery: inQuery})
	return nil
}

// isName accepts printable ASCII without a space, 1 to 128 bytes: all that the
// platform ever used, and the one set whose order all languages agree on.
func isName(name string) bool {
	if name == "" || len(name) > maxNameBytes {
		return false
	}
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] >= 0x7F {
			return false
		}
	}
	return true
}

// hasControl finds control characters other than tab, line feed and carriage
// return, which white space in JSON may hold.
func hasControl(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return true
		}
	}
	return false
}

// charsetName is the charset that the caller encoded with: named in the query,
// else in the Content-Type, else in the body, else "". The query comes first
// because SDKs that split the parameters put it there in order that it can be read
// before anything is decoded. A charset in the Content-Type that is none of ours is
// passed over: HTTP libraries write ISO-8859-1 there on their own.
func (f *form) charsetName(contentType string) string {
	inBody := ""
	for i := range f.params {
		if p := &f.params[i]; p.Name == "charset" && p.raw != "" {
			if p.inQuery {
				return p.raw
			}
			inBody = p.raw
		}
	}
	if name := contentTypeCharset(contentType); name != "" {
		if _, known := ParseCharset(name); known {
			return name
		}
	}
	return inBody
}

func contentTypeCharset(contentType string) string {
	for rest := contentType; rest != ""; {
		var attribute string
		attribute, rest, _ = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(attribute, "=")
		if strings.EqualFold(strings.TrimSpace(name), "charset") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// mergeDuplicates leaves each name once; the parameters are sorted, those of the
// query before those of the body.
func (f *form) mergeDuplicates() *Error {
	var bad *Error
	kept := f.params[:0]
	for _, p := range f.params {
		last := len(kept) - 1
		switch {
		case last < 0 || kept[last].Name != p.Name:
			kept = append(kept, p)
		case kept[last].raw == p.raw:
		case p.Name == "charset" && kept[last].inQuery && !p.inQuery:
			kept[last] = p
		case bad == nil:
			bad = ErrInvalidParameter.With("参数" + p.Name + "重复且取值不同")
		}
	}
	f.params = kept
	return bad
}
