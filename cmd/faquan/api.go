package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"faquan/internal/api"
	"faquan/internal/config"
	"faquan/internal/feed"
	"faquan/internal/gateway"
)

// apiServer serves the JSON API on an address of its own. The zero value does not.
type apiServer struct {
	listener net.Listener
	secure   *tls.Config // as of the gateways; nil: plain HTTP
	http     *gateway.Server
	handler  *api.Handler
}

// apiLimits suit the shop systems of merchants, which are few and keep their connections.
var apiLimits = gateway.ServerLimits{
	HeaderBytes: gateway.MaxHeaderBytes, Connections: 256, Memory: 32 << 20, // without ConnMemory, which is 16 MiB in all
}

// listenAPI listens on the address of the API, if there is one. It changes nothing else, and serves nothing yet.
func listenAPI(address string, secure *tls.Config) (a apiServer, err error) {
	if address == "" {
		return a, nil
	}
	if a.listener, err = net.Listen("tcp", address); err != nil {
		return a, fmt.Errorf("api.listen: %w", err)
	}
	a.secure = secure
	return a, nil
}

// close releases the address.
func (a *apiServer) close() error {
	if a.listener == nil {
		return nil
	}
	return a.listener.Close() //guard:TestAPIAddressInUse
}

// serveAPI serves the API of the server, if it has an address.
func (s *server) serveAPI(c *config.Config) {
	a := &s.api
	if a.listener == nil {
		return
	}
	limits := apiLimits
	limits.BodyRate, limits.Write = s.limits.BodyRate, s.limits.Write
	mux := http.NewServeMux()
	s.handleHealth(mux)
	a.handler = api.New(api.Options{
		Engine: s.node.engine, Store: s.node.store, Feed: feed.NewReader(s.node.store, s.node.engine.Catalogue), FeedKeep: c.Feed.Keep,
		Apps: s.gateways.apps, Refusals: s.gateways.refusals,
		MaxBytes: min(c.Request.Bytes, maxAPIBytes), Deadline: c.Request.Timeout,
		Log: s.log, Calls: levelOfCalls(c.Log.Calls), Observe: s.metrics.observe(),
	})
	mux.Handle("/", a.handler)
	a.http = gateway.NewServer(s.closing(mux), limits, s.log)
	s.serve(func() error {
		if a.secure != nil {
			return a.http.ServeTLS(a.listener, a.secure)
		}
		return a.http.Serve(a.listener)
	})
	s.log.Info("the JSON API is served", slog.String("url", urlOf(a.listener, c)+api.Root))
}

// maxAPIBytes is the largest body, which holds a few short texts.
const maxAPIBytes = 64 << 10
