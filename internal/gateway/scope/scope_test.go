package scope

import (
	"math"
	"testing"

	"faquan/internal/benefit"
)

// The names are stored: none may ever change.
func TestNamesAreStored(t *testing.T) {
	for _, test := range []struct {
		got, want benefit.Scope
		parts     Parts
	}{
		{Template(7), "t/7", Parts{Template: 7}},
		{Template(math.MaxInt64), "t/9223372036854775807", Parts{Template: math.MaxInt64}},
		{Relation(1, 1<<62), "r/1/4611686018427387904", Parts{App: 1, RelationID: 1 << 62}},
		{Relation(1, -2), "r/1/-2", Parts{App: 1, RelationID: -2}},
		{Biz(12, "a/b\n业务 "), "b/12/a/b\n业务 ", Parts{App: 12, BizCode: "a/b\n业务 "}},
		{Biz(12, ""), "b/12/", Parts{App: 12}},
		{Certificate(3), "c/3", Parts{App: 3}},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
		if parts, ok := Parse(test.got); parts != test.parts || !ok {
			t.Errorf("%q: got %+v, %v", test.got, parts, ok)
		}
		if IsRelation(test.got) != (test.parts.RelationID != 0) {
			t.Errorf("%q: a relation's: %v", test.got, IsRelation(test.got))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []benefit.Scope{"", benefit.CodeScope, "t", "t/", "t/x", "r/1", "r/1/x", "w/1", "/1"} {
		if parts, ok := Parse(s); ok {
			t.Errorf("%q: got %+v", s, parts)
		}
	}
}
