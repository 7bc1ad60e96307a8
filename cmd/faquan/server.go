package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
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
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/top"
)

// server is a running `faquan serve`: a node, the gateways on it, and the socket for the other commands.
type server struct {
	url    string
	node   *node
	desk   *control.Desk
	log    *slog.Logger
	ready  atomic.Bool // takes calls
	public *http.Server
	socket *http.Server
	drain  time.Duration
	failed chan error // what ends the server besides a signal: a listener that broke
}

// serverOptions are what a server gets besides its configuration.
type serverOptions struct {
	log *slog.Logger
	// document is applied before the gateway opens, as the setting apply is, when there is no file of it.
	document *control.Document
}

// startServer opens the data directory, applies the catalogue that the configuration names, and opens the gateway.
// When it returns an error nothing is left running.
func startServer(ctx context.Context, c *config.Config, o serverOptions) (_ *server, err error) {
	doc := o.document
	if c.Apply != "" {
		if doc, err = control.ReadDocument(c.Apply, os.Stdin); err != nil {
			return nil, err
		}
	}
	s := &server{log: o.log, drain: c.Shutdown.Timeout, failed: make(chan error, 2)}
	s.node, err = openNode(ctx, c.Data, nodeOptions{queue: c.Issuing.Queue, batch: c.Issuing.Batch, log: o.log})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.node.close())
		}
	}()
	head := s.node.store.Head()
	s.desk = s.node.desk()
	if err = s.prepare(ctx, doc); err != nil {
		return nil, err
	}
	if err = s.listen(ctx, c); err != nil {
		return nil, err
	}
	s.ready.Store(true)
	s.log.Info("faquan serves", "url", s.url, "data", c.Data, "version", version(), "pid", os.Getpid(),
		"journal_record", head.Seq, "journal_hash", hex.EncodeToString(head.Hash[:]))
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
func (s *server) listen(ctx context.Context, c *config.Config) error {
	gateways, err := newGateways(ctx, c, s.desk, s.log)
	if err != nil {
		return err
	}
	s.desk.Changed = gateways.reload
	l, err := listenPublic(c)
	if err != nil {
		return err
	}
	socket, err := control.Listen(c.Data)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.url = urlOf(l, c)
	s.public = gateways.server(s.handler(gateways))
	s.socket = &http.Server{Handler: control.Handler(s.desk, s.status), ReadHeaderTimeout: 10 * time.Second}
	s.serve(s.public, l)
	s.serve(s.socket, socket)
	return nil
}

func listenPublic(c *config.Config) (net.Listener, error) {
	var secure *tls.Config
	if c.TLS.Cert != "" {
		cert, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert, tls.key: %w", err)
		}
		secure = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil || secure == nil {
		return l, err
	}
	return tls.NewListener(l, secure), nil
}

func urlOf(l net.Listener, c *config.Config) string {
	if c.TLS.Cert != "" {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

func (s *server) serve(server *http.Server, l net.Listener) {
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
}

// handler adds what is not a gateway.
func (s *server) handler(gateways *gateways) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
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
		s.log.Error("the store has failed; start again", "err", err)
		s.ready.Store(false)
		return errors.Join(err, s.public.Close(), s.socket.Close(), s.node.store.Close())
	}
}

// stop takes no more calls, lets the running ones end, then the committer, and closes the store last.
func (s *server) stop() error {
	s.ready.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	for _, server := range []*http.Server{s.public, s.socket} {
		if err := server.Shutdown(ctx); err != nil {
			s.log.Warn("calls were cut off", "err", err)
			server.Close()
		}
	}
	if err := s.node.close(); err != nil {
		return err
	}
	head := s.node.store.Head()
	s.log.Info("stopped", "journal_record", head.Seq, "journal_hash", hex.EncodeToString(head.Hash[:]))
	return nil
}
