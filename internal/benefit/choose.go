package benefit

import (
	"math/rand/v2"

	"faquan/internal/id"
	"faquan/internal/money"
)

// Env holds what a decision needs besides its arguments: the ids, the random draws and the rules. A simulation seeds
// the first two and fixes the secret. Certificate codes come from Rand, so where real ones are issued its output must
// be unpredictable.
type Env struct {
	IDs   *id.Generator
	Rand  *rand.Rand
	Rules Rules // may be nil where no activity has a rule
	// Secret is the key of the draws in scenes of weighted activities. It must be the same for the life of a store, and
	// unknown to callers.
	Secret []byte
}

// Claim is a bound request: bound to the issuance already stored under its key, or to the user, the amounts and the
// voucher ids of a new one.
type Claim struct {
	Request  *Request
	Bound    *Issuance // the issuance stored under the key; nil for a new claim
	Conflict bool      // the key is bound to a different request
	User     *User     // the recipient; nil when it is unknown and cannot be created
	NewUser  bool      // the user's row is made by the commit that issues

	key    ClaimID // the request's
	id     id.ID
	lines  []IssuedLine
	errors []DecisionError
	basis  *Basis
}

// Choose binds a request. It looks the key up first: a bound key is answered from its record, whatever has been
// paused, sold out or frozen since. Otherwise it resolves the recipient, chooses the lines where the request leaves
// them to a scene, and freezes what each line would give. Whether a line is issued is for Apply to decide.
func Choose(cat *Catalogue, st *State, r *Request, env Env) *Claim {
	c := &Claim{Request: r, User: st.recipient(r.Recipient), key: r.ClaimID()}
	bound := st.claim(c.key)
	//guard:TestWindowKey$ bound.binds(st.Now) -> bound.BindMillis == 0 && bound.binds(st.Now)
	//guard:TestVoidEndsTheWindow without !st.windowVoided(bound)
	if bound != nil && bound.binds(st.Now) && !st.windowVoided(bound) {
		c.Bound = bound
		c.Conflict = !sameRequest(bound, r, c.User)
		if c.User != nil && c.User.ID != bound.User { //guard:TestContinuedForTheFirstUser
			c.User = nil // the identifier moved: what is continued for the first user is not given to another
		}
		return c
	}
	a := attempt{cat: cat, st: st, request: r, user: c.User}
	if c.User == nil && a.acceptsUnknown() {
		c.User, c.NewUser = PlainUser(env.IDs.Block(int64(st.Now), id.BucketOf(r.Recipient.String()), 1), r.Recipient), true
		a.user, a.newUser = c.User, true
	}
	lines := r.Lines
	if r.Params.SceneCode != "" {
		d := chooser{attempt: a, candidateSet: a.candidateSet(), rules: env.Rules}
		d.draw = func(eligible []*candidate) *candidate { return drawWeighted(eligible, r, env.Secret) }
		d.startBasis()
		lines, c.errors = d.decide(d.invalidRecipient())
		c.basis = d.basis
	}
	// Of the issuances under one key the newest has the greatest id. The clock does not see to that: a void can end a window
	// in the millisecond that the old id carries, and ids may run ahead.
	earliest := int64(st.Now)
	if bound != nil {
		//guard:TestReboundKeyHasAGreaterID bound.ID.Millis()+1 -> bound.ID.Millis()
		earliest = max(earliest, bound.ID.Millis()+1) //guard:TestReboundKeyHasAGreaterID
	}
	c.id, c.lines = a.freeze(lines, earliest, env)
	return c
}

// sameRequest reports whether a request asks for the same as the one that made the issuance under its key. The
// recipient is the same when the text is, or when it resolves to the user of the first time.
func sameRequest(bound *Issuance, r *Request, u *User) bool {
	if bound.Scope != r.Scope || bound.Key != r.Key { //guard:TestDigestClashIsAConflict
		// Two keys with one digest are practically impossible, and must never be answered with another caller's
		// voucher.
		return false
	}
	//guard:TestKeyAndRecipient without (bound.Recipient == r.Recipient || u != nil && u.ID == bound.User)
	//guard:TestFingerprint$ without bound.Fingerprint == r.Fingerprint
	return bound.Fingerprint == r.Fingerprint && (bound.Recipient == r.Recipient || u != nil && u.ID == bound.User)
}

// acceptsUnknown reports whether every template owner among the lines, or the candidates, takes an unknown recipient.
func (a *attempt) acceptsUnknown() bool {
	r := a.request
	//guard:TestRecipientByID ref || IsAlias(r.Recipient.Type) -> IsAlias(r.Recipient.Type)
	//guard:TestPolicy|TestNewUser without IsAlias(r.Recipient.Type)
	if _, ref := r.Recipient.Ref(); ref || IsAlias(r.Recipient.Type) || r.Recipient.Value == "" {
		return false
	}
	for l := range a.lines() {
		if t := a.cat.Templates[l.Template]; t != nil && !a.cat.open(t) {
			return false
		}
	}
	return true
}

// freeze draws the voucher ids, the amounts and the codes of a new claim's lines. The ids carry the millisecond earliest or
// a later one.
func (a *attempt) freeze(wanted []Line, earliest int64, env Env) (id.ID, []IssuedLine) {
	bucket := 0
	if a.user != nil {
		bucket = a.user.ID.Bucket()
	}
	next := env.IDs.Block(earliest, bucket, max(vouchers(wanted), 1))
	first := next
	lines := make([]IssuedLine, len(wanted))
	for k, l := range wanted {
		lines[k] = IssuedLine{Line: l, First: next}
		next += id.ID(l.Vouchers())
		if t := a.cat.Templates[l.Template]; t != nil {
			lines[k].Amounts = amounts(t, l, room(t, a.st, lines[:k]), env.Rand)
			lines[k].Codes = a.st.takeCodes(a.request, t, l.Vouchers())
		}
	}
	return first, lines
}

// amounts freezes what each voucher of the line is worth, in fen, when left is what the budgets still hold.
func amounts(t *Template, l Line, left money.Fen, r *rand.Rand) []money.Fen {
	all := make([]money.Fen, l.Vouchers())
	for k := range all {
		// A send is issued whole or not at all: a draw leaves the least that the rest of its send needs.
		rest := l.Quantity - 1 - k%l.Quantity
		all[k] = amount(t, l, left-t.Amount.Min*money.Fen(rest), r)
		left -= all[k]
	}
	return all
}

// amount returns what one voucher is worth when left is what the budgets still hold.
func amount(t *Template, l Line, left money.Fen, r *rand.Rand) money.Fen {
	switch {
	case t.Kind == Reduction:
		return t.Face.Reduction
	case t.Kind != Cash:
		return 0
	case t.Amount.From == FromRequest:
		return l.Amount
	case t.Amount.From == Random:
		// What is left bounds the draw, so that the last fen of a budget can be given away.
		if highest := min(t.Amount.Max, left); highest > t.Amount.Min {
			return t.Amount.Min + money.Fen(r.Int64N(int64(highest-t.Amount.Min)+1))
		}
	}
	return t.Amount.Min
}

// room returns what is left of the template's budgets, in total and today, after the earlier lines of the request.
func room(t *Template, st *State, earlier []IssuedLine) money.Fen {
	count, day := st.template(t.ID)
	left := money.Fen(min(t.Stock.Amount.Room(count.Amount), t.Stock.AmountPerDay.Room(day.Amount)))
	for k := range earlier {
		if earlier[k].Template == t.ID {
			for _, amount := range earlier[k].Amounts {
				left -= amount
			}
		}
	}
	return left
}
