// Package embedded is the store for one machine: a journal, which is the truth, and a SQLite view of it, which is
// the index and the answers to queries.
//
//	commit ─▶ journal (one sync) ─▶ memtable (memory) ─▶ callers are answered
//	                                   │ in the background, sorted, in one large transaction
//	                                   ▼
//	                                 view (SQLite)
//
// What was committed and is not in the view yet lies in the memtable. Loading asks the memtable, then a bounded cache,
// then the view, and the view only where an in-memory filter says "perhaps". After a crash the view says how far it had
// come, and the rest of the journal is replayed into a new memtable. The view may be older than the journal, or gone:
// it catches up. It is never newer, and when the two differ, the journal always wins.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"zombiezen.com/go/sqlite"

	"faquan/internal/benefit"
	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/store/codec"
	"faquan/internal/store/embedded/sumvfs"
	"faquan/internal/table"
	"faquan/internal/vfs"
)

// Options of a store. Only Dir is required.
type Options struct {
	// Dir is the data directory. The store keeps journal/ and view.db in it.
	Dir string
	// JournalFS holds the journal instead of the operating system's file system, and JournalDir names its
	// directory there.
	JournalFS  vfs.FS
	JournalDir string
	// SegmentBytes is the size of the journal's segments; see package journal.
	SegmentBytes int64
	// JournalRand is the source of the id of a new journal. Default: the system's. A simulation seeds it.
	JournalRand io.Reader

	// Foreground leaves the background work to the caller: nothing is written to the view but by Flush, and by
	// the calls that need it. A simulation uses it.
	Foreground bool
	// FlushAfter is how long a commit may stay in the memtable when there are few. Read has the memtable written at
	// once, and look-ups ask it as well, so the lag is never visible; a write for a handful of rows costs almost as
	// much as one for thousands, because each lands on a page of its own. Default 2 s.
	FlushAfter time.Duration
	// MaxMemtable is how many issuances the memtable may hold before commits wait for the view; with long notes, or many
	// vouchers each, how many KiB their records may have together. It is written when it is half full. Default 400,000,
	// which takes about 250 MB when the view is slow.
	MaxMemtable int
	// GenerationSize is about how many issuances share a generation of the view; fewer when they have many codes or
	// lines. Default 1,000,000.
	GenerationSize int
	// CacheEntries bounds the caches. Those of recipients and quotas each keep between this many and twice as many
	// entries of about 50 bytes; the cache of other rows keeps half as many of about 100 bytes. Default 1,000,000.
	CacheEntries int

	// Syncing is called before a commit is made durable; the function that it returns is called when that is done. It may
	// be nil.
	Syncing func() (synced func())

	Log *slog.Logger

	// TempDir is where a Check rebuilds the view. Default: the system's directory for temporary files, which TMPDIR
	// names.
	TempDir string

	replayed func(seq uint64, c *benefit.Changes) // is called for each journal record that a start replays; may be nil

	genericQuotas bool // quotas are rows like all others: a test compares the two
}

func (o *Options) defaults() {
	o.JournalFS = cmp.Or(o.JournalFS, vfs.OS)
	o.JournalDir = cmp.Or(o.JournalDir, JournalDir(o.Dir))
	o.FlushAfter = cmp.Or(o.FlushAfter, 2*time.Second)
	o.MaxMemtable = cmp.Or(o.MaxMemtable, 400_000)
	o.GenerationSize = cmp.Or(o.GenerationSize, 1_000_000)
	o.CacheEntries = cmp.Or(o.CacheEntries, 1_000_000)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
}

// CheckExists returns an error when a directory is not a data directory, or when that cannot be found out.
func CheckExists(dir string) error {
	switch _, err := os.Stat(JournalDir(dir)); {
	case errors.Is(err, fs.ErrNotExist): //guard:TestCheckExists errors.Is(err, fs.ErrNotExist) -> err != nil
		return fmt.Errorf("%s is not a faquan data directory: %w", dir, err)
	case err != nil:
		return fmt.Errorf("data directory %s cannot be read: %w", dir, err)
	}
	return nil
}

// JournalDir and ViewPath are where a data directory keeps its two parts.
func JournalDir(dir string) string { return filepath.Join(dir, "journal") }

// ViewPath returns the file of the view.
func ViewPath(dir string) string { return filepath.Join(dir, "view.db") }

