package form

import (
	"math"
	"testing"
)

// member returns the member that a JSON value makes.
func member(t *testing.T, value string) Member {
	t.Helper()
	members, bad := ParseObject(`{"x":` + value + `}`)
	if bad != nil {
		t.Fatal(bad)
	}
	return members[0]
}

func TestAsText(t *testing.T) {
	for value, want := range map[string]struct{ text, broken string }{
		`"优优优优"`:               {"优优优优", ""},
		`"1796000000"`:         {"1796000000", ""},
		`1796000000`:           {"1796000000", ""},
		`-5`:                   {"-5", ""},
		`9223372036854775808`:  {"9223372036854775808", ""},
		`12345678901234567890`: {"12345678901234567890", ""},
		`1.0`:                  {"", needText},
		`1.5`:                  {"", needText},
		`1e3`:                  {"", needText},
		`1E3`:                  {"", needText},
		`true`:                 {"", needText},
		`{}`:                   {"", needText},
		`[]`:                   {"", needText},
	} {
		if text, broken := member(t, value).AsText(20); text != want.text || broken != want.broken {
			t.Errorf("%s: got %q, %q", value, text, broken)
		}
	}
	for value, want := range map[string]string{
		`"优优"`: "", `"优优优"`: "最多2个字符", `99`: "", `100`: "最多2个字符", `"\u0000"`: "含有控制字符", `"\u007f"`: "含有控制字符", `"\n"`: "",
	} {
		if _, broken := member(t, value).AsText(2); broken != want {
			t.Errorf("%s: got %q", value, broken)
		}
	}
}

func TestAsInteger(t *testing.T) {
	for value, want := range map[string]int64{
		`1`: 1, `"1"`: 1, `1.0`: 1, `"1.0"`: 1, `1.000`: 1, `-1.0`: -1, `0`: 0, `-0`: 0, `-0.0`: 0, `"007"`: 7,
		`9223372036854775807`: math.MaxInt64, `"-9223372036854775808"`: math.MinInt64, `9223372036854775807.0`: math.MaxInt64,
	} {
		if n, broken := member(t, value).AsInteger(); n != want || broken != "" {
			t.Errorf("%s: got %d, %q", value, n, broken)
		}
	}
	for value, want := range map[string]string{
		`9223372036854775808`: outOfRange, `"-9223372036854775809"`: outOfRange, `9223372036854775808.0`: outOfRange,
		`1.5`: needInteger, `1e3`: needInteger, `1.0e1`: needInteger, `"1."`: needInteger, `".0"`: needInteger, `"+1"`: needInteger,
		`"-"`: needInteger, `"1_000"`: needInteger, `"0x10"`: needInteger, `" 1"`: needInteger, `"1.0.0"`: needInteger, `""`: needInteger,
		`"x"`: needInteger, `true`: needInteger, `[1]`: needInteger,
	} {
		if n, broken := member(t, value).AsInteger(); broken != want {
			t.Errorf("%s: got %d, %q", value, n, broken)
		}
	}
}
