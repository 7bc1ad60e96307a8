package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// TopOptions say what `faquan bench http --protocol top` runs against: three servers on this machine that differ in
// what is behind them and in nothing else.
type TopOptions struct {
	Empty   string // host:port of a handler that does nothing and answers the bytes of an issue
	Fixed   string // of the gateway on an issuer that issues nothing and always gives the same outcome
	Gateway string // of the gateway on the real issuer
	Path    string // of the gateway

	Issue   func(n int) string // the signed form of the n-th call that issues
	SoldOut func(n int) string // the same for an item whose template is sold out
	// Issued and Refused stand in each answer to the two.
	Issued, Refused string

	Store       string // what it issues on, to show
	Dir         string // where the store lies, for the bytes written; empty when that is not known
	Connections int
	Rounds      int
	Seconds     float64 // of each measurement
	Out         io.Writer
}

// topRound are the answers per second of one round.
type topRound struct {
	empty, fixed, soldOut float64
	full, open            Figures
}

// RunTop measures, round by round: the empty handler, the gateway without issuing, refusals because of the stock,
// full issues as fast as they go, and full issues at 70 % of that rate.
func RunTop(o TopOptions) error {
	fmt.Fprintf(o.Out, "TOP gateway, hmac-sha256, %d connections, %d CPUs shared with the load, sync before every issue is answered\non %s\n", o.Connections, runtime.NumCPU(), o.Store)
	b := &topBench{TopOptions: o, loader: loader{o.Dir, o.Connections}}
	var full, fixed, soldOut, p99, rate []float64
	if err := b.warm(); err != nil {
		return err
	}
	for k := range o.Rounds {
		r, err := b.round()
		if err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "\nround %d\n  empty handler   %8.0f /s\n  without issuing %8.0f /s   %.2f of the empty handler\n  sold out        %8.0f /s   %.2f\n  issues          %s   %.2f\n  open loop       %s\n",
			k+1, r.empty, r.fixed, r.fixed/r.empty, r.soldOut, r.soldOut/r.empty, r.full, r.full.PerSecond/r.empty, r.open)
		rate, full, p99 = append(rate, r.full.PerSecond), append(full, r.full.PerSecond/r.empty), append(p99, r.open.P99Millis)
		fixed, soldOut = append(fixed, r.fixed/r.empty), append(soldOut, r.soldOut/r.empty)
	}
	fmt.Fprintf(o.Out, "\nmedian %.0f issues/s; of the empty handler: issues %.2f, sold out %.2f, without issuing %.2f; p99 at 70 %% load %.2f ms; %d answers checked\n",
		median(rate), median(full), median(soldOut), median(fixed), median(p99), b.checked)
	return nil
}

type topBench struct {
	TopOptions
	loader
	next    int     // the next key
	rate    float64 // the issues per second of the last round
	checked int
}

// topRing is how many calls that issue nothing go round.
const topRing = 20_000

// warm makes every session known to both gateways: what a first call of a session costs is the store's.
func (b *topBench) warm() error {
	_, _, err := b.closed(b.Fixed, b.forms(b.Fixed, b.Issue, 0, topRing))
	if err == nil {
		_, _, err = b.closed(b.Gateway, b.forms(b.Gateway, b.SoldOut, 0, topRing))
	}
	return err
}

func (b *topBench) round() (r topRound, err error) {
	idle := b.forms(b.Fixed, b.Issue, 0, topRing) // no key of these meets the real issuer as a new one
	if r.empty, err = b.spin(b.Empty, idle, b.Seconds, nil); err != nil {
		return r, err
	}
	if r.fixed, err = b.spin(b.Fixed, idle, b.Seconds, []byte(b.Issued)); err != nil {
		return r, err
	}
	soldOut := b.forms(b.Gateway, b.SoldOut, 0, topRing)
	if r.soldOut, err = b.spin(b.Gateway, soldOut, b.Seconds, []byte(b.Refused)); err != nil {
		return r, err
	}
	if b.rate == 0 {
		b.rate = r.soldOut / 2
	}
	if r.full, err = b.issued(b.closed(b.Gateway, b.issues(b.rate*b.Seconds))); err != nil {
		return r, err
	}
	b.rate = r.full.PerSecond
	r.open, err = b.issued(b.openLoop(b.Gateway, b.issues(0.7*b.rate*b.Seconds), 0.7*b.rate))
	return r, err
}

// issues signs about n calls beforehand, each with a key of its own.
func (b *topBench) issues(n float64) [][]byte {
	first, count := b.next+topRing, max(int(n), 1)
	b.next += count
	return b.forms(b.Gateway, b.Issue, first, count)
}

func (b *topBench) forms(address string, form func(n int) string, first, count int) [][]byte {
	all := make([][]byte, count)
	workers := runtime.NumCPU()
	each(workers, func(c int) {
		for k := c; k < count; k += workers {
			all[k] = postForm(address, b.Path, form(first+k))
		}
	})
	return all
}

// issued checks that every answer of a load is a success.
func (b *topBench) issued(f Figures, answers [][]byte, err error) (Figures, error) {
	if err != nil {
		return f, err
	}
	for _, answer := range answers {
		if !bytes.Contains(answer, []byte(b.Issued)) {
			return f, errors.New("not issued: " + string(answer))
		}
	}
	b.checked += len(answers)
	return f, nil
}
