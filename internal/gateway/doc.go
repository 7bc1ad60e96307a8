// Package gateway is what the gateways of both protocols share: who calls, on whose behalf, how often, and within
// what limits of time and size. The packages below read calls and write answers. Nothing here decides who gets what:
// package engine does.
//
//	apps := gateway.NewApps(engine.Catalogue, log)
//	sessions := gateway.NewSessions(find, 0) // find reads a session of the store by its digest
//	handler := alipay.New(alipay.Options{Issuer: engine, Apps: apps, Sessions: sessions, Signer: signer, …})
//	server := gateway.NewServer(handler, gateway.ServerLimits{}, log)
//
// Four things here are state, all of it rebuildable and bounded:
//
//   - [Apps] derives from each version of the catalogue what a call needs of its app: parsed public keys and the
//     rate limiter. It is bounded by the apps that exist. Apps.Failed counts calls that fail to authenticate, in a
//     fixed number of buckets.
//   - [Sessions] remembers session look-ups up to a number. Call Forget after sessions were changed.
//   - [Readers] bounds how many queries of an app, and of all apps, run at once. It is bounded by the apps that exist.
//   - [NewServer] bounds how many connections there are, how long and how large their requests may be, and how much
//     memory all of them take together.
package gateway
