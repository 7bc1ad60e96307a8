package ha_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/pgtest/ha"
)

// insert writes one row through the connection string of the pair, on a connection of its own.
func insert(ctx context.Context, url string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "INSERT INTO kept VALUES ($1)", n)
	return err
}

func rows(t *testing.T, url string) (all []int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	found, err := conn.Query(t.Context(), "SELECT n FROM kept ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	if all, err = pgx.CollectRows(found, pgx.RowTo[int]); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFailover: a commit waits for both nodes, the loss of the primary loses no commit, and the pair can lose the other
// one, too, when the first is back.
func TestFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: TestHA of cmd/faquan loses a primary, too")
	}
	began := time.Now()
	pair := ha.Start(t)
	t.Logf("the pair took %v", time.Since(began))
	url := pair.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var standbys string
	if err := conn.QueryRow(t.Context(), "SHOW synchronous_standby_names").Scan(&standbys); err != nil || standbys == "" {
		t.Fatalf("replication is not synchronous: %q, %v", standbys, err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}

	for turn := range 2 {
		if err := insert(t.Context(), url, 2*turn); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		pair.KillPrimary(t)
		if err := insert(t.Context(), url, -1); err == nil {
			t.Error("a row was written while there was no primary")
		}
		for insert(t.Context(), url, 2*turn+1) != nil {
			if time.Since(killed) > time.Minute {
				t.Fatal("nobody takes writes so long after the loss of the primary")
			}
		}
		t.Logf("failover %d: no writes for %v", turn+1, time.Since(killed).Round(time.Millisecond))
		pair.WaitForNewPrimary(t)
		if got, want := rows(t, url), 2*turn+2; len(got) != want {
			t.Errorf("rows %v, want %d", got, want)
		}
		began := time.Now()
		pair.Revive(t)
		t.Logf("the other node was back after %v", time.Since(began).Round(time.Millisecond))
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a connection to the first primary has outlived it")
	}
}
