// Package session issues sessions and ends them: for operators, and for the OAuth of package oauth. A session lets an
// app act for a merchant and, for some calls, names the user who receives; calls carry its key.
//
//	service := session.NewService(session.Options{Change: engine.Change, Box: box, Forget: sessions.Forget, …})
//	grant, err := service.New(ctx, session.Order{App: "shop", Merchant: "acme", Lifetime: 24 * time.Hour})
//	code, err := service.Authorize(ctx, session.Consent{App: app.ID, Merchant: "acme", Redirect: uri})
//	grant, err = service.Exchange(ctx, app.ID, code, uri)
//	grant, err = service.Refresh(ctx, app.ID, grant.Refresh)
//	ended, err := service.Revoke(ctx, grant.Access)
//
// Everything is decided in the committer (engine.Engine.Change), where nothing else changes meanwhile, and is
// durable when a method returns. So exactly one of two exchanges of one code gets a token, even across a crash.
//
// # Families
//
// Everything that was issued for one consent is a family: the code, and its access and refresh sessions. At most one
// access and one refresh session of a family are in force; the first row of the family, its head, names them. A refresh
// ends both and replaces them. Revoking any of them ends them all, and so does a second use of the code: one of its two
// holders should not have it (RFC 6749, 4.1.2). A second use of a refresh session is refused and ends nothing: the app
// proves itself with its secret each time, and otherwise two workers of one app that refresh at once would lose the
// grant.
//
// # Exactness
//
// A key is valid before the millisecond of its expiry and invalid from then on, by the clock of this process. Once
// Revoke, Exchange or Refresh has returned, no look-up returns what they ended as valid: Options.Forget ensures that.
//
// Rows are never removed: a session that has ended must remain known. A row has a few hundred bytes.
package session
