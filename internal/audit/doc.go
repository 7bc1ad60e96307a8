// Package audit checks that a store keeps its promises, by counting everything again from the rows.
//
//	report, err := audit.Store(ctx, reader, audit.Options{})   // any store
//	report, err := audit.Embedded(ctx, audit.EmbeddedOptions{  // a data directory, journal and view
//		Store: embedded.Options{Dir: dir},
//	})
//	report, err := audit.Postgres(ctx, st, audit.Options{})    // a database, with its columns and what leads to rows
//	if !report.OK() { … report.Findings … }
//
// An error means that the audit could not be done. What is wrong with the store is not an error but a [Finding]:
// the promise that is broken, the row that breaks it, what it should have and what it has. Rows are named by ids;
// keys, identifiers, codes and names never appear in a report.
//
// # What is checked
//
//  1. [Totals]: what was issued of each template, in total and on each day, is what its vouchers say, and within
//     its caps. A void that returns stock counts against the day of the issue.
//  2. [Limits]: what each user has of each template is what the vouchers say, and within the limits, those of
//     persons too.
//  3. [OneOutcome]: no key of a scope stands twice; one that was bound for a window only may stand again when the
//     window is over, or a void has ended it. Each operation on a voucher stands under its key, in a scope of its kind.
//  4. [Vouchers]: each voucher lies inside its issuance under an id of its own, with a kind, a face, an amount and
//     a validity that its template allows, for a user that exists; no issuance may hold more than a request may ask
//     for. [Lookups]: asking for it by key, by code, by trace id, by voucher, by user and by template finds it (a
//     sample of them, see Options).
//  5. [Events]: everything that the rows have of vouchers (the issue of each line, each operation, each issue that took the
//     last of a template) has exactly one event in the feed, of the same instant, and the feed has no others but those of
//     ends. Whether a template is sold out turns with each event about it, and is at the end what the vouchers say. What
//     happened up to the first commit of the feed is not compared; nor, if others came before it, what happened in the
//     minute after it.
//     An end of a voucher that passes by itself has one event at most. It was recorded at the end or later, after the
//     operations that it counts and before the next one; these left the voucher as the event has it, live and not ended
//     by a command. Its template has a cursor over ends. That each end has an event is not a law: only those have one
//     that a subscription wanted.
//
// Of vouchers after their issue:
//
//   - [Redemptions]: the operations on a voucher are numbered without a gap, and each stands once in the voucher's list;
//     each was possible after the one before, by the state, the window, the balance and the redemption that it reverses;
//     a discount is what the face gives for the order; and the state is what they lead to. Redemptions are found by
//     their orders. Nothing has happened to a voucher that was not issued.
//   - [Conservation]: what was issued of a template is live, used, expired or voided, by the states of its vouchers, and
//     its counters are that less what was returned. [Report.Balances] has the numbers.
//
// Of activities, scenes and certificates:
//
//   - [Participations]: what each user has done in each activity (vouchers in total and of the last day, sends, cards,
//     whether the box is done, the last instant) is what the vouchers say.
//   - [Guard]: a call for which the one-second guard holds (those with the scope of a relation) came 1,000 ms or more
//     after whatever the activity had given to the user before, unless the activity has no guard.
//   - [Boxes]: an issuance has that a treasure box is done if and only if one of its activities' was, counted by days
//     at +08:00, in its last commit.
//   - [Codes]: a certificate's voucher has a code, of as many digits as its template said when the key was bound, and
//     no other issuance has it. Codes reserved for vouchers that were refused count, too.
//   - [Decisions]: an issuance whose lines a scene chose keeps the basis of that choice, which was not read after it was
//     issued, and each of the lines belongs to an activity. No other issuance has a basis.
//
// Each check is a law over rows, which holds whatever code wrote them. No decision is made again: whether a scene could
// choose what it chose is shown by the explanation of an issuance, which decides from the basis.
//
// That a voucher's user was not frozen when it was redeemed cannot be told from the rows, nor that a change of the catalogue
// has its event. Report.NotKept lists what was not checked.
//
// No rule is taken from the code that decides. That code adds one voucher to a counter; this one adds up all
// vouchers and compares.
//
// # By which rules a voucher is judged
//
// Limits, caps per day, windows and amounts may change after a voucher was issued, so it is judged by the
// catalogue version that its line names, against the counters that its line keeps. Those counters are not believed
// either: for each template, each day and each user they must follow one another without a gap from nothing to
// the total, so that a line which claims to have come earlier than it did leaves a hole. Voids that return stock are steps
// back in these sequences, and keep what they found, too. Where there are some, a line and a void that both claim what never
// was may hide each other, see the type sum; what the counters are in the end is exact all the same.
//
// [Embedded] and [Postgres] judge by all versions of the catalogue, which the stores keep. [Store] takes the newest alone,
// unless it is given [Options.History]. Without a history a line of an older version that breaks a rule of today is a
// [Doubt], not a finding: it may have been allowed then. The other way round a line that broke the rule of its day and keeps
// that of today is not noticed. Caps in total cannot be lowered below what is issued, so what exceeds them is always a
// finding.
//
// A limit per person counts the users linked to a person when a voucher was issued. The rows have only how they
// are linked now, so more than the limit is a Doubt, unless [Embedded] can replay how it came about. Of commands that were
// committed together the replay takes voids first.
//
// # Whether two stores hold the same
//
// A [Checksum] has of each table how many rows there are, what they add up to, and a hash of all of them, in a form that
// does not depend on how a store keeps them: the embedded store and PostgreSQL with the same history have the same. That is
// how a move from one to the other is proved. [Options.Checksum] adds it to the report.
//
// # How much memory it takes
//
// Rows are read in passes. A pass holds a record of 40 bytes for each line that was issued, one of 40 more for each
// that an activity gave (or two, where a box was asked about in a later commit), and one of 8 bytes for each key and
// each code: up to a half, a third and a sixth of Options.Memory. When there are more, it keeps those of the lower half
// of the users (and of the hashes of keys) and another pass over all rows takes the rest. Keys that stand twice, as
// those bound for a window do, cost one more reading of the rows. Templates with their days, and users who are linked
// to a person, are kept throughout.
//
// Where something has happened to vouchers, a quarter of the memory holds their operations, 120 bytes each and 56 more for a
// void that returns stock, and the others have three quarters of the above. Operations that do not fit are read again, once
// for each part that does, in the same pass. So are the events of vouchers whose end has passed, 48 bytes each: where there
// are some, they have a half of that quarter.
package audit
