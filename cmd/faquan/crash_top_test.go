package main

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"faquan/internal/control"
)

const (
	crashTOPUsers    = 40
	crashTOPBenefits = 1500 // of activity.send
	crashTOPRights   = 700  // of decisionsend
	crashTOPCodes    = 500  // of certificate.send
)

// crashTOPDocument returns the platform of TestCrashTOP: an item in a treasure box, a scene, and certificates.
func crashTOPDocument() *control.Document {
	var users, sessions strings.Builder
	for n := range crashTOPUsers {
		fmt.Fprintf(&users, "  - {name: u%d, ids: {ALIPAY: [\"2088%012d\"], OPEN_ID: [{app: shop, id: o%d}]}, attributes: {level: %d}}\n", n, n, n, n%3)
		fmt.Fprintf(&sessions, "  - {key: SESSION-%d, app: shop, merchant: acme, user: u%d}\n", n, n)
	}
	return &control.Document{Name: "catalog.yaml", Text: fmt.Appendf(nil, `
merchants:
  - {name: acme, title: 优酷旗舰店, seller_id: 77, recipients: open}
apps:
  - {name: shop, merchant: acme, app_id: "%s", public_key_file: app.pem, app_key: "123", app_secret: crash-secret}
users:
%ssessions:
%stemplates:
  - {name: benefit, merchant: acme, kind: EXCHANGE, biz_id: "b", valid: {days: 1}, stock: {count: %d}}
  - {name: right, merchant: acme, kind: EXCHANGE, right_id: 5, valid: {days: 1}, stock: {count: %d}}
  - {name: code, merchant: acme, kind: CERTIFICATE, out_id: 9, channels: [7], code: {digits: 8}, valid: {days: 1}, stock: {count: %d}}
activities:
  - {name: box, merchant: acme, relation_id: 1, guard: off, box: {cards: [game, beauty], done_after: 2, count: cards},
     items: [{detail_id: 2, template: benefit, benefit_type: 1, max_send_count: 5}]}
  - {name: members, merchant: acme, act_code: act, rule: 'user.level >= 1', items: [{template: right}]}
scenes:
  - {name: home, merchant: acme, scene_code: HOME, strategy: FIRST, activities: [members]}
`, testAppID, users.String(), sessions.String(), crashTOPBenefits, crashTOPRights, crashTOPCodes)}
}

// TestCrashTOP kills the real program while callers use the methods of TOP, and holds it to what it answered:
//
//   - a benefit or a right that a caller has seen is the answer to that call for ever, to the last letter;
//   - a call whose answer was lost is settled by its retry;
//   - the stock is issued exactly, and a certificate's code once only. A certificate call has no key and is not
//     retried, so each one whose answer was lost may have taken one;
//   - the audit finds nothing.
func TestCrashTOP(t *testing.T) {
	t.Parallel()
	w := &crashTOP{crashWorld: newCrashWorld(t, crashTOPDocument())}
	for round := range killRounds(1) {
		p := w.startTOP()
		w.settle()
		w.most += 350
		w.load(p, time.Duration(200+w.draws.IntN(1000))*time.Millisecond)
		t.Logf("round %d: %d calls, %d unknown after the kill", round+1, len(w.calls), len(w.unknown()))
	}
	p := w.startTOP()
	w.settle()
	w.askAgain()
	w.drain()
	w.check()
	p.stop()
	if out, err := exec.Command("faquan", "audit", "--data", w.data(), "--lookup-every", "1").CombinedOutput(); err != nil {
		t.Errorf("audit: %v\n%s", err, out)
	}
}

// crashTOP is a crashWorld whose callers speak TOP.
type crashTOP struct {
	*crashWorld
	top   topCaller
	calls []*crashTOPCall
	most  int // calls that there may be in this round, so that every round has something to issue
}

// crashTOPCall is one call, and the last that is known of it.
type crashTOPCall struct {
	method, session string
	object          string
	answer          string // the first success, but for its request_id
	issued          int    // by it
	code            string // of a certificate
	unknown         bool
}

func (w *crashTOP) startTOP() *crashProcess {
	p := w.start()
	w.top = topCaller{url: w.app.url, appKey: "123", secret: "crash-secret", client: w.app.client}
	return p
}

// newCall needs the lock.
func (w *crashTOP) newCall(method string, draws *mathrand.Rand) *crashTOPCall {
	n, user := len(w.calls), draws.IntN(crashTOPUsers)
	c := &crashTOPCall{method: method}
	switch method {
	case activitySend:
		c.session = fmt.Sprint("SESSION-", user)
		c.object = fmt.Sprintf(`{"benefit_type":1,"send_count":%d,"unique_id":"u-%d","relation_id":1,"purchaser_id":77,"detail_id":2,`+
			`"trace_id":"t","biz_id":"b","card_type":"%s"}`, 1+draws.IntN(3), n, []string{"game", "beauty"}[draws.IntN(2)])
	case decisionSend:
		c.object = fmt.Sprintf(`{"scene_code":"HOME","request_id":"r-%d","biz_code":"B","trace_id":"t","user_type":"ALIPAY","user_id":"2088%012d"}`, n, user)
	case certificateSend:
		c.session = fmt.Sprint("SESSION-", user)
		c.object = fmt.Sprintf(`{"channel":7,"open_id":"o%d","out_id":9,"biz_code":"c-%d"}`, user, n)
	}
	w.calls = append(w.calls, c)
	return c
}

