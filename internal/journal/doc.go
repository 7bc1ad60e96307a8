// Package journal is an append-only log of records on one disk: what Append has returned survives a crash of the process,
// of the system, and of the power. It handles bytes and sequence numbers and knows nothing about benefits.
//
//	j, err := journal.Open(journal.Options{FS: vfs.OS, Dir: dir, Background: true},
//		func(r journal.Record) error { return state.apply(r.Kind, r.Payload) })
//	seq, err := j.Append(kindBatch, payload) // durable when err is nil
//	err = j.Close()
//
// A record is one commit: it is there whole or not at all. Records are numbered 1, 2, 3, … One goroutine appends; there
// is no queue and no batching in here.
//
// # What an error of Append means
//
//   - ErrNotWritten, ErrTooLarge: certainly not written, now or after any crash. The disk is full or the process has too
//     many files open, say. Later calls may succeed.
//   - *FailedError: the outcome is unknown. The disk refused a sync, and what it holds shows only at the next start.
//     Every later call returns the same error; the owner answers "unknown" to all waiting callers and stops the process.
//     The same when LOCK or the directory was deleted or replaced, which is looked at before each change of segments, or
//     when another process has the next segment locked.
//
// # What is on the disk
//
// The directory holds segments 00000001.seg, 00000002.seg, … of one fixed size, and LOCK, which keeps a second process
// out together with a lock on the directory itself. The current segment is locked, too, before anything is written to it:
// a copy of the directory made of hard links has the same files. Read, Follow and Verify need none of these locks.
//
//	| header | frame | frame | … | zeros                  | seal |
//	| header | frame | frame | clean stop | frame | zeros | zeros |
//	| zeros                                                       |   made ahead
//
// Everything starts at a multiple of Options.Align bytes.
//
//   - A segment is zero-filled, synced, renamed from a temporary name and the directory synced before its first use, the
//     next one while the current one fills. So an append is one write over blocks that exist, and one fdatasync that has
//     nothing but data to write.
//   - The header has the ids of journal and segment, its size, the first sequence and the chain hash before it. It is
//     written, and synced, when the segment comes into use.
//   - A frame is a record with its header: length, kind, segment, sequence, the offset up to which the segment was known
//     to be durable before the frame was written, the chain hash, and a CRC32C over all of it with its padding. The CRC
//     starts from the journal's random id, so that no payload can pass for a frame.
//   - The chain hash of a record is SHA-256 over its header (with the hash of the record before it in place of its own)
//     and its payload. The CRC makes the start fast, the chain is the proof that Verify follows.
//   - A clean stop is a frame without a record, written by Close. It proves that everything before it was complete.
//   - The seal, in the last block, closes a segment: last sequence, where the frames end, the chain hash. It is synced
//     before the next header is written.
//
// # Torn or damaged
//
// The end is the first block that is not a valid next frame; the sizes of files prove nothing. If that block is not zero, a
// crash has torn the last append, or something was damaged later. It is damage when anything proves that the block had
// been durable once: a later valid frame whose durable offset lies beyond it, a seal, a following segment, or
// Options.KnownDurable. Damage stops Open with a *DamageError. A torn tail was never acknowledged: Open overwrites it
// with zeros and syncs before it returns.
//
// One case cannot be told apart: damage to the very last frame after an unclean stop looks like a torn append.
// KnownDurable closes it as far as the owner's other files remember, and Verify as far as a head noted elsewhere does.
//
// Before Open replays anything it writes the last valid frame once more and syncs file and directory: it may have been in
// the page cache only, and a sync that failed in the process before this one may have left it marked as clean.
//
// # What is assumed of the disk
//
//   - A completed fdatasync is durable: the drive's cache is honest or has power of its own.
//   - A power cut leaves each 512-byte sector that was being written with old or new bytes or a mix of them, and no
//     others. With Align at 4096, a block that was synced is never written again (but for the last one, with the same
//     bytes, by Open), so drives with 4 KiB sectors that lose a sector in the middle of a write cannot take an
//     acknowledged record along.
//   - A file system whose directory sync failed reports it again, or stops, until it is mounted anew, as those with a
//     journal of their own do.
//   - On a copy-on-write file system the blocks of a segment are not really there ahead of time. Full disks are then met
//     in the write, which is refused or, where that cannot be guaranteed, a *FailedError.
package journal
