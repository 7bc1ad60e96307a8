package bench

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"faquan/internal/gateway/alipay/wire"
)

// HTTPOptions say what `faquan bench http` runs against: a gateway and, on the same machine and with the same
// server in front, a handler that does nothing.
type HTTPOptions struct {
	Address string // of the gateway, host:port
	Empty   string // of the empty handler, host:port
	AppID   string
	AppKey  *rsa.PrivateKey // signs the requests
	Gateway *rsa.PublicKey  // verifies the answers
	Signer  wire.Signer     // a signer like the gateway's, for the rate of signing alone

	Store       string // what it issues on, to show
	Dir         string // where the store lies, for the bytes written; empty when that is not known
	TemplateID  string
	Connections int
	Rounds      int
	Seconds     float64 // of each measurement
	Out         io.Writer
}

const sendMethod = "alipay.marketing.voucher.send"

// httpRound are the figures of one round.
type httpRound struct {
	signing float64 // signatures per second
	empty   float64 // answers per second of the empty handler
	full    Figures // issues, closed loop
	open    Figures // issues at 70 % of that, latencies from the intended send time
}

// RunHTTP measures, round by round: the machine's rate of signing alone, the empty handler, full issues as fast as
// they go (closed loop), and full issues at 70 % of that rate (open loop).
func RunHTTP(o HTTPOptions) error {
	fmt.Fprintf(o.Out, "Alipay gateway, RSA2 with 2048 bits, %d connections, %d CPUs shared with the load, sync before every answer\non %s\n", o.Connections, runtime.NumCPU(), o.Store)
	var all []httpRound
	b := &httpBench{HTTPOptions: o, loader: loader{o.Dir, o.Connections}}
	for k := range o.Rounds {
		r, err := b.round()
		if err != nil {
			return err
		}
		all = append(all, r)
		fmt.Fprintf(o.Out, "\nround %d\n  signing alone %8.0f /s\n  empty handler %8.0f /s\n  issues        %s   %.0f %% of signing alone\n  open loop     %s\n",
			k+1, r.signing, r.empty, r.full, 100*r.full.PerSecond/r.signing, r.open)
	}
	var rate, share, p99 []float64
	for _, r := range all {
		rate, share, p99 = append(rate, r.full.PerSecond), append(share, 100*r.full.PerSecond/r.signing), append(p99, r.open.P99Millis)
	}
	fmt.Fprintf(o.Out, "\nmedian %.0f issues/s, %.0f %% of what signing alone allows; p99 at 70 %% load %.2f ms; %d answers verified\n",
		median(rate), median(share), median(p99), b.verified)
	return nil
}

type httpBench struct {
	HTTPOptions
	loader
	next     int // the next key
	verified int
}

func (b *httpBench) round() (r httpRound, err error) {
	if r.signing, err = b.signing(); err != nil {
		return r, err
	}
	if r.empty, err = b.spin(b.Empty, [][]byte{postForm(b.Empty, "/gateway.do", "app_id=1")}, b.Seconds, nil); err != nil {
		return r, err
	}
	requests, err := b.requests(int(r.signing * b.Seconds))
	if err != nil {
		return r, err
	}
	if r.full, err = b.answered(b.closed(b.Address, requests)); err != nil {
		return r, err
	}
	rate := 0.7 * r.full.PerSecond
	if requests, err = b.requests(int(rate * b.Seconds)); err != nil {
		return r, err
	}
	r.open, err = b.answered(b.openLoop(b.Address, requests, rate))
	return r, err
}

// signing measures RSA signatures over a node of the usual size, on every CPU.
func (b *httpBench) signing() (float64, error) {
	node := []byte(`{"code":"10000","msg":"Success","voucher_id":"2026112200000757451037124534272","user_id":"2088302001456115"}`)
	until := time.Now().Add(time.Duration(b.Seconds * float64(time.Second)))
	var count atomic.Int64
	var failed atomic.Pointer[error]
	began := time.Now()
	each(runtime.NumCPU(), func(int) {
		for time.Now().Before(until) {
			if _, err := b.Signer.Sign(wire.RSA2, node); err != nil {
				failed.Store(&err)
				return
			}
			count.Add(1)
		}
	})
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(count.Load()) / time.Since(began).Seconds(), nil
}

// requests signs n requests beforehand, each with a key of its own.
func (b *httpBench) requests(n int) ([][]byte, error) {
	all := make([][]byte, n)
	errs := make([]error, runtime.NumCPU())
	first := b.next
	b.next += n
	each(len(errs), func(c int) {
		for k := c; k < n && errs[c] == nil; k += len(errs) {
			all[k], errs[c] = b.request(first + k)
		}
	})
	return all, errors.Join(errs...)
}

func (b *httpBench) request(n int) ([]byte, error) {
	form, err := wire.SignRequest(map[string]string{
		"app_id": b.AppID, "method": sendMethod, "charset": "utf-8", "version": "1.0", "format": "JSON",
		"timestamp": wire.FormatTimestamp(time.Now()),
		"biz_content": `{"template_id":"` + b.TemplateID + `","user_id":"` + strconv.Itoa(2088000000000000+n) +
			`","out_biz_no":"bench-` + strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.Itoa(n) + `","memo":"优酷3个月兑换券"}`,
	}, b.AppKey, wire.RSA2, wire.UTF8)
	return postForm(b.Address, "/gateway.do", form), err
}

// sampleEvery is how many answers there are to each one whose signature is verified.
const sampleEvery = 50

// answered checks the answers of a load.
func (b *httpBench) answered(f Figures, answers [][]byte, err error) (Figures, error) {
	return f, errors.Join(err, b.check(answers))
}

// check verifies a sample of what came back, once the clock has stopped.
func (b *httpBench) check(answers [][]byte) error {
	for k := 0; k < len(answers); k += sampleEvery {
		a, err := wire.VerifyAnswer(answers[k], wire.UTF8, sendMethod, b.Gateway, wire.RSA2)
		if err != nil {
			return fmt.Errorf("answer %s: %w", answers[k], err)
		}
		if a.Code != "10000" {
			return fmt.Errorf("answer %s: not issued", answers[k])
		}
		b.verified++
	}
	return nil
}
