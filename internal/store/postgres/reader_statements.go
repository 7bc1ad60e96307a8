package postgres

// The statements of readers.

var (
	// A snapshot is taken by its first statement, not by BEGIN.
	takeSnapshot = spanning("take_snapshot", "one row", `SELECT changes FROM state`)

	readClaim = hot("read_claim", `SELECT issuance FROM claim WHERE bucket = $1 AND hash = $2`)

	readIssuance = hot("read_issuance", `SELECT body FROM issuance WHERE bucket = $1 AND id = $2`)

	// The vouchers of an issuance follow its id without a gap, and all carry its millisecond and bucket. So only the ids
	// of this one millisecond and bucket are looked at: the index of ids holds those of all buckets, and without the lower
	// bound it would be read back to the last issuance of the bucket.
	//guard:TestIssuanceOfLooksAtOneMillisecond "id >= $2" -> "$2::bigint > -1"
	readIssuanceOf = hot("read_issuance_of", `
SELECT body FROM issuance WHERE bucket = $1 AND id >= $2 AND id <= $3 ORDER BY id DESC LIMIT 1`)

	readUserIssuances = hot("read_user_issuances", `
SELECT body FROM issuance WHERE bucket = $1 AND user_id = $2 AND id > $3 ORDER BY id LIMIT $4`)

	// The primary key, read backwards. The order names the user, too, so that no other index has it: with user_id = $2 the
	// planner may go backwards through the ids of all users instead.
	//guard:TestRecentIssuancesAreReadBackwards without "user_id DESC, "
	readRecentIssuances = hot("read_recent_issuances", `
SELECT body FROM issuance WHERE bucket = $1 AND user_id >= $2 AND (user_id, id) < ($2, $3)
ORDER BY user_id DESC, id DESC LIMIT $4`)

	readTemplateIssuances = spanning("read_template_issuances", "a template's vouchers are everybody's", `
WITH k AS (
  (SELECT bucket, id FROM issuance WHERE template = $1 AND id > $2 ORDER BY id LIMIT $3)
  UNION
  (SELECT bucket, id FROM issuance_template WHERE template = $1 AND id > $2 ORDER BY id LIMIT $3)
)
SELECT i.body FROM (SELECT bucket, id FROM k ORDER BY id LIMIT $3) k
JOIN issuance i ON i.bucket = k.bucket AND i.id = k.id ORDER BY i.id`)

	// As readRecentIssuances: in each of the tables the index of the template's ids alone has the order.
	readRecentOfTemplate = spanning("read_recent_of_template", "a template's vouchers are everybody's", `
WITH k AS (
  (SELECT bucket, id FROM issuance WHERE template >= $1 AND (template, id) < ($1, $2) ORDER BY template DESC, id DESC LIMIT $3)
  UNION
  (SELECT bucket, id FROM issuance_template WHERE template >= $1 AND (template, id) < ($1, $2) ORDER BY template DESC, id DESC LIMIT $3)
)
SELECT i.body FROM (SELECT bucket, id FROM k ORDER BY id DESC LIMIT $3) k
LEFT JOIN issuance i ON i.bucket = k.bucket AND i.id = k.id ORDER BY k.id DESC`)

	//guard:TestListsAreReadBackwards without "trace DESC, "
	readRecentOfTrace = spanning("read_recent_of_trace", "a caller may use one trace id for many users", `
SELECT body FROM issuance WHERE trace >= $1 AND (trace, id) < ($1, $2) ORDER BY trace DESC, id DESC LIMIT $3`)

	readTraceIssuances = spanning("read_trace_issuances", "a caller may use one trace id for many users", `
SELECT body FROM issuance WHERE trace = $1 AND id > $2 ORDER BY id LIMIT $3`)

	readLink = hot("read_link", `SELECT user_id FROM link WHERE bucket = $1 AND hash = $2`)

	readUser = hot("read_user", `SELECT body FROM users WHERE bucket = $1 AND id = $2`)
)

// wholeTable is why the following span.
const wholeTable = "it goes through a whole table"

var (
	allIssuances = spanning("all_issuances", wholeTable, `SELECT body FROM issuance ORDER BY id`)

	allUsers = spanning("all_users", wholeTable, `SELECT body FROM users ORDER BY id`)
)
