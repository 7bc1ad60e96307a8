package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/datadir"
	"faquan/internal/engine"
	"faquan/internal/metrics"
	"faquan/internal/refusals"
	"faquan/internal/rule"
	"faquan/internal/seal"
	"faquan/internal/store"
	"faquan/internal/store/embedded"
	"faquan/internal/store/memory"
	"faquan/internal/store/postgres"
	"faquan/internal/vfs"
)

// node is an open store, with the key file that seals its secrets and with its engine.
type node struct {
	at    location
	store store.Store
	// One of the two is the store; the other is nil.
	files    *embedded.Store
	database *postgres.Store

	box    *seal.Box
	engine *engine.Engine
	issued *issueRate
	// stopped receives the result of the committer, once: nil after close, else the failure of the store.
	stopped chan error
}

// nodeOptions are the bounds of the engine and the store; zero values are their defaults.
type nodeOptions struct {
	queue, batch, committers int
	segmentBytes             int64 // of the journal
	log                      *slog.Logger
	metrics                  *metrics.Metrics       // nil: no metrics
	clock                    func() benefit.Instant // nil: the system's
}

// openNode opens or makes the store of a place, and starts the committer. It makes no store for a document that the store
// would refuse.
func openNode(ctx context.Context, at location, o nodeOptions) (_ *node, err error) {
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	if at.dir, err = datadir.Find(at.dir); err != nil {
		return nil, err
	}
	if warning, err := datadir.Check(at.dir); err != nil { //guard:TestExposedDirectory
		return nil, err
	} else if warning != "" {
		o.log.Warn("the data directory is not private", "reason", warning)
	}
	n := &node{at: at, issued: newIssueRate(time.Now), stopped: make(chan error, 1)}
	if at.store == "" && at.mustExist() != nil {
		//guard:TestFailedStartChangesNothing without at.document
		if err := fitsEmpty(ctx, memory.New(), at.document); err != nil {
			return nil, err
		}
	}
	if err := n.open(ctx, o); err != nil {
		return nil, err
	}
	defer undo(&err, n.store.Close)
	if err = n.openBox(ctx); err != nil {
		return nil, err
	}
	if n.files != nil {
		o.committers = 1 // a directory takes one batch at a time
	} else {
		relaxGC()
	}
	if o.clock == nil {
		o.clock = func() benefit.Instant { return benefit.InstantOf(time.Now()) }
	}
	options := engine.Options{
		Store: n.store, Rules: rule.New(), Queue: o.queue, Batch: o.batch, Committers: o.committers, Log: o.log, Observer: n.issued,
		Clock: o.clock, Elapsed: elapsed, AcceptClock: at.acceptClock, //guard:TestClockIsWatched without Elapsed: elapsed
		DrawSecret: n.box.DrawSecret(), //guard:TestDrawsFollowTheKeyFile without DrawSecret: n.box.DrawSecret()
	}
	if o.metrics != nil {
		n.issued.Observer = o.metrics
	}
	n.engine, err = engine.New(ctx, options)
	if err != nil {
		return nil, err
	}
	if n.files != nil {
		_ = n.engine.CheckClock(ctx) // logs when it is refused
	}
	go func() { n.stopped <- n.engine.Run() }()
	return n, nil
}

func (n *node) open(ctx context.Context, o nodeOptions) (err error) {
	var syncing func() func()
	if o.metrics != nil {
		syncing = o.metrics.Syncing
	}
	if n.at.store != "" {
		if n.database, err = openDatabase(ctx, n.at, postgres.Options{Log: o.log, Syncing: syncing}); err != nil {
			return err
		}
		n.store = n.database
		return nil
	}
	if n.files, err = embedded.Open(embedded.Options{Dir: n.at.dir, SegmentBytes: o.segmentBytes, Log: o.log, Syncing: syncing}); err != nil {
		return explainOpen(ctx, n.at.dir, err)
	}
	n.store = n.files
	tightened, err := datadir.Tighten(n.at.dir)
	if len(tightened) > 0 {
		o.log.Warn("files of the data directory were readable by other users; their mode is now 0600", "files", tightened)
	}
	if err != nil {
		o.log.Warn("other users may be able to read files of the data directory; chmod 600", "err", err)
	}
	return nil
}

