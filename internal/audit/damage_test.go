package audit

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/embedded/sumvfs"
	"faquan/internal/store/storetest"
	"faquan/internal/table"
)

// fixture returns a closed directory with several generations and rows of every kind, many of them written more than
// once.
func fixture(t testing.TB) directory {
	t.Helper()
	d := newDirectory(t)
	st := d.open(t)
	for range 2 {
		crowdOf(t, st, 30, 2)
		if err := st.Flush(); err != nil {
			t.Fatalf("Flush: %v", err)
		}
	}
	newStage().play(t, st)
	if err := st.Flush(); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	live(t, st, 5, 150)
	newStory().tell(t, st)
	closeStore(t, st)
	return d
}

// codeHash returns the look-up id of a certificate code, as SQL.
func codeHash(t testing.TB, r store.Reader) string {
	t.Helper()
	for i, err := range r.AllIssuances(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range i.Lines {
			if l.Template == certificate && len(l.Codes) > 0 {
				h := benefit.CodeKey(l.Codes[0]).ID
				return fmt.Sprintf("x'%x'", h[:])
			}
		}
	}
	t.Fatal("there is no certificate code")
	return ""
}

// rowOf returns the row of a kind that the condition is true of, the first one.
func rowOf[K comparable, V any](t testing.TB, r store.Reader, kind *table.Table[K, V], is func(V) bool) V {
	t.Helper()
	for row, err := range store.All(t.Context(), r, kind) {
		if err != nil {
			t.Fatal(err)
		}
		if is(row) {
			return row
		}
	}
	t.Fatalf("there is no such row of %s", kind.Name)
	panic("unreachable")
}

// kept returns what the tables local_row and row_history of the view keep of a row: its key as a condition, and its body, both in SQL.
func kept[K comparable, V any](t testing.TB, kind *table.Table[K, V], v V) (is, body string) {
	t.Helper()
	var row table.Row
	if err := kind.Encode(v, &row); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("(kind=%d AND key=x'%x')", kind.Number, kind.AppendKey(nil, row.Key)),
		fmt.Sprintf("x'%x'", table.AppendColumns(nil, kind.Value, row.Value))
}

// changed returns SQL that gives a row of the view another body; a kind that grows may have several rows of the key, of which
// it is the last one.
func changed[K comparable, V any](t testing.TB, kind *table.Table[K, V], v V) string {
	t.Helper()
	is, body := kept(t, kind, v)
	in := "local_row"
	if kind.Home != table.Local {
		in = "row_history"
	}
	return fmt.Sprintf("UPDATE %[1]s SET body=%[2]s WHERE %[3]s AND at=(SELECT max(at) FROM %[1]s WHERE %[3]s)", in, body, is)
}

// copyOf returns the directory once more, for damage.
func (d directory) copyOf(t testing.TB) directory {
	t.Helper()
	c := d
	c.o.Dir = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(c.o.Dir, os.DirFS(d.o.Dir)); err != nil {
		t.Fatalf("copying: %v", err)
	}
	return c
}

func (d directory) sql(t testing.TB, script string) {
	t.Helper()
	uri, err := sumvfs.URI(embedded.ViewPath(d.o.Dir)) // what it changes has checksums that match
	if err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(uri, sqlite.OpenReadWrite|sqlite.OpenURI)
	if err != nil {
		t.Fatalf("opening the view: %v", err)
	}
	before := changesOf(t, conn)
	if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	if changesOf(t, conn) == before {
		t.Fatalf("%s: changes nothing", script)
	}
	if err := conn.Close(); err != nil {
		t.Fatalf("closing the view: %v", err)
	}
}

func changesOf(t testing.TB, conn *sqlite.Conn) (n int64) {
	t.Helper()
	if err := sqlitex.ExecuteTransient(conn, "SELECT total_changes()", &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		n = stmt.ColumnInt64(0)
		return nil
	}}); err != nil {
		t.Fatalf("total_changes: %v", err)
	}
	return n
}

