// Package top is faquan's gateway for callers of the Taobao Open Platform: POST or GET /router/rest, and
// /router/batch, as the platform's own SDKs speak them. Package wire reads and writes the bytes; this package has
// the apps, the methods and what their outcomes are called on this wire. It decides nothing about who gets what:
// package issuing does.
//
// Every answer has status 200, since SDKs of several languages reject anything else. Answers are not signed.
//
// # The order of checks
//
// Two wrongs in one call always get the same answer, that of the first check that fails:
//
//  1. those of package wire, from the verb to the signature
//  2. the app is not disabled (11, isv.app-disabled)
//  3. the session, where the method takes one: there (26); known and of this app, not revoked, not expired (27)
//  4. the API is granted to the app (11)
//  5. its rate limit has room (7)
//  6. the parameters (40, 41), by the rules of the API
//
// From the signature on a call is authentic, so only the app itself can use its rate limit up. A method that does not
// exist is 22, one that is not granted 11.
//
// The calls of a batch go through the same from 2 on, one after the other, each with its own session, limit and
// answer; the signature and the deadline are those of the whole.
//
// # Outcomes
//
// What each reason of the core is called is for the methods, in one table each. Two rules hold for all:
//
//   - The Java SDK's retrying client sends a call again on every sub_code that begins with "isp.". Only what the
//     platform's own pages call so, and what may be sent again as it is, has one. See docs/reference/undecided.md.
//   - A panic is an unknown outcome: it may have come after the request was handed on.
//
// The request_id of an answer is also the trace in the log.
package top
