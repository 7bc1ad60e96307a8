package control

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/session"
)

func (d *Service) sessions() *session.Service {
	return session.NewService(session.Options{Change: d.change, Read: d.Store.Read, Box: d.Box})
}

// NewSession implements Platform.
func (d *Service) NewSession(ctx context.Context, o session.Order) (*session.Grant, error) {
	g, err := d.sessions().New(ctx, o)
	return g, advised(err, sessionAgain)
}

// RevokeSession implements Platform.
func (d *Service) RevokeSession(ctx context.Context, name string) (ended int, err error) {
	ended, err = d.sessions().Revoke(ctx, name)
	return ended, advised(err, revokeAgain)
}

// ListSessions implements Platform.
func (d *Service) ListSessions(ctx context.Context, f session.Filter) ([]session.Info, error) {
	r, err := d.Store.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cat, err := catalogueOf(ctx, r)
	if err != nil {
		return nil, err
	}
	return session.List(ctx, r, cat, benefit.InstantOf(time.Now()), f)
}

// NewSession implements Platform.
func (c *Client) NewSession(ctx context.Context, o session.Order) (*session.Grant, error) {
	g := new(session.Grant)
	if err := c.call(ctx, http.MethodPost, "/session/new", o, g); err != nil {
		return nil, advised(err, sessionAgain)
	}
	return g, nil
}

// RevokeSession implements Platform.
func (c *Client) RevokeSession(ctx context.Context, name string) (ended int, err error) {
	err = c.call(ctx, http.MethodPost, "/session/revoke", name, &ended)
	return ended, advised(err, revokeAgain)
}

// ListSessions implements Platform.
func (c *Client) ListSessions(ctx context.Context, f session.Filter) (all []session.Info, err error) {
	err = c.call(ctx, http.MethodPost, "/session/list", f, &all)
	return all, err
}

func handleSessions(mux *http.ServeMux, p Platform) {
	mux.HandleFunc("POST /session/new", func(w http.ResponseWriter, r *http.Request) { handle(w, r, p.NewSession) })
	mux.HandleFunc("POST /session/revoke", func(w http.ResponseWriter, r *http.Request) { handle(w, r, p.RevokeSession) })
	mux.HandleFunc("POST /session/list", func(w http.ResponseWriter, r *http.Request) { handle(w, r, p.ListSessions) })
}

// handle answers with the result of do for the body.
func handle[In, Out any](w http.ResponseWriter, r *http.Request, do func(context.Context, In) (Out, error)) {
	var in In
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&in); err != nil {
		answer(w, nil, err)
		return
	}
	out, err := do(r.Context(), in)
	answer(w, out, err)
}