// recordKind marks the journal records of this package.
const recordKind = 1

// Store is an open embedded store. It implements store.Store.
type Store struct {
	o       Options
	lock    vfs.Lock // keeps a second process out of the directory
	journal *journal.Journal
	sums    *sumvfs.Database // the view's checksums
	writer  *sqlite.Conn     // of the flusher
	loader  *sqlite.Conn     // of the committer

	// finders are the connections of callers' questions, idle ones; nil for one that was not opened yet. rowFinder has the
	// one that looks up rows.
	finders, rowFinder chan *sqlite.Conn

	// flushMu orders the flushes, and loading keeps a memtable that is in the view by now in memory while a load is
	// under way: the load may be reading an older snapshot of the view. Both are taken before mu.
	flushMu, loading sync.Mutex
	closed           bool // the connections are gone; flushMu guards it

	mu        sync.Mutex // guards what follows
	drained   sync.Cond  // signalled when the view has caught up with a flush
	active    *memtable  // takes commits
	flushing  *memtable  // being written to the view; nil when there is none
	gens      []*generation
	now       benefit.Instant
	idMillis  int64
	catalogue int64 // its version
	failed    error // why the store has failed, or nil
	stuck     error // why the view does not keep up, or nil
	viewInWAL bool  // the last checkpoint failed: the view keeps up, in its write-ahead log
	refused   error // why the journal took nothing the last time, or nil
	links     *cache[linkKey, link]
	users     *cache[benefit.UserID, *benefit.User] // those that are not plain
	quotas    *cache[benefit.QuotaKey, counters]
	rows      *cache[rowKey, storedRow] // of other kinds; what every batch asks for stays there

	hot *table.Kind // see quotas.go

	history [4]byte // the beginning of the journal's id
	cursors cursorPool

	appending sync.Mutex // guards the journal while it is written to; taken before mu

	seq  uint64   // the last committed record; the committer, who changes it under mu, reads it without
	hash [32]byte // the chain hash of it
	buf  int      // the size of the last record, a guess for the next
	kick chan struct{}
	stop chan struct{}
	work sync.WaitGroup

	ended    chan error // gets the failure, for Failed
	closing  sync.Once
	closeErr error
}

var _ store.Store = (*Store)(nil)

