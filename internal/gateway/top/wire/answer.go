package wire

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Format is the shape of an answer.
type Format uint8

// The shapes of the platform.
const (
	XML            Format = iota // what a request gets that asks for nothing
	JSON                         // format=json
	SimplifiedJSON               // format=json, simplify=true
)

// String names the shape in logs and on the command line.
func (f Format) String() string { return [...]string{"xml", "json", "simplified json"}[f] }

// Answer is the answer to one call, written member by member as the bytes that are sent. A method writes it in the
// same way for all three shapes.
//
//	member       JSON                                  simplified            XML
//	Object       "x":{…}                               the same              <x>…</x>
//	Objects      "x":{"item":[{…},{…}]}                "x":[{…},{…}]         <x><item>…</item><item>…</item></x>
//	Texts        "x":{"string":["a","b"]}              "x":["a","b"]         <x><string>a</string>…</x>
//
// What is absent is not written at all: the SDKs take an absent member for null, and that for .NET throws on an empty
// element where it expects a number. So an empty list writes nothing; for anything else the method does not call.
// Numbers are bare and exact; an amount is a Text.
//
// The members go into a root named after the method, with request_id behind them; the simplified shape has no root.
type Answer struct {
	format    Format
	requestID string
	root      string
	buf       bytes.Buffer
	depth     int
	finished  bool
}

var answerPool = sync.Pool{New: func() any { return new(Answer) }}

// Success begins the answer of a call that succeeded. The API's own members follow, then Send or SendBatch.
func Success(f Format, method, requestID string) *Answer {
	return begin(f, method, requestID)
}

// Failure returns the whole answer of a call that is refused. A code stands in every shape under error_response.
func Failure(f Format, e *Error, requestID string) *Answer {
	if f == SimplifiedJSON {
		f = JSON // errors keep their root
	}
	a := begin(f, "error", requestID)
	a.depth++ // its members have the names that no success may have
	a.Int("code", int64(e.Code))
	a.Text("msg", e.Msg)
	a.TextIfAny("sub_code", e.SubCode)
	a.TextIfAny("sub_msg", e.SubMsg)
	return a
}

func begin(f Format, method, requestID string) *Answer {
	a := answerPool.Get().(*Answer)
	*a = Answer{format: f, requestID: requestID, root: RootName(method), buf: a.buf}
	a.buf.Reset()
	switch f {
	case XML:
		a.write(`<?xml version="1.0" encoding="utf-8" ?><`, a.root, ">")
	case JSON:
		a.write(`{"`, a.root, `":{`)
	default:
		a.write("{")
	}
	return a
}

// Body finishes the answer, once, and returns its bytes, which are good until Release.
func (a *Answer) Body() []byte {
	a.depth++ // request_id is ours
	a.Text("request_id", a.requestID)
	a.finished = true
	switch a.format {
	case XML:
		a.write("</", a.root, ">")
	case JSON:
		a.write("}}")
	default:
		a.write("}")
	}
	return a.buf.Bytes()
}

// Release makes the answer's buffer available to the next one. Send and SendBatch do it themselves.
func (a *Answer) Release() {
	if a.buf.Cap() <= 64<<10 {
		answerPool.Put(a)
	}
}

// Text adds a string, an empty one too.
func (a *Answer) Text(name, value string) {
	a.open(name)
	a.string(value)
	a.close(name)
}

// TextIfAny adds a string unless it is empty.
func (a *Answer) TextIfAny(name, value string) {
	if value != "" {
		a.Text(name, value)
	}
}

// Int adds a bare number.
func (a *Answer) Int(name string, value int64) {
	a.open(name)
	a.write(strconv.FormatInt(value, 10))
	a.close(name)
}

// Bool adds true or false.
func (a *Answer) Bool(name string, value bool) {
	a.open(name)
	a.write(strconv.FormatBool(value))
	a.close(name)
}

// Time adds an instant as yyyy-MM-dd HH:mm:ss at +08:00, nothing for the zero time.
func (a *Answer) Time(name string, at time.Time) {
	if !at.IsZero() {
		a.Text(name, FormatTimestamp(at))
	}
}

// Object adds an object; write adds its members to the same answer.
func (a *Answer) Object(name string, write func()) {
	a.open(name)
	a.object(write)
	a.close(name)
}

// Objects adds a list of count objects, each named item; write adds the members of the i-th.
func (a *Answer) Objects(name, item string, count int, write func(i int)) {
	a.list(name, item, count, func(i int) { a.object(func() { write(i) }) })
}

// Texts adds a list of strings.
func (a *Answer) Texts(name string, values []string) {
	a.list(name, "string", len(values), func(i int) { a.string(values[i]) })
}

func (a *Answer) list(name, item string, count int, write func(i int)) {
	if count == 0 {
		return
	}
	a.open(name)
	a.depth++
	switch a.format {
	case JSON:
		a.write(`{"`, item, `":[`)
	case SimplifiedJSON:
		a.write("[")
	}
	for i := range count {
		if a.format == XML {
			a.open(item)
			write(i)
			a.close(item)
		} else {
			a.comma()
			write(i)
		}
	}
	switch a.format {
	case JSON:
		a.write("]}")
	case SimplifiedJSON:
		a.write("]")
	}
	a.depth--
	a.close(name)
}

func (a *Answer) object(write func()) {
	if a.format != XML {
		a.write("{")
	}
	a.depth++
	write()
	a.depth--
	if a.format != XML {
		a.write("}")
	}
}

// string adds a text. What is not valid UTF-8 becomes U+FFFD, one byte at a time.
func (a *Answer) string(text string) {
	text = strings.Map(func(r rune) rune { return r }, text)
	if a.format == XML {
		_, _ = xmlEscapes.WriteString(&a.buf, text) // a bytes.Buffer takes everything
		return
	}
	a.write(`"`)
	_, _ = jsonEscapes.WriteString(&a.buf, text)
	a.write(`"`)
}

func (a *Answer) write(parts ...string) {
	for _, part := range parts {
		a.buf.WriteString(part)
	}
}

// open writes what stands before a member's value. Names are the API's own and need no escape.
func (a *Answer) open(name string) {
	a.guard(name)
	if a.format == XML {
		a.write("<", name, ">")
		return
	}
	a.comma()
	a.write(`"`, name, `":`)
}

// close writes what stands behind it.
func (a *Answer) close(name string) {
	if a.format == XML {
		a.write("</", name, ">")
	}
}

// comma separates from what went before, if anything did in this object or list.
func (a *Answer) comma() {
	written := a.buf.Bytes()
	if last := written[len(written)-1]; last != '{' && last != '[' {
		a.write(",")
	}
}

// guard panics where an answer would be read as a failure: the SDKs for Java and .NET take any of these names at
// the top of an answer for one, and request_id is ours.
func (a *Answer) guard(name string) {
	if a.finished {
		panic("wire: " + name + " is added to a finished answer")
	}
	if a.depth > 0 {
		return
	}
	switch name {
	case "code", "msg", "sub_code", "sub_msg", "flag", "error_response", "request_id":
		panic("wire: a success cannot have " + name + " at its top")
	}
}

// RootName returns the name of an answer's root: the method with underscores for dots, without a leading "taobao.", and
// "_response".
func RootName(method string) string {
	return strings.ReplaceAll(strings.TrimPrefix(method, "taobao."), ".", "_") + "_response"
}
