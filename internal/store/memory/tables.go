package memory

import (
	"maps"
	"slices"

	"faquan/internal/benefit"
	"faquan/internal/id"
)

// tables are all rows of a store. A row behind a pointer is never changed in place.
type tables struct {
	now          benefit.Instant // of the last commit
	lastIDMillis int64
	version      int64 // of the catalogue

	issuances map[id.ID]*benefit.Issuance
	claims    map[claimKey]id.ID
	users     map[benefit.UserID]*benefit.User
	links     map[benefit.Identifier]benefit.UserID
	quotas    map[benefit.QuotaKey]benefit.Quota
	counts    map[benefit.TemplateID]benefit.TemplateCount
	days      map[dayKey]benefit.TemplateDay
	entities  map[entityKey]benefit.Entity
	sessions  map[benefit.Digest]*benefit.Session
	history   []catalogueChange

	participations map[benefit.ParticipationKey]benefit.Participation
}

// catalogueChange is the change that one version of the catalogue made.
type catalogueChange struct {
	version  int64
	entities []benefit.Entity
}

// claimKey is the key in its scope as text, so that not even two keys with one digest are mixed up.
type claimKey struct {
	scope benefit.Scope
	key   string
}

type dayKey struct {
	template benefit.TemplateID
	day      benefit.Day
}

type entityKey struct {
	kind benefit.EntityKind
	id   int64
}

func newTables() *tables {
	return &tables{
		issuances: map[id.ID]*benefit.Issuance{}, claims: map[claimKey]id.ID{},
		users: map[benefit.UserID]*benefit.User{}, links: map[benefit.Identifier]benefit.UserID{},
		quotas: map[benefit.QuotaKey]benefit.Quota{}, counts: map[benefit.TemplateID]benefit.TemplateCount{},
		days: map[dayKey]benefit.TemplateDay{}, entities: map[entityKey]benefit.Entity{},
		sessions: map[benefit.Digest]*benefit.Session{}, participations: map[benefit.ParticipationKey]benefit.Participation{},
	}
}

func (t *tables) clone() *tables {
	c := *t
	c.issuances, c.claims = maps.Clone(t.issuances), maps.Clone(t.claims)
	c.users, c.links = maps.Clone(t.users), maps.Clone(t.links)
	c.quotas, c.counts, c.days = maps.Clone(t.quotas), maps.Clone(t.counts), maps.Clone(t.days)
	c.entities, c.sessions = maps.Clone(t.entities), maps.Clone(t.sessions)
	c.history, c.participations = slices.Clone(t.history), maps.Clone(t.participations)
	return &c
}

// load sets the rows of the keys in the state.
func (t *tables) load(keys *benefit.Keys, now benefit.Instant, into *benefit.State) {
	for _, c := range keys.Claims {
		into.SetClaim(c.ID, t.issuances[t.claims[claimKey{c.Scope, c.Key}]])
	}
	for _, ident := range keys.Recipients {
		u := t.recipient(ident)
		into.SetRecipient(ident, u, t.members(u))
	}
	for _, template := range keys.Templates {
		count, day := t.counts[template], t.days[dayKey{template, now.Day()}]
		count.Template = template
		day.Template, day.Day = template, now.Day()
		into.SetTemplate(count, day)
	}
	for _, k := range keys.Quotas {
		q := t.quotas[k]
		q.QuotaKey = k
		into.SetQuota(q)
	}
	for _, k := range keys.Participations {
		p := t.participations[k]
		p.ParticipationKey = k
		into.SetParticipation(p)
	}
}

// recipient returns whom an identifier names.
func (t *tables) recipient(ident benefit.Identifier) *benefit.User {
	if u, ok := ident.Ref(); ok {
		return t.users[u]
	}
	return t.users[t.links[ident]]
}

// members lists the users of the user's person, in id order; none when it has no person.
func (t *tables) members(u *benefit.User) []benefit.UserID {
	if u == nil || u.Person == "" {
		return nil
	}
	var all []benefit.UserID
	for _, other := range t.users {
		if other.Person == u.Person {
			all = append(all, other.ID)
		}
	}
	slices.Sort(all)
	return all
}

// write takes the changes of a batch decided at now.
func (t *tables) write(c *benefit.Changes, now benefit.Instant) {
	t.now = now
	for _, i := range c.Issuances {
		t.issuances[i.ID] = i
		for _, c := range i.ClaimKeys() {
			t.claims[claimKey{c.Scope, c.Key}] = i.ID
		}
		t.lastIDMillis = max(t.lastIDMillis, i.ID.Millis())
	}
	t.writeUsers(c.Users)
	for _, q := range c.Quotas {
		t.quotas[q.QuotaKey] = q
	}
	for _, x := range c.Templates {
		t.counts[x.Template] = x
	}
	for _, x := range c.Days {
		t.days[dayKey{x.Template, x.Day}] = x
	}
	for _, e := range c.Entities {
		t.entities[entityKey{e.Kind, e.ID}] = e
	}
	for _, s := range c.Sessions {
		t.sessions[s.Digest] = s
	}
	for _, p := range c.Participations {
		t.participations[p.ParticipationKey] = p
	}
	if c.Catalogue != 0 {
		t.version = c.Catalogue
		t.history = append(t.history, catalogueChange{c.Catalogue, c.Entities})
	}
}

// writeUsers replaces users with all their identifiers. What they were called before is taken away from all of
// them first, so that an identifier can move from one user of the batch to another.
func (t *tables) writeUsers(users []*benefit.User) {
	for _, u := range users {
		if old := t.users[u.ID]; old != nil {
			for _, ident := range old.Identifiers {
				delete(t.links, ident)
			}
		}
	}
	for _, u := range users {
		t.users[u.ID] = u
		t.lastIDMillis = max(t.lastIDMillis, u.ID.Millis())
		for _, ident := range u.Identifiers {
			t.links[ident] = u.ID
		}
	}
}
