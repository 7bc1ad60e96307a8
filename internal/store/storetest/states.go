package storetest

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"faquan/internal/benefit"
)

// DiffStates returns how two states differ that two stores loaded; it is empty when they do not. A store may give rows
// in any order, and a state may keep those of a user in the order in which they came: that is no difference.
func DiffStates(want, got *benefit.State) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	under := func(prefix string) func(cmp.Path) bool {
		return func(p cmp.Path) bool { return strings.HasPrefix(p.String(), prefix) }
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true }),
		cmp.FilterPath(under("rows.used"), cmp.Ignore()),
		cmp.FilterPath(under("rows.of"), cmpopts.SortSlices(func(a, b any) bool { return fmt.Sprint(a) < fmt.Sprint(b) })))
}
