package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway/alipay/wire"
	topwire "faquan/internal/gateway/top/wire"
	"faquan/internal/telemetry"
)

//go:embed demo
var demoFiles embed.FS

// The app of the demo's catalogue, on Alipay and on TOP.
const (
	demoAppID  = "2014072300007148"
	demoAppKey = "12345678"
)

func newDemo() *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch faquan issue vouchers, with no setup",
		Long: `Start a whole faquan on loopback with a small catalogue and fresh keys, and issue through its gateways while you watch.
On Alipay: a first call, a retry of it, a sold-out template, a user over the limit, and eight callers at once. On TOP: a
treasure box, fewer benefits than were asked for, a decision with its reasons, and a certificate. Every request is
really signed and posted, and the signature of every answer that has one is verified.

Afterwards it stays up until Ctrl-C and shows what to try next: a curl command, and a program for the official SDK. The
data is in a temporary directory, which is removed at the end, unless --data names one, which must be new or empty.`,
		Example: `  faquan demo
  faquan demo --exit                  # end after the show
  faquan demo --data ./demo           # keep what it made; go on with faquan serve --data ./demo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.out, d.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.dir, "data", "", "`DIR`ectory for the data, which must be new or empty; default: a temporary one")
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:0", "`HOST:PORT` of the gateway; port 0 takes a free one")
	cmd.Flags().BoolVar(&d.exit, "exit", false, "end after the show")
	_ = cmd.MarkFlagDirname("data")
	return cmd
}

// demo is one run of the command.
type demo struct {
	dir, listen string
	exit        bool
	out, err    io.Writer

	server *server
	app    caller
	top    topCaller
}

func (d *demo) run(ctx context.Context) (err error) {
	remove, err := d.makeDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := d.start(ctx); err != nil {
		return err
	}
	err = d.show(ctx)
	d.app.client.CloseIdleConnections() // otherwise the stop waits for connections that were never used
	if err == nil && !d.exit {
		err = d.invite()
	}
	if err != nil || d.exit {
		return errors.Join(err, d.server.stop())
	}
	return d.server.wait(ctx)
}

// makeDir makes the data directory, and returns a function that removes it if it is temporary.
func (d *demo) makeDir() (remove func() error, err error) {
	if d.dir == "" {
		d.dir, err = os.MkdirTemp("", "faquan-demo-")
		return func() error { return os.RemoveAll(d.dir) }, err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty; the demo needs an empty directory. To go on with this one: faquan serve --data %s", d.dir, d.dir)
	}
	return func() error { return nil }, err
}

// start makes the keys and the other files, and starts a server as serve does.
func (d *demo) start(ctx context.Context) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	d.app = caller{appID: demoAppID, key: key, signType: wire.RSA2, charset: wire.UTF8,
		client: &http.Client{Transport: &http.Transport{}}}
	d.top = topCaller{appKey: demoAppKey, secret: rand.Text(), session: rand.Text(), signMethod: topwire.HMACSHA256,
		format: topwire.JSON, client: d.app.client}
	if err := writePair(key, "pkcs8", d.file("app_private.pem"), d.file("app_public.pem")); err != nil {
		return err
	}
	text, err := demoFiles.ReadFile("demo/catalog.yaml")
	if err != nil {
		return err
	}
	secrets := strings.NewReplacer("THE-APP-SECRET", d.top.secret, "THE-SESSION", d.top.session)
	if err := errors.Join(d.write("catalog.yaml", secrets.Replace(string(text))), d.write("app_secret.txt", d.top.secret+"\n")); err != nil {
		return err
	}
	doc, err := control.ReadDocument(d.file("catalog.yaml"), nil)
	if err != nil {
		return err
	}
	log, err := telemetry.NewLogger(d.err, "text", "warn")
	if err != nil {
		return err
	}
	c := config.Default()
	c.Data, c.Listen, c.Shutdown.Drain = d.dir, d.listen, 0
	if d.server, err = startServer(ctx, &c, serverOptions{log: log, document: doc}); err != nil {
		return err
	}
	if err := d.configureGateway(ctx); err != nil {
		return errors.Join(err, d.server.stop())
	}
	return nil
}

// configureGateway gives the platform's public key to the caller.
func (d *demo) configureGateway(ctx context.Context) error {
	key, err := control.PublicKey.On(ctx, d.server.service, control.None{})
	if err != nil {
		return err
	}
	d.app.url, d.app.gatewayKey, d.top.url = d.server.url, key, d.server.url
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(key)})
	return d.write("gateway_public.pem", string(public))
}

func (d *demo) file(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) write(name, text string) error { return os.WriteFile(d.file(name), []byte(text), 0o600) }

// command returns the command that starts this program in the same directory: with `go run` it is not in the PATH.
func command() string {
	self, err := os.Executable()
	if err != nil {
		return "faquan"
	}
	if found, err := exec.LookPath("faquan"); err == nil {
		if a, err := os.Stat(found); err == nil {
			if b, err := os.Stat(self); err == nil && os.SameFile(a, b) {
				return "faquan"
			}
		}
	}
	if _, err := os.Stat("cmd/faquan/main.go"); err == nil && strings.Contains(self, "go-build") {
		return "go run ./cmd/faquan"
	}
	return quote(self)
}

// quote returns the text quoted as one word for a shell.
func quote(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./:@%+=,", r)
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// invite prints the commands to try next.
func (d *demo) invite() error {
	texts, err := template.ParseFS(demoFiles, "demo/send.mjs", "demo/invitation.txt")
	if err != nil {
		return err
	}
	var program strings.Builder
	if err := texts.ExecuteTemplate(&program, "send.mjs", struct{ URL, AppID string }{d.server.url, demoAppID}); err != nil {
		return err
	}
	if err := d.write("send.mjs", program.String()); err != nil {
		return err
	}
	biz := voucherSend{TemplateID: "DEMO-TEN-OFF", UserID: "2088000000000098", OutBizNo: "from-curl"}
	form, err := d.app.form(biz.text(), time.Now())
	if err != nil {
		return err
	}
	return texts.ExecuteTemplate(d.out, "invitation.txt", map[string]string{
		"Faquan": command(), "Dir": quote(d.dir), "URL": d.server.url,
		"Endpoint": d.app.endpoint(), "Form": form, "Program": d.file("send.mjs"),
		"Method": decisionSend, "AppKey": demoAppKey, "SecretFile": quote(d.file("app_secret.txt")), "Catalog": quote(d.file("catalog.yaml")),
	})
}
