// Package session gives sessions out and ends them: for operators, and behind the OAuth of package oauth. A session
// is a grant that an app acts for a merchant and, for some calls, that a user receives; calls come with its key.
//
//	desk := session.NewDesk(session.Options{Change: issuer.Change, Box: box, Forget: sessions.Forget, …})
//	grant, err := desk.New(ctx, session.Order{App: "shop", Merchant: "acme", Lifetime: 24 * time.Hour})
//	code, err := desk.Authorize(ctx, session.Consent{App: app.ID, Merchant: "acme", Redirect: uri})
//	grant, err = desk.Exchange(ctx, app.ID, code, uri)
//	grant, err = desk.Refresh(ctx, app.ID, grant.Refresh)
//	ended, err := desk.Revoke(ctx, grant.Access)
//
// Everything is decided in the committer (issuing.Issuer.Change), where nothing else changes meanwhile, and is
// durable when a method returns. So of two exchanges of one code exactly one gets a token, on both sides of a crash.
//
// # Families
//
// What was given out for one consent is a family: the code, and every access and refresh session that came of it. At
// most one access and one refresh session of a family are in force; the row that began the family, its head, knows
// which. A refresh ends both and puts new ones in their place. Revoking any of them ends them all, and so does a code
// that comes a second time: one of the two who had it should not have had it (RFC 6749, 4.1.2). A refresh session
// that comes a second time is refused and ends nothing: the app proves itself with its secret each time, and two
// workers of one app that refresh at once would otherwise lose the grant.
//
// # Exactness
//
// A key is good before the millisecond of its expiry and not from it on, by the clock of this process. Once Revoke,
// Exchange or Refresh returned, no look-up gives what they ended as good any more: Options.Forget sees to it.
//
// Rows are never removed: a session that has ended must be known as one that was. A row is a few hundred bytes.
package session
