package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"faquan/internal/benefit"
)

// File is a catalogue file that was read and is valid in itself: every field is known and has the right type and
// range. Whether it fits what exists is found by [File.Plan] and [File.Changes].
type File struct {
	// AllowUncapped allows the file to remove caps and limits of templates that are not drafts.
	AllowUncapped bool
	// Now is the time that windows are compared with, to warn about those that have ended; zero for no such warnings.
	Now benefit.Instant

	name     string
	attached map[string][]byte

	platform      *platformDoc
	merchants     []*merchantDoc
	apps          []*appDoc
	users         []*userDoc
	sessions      []*sessionDoc
	templates     []*templateDoc
	activities    []*activityDoc
	scenes        []*sceneDoc
	subscriptions []*subscriptionDoc
}

// Attached returns the contents of the key files that the file names, by their names in the file. Together with the text
// of the file they are all that Parse needs elsewhere.
func (f *File) Attached() map[string][]byte { return f.attached }

// Parse reads the text of a catalogue file. The name is for problems; readFile reads the key files that the text names;
// when it is nil they are refused. The error is Problems, with all that were found.
func Parse(name string, data []byte, readFile func(name string) ([]byte, error)) (*File, error) {
	p := &parser{problems: problems{file: name}, readFile: readFile, attached: map[string][]byte{}}
	f := &File{name: name, attached: p.attached}
	if root := p.root(data); root != nil {
		p.file(f, root)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// parser reads one file.
type parser struct {
	problems
	readFile func(name string) ([]byte, error)
	attached map[string][]byte
}

// root parses the text as YAML; it returns nil when it is empty or not YAML.
func (p *parser) root(data []byte) *yaml.Node {
	var doc, more yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(data))
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		p.syntax(data, err)
		return nil
	}
	switch err := in.Decode(&more); {
	case err == nil:
		p.report(more.Line, "a catalogue file must have one YAML document, and a second one begins here")
	case !errors.Is(err, io.EOF):
		p.syntax(data, err)
	}
	if len(doc.Content) != 1 || nothing(doc.Content[0]) {
		return nil
	}
	return doc.Content[0]
}

// nothing reports whether a node has no value, as after a name alone or in a document of comments.
func nothing(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0 }

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// grammar matches the errors in which the YAML parser counts lines from 0, and names the line in which the block or list
// with the error begins.
var grammar = regexp.MustCompile(`^did not find expected (key|node content|'-' indicator|',' or|<)`)

// syntax reports the error of the YAML parser. An error without a line is about a byte that YAML does not allow.
func (p *parser) syntax(data []byte, err error) {
	reason, line := err.Error(), 0
	if m := yamlLine.FindStringSubmatch(reason); m != nil {
		reason = reason[len(m[0]):]
		line, _ = strconv.Atoi(m[1])
	}
	if line > 0 && grammar.MatchString(reason) {
		line++
		reason += " in the block that begins here"
	}
	if line == 0 {
		line = 1 + bytes.Count(data[:firstOdd(data)], []byte("\n"))
	}
	p.report(line, "invalid YAML: %s", reason)
}

// firstOdd returns the offset of the first control character or byte that is not UTF-8; 0 when there is none.
func firstOdd(data []byte) int {
	pos := bytes.IndexFunc(data, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == '\u007f' || r == '\uFFFD'
	})
	return max(pos, 0)
}

func (p *parser) file(f *File, root *yaml.Node) {
	o := p.object(root, "the file")
	if o == nil {
		return
	}
	if n := o.take("platform"); n != nil && !nothing(n) {
		f.platform = p.platform(n)
	}
	f.merchants = section(o, "merchants", "merchant", p.merchant)
	f.apps = section(o, "apps", "app", p.app)
	f.users = section(o, "users", "user", p.user)
	f.sessions = section(o, "sessions", "session", p.session)
	f.templates = section(o, "templates", "template", p.template)
	f.activities = section(o, "activities", "activity", p.activity)
	f.scenes = section(o, "scenes", "scene", p.scene)
	f.subscriptions = section(o, "subscriptions", "subscription", p.subscription)
	o.done()
}

// section reads the list of one kind of entities, and checks that no name is given twice.
func section[T any](o *object, field, kind string, read func(*object) T) []T {
	if n := o.nodes[field]; n != nil && nothing(n) {
		o.asked = append(o.asked, field)
		return nil
	}
	var all []T
	first := map[string]int{}
	for _, n := range o.elements(field) {
		name, what := nameNode(n), kind
		if name != nil {
			what = fmt.Sprintf("%s %q", kind, clip(name.Value))
		}
		entity := o.p.object(n, what)
		if entity == nil {
			continue
		}
		if name != nil {
			if line, twice := first[name.Value]; twice {
				o.p.report(name.Line, "%s is given twice, first in line %d", entity.what, line)
			} else {
				first[name.Value] = name.Line
			}
		}
		all = append(all, read(entity))
		entity.done()
	}
	return all
}

// nameNode returns the value of name in a mapping; nil when there is none.
func nameNode(n *yaml.Node) *yaml.Node {
	for k := 0; k+1 < len(n.Content) && n.Kind == yaml.MappingNode; k += 2 {
		if key, value := n.Content[k], n.Content[k+1]; key.Value == "name" && value.Kind == yaml.ScalarNode && value.Value != "" {
			return value
		}
	}
	return nil
}

// ref is a reference to another entity by its name.
type ref struct {
	name string
	line int
}

// given reports whether the file states the reference.
func (r ref) given() bool { return r.name != "" }

func (o *object) ref(field string) ref {
	return ref{scalar(o, field, handle), o.lineOf(field)}
}

func (o *object) refs(field string) []ref {
	var all []ref
	for _, n := range o.elements(field) {
		if name, ok := scalarNode(o.p, n, o.what+": "+field, handle); ok {
			all = append(all, ref{name, n.Line})
		}
	}
	return all
}

// parsedKey returns a key that is given inline in one field or as a file in another; the zero value when neither is given.
func parsedKey[T any](o *object, inline, file string, parse func(text string) (T, error)) (key T) {
	text, field := o.keyText(inline, file)
	if text == "" {
		return key
	}
	key, err := parse(text)
	if err != nil {
		o.report(field, "%v", err)
	}
	return key
}

// keyText returns the text of a key, "" when none is given, and the field that has it.
func (o *object) keyText(inline, file string) (text, field string) {
	text = scalar(o, inline, longText(20_000))
	path := scalar(o, file, longText(4096))
	switch {
	case path == "":
		return text, inline
	case o.has(inline):
		o.report(file, "%s is given as well; give one of them", inline)
		return "", file
	case o.p.readFile == nil:
		o.report(file, "key files cannot be read here; use %s", inline)
		return "", file
	}
	data, err := o.p.readFile(path)
	if err != nil {
		o.report(file, "%v", err)
		return "", file
	}
	o.p.attached[path] = data
	return strings.TrimSpace(string(data)), file
}
