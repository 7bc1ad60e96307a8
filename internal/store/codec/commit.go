package codec

import (
	"fmt"

	"faquan/internal/benefit"
	"faquan/internal/table"
)

// DecodeCommit reads of what EncodeChanges wrote only when the commit was and its steps. Those of a record from before
// there were steps are empty.
func DecodeCommit(record []byte) (now benefit.Instant, steps []benefit.Step, err error) {
	d := coder{b: record, reading: true}
	format, err := d.format()
	if err != nil {
		return 0, nil, err
	}
	d.int((*int64)(&now))
	if format < 5 || d.err != nil {
		return now, nil, d.err
	}
	c := &benefit.Changes{}
	all := make([]benefit.Issuance, d.length(0, minIssuance))
	c.Issuances = make([]*benefit.Issuance, len(all))
	for k := range all {
		body := coder{b: d.raw(), reading: true}
		body.str = string(body.b)
		body.issuance(&all[k])
		if err := body.whole(); err != nil {
			return 0, nil, err
		}
		c.Issuances[k] = &all[k]
	}
	for range d.length(0, 1) {
		d.skipUser()
	}
	d.int(&c.Catalogue)
	for range d.length(0, 3) {
		if rows := d.rowsUnless(func(kind *table.Kind) bool { return kind != benefit.Operations.Kind }); rows != nil {
			c.Rows = append(c.Rows, rows)
		}
	}
	if d.err == nil {
		d.steps(c)
	}
	return now, c.Steps, d.whole()
}

// DecodeNow reads of what EncodeChanges wrote only when the commit was.
func DecodeNow(record []byte) (now benefit.Instant, err error) {
	d := coder{b: record, reading: true}
	if _, err := d.format(); err != nil {
		return 0, err
	}
	d.int((*int64)(&now))
	return now, d.err
}

// format reads the format of a record.
func (c *coder) format() (format uint8, err error) {
	if c.byte(&format); format < 1 || format > RecordFormat {
		return 0, fmt.Errorf("a journal record of format %d; this version reads formats up to %d: a newer faquan wrote it", format, RecordFormat)
	}
	return format, nil
}

// skipUser passes over what user reads.
func (c *coder) skipUser() {
	c.skip(8)
	c.raw() // the name
	c.skip(1)
	c.raw() // the person
	c.raw() // the Alipay account
	c.raw() // the attributes
	for range c.length(0, 3) {
		c.raw()
		c.raw()
		var app int64
		c.int(&app)
	}
}

func (c *coder) skip(n int) {
	if len(c.b) < n {
		c.fail()
		return
	}
	c.b = c.b[n:]
}

// minIssuance is a length that every issuance in a record exceeds.
const minIssuance = 40
