// Package api is the JSON API for apps: a merchant's shop system looks vouchers up, redeems them, reverses redemptions, and
// voids, extends and expires vouchers, and reads events. openapi.yaml describes all of it; it is the contract, and is served, too.
//
//	handler := api.New(api.Options{Engine: engine, Store: store, Feed: feed.NewReader(store, engine.Catalogue), Apps: apps, Log: log})
//	server := gateway.NewServer(handler, limits, log)
//
// A call carries a token of an app (package token) and does what the token's scopes permit. An app sees vouchers of the
// templates of its own merchant; any other voucher is not found, so that its existence is not revealed.
//
// What changes something carries an Idempotency-Key, and is decided in the core, like any other command. A retry with the
// same key is answered with the body of the first answer, so an answer to a change holds the operation, which never changes,
// and not the voucher, which does.
//
// As elsewhere a façade decides nothing: it reads the request, names the command, and writes the result. What it refuses by
// itself is wrong whatever the store holds.
package api
