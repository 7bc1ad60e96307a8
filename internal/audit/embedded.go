package audit

import (
	"context"
	"errors"
	"fmt"

	"faquan/internal/journal"
	"faquan/internal/store/embedded"
	"faquan/internal/vfs"
)

// EmbeddedOptions of an audit of a data directory. Only Store.Dir is required.
type EmbeddedOptions struct {
	Options
	// Store names the directory. Dir, JournalFS and JournalDir count.
	Store embedded.Options
	// Heads of the journal were noted elsewhere: in the log, in a backup. Each must be in the journal, so that a
	// tail that was cut off is noticed. Beside a serving process those beyond the view's position are left out.
	Heads []journal.Head
}

// EmbeddedReport describes what was checked besides the rows.
type EmbeddedReport struct {
	Live    bool             `json:"live"`    // another process had the directory open
	Journal JournalHead      `json:"journal"` // the last record that was verified: note it elsewhere
	Records int64            `json:"journal_records"`
	View    uint64           `json:"view"`               // the record that the view has reached
	Rows    map[string]int64 `json:"view_rows,omitzero"` // of the view that were compared, by table
}

// JournalHead names a journal record, and by its chain hash all before it.
type JournalHead struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"` // SHA-256, hex
}

// Embedded audits the embedded store of a directory: every bit of the journal and the chain of its records, the
// view against the journal row by row, and then the rows as [Store] does, by the catalogue as it was when each of
// them was written.
//
// The directory may be one that no process has open (then it is locked for as long as the audit takes, so that no
// process opens it meanwhile) or one that another process serves: then everything up to the position that the view has
// reached by now is audited beside it. Nothing is changed.
//
// A view that is older than the journal, or not there, is no fault: the next start brings it up to date. The
// audit covers what it has reached, and Report.NotKept has how much that is. What cannot be read because something
// before it is damaged is not audited, and listed there, too.
func Embedded(ctx context.Context, o EmbeddedOptions) (*Report, error) {
	o.Options.defaults()
	e := &embeddedAudit{newReporter(o.MaxFindings), o}
	check, err := embedded.OpenCheck(ctx, o.Store)
	if errors.Is(err, embedded.ErrView) {
		e.find(Finding{View, "view.db", "readable", err.Error()})
		e.report.Embedded = &EmbeddedReport{}
		e.notChecked("the rows, because the view cannot be read. Stop faquan, run `faquan rebuild`, and audit again")
		_, err = e.verify(false, 0)
	} else if err == nil {
		defer check.Close()
		err = e.run(ctx, check)
	}
	if err != nil {
		return nil, err
	}
	return e.done(), nil
}

// embeddedAudit is an audit of a directory under way.
type embeddedAudit struct {
	*reporter
	o EmbeddedOptions
}

func (e *embeddedAudit) run(ctx context.Context, check *embedded.Check) error {
	at := check.Position()
	e.report.Embedded = &EmbeddedReport{Live: check.Live(), View: at.Seq}
	sound, err := e.verify(check.Live(), at.Seq)
	switch {
	case err != nil:
		return err
	case !sound:
		e.notChecked("the view and the rows, because the journal is damaged. Restore the directory from a backup, and audit that")
		return nil
	case check.Reader() == nil:
		e.notChecked("the rows, because there is no view. The next start of faquan makes it, or `faquan rebuild`; audit again then")
		return nil
	}
	if head := e.report.Embedded.Journal.Seq; head > at.Seq {
		e.notChecked("the rows of journal records from %d on, because the view is %d of %d journal records behind, which is normal.  "+
			"The next start of faquan brings it up to date; audit again then", at.Seq+1, head-at.Seq, head)
	}
	if sound, err = e.compare(ctx, check); err != nil || !sound {
		return err
	}
	if err := countAgain(ctx, e.reporter, check.Reader(), e.o.Options, check); err != nil {
		return err
	}
	if len(e.o.Heads) == 0 {
		e.notChecked("that nothing was cut off the end of the journal, because no head is known. Give one with --head RECORD:HASH, from an earlier audit or the log of serve")
	}
	return nil
}

// verify checks the journal: all of it or, beside a process that appends, up to the view's position. It reports whether the
// journal is sound.
func (e *embeddedAudit) verify(live bool, position uint64) (bool, error) {
	o := journal.VerifyOptions{Heads: e.o.Heads}
	if live {
		if position == 0 {
			e.notChecked("the journal, because the process that serves the directory has written nothing to the view yet. Audit again in a minute")
			return true, nil
		}
		o.UpTo = position // heads beyond it are not looked for then
		for _, head := range e.o.Heads {
			if head.Seq > position {
				e.notChecked("the head %d, because the view has only reached record %d, and the process is still writing. Audit again in a minute", head.Seq, position)
			}
		}
	}
	fsys, dir := e.o.Store.JournalFS, e.o.Store.JournalDir
	if fsys == nil {
		fsys = vfs.OS
	}
	if dir == "" {
		dir = embedded.JournalDir(e.o.Store.Dir)
	}
	report, err := journal.Verify(fsys, dir, o)
	var damage *journal.DamageError
	if errors.As(err, &damage) {
		e.find(Finding{Journal, fmt.Sprintf("%s at offset %d, record %d", damage.Segment, damage.Offset, damage.Seq), "as it was written", damage.Reason})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	e.report.Embedded.Journal = JournalHead{report.Head.Seq, fmt.Sprintf("%x", report.Head.Hash)}
	e.report.Embedded.Records = report.Records
	if r := report.Residue; r != nil {
		e.report.Notes = append(e.report.Notes, fmt.Sprintf("%d bytes after the journal's end, in %s at %d: %s; this is normal after an unclean stop",
			r.Bytes, r.Segment, r.Offset, r.Reason))
	}
	if report.Head.Seq < position {
		e.find(Finding{View, "its position", fmt.Sprintf("record %d of the journal or before", report.Head.Seq), fmt.Sprintf("record %d", position)})
		e.notChecked("the view and the rows, because the view belongs to another journal. Stop faquan, run `faquan rebuild`, and audit again")
		return false, nil
	}
	return true, nil
}

// compare compares the view with the journal, and reports whether they agree. If so the options have the history of the
// catalogue and of persons.
func (e *embeddedAudit) compare(ctx context.Context, check *embedded.Check) (bool, error) {
	compared, err := check.Compare(ctx, e.maxFindings)
	if err != nil {
		return false, fmt.Errorf("comparing the view with the journal: %w", err)
	}
	e.report.Embedded.Rows = compared.Rows
	for _, f := range compared.Faults {
		e.find(Finding{View, f.Table + ": " + f.Row, f.Want, f.Got})
	}
	e.report.More += compared.More
	if len(compared.Faults) > 0 {
		e.notChecked("the sums of the rows, because the view differs from the journal. Stop faquan, run `faquan rebuild`, and audit again")
		return false, nil
	}
	e.o.former = compared.Persons
	e.o.History, err = historyOf(ctx, check.Reader())
	return err == nil, err
}
