package embedded

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// BenchmarkLists reads a page of 50 from lists of 10,000 and of a million issuances, which are all in the view but for the last
// tenth, and looks vouchers up. The time of a page must not grow with its list, and not with its place in it.
func BenchmarkLists(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		p := newMemPlace(b, Options{})
		p.o.SegmentBytes = 64 << 20
		s := p.open(b)
		first := func(n int) id.ID { return id.ID(1)<<40 + id.ID(n)<<23 + 7<<13 } // of the bucket of the user
		const size, user = 1000, benefit.UserID(7<<13 | 1)
		for from := 0; from < n; from += size {
			c := &benefit.Changes{}
			for k := range size {
				i := listed(first(from+k), fmt.Sprint(from+k))
				i.User, i.Note.TraceID = user, "one for all"
				c.Issuances = append(c.Issuances, i)
			}
			err := commit(b, s, c)
			if err == nil && (from+size)%(n/10) == 0 && from+size < n {
				err = s.Flush()
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		lists := map[string]func(ctx context.Context, before id.ID) iter.Seq2[*benefit.Issuance, error]{
			"template": func(ctx context.Context, before id.ID) iter.Seq2[*benefit.Issuance, error] {
				return s.RecentOfTemplate(ctx, 1, before)
			},
			"user": func(ctx context.Context, before id.ID) iter.Seq2[*benefit.Issuance, error] {
				return s.RecentIssuances(ctx, user, before)
			},
			"trace": func(ctx context.Context, before id.ID) iter.Seq2[*benefit.Issuance, error] {
				return s.RecentOfTrace(ctx, "one for all", before)
			},
		}
		for _, name := range []string{"template", "user", "trace"} {
			for _, at := range []int{n, n / 2, 100} {
				b.Run(fmt.Sprintf("%s of %d/below %d", name, n, at), func(b *testing.B) {
					for b.Loop() {
						given := 0
						for i, err := range lists[name](b.Context(), first(at)) {
							if given++; err != nil || i.ID != first(at-given) {
								b.Fatal(i, err)
							}
							if given == 50 {
								break
							}
						}
					}
				})
			}
		}
		b.Run(fmt.Sprintf("vouchers of %d", n), func(b *testing.B) {
			k := 0
			for b.Loop() {
				k = (k + 7919) % n
				if i, err := s.IssuanceOf(b.Context(), first(k)); err != nil || i == nil || i.ID != first(k) {
					b.Fatal(i, err)
				}
			}
		})
		s.abandon()
	}
}
