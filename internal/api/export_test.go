package api

import (
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
)

// HasProblem reports whether a reason of the core has a status and a title of its own.
func HasProblem(r benefit.Reason) bool {
	_, ok := problems[of(r)]
	return ok
}

// Operations returns the name, the method and the path of each operation.
func Operations() (all []string) {
	for _, r := range routes {
		all = append(all, r.name+" "+r.method+" "+Root+r.path)
	}
	return all
}

// SetStreamTimes sets how often clients of streams hear something, and how long they may take to receive.
func (h *Handler) SetStreamTimes(beat, write time.Duration) { h.streamTimes = streamTimes{beat, write} }

// MaxStreamsOfApp is how many streams of events an app may have.
const MaxStreamsOfApp = maxStreamsOfApp

// SetStreamWait sets how long a stream waits for room. There must be none.
func (h *Handler) SetStreamWait(wait time.Duration) {
	h.streams = gateway.NewReaders(maxStreams, maxStreamsOfApp, wait)
}
