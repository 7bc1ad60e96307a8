// Package postgres is the store for several processes: one PostgreSQL, or a primary with its standbys, that any number
// of faquan processes issue on.
//
// A batch is one transaction under READ COMMITTED:
//
//	begin        a share of the store's lock; which catalogue is in force
//	load         claims, recipients                                 nothing is locked: see below
//	             the lock of each template and activity of the batch, in one order;
//	             then the database's clock, counters, quotas, participations
//	(decide)     in the process; the store decides nothing
//	write        a statement for each table, over arrays, sent one by one
//	commit       alone, so that what is lost of it is known to be the answer
//
// # Why it is exact
//
// Only the holder of a template's lock reads and writes its counters and what its users have of it, persons included;
// only the holder of an activity's lock reads and writes what users did in it. Locks are rows, made once and never
// changed, so they can be locked when the rows that they stand for do not exist yet. What is read before the lock is
// checked when it is written:
//
//   - A key or a user that was new to the batch is inserted. If a unique index has it already, another process was
//     first: store.ErrConflict, and the batch is decided again. (ON CONFLICT DO NOTHING and a count of the rows would
//     tell the same, at nearly twice the index look-ups.)
//   - An issuance that is continued, a key that is bound again, a described row is updated only where it stands as it
//     was read: rows have versions. Fewer rows mean the same.
//   - A key, a voucher's issuance or a row that was read before the locks, and that the batch does not write, is read
//     again at the end.
//   - Users, sessions and the catalogue change only under the store's lock, which a batch shares and a change has alone.
//     So a template that was paused, or a user that was frozen, gets nothing from any process once the change returned.
//
// All batches take locks in one order: the store's, turns, claims, links, users, issuances, the described rows by the
// number of their kind, clock; and within a table in the order of its key. So no two batches wait for each other.
//
// # Time
//
// Now is the database's clock, read when the batch has its locks, or the last committed now if that is later. Each
// commit leaves its now in the table clock.
//
// # Buckets
//
// Tables that grow carry a bucket of 0 to 1023 first in their keys: see id.BucketOf. On one PostgreSQL it costs two
// bytes a row; on a distributed one it is the distribution column, and all rows of a user stand together. Each
// statement binds the bucket of the rows that it touches, or says why it does not.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/store"
	"faquan/internal/table"
)

// Options of a store. Only URL is required.
type Options struct {
	// URL names the database: postgres://user:password@host:port/database, or several hosts with commas. Parameters
	// are those of libpq and pgxpool, and schema, the schema of the tables; target_session_attrs is read-write unless it
	// is given.
	URL string
	Log *slog.Logger
	// Syncing is called before a commit is sent, and what it returns when the server has answered; nil: it is not called.
	Syncing func() (synced func())
	// CallerClock takes the clock of Begin instead of the database's. It is for tests that turn days.
	CallerClock bool

	changeTables changeTables // nil, but for tests of what a distributed database asks of the schema
}

// Store is an open store. It implements store.Store.
type Store struct {
	stepTimeout, commitTimeout time.Duration // as the constants say; tests are less patient

	log         *slog.Logger
	syncing     func() (synced func())
	callerClock bool

	schema string // of the tables
	id     string // of the store: that of each connection
	kinds  string // of rows that this program knows: see table.Described

	issuing *pgxpool.Pool // of batches and changes: planned for keys
	reading *pgxpool.Pool // of everything else

	opened int64        // the latest now in the store when it was opened
	ownNow atomic.Int64 // the latest now of this process's batches that write

	feedConfirmed atomic.Int64 // the last number of the feed that is durable for sure

	idMillis   atomic.Int64
	knownLocks sync.Map // benefit.Lock → struct{}: rows of table turn that are there
}

var _ store.Store = (*Store)(nil)

// Errors of Open.
var (
	// ErrNewer: a newer faquan has brought the schema further than this one knows.
	ErrNewer = errors.New("the database has a newer schema than this program knows; use the newer program")
	// ErrUnsafe: the server would acknowledge commits that it may lose.
	ErrUnsafe = errors.New("the server runs with fsync=off or full_page_writes=off: what it acknowledges does not survive a crash")
)

// What a batch waits for at most. It is long: a healthy server takes milliseconds.
const (
	stepTimeout   = 10 * time.Second // begin, load, write
	commitTimeout = 30 * time.Second // a synchronous standby may have to be replaced meanwhile
)

// Open connects to a database and brings its schema up to date. It fails when the server cannot be reached.
func Open(ctx context.Context, o Options) (*Store, error) { return open(ctx, o, false) }

