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
// time to the next, and the result of a rule could depend on it.
type object struct {
	traits.Mapper // everything but the order
	keys          []ref.Val
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
	o := &object{}
	fields := make(map[string]ref.Val, len(from))
	for _, name := range slices.Sorted(maps.Keys(from)) {
		o.keys = append(o.keys, types.String(name))
		fields[name] = valueOf(from[name])
	}
	o.Mapper = types.NewMap(adapter{}, fields)
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

// Iterator iterates over the keys.
func (o *object) Iterator() traits.Iterator {
	//guard:TestOrderOfAttributes types.NewRefValList(adapter{}, o.keys) -> o.Mapper
	return types.NewRefValList(adapter{}, o.keys).Iterator()
}
