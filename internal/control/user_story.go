package control

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/store"
	"faquan/internal/vouchers"
)

// ExplainUser returns the story of a user: see the method of Service.
var ExplainUser = newCall("/user", "", (*Service).ExplainUser)

// UserQuery asks for the story of a user.
type UserQuery struct {
	User     string // the name, the number, or an identifier: see identifierNamed
	Limit    int    // as of a VoucherQuery
	Cursor   string `json:",omitempty"` // as of a VoucherQuery
	Unmasked bool   // do not mask codes and identifiers of people
}

// UserStory is who a user is, and what it has received.
type UserStory struct {
	User        string      `json:"user,omitzero"` // faquan's number; none: the store has no such user
	Name        string      `json:"name,omitzero"` // the operator's handle
	Status      string      `json:"status,omitzero"`
	Registered  bool        `json:"registered"` // by a catalogue file; else issuing made it
	Identifiers []string    `json:"identifiers,omitempty"`
	Person      string      `json:"person,omitzero"`
	Quotas      []UserQuota `json:"quotas,omitempty"` // of the templates that it has received something of
	VoucherPage
	Refusals []*Decision `json:"refusals,omitempty"` // latest calls for it that issued nothing, the newest first; not set by ExplainUser
}

// UserQuota is how many vouchers of a template a user has received. Those that were voided with their stock returned do not
// count. A limit is 0 when there is none.
type UserQuota struct {
	Template      string `json:"template"`
	Total         int64  `json:"total"`
	PerUser       int64  `json:"per_user,omitzero"`
	Today         int64  `json:"today"` // at +08:00
	PerUserPerDay int64  `json:"per_user_per_day,omitzero"`
	PerPerson     int64  `json:"per_person,omitzero"` // of all users of the person together
}

// ExplainUser returns who a user is, its quotas, and a page of its vouchers, the newest first; ErrNotFound when the store has
// no such user.
func (d *Service) ExplainUser(ctx context.Context, q *UserQuery) (*UserStory, error) {
	cat := d.Engine.Catalogue()
	u, err := userNamed(ctx, d.Store, cat, q.User)
	if err == nil && u == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	t := formatter{cat: cat, unmasked: q.Unmasked}
	story := &UserStory{User: u.ID.String(), Name: u.Name, Status: "ACTIVE", Registered: !u.Unregistered, Person: t.person(u.Person)}
	if u.Frozen {
		story.Status = "FROZEN"
	}
	for _, i := range u.Identifiers {
		if i.App != 0 {
			i.Type += "/" + t.app(i.App)
		}
		story.Identifiers = append(story.Identifiers, t.recipient(i))
	}
	if story.Quotas, err = d.quotas(ctx, cat, u.ID); err != nil {
		return nil, err
	}
	page, err := d.page(ctx, t, vouchers.OfUser(u), &VoucherQuery{Limit: q.Limit, Cursor: q.Cursor})
	if err != nil {
		return nil, err
	}
	story.VoucherPage = *page
	return story, nil
}

// quotas returns what a user has of the templates, in the order in which they were made.
func (d *Service) quotas(ctx context.Context, cat *benefit.Catalogue, u benefit.UserID) (all []UserQuota, err error) {
	templates := slices.SortedFunc(maps.Values(cat.Templates), func(a, b *benefit.Template) int { return cmp.Compare(a.ID, b.ID) })
	keys := make([]benefit.QuotaKey, len(templates))
	for k, t := range templates {
		keys[k] = benefit.QuotaKey{User: u, Template: t.ID}
	}
	found, err := store.GetAll(ctx, d.Store, benefit.Quotas, keys...)
	today := d.now().Day()
	for k, t := range templates {
		quota, ok := found[keys[k]]
		if !ok {
			continue
		}
		one := UserQuota{
			Template: t.Name, Total: quota.Total,
			PerUser: t.Limits.PerUser, PerUserPerDay: t.Limits.PerUserPerDay, PerPerson: t.Limits.PerPerson,
		}
		if quota.Day == today { //guard:TestQuotaOfAnotherDay quota.Day == today -> true
			one.Today = quota.DayTotal
		}
		all = append(all, one)
	}
	return all, err
}

// userNamed returns the user with the operator's handle, an identifier or a number; nil when there is none.
func userNamed(ctx context.Context, s store.Store, cat *benefit.Catalogue, text string) (*benefit.User, error) {
	if strings.Contains(text, ":") {
		i, err := identifierNamed(cat, text)
		if err != nil {
			return nil, fmt.Errorf("the user %w", err)
		}
		return s.Recipient(ctx, i)
	}
	r, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	u, err := r.UserByName(ctx, text)
	if u != nil || err != nil {
		return u, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, nil // it is a name that no user has
	}
	return r.User(ctx, benefit.UserID(n))
}

// askedFor returns a function that reports whether a request is for a user, who may have none in the store if text is an
// identifier. Every request is for the empty text.
func (d *Service) askedFor(ctx context.Context, cat *benefit.Catalogue, text string) (func(*benefit.Request) bool, error) {
	if text == "" {
		return func(*benefit.Request) bool { return true }, nil
	}
	u, err := userNamed(ctx, d.Store, cat, text)
	if err != nil {
		return nil, err
	}
	var names []benefit.Identifier
	if u != nil {
		names = append(slices.Clone(u.Identifiers), benefit.RefTo(u.ID)) //guard:TestRefusalsOfAUser append(slices.Clone(u.Identifiers), benefit.RefTo(u.ID)) -> u.Identifiers
	} else if i, err := identifierNamed(cat, text); err == nil {
		names = append(names, i)
	}
	return func(r *benefit.Request) bool { return r != nil && slices.Contains(names, r.Recipient) }, nil //guard:TestRefusalsOfAUser r != nil && slices.Contains(names, r.Recipient) -> r != nil
}
