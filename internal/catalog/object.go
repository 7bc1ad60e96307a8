package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// object is a YAML mapping that is being read. It remembers which fields were read, so that done can refuse the rest: the
// code that reads a file is then the only list of its fields.
type object struct {
	sourcePos
	p     *parser
	what  string // for messages: `template "cinema-20"`
	nodes map[string]*yaml.Node
	keys  []*yaml.Node // in file order
	asked []string
}

// sourcePos is the position of an entity and of its fields in the file. It outlives the nodes, which take more memory.
type sourcePos struct {
	line   int
	fields map[string]int
}

// lineOf returns the line of a field's value, or that of the entity when the file leaves the field out.
func (p sourcePos) lineOf(field string) int { return cmp.Or(p.fields[field], p.line) }

// has reports whether the file states the field.
func (p sourcePos) has(field string) bool { return p.fields[field] != 0 }

// object reads a mapping; it reports a problem and returns nil when the node is not a mapping.
func (p *parser) object(n *yaml.Node, what string) *object {
	if !p.ordinary(n, what) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		p.report(n.Line, "%s: must be a mapping (name: value)", what)
		return nil
	}
	o := &object{sourcePos: sourcePos{n.Line, map[string]int{}}, p: p, what: what, nodes: map[string]*yaml.Node{}}
	for k := 0; k+1 < len(n.Content); k += 2 {
		key, value := n.Content[k], n.Content[k+1]
		if !p.ordinary(key, what) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			p.report(key.Line, "%s: a field name must be plain text", what)
			continue
		}
		if _, twice := o.nodes[key.Value]; twice {
			p.report(key.Line, "%s: %s is given twice", what, key.Value)
			continue
		}
		o.nodes[key.Value], o.fields[key.Value] = value, value.Line
		o.keys = append(o.keys, key)
	}
	return o
}

// ordinary refuses the parts of YAML that this format does not use, because they hide what they mean.
func (p *parser) ordinary(n *yaml.Node, what string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		p.report(n.Line, "%s: anchors and aliases are not supported", what)
	case n.Style&yaml.TaggedStyle != 0:
		p.report(n.Line, "%s: tags are not supported", what)
	default:
		return true
	}
	return false
}

// take returns the node of a field, nil when it is left out.
func (o *object) take(field string) *yaml.Node {
	o.asked = append(o.asked, field)
	return o.nodes[field]
}

// empty reports whether a field is an empty list. A list whose elements were all refused is not empty.
func (o *object) empty(field string) bool {
	n := o.nodes[field]
	return n != nil && n.Kind == yaml.SequenceNode && len(n.Content) == 0
}

func (o *object) report(field, format string, args ...any) {
	o.p.report(o.lineOf(field), "%s: %s: %s", o.what, field, fmt.Sprintf(format, args...))
}

// require reports a problem for each field that is left out.
func (o *object) require(fields ...string) {
	for _, f := range fields {
		if !o.has(f) {
			o.p.report(o.line, "%s: %s is missing", o.what, f)
		}
	}
}

// unsupported refuses a field that is documented, but not supported by this version.
func (o *object) unsupported(reason string, fields ...string) {
	for _, f := range fields {
		if n := o.take(f); n != nil {
			o.report(f, "not supported yet: %s", reason)
		}
	}
}

// done refuses the fields that were not read.
func (o *object) done() {
	for _, key := range o.keys {
		if !slices.Contains(o.asked, key.Value) {
			o.p.report(key.Line, "%s: unknown field %q (known: %s)", o.what, clip(key.Value), strings.Join(o.asked, ", "))
		}
	}
}

// elements returns the elements of a list. A list that is left out has none.
func (o *object) elements(field string) []*yaml.Node {
	n := o.take(field)
	if n == nil || !o.p.ordinary(n, o.what+": "+field) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		o.report(field, "must be a list")
		return nil
	}
	return n.Content
}

// object reads a field that is a mapping; nil when it is left out or wrong.
func (o *object) object(field string) *object {
	n := o.take(field)
	if n == nil {
		return nil
	}
	return o.p.object(n, o.what+": "+field)
}

// nested calls read for a field that is a mapping, unless it is left out or wrong.
func (o *object) nested(field string, read func(inner *object)) {
	if inner := o.object(field); inner != nil {
		read(inner)
		inner.done()
	}
}

// scalar reads a field with read, from the text as it was written. It returns the zero value for a field that is left out
// or wrong; has distinguishes the first, and the problems have the second.
func scalar[T any](o *object, field string, read func(text string) (T, error)) T {
	n := o.take(field)
	if n == nil {
		var none T
		return none
	}
	v, _ := scalarNode(o.p, n, o.what+": "+field, read)
	return v
}

// scalars reads a field that is a list of scalars.
func scalars[T any](o *object, field string, read func(text string) (T, error)) []T {
	var all []T
	for _, n := range o.elements(field) {
		if v, ok := scalarNode(o.p, n, o.what+": "+field, read); ok {
			all = append(all, v)
		}
	}
	return all
}

// scalarNode reads one scalar; it reports a problem and returns false when the node is not a scalar or read refuses it.
func scalarNode[T any](p *parser, n *yaml.Node, what string, read func(text string) (T, error)) (v T, ok bool) {
	if !p.ordinary(n, what) {
		return v, false
	}
	if n.Kind != yaml.ScalarNode {
		p.report(n.Line, "%s: must be a single value", what)
		return v, false
	}
	if n.Value == "" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
		p.report(n.Line, "%s: has no value; leave the field out instead", what)
		return v, false
	}
	v, err := read(n.Value)
	if err != nil {
		p.report(n.Line, "%s: %v", what, err)
		return v, false
	}
	return v, true
}
