// Package audit holds a store to what it promises, by counting everything again from the rows.
//
//	report, err := audit.Store(ctx, reader, audit.Options{})   // any store
//	report, err := audit.Embedded(ctx, audit.EmbeddedOptions{  // a data directory, journal and view
//		Store: embedded.Options{Dir: dir},
//	})
//	if !report.OK() { … report.Findings … }
//
// An error means that the audit could not be done. What is wrong with the store is not an error but a [Finding]:
// the promise that is broken, the row that breaks it, what it should say and what it says. Rows are named by ids;
// keys, identifiers, codes and names never appear in a report.
//
// # What is checked
//
//  1. [Totals]: what was issued of each template, in total and on each day, is what its vouchers say, and within
//     its caps.
//  2. [Limits]: what each user has of each template is what the vouchers say, and within the limits, those of
//     persons too.
//  3. [OneOutcome]: no key of a scope stands twice.
//  4. [Vouchers]: each voucher lies inside its issuance under an id of its own, with a kind, a face, an amount and
//     a validity that its template allows, for a user that exists. [Lookups]: asking for it by key, by voucher, by
//     user and by template finds it (a sample of them, see Options).
//
// Events and redemptions (invariants 5 and 6 of the specification) are not kept yet, so there is nothing of them
// to check; a report says so in NotKept. Nor can a voucher be voided yet: every voucher counts.
//
// No rule is taken from the code that decides. That code adds one voucher to a counter; this one adds up all
// vouchers and compares.
//
// # By which rules a voucher is judged
//
// Limits, caps per day, windows and amounts may change after a voucher was issued, so it is judged by the
// catalogue version that its line names, against the counters that its line keeps. Those counters are not believed
// either: for each template, each day and each user they must follow one another without a gap from nothing to
// the total, so that a line which claims to have come earlier than it did leaves a hole.
//
// A store keeps only the newest catalogue. The journal of the embedded store has all of them, and [Embedded]
// judges by them ([Options.History]). Without a history a line of an older version that breaks a rule of today is
// a [Doubt], not a finding: it may have been allowed then. The other way round a line that broke the rule of its
// day and keeps that of today is not noticed. Caps in total cannot be lowered below what is issued, so what
// exceeds them is always a finding.
//
// A limit per person counts the users linked to a person when a voucher was issued. The rows tell only how they
// are linked now, so more than the limit is a Doubt, unless [Embedded] can replay how it came about.
//
// # How much memory it takes
//
// Rows are read in passes. A pass holds a record of 40 bytes for each line that was issued and one of 8 bytes
// for each key, up to Options.Memory; when there are more, it keeps those of the lower half of the users (and of
// the hashes of keys) and another pass over all rows takes the rest. Templates with their days, and users who are
// linked to a person, are kept throughout.
package audit
