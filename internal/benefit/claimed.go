package benefit

import "slices"

// A claim of its own.
//
// Where the key and the rest of an issue are commits of their own, a crash between them leaves the key bound to ids,
// amounts and codes of which nothing was issued. Such an issuance is Claimed. A store makes it with Unapplied and
// gives it to a State as what stands under the key; whoever comes with the key again issues it, once: its user, ids
// and amounts are those of the claim, the moment, the counters and the rules are those of now.

// Unapplied is the claim of an issuance: what was fixed before anything of it was issued. makesUser says that the
// commit which issues it makes its user.
func (i *Issuance) Unapplied(makesUser bool) *Issuance {
	c := *i
	c.Claimed, c.MakesUser, c.BoxDone = true, makesUser, false
	c.Lines = slices.Clone(i.Lines)
	for k := range c.Lines {
		l := &c.Lines[k]
		*l = IssuedLine{Line: l.Line, First: l.First, Amounts: l.Amounts, Codes: l.Codes}
	}
	return &c
}

// again is a copy to issue more of, for the user. A claim becomes an issuance by it.
func (i *Issuance) again(u *User) *Issuance {
	more := *i
	more.Lines = slices.Clone(i.Lines)
	if more.MakesUser && u != nil {
		more.to(u) // perhaps not the one that the claim would have made: another commit may have made one since
	}
	more.Claimed, more.MakesUser = false, false
	return &more
}

// bindClaimed binds a request to the claim that stands under its key. It says no when the claim cannot be issued by
// anybody any more, so that the key is as free as it was.
func (c *Claim) bindClaimed(bound *Issuance) bool {
	c.Bound, c.Conflict = bound, !sameMeaning(bound, c.Request, c.User)
	switch {
	case c.Conflict:
	case !bound.MakesUser:
		c.notAnother(bound)
	case c.User == nil:
		c.User, c.NewUser = PlainUser(bound.User, c.Request.Recipient), true
	case c.User.ID.Bucket() != bound.User.Bucket():
		// Somebody has the identifier by now, and his vouchers stand in another bucket than those of the claim would.
		c.Bound = nil
		return false
	}
	return true
}

// notAnother takes the user away when the identifier names another than the first time: what is continued for the
// first is not given to the second.
func (c *Claim) notAnother(bound *Issuance) {
	if c.User != nil && c.User.ID != bound.User {
		c.User = nil
	}
}
