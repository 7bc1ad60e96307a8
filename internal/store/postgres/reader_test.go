package postgres

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/pgtest"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// readingStore returns a store with more rows than are fetched at a time, and a connection beside it.
func readingStore(t *testing.T, users int) (*Store, *pgx.Conn) {
	t.Helper()
	url := pgtest.Shared(t).Database(t)
	st, err := Open(t.Context(), Options{URL: url, CallerClock: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c := &benefit.Changes{}
	var quotas []benefit.Quota
	for k := range users {
		u := benefit.UserID(1+k)<<23 | 3<<13
		c.Users = append(c.Users, &benefit.User{ID: u, Name: fmt.Sprint("n", k), Identifiers: []benefit.Identifier{{Type: "T", Value: fmt.Sprint(k)}}})
		quotas = append(quotas, benefit.Quota{QuotaKey: benefit.QuotaKey{User: u, Template: 1}, Total: int64(1 + k), Day: 1, DayTotal: 1})
	}
	c.Rows = benefit.RowsOf(benefit.Quotas.Rows(quotas...))
	if err := storetest.Write(t.Context(), st, storetest.Start, c); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return st, conn
}

func openedReader(t *testing.T, st *Store) *reader {
	t.Helper()
	r, err := st.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r.(*reader)
}

// Two lists are read at a time, with single questions between, and one is given up: nothing is left of it.
func TestListsInterleave(t *testing.T) {
	const n = 2*fetchRows + 10
	st, _ := readingStore(t, n)
	r := openedReader(t, st)
	users, stopUsers := iter.Pull2(r.AllUsers(t.Context()))
	defer stopUsers()
	quotas, stopQuotas := iter.Pull2(store.All(t.Context(), r, benefit.Quotas))
	for k := range n {
		u, err, ok := users()
		if err != nil || !ok || u.Name != fmt.Sprint("n", k) {
			t.Fatalf("user %d: %+v, %v, %v", k, u, err, ok)
		}
		if k > fetchRows+5 {
			continue
		}
		q, err, ok := quotas()
		if err != nil || !ok || q.Total != int64(1+k) {
			t.Fatalf("quota %d: %+v, %v, %v", k, q, err, ok)
		}
		if k%1000 == 0 {
			if again, err := r.User(t.Context(), u.ID); err != nil || again == nil || again.Name != u.Name {
				t.Fatalf("user %d, asked for between: %+v, %v", k, again, err)
			}
		}
		if k == fetchRows+5 {
			stopQuotas()
		}
	}
	if _, err, ok := users(); ok {
		t.Errorf("there is a user too many, or an error: %v", err)
	}
	stopUsers()
	var left int
	if err := r.conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_cursors WHERE name LIKE 'c%'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d cursors are left: %v", left, err)
	}
}

// A context that ends while the server is busy does not wait for it; the connection is not used again.
func TestReaderGivesUp(t *testing.T) {
	st, conn := readingStore(t, 1)
	r := openedReader(t, st)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), `LOCK TABLE users IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if u, err := r.User(ctx, 1<<23|3<<13); err == nil {
		t.Errorf("a user is read in spite of the lock: %+v", u)
	}
	for _, err := range r.AllUsers(ctx) {
		if err == nil {
			t.Error("a list goes on after its context has ended")
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.User(t.Context(), 1); err == nil {
		t.Error("a closed reader answers")
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("giving up took %v", took)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u, err := openedReader(t, st).User(t.Context(), 1<<23|3<<13); err != nil || u == nil {
		t.Errorf("the next reader: %+v, %v", u, err)
	}
}

// The connections of a pool may lead to a server that is gone. A reader is opened on another.
func TestReaderAfterLostConnections(t *testing.T) {
	st, conn := readingStore(t, 1)
	var all []store.Reader
	for range 2 {
		all = append(all, openedReader(t, st))
	}
	for _, r := range all {
		_ = r.Close() // both connections are idle now
	}
	const end = `SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
	if _, err := conn.Exec(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	if u, err := openedReader(t, st).User(t.Context(), 1<<23|3<<13); err != nil || u == nil {
		t.Errorf("after the connections were lost: %+v, %v", u, err)
	}
}

// What is found by a hash is compared in full: a row under the same hash is not taken for what was asked for.
func TestReaderHashClashes(t *testing.T) {
	st, conn := readingStore(t, 2)
	one, two := benefit.UserID(1<<23|3<<13), benefit.UserID(2<<23|3<<13)
	c := &benefit.Changes{}
	for k := range 6 {
		i := &benefit.Issuance{
			ID: one + id.ID(10+k), Scope: "t/1", Key: fmt.Sprint("k", k), User: one, Note: benefit.Note{TraceID: "trace"},
			Lines: []benefit.IssuedLine{{Line: benefit.Line{Template: 1, Sends: 1, Quantity: 1}, First: one + id.ID(10+k), Amounts: make([]money.Fen, 1), Issued: 1}},
		}
		if k%2 == 0 {
			i.Note.TraceID = "other"
		}
		c.Issuances = append(c.Issuances, i)
	}
	if err := storetest.Write(t.Context(), st, storetest.Start, c); err != nil {
		t.Fatal(err)
	}
	ident := benefit.Identifier{Type: "T", Value: "0"}
	link, name := linkPlace(ident).Hash, linkPlace(nameLink("n0")).Hash
	for _, clash := range []struct {
		statement string
		args      []any
	}{
		{`UPDATE link SET user_id = $1 WHERE hash IN ($2, $3)`, []any{int64(two), link, name}},
		{`UPDATE claim SET issuance = $1 WHERE hash = $2`, []any{int64(c.Issuances[1].ID), uuidOf(benefit.ClaimIDOf("t/1", "k0"))}},
		{`UPDATE issuance SET trace = $1`, []any{traceHash("trace")}},
	} {
		if tag, err := conn.Exec(t.Context(), clash.statement, clash.args...); err != nil || tag.RowsAffected() == 0 {
			t.Fatal(tag, err)
		}
	}
	r := openedReader(t, st)
	if u, err := r.Recipient(t.Context(), ident); u != nil || err != nil {
		t.Errorf("Recipient: %+v, %v", u, err)
	}
	if u, err := r.UserByName(t.Context(), "n0"); u != nil || err != nil {
		t.Errorf("UserByName: %+v, %v", u, err)
	}
	if i, err := r.Claim(t.Context(), "t/1", "k0"); i != nil || err != nil {
		t.Errorf("Claim: %+v, %v", i, err)
	}
	traced, err := r.TraceIssuances(t.Context(), "trace", 0, 3)
	if err != nil || len(traced) != 3 || traced[0].Key != "k1" || traced[2].Key != "k5" {
		t.Errorf("TraceIssuances: %d, %v", len(traced), err)
	}
	var newest []string
	for i, err := range st.RecentOfTrace(t.Context(), "trace", 0) {
		if err != nil {
			t.Fatal(err)
		}
		newest = append(newest, i.Key)
	}
	if fmt.Sprint(newest) != "[k5 k3 k1]" {
		t.Errorf("RecentOfTrace: %v", newest)
	}
}
