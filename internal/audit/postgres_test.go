package audit

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store/memory"
	"faquan/internal/store/postgres"
)

func openPostgres(t testing.TB, url string) *postgres.Store {
	t.Helper()
	st, err := postgres.Open(t.Context(), postgres.Options{URL: url, CallerClock: true})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return st
}

func auditPostgres(t testing.TB, url string) *Report {
	t.Helper()
	st := openPostgres(t, url)
	defer st.Close()
	report, err := Postgres(t.Context(), st, Options{LookupEvery: 1, Checksum: true})
	if err != nil {
		t.Fatalf("Postgres: %v", err)
	}
	return report
}

// A healthy database has no findings and no doubts but of persons, and means what the plain store means.
func TestHealthyDatabase(t *testing.T) {
	// An answer that is confirmed moves the clock of a database, and not that of the plain store. With these seeds that does not
	// show.
	for _, seed := range []uint64{0, 2, 5, 7} {
		at := pgtest.Shared(t).Database(t)
		st, model := openPostgres(t, at), memory.New()
		live(t, st, seed, 120)
		live(t, model, seed, 120)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		report := auditPostgres(t, at)
		wantFindings(t, report)
		if report.Checked.Events < 20 {
			t.Errorf("seed %d: only %d events", seed, report.Checked.Events)
		}
		for _, d := range report.Doubts {
			if d.Rule != rulePerPerson {
				t.Errorf("seed %d: doubt: %+v", seed, d)
			}
		}
		if got := checksumOf(t, model).Differences(report.Checksum); len(got) > 0 {
			t.Errorf("seed %d: %q", seed, got)
		}
		for _, table := range []string{"issuance", "claim", "issuance_template", "users", "link", "quota", "participation", "session"} {
			if report.Postgres.Rows[table] == 0 && table != "issuance_template" {
				t.Errorf("seed %d: no rows of %s were compared: %v", seed, table, report.Postgres.Rows)
			}
		}
	}
}

// template is a database to copy, with rows of every kind.
func databaseFixture(t testing.TB) (server *pgtest.Server, at string) {
	t.Helper()
	server = pgtest.Shared(t)
	at = server.Database(t)
	st := openPostgres(t, at)
	newStage().play(t, st)
	live(t, st, 5, 150)
	if err := st.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	newStory().tell(t, st)
	session := &benefit.Session{Digest: benefit.Digest{7, 7, 7}, Sealed: []byte("sealed"), App: 1, Expires: midnight}
	write(t, st, midnight, &benefit.Changes{Rows: benefit.RowsOf(benefit.Sessions.Rows([]*benefit.Session{session}...))})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return server, at
}

// copyDatabase makes a database of the same rows.
func copyDatabase(t testing.TB, server *pgtest.Server, from string) (to string) {
	t.Helper()
	name := func(text string) string {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(u.Path, "/")
	}
	to = server.Database(t)
	for _, statement := range []string{"DROP DATABASE " + name(to), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name(to), name(from))} {
		if err := server.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func damage(t testing.TB, at, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tag, err := conn.Exec(t.Context(), statement)
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%s: %v, %d rows", statement, err, tag.RowsAffected())
	}
}

