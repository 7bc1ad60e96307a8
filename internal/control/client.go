package control

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"faquan/internal/catalog"
)

// Client is the Platform of another process, called through its socket.
type Client struct{ http *http.Client }

var _ Platform = (*Client)(nil)

type planFunc = func(context.Context, *Document) (*catalog.Plan, error)

// Dial connects to the process that serves a data directory. The error wraps ErrNotServed when there is none.
func Dial(dir string) (*Client, error) { return dial(dir, SocketName) }

func dial(dir, name string) (*Client, error) {
	first, err := connect(dir, name)
	if err == nil {
		first.Close()
	}
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			conn, err := connect(dir, name)
			if err != nil {
				return nil, &notSentError{err}
			}
			return conn, nil
		},
	}}}, err
}

// notSentError is the error of a connection that could not be made: nothing was sent.
type notSentError struct{ error }

func (e *notSentError) Unwrap() error { return e.error }

// Status returns the status of the process.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", nil, &s)
}

// Apply implements Platform.
func (c *Client) Apply(ctx context.Context, d *Document) (*catalog.Plan, error) {
	plan := new(catalog.Plan)
	return plan, advised(c.call(ctx, http.MethodPost, "/apply", d, plan), applyAgain)
}

// Diff implements Platform.
func (c *Client) Diff(ctx context.Context, d *Document) (*catalog.Plan, error) {
	plan := new(catalog.Plan)
	return plan, c.call(ctx, http.MethodPost, "/diff", d, plan)
}

// Export implements Platform.
func (c *Client) Export(ctx context.Context, w io.Writer, secrets bool) error {
	resp, err := c.do(ctx, http.MethodGet, fmt.Sprintf("/export?secrets=%t", secrets), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return err
	}
	if text := resp.Trailer.Get(errorTrailer); text != "" {
		return errors.New(text)
	}
	return nil
}

// PublicKey implements Platform.
func (c *Client) PublicKey(ctx context.Context) (*rsa.PublicKey, error) {
	var body keyBody
	if err := c.call(ctx, http.MethodGet, "/key", nil, &body); err != nil || len(body.DER) == 0 {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(body.DER)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the platform's key is a %T, not an RSA key", key)
	}
	return public, nil
}

// RotateKey implements Platform.
func (c *Client) RotateKey(ctx context.Context, key *rsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return advised(c.call(ctx, http.MethodPost, "/key", keyBody{der}, nil), rotateAgain)
}

// Decide implements Platform.
func (c *Client) Decide(ctx context.Context, q *Question, unmasked bool) (*Decision, error) {
	decision := new(Decision)
	return decision, c.call(ctx, http.MethodPost, fmt.Sprintf("/decide?unmasked=%t", unmasked), q, decision)
}

// Find implements Platform.
func (c *Client) Find(ctx context.Context, s *Search) (found []*Decision, err error) {
	return found, c.call(ctx, http.MethodPost, "/find", s, &found)
}

// Settle implements Platform.
func (c *Client) Settle(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/settle", nil, nil)
}

// rotateDER is the server's side of Client.RotateKey.
func rotateDER(ctx context.Context, p Platform, der []byte) error {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return fmt.Errorf("the key is a %T, not an RSA key", key)
	}
	return p.RotateKey(ctx, private)
}

// call sends in as JSON, unless it is nil, and decodes the answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return nil
}

// do sends a request, and returns the error that the answer has if it is not a success.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://faquan"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	var notAsked *notSentError
	switch {
	case errors.As(err, &notAsked): //guard:TestServingProcessIsNotAsked
		return nil, fmt.Errorf("asking the serving process: %w", err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var why failure
	if err := json.NewDecoder(resp.Body).Decode(&why); err != nil {
		return nil, fmt.Errorf("the serving process answered %s; it may be another version of faquan", resp.Status)
	}
	if why.NotFound {
		return nil, ErrNotFound
	}
	if len(why.Problems) > 0 {
		return nil, why.Problems
	}
	return nil, errors.New(why.Error)
}
