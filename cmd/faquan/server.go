package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/top"
	"faquan/internal/refusals"
	"faquan/internal/vfs"
)

// server is a running `faquan serve`: a node and its gateways. It also has a socket: on a data directory for the other
// commands, on a database for the refusals that only this process remembers. On a database it also follows the changes of
// other processes.
type server struct {
	url        string
	node       *node
	service    *control.Service
	gateways   *gateways
	refusals   *refusals.Archive
	log        *slog.Logger
	ready      atomic.Bool                   // it takes calls, and is not about to stop
	entry      atomic.Pointer[http.ServeMux] // the current handler of the address
	public     *gateway.Server
	secure     *tls.Config          // of public and of api; nil: plain HTTP
	limits     gateway.ServerLimits // of public
	socket     *http.Server         // nil on a database whose processes cannot be asked
	metrics    metricsServer
	api        apiServer
	background background
	// How long calls are served after a signal, and how long running ones may take after that.
	drain, timeout time.Duration
	keepFeed       time.Duration // on a database
	failed         chan error    // the failure of a listener, which ends the server as a signal does
}

// serverOptions are the options of a server that are not settings.
type serverOptions struct {
	log *slog.Logger
	// document is applied before the gateways open, in place of the file of the setting apply.
	document *control.Document
	// acceptClock confirms the clock; see engine.Options.
	acceptClock bool
	// segmentBytes is the size of the journal's segments; 0 is the default.
	segmentBytes int64
}

// startServer checks the settings, takes the address, opens the store, applies the catalogue that the configuration
// names, and opens the gateways. In this order a start that fails changes nothing; see also openNode. When it returns an
// error, nothing is left running.
func startServer(ctx context.Context, c *config.Config, o serverOptions) (_ *server, err error) {
	doc := o.document
	if c.Apply != "" {
		if doc, err = control.ReadDocument(c.Apply, os.Stdin); err != nil {
			return nil, err
		}
	}
	s := &server{log: o.log, drain: c.Shutdown.Drain, timeout: c.Shutdown.Timeout, keepFeed: c.Feed.Keep, failed: make(chan error, 4)}
	if _, err = consentKey(c.OAuth.ConsentKeyFile); err != nil { //guard:TestFailedStartChangesNothing
		return nil, err
	}
	if err = s.listen(c); err != nil {
		return nil, err
	}
	defer undo(&err, s.public.Close)
	if s.metrics, err = listenMetrics(c.Metrics.Listen, c.Store, o.log); err != nil {
		return nil, err
	}
	defer undo(&err, s.metrics.close)
	if s.api, err = listenAPI(c.API.Listen, s.secure); err != nil {
		return nil, err
	}
	defer undo(&err, s.api.close)
	s.node, err = openNode(ctx, location{dir: c.Data, store: c.Store, acceptClock: o.acceptClock, document: doc}, nodeOptions{
		queue: c.Issuing.Queue, batch: c.Issuing.Batch, committers: c.Issuing.Committers,
		segmentBytes: o.segmentBytes, log: o.log, metrics: s.metrics.Metrics,
	})
	if err != nil {
		return nil, err
	}
	defer undo(&err, s.node.close)
	facts := s.node.facts() // of the store at the start
	s.service = s.node.service()
	s.service.FeedKeep = c.Feed.Keep
	if err = s.open(ctx, c, doc); err != nil {
		return nil, err
	}
	s.log.Info("faquan serves", append([]any{"url", s.url, "data", s.node.at.dir, "version", version(), "pid", os.Getpid()}, facts...)...)
	return s, nil
}

// undo closes what a start has opened if the start fails with *err.
func undo(err *error, close func() error) {
	if *err != nil {
		*err = errors.Join(*err, close())
	}
}

