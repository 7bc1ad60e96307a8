package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Errors of Open on a database that is none for faquan. Nothing was changed in it.
var (
	// ErrOld: the server is older than what this program is tested with.
	ErrOld = errors.New("the server is older than PostgreSQL 15")
	// ErrEncoding: the database could not keep every text.
	ErrEncoding = errors.New("the database's encoding is not UTF8; make another with ENCODING 'UTF8'")
	// ErrForeign: the database has tables, and they are not faquan's.
	ErrForeign = errors.New("the database holds tables of something else; give faquan a database of its own, which is empty at first")
	// ErrHidden: the store's tables are there, but new ones would come before them, and all that was issued would be
	// issued again. A schema with the user's name, made for something else, does that.
	ErrHidden = errors.New("the tables are in another schema than the first of search_path; put theirs first: ALTER ROLE user SET search_path = public")
)

// oldestServer is the version that is promised and tested, as server_version_num counts.
const oldestServer = 15_00_00

// askDatabase asks in one statement, so that it sees all tables of a migration under way or none. What an extension has
// brought along is nobody's.
var askDatabase = spanning("ask_database", "the catalogue of the database", `
SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), ARRAY(
  SELECT relname::text FROM pg_class c WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT relispartition AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY relname), (
  SELECT count(*) = 3 FROM pg_class WHERE relname IN ('turn', 'claim', 'issuance') AND relkind IN ('r', 'p') AND pg_table_is_visible(oid)
    AND relnamespace <> (SELECT oid FROM pg_namespace WHERE nspname = current_schema()))`)

// acceptable refuses a database that is none for faquan, before anything is made in it.
func acceptable(ctx context.Context, pool *pgxpool.Pool) error {
	var (
		version  int
		encoding string
		tables   []string
		hidden   bool
	)
	if err := pool.QueryRow(ctx, askDatabase.text).Scan(&version, &encoding, &tables, &hidden); err != nil {
		return err
	}
	if hidden {
		return ErrHidden
	}
	return accept(version, encoding, tables)
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

// foreign says whether the tables are another program's. The migrations' own table does not count: other programs keep
// theirs under the same name.
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
