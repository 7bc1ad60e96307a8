package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/store/codec"
	"faquan/internal/table"
)

// Check examines one snapshot of a store without changing anything in it, beside processes that issue.
//
// What is counted and promised is for package audit, which reads by the check's Reader. Compare looks at what only the
// tables of this store can get wrong, and what no reader would show: a row in another bucket than that in which it is
// looked for, columns and indexes that do not say what the row itself does, links and claims that lead nowhere.
type Check struct {
	r         *reader
	maxFaults int
	report    CheckReport

	latest id.ID           // of an issuance's voucher or a user
	now    benefit.Instant // of an issue
}

// CheckReport describes what a check found.
type CheckReport struct {
	Rows   map[string]int64 // that were compared, by table
	Faults []Fault
	More   int64 // faults beyond the most that were asked for
}

// Fault is a row that is not as the others say. Rows are named by ids; keys, identifiers and codes never appear.
type Fault struct {
	Table string
	Row   string
	Want  string
	Got   string
}

// OpenCheck takes the snapshot. Close it soon: it keeps the database from clearing up.
func (s *Store) OpenCheck(ctx context.Context) (*Check, error) {
	r, err := openReader(ctx, s.reading)
	if err != nil {
		return nil, err
	}
	return &Check{r: r.(*reader), report: CheckReport{Rows: map[string]int64{}}}, nil
}

// Reader answers from the snapshot. It ends with the check.
func (c *Check) Reader() store.Reader { return sharedReader{c.r} }

// sharedReader is a reader whose Close does nothing: its owner closes it.
type sharedReader struct{ *reader }

func (sharedReader) Close() error { return nil }

// Close releases the connection.
func (c *Check) Close() error { return c.r.Close() }