// open is Open; to fill the store, it may be marked as one that is being filled.
func open(ctx context.Context, o Options, filling bool) (*Store, error) {
	s := &Store{
		stepTimeout: stepTimeout, commitTimeout: commitTimeout, kinds: table.Described(),
		log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), syncing: o.Syncing, callerClock: o.CallerClock,
	}
	if s.syncing == nil {
		s.syncing = func() func() { return func() {} }
	}
	config, schema, err := poolConfig(o.URL)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, config, schema, o.changeTables); err != nil {
		return nil, err
	}
	if err := s.connect(ctx, config); err != nil {
		return nil, err
	}
	var millis int64
	if err = s.reading.QueryRow(ctx, readBounds.text).Scan(&s.opened, &millis); err == nil && !filling {
		err = s.refuseMarked(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	s.idMillis.Store(millis)
	return s, nil
}

// prepare checks the server, finds the schema, migrates it, and reads which store it is. The connections of the config
// are then to that schema.
func (s *Store) prepare(ctx context.Context, config *pgxpool.Config, named string, change changeTables) error {
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var fsync, pages string
	err = conn.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('full_page_writes')`).Scan(&fsync, &pages)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	if (fsync != "on" || pages != "on") && !s.callerClock {
		return ErrUnsafe
	}
	if s.schema, err = s.findSchema(ctx, conn, named); err != nil {
		return fmt.Errorf("the schema: %w", err)
	}
	// A parameter of the connection stands above what ALTER ROLE, ALTER DATABASE or options say.
	config.ConnConfig.RuntimeParams["search_path"] = searchPath(s.schema) //guard:TestSearchPathMovesNoStore
	if s.id, err = migrate(ctx, config.Copy(), change); err != nil {
		return fmt.Errorf("the schema: %w", err)
	}
	return nil
}

// connect makes the pools. Each of their connections, and each other one of their config, is to this store.
func (s *Store) connect(ctx context.Context, config *pgxpool.Config) (err error) {
	primary := config.ConnConfig.ValidateConnect
	config.ConnConfig.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if primary != nil {
			if err := primary(ctx, conn); err != nil {
				return err
			}
		}
		return s.sameStore(ctx, conn) //guard:TestStoreIsReplaced/another
	}
	if s.reading, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	hotConfig := config.Copy()
	for name, value := range hotSettings {
		hotConfig.ConnConfig.RuntimeParams[name] = value
	}
	if s.issuing, err = pgxpool.NewWithConfig(ctx, hotConfig); err != nil {
		s.reading.Close()
		return err
	}
	return nil
}

var readBounds = spanning("read_bounds", "a row of each slot", `SELECT coalesce(max(now), 0), coalesce(max(id_millis), 0) FROM clock`)

// Schema returns the schema of the store's tables.
func (s *Store) Schema() string { return s.schema }

// hotSettings make the planner take the index for every key: its statistics may be of a table that was empty, and a
// plan for a thousand keys must not become one that reads a table.
var hotSettings = map[string]string{
	"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "enable_bitmapscan": "off",
	"plan_cache_mode": "force_generic_plan", "jit": "off",
}

// poolConfig reads a URL, adds what it leaves out, and returns the schema that it names, if any, apart.
func poolConfig(url string) (config *pgxpool.Config, schema string, err error) {
	url, schema, err = withDefaults(url)
	if err != nil {
		return nil, "", err
	}
	config, err = pgxpool.ParseConfig(url)
	if err != nil {
		return nil, "", fmt.Errorf("the store's URL: %w", err) // pgx leaves out the password
	}
	params := config.ConnConfig.RuntimeParams
	for name, value := range map[string]string{
		"application_name": "faquan",
		// A process that stands still with locks must not stop the others for ever.
		"idle_in_transaction_session_timeout": "15s", "lock_timeout": "8s",
		"client_connection_check_interval": "2s", "tcp_user_timeout": "15s", "tcp_keepalives_idle": "10", "tcp_keepalives_interval": "3", "tcp_keepalives_count": "3",
	} {
		if params[name] == "" {
			params[name] = value
		}
	}
	// Rows that a policy hides would make keys look free. With this they are an error.
	params["row_security"] = "off"
	config.AfterConnect = afterConnect
	config.ConnConfig.OnNotice = keepWarning
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement // rows are read as they come, in binary
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == nowhere {
			return nil, errors.New("no cancel requests are sent")
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return uncancelled{conn}, nil //guard:TestAnswerLost/held uncancelled{conn} -> conn
	}
	return config, schema, nil
}

// afterConnect lets no commit be answered before it is durable, whatever the server's defaults are.
func afterConnect(ctx context.Context, conn *pgx.Conn) error {
	//guard:cmd/faquan.TestHA$ "current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')" -> "false"
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')`)
	return err
}

