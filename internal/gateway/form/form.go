package form

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Options bounds what Read reads. Zero numbers take the default.
type Options struct {
	Bytes  int // of the query and of the body, each; default 1 MiB
	Params int // parameters in query and body together; default 256
	// RawBody keeps the body as it was sent, whatever its Content-Type says.
	RawBody bool
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

// Param is one parameter. Raw is its value as bytes, URL-decoded and nothing else: in what charset they are, Read
// does not know.
type Param struct {
	Name, Raw string
	InQuery   bool
}

// Form is the parameters of a call, those of the query first, and the body when it is no form.
type Form struct {
	Params []Param
	// Body is a body that is neither a URL-encoded form nor multipart, as it was sent; else "".
	Body string

	// The text of all parameters lies in one arena: a strings.Builder hands out its bytes as strings without a
	// copy, and they stay good while it grows.
	arena   strings.Builder
	options Options
}

// TooLarge is the problem with a query or a body beyond the limit.
var TooLarge = &Problem{Text: "请求过大"}

// Busy is the problem when the server has no memory for a body. Nothing is wrong with the request.
var Busy = &Problem{Text: "系统繁忙，本次请求未处理，请稍后重试"}

// Slow is the problem when a body does not arrive in time.
var Slow = &Problem{Text: "接收请求超时，请稍后重试"}

// The errors by which a server ends the reading of a body that it does not want to wait for.
var (
	ErrBusy = errors.New("no memory for the request")   // is answered with Busy
	ErrSlow = errors.New("the body arrives too slowly") // is answered with Slow
)

// Read reads the parameters from the query and the body of a call. A body is read as multipart when its Content-Type
// says so, as a URL-encoded form when it says that or nothing. Files of a multipart body are skipped: no SDK signs
// them.
//
// The Form is never nil: with a problem it holds what could be read before it.
func Read(r *http.Request, o Options) (*Form, *Problem) {
	f := &Form{Params: make([]Param, 0, 16), options: o.orDefaults()}
	scratch := scratchPool.Get().(*bytes.Buffer)
	defer putScratch(scratch)
	return f, f.read(r, scratch)
}

// ReadText reads parameters from a URL-encoded text.
func ReadText(text string, o Options) (*Form, *Problem) {
	f := &Form{options: o.orDefaults()}
	if len(text) > f.options.Bytes {
		return f, TooLarge
	}
	return f, f.pairs([]byte(text), false)
}

// scratchPool keeps the buffers that bodies are read into; nothing of a Form points into them.
var scratchPool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func putScratch(b *bytes.Buffer) {
	if b.Cap() <= 64<<10 { // one large body must not stay in memory for ever
		b.Reset()
		scratchPool.Put(b)
	}
}

// read parses query and body, in this order, and stops at the first problem.
func (f *Form) read(r *http.Request, scratch *bytes.Buffer) *Problem {
	query := r.URL.RawQuery
	scratch.WriteString(query)
	f.arena.Grow(len(query))
	bad := f.pairs(scratch.Bytes(), true)
	if len(query) > f.options.Bytes {
		return TooLarge // it was read all the same, for the answer to have the method and the format of the call
	}
	if bad != nil {
		return bad
	}
	scratch.Reset()
	if bad := readBody(r, scratch, f.options.Bytes); bad != nil || scratch.Len() == 0 {
		return bad
	}
	contentType := r.Header.Get("Content-Type")
	kind := mediaType(contentType)
	switch {
	case f.options.RawBody:
	case kind == "" || kind == "application/x-www-form-urlencoded":
		f.arena.Grow(scratch.Len())
		return f.pairs(scratch.Bytes(), false)
	case kind == "multipart/form-data":
		return f.multipart(scratch.Bytes(), contentType)
	}
	f.Body = scratch.String()
	return nil
}

func readBody(r *http.Request, into *bytes.Buffer, maxBytes int) *Problem {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	if r.ContentLength > int64(maxBytes) {
		return TooLarge
	}
	n, err := into.ReadFrom(io.LimitReader(r.Body, int64(maxBytes)+1))
	switch {
	case errors.Is(err, ErrBusy):
		return Busy
	case errors.Is(err, ErrSlow):
		return Slow
	case err != nil:
		return &Problem{Text: "读取请求失败"}
	}
	if n > int64(maxBytes) {
		return TooLarge
	}
	return nil
}

// mediaType returns the type in a Content-Type, in lower case, without its parameters. It forgives parameters that
// mime.ParseMediaType refuses.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// pairs parses name=value pairs joined by "&". A semicolon is data: JSON in a value may hold one unescaped.
func (f *Form) pairs(text []byte, inQuery bool) *Problem {
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
			return &Problem{Text: "参数的URL编码有误"}
		}
		if bad := f.add(name, value, inQuery); bad != nil {
			return bad
		}
	}
	return nil
}

// unescape copies URL-encoded text into the arena: "+" is a space, %XX a byte.
func (f *Form) unescape(text []byte) (string, bool) {
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

var badMultipart = &Problem{Text: "multipart请求格式有误"}

// multipart adds the text parts of a multipart/form-data body.
func (f *Form) multipart(body []byte, contentType string) *Problem {
	_, attributes, err := mime.ParseMediaType(contentType)
	if err != nil || attributes["boundary"] == "" {
		return &Problem{Text: "multipart请求缺少boundary"}
	}
	if !bytes.Contains(body, []byte("--"+attributes["boundary"]+"--")) {
		return badMultipart // the reader would take a body that is cut behind a boundary for one that ends there
	}
	parts := multipart.NewReader(bytes.NewReader(body), attributes["boundary"])
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
	case len(f.Params) >= f.options.Params:
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
	if name == "" || len(name) > maxNameBytes {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c >= 0x7F || c == '=' || c == '&' {
			return false
		}
	}
	return true
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
