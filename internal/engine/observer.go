package engine

import "time"

// Observer receives events about batches, for metrics. Committers call it concurrently, and never once per voucher.
type Observer interface {
	// Now returns the time since some moment, by a clock that is never set.
	Now() time.Duration
	// Batch is called when a batch was taken from the queue, with how long each of its requests had waited there.
	Batch(waited []time.Duration)
	// Step is called when a batch, or a part of one, is through a step.
	Step(step Step, took time.Duration)
	// Issued is called when vouchers were issued and are durable.
	Issued(vouchers int64)
	// Conflict is called when a batch must be decided again because another process was first.
	Conflict()
	// Failed is called when requests of a batch get no outcome because of a step.
	Failed(step Step)
}

// Step is one of the steps of a batch.
type Step uint8

// The steps of a batch, in order.
const (
	Load   Step = iota // begin on the store, and load what deciding needs
	Decide             // in the core
	Commit             // on the store, until it is durable
)

// Steps lists every step.
func Steps() []Step { return []Step{Load, Decide, Commit} }

func (s Step) String() string { return [...]string{"load", "decide", "commit"}[s] }

// Unobserved is an Observer that observes nothing. It reads no clock.
type Unobserved struct{}

func (Unobserved) Now() time.Duration       { return 0 }
func (Unobserved) Batch([]time.Duration)    {}
func (Unobserved) Step(Step, time.Duration) {}
func (Unobserved) Issued(int64)             {}
func (Unobserved) Conflict()                {}
func (Unobserved) Failed(Step)              {}
