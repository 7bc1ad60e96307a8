package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"faquan/internal/catalog"
	"faquan/internal/engine"
)

// Call is an operation that commands ask of a Platform. It is defined by newCall beside the method of Service that does it.
type Call[In, Out any] struct {
	path   string // on the socket; never that of another call of an earlier version
	advice string // for when it is unknown whether a change was made; "" for a call that changes nothing
	do     func(d *Service, ctx context.Context, in In) (Out, error)
}

// handlers add the handler of each call to that of a socket.
var handlers []func(mux *http.ServeMux, d *Service)

func newCall[In, Out any](path, advice string, do func(d *Service, ctx context.Context, in In) (Out, error)) Call[In, Out] {
	c := Call[In, Out]{path, advice, do}
	handlers = append(handlers, func(mux *http.ServeMux, d *Service) {
		c.handle(mux, func(ctx context.Context, in In) (Out, error) { return c.do(d, ctx, in) })
	})
	return c
}

// On carries out the call on a platform.
func (c *Call[In, Out]) On(ctx context.Context, p Platform, in In) (out Out, err error) {
	switch p := p.(type) {
	case *Service:
		out, err = c.do(p, ctx, in)
	case *Client:
		err = p.call(ctx, c.path, in, &out)
	default:
		err = fmt.Errorf("calls are not possible on a %T", p)
	}
	return out, advised(err, c.advice)
}

// advised adds advice to the error of a change whose outcome is unknown; advice is "" for a call that changes nothing.
func advised(err error, advice string) error {
	if advice == "" {
		return err
	}
	if errors.Is(err, errNoAnswer) {
		err = fmt.Errorf("%w: %w", engine.ErrChangeUnknown, err)
	}
	if OutcomeUnknown(err) {
		return fmt.Errorf("%w. %s", err, advice)
	}
	return err
}

// OutcomeUnknown reports whether the error of a call leaves open whether it has changed something.
func OutcomeUnknown(err error) bool {
	//guard:TestAdviceOnUnknown without errors.Is(err, engine.ErrUnknown)
	return errors.Is(err, engine.ErrChangeUnknown) || errors.Is(err, engine.ErrUnknown)
}

// unknownError is the error of another process that does not know whether it has made a change.
type unknownError struct{ text string }

func (e unknownError) Error() string { return e.text }

func (unknownError) Unwrap() error { return engine.ErrChangeUnknown }

// maxBody is the maximum size of what a call takes, such as a catalogue file with its key files, in bytes of JSON.
const maxBody = 1 << 30

// handle serves the call.
func (c *Call[In, Out]) handle(mux *http.ServeMux, do func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST "+c.path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		var out Out
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in)
		if err == nil {
			out, err = do(withUser(r.Context(), r.Header), in)
		}
		answer(w, out, err)
	})
}

// failure is the body of an answer that is not a success.
type failure struct {
	Error    string
	Problems catalog.Problems `json:",omitempty"`
	NotFound bool             `json:",omitempty"` // the error is ErrNotFound
	Unknown  bool             `json:",omitempty"` // it is not known whether a change was made
}

// answer writes a result, or an error instead.
func answer(w http.ResponseWriter, result any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		body := failure{Error: err.Error(), NotFound: errors.Is(err, ErrNotFound), Unknown: OutcomeUnknown(err)}
		errors.As(err, &body.Problems)
		w.WriteHeader(http.StatusUnprocessableEntity)
		result = body
	}
	json.NewEncoder(w).Encode(result)
}
