package codec

import (
	"encoding/binary"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/table"
)

// RecordFormat is the format of the records that EncodeChanges writes. A record starts with it; a program refuses
// formats that it does not know, and reads every one that was ever written. Up to format 3 each kind of rows had a form
// of its own: see rowsBefore4. Up to format 2 users do not say whether they are registered; format 1 has no
// participations.
const RecordFormat = 4

// EncodeChanges appends the record of a commit to b. The bodies of its issuances lie in it in order; what is appended
// to at tells where each begins and ends, so that they can be kept without encoding them again.
func EncodeChanges(b []byte, c *benefit.Changes, at [][2]int) ([]byte, [][2]int) {
	e := encoder{b: append(b, RecordFormat)}
	e.int(int64(c.Now))
	e.uint(uint64(len(c.Issuances)))
	for _, i := range c.Issuances {
		// The length goes before the body; two bytes hold it for all but very long ones.
		start := len(e.b)
		e.issuance(i)
		n := len(e.b) - start
		e.uint(uint64(n))
		width := len(e.b) - start - n
		var length [binary.MaxVarintLen64]byte
		copy(length[:], e.b[start+n:])
		copy(e.b[start+width:], e.b[start:start+n])
		copy(e.b[start:], length[:width])
		at = append(at, [2]int{start + width, len(e.b)})
	}
	e.uint(uint64(len(c.Users)))
	for _, u := range c.Users {
		e.user(u)
	}
	e.int(c.Catalogue)
	e.uint(uint64(len(c.Rows)))
	for _, rows := range c.Rows {
		e.rows(rows)
	}
	return e.b, at
}

// rows writes a section: the number of the kind, how many rows and how many columns of values each has, and their bytes.
func (e *encoder) rows(rows table.Rows) {
	kind := rows.Kind()
	e.byte(kind.Number)
	e.uint(uint64(rows.Len()))
	e.uint(uint64(len(kind.Value)))
	var row table.Row
	for i := range rows.Len() {
		rows.Read(i, &row)
		e.b = table.AppendColumns(e.b, kind.Key, row.Key)
		e.b = table.AppendColumns(e.b, kind.Value, row.Value)
	}
}

// rows reads all sections.
func (d *decoder) rows() (all []table.Rows) {
	for range d.size(3) {
		number := d.byte()
		if d.err != nil {
			return nil
		}
		kind := table.ByNumber(number)
		if kind == nil {
			d.err = fmt.Errorf("rows of kind %d, which this version does not know: a newer faquan wrote them", number)
			return nil
		}
		rows := d.rowsOf(kind)
		if d.err != nil {
			return nil
		}
		all = append(all, rows)
	}
	return all
}

func (d *decoder) rowsOf(kind *table.Kind) table.Rows {
	n, columns := d.size(len(kind.Key)), d.uint()
	if columns > uint64(len(kind.Value)) {
		d.err = fmt.Errorf("rows of table %s with %d columns; this version knows %d: a newer faquan wrote them", kind.Name, columns, len(kind.Value))
		return nil
	}
	rows := kind.Builder()
	var row table.Row
	for range n {
		if row.Key, d.b, d.err = table.ParseColumns(d.b, kind.Key, row.Key[:0]); d.err != nil {
			return nil
		}
		if row.Value, d.b, d.err = table.ParseColumns(d.b, kind.Value[:columns], row.Value[:0]); d.err != nil {
			return nil
		}
		row.Value = kind.Pad(row.Value)
		if d.err = rows.Add(&row); d.err != nil {
			return nil
		}
	}
	return rows
}

// users reads the users of a record. Where they do not say so themselves, the record tells whether they are registered:
// only a commit that issues makes users that are not.
func (d *decoder) users(format uint8, issues bool) (all []*benefit.User) {
	for range d.size(1) {
		u := d.user()
		if format < 3 {
			u.Unregistered = u.Unregistered && issues //guard:TestUsersThatDoNotSay u.Unregistered && issues -> u.Unregistered || issues
		}
		all = append(all, u)
	}
	return all
}

// rowsBefore4 reads the rows of a record of format 1 to 3, and the version of the catalogue among them.
func (d *decoder) rowsBefore4(format uint8) (rows []table.Rows, catalogue int64) {
	var quotas []benefit.Quota
	for range d.size(1) {
		quotas = append(quotas, benefit.Quota{
			QuotaKey: benefit.QuotaKey{User: benefit.UserID(d.fixed()), Template: benefit.TemplateID(d.int())},
			Total:    d.int(), Day: benefit.Day(d.small()), DayTotal: d.int(),
		})
	}
	var counts []benefit.TemplateCount
	for range d.size(1) {
		counts = append(counts, benefit.TemplateCount{Template: benefit.TemplateID(d.int()), Count: d.int(), Amount: d.int()})
	}
	var days []benefit.TemplateDay
	for range d.size(1) {
		days = append(days, benefit.TemplateDay{
			Template: benefit.TemplateID(d.int()), Day: benefit.Day(d.small()), Count: d.int(), Amount: d.int(),
		})
	}
	catalogue = d.int()
	var entities []benefit.Entity
	for range d.size(1) {
		entities = append(entities, benefit.Entity{Kind: benefit.EntityKind(d.byte()), ID: d.int(), Body: d.bytes()})
	}
	var sessions []*benefit.Session
	for range d.size(1) {
		s, err := benefit.DecodeSession(d.raw())
		if err != nil {
			d.fail()
		}
		sessions = append(sessions, s)
	}
	var participations []benefit.Participation
	if format > 1 { //guard:TestFormatOne 1 -> 0
		for range d.size(1) {
			participations = append(participations, d.participation())
		}
	}
	return benefit.RowsOf(
		benefit.Quotas.Rows(quotas...), benefit.TemplateCounts.Rows(counts...), benefit.TemplateDays.Rows(days...),
		benefit.Entities.Rows(entities...), benefit.Sessions.Rows(sessions...), benefit.Participations.Rows(participations...),
	), catalogue
}

// DecodeChanges reads what EncodeChanges wrote. at is where each issuance's body lies in it.
func DecodeChanges(record []byte) (c *benefit.Changes, at [][2]int, err error) {
	d := decoder{b: record}
	format := d.byte()
	if format < 1 || format > RecordFormat {
		return nil, nil, unknownFormat(format)
	}
	c = &benefit.Changes{Now: benefit.Instant(d.int())}
	for range d.size(1) {
		body := d.raw()
		end := len(record) - len(d.b)
		at = append(at, [2]int{end - len(body), end})
		i, err := DecodeIssuance(body)
		if err != nil {
			return nil, nil, err
		}
		c.Issuances = append(c.Issuances, i)
	}
	c.Users = d.users(format, len(c.Issuances) > 0)
	if format < 4 {
		c.Rows, c.Catalogue = d.rowsBefore4(format)
	} else {
		c.Catalogue, c.Rows = d.int(), d.rows()
	}
	return c, at, d.whole()
}

func unknownFormat(format uint8) error {
	return fmt.Errorf("a journal record of format %d; this version reads formats up to %d: a newer faquan wrote it", format, RecordFormat)
}
