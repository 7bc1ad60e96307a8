package wire

import (
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

// Answer is the answer to one call, written member by member as the bytes that are sent: a method says once what it
// answers, and the three shapes follow.
//
//	member       JSON                                  simplified            XML
//	Object       "x":{…}                               the same              <x>…</x>
//	Objects      "x":{"item":[{…},{…}]}                "x":[{…},{…}]         <x><item>…</item><item>…</item></x>
//	Texts        "x":{"string":["a","b"]}              "x":["a","b"]         <x><string>a</string>…</x>
//	Ints         "x":{"number":[1,2]}                  "x":[1,2]             <x><number>1</number>…</x>
//	Bools        "x":{"boolean":[true]}                "x":[true]            <x><boolean>true</boolean></x>
//	Times        "x":{"date":["2026-11-22 10:00:00"]}  "x":["2026-11-22 …"]  <x><date>2026-11-22 10:00:00</date></x>
//
// What is absent is not written at all: the SDKs take an absent member for null, and that for .NET throws on an empty
// element where it expects a number. So an empty list writes nothing; for anything else the method does not call.
// Numbers are bare and exact; an amount is a Text.
//
// The members go into a root named after the method, with request_id behind them; the simplified shape has no root.
type Answer struct {
	format    Format
	requestID string
	method    string // names the root
	buf       []byte
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
	a.int("code", int64(e.Code))
	a.text("msg", e.Msg)
	if e.SubCode != "" {
		a.text("sub_code", e.SubCode)
	}
	if e.SubMsg != "" {
		a.text("sub_msg", e.SubMsg)
	}
	return a
}

func begin(f Format, method, requestID string) *Answer {
	a := answerPool.Get().(*Answer)
	*a = Answer{format: f, requestID: requestID, method: method, buf: a.buf[:0]}
	switch f {
	case XML:
		a.buf = append(a.buf, `<?xml version="1.0" encoding="utf-8" ?><`...)
		a.buf = append(appendRoot(a.buf, method), '>')
	case JSON:
		a.buf = append(appendRoot(append(a.buf, `{"`...), method), `":{`...)
	default:
		a.buf = append(a.buf, '{')
	}
	return a
}

// Body finishes the answer and gives its bytes, which are good until Release. Nothing can be added afterwards.
func (a *Answer) Body() []byte {
	if a.finished {
		return a.buf
	}
	a.text("request_id", a.requestID)
	a.finished = true
	switch a.format {
	case XML:
		a.buf = append(appendRoot(append(a.buf, "</"...), a.method), '>')
	case JSON:
		a.buf = append(a.buf, "}}"...)
	default:
		a.buf = append(a.buf, '}')
	}
	return a.buf
}

// Release makes the answer's buffer available to the next one. Send and SendBatch do it themselves.
func (a *Answer) Release() {
	if cap(a.buf) <= 64<<10 {
		answerPool.Put(a)
	}
}

// Text adds a string, an empty one too.
func (a *Answer) Text(name, value string) {
	a.guard(name)
	a.text(name, value)
}

// TextIfAny adds a string unless it is empty.
func (a *Answer) TextIfAny(name, value string) {
	if value != "" {
		a.Text(name, value)
	}
}

// Int adds a bare number.
func (a *Answer) Int(name string, value int64) {
	a.guard(name)
	a.int(name, value)
}

// Bool adds true or false.
func (a *Answer) Bool(name string, value bool) {
	a.guard(name)
	a.open(name)
	a.buf = strconv.AppendBool(a.buf, value)
	a.close(name)
}

// Time adds an instant as yyyy-MM-dd HH:mm:ss at +08:00, nothing for the zero time.
func (a *Answer) Time(name string, at time.Time) {
	if !at.IsZero() {
		a.guard(name)
		a.open(name)
		a.time(at)
		a.close(name)
	}
}

// Object adds an object; write adds its members to the same answer.
func (a *Answer) Object(name string, write func()) {
	a.guard(name)
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

// Ints adds a list of numbers.
func (a *Answer) Ints(name string, values []int64) {
	a.list(name, "number", len(values), func(i int) { a.buf = strconv.AppendInt(a.buf, values[i], 10) })
}

// Bools adds a list of true and false.
func (a *Answer) Bools(name string, values []bool) {
	a.list(name, "boolean", len(values), func(i int) { a.buf = strconv.AppendBool(a.buf, values[i]) })
}

// Times adds a list of instants, as Time does.
func (a *Answer) Times(name string, values []time.Time) {
	a.list(name, "date", len(values), func(i int) { a.time(values[i]) })
}

func (a *Answer) list(name, item string, count int, write func(i int)) {
	if count == 0 {
		return
	}
	a.guard(name)
	a.open(name)
	switch a.format {
	case JSON:
		a.buf = append(append(append(a.buf, `{"`...), item...), `":[`...)
	case SimplifiedJSON:
		a.buf = append(a.buf, '[')
	}
	for i := range count {
		if a.format == XML {
			a.open(item)
		} else {
			a.comma()
		}
		write(i)
		if a.format == XML {
			a.close(item)
		}
	}
	switch a.format {
	case JSON:
		a.buf = append(a.buf, "]}"...)
	case SimplifiedJSON:
		a.buf = append(a.buf, ']')
	}
	a.close(name)
}

func (a *Answer) object(write func()) {
	if a.format != XML {
		a.buf = append(a.buf, '{')
	}
	a.depth++
	write()
	a.depth--
	if a.format != XML {
		a.buf = append(a.buf, '}')
	}
}

func (a *Answer) text(name, value string) {
	a.open(name)
	a.string(value)
	a.close(name)
}

func (a *Answer) int(name string, value int64) {
	a.open(name)
	a.buf = strconv.AppendInt(a.buf, value, 10)
	a.close(name)
}

func (a *Answer) string(value string) {
	if a.format == XML {
		a.buf = appendXML(a.buf, value)
		return
	}
	a.buf = append(appendJSON(append(a.buf, '"'), value), '"')
}

func (a *Answer) time(at time.Time) {
	if a.format == XML {
		a.buf = at.In(beijing).AppendFormat(a.buf, timestampLayout)
		return
	}
	a.buf = append(at.In(beijing).AppendFormat(append(a.buf, '"'), timestampLayout), '"')
}

// open writes what stands before a member's value. Names are the API's own and need no escape.
func (a *Answer) open(name string) {
	if a.format == XML {
		a.buf = append(append(append(a.buf, '<'), name...), '>')
		return
	}
	a.comma()
	a.buf = append(append(append(a.buf, '"'), name...), `":`...)
}

// close writes what stands behind it.
func (a *Answer) close(name string) {
	if a.format == XML {
		a.buf = append(append(append(a.buf, "</"...), name...), '>')
	}
}

// comma separates from what went before, if anything did in this object or list.
func (a *Answer) comma() {
	if last := a.buf[len(a.buf)-1]; last != '{' && last != '[' {
		a.buf = append(a.buf, ',')
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
func RootName(method string) string { return string(appendRoot(nil, method)) }

func appendRoot(dst []byte, method string) []byte {
	start := len(dst)
	dst = append(append(dst, strings.TrimPrefix(method, "taobao.")...), "_response"...)
	for i := start; i < len(dst); i++ {
		if dst[i] == '.' {
			dst[i] = '_'
		}
	}
	return dst
}
