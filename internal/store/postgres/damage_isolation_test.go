package postgres_test

import (
	"errors"
	"fmt"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/postgres"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// A request whose key leads to no issuance is answered as unknown, alone: the others of its batch are issued.
func TestLostIssuanceInABatch(t *testing.T) {
	p := processes(t, 1, template(1))[0]
	if got := p.issue(asks("lost", "u", 1)); got.err != nil {
		t.Fatal(got.err)
	}
	execute(t, p.url, "DELETE FROM issuance")
	all := <-p.ask(asks("a", "u", 1), asks("lost", "u", 1), asks("b", "v", 1), asks("c", "w", 1))
	for k, got := range all {
		switch damaged := k == 1; {
		case damaged && (!errors.Is(got.err, engine.ErrUnknown) || !errors.Is(got.err, store.ErrDamaged)):
			t.Errorf("the key of a lost issuance: %+v", got)
		case !damaged && (got.err != nil || got.Reason != benefit.NotRefused):
			t.Errorf("request %d of the same batch: %+v", k, got)
		}
	}
	wantIssuances(t, p, 3)
}

// A caller who asks for what is lost is not answered that there never was anything, and the question costs no connection.
func TestLookUpsOfLostRows(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	st := open(t, postgres.Options{URL: url, CallerClock: true})
	defer st.Close()
	login := benefit.Identifier{Type: benefit.Login, Value: "somebody"}
	somebody := &benefit.User{ID: 1 << 30, Name: "somebody", Identifiers: []benefit.Identifier{login}}
	if err := storetest.Write(t.Context(), st, storetest.Start, &benefit.Changes{Users: []*benefit.User{somebody}}); err != nil {
		t.Fatal(err)
	}
	c := storetest.NewCommitter(st, storetest.Catalogue(storetest.Template(1)), 1)
	first := issued(t, c, "lost").Issuance
	execute(t, url, "INSERT INTO issuance_template SELECT bucket, 2, id FROM issuance; DELETE FROM issuance; DELETE FROM users")
	pids := sessions(t, url)
	for i, err := range st.RecentOfTemplate(t.Context(), 2, 0) {
		if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("the list of a lost issuance: %+v, %v", i, err)
		}
	}
	if i, err := st.Claim(t.Context(), first.Scope, first.Key); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("the key of a lost issuance: %+v, %v", i, err)
	}
	if i, err := st.Claim(t.Context(), first.Scope, "another"); i != nil || err != nil {
		t.Errorf("another key: %+v, %v", i, err)
	}
	if u, err := st.Recipient(t.Context(), login); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("the identifier of a lost user: %+v, %v", u, err)
	}
	if u, err := st.Recipient(t.Context(), benefit.RefTo(somebody.ID)); u != nil || err != nil {
		t.Errorf("a reference to a lost user: %+v, %v", u, err)
	}
	wantKept(t, url, pids)
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if i, err := r.Claim(t.Context(), first.Scope, first.Key); i != nil || err != nil {
		t.Errorf("the key of a lost issuance, of a reader: %+v, %v", i, err)
	}
	if u, err := r.Recipient(t.Context(), login); u != nil || err != nil {
		t.Errorf("the identifier of a lost user, of a reader: %+v, %v", u, err)
	}
}

