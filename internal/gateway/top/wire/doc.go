// Package wire speaks the HTTP and the bytes of the TOP protocol (Taobao Open Platform: /router/rest and
// /router/batch, version 2.0): it reads a signed request and writes an answer, so that the platform's own SDKs work
// against faquan with one URL changed. It is independent of vouchers, stores and the issuing core.
//
// A handler uses it in this order:
//
//	req, bad := wire.Parse(r, wire.Limits{})     // always gives a Request to answer under
//	if bad == nil {
//		_, bad = policy.Check(req)            // method … signature, in the documented order
//	}
//	if bad == nil {
//		args := req.Args()
//		dto := args.Object("single_benefit_request")
//		key := dto.RequiredText("unique_id", 64)
//		bad = args.Err()
//	}
//	id := wire.NewRequestID()
//	a := wire.Success(req.Format(), req.Method(), id)
//	a.Object("send_result", func() { a.Bool("is_success", true); … })
//	wire.Send(w, r, a)                            // or wire.Failure(req.Format(), bad.Carried(15), id)
//
// # Signature
//
// The string to sign is every parameter of query and body but sign, sorted by name in byte order, as name and value
// one after the other with nothing between, values not URL-encoded; the body of a batch follows as it was sent. What
// is done with it depends on sign_method:
//
//	md5          MD5(secret + string + secret)
//	hmac         HMAC-MD5 under the secret
//	hmac-sha256  HMAC-SHA256 under the secret
//
// and the result travels as upper-case hex. The official SDKs for Java, .NET, PHP, Python and Node all do this; what
// they do differently is in type Variant. Parameters that the matching string leaves out are dropped after the check.
//
// Nothing stands between a name and its value, so a=bc and ab=c sign alike: who sees a signed call could cut its text
// into another one, where he had chosen a part of it. See checkReading.
//
// # The order of checks
//
// Two wrongs in one request always get the same answer: the first of this list.
//
//  1. the verb                  POST or GET (9)
//  2. the request can be read   size, number of parameters, URL-encoding, names (43); controls, duplicates (41)
//  3. the encoding              UTF-8 (47)
//  4. method                    present (21), known (22)
//  5. app_key                   present (28)
//  6. timestamp                 present (30); readable and within the tolerance (31)
//  7. v                         present (32); 2.0 (33; 34 for 1.0)
//  8. format                    xml or json (23)
//  9. sign_method               md5, hmac or hmac-sha256; absent is md5 (41)
//  10. sign                     present (24)
//  11. the app                  known (29)
//  12. the signature            verifies under a secret of the app (25)
//  13. the reading              the signed text is this request and no other (41; 43 for a batch)
//
// The platform documents no order. That a fake app_key is found after method, timestamp and format has been seen;
// the rest is ours. Session, permission, quota and business parameters come after all of these.
//
// # Batches
//
// ParseBatch, CheckBatch and Items read a call of /router/batch: one signature over the query and the raw body, and
// in the body items, each a URL-encoded text, joined by Separator. SendBatch joins their answers by the same. An
// item that cannot be read is refused alone; the others are served.
package wire
