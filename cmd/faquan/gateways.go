package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"faquan/internal/config"
	"faquan/internal/control"
)

// gateways are the faces to the callers, on one address.
type gateways struct {
	http.Handler
	desk *control.Desk
}

func newGateways(ctx context.Context, c *config.Config, desk *control.Desk, log *slog.Logger) (*gateways, error) {
	g := &gateways{Handler: http.NewServeMux(), desk: desk}
	return g, g.reload(ctx)
}

// reload takes up what a change of the catalogue brought.
func (g *gateways) reload(ctx context.Context) error {
	_, err := g.desk.PrivateKey(ctx)
	return err
}

// server bounds what a slow or hostile caller can hold.
func (g *gateways) server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
}
