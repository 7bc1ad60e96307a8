package wire

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
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
	for name, value := range c.Params {
		params[name] = value
	}
	return signForm(params, "", secret, c.signMethod())
}

func (c *Call) signMethod() SignMethod {
	if c.SignMethod == "" {
		return MD5
	}
	return c.SignMethod
}

func (c *Call) params() map[string]string {
	params := map[string]string{
		"method": c.Method, "app_key": c.AppKey, "session": c.Session, "v": "2.0", "timestamp": FormatTimestamp(c.At),
	}
	switch c.Format {
	case XML:
		params["format"] = "xml"
	case SimplifiedJSON:
		params["simplify"] = "true"
		fallthrough
	default:
		params["format"] = "json"
	}
	return params
}

// Batch signs calls as one batch: what they share is in c, whose own Params are not used. Each item is the
// parameters of one call and may have a method and a session of its own. It returns the query and the body, which is
// text/plain.
func (c *Call) Batch(secret string, items []map[string]string) (query, body string) {
	elements := make([]string, 0, len(items)+1)
	if c.Method != "" {
		elements = append(elements, publicPrefix+url.Values{"method": {c.Method}}.Encode())
	}
	for _, item := range items {
		values := url.Values{}
		for name, value := range item {
			values.Set(name, value)
		}
		text := values.Encode()
		if text == "" {
			text = noParams
		}
		elements = append(elements, text)
	}
	body = strings.Join(elements, Separator)
	params := c.params()
	delete(params, "method")
	return signForm(params, body, secret, c.signMethod()), body
}

// Reply is an answer as a client reads it, out of any of the three shapes.
type Reply struct {
	// Refusal is set when the gateway refused the call.
	Refusal   *Error
	RequestID string
	// Root has the members of a success: a tree of map[string]any, []any and, for everything else, what a JSON
	// decoder gives that leaves numbers as text. XML has texts only, and knows no list of one element: see List.
	Root map[string]any

	format Format
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
	r := &Reply{Root: root, format: f, RequestID: textOf(root["request_id"])}
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

func readXML(body []byte) (map[string]any, string, error) {
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil, "", err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		node, err := readElement(decoder)
		if err != nil {
			return nil, "", err
		}
		root, ok := node.(map[string]any)
		if !ok {
			return nil, "", errors.New("the root has no members")
		}
		return root, start.Name.Local, nil
	}
}

// readElement reads behind a start tag up to the end tag: a string, or the children by name.
func readElement(decoder *xml.Decoder) (any, error) {
	var text strings.Builder
	var children map[string]any
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.CharData:
			text.Write(token)
		case xml.StartElement:
			child, err := readElement(decoder)
			if err != nil {
				return nil, err
			}
			if children == nil {
				children = map[string]any{}
			}
			addChild(children, token.Name.Local, child)
		case xml.EndElement:
			if children != nil {
				return children, nil
			}
			return text.String(), nil
		}
	}
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
	if r.format != SimplifiedJSON {
		wrapper, _ := node.(map[string]any)
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
	switch node := node.(type) {
	case string:
		return node
	case json.Number:
		return node.String()
	case bool:
		return fmt.Sprint(node)
	}
	return ""
}
