package codec

import (
	"encoding/binary"
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/table"
)

// RecordFormat is the format of the records that EncodeChanges writes. A record starts with it; a program refuses
// formats that it does not know, and reads every one that was ever written. Up to format 4 there are no steps: those
// commits have no events. Up to format 3 each kind of rows had a form of its own: see rowsBefore4. Up to format 2 users do not say whether they are registered; format 1 has no
// participations.
const RecordFormat = 5

// EncodeChanges appends the record of a commit to b. The bodies of its issuances lie in it in order; what is appended
// to at tells where each begins and ends, so that they can be kept without encoding them again.
func EncodeChanges(b []byte, c *benefit.Changes, at [][2]int) ([]byte, [][2]int) {
	e := coder{b: append(b, RecordFormat)}
	e.int((*int64)(&c.Now))
	e.length(len(c.Issuances), 0)
	for _, i := range c.Issuances {
		// The length goes before the body; two bytes hold it for all but very long ones.
		start := len(e.b)
		e.issuance(i)
		n := len(e.b) - start
		e.length(n, 0)
		width := len(e.b) - start - n
		var length [binary.MaxVarintLen64]byte
		copy(length[:], e.b[start+n:])
		copy(e.b[start+width:], e.b[start:start+n])
		copy(e.b[start:], length[:width])
		at = append(at, [2]int{start + width, len(e.b)})
	}
	for _, u := range list(&e, &c.Users, 1) {
		e.user(u)
	}
	e.int(&c.Catalogue)
	for _, rows := range list(&e, &c.Rows, 3) {
		e.writeRows(rows)
	}
	if onlyIssues(c) { // and takes no room
		e.length(0, 0)
	} else {
		e.length(1, 0)
		e.b = AppendSteps(e.b, c.Steps)
	}
	return e.b, at
}

// writeRows writes a section: the number of the kind, how many rows and how many columns of values each has, and their
// bytes.
func (c *coder) writeRows(rows table.Rows) {
	kind := rows.Kind()
	c.byte(&kind.Number)
	c.length(rows.Len(), 0)
	c.length(len(kind.Value), 0)
	var row table.Row
	for i := range rows.Len() {
		rows.Read(i, &row)
		c.b = table.AppendColumns(c.b, kind.Key, row.Key)
		c.b = table.AppendColumns(c.b, kind.Value, row.Value)
	}
}

func (c *coder) readRows() table.Rows { return c.rowsUnless(nil) }

// rowsUnless reads a section, or passes over it if skip returns true of its kind; nil then.
func (c *coder) rowsUnless(skip func(*table.Kind) bool) table.Rows {
	var number uint8
	if c.byte(&number); c.err != nil {
		return nil
	}
	kind := table.ByNumber(number)
	if kind == nil {
		c.err = fmt.Errorf("rows of kind %d, which this version does not know: a newer faquan wrote them", number)
		return nil
	}
	n, columns := c.length(0, len(kind.Key)), c.uint()
	if columns > uint64(len(kind.Value)) {
		c.err = fmt.Errorf("rows of table %s with %d columns; this version knows %d: a newer faquan wrote them", kind.Name, columns, len(kind.Value))
		return nil
	}
	var set table.Builder
	if skip == nil || !skip(kind) {
		set = kind.Builder()
	}
	var row table.Row
	for range n {
		if row.Key, c.b, c.err = table.ParseColumns(c.b, kind.Key, row.Key[:0]); c.err != nil {
			return nil
		}
		if row.Value, c.b, c.err = table.ParseColumns(c.b, kind.Value[:columns], row.Value[:0]); c.err != nil {
			return nil
		}
		if set == nil {
			continue
		}
		row.Value = kind.Pad(row.Value)
		if c.err = set.Add(&row); c.err != nil {
			return nil
		}
	}
	return set
}