// Every row of the view that is changed, lost or made up is found, and named.
func TestDamagedView(t *testing.T) {
	whole := fixture(t)
	wantFindings(t, whole.audit(t))
	check, err := embedded.OpenCheck(t.Context(), whole.o)
	if err != nil {
		t.Fatalf("OpenCheck: %v", err)
	}
	r := check.Reader()
	code := codeHash(t, r)
	// Rows of described kinds: the key as it is, and then something changed.
	count := rowOf(t, r, benefit.TemplateCounts, func(c benefit.TemplateCount) bool { return c.Template == crowdTemplate })
	isCount, _ := kept(t, benefit.TemplateCounts, count)
	count.Count--
	day := rowOf(t, r, benefit.TemplateDays, func(d benefit.TemplateDay) bool { return d.Template == crowdTemplate })
	isDay, _ := kept(t, benefit.TemplateDays, day)
	day.Amount--
	session := rowOf(t, r, benefit.Sessions, func(*benefit.Session) bool { return true })
	isSession, _ := kept(t, benefit.Sessions, session)
	session.Expires++
	entity := rowOf(t, r, benefit.Entities, func(e benefit.Entity) bool { return e.Kind == benefit.TemplateEntity && e.ID == crowdTemplate })
	isEntity, _ := kept(t, benefit.Entities, entity)
	entity.Body = append(entity.Body, ' ')
	form := rowOf(t, r, benefit.EntityVersions, func(v benefit.EntityVersion) bool { return v.Kind == benefit.ActivityEntity && v.ID == boxed })
	isForm, _ := kept(t, benefit.EntityVersions, form)
	form.Body = append(form.Body, ' ')
	joined := rowOf(t, r, benefit.Participations, func(p benefit.Participation) bool { return p.Activity == boxed })
	isJoined, _ := kept(t, benefit.Participations, joined)
	lastJoined := isJoined + " AND at=(SELECT max(at) FROM row_history WHERE " + isJoined + ")"
	joined.DaySends++
	voucher := rowOf(t, r, benefit.VoucherStates, func(s benefit.VoucherState) bool { return s.Status == benefit.Used })
	isVoucher, _ := kept(t, benefit.VoucherStates, voucher)
	voucher.Redeemed--
	operation := rowOf(t, r, benefit.Operations, func(o benefit.Operation) bool { return o.Kind == benefit.RedeemOperation })
	isOperation, _ := kept(t, benefit.Operations, operation)
	operation.At++
	entry := rowOf(t, r, benefit.VoucherOperations, func(o benefit.VoucherOperation) bool { return o.Reversed > 0 })
	isEntry, _ := kept(t, benefit.VoucherOperations, entry)
	entry.Reversed--
	order := rowOf(t, r, benefit.OrderRedemptions, func(benefit.OrderRedemption) bool { return true })
	isOrder, _ := kept(t, benefit.OrderRedemptions, order)
	order.At++
	if err := check.Close(); err != nil { // the directory is copied
		t.Fatalf("Close: %v", err)
	}

	for _, test := range []struct {
		name, sql string
		want      []string
	}{
		{"a lost issuance", "DELETE FROM issuance WHERE id=(SELECT min(id) FROM issuance)", []string{"view: issuance: id "}},
		{"swapped bodies", `CREATE TEMP TABLE two AS SELECT id, body FROM issuance ORDER BY id LIMIT 2;
			UPDATE issuance SET body=(SELECT body FROM two WHERE two.id<>issuance.id) WHERE id IN (SELECT id FROM two)`,
			[]string{"view: issuance: id ", "view: issuance: id "}},
		{"a body that is cut", "UPDATE issuance SET body=substr(body, 1, 20) WHERE id=(SELECT max(id) FROM issuance)", []string{"view: issuance: id "}},
		{"an issuance that is made up", "INSERT INTO issuance SELECT id+1, body FROM issuance ORDER BY id LIMIT 1", []string{"view: issuance: id  & want no such row"}},
		{"a missing claim", "DELETE FROM claim WHERE hash=(SELECT min(hash) FROM claim)", []string{"view: claim: hash  & got no such row"}},
		{"a claim of another issuance", "UPDATE claim SET id=(SELECT max(id) FROM issuance) WHERE hash=(SELECT min(hash) FROM claim)", []string{"view: claim: hash  & got no such row", "view: claim: hash  & want no such row"}},
		{"a claim that says two things", "INSERT INTO claim SELECT gen+1, hash, id+1 FROM claim WHERE gen=1 LIMIT 1", []string{
			"view: claim: hash  & want no such row, got a row", "view: generation: generation 2, claim  & hides it",
		}},
		{"a key bound again that has its older issuance", `CREATE TEMP TABLE two AS SELECT hash, max(id) AS id FROM claim GROUP BY hash HAVING count(*)>1 ORDER BY min(id) LIMIT 1;
			UPDATE claim SET gen=2 WHERE (hash, id) IN (SELECT hash, id FROM two)`, []string{
			"view: claim: hash  & want generation 3 or later, which has an older issuance, got generation 2", "view: generation: generation 2, claim hash  & hides it",
		}},
		{"a claim where nobody looks", "UPDATE claim SET gen=77 WHERE gen=2", []string{"view: claim: generation 77: want a listed generation"}},
		{"a counter of the ledger", "UPDATE ledger SET total=total+1 WHERE at=(SELECT min(at) FROM ledger)", []string{"view: ledger: user "}},
		{"a high bit of the ledger", "UPDATE ledger SET day=day+(1<<40) WHERE at=(SELECT min(at) FROM ledger)", []string{"view: ledger: user "}},
		{"a missing row of the ledger", "DELETE FROM ledger WHERE at=(SELECT max(at) FROM ledger)", []string{"view: ledger: user  & got no such row"}},
		{"a row of the ledger in an older generation", "UPDATE ledger SET gen=1 WHERE at=(SELECT max(at) FROM ledger)", []string{
			"view: ledger: generations 1 and 2: want journal records that follow", "view: generation: generation 1, ledger user  & hides it",
		}},
		{"a missing entry of a template's list", "UPDATE template_block SET ids=substr(ids, 9) WHERE last=(SELECT min(last) FROM template_block)", []string{
			"view: template_block: template 50 & want ids in order", "view: template_block: template 50, issuance  & want a row, got no such row",
		}},
		{"a missing block", "DELETE FROM template_block WHERE last=(SELECT max(last) FROM template_block)", []string{"each", "view: template_block: template  & want a row, got no such row"}},
		{"a block out of place", "UPDATE template_block SET last=last+1 WHERE last=(SELECT min(last) FROM template_block)", []string{"view: template_block: template 50 & want ids in order"}},
		{"a template's counter", changed(t, benefit.TemplateCounts, count), []string{"view: local_row: template_count, template 50: want body "}},
		{"a missing counter", "DELETE FROM local_row WHERE " + isCount, []string{"view: local_row: template_count, template 50: want & got no such row"}},
		{"a day's counter", changed(t, benefit.TemplateDays, day), []string{"view: local_row: template_day, template 50, day 20768: want body "}},
		{"a day that is made up", "INSERT INTO local_row SELECT kind, CAST(substr(key, 1, 15)||x'05' AS BLOB), at, body FROM local_row WHERE " + isDay, []string{"view: local_row: template_day, template 50, day 20741: want no such row"}},
		{"a user's name", "UPDATE user SET name='x' WHERE id=(SELECT min(id) FROM user)", []string{"view: user: id "}},
		{"a user's person", "UPDATE user SET person='x' WHERE id=(SELECT max(id) FROM user)", []string{"view: user: id "}},
		{"a user's body", "UPDATE user SET body=(SELECT body FROM user ORDER BY id LIMIT 1) WHERE id=(SELECT max(id) FROM user)", []string{"view: user: id "}},
		{"a missing user", "DELETE FROM user WHERE id=(SELECT min(id) FROM user)", []string{"view: user: id "}},
		{"an identifier of another user", "UPDATE link SET user=(SELECT min(id) FROM user) WHERE user=(SELECT max(id) FROM user)", []string{"view: link: hash "}},
		{"a user who seems plain", "UPDATE link SET plain=1 WHERE hash=(SELECT min(hash) FROM link WHERE plain=0)", []string{"view: link: hash "}},
		{"an identifier where nobody looks", "UPDATE link SET gen=77 WHERE hash=(SELECT min(hash) FROM link)", []string{"view: link: generation 77"}},
		{"an identifier in another generation", "UPDATE link SET gen=2 WHERE hash=(SELECT min(hash) FROM link WHERE gen=1)", []string{"view: generation: generation 2, link hash  & hides it"}},
		{"a missing identifier", "DELETE FROM link WHERE hash=(SELECT min(hash) FROM link)", []string{"view: link: hash  & got no such row"}},
		{"an identifier that is made up", "INSERT INTO link VALUES (zeroblob(16), 1, 0, 1)", []string{"view: link: hash  & want no such row", "view: generation: generation 1, link hash  & hides"}},
		{"a session", changed(t, benefit.Sessions, session), []string{"view: row_history: session, digest & want body "}},
		{"a claim under a text", "UPDATE claim SET hash=CAST(hash AS TEXT) WHERE hash=(SELECT min(hash) FROM claim)", []string{"view: claim: hash  & want no such row", "view: claim: hash  & got no such row"}},
		{"a missing session", "DELETE FROM row_history WHERE " + isSession, []string{"view: row_history: session, digest & got no such row"}},
		{"an entity", changed(t, benefit.Entities, entity), []string{"view: local_row: entity, kind 3, id 50: want body "}},
		{"a missing entity", "DELETE FROM local_row WHERE " + isEntity, []string{"view: local_row: entity, kind 3, id 50: want & got no such row"}},
		{"another now", "UPDATE position SET now=now-1", []string{"view: position: one 1: want now "}},
		{"other ids", "UPDATE position SET id_millis=id_millis-1", []string{"view: position: one 1: want id_millis "}},
		{"another catalogue", "UPDATE position SET catalogue=catalogue-1", []string{"view: position: one 1: want catalogue "}},
		{"another chain", "UPDATE position SET hash=zeroblob(32)", []string{"view: position: one 1: want hash "}},
		{"a position beyond the journal", "UPDATE position SET seq=seq+1", []string{"view: its position"}},
		{"a filter of another generation", "UPDATE generation SET claims=(SELECT claims FROM generation WHERE gen=1) WHERE gen=2", []string{"each", "view: generation: generation 2,  & hides"}},
		{"an index that misses rows", "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql=replace(sql, '(name)', '(person)') WHERE name='user_name'", []string{"each", "view: file: structure"}},
		{"an index that is gone", "DROP INDEX user_person; UPDATE position SET seq=seq", []string{"view: user_person: columns: want index:  & got none"}},
		{"a table that is gone", "DELETE FROM trace; DROP TABLE trace", []string{"view: trace: columns: want table:  & got none"}},
		{"a column that is gone", "ALTER TABLE user DROP COLUMN body; UPDATE position SET seq=seq", []string{"view: user: columns: want table: "}},
		{"filters that no store uses", `UPDATE generation SET seq=seq-1, claims=(SELECT claims FROM generation WHERE gen=1), quotas=NULL
			WHERE gen=(SELECT max(gen) FROM generation)`, nil},
		{"a damaged filter", "UPDATE generation SET quotas=zeroblob(100) WHERE gen=1", []string{"view: generation: generation 1, quotas: want an intact filter"}},
		{"a code of another issuance", "UPDATE claim SET id=id+1 WHERE hash=" + code, []string{"view: claim: hash  & got no such row", "view: claim: hash  & want no such row"}},
		{"a missing code", "DELETE FROM claim WHERE hash=" + code, []string{"view: claim: hash  & want a row, got no such row"}},
		{"a code that leads elsewhere too", "INSERT INTO claim SELECT gen, hash, id+1 FROM claim WHERE hash=" + code, []string{"view: claim: hash  & want no such row"}},
		{"a trace of another issuance", "UPDATE trace SET id=id+1 WHERE id=(SELECT min(id) FROM trace)", []string{"view: trace: hash  & got no such row", "view: trace: hash  & want no such row"}},
		{"a missing trace", "DELETE FROM trace WHERE id=(SELECT min(id) FROM trace)", []string{"view: trace: hash  & want a row, got no such row"}},
		{"a trace that is made up", "INSERT INTO trace SELECT gen, hash+1, id FROM trace WHERE id=(SELECT min(id) FROM trace)", []string{"view: trace: hash  & want no such row, got a row"}},
		{"a trace where nobody looks", "UPDATE trace SET gen=77 WHERE id=(SELECT min(id) FROM trace)", []string{"view: trace: generation 77: want a listed generation"}},
		{"a participation", changed(t, benefit.Participations, joined), []string{"view: row_history: participation, user_id  & activity 60, journal record & want body "}},
		{"a missing participation", "DELETE FROM row_history WHERE " + lastJoined, []string{"view: row_history: participation, user_id  & activity 60 & got no such row"}},
		{"a participation that is made up", "INSERT INTO row_history SELECT gen, kind, key, at+(1<<12), body FROM row_history WHERE " + lastJoined, []string{"view: row_history: participation, user_id  & activity 60 & want no such row"}},
		{"a participation that is hidden", "INSERT INTO row_history SELECT 1, kind, key, at, body FROM row_history WHERE " + lastJoined, []string{"view: row_history: participation, user_id  & want one row", "view: row_history: generations 1 and 3: want journal", "view: generation: generation 1, row_history participation, user_id  & hides it"}},
		{"a voucher's state", changed(t, benefit.VoucherStates, voucher), []string{"view: row_history: voucher_state, voucher & want body "}},
		{"a missing state", "DELETE FROM row_history WHERE " + isVoucher, []string{"each", "view: row_history: voucher_state, voucher & got no such row"}},
		{"an operation", changed(t, benefit.Operations, operation), []string{"view: row_history: operation, claim & want body "}},
		{"a missing operation", "DELETE FROM row_history WHERE " + isOperation, []string{"view: row_history: operation, claim & got no such row"}},
		{"an entry", changed(t, benefit.VoucherOperations, entry), []string{"view: row_history: voucher_operation, voucher & number & want body "}},
		{"a missing entry", "DELETE FROM row_history WHERE " + isEntry, []string{"each", "view: row_history: voucher_operation, voucher & got no such row"}},
		{"a redemption for an order", changed(t, benefit.OrderRedemptions, order), []string{"view: row_history: order_redemption, of_order & want body "}},
		{"a missing redemption for an order", "DELETE FROM row_history WHERE " + isOrder, []string{"view: row_history: order_redemption, of_order & got no such row"}},
		{"an entity of a version", changed(t, benefit.EntityVersions, form), []string{"view: local_row: entity_version, version 1, kind 4, id 60: want body "}},
		{"a missing entity of a version", "DELETE FROM local_row WHERE " + isForm, []string{"view: local_row: entity_version, version 1, kind 4, id 60 & got no such row"}},
		{"an entity of a version that is made up", "INSERT INTO local_row SELECT kind, CAST(x'0000000000002710'||substr(key, 9) AS BLOB), at, body FROM local_row WHERE " + isForm, []string{"view: local_row: entity_version, version 10000, kind 4, id 60: want no such row"}},
		{"a row of another commit", "UPDATE local_row SET at=at+1 WHERE " + isCount, []string{"view: local_row: template_count, template 50: want at "}},
		{"a row of another kind", "UPDATE local_row SET kind=4 WHERE " + isCount, []string{"view: local_row: template_count, template 50: & got no such row", "view: local_row: kind 4, key 00000000… & want no such row"}},
		{"a row of no kind", "INSERT INTO row_history SELECT gen, kind+256, key, at, body FROM row_history WHERE " + lastJoined, []string{"view: row_history: kind 258, key  & want no such row"}},
		{"a row where nobody looks", "UPDATE row_history SET gen=77 WHERE " + lastJoined, []string{"view: row_history: generation 77: want a listed generation"}},
		{"a missing generation", "DELETE FROM generation WHERE gen=1", []string{"each", "view:  & generation 1: want a listed generation"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := whole.copyOf(t)
			d.sql(t, test.sql)
			report := d.audit(t)
			if len(test.want) > 0 && test.want[0] == "each" { // one or more, all alike
				test.want = slices.Repeat(test.want[1:], max(len(report.Findings), 1))
			}
			wantFindings(t, report, test.want...)
		})
	}
}

