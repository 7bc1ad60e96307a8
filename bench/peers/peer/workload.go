package peer

import (
	"fmt"
	"strconv"
	"strings"
)

// Workload is what a peer is asked for. The n-th request is a function of n alone, and its key carries n, so that
// the check afterwards knows what each voucher must be.
//
// The first probeKeys requests are the probe's, all others the load's.
type Workload struct {
	Templates int   // the load is spread over so many, evenly; 1: one hot template
	Users     int64 // the load's users; each receives once before any of them twice
}

// The probe asks for more of one template than there is, and for more of another than a user may have.
const (
	scarceKeys  = 300 // each for a user of its own
	scarceStock = 100
	greedyUsers = 20
	greedyEach  = 10 // keys of one user
	greedyLimit = 3
	probeKeys   = scarceKeys + greedyUsers*greedyEach

	plenty = 1 << 40 // stock that lasts, or a limit that nobody reaches
)

func (w Workload) scarce() int64 { return int64(w.Templates) + 1 }
func (w Workload) greedy() int64 { return int64(w.Templates) + 2 }

// Offer returns the templates that the requests name: those of the load, then the two of the probe.
func (w Workload) Offer() []Template {
	var all []Template
	for t := range int64(w.Templates) {
		all = append(all, Template{ID: t + 1, Stock: plenty, PerUser: plenty})
	}
	return append(all,
		Template{ID: w.scarce(), Stock: scarceStock, PerUser: plenty},
		Template{ID: w.greedy(), Stock: plenty, PerUser: greedyLimit})
}

const keyPrefix = "bench-20261122-"

// Request returns the n-th.
func (w Workload) Request(n int64) Request {
	r := Request{Key: keyPrefix + strconv.FormatInt(n, 10)}
	switch {
	case n < scarceKeys:
		r.Template, r.User = w.scarce(), n
	case n < probeKeys:
		r.Template, r.User = w.greedy(), n%greedyUsers
	default:
		r.Template = int64(mix(uint64(n))%uint64(w.Templates)) + 1
		r.User = n * 611_953 % w.Users // a prime: far from sorted
	}
	return r
}

// number returns the n of a key.
func number(key string) (int64, error) {
	digits, ours := strings.CutPrefix(key, keyPrefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ours || err != nil {
		return 0, fmt.Errorf("a voucher has the key %q, which nobody sent", key)
	}
	return n, nil
}

// mix spreads numbers: the finaliser of splitmix64.
func mix(n uint64) uint64 {
	n ^= n >> 30
	n *= 0xbf58476d1ce4e5b9
	n ^= n >> 27
	n *= 0x94d049bb133111eb
	return n ^ n>>31
}
