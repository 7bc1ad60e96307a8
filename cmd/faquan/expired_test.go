package main

import (
	"testing"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/control"
	"faquan/internal/gateway/scope"
)

// TestExpiredEvents: a server records the vouchers whose end has passed, also before it started.
func TestExpiredEvents(t *testing.T) {
	dir := t.TempDir()
	ago := benefit.InstantOf(time.Now()) - 3*3_600_000
	n, err := openNode(t.Context(), location{dir: dir}, nodeOptions{clock: func() benefit.Instant { return ago }})
	if err != nil {
		t.Fatal(err)
	}
	doc := testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {after: 1s, for: 1h}}
subscriptions:
  - {name: ends, merchant: acme, types: [voucher.expired]}
`)
	if _, err := control.Apply.On(t.Context(), n.service(), doc); err != nil {
		t.Fatal(err)
	}
	c := &benefit.Issue{Request: &benefit.Request{
		Scope: scope.Template(1), Key: "k", App: 1, Recipient: benefit.Identifier{Type: benefit.AlipayID, Value: "2088302001456115"},
		Lines: []benefit.Line{{Template: n.engine.Catalogue().TemplateByName("t").ID, Sends: 1, Quantity: 1}},
	}}
	if err := n.engine.Do(t.Context(), c); err != nil || c.Outcome.Issuance == nil {
		t.Fatal(err, c.Outcome.Reason)
	}
	voucher := c.Outcome.Issuance.FirstVoucher()
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	s := testServer(t, dir, nil)
	defer s.stop()
	within(t, "the voucher has its event", func() bool {
		r, err := s.node.store.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for c, err := range r.AllCommits(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range c.Steps {
				if len(step.Expired) == 1 && step.Expired[0].Voucher == voucher {
					return true
				}
			}
		}
		return false
	})
}
