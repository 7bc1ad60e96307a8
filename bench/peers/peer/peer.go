// Package peer holds what the alternatives to faquan have in common: what a peer can do, the load that all of them
// are put under, and the check of what they did.
//
// A [Peer] issues vouchers in its own way. [Measure] gives it the templates of a [Workload], probes it where it
// could go wrong (little stock, a user's limit, a key sent twice at once), loads it in a closed loop, and then
// counts every voucher that it keeps. The [Result] has the speed, and every fault that was found: a fast peer that
// issues too much is said to be wrong.
//
// The rules of an issue are the same for every peer, and fewer than faquan's: a key issues once; no template gives
// more than its stock; no user receives more of a template than its limit.
package peer

import (
	"context"
	"time"
)

// Request asks for one voucher of a template for a user. Who sends the same key again gets the first answer.
type Request struct {
	Key      string
	Template int64
	User     int64
}

// Answer is what became of a request.
type Answer int

// The answers. A refusal binds nothing: the same key may be asked again.
const (
	Issued     Answer = iota // now
	Repeated                 // before, under the same key
	OutOfStock               // refused
	OverLimit                // refused: the user has as many as the template allows
)

func (a Answer) String() string {
	return [...]string{"issued", "repeated", "out of stock", "over the limit"}[a]
}

// Template is what a peer needs to know of a template.
type Template struct {
	ID      int64
	Stock   int64 // vouchers in all
	PerUser int64 // vouchers for one user
}

// Voucher is what a peer keeps of an issue.
type Voucher struct {
	Key      string
	Template int64
	User     int64
}

// About describes what a peer is.
type About struct {
	Name       string            // stable, for programs
	How        string            // in a few words, for people
	Synced     bool              // an issue is on disk before it is answered
	Durability string            // what a power cut may take
	Settings   map[string]string // what else the figures depend on
}

// Peer is one way to issue vouchers. Issue is for any number of goroutines; the rest is for one.
type Peer interface {
	// About reads what matters for durability back from the server.
	About(ctx context.Context) (About, error)
	// Offer makes templates that can be issued from then on. It is called once, before everything else.
	Offer(ctx context.Context, templates []Template) error
	// Issue decides one request. It returns an error only when it is unknown whether the voucher was issued.
	Issue(ctx context.Context, r Request) (Answer, error)
	// Vouchers calls each with every voucher that is kept.
	Vouchers(ctx context.Context, each func(Voucher) error) error
	// Counted returns how many vouchers of each template the peer's own counters say it has issued.
	Counted(ctx context.Context) (map[int64]int64, error)
	// ServerCPU returns what the server has used of the processors so far; false where that cannot be seen.
	ServerCPU() (time.Duration, bool)
	// Close takes away all that the peer has made.
	Close() error
}
