// Package sim runs the real core on the real store against everything that can go wrong, from one seed.
//
//	clients ─▶ engine.Engine ─▶ embedded.Store ─▶ journal on a disk in memory (package faultfs)
//	   ▲            (Step)          (Flush)     └▶ SQLite view in a directory
//	   └── retries, lost answers, changes of the catalogue, a clock that jumps, crashes
//
// One goroutine does it all and one random source decides what happens next, so a seed is a history: two runs of
// it take the same steps, meet the same faults and give the same answers. Everything that happens is a line of a
// trace, and the hash of the trace is compared.
//
// What is checked, after every batch and every start:
//
//   - Each answer is judged by package oracle, which decides a second time and knows nothing of package benefit's
//     decisions: nothing above a cap or a limit, nothing refused while there is room, of two reasons the right one, one
//     outcome for each key while it is bound, the guard and the box task of the day, what a scene should choose. The
//     explanation of a choice must tell the same, at once and at any later time.
//   - Nothing is lost and nothing is made: of each template what was issued is what is left, redeemed and void, and what is
//     counted, in vouchers and in fen.
//   - What was frozen under a key never changes. No two vouchers have the same code, and each code leads to its own.
//   - What the store loads for a decision is what a plain store holds that got the same commits.
//   - After every start, however the process ended and whatever became of the view, the store holds what was
//     acknowledged and nothing else, except that a commit of unknown outcome is there whole or not at all.
//   - A caller who was told "not issued" was told the truth, and "unknown" is told to exactly those whose outcome
//     went with the commit.
//   - A consumer of the feed that reads on where it was, or again from an older place, gets what was committed, once each and
//     nothing else, in an order in which what happened to a voucher comes after its issue and after what had happened before.
//     Its places stay good across every crash. (Seeds from [FirstWithFollower] on.) On a database the sequencer runs now and
//     then, and may lose its commit.
//   - In the end every question that was left open is asked again, and gets an answer that fits.
//
// The seeds from [FirstWithCommands] on ask for the commands of [oracle.Generators], too, in the same batches. In those from
// [FirstWithDisabledApps] on, apps are disabled and enabled among the other changes.
//
// To repeat a failing seed with its trace: make sim SEED=17.
//
// # On a database
//
// The same world, checks and oracle run on PostgreSQL, too, with one, two or four processes:
//
//	clients ─▶ engine.Engine ─▶ postgres.Store ─▶ a proxy of its own (package cutproxy) ─┐
//	   ▲       engine.Engine ─▶ postgres.Store ─▶ a proxy of its own ────────────────────┴▶ PostgreSQL
//	   └── retries here or there, lost answers, changes, a clock that jumps, processes and a server that are killed
//
// What goes wrong is chosen by the seed, at one of four points of a batch: connections are cut, the process dies, the
// server is killed, the commit never arrives, or its answer does not. Another process takes a whole batch through while
// one has read its keys and recipients, with the same callers perhaps. After each fault the store holds what was
// acknowledged, and of the commit of unknown outcome what the fault says; the callers ask again, and in the end the
// database is audited.
//
// One goroutine does all this as well, so processes come between each other only where the other one has locked
// nothing: the server never has to choose who waits, and a seed is a history here, too. What comes of batches that wait
// for each other, in whatever order the server lets them go on, is for the tests of package postgres that race.
//
// To repeat a failing seed with its trace: make sim-database SEED=17.
package sim
