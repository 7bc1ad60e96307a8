package sim

import (
	"maps"

	"faquan/internal/benefit"
	"faquan/internal/oracle"
)

// seen is what a batch had read before it had its locks, when others came between. A refusal may rest on that: the
// batch is then as good as one that came before them.
type seen struct {
	users  map[benefit.UserID]*benefit.User
	issued map[oracle.Key]*benefit.Issuance // nil: what stood under the keys was looked at again
}

func (s *simulation) see() *seen {
	return &seen{maps.Clone(s.oracle.Users), maps.Clone(s.oracle.Issued)}
}

// judgeAs has the oracle judge by what a batch saw, until the returned function is called; nil sees what there is.
func (s *simulation) judgeAs(x *seen) func() {
	if x == nil {
		return func() {}
	}
	o := s.oracle
	users, issued := o.Users, o.Issued
	if o.Users = x.users; x.issued != nil {
		o.Issued = x.issued
	}
	return func() {
		maps.Copy(users, o.Users) // those who became users by the batch
		o.Users, o.Issued = users, issued
	}
}
