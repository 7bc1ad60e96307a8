package wire

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"faquan/internal/gateway/form"
)

// Node is the JSON object that answers a call, written member by member as the bytes that are signed and sent.
//
// SDKs find the signed bytes by searching the whole text for the root name, for "sign" and for "alipay_cert_sn". A
// value that held one of these would move their cut, and a good answer would fail. So inside the node
//
//   - sign or alipay_cert_sn as a whole name or value, or at its end after a quote,
//     has its first letter written as \uXXXX (elsewhere the quote behind it is
//     written \", which no SDK searches for);
//   - the "r" of every "_response" is written as \u0072, which covers the root name of
//     every method and error_response.
//
// A JSON parser reads the same text either way. Only codes of digits are used, because Java SDKs decode the letters of
// \uXXXX wrongly: \u005f reads as K. The exception is a character of the caller that GBK, GB2312 or GB18030 cannot
// carry: see appendRune.
//
// Slashes and & < > are written as they are (see Failure for those of a sub_msg): only the Java and PHP SDKs can undo
// an escaped slash before they verify. What is not valid UTF-8, and a control character that form.ControlEscape cannot
// write, becomes U+FFFD, or ? where the charset has no such character.
type Node struct {
	charset Charset
	buf     []byte
}

// NewNode starts an empty object in the charset of the answer.
func NewNode(cs Charset) *Node {
	return &Node{charset: cs, buf: append(make([]byte, 0, 256), '{')}
}

// Success writes the members that every success has; the API's own follow.
func (n *Node) Success() {
	n.Text("code", "10000")
	n.Text("msg", "Success")
}

// Failure writes a whole failure. The sub_msg may hold text of the caller, such as the name of a parameter, and the
// type of the answer is text/html: so it is escaped as HTML, as the platform's own is. \u003c would do for a browser,
// but Java SDKs misread it. For the same reason it is in ASCII when the charset of the request is unknown.
func (n *Node) Failure(e *Error) {
	text := e.SubMsg
	if n.charset == escaped {
		text = e.ascii()
	}
	n.Text("code", e.Code)
	n.Text("msg", e.Msg)
	n.Text("sub_code", e.SubCode)
	n.Text("sub_msg", htmlEscaper.Replace(text)) //guard:internal/gateway/alipay.TestNoHTMLInAnswers without htmlEscaper.Replace
}

// Text adds a string. Amounts go out as strings too, in yuan with two decimals.
func (n *Node) Text(name, value string) {
	if len(n.buf) > len("{") {
		n.buf = append(n.buf, ',')
	}
	n.string(name)
	n.buf = append(n.buf, ':')
	n.string(value)
}

// TextIfAny adds a string unless it is empty.
func (n *Node) TextIfAny(name, value string) {
	if value != "" {
		n.Text(name, value)
	}
}

// string writes a JSON string under the rules of Node.
func (n *Node) string(s string) {
	n.buf = append(n.buf, '"')
	for i, r := range s {
		switch {
		case r < ' ':
			if escape := form.ControlEscape(r); escape != "" {
				n.buf = append(n.buf, escape...)
			} else {
				n.rune(utf8.RuneError)
			}
		case isCutWord(s, i):
			n.buf = appendEscape(n.buf, r)
		case r == '"' || r == '\\':
			n.buf = append(n.buf, '\\', byte(r))
		case r < utf8.RuneSelf:
			n.buf = append(n.buf, byte(r))
		default:
			n.rune(r)
		}
	}
	n.buf = append(n.buf, '"')
}

// isCutWord reports whether s[i] has to be escaped because it is the first letter of a word that SDKs search for in
// quotes, or of the end of a root name.
func isCutWord(s string, i int) bool {
	switch s[i] {
	case 's', 'a':
		return (s[i:] == "sign" || s[i:] == "alipay_cert_sn") && (i == 0 || s[i-1] == '"')
	case 'r':
		return i > 0 && strings.HasPrefix(s[i-1:], "_response")
	}
	return false
}

func (n *Node) rune(r rune) {
	var ok bool
	if n.buf, ok = n.charset.appendRune(n.buf, r); !ok {
		n.buf = appendEscape(n.buf, r)
	}
}

// appendEscape writes \uXXXX, twice (a surrogate pair) above the basic plane.
func appendEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	if r > 0xFFFF {
		r -= 0x10000
		dst = appendEscape(dst, 0xD800+r>>10)
		r = 0xDC00 + r&0x3FF
	}
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// Seal signs the node and builds the whole body of the answer. The node must not be used afterwards.
func Seal(method string, n *Node, t SignType, s Signer) ([]byte, error) {
	node := append(n.buf, '}')
	sign, err := s.Sign(t, node)
	if err != nil {
		return nil, fmt.Errorf("sign answer: %w", err)
	}
	root := RootName(method)
	body := make([]byte, 0, len(root)+len(node)+len(sign)+16)
	body = append(append(append(body, `{"`...), root...), `":`...)
	body = append(body, node...)
	body = append(append(append(body, `,"sign":"`...), sign...), `"}`...)
	return body, nil
}

// RootName returns the name of the answer's node: the method with underscores for dots, and "_response". It is
// "error_response", the old form, for a method that is no legal name, so that arbitrary text cannot be echoed as a
// name; most SDKs read it, but gopay and Node do not, so a legal method that does not exist keeps its own.
func RootName(method string) string {
	if len(method) > 128 || !methodName.MatchString(method) {
		return "error_response"
	}
	return strings.ReplaceAll(method, ".", "_") + "_response"
}

var methodName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$`)

// Send writes the body. The status is always 200, since the Node, PHP, Python and gopay SDKs reject every other. The
// type is text/html, as that of the real gateway; the policy beside it keeps a browser from running anything in it.
// traceID goes into the header that the Java and Node SDKs show to their callers.
func Send(w http.ResponseWriter, cs Charset, body []byte, traceID string) error {
	h := w.Header()
	h.Set("Content-Type", "text/html;charset="+cs.String())
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff") // so that no page can load it as a script
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("trace_id", traceID)
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body)
	return err
}
