package postgres_test

import (
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// A batch that answers from what stands under a key waits for the commit that brought it, whatever stands there.
func TestReplaysAreConfirmed(t *testing.T) {
	p := processes(t, 1, template(1))[0]
	r := storetest.Request("a", "20881", storetest.Line(1))
	p.begin(r).rows().mustIssue()
	if err := p.beginAll(&operate{operation(1).Claim, []table.Rows{benefit.Operations.Rows(operation(1))}}).rows().commit(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]benefit.Command{
		"an issuance": &benefit.Issue{Request: r}, "an operation": &operate{claim: operation(1).Claim},
	} {
		before := count(t, p.url, "SELECT max(now) FROM clock")
		if err := p.beginAll(c).rows().commit(); err != nil {
			t.Fatal(err)
		}
		if after := count(t, p.url, "SELECT max(now) FROM clock"); after == before {
			t.Errorf("%s was answered without a commit", name)
		}
	}
}
