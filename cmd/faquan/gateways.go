package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/gateway/oauth"
	"faquan/internal/gateway/top"
	topwire "faquan/internal/gateway/top/wire"
	"faquan/internal/id"
	"faquan/internal/session"
	"faquan/internal/store"
)

// gateways are the gateways of both platforms and OAuth, on one address.
type gateways struct {
	service  *control.Service
	apps     *gateway.Apps
	sessions *gateway.Sessions
	refusals *gateway.Refusals
	alipay   *alipay.Handler
	top      *top.Handler
	oauth    *oauth.Handler
}

// newGateways returns the gateways of a service. The platform's key must exist. observe, for metrics, may be nil.
func newGateways(
	ctx context.Context, c *config.Config, service *control.Service, observe func(*gateway.Record), log *slog.Logger,
) (*gateways, error) {
	engine := service.Engine
	g := &gateways{service: service, refusals: gateway.NewRefusals()}
	signer, err := g.signer(ctx)
	if err != nil {
		return nil, err
	}
	consent, err := consentKey(c.OAuth.ConsentKeyFile)
	if err != nil {
		return nil, err
	}
	zones, err := c.TOP.Locations()
	if err != nil {
		return nil, err
	}
	tolerance := c.TOP.Tolerance
	if tolerance == 0 {
		tolerance = -1 // for the gateway, 0 is the default
	}
	g.apps = gateway.NewApps(engine.Catalogue, log).WithSecrets(func(a *benefit.App) (string, error) {
		return catalog.AppSecret(a, service.Box)
	})
	g.sessions = gateway.NewSessions(g.session, 0)
	calls := levelOfCalls(c.Log.Calls)
	g.alipay = alipay.New(alipay.Options{
		Issuer: engine, Apps: g.apps, Sessions: g.sessions, Signer: signer, Refusals: g.refusals,
		MaxBytes: c.Request.Bytes, Tolerance: c.Alipay.Tolerance, Deadline: c.Request.Timeout,
		Log: log, Calls: calls, Observe: observe,
	})
	g.oauth = oauth.New(oauth.Options{
		Apps: g.apps, ConsentKey: consent, Deadline: c.Request.Timeout, Log: log, Observe: observe,
		Service: session.NewService(session.Options{
			Change: engine.Change, Read: service.Store.Read, Session: g.session, Box: service.Box, Forget: g.sessions.Forget,
			Lifetimes: session.Lifetimes{Code: c.OAuth.Code, Access: c.OAuth.Access, Refresh: c.OAuth.Refresh},
		}),
	})
	g.top = top.New(top.Options{
		Issuer: engine, Apps: g.apps, Sessions: g.sessions, Tokens: g.oauth, Finder: service.Store, States: g.states, Refusals: g.refusals,
		Limits: topwire.Limits{Bytes: c.Request.Bytes}, Tolerance: tolerance, Zones: zones, BatchItems: c.TOP.Batch,
		BusinessCode: c.TOP.BusinessCode, Deadline: c.Request.Timeout, Log: log, Calls: calls, Observe: observe,
	})
	return g, nil
}

// consentKey reads the key that a person must enter to consent; "" without a file.
func consentKey(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := readText(file)
	if err != nil {
		return "", fmt.Errorf("oauth.consent_key_file: %w", err)
	}
	key := strings.TrimSpace(text)
	if utf8.RuneCountInString(key) < oauth.MinConsentKey {
		return "", fmt.Errorf("oauth.consent_key_file: the key in %s has fewer than %d characters", file, oauth.MinConsentKey)
	}
	return key, nil
}

// levelOfCalls returns the level that the setting log.calls names.
func levelOfCalls(name string) slog.Level {
	switch name {
	case "info":
		return slog.LevelInfo
	case "off":
		return gateway.NoCalls
	}
	return slog.LevelDebug
}

// signer signs with the platform's key in force.
func (g *gateways) signer(ctx context.Context) (wire.Signer, error) {
	key, err := g.service.PrivateKey(ctx)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, errors.New("the platform has no key")
	}
	return wire.NewKeySigner(key)
}

// reload loads what a change of the store changed. The catalogue is not reloaded: the gateways read the engine's.
func (g *gateways) reload(ctx context.Context) error {
	g.sessions.Forget()
	signer, err := g.signer(ctx)
	if err != nil {
		return err
	}
	g.alipay.SetSigner(signer)
	return nil
}

// session returns the session whose key has the digest.
func (g *gateways) session(ctx context.Context, digest benefit.Digest) (*benefit.Session, error) {
	return store.Session(ctx, g.service.Store, digest)
}

// states returns the states of vouchers.
func (g *gateways) states(ctx context.Context, vouchers ...id.ID) (map[id.ID]benefit.VoucherState, error) {
	return store.GetAll(ctx, g.service.Store, benefit.VoucherStates, vouchers...)
}
