// Package feed turns the commits of a store into events: what happened to vouchers and templates, in the order of causes.
//
//	reader := feed.NewReader(store, engine.Catalogue)
//	from, err := reader.From(ctx, "start", oldest)
//	page, err := reader.Page(ctx, from, &feed.Filter{Merchant: 1}, 100)
//	… page.Events, then on from page.Next
//
// An event is made of what never changes: the step of its commit, the operation, the issuance. So it has the same id and the
// same data whenever it is read, by whom and in which pages. docs/events.md describes both for consumers.
//
// A Reader keeps nothing for its consumers. Each keeps the position behind the last event that it has dealt with, and goes on
// from there, so it gets each event at least once.
package feed
