// Package gateway is what the gateways of both protocols share: who calls, on whose behalf, how often, and within
// what limits of time and size. What a call says on the wire, and how it is answered, is in the packages below.
//
//	apps := gateway.NewApps(issuer.Catalogue, log)
//	sessions := gateway.NewSessions(find, 0) // a session by its digest, in the store
//	handler := alipay.New(alipay.Options{Issuer: issuer, Apps: apps, Sessions: sessions, Signer: signer, …})
//	server := gateway.NewServer(handler, gateway.ServerLimits{}, log)
//
// Three things here are state, all of it rebuildable and bounded:
//
//   - [Apps] derives from each version of the catalogue what a call needs of its app: parsed public keys and the
//     rate limiter. It is bounded by the apps that exist. Apps.Failed counts calls that fail to authenticate, in a
//     fixed number of buckets.
//   - [Sessions] remembers session look-ups up to a number. Call Forget after sessions were changed.
//   - [NewServer] bounds how many connections there are, how long and how large their requests may be, and how much
//     memory all of them take together.
//
// Nothing here decides who gets what: package issuing does.
package gateway
