package control

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"faquan/internal/catalog"
)

// Status describes a serving process.
type Status struct {
	Version string // of the program
	PID     int
	URL     string // of the gateway
}

// maxDocument is the maximum size of a catalogue file with its key files, in bytes of JSON.
const maxDocument = 1 << 30

// errorTrailer carries an error that occurred after the answer had begun.
const errorTrailer = "Faquan-Error"

// failure is the body of an answer that is not a success.
type failure struct {
	Error    string
	Problems catalog.Problems `json:",omitempty"`
	NotFound bool             `json:",omitempty"` // the error is ErrNotFound
}

// Handler serves a Platform to Clients. Serve it only on the socket, because it does not authenticate its callers.
func Handler(p Platform, status func() Status) http.Handler {
	mux := asked(p.Find, status)
	mux.HandleFunc("POST /apply", func(w http.ResponseWriter, r *http.Request) { plan(w, r, p.Apply) })
	mux.HandleFunc("POST /diff", func(w http.ResponseWriter, r *http.Request) { plan(w, r, p.Diff) })
	mux.HandleFunc("GET /export", func(w http.ResponseWriter, r *http.Request) { export(w, r, p) })
	mux.HandleFunc("GET /key", func(w http.ResponseWriter, r *http.Request) { showKey(w, r, p) })
	mux.HandleFunc("POST /key", func(w http.ResponseWriter, r *http.Request) { rotateKey(w, r, p) })
	mux.HandleFunc("POST /decide", func(w http.ResponseWriter, r *http.Request) {
		ask(w, r, func(q *Question) (any, error) { return p.Decide(r.Context(), q, r.FormValue("unmasked") == "true") })
	})
	handleSessions(mux, p)
	mux.HandleFunc("POST /settle", func(w http.ResponseWriter, r *http.Request) { answer(w, struct{}{}, p.Settle(r.Context())) })
	return mux
}

// findFunc is the Find method of a Platform.
type findFunc = func(context.Context, *Search) ([]*Decision, error)

// asked serves the operations that change nothing and show no secret.
func asked(find findFunc, status func() Status) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, status(), nil) })
	mux.HandleFunc("POST /find", func(w http.ResponseWriter, r *http.Request) {
		ask(w, r, func(s *Search) (any, error) { return find(r.Context(), s) })
	})
	return mux
}

// answer writes a result, or an error instead.
func answer(w http.ResponseWriter, result any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		body := failure{Error: err.Error(), NotFound: errors.Is(err, ErrNotFound)}
		errors.As(err, &body.Problems)
		w.WriteHeader(http.StatusUnprocessableEntity)
		result = body
	}
	json.NewEncoder(w).Encode(result)
}

func plan(w http.ResponseWriter, r *http.Request, do planFunc) {
	var d Document
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDocument)).Decode(&d); err != nil {
		answer(w, nil, err)
		return
	}
	result, err := do(r.Context(), &d)
	answer(w, result, err)
}

// maxQuestion is the maximum size of a question, in bytes of JSON.
const maxQuestion = 1 << 20

func ask[Q any](w http.ResponseWriter, r *http.Request, do func(*Q) (any, error)) {
	q := new(Q)
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion)).Decode(q); err != nil {
		answer(w, nil, err)
		return
	}
	result, err := do(q)
	answer(w, result, err)
}

func export(w http.ResponseWriter, r *http.Request, p Platform) {
	w.Header().Set("Trailer", errorTrailer)
	err := p.Export(r.Context(), w, r.FormValue("secrets") == "true")
	if err != nil {
		w.Header().Set(errorTrailer, err.Error())
	}
}

// keyBody holds a key as DER, PKIX or PKCS#8; empty when there is none.
type keyBody struct{ DER []byte }

func showKey(w http.ResponseWriter, r *http.Request, p Platform) {
	var body keyBody
	key, err := p.PublicKey(r.Context())
	if err == nil && key != nil {
		body.DER, err = x509.MarshalPKIXPublicKey(key)
	}
	answer(w, body, err)
}

func rotateKey(w http.ResponseWriter, r *http.Request, p Platform) {
	var body keyBody
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body)
	if err == nil {
		err = rotateDER(r.Context(), p, body.DER)
	}
	answer(w, struct{}{}, err)
}
