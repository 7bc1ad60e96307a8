package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"faquan/internal/benefit"
)

// refusedAt is a refused call of an app that authenticates.
func refusedAt(r *Refusals, key string, second int64) {
	r.Note(&Record{Protocol: "alipay", Key: key, Code: "40004", SubCode: "X", Message: "m"}, time.Unix(second, 0))
}

func keysOf(r *Refusals, limit int, among ...string) []string {
	found := []string{}
	for _, c := range r.Find(func(c *Record) bool { return len(among) == 0 || slices.Contains(among, c.Key) }, limit) {
		found = append(found, c.Key)
	}
	return found
}

func wantKeys(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// The latest refusals are remembered, so many and no more, the newest first.
func TestRefusalsAreBounded(t *testing.T) {
	r := NewRefusals()
	wantKeys(t, "none", keysOf(r, 9))
	for n := range maxRefusals + 5 {
		refusedAt(r, fmt.Sprint("k", n), int64(n))
	}
	if all := keysOf(r, 1e6); len(all) != maxRefusals || all[0] != "k4100" || all[maxRefusals-1] != "k5" {
		t.Errorf("%d are remembered, from %s to %s", len(all), all[0], all[len(all)-1])
	}
	wantKeys(t, "at most two", keysOf(r, 2), "k4100", "k4099")
	wantKeys(t, "those that match", keysOf(r, 9, "k7", "k900"), "k900", "k7")
	wantKeys(t, "one that is forgotten", keysOf(r, 9, "k4"))
	wantKeys(t, "at most none", keysOf(r, 0))
}

// What succeeds is not remembered, and everything else is.
func TestWhatIsARefusal(t *testing.T) {
	for _, test := range []struct {
		record Record
		want   bool
	}{
		{Record{Code: "10000", Voucher: 7}, false},
		{Record{Code: "0"}, false},
		{Record{Code: "0", SubCode: "STOCK_EMPTY"}, true},
		{Record{Code: "40004", SubCode: "OUT_BIZ_NO_CONFLICT"}, true},
		{Record{Code: "50", SubCode: "isp.E1000", Err: errors.New("busy")}, true},
		{Record{Code: "29"}, true},
	} {
		r := NewRefusals()
		r.Note(&test.record, time.Unix(0, 0))
		if got := len(r.Find(func(*Record) bool { return true }, 9)) == 1; got != test.want {
			t.Errorf("%+v is remembered: %v", test.record, got)
		}
	}
	var none *Refusals
	none.Note(&Record{Code: "29"}, time.Unix(0, 0))
	if found := none.Find(func(*Record) bool { return true }, 9); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

// Calls that do not authenticate do not push out those that do, are remembered as far as they are logged, and without the
// text that explains their signature.
func TestRefusalsOfStrangers(t *testing.T) {
	r := NewRefusals()
	refusedAt(r, "known", 1)
	apps := NewApps(nil, nil)
	var logged int
	for n := range 3 * maxRefusals {
		now := time.Unix(int64(2+n/100), 0)
		c := &Record{Protocol: "alipay", Key: "stranger", Code: "40002", SubCode: "isv.invalid-signature", Message: "the text to sign: user_id=2088…"}
		if c.Failed(apps, 0, fmt.Sprintf("192.0.2.%d:1", n%40), now) {
			logged++
		}
		r.Note(c, now)
	}
	strangers := r.Find(func(c *Record) bool { return c.Key == "stranger" }, 1e6)
	if len(strangers) != maxStrangers || logged <= maxRefusals {
		t.Errorf("%d strangers are remembered, %d were logged", len(strangers), logged)
	}
	for _, c := range strangers {
		if c.Message != "" {
			t.Fatalf("it remembers %q", c.Message)
		}
	}
	r.Note(&Record{Key: "quiet", Code: "40002", failed: true, Quiet: true}, time.Unix(100, 0))
	wantKeys(t, "a call that is not logged", keysOf(r, 9, "quiet"))
	wantKeys(t, "the call that authenticates", keysOf(r, 9, "known"), "known")
	session := &Record{Key: "session", Code: "27", Variant: "plain", Message: "m"} // its signature is good, its session is not
	session.Failed(apps, 1, "192.0.2.99:1", time.Unix(0, 0))
	r.Note(session, time.Unix(101, 0))
	for _, key := range []string{"known", "session"} {
		if found := r.Find(func(c *Record) bool { return c.Key == key }, 1); len(found) != 1 || found[0].Message != "m" {
			t.Errorf("of the call %s, it remembers %+v", key, found)
		}
	}
}

// However long the texts of a call are, what is remembered of them is bounded, and a key that can be bound stays whole.
func TestRefusalsAreSmall(t *testing.T) {
	long := strings.Repeat("长", 1<<16)
	key := strings.Repeat("长", benefit.MaxKey)
	r := NewRefusals()
	r.Note(&Record{Method: long, AppID: long, AppKey: long, Template: long, Key: long, Message: long, Code: "40002"}, time.Unix(0, 0))
	r.Note(&Record{Key: key, Code: "40002"}, time.Unix(1, 0))
	all := r.Find(func(*Record) bool { return true }, 9)
	if c := all[1]; len(c.Method)+len(c.AppID)+len(c.AppKey)+len(c.Template)+len(c.Key)+len(c.Message) > 4*maxLogged+4*benefit.MaxKey+maxMessage {
		t.Errorf("a record with %d bytes of a method", len(c.Method))
	}
	if all[0].Key != key {
		t.Errorf("the key %q", all[0].Key)
	}
}

// Refusals are read while they are made.
func TestRefusalsWhileCalling(t *testing.T) {
	r := NewRefusals()
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for n := range maxRefusals / 3 {
				refusedAt(r, "k", int64(n))
				if n := len(keysOf(r, 9)); n > 9 {
					t.Errorf("%d refusals", n)
				}
			}
		})
	}
	calls.Wait()
	if n := len(keysOf(r, 1e6)); n != maxRefusals {
		t.Errorf("%d refusals", n)
	}
}

// Each call of an app is read once by the numbers, in order, and what was forgotten is passed over.
func TestRefusalsAfter(t *testing.T) {
	r := NewRefusals()
	var last int64
	read := func(buf int) (keys []string) {
		all := make([]Record, buf)
		for n := r.After(last, all); n > 0; n = r.After(last, all) {
			for _, c := range all[:n] {
				if c.Number <= last {
					t.Fatalf("number %d after %d", c.Number, last)
				}
				last = c.Number
				keys = append(keys, c.Key)
			}
		}
		return keys
	}
	wantKeys(t, "none", read(2))
	for n := range 5 {
		refusedAt(r, fmt.Sprint("k", n), int64(n))
	}
	r.Note(&Record{Key: "stranger", Code: "40002", failed: true}, time.Unix(9, 0))
	<-r.Added()
	wantKeys(t, "five", read(2), "k0", "k1", "k2", "k3", "k4")
	wantKeys(t, "none is new", read(2))
	for n := range maxRefusals + 3 {
		refusedAt(r, fmt.Sprint("n", n), 10)
	}
	<-r.Added()
	got := read(100)
	if len(got) != maxRefusals || got[0] != "n3" || last != maxRefusals+8 {
		t.Errorf("%d are read, from %s, up to number %d", len(got), got[0], last)
	}
	if _, _, oldest := r.FindApart(func(*Record) bool { return false }, 0); oldest != 9 {
		t.Errorf("the oldest is number %d", oldest)
	}
}