// listen listens on the address of the gateways. Until open has installed the gateways, every call is answered that the
// process is starting, because a store may take long to open.
func (s *server) listen(c *config.Config) error {
	var err error
	if s.limits, err = serverLimits(c.Request, memoryLimit(), fileLimit()); err != nil {
		return err
	}
	if s.secure, err = certificate(c, s.log); err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	s.url = urlOf(l, c) // for the status on the socket
	if files := fileLimit() + 1; files < minFiles {
		s.log.Warn("few file descriptors; raise the limit (ulimit -n, LimitNOFILE=)", "limit", files, "recommended", minFiles)
	}
	s.log.Info("request limits", "memory", s.limits.Memory+int64(s.limits.Connections)*gateway.ConnMemory,
		"connections", s.limits.Connections, "body_rate", s.limits.BodyRate)
	s.entry.Store(starting())
	entry := func(w http.ResponseWriter, r *http.Request) { s.entry.Load().ServeHTTP(w, r) }
	s.public = gateway.NewServer(s.closing(http.HandlerFunc(entry)), s.limits, s.log)
	s.serve(func() error {
		if s.secure != nil {
			return s.public.ServeTLS(l, s.secure)
		}
		return s.public.Serve(l)
	})
	return nil
}

// open applies the document, if there is one, and opens the gateways and the socket.
func (s *server) open(ctx context.Context, c *config.Config, doc *control.Document) (err error) {
	if _, err := s.service.PrivateKey(ctx); err != nil { // for example with another key file
		return err
	}
	socket, err := s.listenSocket(c)
	if err != nil {
		return err
	}
	if socket != nil {
		defer undo(&err, socket.Close)
	}
	if s.gateways, err = s.prepare(ctx, c, doc); err != nil {
		return err
	}
	s.refusals = refusals.Open(refusals.Options{
		Dir: s.node.at.refusals(), Keep: c.Refusals.Keep, Recent: s.gateways.refusals, Log: s.log, FS: vfs.OS,
	})
	s.service.Refusals, s.service.Health = s.refusals, s.health
	s.startBackground()
	s.serveMetrics(c.Issuing.Queue)
	s.entry.Store(s.handler(s.gateways))
	s.ready.Store(true)
	s.serveAPI(c)
	if socket != nil {
		s.serve(func() error { return s.socket.Serve(socket) })
	}
	return nil
}

// prepare applies the document, makes the platform's key if there is none, and returns the gateways.
func (s *server) prepare(ctx context.Context, c *config.Config, doc *control.Document) (*gateways, error) {
	if doc != nil {
		plan, err := control.Apply.On(ctx, s.service, doc)
		if err != nil {
			return nil, err
		}
		for _, w := range plan.Warnings {
			s.log.Warn("the catalogue file may have a mistake", "file", w.File, "line", w.Line, "reason", w.Reason)
		}
		s.log.Info("catalogue applied", "file", doc.Name, "changes", len(plan.Changes), "same", plan.Same)
	}
	if err := s.service.EnsureKey(ctx); err != nil {
		return nil, err
	}
	g, err := newGateways(ctx, c, s.service, s.metrics.observe(), s.log)
	if err == nil {
		s.service.Changed = g.reload
	}
	return g, err
}

