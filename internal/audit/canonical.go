package audit

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"reflect"
	"sync"
)

// canonical appends the form of a row that its hash is made of. It is made of the row's fields, not of the bytes in
// which a store keeps it, so that stores which keep the same rows in different ways agree; and it goes through the
// fields by reflection, so that one which is added later is in it without further changes.
//
//	struct   each field that is not empty, in the order of its declaration: its name as a text, its value; then an
//	         empty text. A field that a row does not use leaves no trace, so an older row keeps its hash, and a field that
//	         was renamed keeps its first name by the tag `hash`.
//	integer  a varint; boolean: the byte 0 or 1
//	text     its length as a varint, its bytes; lists of bytes and arrays of bytes the same
//	list     its length as a varint, its elements, each as a struct or value of its own
//	pointer  what it points to; nil is empty
//
// Absent and empty lists mean the same. A field of another type panics: the tests go through all of them.
func canonical[V any](b []byte, row V) []byte {
	return appendValue(b, reflect.ValueOf(row))
}

func appendValue(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Pointer:
		return appendValue(b, v.Elem())
	case reflect.Struct:
		return appendFields(b, v)
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint())
	case reflect.String:
		return appendText(b, v.String())
	case reflect.Slice, reflect.Array:
		return appendList(b, v)
	}
	panic(fmt.Sprintf("audit: no canonical form of a %s", v.Type()))
}

func appendFields(b []byte, v reflect.Value) []byte {
	for k, name := range fieldsOf(v.Type()) {
		if f := v.Field(k); !empty(f) { //guard:TestEveryFieldCounts !empty(f) -> !empty(f) && k < 12
			b = appendValue(appendText(b, name), f)
		}
	}
	return append(b, 0)
}

// names are the names of the fields of each type met so far: reflect makes a copy of a field to tell its name.
var names sync.Map

func fieldsOf(t reflect.Type) []string {
	if known, ok := names.Load(t); ok {
		return known.([]string)
	}
	all := make([]string, t.NumField())
	for k := range all {
		all[k] = cmp.Or(t.Field(k).Tag.Get("hash"), t.Field(k).Name)
	}
	names.Store(t, all)
	return all
}

func appendList(b []byte, v reflect.Value) []byte {
	b = binary.AppendUvarint(b, uint64(v.Len()))
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if v.Kind() == reflect.Slice {
			return append(b, v.Bytes()...)
		}
		for k := range v.Len() {
			b = append(b, byte(v.Index(k).Uint()))
		}
		return b
	}
	for k := range v.Len() {
		b = appendValue(b, v.Index(k))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func empty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice {
		return v.Len() == 0
	}
	if v.Kind() == reflect.Struct {
		for k := range v.NumField() {
			if !empty(v.Field(k)) {
				return false
			}
		}
		return true
	}
	return v.IsZero()
}
