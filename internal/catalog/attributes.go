package catalog

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxDepth is the maximum nesting of attributes.
const maxDepth = 8

// attributes reads the attributes of a user, which rules may read, into canonical JSON: names sorted, no white space.
// Attributes have no declared type, so only here YAML decides what is a number, true, false or null. It returns nil when
// there are none.
func (p *parser) attributes(n *yaml.Node, what string) []byte {
	if n.Kind != yaml.MappingNode {
		p.object(n, what) // reports why not
		return nil
	}
	if len(n.Content) == 0 {
		return nil
	}
	v, ok := p.attribute(n, what, maxDepth)
	if !ok {
		return nil
	}
	body, _ := json.Marshal(v) // no value of an attribute is without JSON
	if len(body) > maxAttribute {
		p.report(n.Line, "%s: has %d bytes as JSON, at most %d are allowed", what, len(body), maxAttribute)
	}
	return body
}

func (p *parser) attribute(n *yaml.Node, what string, depth int) (v any, ok bool) {
	if !p.ordinary(n, what) {
		return nil, false
	}
	if depth == 0 {
		p.report(n.Line, "%s: is nested more than %d levels deep", what, maxDepth)
		return nil, false
	}
	switch n.Kind {
	case yaml.MappingNode:
		o := p.object(n, what)
		m := make(map[string]any, len(o.keys))
		for _, key := range o.keys {
			if m[key.Value], ok = p.attribute(o.nodes[key.Value], what+"."+clip(key.Value), depth-1); !ok {
				return nil, false
			}
		}
		return m, true
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for k, element := range n.Content {
			if list[k], ok = p.attribute(element, what, depth-1); !ok {
				return nil, false
			}
		}
		return list, true
	}
	v, err := attributeScalar(n)
	if err != nil {
		p.report(n.Line, "%s: %v", what, err)
		return nil, false
	}
	return v, true
}

func attributeScalar(n *yaml.Node) (any, error) {
	switch n.Tag {
	case "!!null":
		return nil, nil
	case "!!bool":
		var v bool
		err := n.Decode(&v)
		return v, err
	case "!!int", "!!float":
		return jsonNumber(n)
	}
	return text(maxAttribute)(n.Value) // also what YAML takes for a time
}

// jsonNumber returns whole numbers exactly, and other numbers as the nearest float.
func jsonNumber(n *yaml.Node) (any, error) {
	if v, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
		return v, nil
	}
	var v float64
	if err := n.Decode(&v); err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return nil, errors.New("is not a number that JSON can represent; quote it to make it text")
	}
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return int64(v), nil // also takes the sign off a zero
	}
	return v, nil
}
