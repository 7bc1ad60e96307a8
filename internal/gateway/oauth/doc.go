// Package oauth is how an app gets a session without the operator's hand: the authorization code grant of RFC 6749
// in the form of the Taobao Open Platform, at /authorize and /token.
//
//	h := oauth.New(oauth.Options{Apps: apps, Service: service, ConsentKey: key, Log: log})
//	h.Mount(mux)
//
// # Authorize
//
// The app sends a browser to /authorize?response_type=code&client_id=APP_KEY&redirect_uri=…&state=…. A page asks
// for whom the app may act. On a platform that runs by itself there are no accounts to log in with, so whoever
// consents proves by the platform's consent key that they may: the operator hands it to the people who decide for
// merchants. Without a consent key the page is switched off, which is the default.
//
// The browser goes back to redirect_uri with code and state, or with error=access_denied. A redirect_uri must be one
// of the app's in the catalogue, to the letter. One that is not gets an error page and no redirect: a gateway that
// sends browsers, and codes, wherever a link points is a tool for phishing.
//
// # Token
//
// The app posts the code to /token with its client_secret and gets a session (access_token) and a refresh token; see
// package session for what they are and when they end. Answers are JSON with the platform's members. Errors have
// status 400 and the members error and error_description; when it is our side that cannot, 503 and
// temporarily_unavailable: then the same request may be sent again.
//
// # What is kept secret
//
// Keys, codes and secrets are in no log line. The consent key and the client's secret are compared in constant time.
// Attempts at the consent key are limited for the platform as a whole, since behind a proxy all callers look alike:
// 10 at once and 20 a minute. Who guesses can so keep others from consenting, but not learn a key of 16 characters.
// Nothing here may be cached or framed, and the page runs no scripts.
package oauth
