package postgres

// The statements of a batch, in the order in which they are sent. Each takes arrays of one length, an element for each
// row, sorted as the store's locks are: two batches that want the same rows want them in the same order.

// What all batches look at, in one statement so that it is of one moment. The database's clock is the one that counts.
var readState = spanning("read_state", "one row, and one of each slot", `
SELECT catalogue_current, kinds, coalesce((SELECT max(now) FROM clock), 0), floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM state`)

// A batch shares this lock; a change has it alone. It is a lock of the database's and no row's, because those queue
// fairly: a change does not wait for ever for a moment without batches.
var (
	//guard:TestChangeWaitsForBatches "pg_advisory_xact_lock_shared($1)" -> "$1::bigint"
	lockShared = spanning("lock_shared", "a lock of the whole store", `SELECT pg_advisory_xact_lock_shared($1)`)
	//guard:TestBatchWaitsForChanges "pg_advisory_xact_lock($1)" -> "pg_advisory_xact_lock_shared($1)"
	lockExclusive = spanning("lock_exclusive", "a lock of the whole store", `SELECT pg_advisory_xact_lock($1)`)
)

var (
	insertLocks = spanning("make_turns", "turns are not distributed", `
INSERT INTO turn (kind, id) SELECT * FROM unnest($1::smallint[], $2::bigint[]) ON CONFLICT DO NOTHING`)

	//guard:TestLastOfATemplate/STOCK_EMPTY without "FOR UPDATE OF t"
	//guard:TestLastOfAPerson without "FOR UPDATE OF t"
	acquireLocks = spanning("take_turns", "turns are not distributed", `
SELECT t.kind, t.id FROM turn t JOIN unnest($1::smallint[], $2::bigint[]) k(kind, id) ON t.kind = k.kind AND t.id = k.id
ORDER BY t.kind, t.id FOR UPDATE OF t`)
)

var (
	loadClaims = streamed(hot("load_claims", `
SELECT k.ord, c.issuance FROM unnest($1::smallint[], $2::uuid[]) WITH ORDINALITY k(bucket, hash, ord)
JOIN claim c ON c.bucket = k.bucket AND c.hash = k.hash`))

	loadIssuances = streamed(hot("load_issuances", `
SELECT i.id, i.version, i.body FROM unnest($1::smallint[], $2::bigint[]) k(bucket, id)
JOIN issuance i ON i.bucket = k.bucket AND i.id = k.id`))

	loadLinks = streamed(hot("load_links", `
SELECT k.ord, l.user_id, l.bare FROM unnest($1::smallint[], $2::uuid[]) WITH ORDINALITY k(bucket, hash, ord)
JOIN link l ON l.bucket = k.bucket AND l.hash = k.hash`))

	// As readIssuanceOf; $3 has the beginnings.
	//guard:TestVouchersOfABatchByIndex "i.id >= k.begin" -> "k.begin > -1"
	loadVouchers = hot("load_vouchers", `
SELECT k.ord, i.version, i.body FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY k(bucket, voucher, begin, ord)
CROSS JOIN LATERAL (
  SELECT version, body FROM issuance i WHERE i.bucket = k.bucket AND i.id >= k.begin AND i.id <= k.voucher ORDER BY i.id DESC LIMIT 1
) i`)

	loadUsers = hot("load_users", `
SELECT u.body FROM unnest($1::smallint[], $2::bigint[]) k(bucket, id)
JOIN users u ON u.bucket = k.bucket AND u.id = k.id`)

	loadMembers = spanning("load_members", "the users of a person may have come to it from anywhere", `
SELECT person, id FROM users WHERE person = ANY($1::text[]) ORDER BY person, id`)
)

// What a batch writes. A row that it inserts must be new, which a unique index tells; one that it updates is left out
// where it does not stand as the batch read it, so that the count tells.
var (
	insertClaims = streamed(hot("insert_claims", `
INSERT INTO claim (bucket, hash, issuance) SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[])`))

	// A key that was bound for a while is bound again.
	//guard:TestWindowBoundTwice/enough without " AND c.issuance = k.before"
	rebindClaims = streamed(hot("rebind_claims", `
UPDATE claim c SET issuance = k.issuance FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bigint[]) k(bucket, hash, issuance, before)
WHERE c.bucket = k.bucket AND c.hash = k.hash AND c.issuance = k.before`))

	insertLinks = streamed(hot("insert_links", `
INSERT INTO link (bucket, hash, user_id, bare) SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::boolean[])`))

	insertUsers = streamed(hot("insert_users", `
INSERT INTO users (bucket, id, person, body) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::bytea[])`))

	insertIssuances = streamed(hot("insert_issuances", `
INSERT INTO issuance (bucket, id, user_id, template, version, trace, body)
SELECT bucket, id, user_id, template, 1, trace, body
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[], $6::bytea[]) k(bucket, id, user_id, template, trace, body)`))

	// An issuance that is continued.
	updateIssuances = streamed(hot("update_issuances", `
UPDATE issuance i SET version = i.version + 1, template = k.template, trace = k.trace, body = k.body
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::uuid[], $5::bytea[], $6::integer[]) k(bucket, id, template, trace, body, version)
WHERE i.bucket = k.bucket AND i.id = k.id AND i.version = k.version`))

	// The rows of an issuance that is continued are there already; written again, they count.
	writeIssuanceTemplates = streamed(hot("write_issuance_templates", `
INSERT INTO issuance_template (bucket, template, id) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[])
ON CONFLICT (bucket, template, id) DO UPDATE SET id = excluded.id`))

	writeClock = streamed(spanning("write_clock", "one row of a table with 64", `
INSERT INTO clock (slot, now, id_millis) VALUES ($1, $2, $3)
ON CONFLICT (slot) DO UPDATE SET now = greatest(clock.now, excluded.now), id_millis = greatest(clock.id_millis, excluded.id_millis)`))
)

// What a change writes besides.
var (
	deleteLinks = streamed(hot("delete_links", `
DELETE FROM link l USING unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::boolean[]) k(bucket, hash, user_id, plain)
WHERE l.bucket = k.bucket AND l.hash = k.hash AND l.user_id = k.user_id`))

	writeLinks = streamed(hot("write_links", `
INSERT INTO link (bucket, hash, user_id, bare) SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::boolean[])
ON CONFLICT (bucket, hash) DO UPDATE SET user_id = excluded.user_id, bare = excluded.bare`))

	writeUsers = streamed(hot("write_users", `
INSERT INTO users (bucket, id, person, body) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::bytea[])
ON CONFLICT (bucket, id) DO UPDATE SET person = excluded.person, body = excluded.body`))

	writeState = streamed(spanning("write_state", "one row", `
UPDATE state SET changes = changes + 1, catalogue_current = CASE WHEN $1::bigint = 0 THEN catalogue_current ELSE $1 END`))

	notifyChange = streamed(spanning("notify_change", "no table", `SELECT pg_notify($1, '')`))
)
