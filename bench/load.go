package main

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// loader puts finished requests on servers, over connections that it opens for each measurement.
type loader struct {
	disk   string // where the store lies, for the bytes written; empty: not known
	width  int    // connections
	server int    // the process that is measured, whose CPU counts beside that of this one
}

// each runs fn so many times at once and waits.
func each(n int, fn func(k int)) {
	var all sync.WaitGroup
	for k := range n {
		all.Go(func() { fn(k) })
	}
	all.Wait()
}

// connections opens the connections, and when all are open calls fn with each.
func (l *loader) connections(address string, fn func(*rawConn) error) error {
	conns, errs := make([]*rawConn, l.width), make([]error, l.width)
	each(l.width, func(k int) { conns[k], errs[k] = dialRaw(address) })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	each(l.width, func(k int) { errs[k] = errors.Join(fn(conns[k]), conns[k].conn.Close()) })
	return errors.Join(errs...)
}

// spin sends the requests again and again for so many seconds and returns the answers per second. Each answer must
// hold the text want.
func (l *loader) spin(address string, requests [][]byte, seconds float64, want []byte) (float64, error) {
	began := time.Now()
	until := began.Add(time.Duration(seconds * float64(time.Second)))
	var next atomic.Int64
	var count atomic.Int64
	err := l.connections(address, func(c *rawConn) error {
		for time.Now().Before(until) {
			answer, err := c.do(requests[int(next.Add(1)-1)%len(requests)])
			if err != nil {
				return err
			}
			if !bytes.Contains(answer, want) {
				return fmt.Errorf("the answer has no %q: %s", want, answer)
			}
			count.Add(1)
		}
		return nil
	})
	return float64(count.Load()) / time.Since(began).Seconds(), err
}

// closed sends all requests as fast as answers come.
func (l *loader) closed(address string, requests [][]byte) (Figures, [][]byte, error) {
	return l.load(address, requests, func(int64) time.Time { return time.Now() })
}

// openLoop sends at a fixed rate, whether answers come or not: a request that has to wait for a connection has
// waited since the moment when it should have been sent. The schedule begins when the connections are open.
func (l *loader) openLoop(address string, requests [][]byte, rate float64) (Figures, [][]byte, error) {
	start := sync.OnceValue(time.Now)
	return l.load(address, requests, func(k int64) time.Time { return waitDue(start(), k, rate) })
}

// waitDue waits until the k-th of so many calls a second is due, and returns when that was.
func waitDue(start time.Time, k int64, rate float64) time.Time {
	due := start.Add(time.Duration(float64(k) / rate * float64(time.Second)))
	time.Sleep(time.Until(due))
	return due
}

// load sends all requests over the connections. wait returns when the k-th may be sent, with the moment from which
// its latency counts.
func (l *loader) load(address string, requests [][]byte, wait func(k int64) time.Time) (Figures, [][]byte, error) {
	var latency histogram
	var next atomic.Int64
	answers := make([][]byte, len(requests))
	m := newMeter(l.disk, l.server)
	from := m.read()
	err := l.connections(address, func(c *rawConn) (err error) {
		for k := next.Add(1) - 1; k < int64(len(requests)) && err == nil; k = next.Add(1) - 1 {
			due := wait(k)
			answers[k], err = c.do(requests[k])
			latency.Add(time.Since(due))
		}
		return err
	})
	return figures(from, m.read(), int64(len(requests)), &latency), answers, err
}
