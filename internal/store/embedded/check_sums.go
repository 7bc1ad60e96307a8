package embedded

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store/codec"
)

// parts is how many parts the rows of a table are summed in. Rows that differ are looked for in their part alone.
const parts = 4096

// namedParts is how many parts are gone through row by row, so that a view that has little to do with the journal
// does not fill the memory.
const namedParts = 512

// side holds the sums of one side, journal or view.
type side struct {
	// sums adds up two 64-bit hashes of each row, under random seeds: equal sums mean equal rows, in whatever order
	// they came.
	sums [tableCount][parts][2]uint64
	// latest holds the rows that are written more than once, by table and key.
	latest map[string]string
	rows   [tableCount]int64
}

// comparison is a Compare under way.
type comparison struct {
	c         *Check
	maxFaults int
	report    CheckReport
	seeds     [3]maphash.Seed
	// repeated are the hashes of the rows (table and key) that the journal writes more than once, and of a few
	// others that are taken for such.
	repeated      map[uint64]bool
	journal, view side
	unreadable    [tableCount]bool
	reached       position // as the journal says
	buf           []byte
}

func newComparison(c *Check, max int) *comparison {
	return &comparison{
		c: c, maxFaults: max, repeated: map[uint64]bool{}, report: CheckReport{Rows: map[string]int64{}, Persons: map[benefit.UserID][]string{}},
		seeds:   [3]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed(), maphash.MakeSeed()},
		journal: side{latest: map[string]string{}}, view: side{latest: map[string]string{}},
	}
}

func (x *comparison) fault(f Fault) {
	if len(x.report.Faults) >= x.maxFaults {
		x.report.More++
		return
	}
	x.report.Faults = append(x.report.Faults, f)
}

// rowKey puts table and key together.
func (x *comparison) rowKey(t table, key []byte) []byte {
	x.buf = append(append(x.buf[:0], byte(t)), key...)
	return x.buf
}

func (x *comparison) hashOf(t table, key []byte) uint64 {
	return maphash.Bytes(x.seeds[0], x.rowKey(t, key))
}

// isRepeated reports whether the row is compared by itself. Counters of templates always are: they are few, and written
// by every commit. So are the entities of versions: there are few, too, and a version may be written twice.
func (x *comparison) isRepeated(t table, hash uint64) bool {
	return t == countTable || t == dayTable || t == entityTable || t == versionTable || x.repeated[hash]
}

// take adds a row to a side.
func (x *comparison) take(s *side) rowFunc {
	return func(t table, key, content []byte) {
		s.rows[t]++
		k := x.rowKey(t, key)
		hash := maphash.Bytes(x.seeds[0], k)
		if x.isRepeated(t, hash) {
			x.keep(s, t, k, content)
			return
		}
		x.buf = append(k, content...)
		sum := &s.sums[t][hash%parts]
		sum[0] += maphash.Bytes(x.seeds[1], x.buf)
		sum[1] += maphash.Bytes(x.seeds[2], x.buf)
	}
}

// keep remembers a row that is compared by itself. The newest counts; but a view that says two things of one key, in
// two of its generations, is reported as a fault.
func (x *comparison) keep(s *side, t table, key, content []byte) {
	short := x.shorten(t, content)
	if old, ok := s.latest[string(key)]; ok && s == &x.view && old != short {
		x.fault(Fault{t.String(), rowName(t, key[1:], content), "one row", "two that differ"})
	}
	s.latest[string(key)] = short
}

// shorten returns what is kept of a row's content: all of what is short, else a hash.
func (x *comparison) shorten(t table, content []byte) string {
	switch t {
	case issuanceTable, userTable, sessionTable, entityTable, versionTable, participationTable:
		return string(numbers(nil, int64(maphash.Bytes(x.seeds[1], content)), int64(maphash.Bytes(x.seeds[2], content))))
	}
	return string(content)
}

