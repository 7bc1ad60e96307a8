package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"faquan/internal/benefit"
)

// FuzzParse feeds arbitrary text to the parser. It never panics; every refusal has a line of the text; and a file that is
// accepted and fits an empty store is the same after an export.
func FuzzParse(f *testing.F) {
	f.Add(string(example(f)))
	f.Add(smallFile)
	for _, c := range refusedCases(f) {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) { takenOrRefused(t, t, text) })
}

// failer is the common interface of a test and a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func takenOrRefused(f failer, t testing.TB, text string) {
	f.Helper()
	w := newWorld(t)
	if _, err := w.apply(text); err != nil {
		var all Problems
		if !errors.As(err, &all) || len(all) == 0 {
			f.Fatalf("%v; want Problems", err)
		}
		lines := 2
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // YAML ends a line with any of them
			lines += strings.Count(text, end)
		}
		for _, p := range all {
			if p.Line < 1 || p.Line > lines || p.Reason == "" {
				f.Fatalf("problem %+v of a text of %d lines", p, lines)
			}
		}
		return
	}
	exported := w.export(true)
	other := newWorld(t)
	if _, err := other.apply(exported); err != nil {
		f.Fatalf("%v\n%s", err, exported)
	}
	if again := other.export(true); again != exported {
		f.Fatalf("%s\nbecame\n%s", exported, again)
	}
	plan, err := w.apply(text)
	if err != nil || !plan.Empty() {
		f.Fatalf("applied twice: %+v, %v", plan, err)
	}
}

// TestBrokenExamples makes the mistakes of people in the example: lines lost, doubled, indented, values exchanged.
func TestBrokenExamples(t *testing.T) {
	whole := strings.Split(string(example(t)), "\n")
	values := []string{
		"", "x", "0", "-1", "1.5", "acme", "shop", "alice", "cinema-20", "red-packet", "spring", "ACTIVE", "CASH", "EXCHANGE",
		"9007199254740995", "2036-01-01 00:00:00", "[]", "{}", "[acme]", "{days: 1}", "off", "~", "\"\"", "&a x", "*a", "!!str x", "|",
	}
	rapid.Check(t, func(rt *rapid.T) {
		lines := slices.Clone(whole)
		for range rapid.IntRange(1, 3).Draw(rt, "changes") {
			k := rapid.IntRange(0, len(lines)-1).Draw(rt, "line")
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				lines = slices.Delete(lines, k, k+1)
			case 1:
				lines = slices.Insert(lines, k, lines[k])
			case 2:
				lines[k] = "  " + lines[k]
			case 3:
				lines[k] = strings.TrimPrefix(lines[k], "  ")
			case 4:
				if field, _, ok := strings.Cut(lines[k], ": "); ok {
					lines[k] = field + ": " + rapid.SampledFrom(values).Draw(rt, "value")
				}
			}
		}
		takenOrRefused(rt, t, strings.Join(lines, "\n"))
	})
}

func TestDurationTextIsTheInverseOfDuration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		millis := rapid.Int64Range(1, maxDuration/1000).Draw(t, "seconds") * 1000
		if got, err := duration(durationText(millis)); err != nil || got != millis {
			t.Fatalf("%s: %d, %v; want %d", durationText(millis), got, err, millis)
		}
	})
}

func TestInstantReadsWhatTheWireShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := benefit.Instant(rapid.Int64Range(firstTime.Unix(), lastTime.Unix()).Draw(t, "second") * 1000)
		if got, err := instant(i.String()); err != nil || got != i {
			t.Fatalf("%s: %d, %v; want %d", i, got, err, i)
		}
	})
}

func TestTimesWithAZone(t *testing.T) {
	for _, text := range []string{
		"2026-01-31 08:00:00", "2026-01-31T08:00:00", "2026-01-31T00:00:00Z", "2026-01-31T09:00:00+09:00",
		"2026-01-31 00:00:00Z", "2026-01-31 08:00:00 +08:00", "2026-01-31 08:00:00+08:00",
	} {
		if i, err := instant(text); err != nil || i.String() != "2026-01-31 08:00:00" {
			t.Errorf("%s: %s, %v", text, i, err)
		}
	}
}

func TestAttachedFiles(t *testing.T) {
	f, err := Parse("c.yaml", example(t), func(name string) ([]byte, error) { return keyFiles()[name], nil })
	if err != nil {
		t.Fatal(err)
	}
	// The attached files are enough to parse the text elsewhere.
	again, err := Parse("c.yaml", example(t), func(name string) ([]byte, error) {
		if data, ok := f.Attached()[name]; ok {
			return data, nil
		}
		return nil, fmt.Errorf("%s is not attached", name)
	})
	if err != nil || len(again.apps) != 2 {
		t.Error(err)
	}
	_, err = Parse("c.yaml", example(t), nil)
	var all Problems
	if !errors.As(err, &all) || len(all) != 2 || !strings.Contains(all[0].Reason, "key files cannot be read here") {
		t.Errorf("without a way to read files: %v", err)
	}
}

func TestProblemsAreShownUpToABound(t *testing.T) {
	w := newWorld(t)
	_, err := w.apply("users:\n" + strings.Repeat("  - {}\n", 200))
	if err == nil || strings.Count(err.Error(), "\n") != maxShown || !strings.HasSuffix(err.Error(), "and 150 more") {
		t.Error(err)
	}
}
