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
	"time"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/top"
)

// server is a running `faquan serve`: a node and the gateways on it. Beside those it has a socket, on a data directory for
// the other commands, on a database to tell what only this process remembers; there it follows what others do, too.
type server struct {
	url        string
	node       *node
	desk       *control.Desk
	gateways   *gateways
	log        *slog.Logger
	ready      atomic.Bool // takes calls
	public     *gateway.Server
	socket     *http.Server   // nil on a database whose processes cannot be asked
	metrics    *metricsServer // nil when nothing is measured
	background background
	drain      time.Duration
	failed     chan error // what ends the server besides a signal: a listener that broke
}

// serverOptions are what a server gets besides its configuration.
type serverOptions struct {
	log *slog.Logger
	// document is applied before the gateway opens, as the setting apply is, when there is no file of it.
	document *control.Document
	// acceptClock confirms the clock; see issuing.Options.
	acceptClock bool
}

// startServer opens the store, applies the catalogue that the configuration names, and opens the gateway.
// When it returns an error nothing is left running.
func startServer(ctx context.Context, c *config.Config, o serverOptions) (_ *server, err error) {
	doc := o.document
	if c.Apply != "" {
		if doc, err = control.ReadDocument(c.Apply, os.Stdin); err != nil {
			return nil, err
		}
	}
	s := &server{log: o.log, drain: c.Shutdown.Timeout, failed: make(chan error, 3)}
	if s.metrics, err = listenMetrics(c.Metrics.Listen, c.Store, o.log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.metrics.close())
		}
	}()
	s.node, err = openNode(ctx, place{dir: c.Data, store: c.Store, acceptClock: o.acceptClock}, nodeOptions{queue: c.Issuing.Queue, batch: c.Issuing.Batch, committers: c.Issuing.Committers, log: o.log, metrics: s.metrics.metrics()})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.node.close())
		}
	}()
	facts := s.node.facts() // as the store stood at the start
	s.desk = s.node.desk()
	if err = s.prepare(ctx, doc); err != nil {
		return nil, err
	}
	if err = s.listen(ctx, c); err != nil {
		return nil, err
	}
	s.startBackground()
	s.serveMetrics(c.Issuing.Queue)
	s.ready.Store(true)
	s.log.Info("faquan serves", append([]any{"url", s.url, "data", s.node.at.dir, "version", version(), "pid", os.Getpid()}, facts...)...)
	return s, nil
}

// prepare makes the platform's key if there is none and applies the document, if there is one.
func (s *server) prepare(ctx context.Context, doc *control.Document) error {
	if doc != nil {
		plan, err := s.desk.Apply(ctx, doc)
		if err != nil {
			return err
		}
		s.log.Info("catalogue applied", "file", doc.Name, "changes", len(plan.Changes), "same", plan.Same)
	}
	return s.desk.EnsureKey(ctx)
}

// listen opens the gateway's address and the socket, and serves both.
func (s *server) listen(ctx context.Context, c *config.Config) (err error) {
	if s.gateways, err = newGateways(ctx, c, s.desk, s.metrics.observe(), s.log); err != nil {
		return err
	}
	s.desk.Changed = s.gateways.reload
	secure, err := certificate(c)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	s.url = urlOf(l, c) // which the socket tells
	if err := s.listenSocket(c); err != nil {
		return errors.Join(err, l.Close())
	}
	s.public = s.gateways.server(s.handler(s.gateways))
	if files := fileLimit() + 1; files < minFiles {
		s.log.Warn("few file descriptors; raise the limit (ulimit -n, LimitNOFILE=)", "limit", files, "recommended", minFiles)
	}
	s.log.Info("request limits", "memory", s.gateways.limits.Memory+int64(s.gateways.limits.Connections)*gateway.ConnMemory,
		"connections", s.gateways.limits.Connections, "body_rate", s.gateways.limits.BodyRate)
	s.serve(func() error {
		if secure != nil {
			return s.public.ServeTLS(l, secure)
		}
		return s.public.Serve(l)
	})
	return nil
}

