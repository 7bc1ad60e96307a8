package benefit

import (
	"fmt"
	"slices"

	"faquan/internal/id"
	"faquan/internal/table"
)

// Keys names what deciding a batch needs from the store.
type Keys struct {
	Claims     []ClaimKey
	Recipients []Identifier
	Vouchers   []id.ID // whose issuances are read
	// Locks are what the batch has for itself from then on, in a store that several processes share. Rows are read
	// behind them.
	Locks []Lock
	Rows  []table.Keys
}

// Empty reports whether there is nothing to load.
func (k *Keys) Empty() bool {
	return len(k.Claims)+len(k.Recipients)+len(k.Vouchers)+len(k.Locks)+len(k.Rows) == 0
}

// ClaimKey is a key in its scope, with its look-up id.
type ClaimKey struct {
	ID    ClaimID
	Scope Scope
	Key   string
}

// LockKind describes what a Lock is of. The numbers are stored.
type LockKind int16

// The kinds of locks.
const (
	TemplateLock LockKind = 1 // the template's counters, and what its users have of it
	ActivityLock LockKind = 2 // what users did in the activity
)

// Lock is what batches take turns at.
type Lock struct {
	Kind LockKind
	ID   int64
}

// QuotaKey names what one user has of one template.
type QuotaKey struct {
	User     UserID
	Template TemplateID
}

// Quota counts what one user has received of one template.
type Quota struct {
	QuotaKey
	Total    int64 // vouchers
	Day      Day   // the latest day on which the user received any
	DayTotal int64 // vouchers, on that day
}

// onDay returns how many the user received on the day.
func (q *Quota) onDay(d Day) int64 {
	if q.Day == d { //guard:TestDayCountersOfAnotherDayDoNotCount without q.Day == d
		return q.DayTotal
	}
	return 0
}

// TemplateCount counts what was issued of a template in total.
type TemplateCount struct {
	Template TemplateID
	Count    int64 // vouchers
	Amount   int64 // fen
}

// TemplateDayKey names what was issued of a template on one day.
type TemplateDayKey struct {
	Template TemplateID
	Day      Day
}

// TemplateDay counts what was issued of a template on one day.
type TemplateDay struct {
	Template TemplateID
	Day      Day
	Count    int64 // vouchers
	Amount   int64 // fen
}

// Changes are what a batch writes. They are in a fixed order, so that the same history writes the same bytes.
type Changes struct {
	Now       Instant
	Issuances []*Issuance // new, or rewritten with more issued or with lines closed
	Users     []*User     // new or changed, with all their identifiers
	Rows      []table.Rows
	Catalogue int64 // the version that the entities among the rows make; 0 when the catalogue does not change
	Steps     []Step
}

// RowsOf returns those of the sets that hold rows.
func RowsOf(sets ...table.Rows) (all []table.Rows) {
	for _, rows := range sets {
		if rows.Len() > 0 {
			all = append(all, rows)
		}
	}
	return all
}

// Empty reports whether there is nothing to write.
func (c *Changes) Empty() bool {
	return len(c.Issuances) == 0 && len(c.Users) == 0 && len(c.Rows) == 0 && c.Catalogue == 0
}

// All returns the rows with those of derived kinds: the entities as the version of the catalogue brought them.
func (c *Changes) All() []table.Rows {
	if c.Catalogue == 0 {
		return c.Rows
	}
	var forms []EntityVersion
	for _, e := range Entities.Of(c.Rows) {
		forms = append(forms, EntityVersion{c.Catalogue, e})
	}
	if len(forms) == 0 {
		return c.Rows
	}
	return append(c.Rows[:len(c.Rows):len(c.Rows)], EntityVersions.Rows(forms...))
}

// State is what a store loaded for a batch, changed by the commands of the batch that were decided already. It is not
// safe for concurrent use. Asking it for a row that was not loaded panics: a counter that is taken for 0 because it was
// not loaded would issue too much.
type State struct {
	Now           Instant // of the batch; set by the store when it begins
	claims        map[ClaimID]*Issuance
	links         map[Identifier]*User
	members       map[string][]UserID   // of a person
	users         map[UserID]Identifier // by which those were asked for that wantUser names
	vouchers      map[id.ID]*Issuance
	locks         map[Lock]bool // that were asked for
	rows          table.State
	newUsers      map[UserID]bool
	candidateSets map[*Request]*candidateSet
	drawnCodes    map[ClaimID]bool // in this batch, for any request
	codeDraws     map[codeRequest]*codeDraw

	keys    Keys // that are wanted, but for rows
	changes Changes
}

// NewState makes an empty state.
func NewState() *State {
	return &State{
		claims: map[ClaimID]*Issuance{}, links: map[Identifier]*User{}, members: map[string][]UserID{},
		users:    map[UserID]Identifier{},
		vouchers: map[id.ID]*Issuance{}, locks: map[Lock]bool{}, newUsers: map[UserID]bool{},
		candidateSets: map[*Request]*candidateSet{}, drawnCodes: map[ClaimID]bool{}, codeDraws: map[codeRequest]*codeDraw{},
	}
}

