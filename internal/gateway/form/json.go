package form

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
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
// the start is passed over.
func ParseObject(text string) ([]Member, *Problem) {
	s := scanner{text: WithoutBOM(text)}
	list := make([]Member, 0, 8)
	var twice *Problem
	seen := names{}
	err := s.members(func(name string) error {
		if !seen.add(name, list) {
			twice = &Problem{Name: Cut(name, 64), Text: "重复"}
			return errStop
		}
		kind, text, err := s.value(1)
		list = append(list, Member{name, kind, text})
		return err
	})
	if twice != nil {
		return nil, twice
	}
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, &Problem{Text: err.Error()}
	}
	return list, nil
}

// Elements reads a JSON array and gives each of its values to take, as Member has them, until take returns false.
func Elements(text string, take func(kind Kind, text string) bool) *Problem {
	s := scanner{text: text}
	err := s.elements(func() error {
		kind, text, err := s.value(1)
		if err == nil && !take(kind, text) {
			return errStop
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err != nil && err != errStop {
		return &Problem{Text: err.Error()}
	}
	return nil
}

// errStop ends a scan whose problem is recorded elsewhere.
var errStop = errors.New("stop")

// names finds a name that comes twice: by looking through the members while they are few, as in every honest call,
// by a map when they are many.
type names map[string]struct{}

const fewMembers = 16

func (n names) add(name string, members []Member) bool {
	if len(members) < fewMembers {
		for i := range members {
			if members[i].Name == name {
				return false
			}
		}
		return true
	}
	if len(n) == 0 {
		for i := range members {
			n[members[i].Name] = struct{}{}
		}
	}
	if _, twice := n[name]; twice {
		return false
	}
	n[name] = struct{}{}
	return true
}

// maxDepth bounds nesting.
const maxDepth = 32

// scanner reads strict JSON. It exists because encoding/json takes the last of two equal names, replaces broken
// characters, and matches names in any letter case.
type scanner struct {
	text string
	at   int
}

func (s *scanner) fail(what string) error {
	return fmt.Errorf("第%d字节处%s", s.at, what)
}

// end says that nothing but white space follows.
func (s *scanner) end() error {
	if s.space(); s.at < len(s.text) {
		return s.fail("有多余内容")
	}
	return nil
}

func (s *scanner) space() {
	for s.at < len(s.text) && strings.IndexByte(" \t\n\r", s.text[s.at]) >= 0 {
		s.at++
	}
}

// peek is the next byte after white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// take skips one expected byte.
func (s *scanner) take(c byte) error {
	if s.peek() != c {
		return s.fail("应为" + strconv.QuoteRune(rune(c)))
	}
	s.at++
	return nil
}

// members reads an object and calls each with every member's name, at its value.
func (s *scanner) members(each func(name string) error) error {
	if err := s.take('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.at++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.fail("应为参数名")
		}
		name, err := s.string()
		if err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		if err := each(name); err != nil {
			return err
		}
		if s.peek() != ',' {
			return s.take('}')
		}
		s.at++
	}
}

// elements reads an array and calls each at every value.
func (s *scanner) elements(each func() error) error {
	if err := s.take('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if s.peek() != ',' {
			return s.take(']')
		}
		s.at++
	}
}

// value reads any value. For a string it returns the decoded text, else the source.
func (s *scanner) value(depth int) (Kind, string, error) {
	if depth > maxDepth {
		return 0, "", s.fail("嵌套过深")
	}
	c := s.peek()
	start := s.at
	var k Kind
	var err error
	switch {
	case c == '"':
		text, err := s.string()
		return String, text, err
	case c == '{':
		k = Object
		err = s.members(func(string) error { _, _, err := s.value(depth + 1); return err })
	case c == '[':
		k = Array
		err = s.elements(func() error { _, _, err := s.value(depth + 1); return err })
	case c == '-' || '0' <= c && c <= '9':
		k = Number
		err = s.number()
	default:
		k, err = s.literal()
	}
	return k, s.text[start:s.at], err
}

func (s *scanner) literal() (Kind, error) {
	for _, l := range []struct {
		text string
		kind Kind
	}{{"true", Bool}, {"false", Bool}, {"null", Null}} {
		if strings.HasPrefix(s.text[s.at:], l.text) {
			s.at += len(l.text)
			return l.kind, nil
		}
	}
	return 0, s.fail("不是合法的值")
}

// number reads -?int(.digits)?([eE][+-]?digits)?, no leading zeros.
func (s *scanner) number() error {
	s.skip("-")
	if !s.skip("0") && s.digits() == 0 {
		return s.fail("数字格式有误")
	}
	if s.skip(".") && s.digits() == 0 {
		return s.fail("数字格式有误")
	}
	if s.skip("eE") {
		s.skip("+-")
		if s.digits() == 0 {
			return s.fail("数字格式有误")
		}
	}
	return nil
}

// skip passes one byte if it is in set.
func (s *scanner) skip(set string) bool {
	if s.at < len(s.text) && strings.IndexByte(set, s.text[s.at]) >= 0 {
		s.at++
		return true
	}
	return false
}

func (s *scanner) digits() (count int) {
	for s.skip("0123456789") {
		count++
	}
	return count
}

// string reads a string at its opening quote. Without an escape it is a part of the
// source and costs nothing.
func (s *scanner) string() (string, error) {
	s.at++
	start := s.at
	var decoded []byte // nil until the first escape
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			text := s.text[start:s.at]
			if decoded != nil {
				text = string(append(decoded, text...))
			}
			s.at++
			if !utf8.ValidString(text) {
				return "", s.fail("字符编码有误")
			}
			return text, nil
		case c == '\\':
			decoded = append(decoded, s.text[start:s.at]...)
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			decoded = utf8.AppendRune(decoded, r)
			start = s.at
		case c < ' ':
			return "", s.fail("字符串含有控制字符")
		default:
			s.at++
		}
	}
	return "", s.fail("字符串未结束")
}

// escape reads one escape at its backslash, a surrogate pair as one.
func (s *scanner) escape() (rune, error) {
	if s.at+1 >= len(s.text) {
		return 0, s.fail("字符串未结束")
	}
	c := s.text[s.at+1]
	if c != 'u' {
		i := strings.IndexByte(`"\/bfnrt`, c)
		if i < 0 {
			return 0, s.fail("转义有误")
		}
		s.at += 2
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	r, err := s.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if !strings.HasPrefix(s.text[s.at:], `\u`) {
		return 0, s.fail("转义有误")
	}
	low, err := s.hex4()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, s.fail("转义有误")
	}
	return r, nil
}

// hex4 reads \uXXXX.
func (s *scanner) hex4() (rune, error) {
	if s.at+6 > len(s.text) {
		return 0, s.fail("转义有误")
	}
	var r rune
	for _, c := range []byte(s.text[s.at+2 : s.at+6]) {
		digit := unhex(c)
		if digit < 0 {
			return 0, s.fail("转义有误")
		}
		r = r<<4 | rune(digit)
	}
	s.at += 6
	return r, nil
}
