package gateway

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"faquan/internal/benefit"
)

// failures counts calls that fail to authenticate, by app and address. What is over the bound is refused all the same,
// but neither explained nor logged: an explanation costs signatures, and a log a disk. A call with a good signature and
// session never asks for it, so that a flood of others cannot hold it up.
//
// The buckets are a fixed number, and pairs of app and address share them by a hash: the memory is bounded whatever
// callers make up. Who shares a bucket with a flood loses explanations, no more.
type failures struct {
	seed    maphash.Seed
	buckets [failureBuckets]failureBucket
}

type failureBucket struct {
	limiter    *rate.Limiter
	suppressed atomic.Int64 // since the last one within the bound
}

const (
	failureBuckets = 4096
	failureBurst   = 60              // failures of one app and address at once
	failureEvery   = 1 * time.Second // and one more after this
)

func newFailures() *failures {
	f := &failures{seed: maphash.MakeSeed()}
	for i := range f.buckets {
		f.buckets[i].limiter = rate.NewLimiter(rate.Every(failureEvery), failureBurst)
	}
	return f
}

// Failed counts a call that fails to authenticate: of an app, 0 for one that does not exist and for a call that could not
// be read, from an address as in http.Request.RemoteAddr. It reports whether the call may be explained and logged, and
// how many before it were not. It has nothing to do with the rate of the app, which only calls that authenticate can use
// up.
func (a *Apps) Failed(app benefit.AppID, address string, now time.Time) (within bool, suppressed int64) {
	caller := struct {
		app     benefit.AppID
		network netip.Prefix
	}{app, networkOf(address)}
	b := &a.failures.buckets[maphash.Comparable(a.failures.seed, caller)%failureBuckets]
	if !b.limiter.AllowN(now, 1) { //guard:internal/gateway/alipay.TestAFloodOfWrongSignatures
		b.suppressed.Add(1)
		return false, 0
	}
	return true, b.suppressed.Swap(0)
}

// networkOf returns what one caller has of addresses: an IPv4 address, or the 64 bits of IPv6 that a network is given
// at least. It is the zero Prefix for what is no address, such as that of a Unix socket.
func networkOf(address string) netip.Prefix {
	port, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := port.Addr().Unmap().WithZone(""), 64
	if ip.Is4() {
		bits = 32
	}
	network, _ := ip.Prefix(bits) // fails on bits that ip does not have
	return network
}
