package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/gateway/alipay/wire"
)

var crashRounds = flag.Int("crash.rounds", 6, "how often TestCrash and its like kill the program; each way of a kill once with -short")

// killRounds returns how many rounds a crash test has: crash.rounds, or with -short so many that each way of a kill comes
// once.
func killRounds(ways int) int {
	if testing.Short() {
		return min(*crashRounds, ways)
	}
	return *crashRounds
}

const (
	crashClients = 32
	crashUsers   = 120
	crashLimit   = 3 // vouchers of "limited" for each user
)

// crashStock is how many vouchers the templates of the crash test have; the others have no end.
var crashStock = map[string]int{"tight": 150, "limited": crashUsers * crashLimit, "budget": 200}

const crashTemplates = `
  - {name: tight, merchant: acme, kind: EXCHANGE, template_id: tight, valid: {days: 1}, stock: {count: 150}}
  - {name: limited, merchant: acme, kind: EXCHANGE, template_id: limited, valid: {days: 1}, limits: {per_user: 3}}
  - {name: budget, merchant: acme, kind: CASH, template_id: budget, amount: {fixed: "2.50"}, valid: {days: 1}, stock: {amount: "500.00"}}
  - {name: open, merchant: acme, kind: EXCHANGE, template_id: open, valid: {days: 1}}
`

// TestCrash kills the real program under load, again and again, and holds it to what it answered:
//
//   - a voucher that a caller has seen is the answer to that call for ever;
//   - a call whose answer was lost is settled by its retry, and issued once at most;
//   - stock, budget and limits are reached exactly: never exceeded, and never lost to a crash;
//   - the audit finds nothing.
func TestCrash(t *testing.T) {
	t.Parallel()
	w := newCrashWorld(t, testDocument(crashTemplates))
	for round := range killRounds(1) {
		p := w.start()
		w.settle()
		w.load(p, time.Duration(200+w.draws.IntN(1300))*time.Millisecond)
		if w.draws.IntN(3) == 0 { // a crash while it recovers from the crash
			w.startAndKill(time.Duration(w.draws.IntN(60)) * time.Millisecond)
		}
		t.Logf("round %d: %d calls, %d vouchers, %d unknown after the kill", round+1, len(w.calls), len(w.vouchers()), len(w.unknown()))
	}
	p := w.start()
	w.settle()
	w.askAgain()
	w.drain()
	w.check()
	p.stop()
	w.audit()
}

// crashCall is one call under its key, and the last that is known of it.
type crashCall struct {
	send    voucherSend
	voucher string // of the first success
	unknown bool   // the last attempt had no answer
	refused string // sub_code of the last answer
	silence string // why the last attempt had no answer
}

// crashWorld is a data directory, the program that serves it at times, and what its callers remember.
type crashWorld struct {
	t     *testing.T
	dir   string
	draws *mathrand.Rand
	app   caller

	// several are the callers of several processes, which take turns; nil: app alone.
	several []*caller

	mu    sync.Mutex
	calls []*crashCall
}

func newCrashWorld(t *testing.T, doc *control.Document) *crashWorld {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 1024) // weak and quick: the load should come from the server
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(&key.PublicKey)})
	for name, text := range map[string][]byte{"catalog.yaml": doc.Text, "app.pem": public} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &crashWorld{t: t, dir: dir, draws: mathrand.New(mathrand.NewPCG(seed, 0)),
		app: caller{appID: testAppID, key: key, signType: wire.RSA2, charset: wire.UTF8}}
}

func (w *crashWorld) data() string { return filepath.Join(w.dir, "data") }

// crashProcess is the program, serving.
type crashProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	err bytes.Buffer
}

func (w *crashWorld) launch(flags ...string) *crashProcess {
	w.t.Helper()
	p := &crashProcess{t: w.t}
	p.cmd = exec.Command("faquan", append([]string{"serve", "--data", w.data(), "--listen", "127.0.0.1:0",
		"--apply", filepath.Join(w.dir, "catalog.yaml"), "--log-level", "warn"}, flags...)...)
	p.cmd.Stderr, p.cmd.Env = &p.err, bareEnviron()
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	return p
}

// bareEnviron returns the environment without settings of faquan. A process stops without waiting.
func bareEnviron() []string {
	environ := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, config.EnvPrefix) })
	return append(environ, config.EnvPrefix+"SHUTDOWN_DRAIN=0s")
}

// start launches the program and waits until it serves.
func (w *crashWorld) start(flags ...string) *crashProcess {
	w.t.Helper()
	p := w.launch(flags...)
	s := w.waitFor(p)
	c, err := control.Dial(w.data())
	if err != nil {
		w.t.Fatal(err)
	}
	key := w.app.key
	w.app = *testCaller(w.t, c, s.URL)
	w.app.key = key
	return p
}

// waitFor waits until the process serves the directory.
func (w *crashWorld) waitFor(p *crashProcess) control.Status {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		c, err := control.Dial(w.data())
		if err != nil {
			continue
		}
		if s, err := c.Status(context.Background()); err == nil && s.PID == p.cmd.Process.Pid {
			return s
		}
	}
	w.t.Fatalf("it does not start: %s", p.err.String())
	return control.Status{}
}

// kill is kill -9.
func (p *crashProcess) kill() {
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Wait()
}

// stop is a stop in good order.
func (p *crashProcess) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it stopped with %v: %s", err, p.err.String())
	}
}

func (w *crashWorld) startAndKill(after time.Duration) {
	p := w.launch()
	time.Sleep(after)
	p.kill()
}

