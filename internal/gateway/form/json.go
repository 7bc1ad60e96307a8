package form

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind is the JSON type of a value.
type Kind byte

// The JSON types.
const (
	String Kind = iota
	Number
	Bool
	Null
	Object
	Array
)

// Member is one member of an object: of a string Text is the decoded text, of anything else the source text, so
// that no number passes through a float.
type Member struct {
	Name string
	Kind Kind
	Text string
}

// ParseObject reads a JSON object strictly (RFC 8259): nothing after it, no name twice, no broken characters, at most
// 32 levels. What is inside a nested object or array is read by ParseObject or Elements in its turn. A byte order mark at
// the start is passed over. A name that comes twice is reported only of an object without other problems.
func ParseObject(text string) ([]Member, *Problem) {
	r := newReader(WithoutBOM(text))
	defer r.release()
	if bad := r.begin('{'); bad != nil {
		return nil, bad
	}
	list := make([]Member, 0, 8)
	for r.PeekKind() != '}' {
		_, name, bad := r.value("格式有误")
		if bad != nil {
			return nil, bad
		}
		kind, text, bad := r.value("不是合法的值")
		if bad != nil {
			return nil, bad
		}
		list = append(list, Member{name, kind, text})
	}
	if bad := r.end(); bad != nil {
		return nil, bad
	}
	names := make([]string, len(list)) // sorted: a map would take longer for the few names of an honest call
	for i, m := range list {
		names[i] = m.Name
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return nil, &Problem{Name: Cut(names[i], 64), Text: "重复"}
		}
	}
	return list, nil
}

// Elements reads a JSON array and gives each of its values to take, as Member has them, until take returns false.
func Elements(text string, take func(kind Kind, text string) bool) *Problem {
	r := newReader(text)
	defer r.release()
	if bad := r.begin('['); bad != nil {
		return bad
	}
	for r.PeekKind() != ']' {
		kind, text, bad := r.value("不是合法的值")
		if bad != nil {
			return bad
		}
		if !take(kind, text) {
			return nil
		}
	}
	return r.end()
}

// maxDepth bounds nesting.
const maxDepth = 32

// reader reads the values of one object or array. jsontext holds the text to the grammar; what is returned is cut out of
// the text, so that nothing is copied and numbers stay as they were written.
type reader struct {
	jsontext.Decoder
	source strings.Reader
	text   string
}

// readers keeps decoders with their buffers.
var readers = sync.Pool{New: func() any { return new(reader) }}

// newReader leaves duplicates to ParseObject, because it names what is twice, and because what is inside a value that
// nobody asks for does not matter.
func newReader(text string) *reader {
	r := readers.Get().(*reader)
	r.text = text
	r.source.Reset(text)
	r.Reset(&r.source, jsontext.AllowDuplicateNames(true))
	return r
}

func (r *reader) release() {
	if len(r.text) <= 64<<10 { // the buffer of one large text must not stay in memory
		r.text = ""
		r.source.Reset("")
		readers.Put(r)
	}
}

// begin reads the bracket that opens the object or array.
func (r *reader) begin(bracket jsontext.Kind) *Problem {
	if r.PeekKind() != bracket {
		return problemAt(r.next(space), "应为"+strconv.QuoteRune(rune(bracket)))
	}
	_, err := r.ReadToken()
	return syntaxProblem(err, "格式有误")
}

// end reads the bracket that closes it. Nothing but white space may follow.
func (r *reader) end() *Problem {
	if _, err := r.ReadToken(); err != nil {
		return syntaxProblem(err, "格式有误")
	}
	if at := r.next(space); at < len(r.text) {
		return problemAt(at, "有多余内容")
	}
	return nil
}

// value reads a value, or the name of a member. For a string it returns the decoded text, else the source. wrong is the
// text of the problem when there is none.
func (r *reader) value(wrong string) (Kind, string, *Problem) {
	kind, start, outside := r.PeekKind(), r.next(space+",:"), r.StackDepth()
	for {
		if r.StackDepth()-outside == maxDepth && r.PeekKind() != '}' && r.PeekKind() != ']' {
			return 0, "", problemAt(r.next(space+",:"), "嵌套过深")
		}
		if _, err := r.ReadToken(); err != nil {
			return 0, "", syntaxProblem(err, wrong)
		}
		if r.StackDepth() == outside {
			break
		}
	}
	text := r.text[start:r.InputOffset()]
	if kind != '"' {
		return kinds[kind], text, nil
	}
	if !strings.Contains(text, `\`) {
		return String, text[1 : len(text)-1], nil
	}
	decoded, err := jsontext.AppendUnquote(nil, text)
	return String, string(decoded), syntaxProblem(err, wrong)
}

// kinds are those of jsontext, which are the bytes that a value begins with; 0 begins every number.
var kinds = [...]Kind{'0': Number, 't': Bool, 'f': Bool, 'n': Null, '{': Object, '[': Array}

const space = " \t\r\n"

// next returns the offset behind what was read and behind the characters of skip.
func (r *reader) next(skip string) int {
	return len(r.text) - len(strings.TrimLeft(r.text[r.InputOffset():], skip))
}

func problemAt(offset int, what string) *Problem {
	return &Problem{Text: fmt.Sprintf("第%d字节处%s", offset, what)}
}

// syntaxProblem returns what is wrong where jsontext met an error, and nil if there is none.
func syntaxProblem(err error, what string) *Problem {
	if err == nil {
		return nil
	}
	var at int64
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at = e.ByteOffset
	}
	return problemAt(int(at), what)
}
