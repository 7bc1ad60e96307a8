package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Processes are the processes on this machine that serve a database with the same directory for their key file. Each keeps
// its own refusals, so all of them are asked.
type Processes []*Client

// Finder finds decisions, as Service.Find does.
type Finder func(context.Context, *Search) ([]*Decision, error)

// sharedPrefix returns how the names of this machine's sockets begin. It has the name of the machine, because a directory
// on a network file system may have sockets of another machine, which look as if no process listened.
func sharedPrefix() string {
	host, _ := os.Hostname() // without a name, all machines count as one
	sum := sha256.Sum256([]byte(host))
	return fmt.Sprintf("faquan-%x-", sum[:4])
}

// ListenShared makes a socket for this process in a directory that other processes may use too, and removes the sockets
// that ended processes of this machine left behind. Serve SharedHandler on it.
func ListenShared(dir string) (net.Listener, error) {
	prefix := sharedPrefix()
	left, _ := filepath.Glob(filepath.Join(escaped(dir), prefix+"*.sock"))
	for _, path := range left {
		conn, err := connect(dir, filepath.Base(path))
		if err == nil {
			conn.Close()
		} else if errors.Is(err, ErrNotServed) {
			os.Remove(path)
		}
	}
	return listen(dir, prefix+strings.ToLower(rand.Text()[:8])+".sock") // random: process ids repeat in containers
}

// DialShared connects to the processes of this machine that have their key file in the directory. The error wraps
// ErrNotServed when there is none.
func DialShared(dir string) (Processes, error) {
	paths, _ := filepath.Glob(filepath.Join(escaped(dir), "faquan-*.sock"))
	var all Processes
	for _, path := range paths {
		c, err := dial(dir, filepath.Base(path))
		//guard:TestSocketsLeftBehind without !errors.Is(err, ErrNotServed)
		if !errors.Is(err, ErrNotServed) { // the process has ended, or is on another machine; Find returns other errors
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w %s on this machine", ErrNotServed, dir)
	}
	return all, nil
}

// escaped returns a pattern that only matches the path.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// processTimeout bounds the answer of one process, so that one that hangs does not hide the refusals of the others.
const processTimeout = 10 * time.Second

// Finders returns a Finder for each process. What it finds names the process.
func (all Processes) Finders() []Finder {
	var finders []Finder
	for _, c := range all {
		finders = append(finders, c.findNamed)
	}
	return finders
}

// LeftFinder returns a Finder of the refusals that an ended process left in the files of a directory, which is named in what
// it finds.
func (d *Service) LeftFinder(dir string, left RefusalFinder) Finder {
	own := *d
	own.Refusals = left
	return func(ctx context.Context, s *Search) ([]*Decision, error) {
		found, err := own.Find(ctx, s)
		for _, decision := range found {
			decision.Files = dir
		}
		return found, err
	}
}

// FindAll asks several finders of refusals, and returns what they find in one order, newest first, at most s.Limit. When
// some do not answer, it returns the refusals of the others together with an error. It returns ErrNotFound when there are
// none.
func FindAll(ctx context.Context, all []Finder, s *Search) ([]*Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, processTimeout)
	defer cancel()
	answers, errs := make([][]*Decision, len(all)), make([]error, len(all))
	var asked sync.WaitGroup
	for k, find := range all {
		own := *s
		asked.Go(func() {
			if answers[k], errs[k] = find(ctx, &own); errors.Is(errs[k], ErrNotFound) {
				errs[k] = nil
			}
		})
	}
	//guard:TestProcessesThatKnowNothing asked.Wait() -> asked.Wait(); if err := errors.Join(errs...); err != nil { return nil, err }
	asked.Wait()
	found := slices.Concat(answers...)
	//guard:TestProcessesInOneSecond without cmp.Compare(b.AtMillis, a.AtMillis)
	slices.SortStableFunc(found, func(a, b *Decision) int { return cmp.Or(cmp.Compare(b.AtMillis, a.AtMillis), cmp.Compare(b.At, a.At)) })
	if s.Limit > 0 && len(found) > s.Limit {
		found = found[:s.Limit]
	}
	err := errors.Join(errs...)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	return found, err
}

// findNamed is Find of one process, with the name of the process in each answer.
func (c *Client) findNamed(ctx context.Context, s *Search) ([]*Decision, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	found, err := Find.On(ctx, c, s)
	if err != nil {
		return nil, fmt.Errorf("process %d at %s: %w", status.PID, status.URL, err)
	}
	for _, decision := range found {
		decision.Process = fmt.Sprintf("%d at %s", status.PID, status.URL)
	}
	return found, nil
}
