package control

import (
	"context"
	"net/http"
)

// Status describes a serving process.
type Status struct {
	Version string // of the program
	PID     int
	URL     string // of the gateway
}

// errorTrailer carries an error that occurred after the answer had begun.
const errorTrailer = "Faquan-Error"

// Handler serves a Service to Clients. Serve it only on the socket, because it does not authenticate its callers.
func Handler(d *Service, status func() Status) http.Handler {
	mux := statusMux(status)
	for _, handle := range handlers {
		handle(mux, d)
	}
	handleExport(mux, d)
	return mux
}

func handleExport(mux *http.ServeMux, p Platform) {
	mux.HandleFunc("GET /export", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", errorTrailer)
		if err := p.Export(r.Context(), w, r.FormValue("secrets") == "true"); err != nil {
			w.Header().Set(errorTrailer, err.Error())
		}
	})
}

func statusMux(status func() Status) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, status(), nil) })
	return mux
}

// SharedHandler returns the handler that answers the requests of Processes: it changes nothing and shows no secret.
func SharedHandler(
	find func(context.Context, *Search) ([]*Decision, error), process func(context.Context, string) (*ProcessStatus, error), status func() Status,
) http.Handler {
	mux := statusMux(status)
	//guard:TestSharedSocketOnlyTells Find.handle(mux, find) -> Find.handle(mux, find); Settle.handle(mux, func(context.Context, None) (n None, err error) { return n, nil })
	Find.handle(mux, find)
	Process.handle(mux, process)
	return mux
}
