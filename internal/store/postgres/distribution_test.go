package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"faquan/internal/id"
	"faquan/internal/pgtest"
	"faquan/internal/table"
)

// What a distributed database asks of the schema and of the statements, on one server: each table that grows is cut
// into partitions by its bucket, as it would be into shards.
const testPartitions = 8

// growing returns the tables that the migrations mark, and those of described rows that are distributed.
func growing(t testing.TB) []string {
	t.Helper()
	var all []string
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "CREATE TABLE ")[1:] {
			table, body, _ := strings.Cut(part, " ")
			if strings.Contains(body, distributed+";") {
				all = append(all, table)
			}
		}
	}
	for _, kind := range table.Kinds() {
		if kind.Home != table.Local {
			all = append(all, kind.Name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// newDatabase makes a store's schema in a database of its own, and connects to it as batches do, or as readers.
func newDatabase(t testing.TB, partitions int) (issuing, reading *pgx.Conn) {
	t.Helper()
	st, err := Open(t.Context(), Partitioned(Options{URL: pgtest.Shared(t).Database(t), CallerClock: true}, partitions))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	connect := func(config *pgx.ConnConfig) *pgx.Conn {
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	return connect(st.issuing.Config().ConnConfig), connect(st.reading.Config().ConnConfig)
}

// column reads the one column of a query.
func column[T any](t testing.TB, conn *pgx.Conn, query string, args ...any) []T {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

// TestRulesOfDistribution asks the catalogue of the server for everything that a distributed database refuses.
func TestRulesOfDistribution(t *testing.T) {
	_, conn := newDatabase(t, 0)
	marked := growing(t)
	if len(marked) < 5 {
		t.Fatalf("only %v are marked", marked)
	}
	const columns = `FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped`
	for _, c := range []struct {
		what, query string
		want        []string
	}{
		{"tables with a bucket, and those that are marked", `SELECT c.relname::text ` + columns + ` AND a.attname = 'bucket' ORDER BY 1`, marked},
		{"buckets that are not the first column, or of another type, or null", `SELECT c.relname::text ` + columns + `
AND a.attname = 'bucket' AND (a.attnum <> 1 OR a.atttypid <> 'smallint'::regtype OR NOT a.attnotnull)`, nil},
		{"keys that do not begin with the bucket", `SELECT i.indexrelid::regclass::text FROM pg_index i
WHERE i.indrelid::regclass::text = ANY($1) AND i.indisprimary AND i.indkey[0] <> 1`, nil},
		{"tables without a key", `SELECT x FROM unnest($1::text[]) x
WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = x::regclass AND i.indisprimary)`, nil},
		{"what is unique without the bucket", `SELECT i.indexrelid::regclass::text FROM pg_index i
WHERE i.indrelid::regclass::text = ANY($1) AND (i.indisunique OR i.indisexclusion) AND NOT 1 = ANY(i.indkey::int2[])`, nil},
		{"defaults that are no constants", `SELECT d.adrelid::regclass::text FROM pg_attrdef d
WHERE d.adrelid::regclass::text = ANY($1) AND pg_get_expr(d.adbin, d.adrelid) !~ '^([0-9]+|''[^'']*''::[a-z]+)$'`, nil},
		{"sequences", `SELECT c.relname::text FROM pg_class c
WHERE c.relkind = 'S' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'goose_db_version_id_seq'`, []string{"feed_new_id_seq"}},
		{"foreign keys", `SELECT conname::text FROM pg_constraint WHERE contype = 'f'`, nil},
		{"triggers", `SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal`, nil},
		{"functions", `SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace`, nil},
		{"rules and views", `SELECT ev_class::regclass::text FROM pg_rewrite WHERE ev_class >= 16384`, nil},
		{"tables that inherit", `SELECT inhrelid::regclass::text FROM pg_inherits`, nil},
	} {
		var args []any
		if strings.Contains(c.query, "$1") {
			args = append(args, marked)
		}
		if got := column[string](t, conn, c.query, args...); !slices.Equal(c.want, got) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

var (
	commonTable = regexp.MustCompile(`(?i)\bwith\s+(recursive\s+)?\w+\s*(\([^)]*\)\s*)?as\b`)
	writing     = regexp.MustCompile(`(?i)\b(insert|update|delete|merge)\b`)
	movesBucket = regexp.MustCompile(`(?i)\bset\b[^;]*\bbucket\s*=[^;]*\b(from|where)\b`)
	calls       = regexp.MustCompile(`(?i)\b(nextval|gen_random_uuid|random|currval)\b`)
)

// TestStatementRules looks at the texts: what a distributed database refuses, and whether each statement says which
// buckets it touches, or why it does not.
func TestStatementRules(t *testing.T) {
	statementsOf()
	tables := regexp.MustCompile(`\b(` + strings.Join(growing(t), "|") + `)\b`)
	for name, s := range statements {
		switch {
		case commonTable.MatchString(s.text) && writing.MatchString(s.text):
			t.Errorf("%s writes beside a common table expression", name)
		case calls.MatchString(s.text):
			t.Errorf("%s makes an id or draws in the server", name)
		case s.spans == "" && !tables.MatchString(s.text):
			t.Errorf("%s is marked as one that binds buckets, and touches no table that has them", name)
		case s.spans == "" && !strings.Contains(s.text, "bucket"):
			t.Errorf("%s does not name the bucket", name)
		case s.spans != "" && len(s.spans) < len("one row"):
			t.Errorf("%s may touch all buckets and says only %q", name, s.spans)
		}
		if set, _, _ := strings.Cut(s.text, "WHERE"); movesBucket.MatchString(set + " WHERE") {
			t.Errorf("%s moves rows to another bucket", name)
		}
	}
}

// TestNoNamelessStatements: what touches a growing table is among the statements that are held to the rules.
func TestNoNamelessStatements(t *testing.T) {
	tables := regexp.MustCompile(`(?i)\b(from|join|into|update|table)\s+(only\s+)?(` + strings.Join(growing(t), "|") + `)\b`)
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if f, ok := call.Fun.(*ast.Ident); ok && (f.Name == "hot" || f.Name == "spanning") {
					return false
				}
			}
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING && tables.MatchString(text.Value) {
				t.Errorf("%s: a statement that has no name: %s", files.Position(text.Pos()), text.Value)
			}
			return true
		})
	}
}

// TestPartitionedSchema: the schema is accepted whole when its growing tables are cut by their buckets.
func TestPartitionedSchema(t *testing.T) {
	_, conn := newDatabase(t, testPartitions)
	for _, table := range growing(t) {
		if n := column[int](t, conn, `SELECT count(*) FROM pg_inherits WHERE inhparent = $1::regclass`, table); n[0] != testPartitions {
			t.Errorf("%s has %d partitions", table, n[0])
		}
	}
	whole, _ := newDatabase(t, 0)
	const shape = `SELECT c.relname || ' ' || a.attnum || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 ORDER BY 1`
	if diff := cmp.Diff(column[string](t, whole, shape), column[string](t, conn, shape)); diff != "" {
		t.Errorf("the tables differ (-whole +cut):\n%s", diff)
	}
}

// TestHotStatementsStayInTheirBucket runs each statement that binds buckets, for rows of one bucket, on tables that are
// cut by it and have rows in all of them. No other part may be looked at.
func TestHotStatementsStayInTheirBucket(t *testing.T) {
	issuing, reading := newDatabase(t, testPartitions)
	fillBuckets(t, issuing)
	statementsOf() // of rows, too
	for _, name := range slices.Sorted(maps.Keys(statements)) {
		s := statements[name]
		if s.spans != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			conn := issuing
			if !strings.Contains(s.text, "unnest") {
				conn = reading
			}
			for _, bucket := range []int16{0, 7, 1023} {
				looked := partitionsOf(t, conn, s, bucket)
				want := column[int](t, conn, `SELECT r FROM generate_series(0, $1 - 1) r
WHERE satisfies_hash_partition('claim'::regclass, $1, r, $2::smallint)`, testPartitions, bucket)
				if len(looked) == 0 && strings.HasPrefix(strings.TrimSpace(s.text), "INSERT") {
					continue // it looks at nothing: rows find their place by themselves
				}
				if diff := cmp.Diff(want, looked); diff != "" {
					t.Errorf("for bucket %d it looks at partitions (-want +got):\n%s", bucket, diff)
				}
			}
		})
	}
}

// fillBuckets puts rows into every bucket of every table, and tells the planner of them.
func fillBuckets(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	for _, table := range growing(t) {
		values := column[string](t, conn, `
SELECT CASE WHEN a.attname = 'bucket' THEN '(n % 1024)::smallint'
  ELSE CASE a.atttypid
    WHEN 'uuid'::regtype THEN 'md5(n::text)::uuid' WHEN 'bytea'::regtype THEN $1 WHEN 'text'::regtype THEN '''p''' WHEN 'boolean'::regtype THEN 'true'
    ELSE 'n' END END
FROM pg_attribute a WHERE a.attrelid = $2::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, `'\x00'::bytea`, table)
		fill := fmt.Sprintf("INSERT INTO %s SELECT %s FROM generate_series(1, 8 * %d) n", table, strings.Join(values, ", "), id.Buckets)
		for _, statement := range []string{fill, "ANALYZE " + table} {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
}

// partitionsOf runs a statement with arguments of one bucket and gives the numbers of the partitions that it looked at.
func partitionsOf(t *testing.T, conn *pgx.Conn, s *statement, bucket int16) []int {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) // it writes
	prepared, err := tx.Prepare(t.Context(), "", s.text)
	if err != nil {
		t.Fatal(err)
	}
	args := make([]any, len(prepared.ParamOIDs))
	for k, oid := range prepared.ParamOIDs {
		args[k] = sample(t, oid, bucket, k == 0)
	}
	var plan []byte
	if err := tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+s.text, args...).Scan(&plan); err != nil {
		t.Fatal(err)
	}
	var tops []struct{ Plan planNode }
	if err := json.Unmarshal(plan, &tops); err != nil {
		t.Fatal(err)
	}
	looked := map[int]bool{}
	for _, top := range tops {
		top.Plan.collect(looked)
	}
	return slices.Sorted(maps.Keys(looked))
}

// planNode is as much of a plan as says which relations were looked at.
type planNode struct {
	Type     string     `json:"Node Type"`
	Relation string     `json:"Relation Name"`
	Loops    int        `json:"Actual Loops"`
	Plans    []planNode `json:"Plans"`
}

var partition = regexp.MustCompile(`_p([0-9]+)$`)

func (n *planNode) collect(looked map[int]bool) {
	if m := partition.FindStringSubmatch(n.Relation); m != nil && n.Loops > 0 && n.Type != "ModifyTable" {
		var at int
		fmt.Sscan(m[1], &at)
		looked[at] = true
	}
	for k := range n.Plans {
		n.Plans[k].collect(looked)
	}
}

// sample makes an argument of a type: the bucket in the first place, else something that no row has.
func sample(t *testing.T, oid uint32, bucket int16, first bool) any {
	t.Helper()
	const n, far = 100, 1 << 30
	switch oid {
	case 21: // smallint
		return bucket
	case 20, 23:
		return far
	case 17:
		return []byte("far")
	case 2950:
		return uuid{Bytes: [16]byte{1}, Valid: true}
	case 1005:
		return slices.Repeat([]int16{bucket}, n)
	}
	if first {
		t.Fatalf("its first argument is no bucket but a type %d", oid)
	}
	numbers, small, hashes, texts, bodies := make([]int64, n), make([]int32, n), make([]uuid, n), make([]string, n), make([][]byte, n)
	flags := make([]bool, n)
	for k := range n {
		numbers[k], small[k] = int64(far+k), int32(far+k)
		hashes[k], texts[k], bodies[k] = uuid{Bytes: [16]byte{0xff, byte(k)}, Valid: true}, fmt.Sprint("x", k), []byte{0}
	}
	all := map[uint32]any{1016: numbers, 1007: small, 2951: hashes, 1009: texts, 1001: bodies, 1000: flags}
	if all[oid] == nil {
		t.Fatalf("no sample of type %d", oid)
	}
	return all[oid]
}