// Each way in which the tables can disagree is found, and named.
func TestDamagedDatabase(t *testing.T) {
	server, at := databaseFixture(t)
	wantFindings(t, auditPostgres(t, at))
	const (
		one     = " WHERE id = (SELECT max(id) FROM issuance)"
		aClaim  = " WHERE (bucket, hash) = (SELECT bucket, hash FROM claim ORDER BY issuance LIMIT 1)"
		aLink   = " WHERE (bucket, hash) = (SELECT bucket, hash FROM link ORDER BY user_id LIMIT 1)"
		aUser   = " WHERE id = (SELECT min(id) FROM users)"
		aQuota  = " WHERE (user_id, template) = (SELECT user_id, template FROM quota ORDER BY 1, 2 LIMIT 1)"
		aJoin   = " WHERE (user_id, activity) = (SELECT user_id, activity FROM participation ORDER BY 1, 2 LIMIT 1)"
		another = "(bucket + 1) % 1024"
	)
	rebound := told(t).issuance(boundAgain)
	for _, test := range []struct {
		statement string
		want      string // one of the findings
	}{
		{
			fmt.Sprintf("UPDATE claim SET issuance = (SELECT max(id) FROM issuance WHERE id < claim.issuance) WHERE hash = '%v'", benefit.ClaimIDOf(rebound.Scope, rebound.Key)),
			"database: claim: of issuance: want a row for its key and each of its codes, got one of issuance",
		},
		{"UPDATE issuance SET bucket = " + another + one, "database: issuance: issuance: bucket"},
		{"UPDATE issuance SET user_id = user_id + 1" + one, "database: issuance: : user: want"},
		{"UPDATE issuance SET template = template + 1" + one, "database: issuance: : template: want"},
		{"UPDATE issuance SET trace = NULL WHERE id = (SELECT max(id) FROM issuance WHERE trace IS NOT NULL)", "database: issuance: : hash of the trace id"},
		{"UPDATE issuance SET body = '\\x00'" + one, "database: want a body that can be read"},
		{"DELETE FROM issuance" + one, "database: claim: of issuance: want an issuance, got none"},
		{"DELETE FROM claim" + aClaim, "database: claim: of issuance: want a row for its key and each of its codes, got none"},
		{"UPDATE claim SET bucket = " + another + aClaim, "database: claim: bucket: want"},
		{"UPDATE claim SET hash = gen_random_uuid()" + aClaim, "database: claim: want keys and codes of its own, got another"},
		{"UPDATE claim SET issuance = 5" + aClaim, "database: claim: of issuance 5: want an issuance, got none"},
		{"UPDATE claim SET issuance = (SELECT max(id) FROM issuance)" + aClaim, "database: claim: want keys and codes of its own, got another"},
		{"INSERT INTO claim VALUES (1, gen_random_uuid(), 99)", "database: claim: of issuance 99: want an issuance"},
		{"INSERT INTO issuance_template SELECT bucket, 999, id FROM issuance" + one, "database: issuance_template: template 999: want nothing, got a row"},
		{"INSERT INTO issuance_template VALUES (3, 999, 77)", "database: issuance_template: of issuance 77: want an issuance, got none"},
		{"DELETE FROM issuance_template WHERE id = (SELECT max(id) FROM issuance_template)", "database: issuance_template: want a row, got none"},
		{"UPDATE issuance_template SET bucket = " + another + " WHERE id = (SELECT max(id) FROM issuance_template)", "database: issuance_template: want a row, got none"},

		{"DELETE FROM users" + aUser, "database: link: of user: want a user, got none"},
		{"UPDATE users SET bucket = " + another + aUser, "database: users: user: bucket"},
		{"UPDATE link SET bare = NOT bare" + aLink, "database: link: want identifiers that the user has"},
		{"UPDATE users SET person = 'somebody'" + aUser, "database: users: person: want what the user's body says"},
		{"UPDATE users SET body = '\\x00'" + aUser, "database: want a body that can be read"},
		{"DELETE FROM link" + aLink, "database: link: of user: want a row for each of its identifiers and its handle, got 1 missing"},
		{"UPDATE link SET bucket = " + another + aLink, "database: link: want identifiers that the user has"},
		{"UPDATE link SET user_id = (SELECT max(id) FROM users)" + aLink, "database: link: want identifiers that the user has"},
		{"INSERT INTO link SELECT 1, gen_random_uuid(), 99, bare FROM link LIMIT 1", "database: link: of user 99: want a user"},

		{"UPDATE quota SET bucket = " + another + aQuota, "database: quota: bucket"},
		{"UPDATE quota SET total = total + 1" + aQuota, "limits: "},
		{"UPDATE participation SET bucket = " + another + aJoin, "database: participation: bucket"},
		{"UPDATE participation SET body = '\\xff'" + aJoin, "database: participation: want a row that can be read"},

		{"UPDATE session SET bucket = " + another, "database: session: bucket"},
		{"UPDATE session SET expires = 1", "database: session: expires: want "},
		{"UPDATE session SET digest = gen_random_uuid() WHERE digest = (SELECT digest FROM session LIMIT 1)", "database: session: want the key that its body names, got another"},

		{"UPDATE voucher_state SET bucket = " + another, "database: voucher_state: bucket"},
		{"UPDATE voucher_state SET redeemed = redeemed + 1 WHERE status = 3", "redemptions: its state: want USED"},
		{"UPDATE voucher_operation SET bucket = " + another, "database: voucher_operation: bucket"},
		{"UPDATE voucher_operation SET reversed = 0 WHERE reversed > 0", "redemptions: in its list: want redeem"},
		{"UPDATE operation SET bucket = " + another, "database: operation: bucket"},
		{"DELETE FROM operation WHERE kind = 4", "redemptions: in its list: want none"},
		{"UPDATE operation SET claim = gen_random_uuid() WHERE kind = 4", "one outcome: its key"},
		{"UPDATE operation SET result = '{' WHERE kind = 4", "redemptions: want a result that can be read"},
		{"UPDATE order_redemption SET at = at + 1", "redemptions: the instant by which its order is found"},

		{"UPDATE entity SET body = body || ' '::bytea WHERE kind = 3", "database: entity: want what the last version brought, got another"},
		{"DELETE FROM entity WHERE kind = 1", "database: entity: want what the last version brought, got none"},
		{"DELETE FROM entity_version WHERE kind = 1", "database: entity: got a row that no version brought"},
		{"UPDATE state SET catalogue_current = 1", "database: state: version of the catalogue"},
		{"DELETE FROM clock", "database: clock: the last committed now"},
		{"UPDATE clock SET id_millis = 5", "database: clock: the latest millisecond of an id"},
		{"UPDATE template_count SET count = count + 1", "totals: "},

		{"DELETE FROM feed WHERE seq = (SELECT max(seq) FROM feed)", "events: the events of the feed: want one for each"},
		{"DELETE FROM feed_new WHERE id = (SELECT max(id) FROM feed_new)", "events: the events of the feed: want one for each"},
		{"INSERT INTO feed_new (now, body) SELECT now, body FROM feed_new ORDER BY id DESC LIMIT 1", "events: the events of the feed: want one for each"},
		{"UPDATE feed SET now = now + 1 WHERE seq = (SELECT max(seq) FROM feed)", "events: the events of the feed: want one for each: some of which are others"},
		{"UPDATE feed SET body = '\\xff' WHERE seq = (SELECT max(seq) FROM feed)", "events: the feed: want commits that can be read"},
	} {
		t.Run(test.statement[:min(len(test.statement), 50)], func(t *testing.T) {
			t.Parallel()
			copied := copyDatabase(t, server, at)
			damage(t, copied, test.statement)
			st := openPostgres(t, copied)
			defer st.Close()
			report, err := Postgres(t.Context(), st, Options{LookupEvery: 1})
			if err != nil {
				t.Fatalf("Postgres: %v", err)
			}
			want := strings.SplitN(test.want, ": ", 2)
			var all []string
			for _, f := range report.Findings {
				text := f.String()
				all = append(all, text)
				if string(f.Invariant) == want[0] && partsInOrder(text, strings.Split(test.want, ": ")) {
					return
				}
			}
			t.Errorf("%d findings, none of which is %q:\n\t%s", len(all), test.want, strings.Join(all[:min(8, len(all))], "\n\t"))
		})
	}
}

// partsInOrder reports whether the text has the parts, one after the other.
func partsInOrder(text string, parts []string) bool {
	for _, p := range parts {
		_, after, found := strings.Cut(text, p)
		if !found {
			return false
		}
		text = after
	}
	return true
}

// What a reader must not learn from a report never stands in one.
func TestDatabaseFaultsTellNoSecrets(t *testing.T) {
	server, at := databaseFixture(t)
	copied := copyDatabase(t, server, at)
	for _, statement := range []string{"UPDATE link SET bucket = (bucket + 1) % 1024", "UPDATE claim SET bucket = (bucket + 1) % 1024", "UPDATE users SET person = 'Zhang San'"} {
		damage(t, copied, statement)
	}
	st := openPostgres(t, copied)
	defer st.Close()
	report, err := Postgres(t.Context(), st, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) < 10 {
		t.Fatalf("%d findings", len(report.Findings))
	}
	for _, f := range report.Findings {
		for _, secret := range []string{"2088", "Zhang", "send 0", "decide 3"} {
			if strings.Contains(f.String(), secret) {
				t.Errorf("%s tells %s", f, secret)
			}
		}
	}
}
