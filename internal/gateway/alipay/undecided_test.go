package alipay_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/gateway/form"
)

// undecidedCauses make a call that is not decided, and return the answers.
var undecidedCauses = map[string]func(t *testing.T) []*wire.Answer{
	"busy": func(t *testing.T) []*wire.Answer {
		return answersToErrors(t, engine.ErrBusy, engine.ErrStopping, engine.ErrGaveUp, engine.ErrNotIssued)
	},
	"unknown": func(t *testing.T) []*wire.Answer {
		poisoned := newWorld(t, func(o *alipay.Options) { o.Issuer = poison{} })
		return append(answersToErrors(t, engine.ErrUnknown, context.DeadlineExceeded, errors.New("of the test")), first(poisoned.call(t, goodCall())))
	},
	"session": func(t *testing.T) []*wire.Answer {
		w := newWorld(t, func(o *alipay.Options) {
			o.Sessions = gateway.NewSessions(func(context.Context, benefit.Digest) (*benefit.Session, error) { return nil, errors.New("of the test") }, 0)
		})
		return []*wire.Answer{first(w.call(t, goodCall().with("app_auth_token", "token-others")))}
	},
	"not read": func(t *testing.T) (answers []*wire.Answer) {
		w := newWorld(t, nil)
		for _, err := range []error{form.ErrBusy, form.ErrSlow} {
			res := httptest.NewRecorder()
			w.ServeHTTP(res, httptest.NewRequest(http.MethodPost, alipay.Path+"?method="+method, iotest.ErrReader(err)))
			answer, err := wire.VerifyAnswer(res.Body.Bytes(), wire.UTF8, method, &platformKey().PublicKey, wire.RSA2)
			if err != nil {
				t.Fatal(err)
			}
			answer.SubMsg = strings.Replace(answer.SubMsg, form.Slow.Text, form.Busy.Text, 1)
			answers = append(answers, answer)
		}
		return answers
	},
	"rate": func(t *testing.T) []*wire.Answer {
		w := newWorld(t, nil)
		w.call(t, goodCall().with("app_id", "2014072300000005"))
		return []*wire.Answer{first(w.call(t, goodCall().with("app_id", "2014072300000005")))}
	},
}

// answersToErrors returns the answers to a call for which the issuer has no outcome.
func answersToErrors(t *testing.T, errs ...error) (answers []*wire.Answer) {
	w := newWorld(t, nil)
	for _, err := range errs {
		w.broken = err
		answers = append(answers, first(w.call(t, goodCall())))
	}
	return answers
}

// The rows of the page of calls without an outcome are what the gateway answers.
func TestThePageOfUndecidedCalls(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range alipay.Rows(t, "undecided", "Answers") {
		if row[0] != "voucher.send" {
			continue // see the other gateway
		}
		for _, cause := range strings.Split(row[1], ", ") {
			seen[cause] = true
			do := undecidedCauses[cause]
			if do == nil {
				t.Errorf("%s: not known to this test", cause)
				continue
			}
			for _, answer := range do(t) {
				if code(answer) != row[2] || answer.SubMsg != row[3] {
					t.Errorf("%s: got %s %s, the page says %s %s", cause, code(answer), answer.SubMsg, row[2], row[3])
				}
			}
		}
	}
	for cause := range undecidedCauses {
		if !seen[cause] {
			t.Errorf("the page does not have %s", cause)
		}
	}
}