// rowsBefore4 reads the rows of a record of format 1 to 3, and the version of the catalogue among them.
func (c *coder) rowsBefore4(format uint8) (rows []table.Rows, catalogue int64) {
	var quotas []benefit.Quota
	for k := range list(c, &quotas, 1) {
		q := &quotas[k]
		c.id(&q.User)
		c.int((*int64)(&q.Template), &q.Total)
		small(c, &q.Day)
		c.int(&q.DayTotal)
	}
	var counts []benefit.TemplateCount
	for k := range list(c, &counts, 1) {
		t := &counts[k]
		c.int((*int64)(&t.Template), &t.Count, &t.Amount)
	}
	var days []benefit.TemplateDay
	for k := range list(c, &days, 1) {
		t := &days[k]
		c.int((*int64)(&t.Template))
		small(c, &t.Day)
		c.int(&t.Count, &t.Amount)
	}
	c.int(&catalogue)
	var entities []benefit.Entity
	for k := range list(c, &entities, 1) {
		e := &entities[k]
		c.byte((*uint8)(&e.Kind))
		c.int(&e.ID)
		c.bytes(&e.Body)
	}
	var sessions []*benefit.Session
	for k := range list(c, &sessions, 1) {
		var err error
		if sessions[k], err = benefit.DecodeSession(c.raw()); err != nil {
			c.fail()
		}
	}
	var participations []benefit.Participation
	if format > 1 { //guard:TestFormatOne 1 -> 0
		for k := range list(c, &participations, 1) {
			c.participation(&participations[k])
		}
	}
	return benefit.RowsOf(
		benefit.Quotas.Rows(quotas...), benefit.TemplateCounts.Rows(counts...), benefit.TemplateDays.Rows(days...),
		benefit.Entities.Rows(entities...), benefit.Sessions.Rows(sessions...), benefit.Participations.Rows(participations...),
	), catalogue
}

// DecodeChanges reads what EncodeChanges wrote. at is where each issuance's body lies in it.
func DecodeChanges(record []byte) (c *benefit.Changes, at [][2]int, err error) {
	d := coder{b: record, reading: true}
	format, err := d.format()
	if err != nil {
		return nil, nil, err
	}
	c = &benefit.Changes{}
	d.int((*int64)(&c.Now))
	for range d.length(0, 1) {
		body := d.raw()
		end := len(record) - len(d.b)
		at = append(at, [2]int{end - len(body), end})
		i, err := DecodeIssuance(body)
		if err != nil {
			return nil, nil, err
		}
		c.Issuances = append(c.Issuances, i)
	}
	for k := range list(&d, &c.Users, 1) {
		u := &benefit.User{}
		d.user(u)
		if format < 3 { // only a commit that issues makes users that are not registered
			u.Unregistered = u.Unregistered && len(c.Issuances) > 0 //guard:TestUsersThatDoNotSay && -> ||
		}
		c.Users[k] = u
	}
	if format < 4 {
		c.Rows, c.Catalogue = d.rowsBefore4(format)
	} else {
		d.int(&c.Catalogue)
		for k := range list(&d, &c.Rows, 3) {
			c.Rows[k] = d.readRows()
		}
	}
	if format > 4 && d.err == nil {
		d.steps(c)
	}
	return c, at, d.whole()
}

// onlyIssues reports whether the steps are those of a batch that only issued: each of its issuances, all of it.
func onlyIssues(c *benefit.Changes) bool {
	if len(c.Steps) != len(c.Issuances) {
		return false
	}
	for k, i := range c.Issuances {
		s := &c.Steps[k]
		if s.Issuance != i || len(s.Templates) > 0 {
			return false
		}
		n := 0
		for line := range i.Lines {
			if i.Lines[line].Issued == 0 {
				continue
			}
			if n == len(s.Lines) || s.Lines[n] != line {
				return false
			}
			n++
		}
		if n != len(s.Lines) {
			return false
		}
	}
	return true
}

// stepsOfIssues returns the steps for which onlyIssues returns true.
func stepsOfIssues(c *benefit.Changes) []benefit.Step {
	steps := make([]benefit.Step, len(c.Issuances))
	for k, i := range c.Issuances {
		steps[k].Issuance = i
		if len(i.Lines) == 1 && i.Lines[0].Issued > 0 {
			steps[k].Lines = onlyLine
			continue
		}
		for n := range i.Lines {
			if i.Lines[n].Issued > 0 {
				steps[k].Lines = append(steps[k].Lines, n)
			}
		}
	}
	return steps
}

// steps reads the steps of a record, the rest of which was read.
func (d *coder) steps(c *benefit.Changes) {
	if d.length(0, 0) == 0 {
		c.Steps = stepsOfIssues(c)
		return
	}
	refs := d.stepRefs()
	operations := map[benefit.ClaimID]*benefit.Operation{}
	for _, o := range benefit.Operations.Of(c.Rows) {
		operations[o.Claim] = &o
	}
	issuances := make(map[id.ID]*benefit.Issuance, len(c.Issuances))
	for _, i := range c.Issuances {
		issuances[i.ID] = i // the last, as it may have been continued in the same batch
	}
	for _, r := range refs {
		s, ok := r.Resolve(issuances[r.Issuance], operations[r.Operation])
		if !ok {
			d.fail()
			return
		}
		c.Steps = append(c.Steps, s)
	}
}
