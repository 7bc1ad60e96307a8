package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"faquan/internal/control"
)

// explainUser shows a user and its vouchers, and on the first page the refusals.
func explainUser(cmd *cobra.Command, at location, s control.Search, cursor string, asJSON bool) error {
	ctx := cmd.Context()
	var story *control.UserStory
	err := openPlatform(ctx, at, func(p control.Platform) (err error) {
		story, err = control.ExplainUser.On(ctx, p, &control.UserQuery{User: s.User, Limit: s.Limit, Cursor: cursor, Unmasked: s.Unmasked})
		return err
	})
	if errors.Is(err, control.ErrNotFound) && cursor == "" {
		story, err = &control.UserStory{}, nil
	}
	if err != nil {
		return err
	}
	if cursor == "" {
		s.Refusals = true
		err = withRefusals(cmd, at, func(find control.Finder) (err error) {
			story.Refusals, err = find(ctx, &s)
			return err
		})
		if errors.Is(err, control.ErrNotFound) || errors.Is(err, control.ErrNotServed) {
			err = nil
		}
	}
	if story.User == "" && len(story.Refusals) == 0 {
		return errors.Join(err, control.ErrNotFound)
	}
	if asJSON {
		return errors.Join(err, writeJSON(cmd.OutOrStdout(), story))
	}
	var p renderer
	p.user(story)
	for _, decision := range story.Refusals {
		p.line(0, "")
		p.decision(decision)
	}
	_, writeErr := p.WriteTo(cmd.OutOrStdout())
	return errors.Join(err, writeErr)
}

// user prints who a user is, and what it has received.
func (p *renderer) user(s *control.UserStory) {
	if s.User == "" {
		p.line(0, "the store has no such user: it has received nothing")
		return
	}
	name, registered := "", "registered"
	if s.Name != "" {
		name = " " + quoted(s.Name)
	}
	if !s.Registered {
		registered = "not registered"
	}
	p.line(0, "user %s%s: %s, %s", s.User, name, s.Status, registered)
	for _, i := range s.Identifiers {
		p.line(1, "identifier %s", recipient(i))
	}
	if s.Person != "" {
		p.line(1, "person %s", quoted(s.Person))
	}
	for _, q := range s.Quotas {
		text := fmt.Sprintf("received of %s: %d of %s, today %d of %s", quoted(q.Template), q.Total, limitOf(q.PerUser), q.Today, limitOf(q.PerUserPerDay))
		if q.PerPerson != 0 {
			text += fmt.Sprintf("; its person together at most %d", q.PerPerson)
		}
		p.line(1, "%s", text)
	}
	if len(s.Vouchers) == 0 {
		p.line(1, "no vouchers")
	} else {
		p.vouchers(s.Vouchers)
	}
	if s.Next != "" {
		p.line(0, "there are more: --cursor %s", s.Next)
	}
}
