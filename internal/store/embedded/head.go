package embedded

import "faquan/internal/journal"

// Head returns the journal's last record and the chain hash that commits to it and to everything before. An operator
// who keeps it elsewhere can tell later that nothing was cut off. It belongs to the committer: ask before the first
// batch or after the last.
func (s *Store) Head() journal.Head { return s.journal.Head() }