// pick makes a new call while there may be more, or takes an old one that has a key.
func (w *crashTOP) pick(draws *mathrand.Rand) *crashTOPCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.calls) > 0 && (len(w.calls) >= w.most || draws.IntN(10) > 0) {
		if c := w.calls[draws.IntN(len(w.calls))]; c.method != certificateSend {
			return c
		}
	}
	return w.newCall([]string{activitySend, activitySend, decisionSend, decisionSend, certificateSend}[draws.IntN(5)], draws)
}

// attempt makes a call and compares the answer with all that were given before.
func (w *crashTOP) attempt(c *crashTOPCall) (answered bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	caller := w.top
	caller.session = c.session
	e, err := caller.send(ctx, c.method, map[string]string{topMethods[c.method].object: c.object})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || strings.Contains(e.raw, "E1000") || strings.Contains(e.raw, "UNKNOWN") {
		c.unknown = true
		return false
	}
	c.unknown = false
	answer := strings.Replace(e.raw, e.reply.RequestID, "", 1)
	switch failure := e.failure(); {
	case failure == nil && c.answer == "":
		c.answer = answer
		c.issued, c.code = 1, e.reply.Text("result", "model", "certificate_code")
		if c.method == activitySend {
			c.issued, _ = strconv.Atoi(e.reply.Text("send_result", "results", "mobile_benefit_send_result_ext", "success_count"))
		}
	case c.answer != "" && c.method != certificateSend && answer != c.answer:
		w.t.Errorf("%s was answered\n%s first, and now\n%s", c.object, c.answer, answer)
	case failure != nil && !refusalFits(e):
		w.t.Errorf("%s was refused: %v", c.object, failure)
	}
	return true
}

// refusalFits reports whether the stock or a rule refused.
func refusalFits(e *topExchange) bool {
	return slices.ContainsFunc([]string{"STOCK_EMPTY", "NO_DECISION_ITEM"}, func(text string) bool { return strings.Contains(e.raw, text) })
}

func (w *crashTOP) load(p *crashProcess, after time.Duration) {
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

// unknown returns the calls without an answer that a retry can settle.
func (w *crashTOP) unknown() []*crashTOPCall {
	return slices.DeleteFunc(slices.Clone(w.calls), func(c *crashTOPCall) bool { return !c.unknown || c.method == certificateSend })
}

func (w *crashTOP) settle() { w.all(w.unknown()) }

// askAgain repeats every call that was a success: the answers must be the same.
func (w *crashTOP) askAgain() {
	w.all(slices.DeleteFunc(slices.Clone(w.calls), func(c *crashTOPCall) bool { return c.answer == "" || c.method == certificateSend }))
}

func (w *crashTOP) all(calls []*crashTOPCall) {
	w.t.Helper()
	var clients sync.WaitGroup
	for n := range crashClients {
		clients.Go(func() {
			for k := n; k < len(calls); k += crashClients {
				if !w.attempt(calls[k]) {
					w.t.Errorf("%s still has no answer", calls[k].object)
				}
			}
		})
	}
	clients.Wait()
}

// drain asks for more than there is left of everything.
func (w *crashTOP) drain() {
	var rest []*crashTOPCall
	for method, stock := range map[string]int{
		activitySend: crashTOPBenefits, decisionSend: 2 * crashTOPRights, certificateSend: crashTOPCodes, // a third of the users gets no right
	} {
		for range stock - w.issued(method) + 20 {
			rest = append(rest, w.newCall(method, w.draws))
		}
	}
	w.all(rest)
}

func (w *crashTOP) issued(method string) (n int) {
	for _, c := range w.calls {
		if c.method == method {
			n += c.issued
		}
	}
	return n
}

// check holds what the callers saw to the stock.
func (w *crashTOP) check() {
	lost, codes := 0, map[string]bool{}
	for _, c := range w.calls {
		if c.method == certificateSend && c.unknown {
			lost++
		}
		if c.code != "" && codes[c.code] {
			w.t.Errorf("two certificates have the same code")
		}
		codes[c.code] = true
	}
	for method, want := range map[string]int{activitySend: crashTOPBenefits, decisionSend: crashTOPRights, certificateSend: crashTOPCodes} {
		got, lowest := w.issued(method), want
		if method == certificateSend {
			lowest -= lost
		}
		if got > want || got < lowest {
			w.t.Errorf("%s: %d were issued, and there were %d, of which %d may be lost", method, got, want, lost)
		}
	}
	w.t.Logf("%d calls; %d certificates may have gone with their answers", len(w.calls), lost)
}