// Reset empties the state for the next batch, and keeps its memory.
func (s *State) Reset(now Instant) {
	s.Now = now
	clear(s.claims)
	clear(s.links)
	clear(s.members)
	clear(s.users)
	clear(s.vouchers)
	clear(s.locks)
	s.rows.Reset()
	clear(s.newUsers)
	clear(s.candidateSets)
	clear(s.drawnCodes)
	clear(s.codeDraws)
	s.keys = Keys{}
	s.changes = Changes{} // the last one belongs to the caller that took it
}

// Rows returns the rows that are described by tables.
func (s *State) Rows() *table.State { return &s.rows }

// MoveTo moves Now forward in the middle of a batch. Earlier results of rules may no longer hold.
func (s *State) MoveTo(now Instant) {
	s.Now = now
	for _, b := range s.candidateSets {
		for k := range b.candidates {
			b.candidates[k].ruleResult = nil //guard:TestRuleByTheNowOfTheDecision
		}
	}
}

// The Set methods are for stores: each gives the state something that was asked for, present or absent.

// SetClaim sets the issuance stored under a key; nil when there is none.
func (s *State) SetClaim(c ClaimID, i *Issuance) { s.claims[c] = i }

// SetVoucher sets the issuance that holds a voucher; nil when there is none.
func (s *State) SetVoucher(v id.ID, i *Issuance) { s.vouchers[v] = i }

// SetRecipient sets the user that an identifier names; nil when there is none. members are all users of the user's
// person, when it has one.
func (s *State) SetRecipient(ident Identifier, u *User, members []UserID) {
	s.links[ident] = u
	if u != nil && u.Person != "" {
		s.members[u.Person] = members
	}
}

// Lock has the batch wait for its turn.
func (s *State) Lock(l Lock) {
	if !s.locks[l] {
		s.locks[l] = true
		s.keys.Locks = append(s.keys.Locks, l)
	}
}

// Voucher returns the issuance that holds a voucher; nil when there is none.
func (s *State) Voucher(v id.ID) *Issuance {
	i, ok := s.vouchers[v]
	if !ok {
		panic(fmt.Sprintf("benefit: voucher %d was not loaded", v))
	}
	return i
}

// WantVoucher has the issuance that holds a voucher loaded.
func (s *State) WantVoucher(v id.ID) { s.keys.Vouchers = append(s.keys.Vouchers, v) }

// wanted returns what was asked for since the last call.
func (s *State) wanted() *Keys {
	k := s.keys
	k.Rows = s.rows.Wanted()
	s.keys = Keys{}
	return &k
}

// samePerson lists the users whose quotas a decision about u and t looks at.
func (s *State) samePerson(u *User, t *Template) []UserID {
	if t.Limits.PerPerson > 0 && u.Person != "" {
		return s.members[u.Person]
	}
	return []UserID{u.ID}
}

func (s *State) recipient(ident Identifier) *User {
	u, ok := s.links[ident]
	if !ok {
		panic("benefit: a recipient was not loaded") // whose it is stays out of the log
	}
	return u
}

// wantUser has the user of an issuance loaded, by the identifier that it was sent to: of most users that is all there is, and
// stores find those without reading a row.
func (s *State) wantUser(i *Issuance) {
	s.users[i.User] = i.Recipient
	s.keys.Recipients = append(s.keys.Recipients, i.Recipient)
}

// wantMovedUser has a user loaded by its id when the identifier that wantUser asked for names another, or nobody, by now.
func (s *State) wantMovedUser(u UserID) {
	by, asked := s.users[u]
	if _, byID := by.Ref(); !asked || byID {
		return
	}
	if found := s.recipient(by); found == nil || found.ID != u { //guard:TestVoucherOfAMovedIdentifier
		s.users[u] = RefTo(u)
		s.keys.Recipients = append(s.keys.Recipients, s.users[u])
	}
}

// user returns a user that wantUser named; nil when there is none.
func (s *State) user(u UserID) *User { return s.recipient(s.users[u]) }

func (s *State) claim(c ClaimID) *Issuance {
	i, ok := s.claims[c]
	if !ok {
		panic(fmt.Sprintf("benefit: the claim %s was not loaded", c))
	}
	return i
}

// windowVoided reports whether the issuance bound its key for a while and its voucher was voided, which ends that: a caller
// who asks again must not get what is void.
func (s *State) windowVoided(i *Issuance) bool {
	if i.BindMillis == 0 {
		return false
	}
	voucher, loaded := VoucherStates.Get(&s.rows, i.FirstVoucher())
	if !loaded && !s.Uncommitted(i) {
		panic(fmt.Sprintf("benefit: the state of voucher %d was not loaded", i.FirstVoucher()))
	}
	return voucher.Status == Voided
}