// What a table's trigger swallows is not acknowledged, and nothing else of that commit stays.
func TestSwallowedWrites(t *testing.T) {
	cat := storetest.Catalogue(storetest.Template(1), storetest.Template(2))
	login := func(value string) benefit.Identifier { return benefit.Identifier{Type: benefit.Login, Value: value} }
	user := benefit.UserID(1)
	// A step writes for the first time or, in other values, again.
	type step = func(t *testing.T, st store.Store, c *storetest.Committer, n int) error
	issue := func(t *testing.T, _ store.Store, c *storetest.Committer, n int) error {
		_, err := c.Issue(t.Context(), storetest.Start, storetest.Request(fmt.Sprint(n), "2088", storetest.Line(1), storetest.Line(2)))
		return err
	}
	toAnother := func(t *testing.T, _ store.Store, c *storetest.Committer, n int) error {
		_, err := c.Issue(t.Context(), storetest.Start, storetest.Request(fmt.Sprint(n), fmt.Sprint(2088+n), storetest.Line(1)))
		return err
	}
	ofAnother := func(t *testing.T, _ store.Store, c *storetest.Committer, n int) error {
		_, err := c.Issue(t.Context(), storetest.Start, storetest.Request(fmt.Sprint(n), "2088", storetest.Line(benefit.TemplateID(1+n))))
		return err
	}
	change := func(changes func(n int) *benefit.Changes) step {
		return func(t *testing.T, st store.Store, _ *storetest.Committer, n int) error {
			return storetest.Write(t.Context(), st, storetest.Start, changes(n))
		}
	}
	users := change(func(n int) *benefit.Changes {
		return &benefit.Changes{Users: []*benefit.User{{ID: user, Name: "somebody", Frozen: n > 0, Identifiers: []benefit.Identifier{login(fmt.Sprint(n))}}}}
	})
	granted := change(func(n int) *benefit.Changes {
		return &benefit.Changes{Rows: []table.Rows{benefit.Sessions.Rows(&benefit.Session{Digest: benefit.SessionDigest("s"), App: 1, Merchant: 1, Expires: benefit.Instant(n + 1)})}}
	})
	entities := change(func(n int) *benefit.Changes {
		return &benefit.Changes{Catalogue: int64(n + 1), Rows: []table.Rows{
			benefit.Entities.Rows(benefit.Entity{Kind: benefit.TemplateEntity, ID: 1, Body: fmt.Appendf(nil, `{"n":%d}`, n)}),
		}}
	})
	joined := change(func(n int) *benefit.Changes {
		return &benefit.Changes{Rows: []table.Rows{benefit.Participations.Rows(benefit.Participation{
			ParticipationKey: benefit.ParticipationKey{User: user, Activity: 1}, Total: int64(n + 1), At: storetest.Start,
		})}}
	})
	for name, c := range map[string]struct {
		table, on string
		write     step
	}{
		"claims":               {"claim", "INSERT", issue},
		"issuances":            {"issuance", "INSERT", issue},
		"issuances' templates": {"issuance_template", "INSERT", issue},
		"new quotas":           {"quota", "INSERT", toAnother},
		"quotas":               {"quota", "UPDATE", issue},
		"counters":             {"template_count", "UPDATE", issue},
		"counters, as inserts": {"template_count", "INSERT", ofAnother},
		"days":                 {"template_day", "UPDATE", issue},
		"days, as inserts":     {"template_day", "INSERT", ofAnother},
		"the clock":            {"clock", "UPDATE", issue},
		"new users":            {"users", "INSERT", toAnother},
		"new users' names":     {"link", "INSERT", toAnother},
		"users":                {"users", "UPDATE", users},
		"users' names":         {"link", "INSERT", users},
		"users' old names":     {"link", "DELETE", users},
		"sessions":             {"session", "UPDATE", granted},
		"entities":             {"entity", "UPDATE", entities},
		"versions of entities": {"entity_version", "INSERT", entities},
		"the state":            {"state", "UPDATE", entities},
		"participations":       {"participation", "UPDATE", joined},
	} {
		t.Run(name, func(t *testing.T) {
			url := pgtest.Shared(t).Database(t)
			st := open(t, postgres.Options{URL: url, CallerClock: true})
			defer st.Close()
			committer := storetest.NewCommitter(st, cat, 1)
			if err := c.write(t, st, committer, 0); err != nil {
				t.Fatal(err)
			}
			before := contents(t, st)
			execute(t, url, "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
			execute(t, url, fmt.Sprintf("CREATE TRIGGER swallow BEFORE %s ON %s FOR EACH ROW EXECUTE FUNCTION swallow()", c.on, c.table))
			pids := sessions(t, url)
			if err := c.write(t, st, committer, 1); !errors.Is(err, store.ErrNotCommitted) {
				t.Errorf("it was answered with %v", err)
			}
			if diff := storetest.Diff(before, contents(t, st)); diff != "" {
				t.Errorf("it left something (-before +after):\n%s", diff)
			}
			wantKept(t, url, pids)
			execute(t, url, "DROP TRIGGER swallow ON "+c.table)
			if err := c.write(t, st, committer, 1); err != nil {
				t.Errorf("without the trigger: %v", err)
			}
		})
	}
}

func contents(t *testing.T, st store.Store) *storetest.Contents {
	t.Helper()
	c, err := storetest.ContentsOf(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
