package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"
)

// Call is a call as a client makes it.
type Call struct {
	Method     string
	AppKey     string
	Session    string // "" for none
	Format     Format
	SignMethod SignMethod // "" for md5
	At         time.Time  // goes out as the timestamp
	Params     map[string]string
}

// Form signs the call and returns it as a URL-encoded form, for a query or a body.
func (c *Call) Form(secret string) string {
	params := c.params()
	maps.Copy(params, c.Params)
	return signForm(params, "", secret, cmp.Or(c.SignMethod, MD5))
}

func (c *Call) params() map[string]string {
	params := map[string]string{
		"method": c.Method, "app_key": c.AppKey, "session": c.Session, "v": "2.0", "timestamp": FormatTimestamp(c.At),
		"format": "json",
	}
	switch c.Format {
	case XML:
		params["format"] = "xml"
	case SimplifiedJSON:
		params["simplify"] = "true"
	}
	return params
}

// Batch signs calls as one batch: what they share is in c, whose own Params are not used. Each item is the
// parameters of one call and may have a method and a session of its own. It returns the query and the body, which is
// text/plain.
func (c *Call) Batch(secret string, items []map[string]string) (query, body string) {
	elements := make([]string, 0, len(items)+1)
	if c.Method != "" {
		elements = append(elements, publicPrefix+encode(map[string]string{"method": c.Method}))
	}
	for _, item := range items {
		elements = append(elements, cmp.Or(encode(item), noParams))
	}
	body = strings.Join(elements, Separator)
	params := c.params()
	delete(params, "method")
	return signForm(params, body, secret, cmp.Or(c.SignMethod, MD5)), body
}

// Reply is an answer as a client reads it, out of any of the three shapes.
type Reply struct {
	// Refusal is set when the gateway refused the call.
	Refusal   *Error
	RequestID string
	// Root has the members of a success: a tree of map[string]any, []any and, for everything else, what a JSON
	// decoder gives that leaves numbers as text. XML has texts only, and no lists of one element: see List.
	Root map[string]any
}

// ReadReply reads an answer. The method is that of the call.
func ReadReply(body []byte, f Format, method string) (*Reply, error) {
	root, name, err := readTree(body, f)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if name != "" && name != "error_response" && name != RootName(method) {
		return nil, fmt.Errorf("answer: the root is %s, not %s", name, RootName(method))
	}
	r := &Reply{Root: root, RequestID: textOf(root["request_id"])}
	if name == "error_response" {
		r.Refusal = &Error{Msg: textOf(root["msg"]), SubCode: textOf(root["sub_code"]), SubMsg: textOf(root["sub_msg"])}
		if _, err := fmt.Sscan(textOf(root["code"]), &r.Refusal.Code); err != nil {
			return nil, errors.New("answer: the code is not a number")
		}
		r.Root = nil
	}
	return r, nil
}

// readTree returns the members of the root and its name, "" for the simplified shape.
func readTree(body []byte, f Format) (map[string]any, string, error) {
	if f == XML {
		return readXML(body)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return nil, "", err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, "", errors.New("there is data after the document")
	}
	refused, _ := document["error_response"].(map[string]any)
	switch {
	case refused != nil:
		return refused, "error_response", nil
	case f == SimplifiedJSON:
		return document, "", nil
	}
	for name, node := range document {
		if root, ok := node.(map[string]any); ok && len(document) == 1 {
			return root, name, nil
		}
	}
	return nil, "", errors.New("there is no single root")
}

// element is an XML element as encoding/xml reads it.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

func readXML(body []byte) (map[string]any, string, error) {
	var root element
	if err := xml.Unmarshal(body, &root); err != nil {
		return nil, "", err
	}
	members, ok := root.tree().(map[string]any)
	if !ok {
		return nil, "", errors.New("the root has no members")
	}
	return members, root.XMLName.Local, nil
}

// tree returns the children by name, or the text of an element that has none.
func (e *element) tree() any {
	if len(e.Children) == 0 {
		return e.Text
	}
	children := map[string]any{}
	for _, child := range e.Children {
		addChild(children, child.XMLName.Local, child.tree())
	}
	return children
}

// addChild makes a list of children of one name.
func addChild(children map[string]any, name string, child any) {
	switch before := children[name].(type) {
	case nil:
		children[name] = child
	case []any:
		children[name] = append(before, child)
	default:
		children[name] = []any{before, child}
	}
}

// Text returns the text of a number, a string, or true or false at the end of the path; "" when there is none.
func (r *Reply) Text(path ...string) string { return textOf(r.at(path)) }

// List returns the elements of a list: those named item in the list at the end of the path. Every shape gives the same.
func (r *Reply) List(item string, path ...string) []any {
	node := r.at(path)
	if wrapper, ok := node.(map[string]any); ok { // the simplified shape has none
		node = wrapper[item]
	}
	switch node := node.(type) {
	case nil:
		return nil
	case []any:
		return node
	default:
		return []any{node} // of XML
	}
}

func (r *Reply) at(path []string) any {
	var node any = r.Root
	for _, name := range path {
		members, _ := node.(map[string]any)
		node = members[name]
	}
	return node
}

func textOf(node any) string {
	switch node.(type) {
	case string, json.Number, bool:
		return fmt.Sprint(node)
	}
	return ""
}
