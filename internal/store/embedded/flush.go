package embedded

import (
	"errors"
	"slices"
	"time"

	"faquan/internal/store"
	"faquan/internal/vfs"
)

// flushLoop writes the memtable to the view whenever something waits: at once when much does, else after a while.
func (s *Store) flushLoop() {
	defer s.work.Done()
	tick := time.Tick(s.o.FlushAfter)
	failing := false
	for {
		select {
		case <-s.stop:
			return
		case <-s.kick:
		case <-tick:
		}
		switch err := s.Flush(); {
		case errors.Is(err, store.ErrFailed): // it was logged, and no commit comes any more
			return
		case err != nil:
			if !failing {
				s.o.Log.Error("the view cannot be written; commits go on until the memtable is full", "err", err)
			}
			failing = true
			select { // a full disk is not made emptier by trying all the time
			case <-s.stop:
				return
			case <-time.After(time.Second):
			}
		case failing:
			s.o.Log.Info("the view can be written again")
			failing = false
		}
	}
}

// watch looks at the lock, and at a journal that refuses, once a second. The store fails soon after its lock is lost: when the
// directory was moved away, say, and another process serves a copy in its place. The journal looks only where a segment ends,
// which a quiet store takes days to reach. A flush may take long, so this is not done in flushLoop.
func (s *Store) watch() {
	defer s.work.Done()
	tick := time.Tick(time.Second)
	for {
		select {
		case <-s.stop:
			return
		case <-tick:
		}
		if err := s.lock.Check(); errors.Is(err, vfs.ErrLockLost) {
			s.o.Log.Error("another process may have the data directory; nothing more is committed", "err", err)
			s.fail(err) //guard:TestDirectoryReplaced
			return
		}
		s.tryJournal() //guard:TestFullDisk
	}
}

var errClosed = errors.New("the store is closed")

// Flush writes everything that was committed before the call to the view: first what an earlier flush failed to
// write, if there was one, and then what has come since. After an error it may be called again.
func (s *Store) Flush() error {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	if err := s.flushMemtable(); err != nil {
		return err
	}
	s.swap()
	return s.flushMemtable()
}

// flushMemtable writes the memtable that is being flushed, if there is one.
func (s *Store) flushMemtable() error {
	s.mu.Lock()
	o := s.flushing
	full := s.sealedBy(o)
	s.mu.Unlock()
	if o == nil {
		return nil
	}
	if s.closed {
		return errClosed
	}
	err := s.viewError(applyMemtable(s.writer, o, full))
	s.loading.Lock()
	s.mu.Lock()
	s.stuck = err
	if err == nil {
		s.flushing = nil
	}
	s.mu.Unlock()
	s.loading.Unlock()
	s.drained.Broadcast()
	if err != nil {
		return err
	}
	err = s.viewError(s.checkpoint("PASSIVE")) // without waiting for readers
	s.mu.Lock()
	s.viewInWAL = err != nil
	s.mu.Unlock()
	return err
}

// swap makes the active memtable the one to flush and starts a new one, unless there is nothing to write. No flush is
// pending when it is called.
func (s *Store) swap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active.empty() {
		return
	}
	s.flushing = s.active
	last := s.gens[len(s.gens)-1]
	if last.share += s.flushing.share(); last.share >= s.o.GenerationSize {
		// The full one keeps its fresh filters: its own may still be in the making, from a snapshot of the view
		// that lacks what came since.
		s.gens = append(s.gens, newGeneration(last.gen+1, s.filterCapacity()))
	}
	s.active = newMemtable(s.gens[len(s.gens)-1].gen, s.idMillis)
}

// sealedBy returns a copy of the generation that ended with a memtable, or nil.
func (s *Store) sealedBy(o *memtable) *generation {
	if last := s.gens[len(s.gens)-1]; o == nil || o.gen == last.gen {
		return nil
	}
	for _, g := range s.gens {
		if g.gen == o.gen {
			full := *g
			return &full
		}
	}
	return nil
}

// fillFilters makes the filters that were not kept, newest generation first. Until one is there the view is asked instead.
func (s *Store) fillFilters() {
	defer s.work.Done()
	s.mu.Lock()
	gens := slices.Clone(s.gens)
	s.mu.Unlock()
	for _, g := range slices.Backward(gens) {
		if err := s.fillFilter(g); err != nil {
			s.o.Log.Warn("cannot build the filters of a generation", "generation", g.gen, "err", err)
			return
		}
	}
}

func (s *Store) fillFilter(g *generation) error {
	s.mu.Lock()
	complete := g.complete()
	s.mu.Unlock()
	if complete {
		return nil
	}
	conn, err := openConn(ViewPath(s.o.Dir), true)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetInterrupt(s.stop)
	read, err := readFilters(conn, g.gen, s.filterCapacity())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.fill(read)
	return nil
}