// Open opens the store of a data directory, or makes one. A view that is missing or unusable is made again from
// the journal, which takes a while on a large store.
//
// Errors to expect: vfs.ErrLocked while another process has the directory, journal.DamageError, and those of the
// file system.
func Open(o Options) (*Store, error) {
	o.defaults()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	// The lock comes before the view: a second process must not even read it.
	lock, err := vfs.OS.Lock(filepath.Join(o.Dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	s, err := openLocked(o, lock)
	if err != nil {
		lock.Close()
	}
	return s, err
}

// lockName is the file in the data directory that its one process has locked.
const lockName = "LOCK"

func openLocked(o Options, lock vfs.Lock) (*Store, error) {
	s, err := open(o, lock, (*Store).openJournal)
	if err == nil || !damaged(err) {
		return s, err
	}
	o.Log.Warn("the view cannot be used; rebuilding it from the journal", "err", err)
	if known := knownDurable(o); known > 0 { //guard:TestRebuildWithoutTheTail
		if _, err := journalLength(o, known); err != nil { // while there is still a view to know it by
			return nil, err
		}
	}
	if err := removeView(ViewPath(o.Dir)); err != nil {
		return nil, err
	}
	return open(o, lock, (*Store).openJournal)
}

// open opens the view, and calls replay for what the journal has beyond the view's position.
func open(o Options, lock vfs.Lock, replay func(*Store, position) error) (_ *Store, err error) {
	s := &Store{
		o: o, lock: lock, kick: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan error, 1),
		links:  newCache[linkKey, link](o.CacheEntries),
		users:  newCache[benefit.UserID, *benefit.User](max(o.CacheEntries/20, 1)),
		quotas: newCache[benefit.QuotaKey, counters](o.CacheEntries),
		rows:   newCache[rowKey, storedRow](max(o.CacheEntries/2, 1)),

		finders: newFinders(maxFinders), rowFinder: newFinders(1), hot: benefit.Quotas.Kind,
	}
	if o.genericQuotas {
		s.hot = nil
	}
	s.drained.L = &s.mu
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	at, err := s.openView()
	if err != nil {
		return nil, err
	}
	if s.loader, err = openConn(ViewPath(o.Dir), true); err != nil {
		return nil, err
	}
	if err := replay(s, at); err != nil {
		return nil, err
	}
	if !o.Foreground {
		s.work.Add(3)
		go s.flushLoop()
		go s.fillFilters()
		go s.watch()
	}
	return s, nil
}

func (s *Store) openView() (at position, err error) {
	path := ViewPath(s.o.Dir)
	if err := checkLinks(path); err != nil {
		return at, openError(err)
	}
	if have, err := plainVersion(path); err != nil {
		return at, openError(err)
	} else if have > 0 {
		return at, olderSchema(have)
	}
	if s.sums, err = sumvfs.Open(path, s.viewDamaged); err != nil {
		return at, openError(err)
	}
	if s.writer, err = openConn(path, false); err != nil {
		return at, err
	}
	if err = createView(s.writer); err != nil {
		return at, err
	}
	if at, err = readPosition(s.writer); err != nil {
		return at, err
	}
	// An audit compares this with a view that it makes itself.
	const known = "UPDATE position SET kinds=? WHERE kinds<>?"
	if err := each(s.writer, known, nil, table.Described(), table.Described()); err != nil { //guard:TestKindsOfAnOlderProgram table.Described(), table.Described() -> "", ""
		return at, err
	}
	if s.gens, err = loadGenerations(s.writer, at.seq, func(int64, string) {}); err != nil {
		return at, err
	}
	last := s.gens[len(s.gens)-1]
	// The next change makes the stored filters of the generation being filled stale.
	const forget = "UPDATE generation SET claims=NULL, quotas=NULL WHERE gen=? AND claims IS NOT NULL"
	if err := each(s.writer, forget, nil, last.gen); err != nil {
		return at, err
	}
	last.resume(s.filterCapacity(), at.seq == 0)
	s.now, s.idMillis, s.seq, s.hash, s.catalogue = at.now, at.idMillis, at.seq, at.hash, at.catalogue
	s.active = newMemtable(last.gen, at.idMillis)
	return at, nil
}

// filterCapacity returns how many keys a filter is made for: a generation may grow by one memtable past its size.
func (s *Store) filterCapacity() int { return s.o.GenerationSize + s.o.MaxMemtable/2 }

// openJournal opens the journal and replays what the view has not seen. The record at the view's position is
// looked at as well: a view whose chain hash differs belongs to another journal.
func (s *Store) openJournal(at position) (err error) {
	from := at.seq
	if from > 0 {
		from--
	}
	s.journal, err = journal.Open(journal.Options{
		FS: s.o.JournalFS, Dir: s.o.JournalDir, SegmentBytes: s.o.SegmentBytes,
		From: from, KnownDurable: at.seq, Background: !s.o.Foreground, Syncing: s.o.Syncing, Logger: s.o.Log, Rand: s.o.JournalRand,
	}, func(r journal.Record) error { return s.replay(at, r) })
	if err == nil {
		id := s.journal.ID()
		s.history = [4]byte(id[:4])
	}
	return err
}

func (s *Store) replay(at position, r journal.Record) error {
	if r.Seq == at.seq {
		if r.Hash != at.hash { //guard:TestViewOfAnotherJournal
			return fmt.Errorf("%w: its position is not in this journal (record %d)", ErrView, r.Seq)
		}
		return nil
	}
	if r.Kind != recordKind { //guard:TestNewer
		return fmt.Errorf("journal record %d has kind %d, which this program does not know: a newer faquan wrote it", r.Seq, r.Kind)
	}
	payload := append([]byte(nil), r.Payload...)
	changes, bodies, err := codec.DecodeChanges(payload)
	if err != nil {
		return recordError(r, err)
	}
	gone, err := s.removedLinks(changes)
	if err != nil {
		return err
	}
	s.absorb(record{seq: r.Seq, hash: r.Hash, bytes: payload, changes: changes, bodies: bodies, gone: gone})
	if s.o.replayed != nil {
		s.o.replayed(r.Seq, changes)
	}
	if s.active.weight() >= s.o.MaxMemtable {
		return s.Flush()
	}
	return nil
}

// absorb takes a durable record into the memtable. The caller holds mu, or is alone.
func (s *Store) absorb(r record) {
	r.prepare(s.hot)
	s.gens[len(s.gens)-1].note(&r)
	s.active.add(&r)
	s.seq, s.hash, s.now, s.idMillis = r.seq, r.hash, r.changes.Now, max(s.idMillis, s.active.idMillis)
	if c := r.changes.Catalogue; c != 0 {
		s.catalogue = c
	}
	for k := range r.quotas {
		s.quotas.put(r.quotas[k].QuotaKey, countersOf(&r.quotas[k], commitOrder(r.seq, 0)))
	}
	for k := range r.rows {
		s.cacheRow(r.rows[k].id, storedRow{r.rows[k].at, r.rowValue(&r.rows[k])})
	}
	for _, l := range r.gone {
		s.links.put(l.key, l.link)
	}
	for _, l := range r.links {
		s.links.put(l.key, l.link)
	}
	for _, u := range r.changes.Users {
		//guard:TestRecipientsByID
		if !u.Plain() || len(r.changes.Issuances) == 0 {
			s.users.put(u.ID, u)
		}
	}
}

func (s *Store) Begin(_ context.Context, clock benefit.Instant) (store.Tx, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, s.failed
	}
	return &tx{s: s, now: max(clock, s.now), catalogue: s.catalogue}, nil //guard:TestConformance$/Clock without s.now
}

