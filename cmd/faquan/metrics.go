package main

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"faquan/internal/datadir"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/oauth"
	"faquan/internal/gateway/top"
	"faquan/internal/metrics"
)

// metricsServer measures a server and serves the metrics on an address of its own. A nil one does neither.
type metricsServer struct {
	*metrics.Metrics
	listener net.Listener
	http     *gateway.Server
}

// metricsLimits suit a few scrapers, whose requests are rare and small.
var metricsLimits = gateway.ServerLimits{
	ReadHeader: 5 * time.Second, Read: 5 * time.Second, Write: 20 * time.Second, Idle: 2 * time.Minute,
	HeaderBytes: 8 << 10, Connections: 16, Memory: 1 << 20,
}

// listenMetrics listens on the address of the metrics; nil without one. It changes nothing else, and serves nothing yet.
func listenMetrics(address, store string, log *slog.Logger) (*metricsServer, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics.listen: %w", err)
	}
	kind := "embedded"
	if store != "" {
		kind = "postgres"
	}
	m := metrics.New(metrics.Options{Version: version(), Store: kind, Methods: map[string][]string{
		"alipay": alipay.Methods(), "top": top.Methods(), "oauth": {oauth.TokenPath},
	}})
	return &metricsServer{Metrics: m, listener: l, http: gateway.NewServer(m.Handler(log), metricsLimits, log)}, nil
}

// url returns the URL of the metrics.
func (m *metricsServer) url() string { return "http://" + m.listener.Addr().String() + metrics.Path }

// close releases the address.
func (m *metricsServer) close() error {
	if m == nil {
		return nil
	}
	return m.listener.Close() //guard:TestMetricsAddressInUse
}

// metrics returns the metrics, or nil.
func (m *metricsServer) metrics() *metrics.Metrics {
	if m == nil {
		return nil
	}
	return m.Metrics
}

// observe returns the function that observes each call, or nil.
func (m *metricsServer) observe() func(*gateway.Record) {
	if m == nil {
		return nil
	}
	return m.Call
}

// serveMetrics serves the metrics of the server, if there are any.
func (s *server) serveMetrics(maxWaiting int) {
	m := s.metrics
	if m == nil {
		return
	}
	sources := metrics.Sources{
		Ready:        func() bool { return s.unready() == "" },
		ClockRefused: func() bool { return s.clockError() != nil },
		Waiting:      s.node.issuer.Waiting, MaxWaiting: maxWaiting,
		Server: s.public.Stats,
	}
	if db := s.node.database; db != nil {
		sources.StoreUp = func() bool { return !s.background.down.Load() }
		sources.Pools = db.Pools
	} else {
		sources.StoreUp = func() bool { return s.node.files.Refusing() == nil }
		sources.Embedded = s.node.files.Status
		sources.Free = func() (uint64, error) { return datadir.Free(s.node.at.dir) }
		sources.Clock = time.Now
	}
	m.Watch(sources)
	s.serve(func() error { return m.http.Serve(m.listener) })
	s.log.Info("metrics", "url", m.url())
}
