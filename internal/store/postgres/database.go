package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Errors of Open on an unsuitable database. Nothing was changed in it.
var (
	// ErrOld: the server is older than what this program is tested with.
	ErrOld = errors.New("the server is older than PostgreSQL 15")
	// ErrEncoding: the database could not keep every text.
	ErrEncoding = errors.New("the database's encoding is not UTF8; make another with ENCODING 'UTF8'")
	// ErrForeign: the schema has tables, and they are not faquan's.
	ErrForeign = errors.New("the database holds tables of another program; give faquan an empty database of its own")
	// ErrNoSchema is returned when the schema that is to be used does not exist.
	ErrNoSchema = errors.New("the schema does not exist")
	// ErrNoUsage is returned when the user may not use the schema.
	ErrNoUsage = errors.New("the user may not use the schema")
	// ErrWhichSchema is returned when the database holds a store, and it is not clear that this is the one to use. On a
	// new store, or another one, everything that was issued would be issued again.
	ErrWhichSchema = errors.New("it is not clear which schema to use")
)

// ErrOtherStore is returned when a connection leads to another store than the one that was opened, or to none: the
// database, its schema or the server behind its name was replaced. Such a connection is never used.
var ErrOtherStore = errors.New("the database holds another store than the one that this process was started on")

// oldestServer is the version that is promised and tested, as server_version_num counts.
const oldestServer = 15_00_00

// readStores lists the schemas that hold a store, in one statement so that it sees all tables of a migration under way or none.
// Names that begin with pg_ are the server's: a temporary schema goes with its connection.
var readStores = spanning("read_stores", "the catalogue of the database", `
SELECT coalesce(current_schema()::text, ''), ARRAY(SELECT nspname::text FROM pg_namespace n
  WHERE 3 = (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid AND relname IN ('turn', 'claim', 'issuance') AND relkind IN ('r', 'p'))
    AND nspname !~ '^pg_'
  ORDER BY nspname)`)

// readSchema describes a schema. What an extension has brought along is not counted.
var readSchema = spanning("read_schema", "the catalogue of the database", `
SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
  (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1), ARRAY(
  SELECT relname::text FROM pg_class c WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT relispartition AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY relname)`)

// findSchema returns the schema of the store. named is the one of the URL, or "". It refuses an unsuitable database before
// anything is made in it.
func (s *Store) findSchema(ctx context.Context, conn *pgx.Conn, named string) (string, error) {
	var current string
	var stores []string
	if err := conn.QueryRow(ctx, readStores.text).Scan(&current, &stores); err != nil {
		return "", err
	}
	schema, err := chooseSchema(named, current, stores)
	if err != nil {
		return "", err
	}
	var (
		version  int
		encoding string
		usable   *bool // nil when there is no such schema
		tables   []string
	)
	if err := conn.QueryRow(ctx, readSchema.text, schema).Scan(&version, &encoding, &usable, &tables); err != nil {
		return "", err
	}
	switch {
	case usable == nil:
		return "", fmt.Errorf("%w: CREATE SCHEMA %s", ErrNoSchema, quoted(schema))
	case !*usable: // search_path would skip it
		return "", fmt.Errorf("%w: GRANT USAGE, CREATE ON SCHEMA %s TO the user", ErrNoUsage, quoted(schema))
	}
	if err := accept(version, encoding, tables); err != nil { //guard:TestNotEveryDatabase
		return "", err
	}
	if len(stores) > 0 && !slices.Contains(stores, schema) {
		s.log.Warn("a new store is made in a database that holds another one", "schema", schema, "others", stores)
	}
	return schema, nil
}

// chooseSchema picks the schema that the URL names, or else the first one of search_path. search_path belongs to whoever
// may alter the role or the database, so it decides only while there is no store, and is never followed from one store to
// another.
func chooseSchema(named, current string, stores []string) (string, error) {
	switch {
	case named != "":
		return named, nil
	//guard:TestNoStoreBesideAnother without len(stores) == 1 && stores[0] != current
	case len(stores) > 1 || len(stores) == 1 && stores[0] != current: //guard:TestSearchPathMovesNoStore without len(stores) > 1
		return "", fmt.Errorf("%w: the database holds a store in %s, and search_path begins with %q. Add schema=NAME to the store's URL",
			ErrWhichSchema, strings.Join(quotedAll(stores), " and in "), current)
	case current == "":
		return "", fmt.Errorf("%w: search_path names none that does. Add schema=NAME to the store's URL", ErrNoSchema)
	}
	return current, nil
}

func quotedAll(names []string) []string {
	all := make([]string, len(names))
	for k, name := range names {
		all[k] = strconv.Quote(name)
	}
	return all
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// searchPath finds the tables of the schema alone. Without pg_temp at its end a temporary table would come first.
func searchPath(schema string) string { return quoted(schema) + ", pg_temp" } //guard:TestTemporaryTables without ", pg_temp"

// readStoreID reads which store a connection's statements reach: the table is found as theirs are.
var readStoreID = spanning("read_store_id", "one row", `SELECT id::text FROM state`)

// sameStore accepts a connection that leads to the store that was opened. It is asked for each new connection: where
// several hosts are named, the driver then tries the next one.
func (s *Store) sameStore(ctx context.Context, conn *pgconn.PgConn) error {
	got := conn.ExecParams(ctx, readStoreID.text, nil, nil, nil, nil).Read()
	var pg *pgconn.PgError
	switch {
	case errors.As(got.Err, &pg) && pg.Code == "42P01": // no such table
		return fmt.Errorf("%w: schema %q has no store", ErrOtherStore, s.schema)
	case got.Err != nil:
		return got.Err
	case len(got.Rows) != 1 || string(got.Rows[0][0]) != s.id:
		return ErrOtherStore
	}
	return nil
}

func accept(version int, encoding string, tables []string) error {
	switch {
	case version < oldestServer:
		return fmt.Errorf("%w (it is %d.%d)", ErrOld, version/10_000, version%10_000)
	case encoding != "UTF8":
		return fmt.Errorf("%w (it is %s)", ErrEncoding, encoding)
	case foreign(tables):
		return fmt.Errorf("%w (%s)", ErrForeign, shortList(tables))
	}
	return nil
}

// foreign reports whether the tables are another program's. The migrations' own table does not count: other programs
// keep theirs under the same name.
func foreign(tables []string) bool {
	for _, ours := range []string{"state", "turn", "claim", "issuance"} {
		if !slices.Contains(tables, ours) {
			return slices.ContainsFunc(tables, func(name string) bool { return name != "goose_db_version" })
		}
	}
	return false
}

func shortList(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
