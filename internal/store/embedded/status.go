package embedded

import "faquan/internal/benefit"

// Status is the state of a store, for metrics.
type Status struct {
	// Lag is how many issuances are not in the view yet, or the size of their records in KiB if that is more.
	// Commits wait at MaxLag. LagSince is the time of the first of them; 0 when the view is complete.
	Lag, MaxLag int
	LagSince    benefit.Instant
	Stuck       bool // the view, or its file behind the write-ahead log, could not be written when that was last tried
	LowOnSpace  bool // see journal.Journal.LowOnSpace
}

// Status returns the state of the store. It is safe for concurrent use, also beside Close.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := Status{
		MaxLag: s.o.MaxMemtable, Stuck: s.stuck != nil || s.viewInWAL, LowOnSpace: s.journal.LowOnSpace(),
		Lag: s.active.weight(), LagSince: s.active.began,
	}
	if s.flushing != nil { //guard:TestStatus
		at.Lag, at.LagSince = at.Lag+s.flushing.weight(), s.flushing.began
	}
	return at
}