// A flipped bit anywhere in the view's file is found, also where no row and no structure is.
func TestFlippedPages(t *testing.T) {
	whole := fixture(t)
	r := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		d := whole.copyOf(t)
		at := flip(t, embedded.ViewPath(d.o.Dir), r)
		report, err := Embedded(t.Context(), EmbeddedOptions{Store: d.o})
		if err != nil {
			t.Errorf("bit %d: the audit failed: %v", at, err)
		} else if report.OK() {
			t.Errorf("bit %d: no findings", at)
		}
	}
}

// flip flips a random bit of a file and says which.
func flip(t testing.TB, path string, r *rand.Rand) int64 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("reading %s: %v", path, err)
	}
	at := r.Int64N(int64(len(data)) * 8)
	data[at/8] ^= 1 << (at % 8)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("writing %s: %v", path, err)
	}
	return at
}

// A changed bit of the journal, and a journal that does not lead to the heads noted elsewhere, are one finding.
func TestDamagedJournal(t *testing.T) {
	whole := fixture(t)
	head := whole.audit(t).Embedded.Journal
	segments, err := filepath.Glob(filepath.Join(embedded.JournalDir(whole.o.Dir), "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	d := whole.copyOf(t)
	path := filepath.Join(embedded.JournalDir(d.o.Dir), filepath.Base(segments[0]))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	data[10_000] ^= 4
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("writing: %v", err)
	}
	report := d.audit(t)
	wantFindings(t, report, "journal: "+filepath.Base(path)+" at offset 8192, record ")
	if !strings.Contains(fmt.Sprint(report.NotKept), "the view and the rows, because the journal is damaged") || report.Checked.Issuances != 0 {
		t.Errorf("not checked %q, and %d issuances checked; want the rows not checked", report.NotKept, report.Checked.Issuances)
	}

	for name, heads := range map[string][]journal.Head{
		"another hash": {{Seq: head.Seq - 1}}, "a head that was cut off": {{Seq: head.Seq + 1}},
	} {
		report, err := Embedded(t.Context(), EmbeddedOptions{Store: whole.o, Heads: heads})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantFindings(t, report, "journal: noted elsewhere")
	}
}

// An older view is no fault, nor is none; one of another journal and one that is no database are.
func TestOtherViews(t *testing.T) {
	d := newDirectory(t)
	st := d.open(t)
	crowdOf(t, st, 30, 2)
	closeStore(t, st)
	older, err := os.ReadFile(embedded.ViewPath(d.o.Dir))
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	st = d.open(t)
	crowdOf(t, st, 40, 1)
	closeStore(t, st)
	whole := d.audit(t).Checked.Issuances

	set := func(view []byte) *Report {
		if err := os.WriteFile(embedded.ViewPath(d.o.Dir), view, 0o600); err != nil {
			t.Fatalf("writing: %v", err)
		}
		return d.audit(t)
	}
	report := set(older)
	wantFindings(t, report)
	if got := report.Checked.Issuances; got != 60 || whole != 100 || !strings.Contains(fmt.Sprint(report.NotKept), "journal records behind") {
		t.Errorf("%d of %d issuances audited, want 60 of 100, and not checked %q", got, whole, report.NotKept)
	}
	wantFindings(t, set([]byte(strings.Repeat("no database ", 10_000))), "view: view.db")
	other, err := os.ReadFile(embedded.ViewPath(fixture(t).o.Dir))
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	if report := set(other); report.OK() {
		t.Error("no finding in a view of another journal")
	}
	if err := os.Remove(embedded.ViewPath(d.o.Dir)); err != nil {
		t.Fatalf("removing: %v", err)
	}
	report = d.audit(t)
	wantFindings(t, report)
	if !strings.Contains(fmt.Sprint(report.NotKept), "there is no view") {
		t.Errorf("not checked %q of a directory without a view", report.NotKept)
	}
}

// What a store was made to write against its rules is found in the rows, journal and view being at one.
func TestWrongCommits(t *testing.T) {
	d := newDirectory(t)
	s := newShop()
	s.templates[0].Stock.Count = 2
	st := d.open(t)
	if err := s.write(t, st); err != nil {
		t.Fatalf("writing: %v", err)
	}
	closeStore(t, st)
	wantFindings(t, d.audit(t), "totals: template 1: stock: want at most 2, got 3")
}

// More than a limit per person is a finding if it was given, and nothing if users were linked, or the limit
// lowered, after they had it.
func TestPersons(t *testing.T) {
	for _, test := range []struct {
		name string
		// before and after are persons of the second user when things are issued, and then; lowered limits after.
		before, after string
		limit         int64
		lowered       int64
		want          []string
	}{
		{"within", "p", "p", 3, 0, nil},
		{"too many", "p", "p", 2, 0, []string{"limits: limit per person: want at most 2, got 3"}},
		{"too many, and parted afterwards", "p", "", 2, 0, []string{"limits: limit per person: want at most 2, got 3"}},
		{"linked afterwards", "", "p", 2, 0, nil},
		{"lowered", "p", "p", 3, 1, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDirectory(t)
			s := newShop()
			s.templates[0].Limits = benefit.Limits{PerPerson: test.limit}
			s.other.Person = test.before
			// One of capped goes to the other user.
			s.changes.Issuances[1].User = s.other.ID
			s.line(1).Seen.User = 0
			s.changes.Quotas = append(s.changes.Quotas, quota(s.other, capped, 1, storetest.Start.Day()+1, 1))
			s.changes.Quotas[0] = quota(s.user, capped, 2, storetest.Start.Day(), 2)
			st := d.open(t)
			if err := s.write(t, st); err != nil {
				t.Fatalf("writing: %v", err)
			}
			moved, tighter := *s.other, *s.templates[0]
			moved.Person, tighter.Limits.PerPerson = test.after, max(test.lowered, test.limit*min(test.lowered, 1))
			if test.lowered == 0 {
				tighter.Limits.PerPerson = test.limit
			}
			e, err := benefit.EntityOf(&tighter)
			if err != nil {
				t.Fatalf("EntityOf: %v", err)
			}
			// An issuance that is written again, as one that is continued is, gives nothing again.
			write(t, st, storetest.Start+oneDay, &benefit.Changes{Issuances: s.changes.Issuances[:1]})
			write(t, st, storetest.Start+oneDay, &benefit.Changes{Users: []*benefit.User{&moved}, Catalogue: 2, Rows: benefit.RowsOf(benefit.Entities.Rows(e))})
			closeStore(t, st)
			report := d.audit(t)
			wantFindings(t, report, test.want...)
			if len(report.Doubts) > 0 {
				t.Errorf("doubts: %+v", report.Doubts)
			}
		})
	}
}

