package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/control"
	"faquan/internal/issuing"
	"faquan/internal/rule"
	"faquan/internal/seal"
	"faquan/internal/store/embedded"
	"faquan/internal/vfs"
)

// node is a data directory that this process holds: the store, the key file beside it, and the issuer on top.
type node struct {
	dir    string
	store  *embedded.Store
	box    *seal.Box
	issuer *issuing.Issuer
	// stopped gives what the committer returned, once: nil after close, else the failure of the store.
	stopped chan error
}

// nodeOptions are the bounds of the issuer; zero takes its defaults.
type nodeOptions struct {
	queue, batch int
	log          *slog.Logger
}

// openNode opens a data directory, or makes one, and starts the committer.
func openNode(ctx context.Context, dir string, o nodeOptions) (_ *node, err error) {
	n := &node{dir: dir, stopped: make(chan error, 1)}
	if n.store, err = embedded.Open(embedded.Options{Dir: dir, Log: o.log}); err != nil {
		return nil, explainOpen(ctx, dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.store.Close())
		}
	}()
	if n.box, err = openBox(ctx, dir, n.store); err != nil {
		return nil, err
	}
	n.issuer, err = issuing.New(ctx, issuing.Options{
		Store: n.store, Rules: rule.New(), Queue: o.queue, Batch: o.batch, Log: o.log,
		Clock: func() benefit.Instant { return benefit.InstantOf(time.Now()) },
	})
	if err != nil {
		return nil, err
	}
	go func() { n.stopped <- n.issuer.Run() }()
	return n, nil
}

// explainOpen says who has a directory that is locked.
func explainOpen(ctx context.Context, dir string, err error) error {
	if !errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	holder := "another faquan process"
	if c, dialErr := control.Dial(dir); dialErr == nil {
		if s, askErr := c.Status(ctx); askErr == nil {
			holder = fmt.Sprintf("the faquan process %d, which serves it at %s", s.PID, s.URL)
		}
	}
	return fmt.Errorf("data directory %s is in use by %s; only one process may have it: %w", dir, holder, vfs.ErrLocked)
}

// openBox opens the key file. A store with sealed values and no key file is a loss, not a first start.
func openBox(ctx context.Context, dir string, s *embedded.Store) (*seal.Box, error) {
	entities, _, err := s.Entities(ctx)
	if err != nil {
		return nil, err
	}
	return seal.OpenKeyFile(dir, catalog.SealedValues(entities), rand.Reader)
}

// desk is what the commands use of the node.
func (n *node) desk() *control.Desk {
	return &control.Desk{Store: n.store, Issuer: n.issuer, Box: n.box}
}

// close lets the committer finish what waits and closes the store. After a failure of the store it returns that.
func (n *node) close() error {
	n.issuer.Stop()
	return errors.Join(<-n.stopped, n.store.Close())
}

// lockedWait is how long a command waits for a process that has the directory and no socket yet: it is starting,
// or about to end.
const lockedWait = 5 * time.Second

// withPlatform calls fn on a data directory: through the process that serves it, or else by opening it.
func withPlatform(ctx context.Context, dir string, fn func(control.Platform) error) error {
	for start := time.Now(); ; {
		c, err := control.Dial(dir)
		if err == nil {
			return fn(c)
		}
		if !errors.Is(err, control.ErrNotServed) {
			return err
		}
		n, err := openNode(ctx, dir, nodeOptions{})
		if err == nil {
			return errors.Join(fn(n.desk()), n.close())
		}
		if !errors.Is(err, vfs.ErrLocked) || time.Since(start) > lockedWait {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// mustExist refuses to make a data directory where a command only asks: the name is misspelt, surely.
func mustExist(dir string) error {
	if _, err := os.Stat(embedded.JournalDir(dir)); err != nil {
		return fmt.Errorf("%s is no data directory of faquan: %w", dir, err)
	}
	return nil
}