// BeginChange is Begin: one process has the directory, and its one committer makes the changes, too.
func (s *Store) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return s.Begin(ctx, clock)
}

// Shared is false: one process has the directory, and one committer.
func (s *Store) Shared() bool { return false }

// Head returns the journal's last record and the chain hash that commits to it and to everything before. An operator who
// keeps it elsewhere can tell later that nothing was cut off. It belongs to the committer: ask before the first batch or after
// the last.
func (s *Store) Head() journal.Head { return s.journal.Head() }

func (s *Store) LastIDMillis() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idMillis
}

func (s *Store) LastNow() benefit.Instant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// tx is a batch of the one committer.
type tx struct {
	s         *Store
	now       benefit.Instant
	catalogue int64
	done      bool
}

func (t *tx) Now() benefit.Instant { return t.now }

func (t *tx) Catalogue() int64 { return t.catalogue }

func (t *tx) Contended() bool { return false }

// Confirm has nothing to wait for: what can be read was synced before.
func (t *tx) Confirm(context.Context) error {
	t.Rollback()
	return nil
}

func (t *tx) Rollback() { t.done = true }

// Commit appends the changes to the journal, syncs, and takes them into the memtable.
func (t *tx) Commit(ctx context.Context, c *benefit.Changes) error {
	if t.done {
		return fmt.Errorf("%w: the batch is over", store.ErrNotCommitted)
	}
	t.done = true
	if len(c.Issuances) > maxIssuances {
		return fmt.Errorf("%w: %d issuances, at most %d", store.ErrTooLarge, len(c.Issuances), maxIssuances)
	}
	s := t.s
	if err := s.awaitView(ctx); err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotCommitted, err)
	}
	gone, err := s.removedLinks(c)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotCommitted, s.viewError(err))
	}
	payload, bodies := codec.EncodeChanges(make([]byte, 0, s.buf+s.buf/8+512), c, make([][2]int, 0, len(c.Issuances)))
	s.buf = len(payload)
	s.appending.Lock()
	defer s.appending.Unlock()
	seq, err := s.journal.Append(recordKind, payload)
	if err != nil {
		return s.appendFailed(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted()
	s.absorb(record{seq: seq, hash: s.journal.Head().Hash, bytes: payload, changes: c, bodies: bodies, gone: gone})
	if s.active.weight() >= s.o.MaxMemtable/2 || c.Catalogue != 0 {
		s.wakeFlusher()
	}
	return nil
}

// appendFailed classifies an error of the journal: certainly not written, or unknown.
func (s *Store) appendFailed(err error) error {
	switch {
	case errors.Is(err, journal.ErrTooLarge):
		return fmt.Errorf("%w: %w", store.ErrTooLarge, err)
	case errors.Is(err, journal.ErrNotWritten):
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refused == nil {
			s.o.Log.Error("the journal cannot be written; callers are told to retry until it can", "err", err)
		}
		s.refused = err
		return fmt.Errorf("%w: %w", store.ErrNotCommitted, err)
	}
	return s.fail(err)
}

// accepted notes that the journal can be written. The caller holds mu.
func (s *Store) accepted() {
	if s.refused != nil {
		s.o.Log.Info("the journal can be written again")
		s.refused = nil
	}
}

// Refusing returns why commits are refused at present, or nil. The error of a full disk wraps syscall.ENOSPC. It
// becomes nil soon after there is room, even if no commit is tried.
func (s *Store) Refusing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failed != nil:
		return s.failed
	case s.refused != nil:
		return s.refused
	case s.active.weight() >= s.o.MaxMemtable:
		if sqlite.ErrCode(s.stuck).ToPrimary() == sqlite.ResultFull {
			return fmt.Errorf("%w: %w", syscall.ENOSPC, s.stuck)
		}
		return s.stuck
	}
	return nil
}