// findRepeated reads the journal for rows that are written more than once. A Bloom filter remembers which keys
// there were; the few that it mistakes for such are compared by themselves as well, which does no harm.
func (x *comparison) findRepeated(ctx context.Context) error {
	counted, err := textOf(x.c.view.conn, "SELECT (SELECT coalesce(sum(issuances), 0) FROM generation) + 2*(SELECT count(*) FROM link) + (SELECT count(*) FROM session)")
	if err := x.broken("link", err); err != nil {
		return err
	}
	capacity := 0
	_, _ = fmt.Sscan(counted, &capacity) // of a table that cannot be read: then there are more mistakes
	r := repeats{x: x, seen: newFilter(max(capacity, 100_000))}
	return x.c.records(ctx, func(rec journal.Record) error {
		if err := r.record(rec.Payload); err != nil {
			return recordError(rec, err)
		}
		return nil
	})
}

// repeats looks for keys that come again.
type repeats struct {
	x    *comparison
	seen *filter
}

// again reports whether the key may have come before, and notes that it has now.
func (r *repeats) again(t table, key []byte) bool {
	hash := r.x.hashOf(t, key)
	if !r.seen.mayContain(hash) {
		r.seen.add(hash)
		return false
	}
	r.x.repeated[hash] = true
	return true
}

// record reads as little of a record as it takes: of an issuance the id alone, unless it comes again.
func (r *repeats) record(payload []byte) error {
	read, err := codec.Skim(payload)
	if err != nil {
		return err
	}
	for _, body := range read.Issuances {
		if len(body) >= 8 && r.again(issuanceTable, body[:8]) {
			if err := r.issuance(body); err != nil {
				return err
			}
		}
	}
	var room [8]byte
	for _, u := range read.Users {
		r.again(userTable, numbers(room[:0], int64(u.ID)))
		for _, ident := range u.Identifiers {
			k := codec.IdentifierHash(ident)
			r.again(linkTable, k[:])
		}
	}
	for _, s := range read.Sessions {
		r.again(sessionTable, s.Digest[:])
	}
	if read.Catalogue != 0 {
		r.x.report.Catalogue = append(r.x.report.Catalogue, CatalogueChange{Version: read.Catalogue, Entities: read.Entities})
	}
	return nil
}

// issuance marks everything that is written again with an issuance.
func (r *repeats) issuance(body []byte) error {
	i, err := codec.DecodeIssuance(body)
	if err != nil {
		return err
	}
	again := func(t table, key, _ []byte) { r.x.repeated[r.x.hashOf(t, key)] = true }
	for _, c := range i.ClaimKeys() {
		claimRow(again, c.ID[:], i.ID)
	}
	traceRowOf(again, traceHash(i.Note.TraceID), i.ID)
	for _, t := range templatesOf(i) {
		r.x.repeated[r.x.hashOf(listTable, numbers(nil, int64(t), int64(i.ID)))] = true
	}
	return nil
}

// sumJournal adds up what the journal says.
func (x *comparison) sumJournal(ctx context.Context) error {
	return x.eachJournalRow(ctx, x.take(&x.journal), func(r journal.Record, c *benefit.Changes) {
		x.report.Records++
		x.reached.seq, x.reached.hash, x.reached.now = r.Seq, r.Hash, c.Now
		for _, i := range c.Issuances {
			x.reached.idMillis = max(x.reached.idMillis, i.ID.Millis())
		}
		for _, u := range c.Users {
			x.reached.idMillis = max(x.reached.idMillis, u.ID.Millis())
			x.person(u)
		}
		if c.Catalogue != 0 {
			x.reached.catalogue = c.Catalogue
		}
	})
}

// person remembers to whom a user belongs, if the user is written more than once.
func (x *comparison) person(u *benefit.User) {
	var key [8]byte
	if u.Person == "" || !x.repeated[x.hashOf(userTable, numbers(key[:0], int64(u.ID)))] {
		return
	}
	if all := x.report.Persons[u.ID]; !slices.Contains(all, u.Person) {
		x.report.Persons[u.ID] = append(all, u.Person)
	}
}

func (x *comparison) eachJournalRow(ctx context.Context, emit rowFunc, each func(journal.Record, *benefit.Changes)) error {
	rows := journalRows{
		emit: emit, links: map[benefit.UserID][]linkKey{},
		repeated: func(t table, key []byte) bool { return x.repeated[x.hashOf(t, key)] },
		repeat:   func(t table, key []byte) { x.repeated[x.hashOf(t, key)] = true },
	}
	return x.c.records(ctx, func(r journal.Record) error {
		changes, bodies, err := codec.DecodeChanges(r.Payload)
		if err != nil {
			return recordError(r, err)
		}
		each(r, changes)
		return rows.record(r.Seq, r.Payload, changes, bodies)
	})
}

