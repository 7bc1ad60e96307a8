package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"faquan/internal/gateway"
)

// Each call waits as long as it was told, and no more than a sixty-fourth longer.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const wait = 6400 * time.Millisecond
		d := gateway.NewDeadlines(wait)
		made := map[any]bool{}
		for range 400 {
			start := time.Now()
			ctx := d.From(start)
			made[ctx] = true
			if ctx.Err() != nil {
				t.Fatal("a call begins with a context that is over")
			}
			go func() {
				<-ctx.Done()
				if waited := time.Since(start); waited < wait || waited > wait+wait/64 {
					t.Errorf("waited %v", waited)
				}
			}()
			time.Sleep(7 * time.Millisecond)
		}
		if len(made) > 400*7/100+1 {
			t.Errorf("%d contexts in 2.8 seconds, want one for 100 ms", len(made))
		}
		time.Sleep(2 * wait)
		synctest.Wait()
		if d.From(time.Now()).Err() != nil {
			t.Error("after a pause a call begins with a context that is over")
		}
	})
}
