package main

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"faquan/internal/api"
	"faquan/internal/datadir"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/oauth"
	"faquan/internal/gateway/top"
	"faquan/internal/metrics"
)

// metricsServer measures a server and serves the metrics on an address of its own. The zero value does neither.
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

// listenMetrics listens on the address of the metrics, if there is one. It changes nothing else, and serves nothing yet.
func listenMetrics(address, store string, log *slog.Logger) (m metricsServer, err error) {
	if address == "" {
		return m, nil
	}
	if m.listener, err = net.Listen("tcp", address); err != nil {
		return m, fmt.Errorf("metrics.listen: %w", err)
	}
	kind := "embedded"
	if store != "" {
		kind = "postgres"
	}
	m.Metrics = metrics.New(metrics.Options{Version: version(), Store: kind, Methods: map[string][]string{
		"alipay": alipay.Methods(), "top": top.Methods(), "oauth": {oauth.TokenPath}, api.Protocol: api.Methods(),
	}})
	m.http = gateway.NewServer(m.Handler(log), metricsLimits, log)
	return m, nil
}

// url returns the URL of the metrics.
func (m *metricsServer) url() string { return "http://" + m.listener.Addr().String() + metrics.Path }

// close releases the address.
func (m *metricsServer) close() error {
	if m.listener == nil {
		return nil
	}
	return m.listener.Close() //guard:TestMetricsAddressInUse
}

// observe returns the function that observes each call, or nil.
func (m *metricsServer) observe() func(*gateway.Record) {
	if m.Metrics == nil {
		return nil
	}
	return m.Call
}

// serveMetrics serves the metrics of the server, if there are any.
func (s *server) serveMetrics(maxWaiting int) {
	m := &s.metrics
	if m.Metrics == nil {
		return
	}
	sources := metrics.Sources{
		Ready:        func() bool { return s.unready() == "" },
		ClockRefused: func() bool { return s.clockError() != nil },
		Waiting:      s.node.engine.Waiting, MaxWaiting: maxWaiting,
		Server: s.public.Stats,
		Refusals: func() (int64, bool) {
			status := s.refusals.Status()
			return status.Lost, status.Failing
		},
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
