package oauth_test

import (
	"errors"
	"net/url"
	"testing"

	"faquan/internal/gateway"
	"faquan/internal/gateway/oauth"
)

// Each call of /token is observed once, with its outcome.
func TestOutcomes(t *testing.T) {
	seen := make(chan *gateway.Record, 2)
	observed := func(o *oauth.Options) { o.Observe = func(r *gateway.Record) { seen <- r } }
	w := newWorld(t, observed)
	broken := newWorld(t, observed, func(o *oauth.Options) { o.Service = failing{errors.New("the disk")} })
	code := w.code()
	for _, c := range []struct {
		name string
		at   *world
		form url.Values
		want gateway.Outcome
	}{
		{"a session", w, exchange(code), gateway.Answered},
		{"a used code", w, exchange(code), gateway.Unauthorized},
		{"a wrong secret", w, exchange(code, "client_secret", "x"), gateway.Unauthorized},
		{"disabled", w, exchange(code, "client_id", "2", "client_secret", "s"), gateway.Unauthorized},
		{"no code", w, exchange(code, "code", "-"), gateway.Invalid},
		{"another grant type", w, exchange(code, "grant_type", "password"), gateway.Invalid},
		{"within the rate", w, exchange("x", "client_id", "4", "client_secret", "s"), gateway.Unauthorized},
		{"over the rate", w, exchange("x", "client_id", "4", "client_secret", "s"), gateway.Limited},
		{"no store", broken, exchange("x"), gateway.Busy},
	} {
		c.at.token(c.form)
		if r := <-seen; r.Outcome != c.want || r.Protocol != "oauth" || r.Method != oauth.TokenPath || r.Took <= 0 {
			t.Errorf("%s: observed %+v", c.name, r)
		}
	}
	if len(seen) != 0 {
		t.Errorf("observed once more: %+v", <-seen)
	}
}