// What a void has returned is no part of what a person has, from then on: more than the limit before is a finding, and room that
// was made is taken.
func TestPersonsAndVoids(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit int64 // of the version by which all is audited
		more  bool  // is issued with the void
		want  []string
	}{
		{"within", 2, true, nil},
		{"too many before the void", 1, false, []string{"limits: limit per person: want at most 1, got 2, of which 1 before"}},
		{"too many after the void as well", 1, true, []string{
			"limits: limit per person: want at most 1, got 2, of which 1 before", "limits: limit per person: want at most 1, got 2, of which 1 before",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDirectory(t)
			template := storetest.Template(lifeReduction, func(t *benefit.Template) { t.Limits.PerPerson = 2 })
			written := *template
			written.Limits.PerPerson = test.limit
			e, err := benefit.EntityOf(&written)
			if err != nil {
				t.Fatal(err)
			}
			users := newShop()
			st := d.open(t)
			write(t, st, storetest.Start, &benefit.Changes{Catalogue: 1, Users: []*benefit.User{users.user, users.other}, Rows: benefit.RowsOf(benefit.Entities.Rows(e))})
			c := storetest.NewCommitter(st, storetest.Catalogue(template), 3)
			issue := func(key string, u *benefit.User) benefit.Command {
				return &benefit.Issue{Request: storetest.Request(key, u.Alipay, storetest.Line(lifeReduction))}
			}
			do := func(all ...benefit.Command) {
				t.Helper()
				if err := c.Do(t.Context(), storetest.Start, all...); err != nil {
					t.Fatal(err)
				}
			}
			first := issue("one", users.user)
			do(first)
			void := &benefit.OnVoucher{Action: &benefit.Void{ReturnStock: true}, Key: "void", Voucher: first.(*benefit.Issue).Outcome.Issuance.ID}
			do(issue("two", users.other))
			if test.more {
				do(void, issue("three", users.other)) // in one commit
			} else {
				do(void)
			}
			// Without a journal it counts what the person has in the end.
			if doubts := auditOf(t, st, Options{}).Doubts; len(doubts) > 0 != (test.limit == 1 && test.more) {
				t.Errorf("doubts without a journal: %+v", doubts)
			}
			closeStore(t, st)
			report := d.audit(t)
			wantFindings(t, report, test.want...)
			if n := report.Checked.Operations; n != 1 {
				t.Errorf("%d operations", n)
			}
			if len(report.Doubts) > 0 {
				t.Errorf("doubts: %+v", report.Doubts)
			}
		})
	}
}

