package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// Client is the Platform of another process, called through its socket.
type Client struct{ http *http.Client }

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

// errNoAnswer is returned when the serving process did not answer after the connection was made: it ended, or the caller
// did not wait for it.
var errNoAnswer = errors.New("no answer from the serving process")

// Status returns the status of the process.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	resp, err := c.do(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return s, err
	}
	return s, decode(resp, &s)
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

// call sends in as JSON, and decodes the answer into out.
func (c *Client) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	return decode(resp, out)
}

func decode(resp *http.Response, out any) error {
	defer resp.Body.Close()
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
	req.Header.Set(userHeader, url.PathEscape(systemUser()))
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
	if why.Unknown { //guard:TestUnknownOfTheServingProcess
		return nil, unknownError{why.Error}
	}
	return nil, errors.New(why.Error)
}
