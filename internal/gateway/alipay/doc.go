// Package alipay is faquan's gateway for callers of Alipay's open platform: POST or GET /gateway.do, as the
// platform's own SDKs speak it. Package wire reads and writes the bytes; this package has the checks of the app, the
// methods and the codes of their outcomes. It decides nothing about who gets what: package engine does.
//
// Every answer has status 200 and is signed with the platform's key, failures too, an unknown app's too: SDKs of
// several languages reject anything else.
//
// # The order of checks
//
// Two wrongs in one call always get the same answer, that of the first check that fails:
//
//  1. the HTTP method, POST or GET
//  2. those of package wire, the last of which is the signature
//  3. the app is not disabled
//  4. its sign_types hold the one that was used
//  5. the API is granted to it
//  6. its rate limit has room
//  7. app_auth_token, when there is one: known, of this app, not expired
//  8. biz_content, by the rules of the API
//
// From the signature on a call is authentic, so only the app itself can use its rate limit up.
//
// # Outcomes
//
// A refusal is code 40004 with a sub_code of its own: file codes.go has the one table. Where it is sure that the
// attempt issued nothing but the core made no decision either (the queue is full, the process stops) the answer is
// SYSTEM_ERROR; where the outcome is unknown it is code 20000, isp.unknow-error. Both may be sent again with the same
// out_biz_no, which is how an unknown outcome gets known.
package alipay
