package embedded

import "faquan/internal/benefit"

// Status is the state of a store, for metrics.
type Status struct {
	// Behind is how many issuances are not in the view yet, or the size of their records in KiB if that is more.
	// Commits wait at MaxBehind. BehindSince is the time of the first of them; 0 when the view is complete.
	Behind, MaxBehind int
	BehindSince       benefit.Instant
	Stuck             bool // the view, or its file behind the write-ahead log, could not be written when that was last tried
	Short             bool // see journal.Journal.Short
}

// Status returns the state of the store. It is safe for concurrent use, also beside Close.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := Status{
		MaxBehind: s.o.MaxOverlay, Stuck: s.stuck != nil || s.inWAL, Short: s.journal.Short(),
		Behind: s.active.weight(), BehindSince: s.active.began,
	}
	if s.behind != nil { //guard:TestStatus
		at.Behind, at.BehindSince = at.Behind+s.behind.weight(), s.behind.began
	}
	return at
}
