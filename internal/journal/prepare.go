package journal

import (
	"errors"
	"time"

	"faquan/internal/vfs"
)

// LowOnSpace reports whether the last attempt to make the next segment failed. Then appends stop when the current one is
// full, unless that attempt succeeds. It is safe for concurrent use.
func (j *Journal) LowOnSpace() bool { return j.lowOnSpace.Load() }

// Prepare makes the next segment now, unless it is made. It is for owners without Background, who call it when there is
// time; Append calls it when there is no room left. An error other than a *FailedError may be tried again.
func (j *Journal) Prepare() error {
	if err := j.usable(); err != nil {
		return err
	}
	j.collectMaker()
	if j.next == nil && j.failed == nil {
		var err error
		j.next, err = j.makeSegment(j.seg.segment+1, nil, immediately)
		return j.made(err)
	}
	return j.usable()
}

func immediately(int64) error { return nil }

// made latches when the attempt to make a segment left the directory in an unknown state. Otherwise it returns err.
func (j *Journal) made(err error) error {
	var lost dirSyncError
	if errors.As(err, &lost) {
		return j.fail(err)
	}
	return err
}

// maker makes the next segment in a goroutine of its own.
type maker struct {
	j      *Journal
	urgent chan struct{} // closed: the journal waits
	stop   chan struct{} // closed: give up
	done   chan struct{} // closed: file and err are set

	file vfs.File
	err  error
}

// fillPause is the pause after each fillBytes while there is no hurry.
const fillPause = 20 * time.Millisecond

var errStopped = errors.New("stopped")

// pace holds the work back as long as it is a quarter of a segment ahead of the appends, so that the disk is theirs.
func (m *maker) pace(done int64) error {
	select {
	case <-m.stop:
		return errStopped
	case <-m.urgent:
		return nil
	default:
	}
	if done == 0 || done < m.j.filled.Load()+m.j.opts.SegmentBytes/4 {
		return nil
	}
	select {
	case <-m.stop:
		return errStopped
	case <-m.urgent:
	case <-time.After(fillPause):
	}
	return nil
}

// startMaker begins to make the next segment, if that is wanted and not done.
func (j *Journal) startMaker() {
	if !j.opts.Background || j.next != nil {
		return
	}
	m := &maker{j: j, urgent: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{})}
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

// collectMaker waits for the maker and takes over what it has made.
func (j *Journal) collectMaker() {
	m := j.maker
	if m == nil {
		return
	}
	close(m.urgent)
	<-m.done
	j.maker, j.next = nil, m.file
	_ = j.made(m.err) // any other error ends with the next attempt
}

// stopMaker ends the maker's work, and waits for that.
func (j *Journal) stopMaker() {
	if j.maker != nil {
		close(j.maker.stop)
		j.collectMaker()
	}
}
