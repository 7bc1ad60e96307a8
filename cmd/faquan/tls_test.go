package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"faquan/internal/config"
)

// trust is who a client believes.
type trust struct{ pool *x509.CertPool }

func (p trust) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.pool}}}
}

// testCertificate makes a certificate for loopback and its files.
func testCertificate(t *testing.T, dir string) (config.TLS, trust) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	files := config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for name, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return files, trust{pool}
}

// replaceCertificate puts another certificate, and another key, in the place of the files, each at once.
func replaceCertificate(t *testing.T, files config.TLS, what ...string) trust {
	t.Helper()
	made, pool := testCertificate(t, t.TempDir())
	for from, to := range map[string]string{made.Cert: files.Cert, made.Key: files.Key} {
		if slices.Contains(what, filepath.Base(from)) {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	return pool
}

// A certificate that is replaced is used from the next handshake on that comes a second after the last look. One that does
// not fit its key changes nothing, and is warned about once.
func TestCertificateIsReadAgain(t *testing.T) {
	files, _ := testCertificate(t, t.TempDir())
	var log bytes.Buffer
	at := time.Now()
	f := &certificateFiles{files: files, log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return at }}
	if err := f.load(f.state()); err != nil {
		t.Fatal(err)
	}
	use := func(later time.Duration) *tls.Certificate {
		t.Helper()
		at = at.Add(later)
		pair, err := f.get(nil)
		if err != nil || pair == nil {
			t.Fatalf("no certificate: %v", err)
		}
		return pair
	}
	lines := func(want string, count int) {
		t.Helper()
		if got := strings.Count(log.String(), want); got != count {
			t.Errorf("%d lines with %q, want %d:\n%s", got, want, count, &log)
		}
	}
	first := use(0)
	if again := use(time.Hour); again != first {
		t.Error("files that are the same were read again")
	}
	replaceCertificate(t, files, "cert.pem", "key.pem")
	if early := use(checkEvery - 1); early != first {
		t.Error("it is looked more often than once a second")
	}
	second := use(1)
	if second == first {
		t.Fatal("the new certificate is not used")
	}
	lines("the certificate was reloaded", 1)
	replaceCertificate(t, files, "cert.pem") // the key of the one before
	for range 3 {
		if half := use(time.Second); half != second {
			t.Error("a certificate without its key is used")
		}
	}
	lines("the new certificate cannot be used", 1)
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	use(time.Second)
	use(time.Second)
	lines("the new certificate cannot be used", 2)
	replaceCertificate(t, files, "cert.pem", "key.pem")
	if third := use(time.Second); third == second {
		t.Error("a good pair is not used after a bad one")
	}
	lines("the certificate was reloaded", 2)
}

// A running server presents the new certificate, without a restart.
func TestCertificateOfARunningServer(t *testing.T) {
	files, old := testCertificate(t, t.TempDir())
	s := testServer(t, t.TempDir(), nil, func(c *config.Config) { c.TLS = files })
	defer s.stop()
	reaches := func(pool trust) bool {
		client := pool.Client()
		defer client.CloseIdleConnections()
		resp, err := client.Get(s.url + "/livez")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	}
	if !reaches(old) {
		t.Fatal("the first certificate is not presented")
	}
	renewed := replaceCertificate(t, files, "cert.pem", "key.pem")
	within(t, "the new certificate is presented", func() bool { return reaches(renewed) })
	if reaches(old) {
		t.Error("the old one still is")
	}
}

// send trusts what --ca names, and nothing else, on both gateways.
func TestSendCA(t *testing.T) {
	dir := t.TempDir()
	files, _ := testCertificate(t, dir)
	other, _ := testCertificate(t, t.TempDir())
	s := testServer(t, filepath.Join(dir, "data"), testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`),
		func(c *config.Config) { c.TLS = files })
	defer s.stop()
	der, err := x509.MarshalPKCS8PrivateKey(testKey())
	if err != nil {
		t.Fatal(err)
	}
	key, junk := filepath.Join(dir, "app.pem"), filepath.Join(dir, "junk.pem")
	for name, text := range map[string][]byte{key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), junk: []byte("junk")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	voucher := []string{"--app-id", testAppID, "--key", key, "--template", "T", "--user", "2088000000000001"}
	ask := []string{"--method", "taobao.time.get", "--app-key", "1", "--secret", "hush"}
	for name, test := range map[string]struct {
		args []string
		want string // in the error; "" for none
	}{
		"trusted":           {append([]string{"--url", s.url, "--ca", files.Cert}, voucher...), ""},
		"trusted, TOP":      {append([]string{"--url", s.url, "--ca", files.Cert}, ask...), "isv.appkey-not-exists"}, // it was answered
		"no --ca":           {append([]string{"--url", s.url}, voucher...), "certificate"},
		"no --ca, TOP":      {append([]string{"--url", s.url}, ask...), "certificate"},
		"another":           {append([]string{"--url", s.url, "--ca", other.Cert}, voucher...), "certificate"},
		"no certificate":    {append([]string{"--url", s.url, "--ca", junk}, voucher...), "has no PEM certificate"},
		"no file":           {append([]string{"--url", s.url, "--ca", junk + "x"}, voucher...), "no such file"},
		"a URL without TLS": {append([]string{"--url", "http://127.0.0.1:1", "--ca", files.Cert}, voucher...), "--ca is only for https URLs"},
	} {
		cmd := newRoot()
		cmd.SetArgs(append([]string{"send"}, test.args...))
		cmd.SetOut(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, test.want)
		}
	}
}
