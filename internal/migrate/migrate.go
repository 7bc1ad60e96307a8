// Package migrate moves an embedded store over to PostgreSQL.
//
//	result, err := migrate.Run(ctx, migrate.Options{From: dir, To: postgres.Options{URL: url}})
//	if !result.OK() { … result.Differences … }
//
// It goes like this:
//
//  1. The source is opened, so that no process serves it meanwhile; the target, which must be empty, is marked, so that
//     no process serves it before it is complete.
//  2. The source is audited: what is wrong is not moved.
//  3. The rows are copied table by table, in the order of their keys, in pieces. Each piece is one commit, with a note
//     how far that is. Whatever ends the copying, the next run goes on behind the last piece: the mark names the
//     journal record and the chain hash of the source, so it is only ever that of the same source in the same state.
//  4. The bounds follow: the last committed now and the latest id, so that neither a day nor an id comes again.
//  5. The target is audited, and both must hold the same: the same rows, sums and hashes in every table, see
//     audit.ComputeChecksum. Only then the mark is taken away.
//
// The rows of the source are not changed. It remains a valid backup until vouchers are issued on it again; a view that an
// older faquan made is made again, though.
package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"faquan/internal/audit"
	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/postgres"
)

// Options of a move. From and To.URL are required.
type Options struct {
	From string // the data directory
	To   postgres.Options
	// Proof is that of the key that the source's secrets are sealed under; see postgres.Store.CheckKey. Nil: it has none.
	Proof []byte
	// OnProgress is called with the progress; it may be nil.
	OnProgress func(Progress)
	// Audit are options of both audits.
	Audit audit.Options

	piece int          // rows of a commit; 0: the default
	after func() error // called after each of them; a test stops here
}

// Progress is the progress of a migration.
type Progress struct {
	Doing string // in a few words
	// Done of Total rows; Total is 0 while it is not known.
	Done, Total int64
}

// Result is the result of a migration.
type Result struct {
	Source, Target *audit.Report // with their checksums; Target is nil when the source was not sound
	Copied         int64         // rows, by this run
	Resumed        int64         // rows that earlier runs had copied
	Differences    []string      // between the two
}

// OK reports whether the target is sound and means the same as the source.
func (r *Result) OK() bool {
	//guard:TestDamagedOnTheWay without len(r.Differences) == 0
	return r.Source.OK() && r.Target != nil && r.Target.OK() && len(r.Differences) == 0
}

// batchRows is the number of rows in one commit. More are hardly faster.
const batchRows = 2000

// Run moves a store. After an error it has not come to its end, and may be run again. Otherwise Result.OK reports whether
// the end is good.
//
// Errors to expect: fs.ErrNotExist for the directory, vfs.ErrLocked while a process has it, postgres.ErrNotEmpty,
// ErrOtherSource, ErrInUse, ErrOtherKey.
func Run(ctx context.Context, o Options) (_ *Result, err error) {
	m := &move{o: o}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.open(ctx); err != nil {
		return nil, err
	}
	if m.to, err = postgres.StartImport(ctx, o.To, m.name); err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	if err := m.auditSource(ctx); err != nil {
		return nil, err
	}
	if !m.result.Source.OK() { //guard:TestUnsoundSource
		return &m.result, m.leave(ctx)
	}
	if err := m.fill(ctx); err != nil {
		return nil, err
	}
	if err := m.verify(ctx); err != nil {
		return nil, err
	}
	if !m.result.OK() {
		return &m.result, nil
	}
	return &m.result, m.to.Done(ctx)
}

// move is one under way.
type move struct {
	o      Options
	from   *embedded.Store
	name   string       // of the source and its state
	r      store.Reader // of the source
	now    benefit.Instant
	to     *postgres.Import
	total  int64 // rows to copy
	done   int64 // of them
	result Result
}

// open opens the source.
func (m *move) open(ctx context.Context) (err error) {
	if m.o.OnProgress == nil {
		m.o.OnProgress = func(Progress) {}
	}
	m.o.piece = cmp.Or(m.o.piece, batchRows)
	if err := embedded.CheckExists(m.o.From); err != nil {
		return err
	}
	m.reportProgress("opening the data directory")
	if m.from, err = embedded.Open(embedded.Options{Dir: m.o.From, Foreground: true, Log: m.o.To.Log}); err != nil {
		return fmt.Errorf("data directory %s: %w", m.o.From, err)
	}
	head := m.from.Head()
	m.name = fmt.Sprintf("journal record %d:%x", head.Seq, head.Hash)
	tx, err := m.from.Begin(ctx, 0)
	if err != nil {
		return err
	}
	m.now = tx.Now()
	tx.Rollback()
	m.r, err = m.from.Read(ctx)
	return err
}

func (m *move) reportProgress(doing string) {
	m.o.OnProgress(Progress{Doing: doing, Done: m.done, Total: m.total})
}

func (m *move) close() error {
	var errs []error
	if m.to != nil {
		errs = append(errs, m.to.Close())
	}
	if m.r != nil {
		errs = append(errs, m.r.Close())
	}
	if m.from != nil {
		errs = append(errs, m.from.Close())
	}
	return errors.Join(errs...)
}

// auditSource counts everything in the source again, and computes its checksum.
func (m *move) auditSource(ctx context.Context) (err error) {
	m.reportProgress("auditing the data directory")
	o := audit.EmbeddedOptions{Options: m.o.Audit, Store: embedded.Options{Dir: m.o.From}}
	o.Checksum = true
	if m.result.Source, err = audit.Embedded(ctx, o); err != nil {
		return fmt.Errorf("auditing %s: %w", m.o.From, err)
	}
	if m.result.Source.OK() && m.result.Source.Checksum == nil {
		return fmt.Errorf("auditing %s: its rows cannot be read; run `faquan rebuild`, then try again", m.o.From)
	}
	return nil
}

// leave takes the mark from a target that has nothing yet.
func (m *move) leave(ctx context.Context) error {
	if step, rows := m.to.Progress(); step > 0 || rows > 0 {
		return nil
	}
	return m.to.Done(ctx)
}

// verify audits the target, and compares the two.
func (m *move) verify(ctx context.Context) (err error) {
	m.reportProgress("auditing the database")
	o := m.o.Audit
	o.Checksum = true
	if m.result.Target, err = audit.Postgres(ctx, m.to.Store(), o); err != nil {
		return fmt.Errorf("auditing the database: %w", err)
	}
	m.result.Differences = m.result.Source.Checksum.Differences(m.result.Target.Checksum)
	return nil
}
