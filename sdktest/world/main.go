// Command world runs a test command against a faquan of its own: the real program, on an empty data directory, with
// fresh keys and the catalogue of the tests, on loopback.
//
//	world -faquan build/faquan -catalog sdktest/catalog.yaml -- node --test sdktest/node/cases.test.js
//
// The command finds the world in SDKTEST_WORLD, a JSON file with the members of type World. When the command has
// ended the program is stopped as an operator stops it, and `faquan audit` looks at what it left; both must succeed.
// The exit status is that of the command, or 1 when the program failed.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"faquan/internal/pgserver"
)

// World holds what a client needs to know.
type World struct {
	Gateway       string `json:"gateway"`         // URL of /gateway.do
	AppID         string `json:"app_id"`          // the app whose key follows
	PrivateKey    string `json:"private_key"`     // PEM, PKCS#8
	GatewayKey    string `json:"gateway_key"`     // public, PEM: signs the answers
	OtherKey      string `json:"other_key"`       // private, PEM, PKCS#8: of no app that the tests call as
	NotGatewayKey string `json:"not_gateway_key"` // public, PEM: signs nothing
	Cases         string `json:"cases"`           // path of cases.json

	TOP       string `json:"top"`        // URL of /router/rest
	AppKey    string `json:"app_key"`    // the same app on TOP
	AppSecret string `json:"app_secret"` // its secret, and that of the apps of top-cases.json
	TOPCases  string `json:"top_cases"`  // path of top-cases.json

	Program       string `json:"program"`         // path of faquan; in the command's environment it finds the store that it serves
	API           string `json:"api"`             // URL of the JSON API, without its path
	APIToken      string `json:"api_token"`       // of the same app, with all scopes
	APITokenQuery string `json:"api_token_query"` // with the scope query alone
}

const (
	appID       = "2014072300007148"
	appKey      = "12345678"
	startWithin = 30 * time.Second
	stopWithin  = 30 * time.Second
)

func main() {
	flags := flag.NewFlagSet("world", flag.ExitOnError)
	program := flags.String("faquan", "", "the program")
	catalogue := flags.String("catalog", "", "the catalogue; cases.json lies beside it")
	database := flags.Bool("database", false, "the program's store is a private PostgreSQL, not a directory")
	_ = flags.Parse(os.Args[1:])
	if *program == "" || *catalogue == "" || flags.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "world: -faquan, -catalog and a command are needed")
		os.Exit(2)
	}
	err := run(&faquan{path: *program}, *database, *catalogue, flags.Args())
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended) && ended.Exited():
		os.Exit(ended.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "world:", err)
		os.Exit(1)
	}
}

// faquan is the program, and the URL of the database that it is given, if any.
type faquan struct{ path, store string }

// command prepares a call of the program.
func (f *faquan) command(args ...string) *exec.Cmd {
	cmd := exec.Command(f.path, args...)
	cmd.Env = f.environment()
	return cmd
}

// environment returns the environment of the program.
func (f *faquan) environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "FAQUAN_") })
	env = append(env, "FAQUAN_SHUTDOWN_DRAIN=0s") // nothing balances the calls of a test
	if f.store != "" {
		env = append(env, "FAQUAN_STORE="+f.store)
	}
	return env
}

func run(program *faquan, database bool, catalogue string, command []string) (err error) {
	// A signal ends the command below, and then everything is put away as after any other end.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	dir, err := os.MkdirTemp("", "faquan-world-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	world, err := furnish(dir, catalogue)
	if err != nil {
		return err
	}
	if database {
		server, openErr := pgserver.Open()
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		program.store = server.URL("postgres")
	}
	s, err := start(ctx, program, dir)
	if err != nil {
		return err
	}
	if err := world.makeTokens(program, dir); err != nil {
		return errors.Join(err, s.stop())
	}
	world.API = "http://" + s.api
	world.Gateway, world.TOP = "http://"+s.address+"/gateway.do", "http://"+s.address+"/router/rest"
	if world.Program, err = filepath.Abs(program.path); err != nil {
		return errors.Join(err, s.stop())
	}
	failed := try(ctx, dir, world, append(program.environment(), "FAQUAN_DATA="+filepath.Join(dir, "data")), command)
	if err := errors.Join(s.stop(), audit(program, dir)); err != nil {
		return fmt.Errorf("%w\nthe end of the program's log:\n%s", err, tail(s.log.String(), 40))
	}
	return failed
}