// listenSocket makes the socket for the other commands; nil when there is none. On a database, commands open the database
// themselves, and use the socket only for what the process has in memory. So the process serves without a socket when
// none can be made beside the key file.
func (s *server) listenSocket(c *config.Config) (net.Listener, error) {
	listen, handler := control.Listen, control.Handler(s.service, s.status)
	if c.Store != "" {
		listen, handler = control.ListenShared, control.SharedHandler(s.service.Find, s.service.Process, s.status)
	}
	l, err := listen(s.node.at.dir)
	switch {
	case err != nil && c.Store != "":
		s.log.Warn("explain --refusals cannot ask this process", "err", err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	s.socket = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return l, nil
}

func urlOf(l net.Listener, c *config.Config) string {
	if c.TLS.Cert != "" {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

func (s *server) serve(run func() error) {
	go func() {
		if err := run(); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
}

// closing returns a handler that, while the process starts or stops, asks callers to close their connections, so that no
// call is sent on a connection that is about to be closed.
func (s *server) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.ready.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// starting answers calls while the store is opened: the process is alive, but not ready.
func starting() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", livez)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "starting", http.StatusServiceUnavailable) })
	return mux
}

func livez(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// handler returns the handler of the gateways and of the health checks.
func (s *server) handler(gateways *gateways) *http.ServeMux {
	mux := http.NewServeMux()
	s.handleHealth(mux)
	mux.Handle(alipay.Path, gateways.alipay)
	gateways.oauth.Mount(mux)
	for _, path := range []string{top.Path, top.BatchPath} {
		mux.Handle(path, gateways.top)
		mux.Handle(path+"/", gateways.top)
	}
	return mux
}

// handleHealth adds the health checks.
func (s *server) handleHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", livez)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := s.unready(); reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// unready returns why this process cannot issue; "" when it can.
func (s *server) unready() string {
	switch {
	case !s.ready.Load():
		return "stopping"
	case s.background.down.Load(): //guard:TestDatabaseGoesAndComes
		return "the database takes no commits; callers are told to retry"
	case s.node.files != nil && s.node.files.Refusing() != nil: //guard:TestReadinessOnFullDisk
		if errors.Is(s.node.files.Refusing(), syscall.ENOSPC) {
			return "the disk is full; callers are told to retry"
		}
		return "the data directory cannot be written; callers are told to retry"
	case s.clockError() != nil:
		return "the clock is refused; callers are told to retry"
	}
	return ""
}

// clockError returns why the clock is refused, or nil. A database's clock is checked by batches and in the background, so
// that probes do not load the database.
func (s *server) clockError() error {
	if s.node.database != nil {
		return s.node.engine.ClockError()
	}
	return s.node.engine.CheckClock(context.Background())
}

func (s *server) status() control.Status {
	return control.Status{Version: version(), PID: os.Getpid(), URL: s.url}
}

// health returns what only this process knows.
func (s *server) health() control.Health {
	return control.Health{Status: s.status(), Unready: s.unready(), Rate: s.node.issued.perSecond(), Waiting: s.node.engine.Waiting()}
}

// wait serves until ctx ends and then stops gracefully, or until something fails. A failed store ends the server at once,
// because running calls could not be answered correctly.
func (s *server) wait(ctx context.Context) error {
	if failed, err := s.serveUntil(ctx.Done()); failed {
		return err
	}
	s.ready.Store(false)
	s.log.Info("stopping: /readyz answers 503, and calls are served until shutdown.drain has passed", "drain", s.drain)
	drained, cancel := context.WithTimeout(context.Background(), s.drain) //guard:TestDrain$ without s.drain
	defer cancel()
	if failed, err := s.serveUntil(drained.Done()); failed {
		return err
	}
	return s.stop()
}

// serveUntil returns when done is closed, or when something has failed and the server is stopped.
func (s *server) serveUntil(done <-chan struct{}) (failed bool, err error) {
	select {
	case <-done:
		return false, nil
	case err := <-s.failed:
		s.log.Error("a listener failed", "err", err)
		return true, errors.Join(err, s.stop())
	case err := <-s.node.stopped:
		return true, s.abort(err)
	case err := <-s.node.failed():
		s.node.engine.Stop()
		<-s.node.stopped // with the same failure, if a batch found it
		return true, s.abort(err)
	}
}

// abort ends the server after a failure of the store. The committer has ended.
func (s *server) abort(err error) error {
	s.log.Error("the store has failed; start again", "err", err)
	s.ready.Store(false)
	s.stopBackground()
	for _, server := range s.listeners() {
		err = errors.Join(err, server.Close())
	}
	return errors.Join(err, s.refusals.Close(), s.node.store.Close())
}

// listener is what accepts calls: a *gateway.Server or an *http.Server.
type listener interface {
	Shutdown(ctx context.Context) error
	Close() error
}

func (s *server) listeners() []listener {
	all := []listener{s.public}
	if s.socket != nil {
		all = append(all, s.socket)
	}
	if s.metrics.http != nil {
		all = append(all, s.metrics.http)
	}
	if s.api.http != nil {
		all = append(all, s.api.http) //guard:TestAPIStops
	}
	return all
}

// stop refuses new calls, waits for the running ones and for the committer, and closes the store last.
func (s *server) stop() error {
	s.ready.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	if s.api.handler != nil { // Shutdown waits for its streams
		s.api.handler.EndStreams() //guard:TestStopEndsStreams
	}
	for _, server := range s.listeners() {
		if err := server.Shutdown(ctx); err != nil {
			s.log.Warn("calls were cut off", "err", err)
			server.Close()
		}
	}
	s.stopBackground()
	//guard:TestRefusalsAfterARestart errors.Join(s.refusals.Close(), s.node.close()) -> s.node.close()
	if err := errors.Join(s.refusals.Close(), s.node.close()); err != nil {
		return err
	}
	s.log.Info("stopped", s.node.facts()...)
	return nil
}