// tryJournal finds out whether a journal that refused a commit can be written by now, since no commit may come: a
// process that is not ready gets no calls.
func (s *Store) tryJournal() {
	s.mu.Lock()
	refused := s.refused != nil
	s.mu.Unlock()
	if !refused {
		return
	}
	s.appending.Lock()
	defer s.appending.Unlock()
	err := s.journal.Prepare()
	var failed *journal.FailedError
	switch {
	case errors.As(err, &failed):
		s.fail(err)
	case err == nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.accepted()
	}
}

// fail ends what the store can be used for.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %w", store.ErrFailed, err) //guard:TestEveryFault store.ErrFailed -> store.ErrNotCommitted
		s.ended <- s.failed
		s.drained.Broadcast()
	}
	return s.failed
}

// Failed returns a channel that gets the error, once, when the store fails: a journal that cannot be written, or a damaged
// view, whoever reads it. The process must stop then: without a batch the committer would not notice.
func (s *Store) Failed() <-chan error { return s.ended }

// viewDamaged is called when any read finds bytes of the view that are not those that were written: from then on
// nothing is decided.
func (s *Store) viewDamaged(err error) {
	s.mu.Lock()
	first := s.failed == nil
	s.mu.Unlock()
	if first {
		s.o.Log.Error("the view is damaged; stop faquan and run faquan rebuild", "err", err)
	}
	s.fail(fmt.Errorf("%w: %w", ErrView, err)) //guard:TestFlippedUnderReader
}

// viewError returns an error of the view, as a failure of the store if it means that the view is damaged.
func (s *Store) viewError(err error) error {
	if !damaged(err) {
		return err
	}
	return s.fail(unusable(err))
}

// awaitView holds a commit back while the view is too far behind.
func (s *Store) awaitView(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.active.weight() >= s.o.MaxMemtable { //guard:TestStuckView
		if s.o.Foreground {
			s.mu.Unlock()
			err := s.Flush()
			s.mu.Lock()
			if err != nil {
				return err
			}
			continue
		}
		if s.failed != nil { // the flusher has ended
			return s.failed
		}
		if s.stuck != nil {
			return fmt.Errorf("the view is behind and does not keep up: %w", s.stuck)
		}
		s.wakeFlusher()
		s.drained.Wait()
	}
	return ctx.Err()
}

func (s *Store) wakeFlusher() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Close writes everything to the view, notes a clean stop in the journal and releases the directory. After a
// failure it writes what it can, and returns what it cannot. A second Close returns what the first did.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.stop)
		s.work.Wait()
		err := s.Flush()
		if err == nil {
			err = s.keepFilters()
		}
		s.flushMu.Lock()
		s.closed = true
		s.flushMu.Unlock()
		s.closeErr = errors.Join(err, s.release(), s.lock.Close())
	})
	return s.closeErr
}

// keepFilters stores the filters of the generation being filled, so that the next start finds them.
func (s *Store) keepFilters() error {
	last := s.gens[len(s.gens)-1]
	if err := saveFilters(s.writer, last, s.seq); err != nil {
		return err
	}
	return s.checkpoint("TRUNCATE")
}

func (s *Store) release() error {
	s.cursors.close()
	errs := []error{s.closeFinders()}
	if s.loader != nil {
		errs = append(errs, s.loader.Close())
	}
	if s.writer != nil {
		// The last connection that closes makes a checkpoint.
		errs = append(errs, s.mark(), s.writer.Close())
	}
	if s.sums != nil {
		s.sums.Close()
	}
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	return errors.Join(errs...)
}
