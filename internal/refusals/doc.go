// Package refusals keeps the calls that issued nothing in files, so that "why did I get nothing?" has an answer after a
// restart too. The store has nothing of these calls.
//
// An Archive follows the gateways' memory of refusals. A goroutine of its own writes what is new, at most a twentieth of a
// second later, so no answer waits for the disk:
//
//	recent := gateway.NewRefusals()          // the gateways note their calls in it
//	archive := refusals.Open(refusals.Options{Dir: "data/refusals", Keep: 256 << 20, Recent: recent, …})
//	found, err := archive.Find(match, 100)   // newest first: from memory, then from the files
//	archive.Close()
//
// The files are bounded: when a new segment would exceed the bound, the oldest ones are removed. They are not synced. When
// they cannot be written, for example on a full disk, refusals are kept in memory only, and writing is tried again later.
//
// Processes on a database may share a directory. Each has a directory of its own in it, with a lock: the first of 1, 2, 3 …
// that is free. Ended returns those of processes that have ended.
package refusals