// listenSocket lets the other commands in. Those of a database open it themselves, and ask the process for nothing but
// what is in its memory; it serves without that, too, where nothing can be written beside the key file.
func (s *server) listenSocket(c *config.Config) error {
	listen, handler := control.Listen, control.Handler(s.desk, s.status)
	if c.Store != "" {
		listen, handler = control.ListenShared, control.SharedHandler(s.desk.Find, s.status)
	}
	l, err := listen(s.node.at.dir)
	switch {
	case err != nil && c.Store != "":
		s.log.Warn("explain --refusals cannot ask this process", "err", err)
		return nil
	case err != nil:
		return err
	}
	s.socket = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	s.serve(func() error { return s.socket.Serve(l) })
	return nil
}

// certificate is the configuration of TLS; nil without a certificate.
func certificate(c *config.Config) (*tls.Config, error) {
	if c.TLS.Cert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("tls.cert, tls.key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
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

// handler adds what is not a gateway.
func (s *server) handler(gateways *gateways) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := s.unready(); reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle(alipay.Path, gateways.alipay)
	gateways.oauth.Mount(mux)
	for _, path := range []string{top.Path, top.BatchPath} {
		mux.Handle(path, gateways.top)
		mux.Handle(path+"/", gateways.top)
	}
	return mux
}

// unready says why this process can issue nothing; "" when it can.
func (s *server) unready() string {
	switch {
	case !s.ready.Load():
		return "stopping"
	case s.background.down.Load():
		return "the database takes no commits; callers are told to retry"
	case s.clockError() != nil:
		return "the clock is refused; callers are told to retry"
	}
	return ""
}

// clockError returns why the clock is refused, or nil. A database's clock is looked at by batches and in the background,
// so that probes cannot load it.
func (s *server) clockError() error {
	if s.node.database != nil {
		return s.node.issuer.ClockError()
	}
	return s.node.issuer.CheckClock(context.Background())
}

func (s *server) status() control.Status {
	return control.Status{Version: version(), PID: os.Getpid(), URL: s.url}
}

// wait serves until ctx ends and then stops in good order, or until something fails. A failed store ends the
// server at once: nothing that runs could still be answered well.
func (s *server) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		s.log.Info("stopping: running calls may end")
		return s.stop()
	case err := <-s.failed:
		s.log.Error("a listener failed", "err", err)
		return errors.Join(err, s.stop())
	case err := <-s.node.stopped:
		return s.abort(err)
	case err := <-s.node.failed():
		s.node.issuer.Stop()
		<-s.node.stopped // with the same failure, if a batch met it
		return s.abort(err)
	}
}

// listener is what accepts calls: a *gateway.Server or an *http.Server.
type listener interface {
	Shutdown(ctx context.Context) error
	Close() error
}

// abort ends the server after a failure of the store. The committer has ended.
func (s *server) abort(err error) error {
	s.log.Error("the store has failed; start again", "err", err)
	s.ready.Store(false)
	s.stopBackground()
	for _, server := range s.listeners() {
		err = errors.Join(err, server.Close())
	}
	return errors.Join(err, s.node.store.Close())
}

func (s *server) listeners() []listener {
	all := []listener{s.public}
	if s.socket != nil {
		all = append(all, s.socket)
	}
	if s.metrics != nil {
		all = append(all, s.metrics.http)
	}
	return all
}

// stop takes no more calls, lets the running ones end, then the committer, and closes the store last.
func (s *server) stop() error {
	s.ready.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	for _, server := range s.listeners() {
		if err := server.Shutdown(ctx); err != nil {
			s.log.Warn("calls were cut off", "err", err)
			server.Close()
		}
	}
	s.stopBackground()
	if err := s.node.close(); err != nil {
		return err
	}
	s.log.Info("stopped", s.node.facts()...)
	return nil
}
