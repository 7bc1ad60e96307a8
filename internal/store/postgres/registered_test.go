package postgres_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/pgtest"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
)

// A database from before users said whether they are registered: those that are only an identifier count as made by
// issuing where their first issue can be the one that made them, and as the directory's where it cannot.
func TestUsersFromBeforeRegistration(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	options := postgres.Partitioned(postgres.Options{URL: url, CallerClock: true}, 4)
	st := open(t, options)
	// Each user in a bucket of its own, made by the operator at Start.
	user := func(k int, value string) *benefit.User {
		return &benefit.User{
			ID:          id.NewGenerator(rand.New(rand.NewPCG(1, 1)), 0).Block(int64(storetest.Start), k, 1),
			Identifiers: []benefit.Identifier{{Type: benefit.TaobaoID, Value: value}},
		}
	}
	idle, later, named := user(1, "idle"), user(2, "later"), user(3, "named")
	named.Name = "named"
	write := func(at benefit.Instant, c *benefit.Changes) {
		t.Helper()
		if err := storetest.Write(t.Context(), st, at, c); err != nil {
			t.Fatal(err)
		}
	}
	write(storetest.Start, &benefit.Changes{Users: []*benefit.User{idle, later, named}})
	c := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(1)), 1)
	ask := func(at benefit.Instant, key, value string) benefit.UserID {
		t.Helper()
		r := storetest.Request(key, "", storetest.Line(1))
		r.Recipient = benefit.Identifier{Type: benefit.TaobaoID, Value: value}
		all, err := c.Issue(t.Context(), at, r)
		if err != nil || all[0].Issuance == nil {
			t.Fatalf("%s: %+v, %v", key, all, err)
		}
		return all[0].Issuance.User
	}
	made := ask(storetest.Start+60_000, "made", "made")
	ask(storetest.Start+90_000, "made again", "made")
	ask(storetest.Start+60_000, "later", "later")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	// As the version before wrote them.
	toSchema2(t, url)
	execute(t, url, "UPDATE users SET body = set_byte(body, 9, 0) WHERE get_byte(body, 8) = 0")
	execute(t, url, "ALTER TABLE link RENAME COLUMN bare TO plain")
	execute(t, url, "UPDATE link SET plain = true WHERE user_id <> $1", int64(named.ID))
	execute(t, url, "DELETE FROM goose_db_version WHERE version_id = 2")

	st = open(t, options)
	defer st.Close()
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, want := range map[string]struct {
		user         benefit.UserID
		unregistered bool
	}{"idle": {idle.ID, false}, "later": {later.ID, false}, "named": {named.ID, false}, "made": {made, true}} {
		u, err := r.Recipient(t.Context(), benefit.Identifier{Type: benefit.TaobaoID, Value: name})
		if err != nil || u == nil || u.ID != want.user || u.Unregistered != want.unregistered || u.Frozen {
			t.Errorf("%s is %+v, %v; want user %d, unregistered %v", name, u, err, want.user, want.unregistered)
		}
		byID, err := r.User(t.Context(), want.user)
		if err != nil || byID == nil || byID.Unregistered != want.unregistered {
			t.Errorf("%s by id is %+v, %v", name, byID, err)
		}
	}
	conn := connect(t, url)
	defer conn.Close(t.Context())
	var pg *pgconn.PgError
	if _, err := conn.Exec(t.Context(), "SELECT plain FROM link"); !errors.As(err, &pg) || pg.Code != "42703" {
		t.Errorf("a statement of the version before answers %v", err)
	}
	check, err := st.OpenCheck(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer check.Close()
	if report, err := check.Compare(t.Context(), 9); err != nil || len(report.Faults) > 0 {
		t.Errorf("the rows do not agree: %+v, %v", report, err)
	}
}