// Rows that are written again, in another generation, are compared as they are in the end; so are identifiers that
// a user loses.
func TestRewritten(t *testing.T) {
	d := newDirectory(t)
	d.o.GenerationSize = 1
	st := d.open(t)
	s := newShop()
	s.other.Identifiers = append(s.other.Identifiers, benefit.Identifier{Type: benefit.Login, Value: "lost"})
	if err := s.write(t, st); err != nil {
		t.Fatalf("writing: %v", err)
	}
	again, other := *s.changes.Issuances[0], *s.other
	again.Note.Memo = "again"
	other.Identifiers = other.Identifiers[:1]
	for _, changes := range []*benefit.Changes{{Issuances: []*benefit.Issuance{&again}}, {Users: []*benefit.User{&other}}} {
		if err := st.Flush(); err != nil {
			t.Fatalf("Flush: %v", err)
		}
		write(t, st, storetest.Start+oneDay, changes)
	}
	closeStore(t, st)
	wantFindings(t, d.audit(t))
	claims := "(SELECT hash FROM claim GROUP BY hash HAVING count(*)=2)"
	for _, test := range []struct{ name, sql, want string }{
		{"the old body", "UPDATE issuance SET body=CAST(replace(CAST(body AS TEXT), 'again', 'AGAIN') AS BLOB) WHERE id=(SELECT min(id) FROM issuance)", "view: issuance: id "},
		{"a claim that says two things", "UPDATE claim SET id=id+1 WHERE gen=1 AND hash IN " + claims, "view: claim: hash  & want no such row, got a row"},
		{"a lost identifier that seems to be the user", "UPDATE link SET plain=1 WHERE plain=0 AND gen=(SELECT max(gen) FROM link)", "view: link: hash  & want plain 0, got plain 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := d.copyOf(t)
			c.sql(t, test.sql)
			report := c.audit(t)
			if !slices.ContainsFunc(report.Findings, func(f Finding) bool { return matches(f, test.want) }) {
				t.Errorf("findings %v, want one of %s", report.Findings, test.want)
			}
		})
	}
}