// load lets all clients call, kills the process after a while, and returns when every client has noticed.
func (w *crashWorld) load(p *crashProcess, after time.Duration) {
	var clients sync.WaitGroup
	for i := range crashClients {
		draws := mathrand.New(mathrand.NewPCG(w.draws.Uint64(), uint64(i)))
		clients.Go(func() {
			for w.attempt(w.pick(draws)) {
			}
		})
	}
	time.Sleep(after)
	p.kill()
	clients.Wait()
}

// pick makes a new call, or now and then takes an old one.
func (w *crashWorld) pick(draws *mathrand.Rand) *crashCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.calls) > 0 && draws.IntN(10) == 0 {
		return w.calls[draws.IntN(len(w.calls))]
	}
	return w.newCall([]string{"tight", "limited", "budget", "open"}[draws.IntN(4)], draws.IntN(crashUsers))
}

// newCall needs the lock.
func (w *crashWorld) newCall(template string, user int) *crashCall {
	c := &crashCall{send: voucherSend{
		TemplateID: template, UserID: fmt.Sprintf("2088%012d", user), OutBizNo: fmt.Sprintf("call-%d", len(w.calls)),
	}}
	w.calls = append(w.calls, c)
	return c
}

// attempt makes a call and compares the answer with all that were given before.
func (w *crashWorld) attempt(c *crashCall) (answered bool) { return w.attemptBy(&w.app, c) }

func (w *crashWorld) attemptBy(app *caller, c *crashCall) (answered bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	e, err := app.send(ctx, &c.send)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil || e.answer.Code == "20000" || e.answer.SubCode == "SYSTEM_ERROR":
		c.unknown, c.silence = true, fmt.Sprint(err)
		if err == nil {
			c.silence = e.raw
		}
		return false
	case !e.answer.OK():
		if c.voucher != "" {
			w.t.Errorf("%s got voucher %s first, and now %s", c.send.OutBizNo, c.voucher, e.answer.SubCode)
		}
		c.unknown, c.refused = false, e.answer.SubCode
	case c.voucher != "" && c.voucher != e.voucherID():
		w.t.Errorf("%s got voucher %s first, and now %s", c.send.OutBizNo, c.voucher, e.voucherID())
	default:
		c.unknown, c.voucher = false, e.voucherID()
	}
	return true
}

func (w *crashWorld) unknown() []*crashCall {
	return slices.DeleteFunc(slices.Clone(w.calls), func(c *crashCall) bool { return !c.unknown })
}

// settle retries every call that had no answer. Now each must have one.
func (w *crashWorld) settle() { w.all(w.unknown()) }

// askAgain repeats every call that got a voucher: the answers must be the same.
func (w *crashWorld) askAgain() {
	w.all(slices.DeleteFunc(slices.Clone(w.calls), func(c *crashCall) bool { return c.voucher == "" }))
}

func (w *crashWorld) all(calls []*crashCall) {
	w.t.Helper()
	work := make(chan *crashCall)
	var clients sync.WaitGroup
	for k := range crashClients {
		app := &w.app
		if len(w.several) > 0 {
			app = w.several[k%len(w.several)]
		}
		clients.Go(func() {
			for c := range work {
				if !w.attemptBy(app, c) {
					w.t.Errorf("%s still has no answer: %s", c.send.OutBizNo, c.silence)
				}
			}
		})
	}
	for _, c := range calls {
		work <- c
	}
	close(work)
	clients.Wait()
}

// drain asks for vouchers until there are none left, so that what the crashes may have lost would be missing.
func (w *crashWorld) drain() {
	var rest []*crashCall
	for range crashStock["tight"] - w.issued("tight") + 5 {
		rest = append(rest, w.newCall("tight", w.draws.IntN(crashUsers)))
	}
	for range crashStock["budget"] - w.issued("budget") + 5 {
		rest = append(rest, w.newCall("budget", w.draws.IntN(crashUsers)))
	}
	for user := range crashUsers {
		for range crashLimit + 1 {
			rest = append(rest, w.newCall("limited", user))
		}
	}
	w.all(rest)
}

func (w *crashWorld) issued(template string) int {
	n := 0
	for _, c := range w.calls {
		if c.send.TemplateID == template && c.voucher != "" {
			n++
		}
	}
	return n
}

func (w *crashWorld) vouchers() map[string]*crashCall {
	all := map[string]*crashCall{}
	for _, c := range w.calls {
		if c.voucher != "" {
			all[c.voucher] = c
		}
	}
	return all
}

// check holds what the callers saw to the rules.
func (w *crashWorld) check() {
	for template, want := range crashStock {
		if got := w.issued(template); got != want {
			w.t.Errorf("%s: %d vouchers were issued, its rules allow exactly %d", template, got, want)
		}
	}
	owners := map[string]*crashCall{}
	users := map[string]int{}
	for _, c := range w.calls {
		if c.voucher == "" {
			continue
		}
		if other := owners[c.voucher]; other != nil {
			w.t.Errorf("%s and %s got the same voucher", other.send.OutBizNo, c.send.OutBizNo)
		}
		owners[c.voucher] = c
		if c.send.TemplateID == "limited" {
			if users[c.send.UserID]++; users[c.send.UserID] > crashLimit {
				w.t.Errorf("user %s has %d vouchers of a limit of %d", c.send.UserID, users[c.send.UserID], crashLimit)
			}
		}
	}
}

// audit lets the program itself count the store, all of it.
func (w *crashWorld) audit(more ...string) {
	out, err := exec.Command("faquan", append([]string{"audit", "--data", w.data(), "--lookup-every", "1"}, more...)...).CombinedOutput()
	if err != nil {
		w.t.Errorf("audit: %v\n%s", err, out)
	}
	want := fmt.Sprintf("checked %d vouchers of %d issuances", len(w.vouchers()), len(w.vouchers()))
	if !strings.Contains(string(out), want) {
		w.t.Errorf("the callers have %d vouchers; the audit says\n%s", len(w.vouchers()), out)
	}
}