// Compare compares every row with its columns, its bucket and the rows that lead to it. It reads each table once, in
// the order of what leads to what, and asks for single rows only where something is missing. Faults beyond maxFaults
// are counted.
func (c *Check) Compare(ctx context.Context, maxFaults int) (*CheckReport, error) {
	c.maxFaults = maxFaults
	for _, step := range []func(context.Context) error{
		c.issuances, c.users, c.rows, c.catalogue, c.clock,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &c.report, nil
}

func (c *Check) fault(table, row string, want, got any) {
	if len(c.report.Faults) >= c.maxFaults {
		c.report.More++
		return
	}
	c.report.Faults = append(c.report.Faults, Fault{table, row, fmt.Sprint(want), fmt.Sprint(got)})
}

// same reports a column that is not what it should be.
func same[V comparable](c *Check, table, row string, want, got V) {
	if want != got {
		c.fault(table, row, want, got)
	}
}

var (
	checkIssuances = spanning("check_issuances", wholeTable, `
SELECT bucket, id, user_id, template, trace, body FROM issuance ORDER BY id`)

	checkClaims = spanning("check_claims", wholeTable, `
SELECT issuance, bucket, hash FROM claim ORDER BY issuance`)

	checkLists = spanning("check_lists", wholeTable, `
SELECT id, bucket, template FROM issuance_template ORDER BY id`)

	checkUsers = spanning("check_users", wholeTable, `SELECT bucket, id, coalesce(person, ''), body FROM users ORDER BY id`)

	checkLinks = spanning("check_links", wholeTable, `SELECT user_id, bucket, hash, bare FROM link ORDER BY user_id`)

	checkEntities = spanning("check_entities", "the catalogue is not distributed", `
SELECT kind, id, v.body IS NULL, e.body IS NULL FROM entity e FULL JOIN
  (SELECT DISTINCT ON (kind, id) kind, id, body FROM entity_version ORDER BY kind, id, version DESC) v USING (kind, id)
WHERE e.body IS DISTINCT FROM v.body ORDER BY kind, id`)

	checkState = spanning("check_state", "a row of each slot", `
SELECT catalogue_current, coalesce((SELECT max(version) FROM entity_version), 0),
  coalesce((SELECT max(now) FROM clock), 0), coalesce((SELECT max(id_millis) FROM clock), 0) FROM state`)
)

// The rows of these statements, column by column.
type (
	issuanceRow struct {
		Bucket         int16
		ID             id.ID
		User, Template int64
		Trace          uuid
		Body           []byte
	}
	claimLead struct {
		Issuance id.ID
		Bucket   int16
		Hash     uuid
	}
	listLead struct {
		ID       id.ID
		Bucket   int16
		Template benefit.TemplateID
	}
	userRow struct {
		Bucket int16
		ID     benefit.UserID
		Person string
		Body   []byte
	}
	entityRow struct {
		Kind              int16
		ID                int64
		NoVersion, NoneIn bool
	}
)

// issuances iterates over the issuances with the claims and lists that lead to them beside.
func (c *Check) issuances(ctx context.Context) error {
	claims := follow(ctx, c, "claim", checkClaims, "issuance", "an issuance", func(l claimLead) id.ID { return l.Issuance })
	defer claims.stop()
	lists := follow(ctx, c, "issuance_template", checkLists, "issuance", "an issuance", func(l listLead) id.ID { return l.ID })
	defer lists.stop()
	for row, err := range listed(ctx, c.r, checkIssuances, pgx.RowToStructByPos[issuanceRow]) {
		if err != nil {
			return fmt.Errorf("reading the issuances: %w", err)
		}
		c.report.Rows["issuance"]++
		its, err := claims.upTo(row.ID)
		if err != nil {
			return err
		}
		listed, err := lists.upTo(row.ID)
		if err != nil {
			return err
		}
		if err := c.issuance(ctx, &row, its, listed); err != nil {
			return err
		}
	}
	if _, err := claims.upTo(afterAll); err != nil {
		return err
	}
	_, err := lists.upTo(afterAll)
	return err
}

// issuance compares one with its columns and with what leads to it.
func (c *Check) issuance(ctx context.Context, row *issuanceRow, claims []claimLead, lists []listLead) error {
	name := fmt.Sprint("issuance ", row.ID)
	i, err := codec.DecodeIssuance(row.Body)
	if err != nil {
		c.fault("issuance", name, "a body that can be read", err)
		return nil
	}
	c.latest, c.now = max(c.latest, i.ID), max(c.now, i.At())
	var first int64
	if len(i.Lines) > 0 {
		first = int64(i.Lines[0].Template)
	}
	same(c, "issuance", name+": id", i.ID, row.ID)
	//guard:internal/audit.TestDamagedDatabase homeBucket(i.ID) -> row.Bucket
	same(c, "issuance", name+": bucket", homeBucket(i.ID), row.Bucket)
	same(c, "issuance", name+": user", int64(i.User), row.User)
	same(c, "issuance", name+": template", first, row.Template)
	same(c, "issuance", name+": hash of the trace id", traceHash(i.Note.TraceID), row.Trace)
	c.lists(name, i, lists)
	return c.claims(ctx, name, i, claims)
}

// lists compares an issuance with the lists of templates that it is in.
func (c *Check) lists(name string, i *benefit.Issuance, got []listLead) {
	var want templateRows
	want.add(i)
	for _, l := range got {
		k := slices.Index(want.templates, int64(l.Template))
		if k < 0 || want.buckets[k] != l.Bucket {
			c.fault("issuance_template", fmt.Sprintf("%s, template %d, bucket %d", name, l.Template, l.Bucket), "nothing", "a row")
			continue
		}
		want.templates[k] = 0 // found
	}
	for _, t := range want.templates {
		if t != 0 {
			c.fault("issuance_template", fmt.Sprintf("%s, template %d", name, t), "a row", "none")
		}
	}
}

// claims compares an issuance with the keys that lead to it. A key that was bound for a while may lead to a later one,
// which has a greater id.
func (c *Check) claims(ctx context.Context, name string, i *benefit.Issuance, got []claimLead) error {
	want := i.ClaimKeys()
	for _, l := range got {
		k := slices.IndexFunc(want, func(w benefit.ClaimKey) bool { return uuidOf(w.ID) == l.Hash })
		switch {
		case k < 0:
			c.fault("claim", "of "+name, "keys and codes of its own", "another")
			continue
		case bucketOf(want[k].ID) != l.Bucket:
			c.fault("claim", "of "+name+": bucket", bucketOf(want[k].ID), l.Bucket)
		}
		want = slices.Delete(want, k, k+1)
	}
	for _, w := range want {
		bound, err := one(ctx, c.r, readClaim, pgx.RowTo[int64], bucketOf(w.ID), uuidOf(w.ID))
		if err != nil {
			return err
		}
		//guard:internal/audit.TestDamagedDatabase id.ID(bound) <= i.ID -> bound == 0
		if id.ID(bound) <= i.ID || i.BindMillis == 0 || w.Scope == benefit.CodeScope {
			got := "none"
			if bound != 0 {
				got = fmt.Sprint("one of issuance ", bound)
			}
			c.fault("claim", "of "+name, "a row for its key and each of its codes", got)
		}
	}
	return nil
}

// users iterates over the users with the links that lead to them beside.
func (c *Check) users(ctx context.Context) error {
	links := follow(ctx, c, "link", checkLinks, "user", "a user", func(l linkRow) id.ID { return l.User })
	defer links.stop()
	for row, err := range listed(ctx, c.r, checkUsers, pgx.RowToStructByPos[userRow]) {
		if err != nil {
			return fmt.Errorf("reading the users: %w", err)
		}
		c.report.Rows["users"]++
		its, err := links.upTo(row.ID)
		if err != nil {
			return err
		}
		c.user(&row, its)
	}
	_, err := links.upTo(afterAll)
	return err
}

func (c *Check) user(row *userRow, got []linkRow) {
	name := fmt.Sprint("user ", row.ID)
	u, err := codec.DecodeUser(row.Body)
	if err != nil {
		c.fault("users", name, "a body that can be read", err)
		return
	}
	c.latest = max(c.latest, u.ID)
	same(c, "users", name+": id", u.ID, row.ID)
	same(c, "users", name+": bucket", homeBucket(u.ID), row.Bucket)
	if u.Person != row.Person {
		c.fault("users", name+": person", "what the user's body says", "another")
	}
	want := lastOfEach(linksOf(u))
	for _, l := range got {
		if k := slices.Index(want, l); k >= 0 {
			want = slices.Delete(want, k, k+1)
		} else {
			c.fault("link", "of "+name, "identifiers that the user has", "another, or in another bucket")
		}
	}
	if len(want) > 0 {
		c.fault("link", "of "+name, "a row for each of its identifiers and its handle", fmt.Sprintf("%d missing", len(want)))
	}
}

// rows compares the rows that tables describe with their own keys.
func (c *Check) rows(ctx context.Context) error {
	for _, kind := range table.Kinds() {
		for found, err := range c.r.storedRows(ctx, kind, nil) {
			if err != nil {
				return fmt.Errorf("reading table %s: %w", kind.Name, err)
			}
			c.report.Rows[kind.Name]++
			name := kind.RowName(found.row.Key)
			//guard:internal/audit.TestDamagedDatabase kind.Bucket(found.row.Key) -> found.bucket
			same(c, kind.Name, name+": bucket", kind.Bucket(found.row.Key), found.bucket)
			var again table.Row
			v, err := kind.Decode(&found.row)
			if err == nil {
				err = kind.Encode(v, &again)
			}
			switch {
			case err != nil:
				c.fault(kind.Name, name, "a row that can be read", err)
			//guard:internal/audit.TestDamagedDatabase
			case !bytes.Equal(kind.AppendKey(nil, again.Key), kind.AppendKey(nil, found.row.Key)):
				c.fault(kind.Name, name, "the key that its body names", "another")
			default:
				for k, column := range kind.Value { // a body may have been written in an older form
					if column.Type == table.Int {
						same(c, kind.Name, name+": "+column.Name, again.Value[k].Int, found.row.Value[k].Int) //guard:internal/audit.TestDamagedDatabase
					}
				}
			}
		}
	}
	return nil
}

// catalogue compares the entities in force with the last form that a version brought.
func (c *Check) catalogue(ctx context.Context) error {
	for r, err := range listed(ctx, c.r, checkEntities, pgx.RowToStructByPos[entityRow]) {
		if err != nil {
			return fmt.Errorf("reading the catalogue: %w", err)
		}
		got := "another"
		switch {
		case r.NoVersion:
			got = "a row that no version brought"
		case r.NoneIn:
			got = "none"
		}
		c.fault("entity", fmt.Sprintf("kind %d, id %d", r.Kind, r.ID), "what the last version brought", got)
	}
	return nil
}

// clock compares the bounds of the store with what is in it.
func (c *Check) clock(ctx context.Context) error {
	var catalogue, version, now, millis int64
	if err := c.r.conn.QueryRow(ctx, checkState.text).Scan(&catalogue, &version, &now, &millis); err != nil {
		return err
	}
	c.atLeast("state", "version of the catalogue", version, catalogue)
	c.atLeast("clock", "the last committed now", int64(c.now), now)
	if c.latest != 0 {
		c.atLeast("clock", "the latest millisecond of an id", c.latest.Millis(), millis)
	}
	return nil
}

func (c *Check) atLeast(table, row string, want, got int64) {
	if got < want {
		c.fault(table, row, fmt.Sprintf("%d or later", want), got)
	}
}