// position compares what the view says of itself.
func (x *comparison) position(context.Context) error {
	want, got := x.reached, x.c.at
	for _, p := range []struct {
		what      string
		same      bool
		want, got any
	}{
		{"the chain hash", want.hash == got.hash || got.seq == 0, fmt.Sprintf("%x…", want.hash[:4]), fmt.Sprintf("%x…", got.hash[:4])},
		{"the instant of the last commit", want.now == got.now, int64(want.now), int64(got.now)},
		{"the last millisecond of an id", want.idMillis == got.idMillis, want.idMillis, got.idMillis},
		{"the version of the catalogue", want.catalogue == got.catalogue, want.catalogue, got.catalogue},
	} {
		if !p.same {
			x.fault(Fault{"position", fmt.Sprintf("journal record %d: %s", got.seq, p.what), fmt.Sprint(p.want), fmt.Sprint(p.got)})
		}
	}
	return nil
}

// compareRepeated compares the rows that are compared by themselves.
func (x *comparison) compareRepeated(context.Context) error {
	all := maps.Clone(x.journal.latest)
	maps.Copy(all, x.view.latest)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		x.compareRow(key, x.journal.latest, x.view.latest)
	}
	return nil
}

func (x *comparison) compareRow(key string, journal, view map[string]string) {
	t := table(key[0])
	want, wanted := journal[key]
	got, found := view[key]
	if wanted == found && want == got || x.unreadable[t] || want == removedLinkRow && t == linkTable && isDangling(got, found) {
		return
	}
	f := Fault{Table: t.String(), Want: "no such row", Got: "no such row"}
	name := got
	if wanted {
		name, f.Want = want, contentText(t, want)
	}
	if found {
		f.Got = contentText(t, got)
	}
	f.Row = rowName(t, []byte(key[1:]), []byte(name))
	x.fault(f)
}

// part is a part of a table.
type part struct {
	table table
	n     uint64
}

// nameDifferences reads both sides again for the parts whose sums differ, and names the rows.
func (x *comparison) nameDifferences(ctx context.Context) error {
	wanted, beyond := x.differences()
	if len(wanted) == 0 {
		return nil
	}
	before := len(x.report.Faults)
	journal, view := map[string]string{}, map[string]string{}
	if err := x.eachJournalRow(ctx, x.collect(wanted, journal), nothing); err != nil {
		return err
	}
	if err := x.viewRows(ctx, x.collect(wanted, view), nil); err != nil {
		return err
	}
	all := maps.Clone(journal)
	maps.Copy(all, view)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		x.compareRow(key, journal, view)
	}
	if len(x.report.Faults) == before && x.report.More == 0 {
		x.fault(Fault{"view", fmt.Sprintf("%d parts", len(wanted)), "equal sums", "others, though no row differs"})
	}
	if beyond > 0 {
		x.fault(Fault{"view", fmt.Sprintf("%d more of %d parts of each table", beyond, parts), "equal sums", "others"})
	}
	return nil
}

func nothing(journal.Record, *benefit.Changes) {}

// differences lists the parts whose sums differ, and counts those beyond what is gone through.
func (x *comparison) differences() (wanted map[part]bool, beyond int) {
	wanted = map[part]bool{}
	for t := range tableCount {
		if x.unreadable[t] {
			continue
		}
		for n := range x.journal.sums[t] {
			switch {
			case x.journal.sums[t][n] == x.view.sums[t][n]:
			case len(wanted) < namedParts:
				wanted[part{t, uint64(n)}] = true
			default:
				beyond++
			}
		}
	}
	return wanted, beyond
}

// collect takes the rows of some parts.
func (x *comparison) collect(wanted map[part]bool, into map[string]string) rowFunc {
	return func(t table, key, content []byte) {
		k := x.rowKey(t, key)
		hash := maphash.Bytes(x.seeds[0], k)
		if wanted[part{t, hash % parts}] && !x.isRepeated(t, hash) {
			short := x.shorten(t, content)
			if _, again := into[string(k)]; again { // in two generations
				short += writtenTwice
			}
			into[string(k)] = short
		}
	}
}
