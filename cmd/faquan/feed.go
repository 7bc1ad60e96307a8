package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/control"
	"faquan/internal/feed"
	"faquan/internal/money"
)

// eventFollower holds the flags of feed.
type eventFollower struct {
	query          control.EventQuery
	follow, asJSON bool
	limit          int
}

// How many events feed reads at once, and how often it looks for more.
const (
	feedPage  = 500
	feedEvery = 200 * time.Millisecond
)

func newFeed() *cobra.Command {
	var at location
	var e eventFollower
	var renew bool
	cmd := &cobra.Command{
		Use:   "feed",
		Short: "Print what happened to vouchers and templates, as events in order",
		Long: `Print events, the oldest first: what was issued, redeemed, reversed, voided, extended and expired, and which templates
were created, changed, paused, resumed, ended, sold out and restocked.

--from is where to begin: start, the oldest events of feed.keep; end, with --follow for only what happens from now on; a
time, such as "2026-11-30 12:00:00" at +08:00; or a position, as every event has one. On a database start is the oldest
event that is there, and where no process serves a data directory, start goes back 7 days. The command stops when there
are no more events, or after --limit; with --follow it waits for more until it is interrupted. The last line on standard
error has the position from which to go on.

--json writes an object on each line, as the JSON API has it, amounts in fen. Certificate codes and identifiers of
people are never in an event.

--follow on a data directory needs a process that serves it. On a database, the command needs none.

--renew is for a PostgreSQL database that was restored from a backup, before it is served or read: from then on every
position from before is refused, so that no reader goes on in a past that never happened. It prints no events.`,
		Example: `  faquan feed --types template.sold_out,template.restocked
  faquan feed --from "2026-11-30 12:00:00" --template cinema-10
  faquan feed --from end --follow --json | jq -r .id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.limit < 0 {
				return usagef("--limit must not be negative")
			}
			if renew {
				return renewFeed(cmd, at)
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				if _, served := p.(*control.Client); e.follow && !served && at.store == "" {
					return fmt.Errorf("%w, so nothing more can happen: run it without --follow, or start faquan serve", control.ErrNotServed)
				}
				from := e.query.From
				err := e.run(cmd.Context(), p, cmd.OutOrStdout())
				if err == nil || e.query.From != from { // else there may be no going on from there
					fmt.Fprintf(cmd.ErrOrStderr(), "next: --from %s\n", quoted(e.query.From))
				}
				return err
			})
		},
	}
	locationFlags(cmd, &at)
	f := cmd.Flags()
	f.StringVar(&e.query.From, "from", "start", "where to begin: `POSITION`, start, end or a time")
	f.BoolVar(&e.follow, "follow", false, "wait for more events")
	f.StringSliceVar(&e.query.Types, "types", nil, "only events of these `TYPES`, joined by commas; also voucher.* and template.*")
	f.StringSliceVar(&e.query.Templates, "template", nil, "only events of templates with these `NAMES`, joined by commas")
	f.IntVar(&e.limit, "limit", 0, "how many events at most (default any number)")
	f.BoolVar(&renew, "renew", false, "refuse all positions from before, after a restore of a database")
	f.BoolVar(&e.asJSON, "json", false, "write JSON, an object on each line")
	return cmd
}

// renewFeed makes all positions of a database foreign ones.
func renewFeed(cmd *cobra.Command, at location) error {
	if at.store == "" {
		return usagef("--renew is for a database: give --store. On a data directory a position is refused by itself when its past is gone")
	}
	n, err := openNode(cmd.Context(), at, nodeOptions{})
	if err != nil {
		return err
	}
	if err := errors.Join(n.database.RenewFeedHistory(cmd.Context()), n.close()); err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "renewed: positions from before are refused")
	return err
}

// run prints events until there are no more, or ctx ends. The From of the query is then where to go on.
func (e *eventFollower) run(ctx context.Context, p control.Platform, to io.Writer) error {
	w := bufio.NewWriter(to)
	for printed := 0; ; {
		e.query.Limit = feedPage
		if e.limit > 0 {
			e.query.Limit = min(feedPage, e.limit-printed)
		}
		page, err := control.Events.On(ctx, p, &e.query)
		if ctx.Err() != nil { // it was interrupted
			return nil
		}
		if err != nil {
			return err
		}
		for _, event := range page.Events {
			if err := e.print(w, event); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		e.query.From = page.Next
		printed += len(page.Events)
		switch {
		case e.limit > 0 && printed >= e.limit, !page.More && !e.follow:
			return nil
		case !page.More && !wait(ctx, feedEvery):
			return nil
		}
	}
}

func (e *eventFollower) print(w io.Writer, event *feed.Event) error {
	if !e.asJSON {
		_, err := fmt.Fprintf(w, "%s\n", oneLine(eventLine(event)))
		return err
	}
	text, err := json.Marshal(event)
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", printableJSON(text))
	}
	return err
}

// eventLine describes an event in columns, as far as a line that is printed alone can have them.
func eventLine(e *feed.Event) string {
	at := e.At
	if t, err := time.Parse(time.RFC3339, e.At); err == nil {
		at = t.Format(time.DateTime)
	}
	return fmt.Sprintf("%s  %-18s  %-16s  %s%s", at, e.Type, quoted(e.Template), e.ID, eventFacts(&e.Data))
}

// eventFacts lists what people look for in the data of an event.
func eventFacts(d *feed.Data) (text string) {
	add := func(format, value string) {
		if value != "" {
			text += fmt.Sprintf(format, value)
		}
	}
	if d.Voucher == "" {
		add("  issued %s", d.IssuedCount)
		add(" of %s", d.StockCount)
		if d.IssuedAmount != "0" || d.StockAmount != "" {
			add(", %s yuan", yuanText(d.IssuedAmount))
			add(" of %s", yuanText(d.StockAmount))
		}
		add(", catalogue %s", d.Catalogue)
		return text
	}
	add("  %s", d.Status)
	if d.Value != "" {
		add(", %s yuan", yuanText(d.Value))
	} else if d.Redemption == "" && d.Discount == "" {
		add(", %s yuan", yuanText(d.Amount))
	}
	add(", balance %s", yuanText(d.Balance))
	if d.Order != "" {
		add(", order %s", quoted(d.Order))
	}
	if d.Discount != "" && d.Value == "" {
		add(", discount %s", yuanText(d.Discount))
	}
	if d.App == "" {
		return text + ", operator"
	}
	return text + ", app " + quoted(d.App)
}

// yuanText returns an amount in fen as yuan; "" for none.
func yuanText(fen string) string {
	n, err := strconv.ParseInt(fen, 10, 64)
	if err != nil {
		return ""
	}
	return money.Fen(n).Yuan()
}
