package engine

import (
	"errors"
	"slices"
)

// Why a request has no outcome. With each of them but ErrUnknown and ErrChangeUnknown, this attempt certainly issued
// and changed nothing.
var (
	// ErrBusy is returned when too many requests wait. Try again later.
	ErrBusy = errors.New("busy, retry: the queue is full")
	// ErrStopping is returned when the process is about to stop and takes no more requests.
	ErrStopping = errors.New("busy, retry: stopping")
	// ErrGaveUp is returned when the caller's context ended before the request was in a batch.
	ErrGaveUp = errors.New("the caller gave up before the request was in a batch")
	// ErrNotIssued is returned when the batch was certainly not committed. Try again later.
	ErrNotIssued = errors.New("busy, retry: the batch was not committed")
	// ErrInvalid is returned for a request that the core does not accept. It is a defect of the gateway that built it.
	ErrInvalid = errors.New("invalid request")
	// ErrChangeUnknown is returned when it is not known whether a change of the catalogue was made.
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