// uncancelled is a connection whose server cannot be asked to cancel what it does. The driver asks for it when a
// connection breaks, which it may in the middle of a commit: a commit that waits for a standby and is cancelled stands
// on the primary alone, where others already see it, and is lost with the primary.
type uncancelled struct{ net.Conn }

const nowhere = "nowhere"

type noAddress struct{}

func (noAddress) Network() string { return nowhere }
func (noAddress) String() string  { return "" }

// RemoteAddr returns where the driver would send a cancel request.
func (uncancelled) RemoteAddr() net.Addr { return noAddress{} }

// Shared is true.
func (s *Store) Shared() bool { return true }

// LastIDMillis bounds the ids that stood in the store when it was opened, and those of this process since.
func (s *Store) LastIDMillis() int64 { return s.idMillis.Load() }

// LastNow returns the now of the last commit when the store was opened, or of this process's last one if that is later.
func (s *Store) LastNow() benefit.Instant {
	return max(benefit.Instant(s.opened), benefit.Instant(s.ownNow.Load()))
}

// raise moves a number forward, never back.
func raise(a *atomic.Int64, to int64) {
	for {
		last := a.Load()
		if to <= last || a.CompareAndSwap(last, to) {
			return
		}
	}
}

// Close waits for what is under way.
func (s *Store) Close() error {
	s.issuing.Close()
	s.reading.Close()
	return nil
}

// Read opens a snapshot, or fails within a moment: a change opens one while no batch can issue.
func (s *Store) Read(ctx context.Context) (store.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, s.stepTimeout)
	defer cancel()
	return openReader(ctx, s.reading)
}

// Begin starts a batch.
func (s *Store) Begin(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return s.begin(ctx, clock, lockShared)
}

// BeginChange waits until the batches under way have ended, and keeps others from beginning.
func (s *Store) BeginChange(ctx context.Context, clock benefit.Instant) (store.Tx, error) {
	return s.begin(ctx, clock, lockExclusive)
}

// storeLock is the number of the store's lock among the database's advisory locks: "faquan".
const storeLock = 0x66617175616e

func (s *Store) begin(ctx context.Context, clock benefit.Instant, lock *statement) (store.Tx, error) {
	ctx, cancel := context.WithTimeout(ctx, s.stepTimeout)
	defer cancel()
	t, b, err := s.prepareTx(ctx, clock, lock)
	if err != nil {
		return nil, err
	}
	if err := t.send(ctx, b); err != nil {
		t.Rollback()
		return nil, err
	}
	return t, nil
}

// prepareTx returns a connection for a batch, and the statements that begin it.
func (s *Store) prepareTx(ctx context.Context, clock benefit.Instant, lock *statement) (*tx, *pgx.Batch, error) {
	conn, err := s.issuing.Acquire(ctx)
	if err != nil {
		return nil, nil, s.broken(err)
	}
	t := &tx{
		s: s, conn: conn, clock: clock, change: lock == lockExclusive, locks: map[benefit.Lock]bool{},
		claims: map[benefit.ClaimID]id.ID{}, issuances: map[id.ID]issuanceSeen{},
	}
	if err := t.prepareStreams(ctx); err != nil {
		t.Rollback()
		return nil, nil, err
	}
	b := &pgx.Batch{}
	//guard:TestFencedServer "read committed" -> "read committed, read write"
	b.Queue("begin isolation level read committed") // not "read write": a server may be fenced by read only
	b.Queue(lock.text, int64(storeLock))
	t.queueState(b)
	return t, b, nil
}

// broken looks at an error of the server or the way to it. After some of them no connection of the pools is worth
// keeping: there is another primary, or will be.
func (s *Store) broken(err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrDamaged) || errors.Is(err, errSwallowed) || errors.Is(err, ErrNewer): // our own finding
		return err
	case errors.Is(err, context.Canceled): // the caller went away, not the server
		return err
	case errors.Is(err, ErrOtherStore): // a new connection; those that are there lead to this store
		return err
	case !errors.As(err, &pg): // the way to it
		s.reset()
	//guard:TestTooManyConnections
	case pg.Code == "53300": // too many connections: those that are there are worth more than ever
		return err
	//guard:TestKeyBoundTwice|TestUserMadeTwice|TestCodeDrawnTwice without pg.Code == "23505"
	case pg.Code == "40001" || pg.Code == "40P01" || pg.Code == "23505":
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	//guard:TestLockTimeout$ pg.Code == "25006" -> pg.Code == "25006" || pg.Code == "55P03"
	case pg.Code == "25006" || pg.Code[:2] == "57" || pg.Code[:2] == "08" || pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC":
		s.reset()
	}
	return err
}

// reset closes all connections, those in use when they are returned.
func (s *Store) reset() {
	s.issuing.Reset()
	s.reading.Reset()
}
