package audit

import (
	"fmt"
	"strings"

	"faquan/internal/benefit"
)

// codes checks the certificate codes of a line: what they look like and how many there are. Whether each is the only
// one of its kind is seen with the keys. Codes are drawn when the key is bound, so the length is that of the version of
// then; those for vouchers that were refused stay reserved.
func (c *recount) codes(l lineRef) {
	c.report.Checked.Codes += int64(len(l.Codes))
	t, sure := c.rules.at(l.Template, l.i.Catalogue)
	if t == nil {
		if len(l.Codes) > 0 {
			c.find(Finding{Codes, l.String(), "no certificate codes, as there is no such template", fmt.Sprint(len(l.Codes))})
		}
		return
	}
	j := lineJudge{c, l, t, sure}
	min, limit := l.Issued*l.Quantity, l.Sends*l.Quantity
	if t.Kind != benefit.Certificate {
		min, limit = 0, 0
	}
	if len(l.Codes) < min || len(l.Codes) > limit {
		j.violated(Codes, "certificate codes", fmt.Sprintf("%d to %d", min, limit), len(l.Codes))
		return
	}
	for k, code := range l.Codes {
		if len(code) != t.Code.Digits || strings.Trim(code, "0123456789") != "" {
			j.violated(Codes, fmt.Sprintf("certificate code %d", k+1), fmt.Sprintf("%d digits", t.Code.Digits), "something else")
		}
	}
}
