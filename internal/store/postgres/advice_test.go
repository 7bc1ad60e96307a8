package postgres

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"faquan/internal/pgtest"
)

// Who starts on a database for the first time, and has one thing wrong, reads which, and never a password.
func TestAdvice(t *testing.T) {
	server := pgtest.Shared(t)
	role := "r_" + strings.ToLower(crand.Text())
	for _, statement := range []string{"CREATE ROLE " + role + " LOGIN", "CREATE ROLE " + role + "_nobody NOLOGIN"} {
		if err := server.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	database := server.Database(t)
	changed := func(change func(*url.URL)) string {
		u, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("postgres", "hush")
		change(u)
		return u.String()
	}
	fencedURL := server.Database(t)
	u, _ := url.Parse(fencedURL)
	if err := server.Exec("ALTER DATABASE " + strings.TrimPrefix(u.Path, "/") + " SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ url, want string }{
		"no such database":     {changed(func(u *url.URL) { u.Path = "/nosuch" }), "CREATE DATABASE"},
		"no such user":         {changed(func(u *url.URL) { u.User = url.UserPassword("nosuch", "hush") }), "pg_hba.conf"},
		"may not log in":       {changed(func(u *url.URL) { u.User = url.UserPassword(role+"_nobody", "hush") }), "pg_hba.conf"},
		"may make nothing":     {changed(func(u *url.URL) { u.User = url.UserPassword(role, "hush") }), "ALTER DATABASE"},
		"nobody there":         {changed(func(u *url.URL) { u.Host = "127.0.0.1:1" }), "listen_addresses"},
		"an unknown parameter": {database + "&pool_max_con=4", "the URL has an unknown parameter"},
		"no TLS":               {strings.Replace(database, "sslmode=disable", "sslmode=require", 1), "does not support TLS"},
		"takes no writes":      {fencedURL, "a standby answers"},
		"one of two is there":  {strings.Replace(fencedURL, "@", "@127.0.0.1:1,", 1), "a standby answers"},
		"fenced, and wanted":   {fencedURL + "&target_session_attrs=any", "a standby answers"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), Options{URL: c.url, CallerClock: true})
			if err == nil {
				s.Close()
				t.Fatal("it opens")
			}
			if got := Advice(err); !strings.Contains(got, c.want) {
				t.Errorf("%v\nthe advice is %q", err, got)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Error("the error shows the password")
			}
		})
	}
}

// What no server of the tests answers: without passwords, with names of the network, in a moment in between.
func TestAdviceByCode(t *testing.T) {
	pg := func(code string) error { return &pgconn.PgError{Code: code, SeverityUnlocalized: "FATAL"} }
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a wrong password":        {errors.Join(errors.New("tls error: server refused TLS connection"), fmt.Errorf("failed SASL auth: %w", pg("28P01"))), "PGPASSWORD"},
		"the primary is starting": {fmt.Errorf("connecting: %w", errors.Join(pgconn.ErrReadOnlyConnection, pg("57P03"))), "starting"},
		"no room":                 {pg("53300"), "max_connections"},
		"a misspelt host":         {&net.DNSError{Err: "no such host", Name: "db9"}, "spelling"},
		"what says all":           {ErrForeign, ""},
		"nothing":                 {nil, ""},
	} {
		if got := Advice(c.err); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A database that is none for faquan is refused before anything is made in it.
func TestNotEveryDatabase(t *testing.T) {
	server := pgtest.Shared(t)
	for name, c := range map[string]struct {
		statements []string
		want       error
	}{
		"another program's": {[]string{"CREATE TABLE users (id int)", "CREATE TABLE goose_db_version (id int)"}, ErrForeign},
		"a view of theirs":  {[]string{"CREATE VIEW v AS SELECT 1"}, ErrForeign},
		"elsewhere":         {[]string{"CREATE SCHEMA theirs", "CREATE TABLE theirs.users (id int)"}, nil},
		"hidden":            {[]string{"CREATE TABLE turn ()", "CREATE TABLE claim ()", "CREATE TABLE issuance ()", "CREATE SCHEMA postgres"}, ErrWhichSchema},
		"a name to quote":   {[]string{`CREATE SCHEMA "Shop.1"`, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = "Shop.1"', current_database()); END $$`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			at := server.Database(t)
			conn, err := pgx.Connect(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			const tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
			count := func() (n int) {
				if err := conn.QueryRow(t.Context(), tables).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			for _, statement := range c.statements {
				if _, err := conn.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			before := count()
			for range 2 { // the second time on what the first has made
				s, err := Open(t.Context(), Options{URL: at, CallerClock: true})
				if !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if err == nil {
					s.Close()
				}
			}
			if c.want != nil && count() != before {
				t.Errorf("%d tables and indexes, there were %d", count(), before)
			}
		})
	}
	latin := "latin_" + strings.ToLower(crand.Text())
	if err := server.Exec("CREATE DATABASE " + latin + " ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{URL: server.URL(latin), CallerClock: true}); !errors.Is(err, ErrEncoding) {
		t.Errorf("LATIN1: %v", err)
	}
}

func TestAccept(t *testing.T) {
	ours := []string{"claim", "clock", "goose_db_version", "issuance", "issuance_template", "state", "turn"}
	for name, c := range map[string]struct {
		version int
		tables  []string
		want    error
	}{
		"empty":               {15_00_00, nil, nil},
		"ours":                {17_00_02, ours, nil},
		"ours, and one more":  {15_00_04, append([]string{"backup"}, ours...), nil},
		"begun":               {15_00_00, []string{"goose_db_version"}, nil},
		"theirs":              {15_00_00, []string{"goose_db_version", "users"}, ErrForeign},
		"theirs, like ours":   {15_00_00, []string{"claim", "state"}, ErrForeign},
		"an old server":       {14_00_11, nil, ErrOld},
		"a much older server": {9_06_24, nil, ErrOld},
	} {
		if err := accept(c.version, "UTF8", c.tables); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := accept(15_00_00, "UTF8", []string{"a", "b", "c", "d", "e", "f", "g"}); !strings.HasSuffix(err.Error(), "(a, b, c, d, e, 2 more)") {
		t.Error(err)
	}
}
