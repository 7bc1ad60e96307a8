package storetest

import (
	"reflect"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"faquan/internal/benefit"
	"faquan/internal/table"
)

// DiffStates returns how two states differ that two stores loaded; it is empty when they do not. A store may give
// its rows whatever versions it likes, as long as a row that exists has one of 1 or more: that is no difference.
func DiffStates(want, got *benefit.State) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true }),
		cmp.Transformer("loaded", func(s table.State) map[string]any { return s.Loaded() }))
}
