package rule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// object is a JSON object as a CEL map that is gone through in the order of its keys. Go's own order differs from one
// time to the next, and a rule could tell.
type object struct {
	traits.Mapper // what is not said below
	keys          []ref.Val
	fields        map[string]ref.Val
}

// attributesOf reads a JSON object. Empty text is an object without fields.
func attributesOf(body []byte) (*object, error) {
	fields := map[string]any{}
	if len(body) > 0 {
		in := json.NewDecoder(bytes.NewReader(body))
		in.UseNumber()
		if err := in.Decode(&fields); err != nil {
			return nil, fmt.Errorf("rule: the attributes: %w", err)
		}
	}
	return objectOf(fields), nil
}

func objectOf(from map[string]any) *object {
	o := &object{fields: make(map[string]ref.Val, len(from))}
	all := make(map[ref.Val]ref.Val, len(from))
	for _, key := range slices.Sorted(maps.Keys(from)) {
		v := valueOf(from[key])
		o.keys = append(o.keys, types.String(key))
		o.fields[key] = v
		all[types.String(key)] = v
	}
	o.Mapper = types.NewRefValMap(adapter{}, all)
	return o
}

// valueOf returns a JSON value as CEL's: a whole number is an int, any other a double.
func valueOf(v any) ref.Val {
	switch v := v.(type) {
	case map[string]any:
		return objectOf(v)
	case []any:
		list := make([]ref.Val, len(v))
		for k := range v {
			list[k] = valueOf(v[k])
		}
		return types.NewRefValList(adapter{}, list)
	case json.Number:
		return number(string(v))
	case string:
		return types.String(v)
	case bool:
		return types.Bool(v)
	}
	return types.NullValue
}

func number(text string) ref.Val {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return types.Int(n)
	}
	f, _ := strconv.ParseFloat(text, 64) // out of range: infinite
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return types.Int(int64(f))
	}
	return types.Double(f)
}

// Find returns a field.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	if name, ok := key.(types.String); ok {
		v, found := o.fields[string(name)]
		return v, found
	}
	return o.Mapper.Find(key)
}

// Iterator iterates over the keys.
func (o *object) Iterator() traits.Iterator {
	//guard:TestOrderOfAttributes types.NewRefValList(adapter{}, o.keys) -> o.Mapper
	return types.NewRefValList(adapter{}, o.keys).Iterator()
}
