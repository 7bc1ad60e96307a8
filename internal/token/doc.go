// Package token makes and revokes the tokens with which programs call the JSON API of package api for an app.
//
//	service := token.NewService(token.Options{Change: engine.Change, Read: store.Read})
//	grant, err := service.Make(ctx, token.Order{App: "shop", Scopes: []string{"redeem", "query"}, Lifetime: 90 * 24 * time.Hour})
//	revoked, err := service.Revoke(ctx, "1f9a3c5e")
//
// A token's secret is shown once, when it is made; the store keeps its digest. Changes are durable when a method returns,
// and in force for each call that comes after: the API looks up the row of each call's token.
//
// Rows are never removed: a token that was revoked must remain known. A row has a few hundred bytes.
package token
