// Package benefit is the vocabulary of faquan and its core: what is handed out, to whom, under which caps and
// limits, and the two pure functions that decide.
//
// The nouns first. A [Template] defines what is issued; a [Merchant] owns it. An [Activity] is a campaign over
// templates, a [Scene] an ordered choice of activities. They are few, and a [Catalogue] is an immutable snapshot
// of all of them. A [User] receives; an [Identifier] names one. A [Request] asks for one or more lines (a
// template and a count each) under an idempotency key. What was issued is an [Issuance] with its vouchers; what
// the caller is told is an [Outcome].
//
// Everything that changes rows is a [Command]; its methods name what it needs, and decide. The command of a request is
// [Issue]. What it decides on are rows: the tables in tables.go describe each kind once, for all stores.
//
// Then the decision of an issue, in two steps:
//
//	Choose(catalogue, state, request, env) → claim      binds the lines, the amounts, the codes and the voucher ids
//	Apply(catalogue, claim, state) → outcome, effect    holds every rule that must be exact
//
// They know nothing of HTTP, SQL, goroutines or clocks. [State] is what a store loaded for a batch of requests;
// an [Effect] changes nothing until State.Absorb takes it, so a request that fails half-way leaves no trace; and
// State.Changes are the rows that the store then writes in one commit. Stores decide nothing, so two stores that
// load and write correctly cannot disagree.
package benefit
