package top_test

import (
	"context"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
)

// boundFinder finds any key bound.
type boundFinder struct{ top.Finder }

func (boundFinder) Claim(context.Context, benefit.Scope, string) (*benefit.Issuance, error) {
	return &benefit.Issuance{}, nil
}

// A key that XML cannot carry is refused, unless it was bound before there was this rule: then it is answered from its
// record, in every way that a key is.
func TestKeysThatXMLCannotCarry(t *testing.T) {
	for _, test := range []struct {
		parameter string
		ask       func(key string, change object) *labCall
		change    object // of the meaning
		success   string
		unknown   string
	}{
		{"unique_id", func(key string, change object) *labCall { return sending(key, "many", change) }, object{"send_count": 2},
			`"success_count":1`, "isp.E1000"},
		{"request_id", decide, object{"act_codes": "act-a"}, `"success":true`, "SYSTEM_UNKNOWN"},
	} {
		for _, key := range []string{"a\uFFFEb", "\uFFFF"} {
			l := newActivityLab(t, nil)
			refused := l.post(test.ask(key, nil), wire.JSON)
			if !strings.Contains(refused, `"code":41`) || !strings.Contains(refused, "isv.invalid-parameter:"+test.parameter) || l.request.Load() != nil {
				t.Errorf("%s %q: %s", test.parameter, key, refused)
			}
			l.finder = brokenFinder{}
			if got := l.post(test.ask(key, nil), wire.JSON); !strings.Contains(got, test.unknown) || l.request.Load() != nil {
				t.Errorf("%s %q, where the store cannot be read: %s", test.parameter, key, got)
			}
			l.finder = boundFinder{} // so that it is bound, as it was before
			first := requestID.ReplaceAllString(l.post(test.ask(key, nil), wire.JSON), "$1")
			l.finder = nil
			l.change(func(d *draft) {
				for _, tmpl := range d.templates {
					tmpl.Status = benefit.Paused
				}
			})
			again := requestID.ReplaceAllString(l.post(test.ask(key, nil), wire.JSON), "$1")
			if !strings.Contains(first, test.success) || again != first {
				t.Errorf("%s %q: bound by %s, then answered %s", test.parameter, key, first, again)
			}
			if got := l.post(test.ask(key, test.change), wire.JSON); !strings.Contains(got, "KEY_CONFLICT") {
				t.Errorf("%s %q with another meaning: %s", test.parameter, key, got)
			}
		}
	}
}
