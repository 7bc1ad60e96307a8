// Package wire speaks the HTTP and the bytes of Alipay's open platform gateway (gateway.do, version 1.0): it reads a
// signed request and builds a signed answer, so that the platform's own SDKs work against faquan with one URL changed. It
// depends on no voucher, store or issuing core.
//
// A handler reads a request with Parse, which always gives one to answer under, checks it with Policy.Check, writes a
// Node, and sends it with Seal and Send: see the example.
//
// # Requests
//
// Parameters travel in the query, in the body (form or multipart), or in both; every SDK splits them in its own way, so
// Parse merges them. The caller signs all of them except "sign", sorted by name, as "k=v" joined by "&", in the bytes of
// its charset. The SDKs disagree on small things (empty values, "0"); type Variant lists the strings that are tried.
//
// What is decided on is exactly what was signed: the signed bytes, decoded by the charset among them. Nothing that the
// signature does not cover may make another request of them: not the charset of a Content-Type or of the URL, not
// parameters that the matching Variant leaves out, not "&" inside a value (see hidden).
//
// # Answers
//
//	{"alipay_marketing_voucher_send_response":{"code":"10000",…},"sign":"BASE64"}
//
// The SDKs do not parse this text to find what was signed, they cut it: from the root name to the last "sign", each with
// its own idea of white space. So the node stands first, "sign" last, nothing between, and the node is made once as
// bytes, signed, and sent as those bytes. See Node for what may never occur inside.
//
// # The order of checks
//
// Two wrongs in one request always get the same answer: the first of this list.
//
//  1. the request can be read   body size, percent-encoding, names, duplicates (Parse)
//  2. method                    present, known
//  3. app_id                    present, known, usable
//  4. sign_type                 present, RSA2 or RSA
//  5. sign                      present
//  6. charset                   supported; every value valid in it, and the same in the URL's
//  7. timestamp                 present, yyyy-MM-dd HH:mm:ss, within the tolerance
//  8. version                   present, 1.0
//  9. format                    absent or JSON
//  10. encryption               encrypt_type is refused
//  11. certificate              app_cert_sn, alipay_root_cert_sn are refused
//  12. signature                verifies under a key of the app, and covers one request only
//
// The real gateway validates app_id before the signature, even before its presence; the rest of the order is ours.
// Business parameters, tokens and grants come after all of these.
package wire
