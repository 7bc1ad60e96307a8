package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"faquan/internal/gateway"
)

// emptyServer is the HTTP server of the gateways with a handler that only answers. It is a process beside that of the
// load, as a gateway is.
type emptyServer struct {
	process *worker
	address string // host:port
}

// startEmptyServer starts this program as a server that answers every request alike.
func startEmptyServer(answer []byte) (*emptyServer, error) {
	w, err := startWorker("empty")
	if err != nil {
		return nil, err
	}
	s := &emptyServer{process: w}
	if err = w.order.Encode(answer); err == nil {
		err = w.said.Decode(&s.address)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("the empty server has ended: %w", err)
	}
	return s, nil
}

func (s *emptyServer) close() { crew{s.process}.close() }

func newEmpty() *cobra.Command {
	return &cobra.Command{
		Use:    "empty",
		Hidden: true,
		Short:  "The empty handler of bench http",
		Long: `The server with an empty handler that bench http compares a gateway with. It gets its answer on its standard input, and
ends when that does.`,
		Example: `  go run ./bench empty   # started by bench http`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveEmpty(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

func serveEmpty(in io.Reader, out io.Writer) error {
	var answer []byte
	if err := json.NewDecoder(in).Decode(&answer); err != nil {
		return fmt.Errorf("bench empty is started by bench http: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := gateway.NewServer(emptyHandler(answer), gateway.ServerLimits{}, slog.New(slog.DiscardHandler))
	go func() { _ = server.Serve(l) }()
	if err := json.NewEncoder(out).Encode(l.Addr().String()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// emptyHandler reads the request and answers, and does nothing else.
func emptyHandler(answer []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer)
	})
}
