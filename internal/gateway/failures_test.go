package gateway

import (
	"fmt"
	"testing"
	"time"
)

func TestNetworkOf(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1/32", "[::ffff:192.0.2.1]:80": "192.0.2.1/32", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "@": "invalid Prefix", "": "invalid Prefix",
	} {
		if got := networkOf(address).String(); got != want {
			t.Errorf("%q: got %s, want %s", address, got, want)
		}
	}
}

// However many apps and addresses there are, the sum of what is within the bound is bounded.
func TestFailuresAreBounded(t *testing.T) {
	a := NewApps(nil, nil)
	now := time.Unix(0, 0)
	for range failureBurst {
		if ok, _ := a.Failed(1, "192.0.2.1:1", now); !ok {
			t.Fatal("refused within the bound")
		}
	}
	if ok, _ := a.Failed(1, "192.0.2.1:2", now); ok {
		t.Error("another port has a bound of its own")
	}
	within := 0
	for i := range 100 * failureBuckets {
		if ok, _ := a.Failed(0, fmt.Sprintf("198.%d.%d.%d:1", i>>16&255, i>>8&255, i&255), now); ok {
			within++
		}
	}
	if most := failureBuckets * failureBurst; within > most {
		t.Errorf("%d within the bound, at most %d", within, most)
	}
}
