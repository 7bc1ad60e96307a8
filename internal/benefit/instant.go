package benefit

import "time"

// Instant is a moment in Unix milliseconds. The zero Instant means none.
type Instant int64

// Day is a calendar day at +08:00, counted from 1970-01-01. Day counters are keyed by it.
type Day int32

const (
	second    = 1000
	day       = 24 * 60 * 60 * second
	eastEight = 8 * 60 * 60 * second
)

// Shanghai is the fixed +08:00 in which the wire shows times and in which the day turns.
var Shanghai = time.FixedZone("+08:00", 8*60*60)

// WireTime is the layout of times on the wire, at +08:00.
const WireTime = "2006-01-02 15:04:05"

// InstantOf returns the instant of t, cut to milliseconds.
func InstantOf(t time.Time) Instant { return Instant(t.UnixMilli()) }

// Time returns the instant at +08:00.
func (i Instant) Time() time.Time { return time.UnixMilli(int64(i)).In(Shanghai) }

// String returns the instant as the wire shows it; empty for none.
func (i Instant) String() string {
	if i == 0 {
		return ""
	}
	return i.Time().Format(WireTime)
}

// RFC3339 returns the instant as RFC 3339 at +08:00, with milliseconds; empty for none.
func (i Instant) RFC3339() string {
	if i == 0 {
		return ""
	}
	return i.Time().Format("2006-01-02T15:04:05.000Z07:00")
}

// Day returns the day, at +08:00, that holds the instant.
func (i Instant) Day() Day {
	n := int64(i) + eastEight
	if n < 0 {
		n -= day - 1
	}
	return Day(n / day)
}

// Start returns the first instant of the day.
func (d Day) Start() Instant { return Instant(int64(d)*day - eastEight) }

// String returns the day as yyyy-MM-dd.
func (d Day) String() string { return d.Start().Time().Format(time.DateOnly) }

// wholeSecond cuts i to the second that the wire can show.
func (i Instant) wholeSecond() Instant { return i - i%second }

// Window is a stretch of time with both ends inside, in whole seconds as the wire shows them: the window that
// ends at 23:59:59 still holds 23:59:59.999. A zero end means open-ended on that side.
type Window struct {
	Start Instant `json:"start,omitzero"`
	End   Instant `json:"end,omitzero"`
}

// StartsAfter reports whether i is before the window.
func (w Window) StartsAfter(i Instant) bool { return w.Start != 0 && i < w.Start }

// EndedBefore reports whether i is after the window.
func (w Window) EndedBefore(i Instant) bool { return w.End != 0 && i >= w.after() }

// after returns the first instant after the window; 0 when it is open-ended.
func (w Window) after() Instant {
	if w.End == 0 {
		return 0
	}
	return w.End.wholeSecond() + second
}

// Contains reports whether i is inside the window.
func (w Window) Contains(i Instant) bool { return !w.StartsAfter(i) && !w.EndedBefore(i) }

// Validity describes when an issued voucher can be used: an absolute window, or one relative to the issue.
type Validity struct {
	Absolute    Window `json:"absolute,omitzero"`   // of every voucher of the template; when it is set the rest is not used
	AfterMillis int64  `json:"after_ms,omitzero"`   // how long after the issue the relative window starts, in milliseconds; 0 means at once
	ForMillis   int64  `json:"for_ms,omitzero"`     // how long the relative window lasts, in milliseconds, more than 0
	ToDayEnd    bool   `json:"to_day_end,omitzero"` // stretches the relative window to 23:59:59 of its last day
}

// Of returns the window of a voucher issued at the given instant, in whole seconds.
func (v Validity) Of(issued Instant) Window {
	if v.Absolute != (Window{}) {
		return v.Absolute
	}
	start := issued.wholeSecond() + Instant(v.AfterMillis)
	end := start + Instant(v.ForMillis)
	if v.ToDayEnd {
		end = (end.Day() + 1).Start() - second
	}
	return Window{Start: start.wholeSecond(), End: end.wholeSecond()}
}
