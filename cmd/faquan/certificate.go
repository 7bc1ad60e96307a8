package main

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
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
	seen      [2]fileState // of the files that were read last, valid or not
	pair      *tls.Certificate
}

// fileState identifies the content of a file.
type fileState struct {
	info fs.FileInfo // nil when there is no file
	err  string
}

func (s fileState) same(other fileState) bool {
	if s.info == nil || other.info == nil {
		return s.info == nil && other.info == nil && s.err == other.err
	}
	return os.SameFile(s.info, other.info) && s.info.ModTime().Equal(other.info.ModTime()) && s.info.Size() == other.info.Size()
}

func (f *certificateFiles) state() (now [2]fileState) {
	for k, file := range []string{f.files.Cert, f.files.Key} {
		info, err := os.Stat(file)
		if err != nil {
			now[k] = fileState{err: err.Error()}
			continue
		}
		now[k] = fileState{info: info}
	}
	return now
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
	if now[0].same(f.seen[0]) && now[1].same(f.seen[1]) {
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
func (f *certificateFiles) load(now [2]fileState) error {
	f.seen = now
	pair, err := tls.LoadX509KeyPair(f.files.Cert, f.files.Key)
	if err != nil {
		return fmt.Errorf("tls.cert, tls.key: %w", err)
	}
	f.pair = &pair
	return nil
}
