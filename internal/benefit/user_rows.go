package benefit

import "fmt"

// userRows are one user's rows of a batch. They are few, so scanning them is cheaper than a map.
type userRows struct {
	quotas         []quotaRow
	participations []participationRow
}

// A row that is here is needed by the batch. It is loaded once a store has set it.

type quotaRow struct {
	Quota
	loaded, dirty bool
}

type participationRow struct {
	Participation
	loaded, dirty bool
}

// quota returns the index of a template's row, or -1.
func (u *userRows) quota(t TemplateID) int {
	for k := range u.quotas {
		if u.quotas[k].Template == t {
			return k
		}
	}
	return -1
}

// participation returns the index of an activity's row, or -1.
func (u *userRows) participation(a ActivityID) int {
	for k := range u.participations {
		if u.participations[k].Activity == a {
			return k
		}
	}
	return -1
}

// allRows are the rows of a batch's users. They keep their memory from batch to batch.
type allRows struct {
	of   map[UserID]*userRows
	used []*userRows
	free []*userRows

	dirtyQuotas, dirtyParticipations []dirtyRow
}

// dirtyRow names a row that was changed. The rows themselves move while more are added.
type dirtyRow struct {
	rows *userRows
	at   int
}

func newRows() allRows { return allRows{of: map[UserID]*userRows{}} }

func (a *allRows) reset() {
	clear(a.of)
	for _, u := range a.used {
		clear(u.participations) // they point to cards
		u.quotas, u.participations = u.quotas[:0], u.participations[:0]
	}
	a.free, a.used = append(a.free, a.used...), a.used[:0]
	a.dirtyQuotas, a.dirtyParticipations = a.dirtyQuotas[:0], a.dirtyParticipations[:0]
}

// user returns the rows of a user, adding an empty set if there are none.
func (a *allRows) user(u UserID) *userRows {
	rows := a.of[u]
	if rows == nil {
		if n := len(a.free); n > 0 {
			rows, a.free = a.free[n-1], a.free[:n-1]
		} else {
			rows = &userRows{}
		}
		a.of[u] = rows
		a.used = append(a.used, rows)
	}
	return rows
}

// wantQuota adds a quota to load, and reports whether it is new.
func (a *allRows) wantQuota(k QuotaKey) bool {
	rows := a.user(k.User)
	if rows.quota(k.Template) >= 0 {
		return false
	}
	rows.quotas = append(rows.quotas, quotaRow{Quota: Quota{QuotaKey: k}})
	return true
}

// wantParticipation adds a participation to load, and reports whether it is new.
func (a *allRows) wantParticipation(k ParticipationKey) bool {
	rows := a.user(k.User)
	if rows.participation(k.Activity) >= 0 {
		return false
	}
	rows.participations = append(rows.participations, participationRow{Participation: Participation{ParticipationKey: k}})
	return true
}

// setQuota sets a row.
func (a *allRows) setQuota(q Quota, dirty bool) {
	rows := a.user(q.User)
	at := rows.quota(q.Template)
	if at < 0 {
		at = len(rows.quotas)
		rows.quotas = append(rows.quotas, quotaRow{})
	}
	row := &rows.quotas[at]
	if dirty && !row.dirty {
		a.dirtyQuotas = append(a.dirtyQuotas, dirtyRow{rows, at})
	}
	*row = quotaRow{q, true, row.dirty || dirty}
}

func (a *allRows) setParticipation(p Participation, dirty bool) {
	rows := a.user(p.User)
	at := rows.participation(p.Activity)
	if at < 0 {
		at = len(rows.participations)
		rows.participations = append(rows.participations, participationRow{})
	}
	row := &rows.participations[at]
	if dirty && !row.dirty {
		a.dirtyParticipations = append(a.dirtyParticipations, dirtyRow{rows, at})
	}
	*row = participationRow{p, true, row.dirty || dirty}
}

// participationLoaded reports whether a store has set the participation.
func (a *allRows) participationLoaded(k ParticipationKey) bool {
	rows := a.of[k.User]
	if rows == nil {
		return false
	}
	at := rows.participation(k.Activity)
	return at >= 0 && rows.participations[at].loaded
}

// The Set methods below are for stores, see State.SetClaim.

// SetQuota sets a user's quota of a template; zero counts when there is none.
func (s *State) SetQuota(q Quota) { s.rows.setQuota(q, false) }

// SetParticipation sets a user's participation in an activity; zero counts when there is none.
func (s *State) SetParticipation(p Participation) { s.rows.setParticipation(p, false) }

// quota returns a user's quota of a template.
func (s *State) quota(k QuotaKey) Quota {
	if rows := s.rows.of[k.User]; rows != nil {
		if at := rows.quota(k.Template); at >= 0 && rows.quotas[at].loaded {
			return rows.quotas[at].Quota
		}
	}
	if s.newUsers[k.User] { //guard:TestRowsThatWereNotLoaded without s.newUsers[k.User]
		return Quota{QuotaKey: k}
	}
	panic(fmt.Sprintf("benefit: the quota of user %d and template %d was not loaded", k.User, k.Template))
}

// participation returns a user's participation in an activity.
func (s *State) participation(k ParticipationKey) Participation {
	if rows := s.rows.of[k.User]; rows != nil {
		if at := rows.participation(k.Activity); at >= 0 && rows.participations[at].loaded {
			return rows.participations[at].Participation
		}
	}
	if s.newUsers[k.User] { //guard:TestRowsThatWereNotLoaded without s.newUsers[k.User]
		return Participation{ParticipationKey: k}
	}
	panic(fmt.Sprintf("benefit: the participation of user %d in activity %d was not loaded", k.User, k.Activity))
}
