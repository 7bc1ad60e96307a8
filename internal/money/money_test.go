package money

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseYuan(t *testing.T) {
	good := map[string]Fen{"0": 0, "9": 900, "9.9": 990, "9.99": 999, "0.01": 1, "007.10": 710, "10000000000000": MaxFen}
	for text, want := range good {
		if got, err := ParseYuan(text); err != nil || got != want {
			t.Errorf("ParseYuan(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	bad := map[string]error{
		"": ErrSyntax, ".": ErrSyntax, "1.": ErrSyntax, ".5": ErrSyntax, "-1": ErrSyntax, "+1": ErrSyntax, "1e3": ErrSyntax,
		" 1": ErrSyntax, "1 ": ErrSyntax, "1.2.3": ErrSyntax, "1,000": ErrSyntax, "１": ErrSyntax, "0x1": ErrSyntax,
		"1.001": ErrPrecision, "1.000": ErrPrecision,
		"10000000000000.01": ErrRange, "99999999999999999999999": ErrRange,
	}
	for text, want := range bad {
		if got, err := ParseYuan(text); !errors.Is(err, want) {
			t.Errorf("ParseYuan(%q) = %d, %v; want %v", text, got, err, want)
		}
	}
}

func TestYuan(t *testing.T) {
	for fen, want := range map[Fen][2]string{
		0: {"0.00", "0"}, 1: {"0.01", "0.01"}, 990: {"9.90", "9.9"}, 1050: {"10.50", "10.5"}, 10000: {"100.00", "100"}, -5: {"-0.05", "-0.05"},
	} {
		if fen.Yuan() != want[0] || fen.ShortYuan() != want[1] {
			t.Errorf("%d: %s, %s; want %v", int64(fen), fen.Yuan(), fen.ShortYuan(), want)
		}
	}
}

func TestParseIsTheInverseOfPrint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fen := Fen(rapid.Int64Range(0, int64(MaxFen)).Draw(t, "fen"))
		for _, text := range []string{fen.Yuan(), fen.ShortYuan()} {
			if got, err := ParseYuan(text); err != nil || got != fen {
				t.Fatalf("ParseYuan(%q) = %d, %v", text, got, err)
			}
		}
	})
}

func FuzzParseYuan(f *testing.F) {
	for _, s := range []string{"9.99", "0", "1e5", "00000000000000000000.1", "9.999", "-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fen, err := ParseYuan(s)
		if err != nil {
			return
		}
		if fen < 0 || fen > MaxFen {
			t.Fatalf("%q is %d", s, fen)
		}
		if want := strings.TrimLeft(s, "0"); strings.TrimLeft(fen.ShortYuan(), "0") != strings.TrimRight(strings.TrimRight(dotted(want), "0"), ".") {
			t.Fatalf("%q prints as %q", s, fen.ShortYuan())
		}
	})
}

// dotted makes sure that trimming zeros from the right stays behind the point.
func dotted(s string) string {
	if strings.Contains(s, ".") {
		return s
	}
	return s + "."
}
