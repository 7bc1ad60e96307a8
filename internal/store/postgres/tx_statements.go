package postgres

// The statements of a batch, in the order in which they are sent. Each takes arrays of one length, an element for each
// row, sorted as the store's locks are: two batches that want the same rows want them in the same order.

// What all batches look at, in one statement so that it is of one moment. The database's clock is the one that counts.
var readState = spanning("read_state", "one row, and one of each slot", `
SELECT catalogue_version, coalesce((SELECT max(now) FROM clock), 0), floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
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

	loadCounts = spanning("load_counts", "counters of templates are not distributed", `
SELECT template, count, amount FROM template_count WHERE template = ANY($1::bigint[])`)

	// Of each template the latest day: now is never before it.
	loadLatestDays = spanning("load_latest_days", "counters of templates are not distributed", `
SELECT k.template, d.day, d.count, d.amount FROM unnest($1::bigint[]) k(template)
CROSS JOIN LATERAL (SELECT * FROM template_day d WHERE d.template = k.template ORDER BY d.day DESC LIMIT 1) d`)

	loadDays = spanning("load_days", "counters of templates are not distributed", `
SELECT template, day, count, amount FROM template_day WHERE template = ANY($1::bigint[]) AND day = $2`)
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

	loadUsers = hot("load_users", `
SELECT u.body FROM unnest($1::smallint[], $2::bigint[]) k(bucket, id)
JOIN users u ON u.bucket = k.bucket AND u.id = k.id`)

	loadMembers = spanning("load_members", "the users of a person may have come to it from anywhere", `
SELECT person, id FROM users WHERE person = ANY($1::text[]) ORDER BY person, id`)

	loadQuotas = hot("load_quotas", `
SELECT k.ord, q.total, q.day, q.day_total
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY k(bucket, user_id, template, ord)
JOIN quota q ON q.bucket = k.bucket AND q.user_id = k.user_id AND q.template = k.template`)

	loadParticipations = hot("load_participations", `
SELECT k.ord, p.body
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY k(bucket, user_id, activity, ord)
JOIN participation p ON p.bucket = k.bucket AND p.user_id = k.user_id AND p.activity = k.activity`)
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

	insertQuotas = streamed(hot("insert_quotas", `
INSERT INTO quota (bucket, user_id, template, total, day, day_total)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[])`))

	//guard:TestHotStatementsStayInTheirBucket without "q.bucket = k.bucket AND "
	updateQuotas = streamed(hot("update_quotas", `
UPDATE quota q SET total = k.total, day = k.day, day_total = k.day_total
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[], $7::bigint[]) k(bucket, user_id, template, total, day, day_total, before)
WHERE q.bucket = k.bucket AND q.user_id = k.user_id AND q.template = k.template AND q.total = k.before`))

	insertParticipations = streamed(hot("insert_participations", `
INSERT INTO participation (bucket, user_id, activity, total, at, body)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])`))

	updateParticipations = streamed(hot("update_participations", `
UPDATE participation p SET total = k.total, at = k.at, body = k.body
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bigint[]) k(bucket, user_id, activity, total, at, body, before)
WHERE p.bucket = k.bucket AND p.user_id = k.user_id AND p.activity = k.activity AND p.total = k.before`))

	writeCounts = streamed(spanning("write_counts", "counters of templates are not distributed", `
INSERT INTO template_count (template, count, amount) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
ON CONFLICT (template) DO UPDATE SET count = excluded.count, amount = excluded.amount`))

	writeDays = streamed(spanning("write_days", "counters of templates are not distributed", `
INSERT INTO template_day (template, day, count, amount) SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[])
ON CONFLICT (template, day) DO UPDATE SET count = excluded.count, amount = excluded.amount`))

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

	writeSessions = streamed(hot("write_sessions", `
INSERT INTO session (bucket, digest, expires, body) SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bytea[])
ON CONFLICT (bucket, digest) DO UPDATE SET expires = excluded.expires, body = excluded.body`))

	writeEntities = streamed(spanning("write_entities", "the catalogue is not distributed", `
INSERT INTO entity (kind, id, body) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body`))

	writeVersion = streamed(spanning("write_version", "the catalogue is not distributed", `
INSERT INTO entity_version (version, kind, id, body) SELECT $4, k.* FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) k`))

	writeState = streamed(spanning("write_state", "one row", `
UPDATE state SET changes = changes + 1, catalogue_version = CASE WHEN $1::bigint = 0 THEN catalogue_version ELSE $1 END`))

	notifyChange = streamed(spanning("notify_change", "no table", `SELECT pg_notify($1, '')`))
)
