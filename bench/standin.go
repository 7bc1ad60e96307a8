package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/gateway"
	"faquan/internal/gateway/top"
	"faquan/internal/issuing"
	"faquan/internal/seal"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// standIn is the servers that a gateway is compared with. They run in one process beside that of the load, as the
// gateway does.
type standIn struct {
	process *worker

	Empty          string // host:port of a handler that does nothing and answers the bytes of an issue
	WithoutIssuing string // of the TOP gateway with an issuer that issues nothing and always has the same outcome
}

// startStandIn starts this program as the servers for a protocol.
func startStandIn(protocol string, users int) (*standIn, error) {
	w, err := startWorker("stand-in", "--protocol", protocol, "--users", strconv.Itoa(users))
	if err != nil {
		return nil, err
	}
	s := &standIn{process: w}
	if err := w.said.Decode(s); err != nil {
		s.close()
		return nil, fmt.Errorf("the servers to compare with have ended: %w", err)
	}
	return s, nil
}

func (s *standIn) close() { crew{s.process}.close() }

func newStandIn() *cobra.Command {
	protocol, users := "", 0
	cmd := &cobra.Command{
		Use:    "stand-in",
		Hidden: true,
		Short:  "The servers that bench http compares a gateway with",
		Long: `The servers that bench http compares a gateway with, in a process of their own. It prints their addresses and ends when
its standard input does.`,
		Example: `  go run ./bench stand-in --protocol alipay   # started by bench http`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveStandIn(context.WithoutCancel(cmd.Context()), protocol, users, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&protocol, "protocol", "", "alipay or top")
	cmd.Flags().IntVar(&users, "users", 1, "top: users, each with a session")
	return cmd
}

// serveStandIn serves until the input ends.
func serveStandIn(ctx context.Context, protocol string, users int, in io.Reader, out io.Writer) (err error) {
	s := &standIn{}
	contentType, answer := "application/json", bytes.Repeat([]byte("x"), 560) // about as long as a signed answer of Alipay
	if protocol == "top" {
		handler, stop, err := topWithoutIssuing(ctx, users)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		if s.WithoutIssuing, err = serveHandler(handler); err != nil {
			return err
		}
		if contentType, answer, err = topAnswer(s.WithoutIssuing, topForm(0, users, topHot)); err != nil {
			return err
		}
	}
	if s.Empty, err = serveHandler(emptyHandler(contentType, answer)); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(s); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// serveHandler serves a handler behind the HTTP server of the gateways, as long as this process lives.
func serveHandler(h http.Handler) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := gateway.NewServer(h, gateway.ServerLimits{}, slog.New(slog.DiscardHandler))
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), nil
}

// emptyHandler reads the request and answers, and does nothing else.
func emptyHandler(contentType string, answer []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer)
	})
}

// topWithoutIssuing returns the TOP gateway on a store in memory, with an issuer that issues once.
func topWithoutIssuing(ctx context.Context, users int) (_ http.Handler, stop func() error, err error) {
	st := memory.New()
	issuer, stop, err := startIssuer(ctx, issuing.Options{Store: st})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stop())
		}
	}()
	key := make([]byte, seal.KeySize)
	_, _ = rand.Read(key) // it never fails
	box, err := seal.New(key)
	if err != nil {
		return nil, nil, err
	}
	file, err := catalog.Parse(catalogueFile, []byte(topCatalogue), nil)
	if err != nil {
		return nil, nil, err
	}
	err = issuer.Change(ctx, func(ctx context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error) {
		changes, _, err := file.Changes(ctx, r, cat, env, box)
		return changes, err
	})
	if err == nil {
		err = addUsers(ctx, issuer, users)
	}
	if err != nil {
		return nil, nil, err
	}
	return top.New(top.Options{
		Issuer: &fixedIssuer{real: issuer},
		Apps: gateway.NewApps(issuer.Catalogue, slog.New(slog.DiscardHandler)).
			WithSecrets(func(a *benefit.App) (string, error) { return catalog.AppSecret(a, box) }),
		Sessions: gateway.NewSessions(func(ctx context.Context) (gateway.SessionReader, error) { return st.Read(ctx) }, 0),
	}), stop, nil
}

// fixedIssuer issues once and returns that outcome ever after.
type fixedIssuer struct {
	real    *issuing.Issuer
	once    sync.Once
	outcome benefit.Outcome
	err     error
}

// Issue implements top.Issuer.
func (f *fixedIssuer) Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error) {
	f.once.Do(func() { f.outcome, f.err = f.real.Issue(ctx, r) })
	return f.outcome, f.err
}

// topAnswer makes one call and returns its answer, which must be that of an issue.
func topAnswer(address, form string) (contentType string, answer []byte, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+address+top.Path, "application/x-www-form-urlencoded;charset=utf-8", strings.NewReader(form))
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err == nil && !bytes.Contains(answer, []byte(topIssued)) {
		err = fmt.Errorf("the first call: %s", answer)
	}
	return resp.Header.Get("Content-Type"), answer, err
}
