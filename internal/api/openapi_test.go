package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"faquan/internal/api"
)

// description is openapi.yaml, to which answers of the tests are held.
type description struct {
	root     map[string]any
	compiler *jsonschema.Compiler
	seen     map[string]bool // "GET /api/v1/vouchers 200": answers that were checked
	mu       sync.Mutex
}

var described = sync.OnceValue(func() *description {
	var root map[string]any
	if err := yaml.Unmarshal(api.Description, &root); err != nil {
		panic(err)
	}
	strict(root["components"])
	text, err := json.Marshal(root)
	if err != nil {
		panic(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("file:///openapi.json", doc); err != nil {
		panic(err)
	}
	return &description{root: doc.(map[string]any), compiler: c, seen: map[string]bool{}}
})

// strict forbids members that are not described: clients must bear them, the tests need not.
func strict(node any) {
	switch node := node.(type) {
	case map[string]any:
		if _, ok := node["properties"].(map[string]any); ok && node["type"] == "object" {
			node["additionalProperties"] = false
		}
		for _, child := range node {
			strict(child)
		}
	case []any:
		for _, child := range node {
			strict(child)
		}
	}
}

// at returns a node and its pointer, with references followed.
func (d *description) at(pointer string, names ...string) (any, string) {
	var node any = d.root
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer != "" {
			node = node.(map[string]any)[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
		}
	}
	for {
		m, ok := node.(map[string]any)
		if !ok {
			return nil, ""
		}
		if ref, ok := m["$ref"].(string); ok && len(names) > 0 {
			return d.at(strings.TrimPrefix(ref, "#"), names...)
		}
		if len(names) == 0 {
			return node, pointer
		}
		node, pointer = m[names[0]], pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(names[0])
		names = names[1:]
	}
}

// validate checks a JSON text against the schema at a pointer.
func (d *description) validate(pointer string, text []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, err := d.compiler.Compile("file:///openapi.json#" + pointer)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// check returns what of a call and its answer differs from the description. The path is that of the description.
func (d *description) check(method, path string, request []byte, resp *http.Response, body []byte) error {
	status := fmt.Sprint(resp.StatusCode)
	kind := resp.Header.Get("Content-Type")
	response, pointer := d.at("", "paths", path, strings.ToLower(method), "responses", status)
	if response == nil {
		return fmt.Errorf("the status %s is not described", status)
	}
	if ref, ok := response.(map[string]any)["$ref"].(string); ok {
		response, pointer = d.at(strings.TrimPrefix(ref, "#"))
	}
	headers, _ := response.(map[string]any)["headers"].(map[string]any)
	for name := range headers {
		if resp.Header.Get(name) == "" && name != "Idempotency-Replayed" {
			return fmt.Errorf("there is no header %s", name)
		}
	}
	schema, at := d.at(pointer, "content", kind, "schema")
	if schema == nil {
		return fmt.Errorf("the type %q is not described for %s", kind, status)
	}
	d.mu.Lock()
	d.seen[method+" "+path+" "+status] = true
	d.mu.Unlock()
	if kind != "application/yaml" {
		if err := d.validate(at, body); err != nil {
			return fmt.Errorf("the answer %s: %w", body, err)
		}
	}
	schema, at = d.at("", "paths", path, strings.ToLower(method), "requestBody", "content", "application/json", "schema")
	if schema != nil && len(request) > 0 && resp.StatusCode < 400 {
		if err := d.validate(at, request); err != nil {
			return fmt.Errorf("the request %s was accepted: %w", request, err)
		}
	}
	return nil
}

// The file describes the operations that there are, and no others.
func TestDescriptionHasAllOperations(t *testing.T) {
	var got []string
	paths, _ := described().at("", "paths")
	for path, item := range paths.(map[string]any) {
		for method, operation := range item.(map[string]any) {
			if method != "parameters" {
				got = append(got, fmt.Sprintf("%s %s %s", operation.(map[string]any)["operationId"], strings.ToUpper(method), path))
			}
		}
	}
	want := api.Operations()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("described %q\nserved %q", got, want)
	}
}

func TestDescriptionIsServed(t *testing.T) {
	w := newWorld(t)
	resp, err := http.Get(w.url + "/api/v1/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(body, api.Description) || described().check("GET", "/api/v1/openapi.yaml", nil, resp, body) != nil {
		t.Errorf("%s, %d bytes, %v", resp.Status, len(body), err)
	}
}