// openDatabase connects to the database of a place. Its error names the database without the password.
func openDatabase(ctx context.Context, at location, o postgres.Options) (*postgres.Store, error) {
	o.URL = at.store
	db, err := postgres.Open(ctx, o)
	if err != nil {
		return nil, unusable(at.store, err)
	}
	return db, nil
}

// unusable returns the error of a database that cannot be used.
func unusable(store string, err error) error {
	return fmt.Errorf("the database %s cannot be used: %s%w", config.StoreName(store), advised(err), err)
}

// advised returns advice about an error of a database, as a prefix of the error, or "".
func advised(err error) string {
	advice := postgres.Advice(err)
	if advice != "" {
		advice += "\n"
	}
	return advice
}

// explainOpen returns an error that names the process that has locked the directory.
func explainOpen(ctx context.Context, dir string, err error) error {
	if !errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	holder := "another faquan process"
	if c, dialErr := control.Dial(dir); dialErr == nil {
		if s, askErr := c.Status(ctx); askErr == nil {
			holder = fmt.Sprintf("the faquan process %d, which serves it at %s", s.PID, s.URL)
		}
	}
	return fmt.Errorf("data directory %s is in use by %s; only one process may have it: %w", dir, holder, vfs.ErrLocked)
}

// fitsEmpty returns why a document, if there is one, cannot be applied to a store without sealed values.
func fitsEmpty(ctx context.Context, s store.Store, doc *control.Document) error {
	if doc == nil {
		return nil
	}
	key := make([]byte, seal.KeySize)
	_, _ = rand.Read(key) // it never fails
	box, err := seal.New(key)
	if err != nil {
		return err
	}
	_, err = (&control.Service{Store: s, Box: box}).Diff(ctx, doc)
	return err
}

// openBox opens the key file, or makes one. When the store has sealed values, a missing key file is a loss, or was not
// copied to a further process: it is not a first start.
func (n *node) openBox(ctx context.Context) error {
	dir := n.at.dir
	entities, _, err := n.store.Entities(ctx)
	if err != nil {
		return err
	}
	sealed := catalog.SealedValues(entities)
	if n.database != nil && !sealed { // an embedded store has made the directory
		if err := fitsEmpty(ctx, n.store, n.at.document); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if n.box, err = seal.OpenKeyFile(dir, sealed, rand.Reader); err != nil || n.database == nil {
		return err
	}
	switch err := n.database.CheckKey(ctx, n.box.Proof()); {
	case errors.Is(err, postgres.ErrOtherKey):
		return fmt.Errorf("%s of %s: %w", seal.KeyFile, dir, err) //guard:TestScripts/^postgres$
	case err != nil:
		return unusable(n.at.store, err)
	}
	return nil
}

// service returns the operations of the commands on the node.
func (n *node) service() *control.Service {
	s := &control.Service{Store: n.store, Engine: n.engine, Box: n.box, Refusals: refusals.Left{FS: vfs.OS, Dir: n.at.refusals()}}
	if n.database != nil {
		s.Sequence = n.database.SequenceFeed //guard:TestScripts/^feed-postgres$
		s.FeedKeep = feedKept                //guard:TestSweptFeed
	}
	return s
}

// feedKept is longer than any feed.keep. The processes that serve a database remove the events that are older than their
// feed.keep. So a command, which does not read that setting, begins with the oldest events that are there.
const feedKept = 100 * 365 * 24 * time.Hour

// facts returns the attributes of the store that are logged at the start and at the stop: for a journal its head, which
// proves later that nothing was cut off.
func (n *node) facts() []any {
	if n.files == nil {
		return []any{"store", config.StoreName(n.at.store), "schema", n.database.Schema()}
	}
	head := n.files.Head()
	return []any{"journal_record", head.Seq, "journal_hash", hex.EncodeToString(head.Hash[:])}
}

// failed receives the failure of a data directory's store, which any reader may find; for a database it is nil.
func (n *node) failed() <-chan error {
	if n.files == nil {
		return nil
	}
	return n.files.Failed() //guard:TestDamagedViewEndsServer
}

// close waits until the committer has finished what waits, and closes the store. It returns a failure of the store.
func (n *node) close() error {
	n.engine.Stop()
	return errors.Join(<-n.stopped, n.store.Close())
}
