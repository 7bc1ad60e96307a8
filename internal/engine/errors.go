package engine

import (
	"errors"
	"slices"
)

// Why a request has no outcome. With each of them but ErrUnknown and ErrChangeUnknown, this attempt certainly issued
// and changed nothing.
var (
	ErrBusy          = errors.New("busy, retry: the queue is full") // too many requests wait; try again later
	ErrStopping      = errors.New("busy, retry: stopping")          // the process takes no more requests
	ErrGaveUp        = errors.New("the caller gave up before the request was in a batch")
	ErrNotIssued     = errors.New("busy, retry: the batch was not committed") // try again later
	ErrInvalid       = errors.New("invalid request")                          // to the core; the gateway that built it is wrong
	ErrChangeUnknown = errors.New("it is not known whether the change was made")
	// ErrUnknown is returned when it is not known whether something was issued. A retry with the same key is safe and
	// settles it.
	ErrUnknown = errors.New("the outcome is unknown: retry with the same key")
)

// NothingIssued reports whether an error of Issue says for sure that this request issued nothing. An earlier request with
// the same key may have. Any other error leaves the outcome unknown.
func NothingIssued(err error) bool {
	sure := []error{ErrBusy, ErrStopping, ErrNotIssued, ErrGaveUp, ErrInvalid}
	return slices.ContainsFunc(sure, func(one error) bool { return errors.Is(err, one) })
}
