package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"faquan/internal/config"
)

// checkEvery is the minimum time between two checks of the certificate's files.
const checkEvery = time.Second

// certificate returns the configuration of TLS; nil without a certificate.
func certificate(c *config.Config, log *slog.Logger) (*tls.Config, error) {
	if c.TLS.Cert == "" {
		return nil, nil
	}
	f := &certificateFiles{files: c.TLS, log: log, now: time.Now}
	if err := f.load(f.state()); err != nil {
		return nil, err
	}
	return &tls.Config{GetCertificate: f.get, MinVersion: tls.VersionTLS12}, nil
}

// certificateFiles are a certificate and its key, which are reloaded when the files change.
type certificateFiles struct {
	files config.TLS
	log   *slog.Logger
	now   func() time.Time

	mu        sync.Mutex
	checkedAt time.Time
	seen      string // the state of the files that were read last, valid or not
	pair      *tls.Certificate
}

// state identifies the contents of the files, or the errors that they give.
func (f *certificateFiles) state() string {
	var files []string
	for _, file := range []string{f.files.Cert, f.files.Key} {
		info, err := os.Stat(file)
		if err != nil {
			files = append(files, err.Error())
			continue
		}
		inode := info.Sys().(*syscall.Stat_t)
		files = append(files, fmt.Sprint(inode.Dev, inode.Ino, info.ModTime().UnixNano(), info.Size()))
	}
	return strings.Join(files, "\n")
}

// get returns the certificate for a handshake. A pair that cannot be used is ignored: one of its files may not have been
// replaced yet.
func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.now()
	if since := at.Sub(f.checkedAt); since >= 0 && since < checkEvery {
		return f.pair, nil
	}
	f.checkedAt = at
	now := f.state()
	if now == f.seen {
		return f.pair, nil
	}
	if err := f.load(now); err != nil {
		f.log.Warn("the new certificate cannot be used; the previous one stays in use", "err", err)
		return f.pair, nil //guard:TestCertificateIsReadAgain f.pair, nil -> nil, err
	}
	f.log.Info("the certificate was reloaded", "file", f.files.Cert, "not_after", f.pair.Leaf.NotAfter)
	return f.pair, nil
}

// load reads the files, which had the given state just before. A change in between is noticed at the next check.
func (f *certificateFiles) load(now string) error {
	f.seen = now
	pair, err := tls.LoadX509KeyPair(f.files.Cert, f.files.Key)
	if err != nil {
		return fmt.Errorf("tls.cert, tls.key: %w", err)
	}
	f.pair = &pair
	return nil
}
