package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
)

// gateways are the faces to the callers, on one address.
type gateways struct {
	desk     *control.Desk
	sessions *gateway.Sessions
	alipay   *alipay.Handler
	log      *slog.Logger
	limits   gateway.ServerLimits
}

// newGateways puts the gateways on a desk. The platform's key must exist.
func newGateways(ctx context.Context, c *config.Config, desk *control.Desk, log *slog.Logger) (*gateways, error) {
	g := &gateways{desk: desk, log: log}
	// A caller is not cut off while its call may still wait, plus what reading and writing take.
	g.limits.Write = 15*time.Second + c.Request.Timeout
	g.sessions = gateway.NewSessions(func(ctx context.Context) (gateway.SessionReader, error) {
		return desk.Store.Read(ctx)
	}, 0)
	signer, err := g.signer(ctx)
	if err != nil {
		return nil, err
	}
	g.alipay = alipay.New(alipay.Options{
		Issuer: desk.Issuer, Apps: gateway.NewApps(desk.Issuer.Catalogue, log), Sessions: g.sessions, Signer: signer,
		Limits: wire.Limits{Bytes: c.Request.Bytes}, Tolerance: c.Alipay.Tolerance, Deadline: c.Request.Timeout, Log: log,
	})
	return g, nil
}

// signer signs with the platform's key in force.
func (g *gateways) signer(ctx context.Context) (wire.Signer, error) {
	key, err := g.desk.PrivateKey(ctx)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, errors.New("the platform has no key")
	}
	return wire.NewKeySigner(key)
}

// reload takes up what a change of the store brought. The catalogue needs nothing: the gateways read the issuer's.
func (g *gateways) reload(ctx context.Context) error {
	g.sessions.Forget()
	signer, err := g.signer(ctx)
	if err != nil {
		return err
	}
	g.alipay.SetSigner(signer)
	return nil
}

// server serves h within limits that no slow or greedy caller gets around.
func (g *gateways) server(h http.Handler) *http.Server { return gateway.NewServer(h, g.limits, g.log) }
