package catalog

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Action is the action of a plan on an entity.
type Action string

// The actions.
const (
	Added   Action = "added"
	Changed Action = "changed"
)

// Plan lists what applying a file does, entity by entity in the order of the file. It has no secrets.
type Plan struct {
	// Version is the catalogue version that applying makes; 0 when the catalogue does not change.
	Version int64
	// Changes are the entities that the file states and that differ from the stored ones.
	Changes []Change
	// Same is the number of entities that the file states unchanged.
	Same int
	// Applied reports whether the changes were made.
	Applied bool
	// Warnings are changes that are allowed but look like mistakes.
	Warnings Problems
}

// Change is the change of one entity.
type Change struct {
	Kind   string // merchant, app, user, session, template, activity, scene, subscription or platform
	Name   string // the name in the file; empty for a user without one
	Line   int    // of the file
	Action Action
	Fields []Difference
}

// Difference is the change of one field, by its path in the file: "stock.count", "items[0].template".
type Difference struct {
	Field     string
	Old, New  string // empty: left out
	Generated bool   // faquan made the new value, because the file leaves it out
}

// Empty reports whether applying would change nothing.
func (p *Plan) Empty() bool { return len(p.Changes) == 0 }

// WriteTo writes the plan for people: + for what is added, ~ for what is changed, a line for each field.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, c := range p.Changes {
		sign := "~"
		if c.Action == Added {
			sign = "+"
		}
		b.WriteString(strings.TrimSpace(sign+" "+c.Kind+" "+printable(c.Name)) + "\n")
		for _, d := range c.Fields {
			b.WriteString("    " + d.String() + "\n")
		}
	}
	count := "%d to change, %d unchanged\n"
	if p.Applied {
		count = "%d changed, %d unchanged\n"
	}
	fmt.Fprintf(&b, count, len(p.Changes), p.Same)
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// String returns the difference on one line.
func (d Difference) String() string {
	text := d.Field + ": " + shown(d.New)
	if d.Old != "" {
		text = d.Field + ": " + shown(d.Old) + " → " + shown(d.New)
	}
	if d.Generated {
		text += " (generated)"
	}
	return text
}

// shown returns a value on one line; for a long one, such as a key, its beginning and a digest.
func shown(value string) string {
	switch {
	case value == "":
		return "(left out)"
	case len(value) > 120:
		return fmt.Sprintf("%.24q… (sha256 %.8x)", value, sha256.Sum256([]byte(value)))
	}
	return printable(value)
}

// printable returns a text without line breaks and terminal commands, because it may come from callers: users have their
// identifiers.
func printable(text string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// field is one value of an entity with its path.
type field struct{ path, value string }

// flatten returns the values of an entity in order, without the name, which identifies the entity. Nil has none.
func flatten(n *yaml.Node) []field {
	var all []field
	var walk func(path string, n *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		switch n.Kind {
		case yaml.MappingNode:
			for k := 0; k+1 < len(n.Content); k += 2 {
				name := n.Content[k].Value
				if path != "" {
					name = path + "." + name
				}
				walk(name, n.Content[k+1])
			}
		case yaml.SequenceNode:
			for k, element := range n.Content {
				walk(fmt.Sprintf("%s[%d]", path, k), element)
			}
		default:
			if path != "name" {
				all = append(all, field{path, n.Value})
			}
		}
	}
	if n != nil {
		walk("", n)
	}
	return all
}

// difference returns the differences of two lists of values: the new ones in order, then those that are gone.
func difference(old, now []field, generated func(value string) bool) []Difference {
	was := make(map[string]string, len(old))
	for _, f := range old {
		was[f.path] = f.value
	}
	var all []Difference
	for _, f := range now {
		before, known := was[f.path]
		delete(was, f.path)
		if !known || before != f.value {
			all = append(all, Difference{Field: f.path, Old: before, New: f.value, Generated: generated(f.value)})
		}
	}
	for _, f := range old {
		if before, gone := was[f.path]; gone {
			all = append(all, Difference{Field: f.path, Old: before})
		}
	}
	return all
}