// template returns the counters of a template, in total and on the day of Now.
func (s *State) template(t TemplateID) (TemplateCount, TemplateDay) {
	count, one := TemplateCounts.Get(&s.rows, t)
	day, two := TemplateDays.Get(&s.rows, TemplateDayKey{t, s.Now.Day()})
	if !one || !two {
		panic(fmt.Sprintf("benefit: the counters of template %d were not loaded", t))
	}
	return count, day
}

// quota returns a user's quota of a template.
func (s *State) quota(k QuotaKey) Quota {
	q, loaded := Quotas.Get(&s.rows, k)
	if !loaded && !s.newUsers[k.User] { //guard:TestRowsThatWereNotLoaded !loaded && !s.newUsers[k.User] -> false
		panic(fmt.Sprintf("benefit: the quota of user %d and template %d was not loaded", k.User, k.Template))
	}
	return q
}

// participation returns a user's participation in an activity.
func (s *State) participation(k ParticipationKey) Participation {
	p, loaded := Participations.Get(&s.rows, k)
	if !loaded && !s.newUsers[k.User] { //guard:TestRowsThatWereNotLoaded !loaded && !s.newUsers[k.User] -> false
		panic(fmt.Sprintf("benefit: the participation of user %d in activity %d was not loaded", k.User, k.Activity))
	}
	return p
}

// Effect is what one decided command changes. It is nothing until Absorb takes it.
type Effect struct {
	Issuance  *Issuance // that is made, or gets more, or has lines closed
	Operation *Operation
	NewUser   *User
	Rows      []table.Rows // of any kind, but for those that follow
	claim     ClaimID
	usages    []TemplateCount
	quotas    []Quota

	participations []Participation

	issuedLines []int // of Issuance: see Step.Lines
	Templates   []TemplateEvent
	Expired     []ExpiredVoucher

	// What follows is of an operator's change.

	Users     []*User      // that are changed
	Unread    []table.Rows // that were not read: they are written over whatever stands under their keys
	Catalogue int64        // see Changes
}

// Vouchers returns how many vouchers the command issues.
func (e *Effect) Vouchers() (n int64) {
	if e != nil {
		for _, t := range e.usages {
			n += t.Count
		}
	}
	return n
}

// Absorb takes a command's effect, so that the next command of the batch sees it.
func (s *State) Absorb(e *Effect) {
	if e == nil {
		return
	}
	if e.Issuance != nil {
		s.absorbIssuance(e)
	}
	if u := e.NewUser; u != nil {
		s.newUsers[u.ID] = true
		for _, ident := range u.Identifiers {
			s.links[ident] = u
		}
		s.changes.Users = append(s.changes.Users, u)
	}
	for _, t := range e.usages {
		s.take(t)
	}
	for _, q := range e.quotas {
		Quotas.Put(&s.rows, q)
	}
	for _, p := range e.participations {
		Participations.Put(&s.rows, p)
	}
	s.rows.Absorb(e.Rows)
	if e.Operation != nil {
		Operations.Put(&s.rows, *e.Operation)
	}
	if step := e.step(); !step.empty() {
		s.changes.Steps = append(s.changes.Steps, step)
	}
	s.changes.Users = append(s.changes.Users, e.Users...)
	s.changes.Rows = append(s.changes.Rows, e.Unread...)
	s.changes.Catalogue = max(s.changes.Catalogue, e.Catalogue)
}

func (s *State) absorbIssuance(e *Effect) {
	s.claims[e.claim] = e.Issuance
	for k := range e.Issuance.Lines {
		for _, code := range e.Issuance.Lines[k].Codes {
			s.claims[CodeKey(code).ID] = e.Issuance
		}
	}
	for v := range s.vouchers { // that commands of this batch have named; there are none where all issue
		if _, ok := e.Issuance.Voucher(v); ok { //guard:TestVouchersOfABatch e.Issuance.Voucher(v) -> 0, false
			s.vouchers[v] = e.Issuance
		}
	}
	s.changes.Issuances = append(s.changes.Issuances, e.Issuance)
}

func (s *State) take(used TemplateCount) {
	count, day := s.template(used.Template)
	count.Count += used.Count
	count.Amount += used.Amount
	TemplateCounts.Put(&s.rows, count)
	day.Count += used.Count
	day.Amount += used.Amount
	TemplateDays.Put(&s.rows, day)
}

// Uncommitted reports whether an effect that this state absorbed created, continued or closed the issuance.
func (s *State) Uncommitted(i *Issuance) bool {
	return i != nil && slices.Contains(s.changes.Issuances, i)
}

// Changes returns what the absorbed effects write. The caller may keep it; the state gets new ones at the next Reset.
func (s *State) Changes() *Changes {
	c := s.changes
	c.Now, c.Rows = s.Now, append(c.Rows, s.rows.Changed()...)
	return &c
}
