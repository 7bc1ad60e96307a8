package main

import (
	"fmt"
	"testing"

	"faquan/internal/control"
)

// TestTemplateRate: what is issued while it counts is the rate.
func TestTemplateRate(t *testing.T) {
	s := testServer(t, t.TempDir(), testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`))
	defer s.stop()
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	all, err := control.Templates.On(t.Context(), s.service, "t")
	if err != nil {
		t.Fatal(err)
	}
	const issued = 5
	for k := range issued {
		e, err := app.send(t.Context(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: fmt.Sprint("k", k)})
		if err != nil || !e.answer.OK() {
			t.Fatal(e, err)
		}
	}
	rate, err := templateRate(t.Context(), s.service, &all[0])
	if err != nil || *rate <= 0 || *rate > issued {
		t.Errorf("%v, %v", rate, err)
	}
}
