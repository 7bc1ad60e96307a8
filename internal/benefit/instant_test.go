package benefit_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	. "faquan/internal/benefit"
)

// at returns the instant that the wire writes so.
func at(t testing.TB, wire string) Instant {
	t.Helper()
	v, err := time.ParseInLocation("2006-01-02 15:04:05.999", wire, Shanghai)
	if err != nil {
		t.Fatal(err)
	}
	return InstantOf(v)
}

func TestInstantIsShownAtEastEight(t *testing.T) {
	for i, want := range map[Instant]string{0: "", 1: "1970-01-01 08:00:00", 1_794_362_400_999: "2026-11-11 10:00:00"} {
		if i.String() != want {
			t.Errorf("%d is shown as %q, want %q", int64(i), i, want)
		}
	}
}

func TestDayTurnsAtMidnightEastEight(t *testing.T) {
	for wire, want := range map[string]string{
		"2026-11-11 00:00:00": "2026-11-11", "2026-11-11 23:59:59.999": "2026-11-11", "2026-11-12 00:00:00": "2026-11-12",
		"1970-01-01 00:00:00": "1970-01-01", "1969-12-31 23:59:59.999": "1969-12-31", "1969-12-31 00:00:00": "1969-12-31",
	} {
		d := at(t, wire).Day()
		if d.String() != want || d.Start() != at(t, want+" 00:00:00") {
			t.Errorf("%s lies in day %s, which starts at %s; want %s", wire, d, d.Start(), want)
		}
	}
}

func TestDayHoldsItsInstants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := Instant(rapid.Int64Range(-1<<41, 1<<43).Draw(t, "instant"))
		d := i.Day()
		if i < d.Start() || i >= (d+1).Start() || d.String() != i.Time().Format(time.DateOnly) {
			t.Fatalf("instant %d lies in day %s", i, d)
		}
	})
}

func TestWindowEndsAreInside(t *testing.T) {
	start, end := at(t, "2026-11-11 10:00:00"), at(t, "2026-11-11 23:59:59")
	both := Window{Start: start, End: end}
	for _, c := range []struct {
		window              Window
		at                  Instant
		before, over, holds bool
	}{
		{both, start - 1, true, false, false},
		{both, start, false, false, true},
		{both, end, false, false, true},
		{both, end + 999, false, false, true},
		{both, end + 1000, false, true, false},
		{Window{Start: start, End: end + 500}, end + 999, false, false, true}, // an end is a whole second
		{Window{Start: start, End: end + 500}, end + 1000, false, true, false},
		{Window{Start: start}, start - 1, true, false, false},
		{Window{Start: start}, 1 << 50, false, false, true},
		{Window{End: end}, -5, false, false, true},
		{Window{End: end}, end + 1000, false, true, false},
		{Window{}, start, false, false, true},
	} {
		if c.window.StartsAfter(c.at) != c.before || c.window.EndedBefore(c.at) != c.over || c.window.Contains(c.at) != c.holds {
			t.Errorf("window %s … %s at %d: before %v, over %v, holds %v", c.window.Start, c.window.End, c.at,
				c.window.StartsAfter(c.at), c.window.EndedBefore(c.at), c.window.Contains(c.at))
		}
	}
}

func TestValidity(t *testing.T) {
	const hour, day = int64(3_600_000), int64(86_400_000)
	for _, c := range []struct {
		name       string
		validity   Validity
		issued     string
		start, end string
	}{
		{"absolute", Validity{Absolute: Window{Start: at(t, "2026-01-01 00:00:00"), End: at(t, "2026-12-31 23:59:59")}, ForMillis: day},
			"2026-11-11 10:00:00", "2026-01-01 00:00:00", "2026-12-31 23:59:59"},
		{"absolute with an end only", Validity{Absolute: Window{End: at(t, "2026-12-31 23:59:59")}}, "2026-11-11 10:00:00", "", "2026-12-31 23:59:59"},
		{"relative", Validity{ForMillis: 7 * day}, "2026-11-11 10:00:00", "2026-11-11 10:00:00", "2026-11-18 10:00:00"},
		{"relative, cut to the second", Validity{ForMillis: hour}, "2026-11-11 10:00:00.999", "2026-11-11 10:00:00", "2026-11-11 11:00:00"},
		{"relative, part of a second", Validity{AfterMillis: 1500, ForMillis: 1700}, "2026-11-11 10:00:00", "2026-11-11 10:00:01", "2026-11-11 10:00:03"},
		{"starts later", Validity{AfterMillis: day, ForMillis: hour}, "2026-11-11 23:30:00", "2026-11-12 23:30:00", "2026-11-13 00:30:00"},
		{"to the end of the day", Validity{ForMillis: hour, ToDayEnd: true}, "2026-11-11 10:00:00", "2026-11-11 10:00:00", "2026-11-11 23:59:59"},
		{"to the end of the next day", Validity{ForMillis: hour, ToDayEnd: true}, "2026-11-11 23:30:00", "2026-11-11 23:30:00", "2026-11-12 23:59:59"},
		{"to the end of the day that begins", Validity{ForMillis: hour, ToDayEnd: true}, "2026-11-11 23:00:00", "2026-11-11 23:00:00", "2026-11-12 23:59:59"},
		{"to the end of the last second's day", Validity{ForMillis: hour, ToDayEnd: true}, "2026-11-11 22:59:59.999", "2026-11-11 22:59:59", "2026-11-11 23:59:59"},
		{"over the end of a year", Validity{ForMillis: day, ToDayEnd: true}, "2026-12-31 08:00:00", "2026-12-31 08:00:00", "2027-01-01 23:59:59"},
	} {
		got := c.validity.Of(at(t, c.issued))
		if got.Start.String() != c.start || got.End.String() != c.end {
			t.Errorf("%s: issued at %s it is valid %s … %s, want %s … %s", c.name, c.issued, got.Start, got.End, c.start, c.end)
		}
		if got.Start%1000 != 0 || got.End%1000 != 0 {
			t.Errorf("%s: %d … %d are not whole seconds", c.name, got.Start, got.End)
		}
	}
}

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		cap         Cap
		taken, want int64
	}{{0, 0, 0}, {5, 0, 5}, {5, 5, 0}, {5, 9, 0}, {Unlimited, 0, 1<<63 - 1}, {Unlimited, 7, 1<<63 - 8}, {Unlimited, -7, 1<<63 - 1}} {
		if got := c.cap.Room(c.taken); got != c.want {
			t.Errorf("Cap(%d).Room(%d) = %d, want %d", c.cap, c.taken, got, c.want)
		}
	}
}
