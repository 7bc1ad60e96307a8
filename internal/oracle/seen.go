package oracle

import (
	"maps"

	"faquan/internal/benefit"
)

// Seen is what a batch had read before it had its locks, when others came between. A refusal may rest on that: the batch
// is then as good as one that came before them.
type Seen struct {
	users map[benefit.UserID]*benefit.User
	keys  map[Key]*benefit.Issuance // nil: what stood under the keys was read again
}

// See returns what a batch that reads now has seen.
func (o *Oracle) See() *Seen { return &Seen{maps.Clone(o.Users), maps.Clone(o.keys)} }

// ReadAgain drops what stood under the keys: the batch has read it again behind its locks.
func (s *Seen) ReadAgain() { s.keys = nil }

// AsSeenBy has the oracle judge by what a batch has seen, until the returned function is called; nil sees what there is.
func (o *Oracle) AsSeenBy(s *Seen) func() {
	if s == nil {
		return func() {}
	}
	users, keys := o.Users, o.keys
	if o.Users = s.users; s.keys != nil {
		o.keys = s.keys
	}
	return func() {
		maps.Copy(users, o.Users) // those who became users by the batch
		o.Users = users
		if s.keys != nil {
			o.keys = keys
		}
	}
}
