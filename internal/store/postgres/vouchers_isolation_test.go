package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store"
	"faquan/internal/store/storetest"
)

// do has the process's engine take a command through, and returns its error when it is done.
func (p *process) do(c benefit.Command) <-chan error {
	pending, err := p.engine.Submit(c)
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := p.engine.Step()
		answer, _ := pending.Result()
		done <- errors.Join(err, answer)
	}()
	return done
}

// mustDo is do, waiting.
func (p *process) mustDo(c benefit.Command) {
	p.t.Helper()
	if err := <-p.do(c); err != nil {
		p.t.Fatal(err)
	}
}

// toOne makes a command on a voucher.
type toOne func(voucher id.ID) benefit.Command

func redeems(key string, amount money.Fen) toOne {
	return func(v id.ID) benefit.Command {
		return &benefit.OnVoucher{Action: &benefit.Redeem{Amount: amount, HasAmount: true}, Key: key, Voucher: v}
	}
}

func voids(key string) toOne {
	return func(v id.ID) benefit.Command {
		return &benefit.OnVoucher{Action: &benefit.Void{ReturnStock: true}, Key: key, Voucher: v}
	}
}

// reverses reverses the first operation on a voucher.
func reverses(key string) toOne {
	return func(v id.ID) benefit.Command {
		return &benefit.OnVoucher{Action: &benefit.Reverse{Redemption: benefit.OperationID{Voucher: v, Number: 1}}, Key: key}
	}
}

// result is what a command came to.
type result struct {
	Reason   benefit.Reason
	Replayed bool
}

func resultOf(c benefit.Command) result {
	if issue, ok := c.(*benefit.Issue); ok {
		return result{issue.Outcome.Reason, issue.Outcome.Replayed}
	}
	o := c.(*benefit.OnVoucher).Outcome
	return result{o.Reason, o.Replayed}
}

// What is done to a voucher is done by one process at a time, whatever the other had read by then: while the first has its
// locks the second waits; and when it had read its keys before, it sees what the first has done.
func TestVoucherOfTwoProcesses(t *testing.T) {
	for name, c := range map[string]struct {
		before        toOne
		first, second toOne
		want          result
	}{
		"redeemed twice":        {nil, redeems("a", 100), redeems("b", 100), result{Reason: benefit.VoucherUsed}},
		"the last fen":          {nil, redeems("a", 60), redeems("b", 41), result{Reason: benefit.BalanceNotEnough}},
		"one key":               {nil, redeems("a", 100), redeems("a", 100), result{Replayed: true}},
		"one key, two meanings": {nil, redeems("a", 60), redeems("a", 40), result{Reason: benefit.KeyConflict}},
		"redeemed, then void":   {nil, redeems("a", 1), voids("a"), result{Reason: benefit.VoucherUsed}},
		"void, then redeemed":   {nil, voids("a"), redeems("a", 1), result{Reason: benefit.VoucherVoided}},
		"reversed twice":        {redeems("k", 100), reverses("a"), reverses("b"), result{Reason: benefit.ReversalTooLarge}},
		"void, and the piece is issued again": {
			nil, voids("a"), func(id.ID) benefit.Command { return &benefit.Issue{Request: asks("b", "2", 1)} }, result{},
		},
	} {
		cash := template(1, storetest.Cash(benefit.Fixed, 100, 100), func(t *benefit.Template) { t.Stock.Count = 1 })
		prepare := func(t *testing.T) ([]*process, benefit.Command, benefit.Command) {
			all := processes(t, 2, cash)
			v := all[0].issue(asks("k", "1", 1)).Issuance.FirstVoucher()
			if c.before != nil {
				all[0].mustDo(c.before(v))
			}
			return all, c.first(v), c.second(v)
		}
		check := func(t *testing.T, all []*process, first, second benefit.Command) {
			t.Helper()
			if got := resultOf(first); got != (result{}) {
				t.Errorf("the first: %+v", got)
			}
			if got := resultOf(second); got != c.want {
				t.Errorf("the second: %+v, want %+v", got, c.want)
			}
			audited(t, all[0].url)
		}
		t.Run(name, func(t *testing.T) {
			all, first, second := prepare(t)
			a := all[0].beginAll(first).rows()
			b := all[1].do(second)
			blocked(t, all[0].url, 1, b)
			if err := errors.Join(a.commit(), <-b); err != nil {
				t.Fatal(err)
			}
			check(t, all, first, second)
		})
		t.Run(name+", read before", func(t *testing.T) {
			all, first, second := prepare(t)
			b := all[1].beginAll(second)
			all[0].mustDo(first)
			err := b.rows().commit()
			if errors.Is(err, store.ErrConflict) { // it is decided again
				err = <-all[1].do(second)
			} else if strings.HasPrefix(name, "one key") {
				t.Error("it had read its key before the first used it, and its batch ended")
			}
			if err != nil {
				t.Fatal(err)
			}
			check(t, all, first, second)
		})
	}
}

// A CASH voucher that many callers of two processes redeem by one fen each is worth what it was issued for.
func TestCashVoucherOfManyCallers(t *testing.T) {
	all := processes(t, 2, template(1, storetest.Cash(benefit.Fixed, 100, 100)))
	v := all[0].issue(asks("k", "1", 1)).Issuance.FirstVoucher()
	for _, p := range all {
		p.run()
	}
	var callers sync.WaitGroup
	paid := make([]int, 64)
	for n := range paid {
		callers.Go(func() {
			for k := range 2 {
				c := redeems(fmt.Sprint(n, "-", k), 1)(v)
				if err := all[n%2].engine.Do(t.Context(), c); err != nil {
					t.Error(err)
				}
				switch got := resultOf(c).Reason; got {
				case benefit.NotRefused:
					paid[n]++
				case benefit.VoucherUsed:
				default:
					t.Errorf("refused: %v", got)
				}
			}
		})
	}
	callers.Wait()
	sum := 0
	for _, n := range paid {
		sum += n
	}
	if sum != 100 {
		t.Errorf("%d fen of 100 were redeemed", sum)
	}
	audited(t, all[0].url)
}