// furnish writes the keys and the catalogue.
func furnish(dir, catalogue string) (*World, error) {
	w := &World{AppID: appID, AppKey: appKey, AppSecret: rand.Text()}
	text, err := os.ReadFile(catalogue)
	if err == nil {
		// A session that is over for long is no longer there on a database.
		yesterday := time.Now().AddDate(0, 0, -1).Format(time.DateTime)
		blanks := strings.NewReplacer("THE-APP-SECRET", w.AppSecret, "ANOTHER-SECRET", rand.Text(), "YESTERDAY", yesterday)
		err = os.WriteFile(filepath.Join(dir, "catalog.yaml"), []byte(blanks.Replace(string(text))), 0o600)
	}
	if err != nil {
		return nil, err
	}
	beside, err := filepath.Abs(filepath.Dir(catalogue))
	if err != nil {
		return nil, err
	}
	w.Cases, w.TOPCases = filepath.Join(beside, "cases.json"), filepath.Join(beside, "top-cases.json")
	if w.PrivateKey, _, err = keyPair(dir, "app"); err != nil {
		return nil, err
	}
	if _, w.GatewayKey, err = keyPair(dir, "gateway"); err != nil {
		return nil, err
	}
	w.OtherKey, w.NotGatewayKey, err = keyPair(dir, "other")
	return w, err
}

// makeTokens makes tokens for the JSON API beside the running program.
func (w *World) makeTokens(program *faquan, dir string) error {
	for _, one := range []struct {
		scopes string
		secret *string
	}{{"query,redeem,reverse,void,extend,expire", &w.APIToken}, {"query", &w.APITokenQuery}} {
		out, err := program.command("token", "make", "--data", filepath.Join(dir, "data"), "--app", "shop", "--scope", one.scopes).CombinedOutput()
		if err != nil {
			return fmt.Errorf("faquan token make: %w\n%s", hide(err), out)
		}
		first, _, _ := strings.Cut(string(out), "\n")
		*one.secret = strings.TrimPrefix(first, "token: ")
	}
	return nil
}

// keyPair makes name_private.pem and name_public.pem.
func keyPair(dir, name string) (private, public string, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", "", err
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	publicDER, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", "", err
	}
	private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER}))
	public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}))
	return private, public, errors.Join(
		os.WriteFile(filepath.Join(dir, name+"_private.pem"), []byte(private), 0o600),
		os.WriteFile(filepath.Join(dir, name+"_public.pem"), []byte(public), 0o600))
}

// server is the running program.
type server struct {
	address string
	api     string // the address of the JSON API
	cmd     *exec.Cmd
	log     *bytes.Buffer // complete once the program has ended
	ended   chan error
}

func start(ctx context.Context, program *faquan, dir string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	apiAddress, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &server{address: address, api: apiAddress, log: &bytes.Buffer{}, ended: make(chan error, 1)}
	s.cmd = program.command("serve", "--data", filepath.Join(dir, "data"), "--listen", address, "--api-listen", apiAddress, "--shutdown-drain", "0s",
		"--apply", filepath.Join(dir, "catalog.yaml"))
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	return s, s.ready(ctx)
}

// freeAddress finds a free loopback port.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// ready waits until the program takes calls.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		select {
		case err := <-s.ended:
			return fmt.Errorf("the program did not start: %w\n%s", hide(err), s.log.String())
		case <-ctx.Done():
			return errors.Join(errors.New("the program takes no calls"), s.stop(), errors.New(s.log.String()))
		case <-time.After(20 * time.Millisecond):
		}
		resp, err := http.Get("http://" + s.address + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// stop stops the program as an operator does, and expects that it ends well.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping the program: %w", errors.Join(err, hide(<-s.ended)))
	}
	select {
	case err := <-s.ended:
		if err != nil {
			return fmt.Errorf("the program ended badly: %w", hide(err))
		}
		return nil
	case <-time.After(stopWithin):
		_ = s.cmd.Process.Kill()
		return errors.Join(fmt.Errorf("the program did not stop within %s", stopWithin), hide(<-s.ended))
	}
}

// tail returns the last n lines.
func tail(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// hide makes the end of the program another error than the end of the command, whose exit status is passed on.
func hide(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}

// try runs the test command in an environment.
func try(ctx context.Context, dir string, world *World, env, command []string) error {
	text, err := json.Marshal(world)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "world.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	// Clients of TOP for Node.js send the time of their machine's zone, which in a container is UTC.
	cmd.Env = append(env, "SDKTEST_WORLD="+file, "TZ=UTC")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd.Run()
}

// audit recounts everything that the tests left, in the directory or the database.
func audit(program *faquan, dir string) error {
	cmd := program.command("audit", "--data", filepath.Join(dir, "data"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		_, _ = io.Copy(os.Stderr, bytes.NewReader(out))
		return fmt.Errorf("audit after the tests: %w", hide(err))
	}
	return nil
}
