package benefit_test

import (
	"testing"

	. "faquan/internal/benefit"
	"faquan/internal/store/memory"
	"faquan/internal/store/storetest"
)

// desk issues on a store in memory, one batch after the other, while the test changes the catalogue, the users
// and the clock.
type desk struct {
	t         *testing.T
	store     *memory.Store
	committer *storetest.Committer
	clock     Instant
}

func newDesk(t *testing.T, templates ...*Template) *desk {
	st := memory.New()
	return &desk{t: t, store: st, committer: storetest.NewCommitter(st, storetest.Catalogue(templates...), 1), clock: now}
}

// batch issues the requests together.
func (d *desk) batch(requests ...*Request) []Outcome {
	d.t.Helper()
	outcomes, err := d.committer.Issue(d.t.Context(), d.clock, requests...)
	if err != nil {
		d.t.Fatalf("issuing: %v", err)
	}
	return outcomes
}

// ask issues one request.
func (d *desk) ask(r *Request) Outcome {
	d.t.Helper()
	return d.batch(r)[0]
}

// wants asks, and fails unless the reason is the one wanted.
func (d *desk) wants(want Reason, r *Request) Outcome {
	d.t.Helper()
	o := d.ask(r)
	if o.Reason != want {
		d.t.Errorf("key %s: %s, want %s", r.Key, o.Reason, want)
	}
	return o
}

// catalogue puts another version of the templates in place.
func (d *desk) catalogue(templates ...*Template) {
	cat := storetest.Catalogue(templates...)
	cat.Version = d.committer.Catalogue.Version + 1
	d.committer.Catalogue = cat
}

// users writes users.
func (d *desk) users(users ...*User) {
	d.t.Helper()
	if err := storetest.Write(d.t.Context(), d.store, d.clock, &Changes{Users: users}); err != nil {
		d.t.Fatalf("writing users: %v", err)
	}
}

// contents returns all that the store holds.
func (d *desk) contents() *storetest.Contents {
	d.t.Helper()
	c, err := storetest.ContentsOf(d.t.Context(), d.store)
	if err != nil {
		d.t.Fatalf("reading: %v", err)
	}
	return c
}

// template returns an active template without caps, changed by the changes.
func template(n TemplateID, changes ...func(*Template)) *Template {
	return storetest.Template(n, changes...)
}

// cash makes a template give money.
func cash(from AmountFrom, lowest, highest int64) func(*Template) {
	return func(t *Template) {
		t.Kind, t.Face = Cash, Face{}
		t.Amount = AmountRule{From: from, Min: fen(lowest), Max: fen(highest)}
	}
}

// request asks for one voucher of the template, or for what the changes make of it.
func request(key, taobao string, n TemplateID, changes ...func(*Request)) *Request {
	r := storetest.Request(key, "", storetest.Line(n))
	r.Recipient = Identifier{Type: TaobaoID, Value: taobao}
	for _, change := range changes {
		change(r)
	}
	r.Fingerprint = FingerprintOf(r.Lines)
	return r
}

// continues makes the lines frozen under the key.
func continues(r *Request) { r.Continues = true }

// lines asks for other lines.
func lines(all ...Line) func(*Request) { return func(r *Request) { r.Lines = all } }
