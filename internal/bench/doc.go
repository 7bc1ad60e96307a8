// Package bench measures faquan against the alternatives that a team would write instead, in the same run.
//
// A figure without its alternative says little on a shared machine, so every round measures all of them one after
// the other, and ratios are taken within a round. What is measured is the real thing: the engine benchmark goes
// through the issuing core and a store with a sync before every answer; the HTTP benchmark goes through the gateway
// with real signatures.
//
// On the embedded store ([RunEngine]) the alternatives are a bare journal and direct SQLite. On PostgreSQL
// ([RunPostgres]) they are the programs of bench/peers, and faquan runs in one or several processes: the benchmark
// starts itself as its workers ([RunWorker]), which make their shares of the same asks.
package bench
