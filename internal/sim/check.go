package sim

import (
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/oracle"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// contents reads all rows of a store.
func (s *simulation) contents(st store.Store) *storetest.Contents {
	all, err := storetest.ContentsOf(s.ctx, st)
	if err != nil {
		s.failf("reading everything: %v", err)
	}
	return all
}

// settle finds out whether a process's commit of unknown outcome is there, and compares everything.
func (s *simulation) settle(p *process, when string) {
	maybe := p.maybe
	p.maybe = nil
	if maybe != nil && s.back.holds(maybe) {
		s.report.Survived++
		s.tracef("the commit of unknown outcome is there")
		s.write(maybe)
	} else if maybe != nil {
		s.report.Lost++
		s.tracef("the commit of unknown outcome is not there")
	}
	s.check(when)
}

// hasNow reports whether the store's last commit was at least as late. It shows a commit that changed no row, too.
func (s *simulation) hasNow(st store.Store, now benefit.Instant) bool {
	tx, err := st.Begin(s.ctx, 0)
	if err != nil {
		s.failf("Begin after a start: %v", err)
	}
	defer tx.Rollback()
	return tx.Now() >= now
}

func (s *simulation) same() bool {
	return storetest.Diff(s.contents(s.model), s.contents(s.back.all())) == ""
}

// write applies a commit that only the store had to the plain store and the oracle.
func (s *simulation) write(c *benefit.Changes) {
	s.writePlain(c)
	s.learn(c)
	// Operations first: what is issued may take the place of a voucher that is void now. None of them is on what is issued here.
	for _, op := range benefit.Operations.Of(c.Rows) {
		if err := s.oracle.BookOperation(op); err != nil {
			s.failf("a commit of unknown outcome: %v", err)
		}
	}
	for _, step := range c.Steps {
		if err := s.oracle.BookExpired(step.Expired, c.Now); err != nil {
			s.failf("a commit of unknown outcome: %v", err)
		}
	}
	for _, i := range c.Issuances {
		if err := s.oracle.Book(i); err != nil {
			s.failf("a commit of unknown outcome: %v", err)
		}
	}
}

// check compares all that the store holds with what it should, row by row and by counting.
func (s *simulation) check(when string) {
	want, got := s.contents(s.model), s.contents(s.back.all())
	if diff := storetest.Diff(want, got); diff != "" {
		s.failf("what the store holds %s (-should +does):\n%s", when, diff)
	}
	if all := s.back.all(); !all.Shared() { // one of several knows of its own ids, and of those that it found
		s.wantLastID(all)
	}
	if err := s.oracle.CheckRows(got.Issuances, got.Rows); err != nil {
		s.failf("what the store holds %s is not what the callers were told: %v", when, err)
	}
	s.ask1(got)
	s.explain(got, 5)
	s.tracef("checked %s: %d issuances, %d users", when, len(got.Issuances), len(got.Users))
}

// conserved checks whether a commit has lost or made vouchers, or money.
func (s *simulation) conserved() {
	all := s.contents(s.model)
	if err := oracle.CheckConservation(all.Issuances, all.Rows); err != nil {
		s.failf("after a commit: %v", err)
	}
}

// wantLastID checks that a store knows how late the ids are that it holds.
func (s *simulation) wantLastID(st store.Store) {
	if got, min := st.LastIDMillis(), s.model.LastIDMillis(); got < min {
		s.failf("LastIDMillis is %d, and there is an id of %d", got, min)
	}
}

// explain checks that decisions come out as they did when they are made again by the catalogue of their version.
func (s *simulation) explain(c *storetest.Contents, limit int) {
	r, err := s.back.all().Read(s.ctx)
	if err != nil {
		s.failf("Read: %v", err)
	}
	defer r.Close()
	for _, i := range slices.Backward(c.Issuances) {
		if i.Basis == nil {
			continue
		}
		if limit--; limit < 0 {
			return
		}
		e, err := s.processes[0].engine.Explain(s.ctx, r, i)
		if err == nil {
			err = s.oracle.CheckExplanation(i, e)
		}
		if err != nil {
			s.failf("explaining %d: %v", i.ID, err)
		}
	}
}

// ask1 asks both stores a few questions of the kind that callers and operators ask.
func (s *simulation) ask1(c *storetest.Contents) {
	real, err := s.back.all().Read(s.ctx)
	if err != nil {
		s.failf("Read: %v", err)
	}
	defer real.Close()
	plain, err := s.model.Read(s.ctx)
	if err != nil {
		s.failf("Read: %v", err)
	}
	defer plain.Close()
	for range 3 {
		var after id.ID
		if len(c.Issuances) > 0 && s.pick(2) == 0 {
			after = c.Issuances[s.pick(len(c.Issuances))].ID
		}
		limit, template := 1+s.pick(20), benefit.TemplateID(1+s.pick(4))
		s.compare("a template's list", first(plain.TemplateIssuances(s.ctx, template, after, limit)),
			first(real.TemplateIssuances(s.ctx, template, after, limit)))
		if len(c.Users) > 0 {
			u := c.Users[s.pick(len(c.Users))]
			s.compare("a user's list", first(plain.UserIssuances(s.ctx, u.ID, after, limit)), first(real.UserIssuances(s.ctx, u.ID, after, limit)))
		}
		ident := s.world.recipient()
		s.compare("what has a trace id", first(plain.TraceIssuances(s.ctx, "again", after, limit)), first(real.TraceIssuances(s.ctx, "again", after, limit)))
		s.compare("whom an identifier names", first(plain.Recipient(s.ctx, ident)), first(real.Recipient(s.ctx, ident)))
		s.compare("whose a voucher is", first(plain.IssuanceOf(s.ctx, after+1)), first(real.IssuanceOf(s.ctx, after+1)))
	}
	for k, i := range s.oracle.Issued {
		s.compare("what stands under a key", i, first(real.Claim(s.ctx, k.Scope, k.Key)))
	}
	codes := slices.Sorted(maps.Keys(s.oracle.Codes))
	for range min(5, len(codes)) {
		code := codes[s.pick(len(codes))]
		of, err := real.Claim(s.ctx, benefit.CodeScope, code)
		if err != nil || of == nil || of.ID != s.oracle.Codes[code] {
			s.failf("a code leads to %+v, %v, and not to %d", of, err, s.oracle.Codes[code])
		}
	}
	for range 2 {
		version := int64(s.pick(8))
		s.compare("an older catalogue", first(store.EntitiesAt(s.ctx, plain, version)), first(store.EntitiesAt(s.ctx, real, version)))
	}
}

// first drops an error into the comparison: a value that is missing for it will differ.
func first[V any](v V, err error) any {
	if err != nil {
		return err.Error()
	}
	return v
}

func (s *simulation) compare(what string, want, got any) {
	if diff := storetest.Diff(want, got); diff != "" {
		s.failf("%s (-should +is):\n%s", what, diff)
	}
}
