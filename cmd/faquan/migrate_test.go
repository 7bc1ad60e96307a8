package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/migrate"
	"faquan/internal/seal"
	"faquan/internal/store/embedded"
	"faquan/internal/store/storetest"
)

// manyVouchers makes a data directory with so many vouchers, each of a user of its own. A batch is in a moment of its own:
// lists of a template are in the order of time, and are slow to read where there is none.
func manyVouchers(t *testing.T, dir string, n int) {
	t.Helper()
	st, err := embedded.Open(embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	template := storetest.Template(1)
	entity, err := benefit.EntityOf(template)
	if err != nil {
		t.Fatal(err)
	}
	if err := storetest.Write(t.Context(), st, storetest.Start, &benefit.Changes{Catalogue: 1, Rows: benefit.RowsOf(benefit.Entities.Rows([]benefit.Entity{entity}...))}); err != nil {
		t.Fatal(err)
	}
	c := storetest.NewCommitter(st, storetest.Catalogue(template), 1)
	for done := 0; done < n; {
		var batch []*benefit.Request
		for ; len(batch) < 500; done++ {
			batch = append(batch, storetest.Request(fmt.Sprint("k", done), fmt.Sprint("2088", done), storetest.Line(1)))
		}
		if _, err := c.Issue(t.Context(), storetest.Start+benefit.Instant(done), batch...); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenKeyFile(dir, false, rand.Reader); err != nil {
		t.Fatal(err)
	}
}

// A move that is killed in the middle goes on where it was, and is proved in the end.
func TestMigrateKilled(t *testing.T) {
	t.Parallel()
	dir, store := filepath.Join(t.TempDir(), "data"), testDatabase(t)
	const vouchers = 20_000
	manyVouchers(t, dir, vouchers)
	move := func() *exec.Cmd {
		cmd := exec.Command("faquan", "migrate-store", "--from", dir, "--to", store)
		cmd.Env = bareEnviron()
		return cmd
	}
	conn, err := pgx.Connect(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	reached := int64(0)
	for kill := range 3 {
		cmd := move()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for until := reached + 2000; reached < until; time.Sleep(time.Millisecond) {
			select {
			case err := <-ended:
				t.Fatalf("kill %d: it has ended at %d rows: %v", kill, reached, err)
			default:
				reached = max(reached, movedRows(t, conn))
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-ended
		serve := exec.Command("faquan", "serve", "--store", store, "--data", dir, "--listen", "127.0.0.1:0")
		serve.Env = bareEnviron()
		if out, err := serve.CombinedOutput(); err == nil || !strings.Contains(string(out), "is being filled from another store") {
			t.Fatalf("serving what is filled half: %v\n%s", err, out)
		}
	}
	out, err := move().CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found := regexp.MustCompile(`: (\d+) rows, and (\d+) before;`).FindStringSubmatch(string(out))
	if found == nil {
		t.Fatalf("it says:\n%s", out)
	}
	rows, _ := strconv.Atoi(found[1])
	before, _ := strconv.Atoi(found[2])
	// Users, issuances, quotas; two counters of the template, a version of the catalogue.
	if want := 3*vouchers + 3; rows+before != want || int64(before) < reached {
		t.Errorf("%d rows and %d before, want %d together, of which %d or more before:\n%s", rows, before, want, reached, out)
	}
	if !strings.Contains(string(out), "both hold the same") || strings.Contains(string(out), "DIFFERENT") {
		t.Errorf("it says:\n%s", out)
	}
}

// movedRows returns how many users and issuances were copied so far.
func movedRows(t *testing.T, conn *pgx.Conn) (n int64) {
	t.Helper()
	var there bool
	err := conn.QueryRow(t.Context(), `SELECT to_regclass('issuance') IS NOT NULL`).Scan(&there)
	if err == nil && there {
		err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM issuance)`).Scan(&n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// On a terminal the bar shows the current step and its progress; elsewhere nothing is written.
func TestMoveBar(t *testing.T) {
	var out bytes.Buffer
	b := &progressBar{w: &out}
	b.update(migrate.Progress{Doing: "auditing"})
	b.update(migrate.Progress{Doing: "copying users", Done: 0, Total: 10})
	time.Sleep(150 * time.Millisecond) // it is drawn ten times a second
	b.update(migrate.Progress{Doing: "copying users", Done: 5, Total: 10})
	b.update(migrate.Progress{Doing: "copying users", Done: 10, Total: 10})
	b.end()
	for _, part := range []string{"auditing", "copying users", "5/10"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in %q", part, out.String())
		}
	}
	out.Reset()
	silent := newBar(&out)
	silent.update(migrate.Progress{Doing: "copying users", Done: 5, Total: 10})
	silent.end()
	if out.Len() > 0 {
		t.Errorf("what is no terminal gets %q", out.String())
	}
}
