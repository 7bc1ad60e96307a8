// Package engine carries out commands, such as the issue of vouchers: it queues them, takes all that wait as one batch,
// loads what the batch needs, applies one command after the other, commits once, and only then answers.
//
//	Do ─▶ queue ─▶ batch ─▶ load ─▶ apply ─▶ commit ─▶ answer
//
// Batching is natural: one request alone goes at once, and under load batches grow by themselves, because
// requests gather while the commit before is on its way to the disk. A hot template is the fast case: its
// counters are loaded and written once a batch.
//
// Nothing here decides who gets what (package benefit does) or how rows are kept (package store does). What this
// package promises is about the way of a request:
//
//   - An answer is given only when it is durable.
//   - A request that is refused, rejected or given up before its batch has certainly issued nothing.
//   - When a commit fails, exactly the callers whose outcome is unknown hear that it is; a retry with the same
//     key settles it.
//   - One bad request never fails its batch. A batch that is too much for one commit is committed in parts.
//
// On a store that several processes share there may be several committers, each with a share of the recipients, and
// other processes beside them: a process that loses a conflict on a row decides its batch again, and each batch is
// decided by the catalogue that is in force in the store.
//
// The committer is a step function. Run loops over Step; a simulator calls Step itself, and the same seed gives
// the same history.
package engine
