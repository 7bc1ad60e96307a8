package journal

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"faquan/internal/vfs"
)

// Stats are the statistics of a journal, for operators.
type Stats struct {
	Head         Head
	Segment      uint64 // number of the current segment
	Used, Size   int64  // of the current segment, bytes
	NextReady    bool   // the next segment is made
	NextErr      error  // why the last attempt to make it failed
	MaxPayload   int    // bytes
	OutcomeKnown bool   // false once a *FailedError was returned
}

// Stats returns the present state. It belongs to the goroutine that appends.
func (j *Journal) Stats() Stats {
	j.collectMaker(false)
	return Stats{
		Head: j.head, Segment: j.seg.segment, Used: j.off, Size: j.seg.size,
		NextReady: j.next != nil, NextErr: j.nextErr, MaxPayload: j.MaxPayload(), OutcomeKnown: j.failed == nil,
	}
}

// LowOnSpace reports whether the last attempt to make the next segment failed. Then
// appends stop when the current one is full, unless that attempt succeeds. It is
// safe for concurrent use.
func (j *Journal) LowOnSpace() bool { return j.lowOnSpace.Load() }

// Prepare makes the next segment now, unless it is made. It is for owners
// without Background, who call it when there is time; Append calls it when there
// is no room left. An error other than a *FailedError may be tried again.
func (j *Journal) Prepare() error {
	if err := j.usable(); err != nil {
		return err
	}
	j.collectMaker(true)
	if j.next == nil && j.failed == nil {
		j.next, j.nextErr = j.makeSegment(j.seg.segment+1, nil, immediately)
		j.checkNextErr()
	}
	if j.failed != nil {
		return j.failed
	}
	return j.nextErr
}

func immediately(int64) error { return nil }

// needNext is Prepare for an Append: when it fails, the record is certainly not written.
func (j *Journal) needNext() error {
	err := j.Prepare()
	if err == nil || j.failed != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNotWritten, err)
}

// checkNextErr latches when the attempt to make a segment left the directory in
// an unknown state.
func (j *Journal) checkNextErr() {
	var lost dirSyncError
	if errors.As(j.nextErr, &lost) {
		j.fail(j.nextErr)
	}
}

// maker makes the next segment in a goroutine of its own.
type maker struct {
	filled *atomic.Int64 // how full the current segment is
	ahead  int64         // how far the work should be ahead of it, bytes
	urgent chan struct{} // closed: the journal waits
	stop   chan struct{} // closed: give up
	done   chan struct{} // closed: file and err are set

	file vfs.File
	err  error
}

// fillPause is the pause after each fillBytes while there is no hurry.
const fillPause = 20 * time.Millisecond

var errStopped = errors.New("stopped")

// pace holds the work back as long as it is ahead of the appends, so that the
// disk is theirs.
func (m *maker) pace(done int64) error {
	select {
	case <-m.stop:
		return errStopped
	case <-m.urgent:
		return nil
	default:
	}
	if done == 0 || done < m.filled.Load()+m.ahead {
		return nil
	}
	timer := time.NewTimer(fillPause)
	defer timer.Stop()
	select {
	case <-m.stop:
		return errStopped
	case <-m.urgent:
	case <-timer.C:
	}
	return nil
}

// startMaker begins to make the next segment, if that is wanted and not done.
func (j *Journal) startMaker() {
	if !j.opts.Background || j.next != nil {
		return
	}
	m := &maker{
		filled: &j.filled, ahead: j.opts.SegmentBytes / 4,
		urgent: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
	j.maker = m
	id := j.seg.segment + 1
	go func() {
		defer close(m.done)
		m.file, m.err = j.makeSegment(id, nil, m.pace)
		if m.err != nil && !errors.Is(m.err, errStopped) {
			j.opts.Logger.Warn("journal: cannot create the next segment; appends stop when the current one is full", "err", m.err)
		}
	}()
}

// collectMaker takes over what the maker has made, when it is done or wait is
// set.
func (j *Journal) collectMaker(wait bool) {
	m := j.maker
	if m == nil {
		return
	}
	if wait {
		close(m.urgent)
		<-m.done
	}
	select {
	case <-m.done:
		j.maker, j.next, j.nextErr = nil, m.file, m.err
		j.checkNextErr()
	default:
	}
}

// stopMaker ends the maker's work, and waits for that.
func (j *Journal) stopMaker() {
	if j.maker != nil {
		close(j.maker.stop)
		j.collectMaker(true)
	}
}
