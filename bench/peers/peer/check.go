package peer

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// probe asks for what must be refused and for what must not be issued twice: every key of the probe is sent by two
// callers at about the same moment, and half of all keys ask for what is no longer there.
func (r *run) probe(ctx context.Context) error {
	answers := make([][2]Answer, probeKeys)
	err := r.each(func(c int) error {
		for k := c; k < 2*probeKeys; k += r.Callers {
			n := k / 2 // neighbours: two callers have the same key in their hands
			answer, err := r.peer.Issue(ctx, r.Request(int64(n)))
			if err != nil {
				return err
			}
			answers[n][k%2] = answer
		}
		return nil
	})
	if err != nil {
		return err
	}
	issued := map[int64]int64{} // by template
	for n, pair := range answers {
		if !slices.Contains(pair[:], Issued) {
			r.refused(int64(n), pair)
			continue
		}
		if !slices.Contains(pair[:], Repeated) {
			r.found.add("key %d was sent twice: %s and %s", n, pair[0], pair[1])
		}
		r.acks[0].issued = append(r.acks[0].issued, int64(n))
		issued[r.Request(int64(n)).Template]++
	}
	differ(r.found, "issues of the template with little stock", issued[r.scarce()], scarceStock)
	differ(r.found, "issues of the template with a limit", issued[r.greedy()], greedyUsers*greedyLimit)
	return nil
}

// refused checks that a key of the probe was refused for the right reason, both times.
func (r *run) refused(n int64, pair [2]Answer) {
	want := OutOfStock
	if r.Request(n).Template == r.greedy() {
		want = OverLimit
	}
	if pair != [2]Answer{want, want} {
		r.found.add("key %d: %s and %s, want %s", n, pair[0], pair[1], want)
	}
}

// check recounts all that the peer keeps, and compares it with what its callers were told.
func (r *run) check(ctx context.Context) error {
	told := make([]bool, r.next.Load())
	for _, a := range r.acks {
		for _, n := range a.issued {
			told[n] = true
		}
	}
	if err := r.repeats(ctx); err != nil {
		return fmt.Errorf("repeating: %w", err)
	}
	kept, err := r.recount(ctx, told)
	if err != nil {
		return fmt.Errorf("reading the vouchers: %w", err)
	}
	for n, is := range told {
		if is && !kept.keys[n] {
			r.found.add("key %d was answered as issued and has no voucher", n)
		}
	}
	counted, err := r.peer.Counted(ctx)
	if err != nil {
		return fmt.Errorf("reading the counters: %w", err)
	}
	for _, t := range r.Offer() {
		differ(r.found, fmt.Sprint("the counter of template ", t.ID), counted[t.ID], kept.templates[t.ID])
		if n := kept.templates[t.ID]; n > t.Stock {
			r.found.add("template %d has a stock of %d, and %d vouchers", t.ID, t.Stock, n)
		}
	}
	for _, user := range slices.Sorted(maps.Keys(kept.greedy)) {
		if n := kept.greedy[user]; n > greedyLimit {
			r.found.add("user %d has a limit of %d, and %d vouchers", user, greedyLimit, n)
		}
	}
	return nil
}

// repeats sends keys again long after their answer.
func (r *run) repeats(ctx context.Context) error {
	for _, a := range r.acks {
		for _, n := range a.issued[:min(len(a.issued), 10)] {
			answer, err := r.peer.Issue(ctx, r.Request(n))
			if err != nil {
				return err
			}
			if answer != Repeated {
				r.found.add("key %d was sent again: %s", n, answer)
			}
		}
	}
	return nil
}

// kept is what a peer's vouchers come to.
type kept struct {
	keys      []bool          // by number
	templates map[int64]int64 // vouchers
	greedy    map[int64]int64 // vouchers of the template with a limit, by user
}

// recount reads every voucher. told is which requests were answered as issued; there can be no others, because a
// measurement in which an answer was lost does not come this far.
func (r *run) recount(ctx context.Context, told []bool) (*kept, error) {
	k := &kept{keys: make([]bool, len(told)), templates: map[int64]int64{}, greedy: map[int64]int64{}}
	err := r.peer.Vouchers(ctx, func(v Voucher) error {
		n, err := number(v.Key)
		if err != nil || n < 0 || n >= int64(len(told)) {
			r.found.add("a voucher has the key %q, which nobody sent", v.Key)
			return nil
		}
		if k.keys[n] {
			r.found.add("key %d has two vouchers", n)
		}
		if !told[n] {
			r.found.add("key %d has a voucher and was not answered as issued", n)
		}
		if v != r.Request(n).voucher() {
			r.found.add("key %d asked for %+v and has %+v", n, r.Request(n), v)
		}
		k.keys[n] = true
		k.templates[v.Template]++
		if v.Template == r.greedy() {
			k.greedy[v.User]++
		}
		return nil
	})
	return k, err
}

func (r Request) voucher() Voucher { return Voucher(r) }
