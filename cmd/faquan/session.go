package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/control"
	"faquan/internal/session"
)

func newSession() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "session",
		Short: "Give out, list and revoke sessions",
		Long: `A session is a grant that an app acts for a merchant and, for some calls, that a user receives. Calls on TOP come
with its key as session, calls on Alipay as app_auth_token. What OAuth gives out are sessions, too; docs/sessions.md
has the whole of it.

A process that serves the directory does the work; when the command returns, it is durable and in force there. On a
database the processes hear of it within a second.`,
		Example: `  faquan session new --app shop --merchant acme --user alice --expires 24h
  faquan session list
  faquan session revoke 1f9a3c5e`,
	}
	cmd.AddCommand(newSessionNew(), newSessionList(), newSessionRevoke())
	return cmd
}

func newSessionNew() *cobra.Command {
	var at place
	var o session.Order
	cmd := &cobra.Command{
		Use:        "new --app APP",
		SuggestFor: []string{"make", "create", "add"},
		Short:      "Give a session out and print its key, once",
		Long: `Give a session out and print its key. It is shown this once: what is stored is sealed, and only an export with
--secrets shows it again.

The user is the one with that name in the catalogue, or TYPE:value for any other, such as TAOBAO:2054398. --refresh
gives a refresh token, too, with which the app gets the next session by itself: see docs/sessions.md.`,
		Example: `  faquan session new --app shop                                 # for the app's own merchant
  faquan session new --app shop --merchant acme --user alice --expires 24h
  faquan session new --app shop --refresh 720h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := at.mustExist(); err != nil {
				return err
			}
			return withPlatform(cmd.Context(), at, func(p control.Platform) error {
				g, err := p.NewSession(cmd.Context(), o)
				if err != nil {
					return err
				}
				return showGrant(cmd.OutOrStdout(), g)
			})
		},
	}
	placeFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	cmd.Flags().StringVar(&o.App, "app", "", "`NAME` of the app that may use it")
	cmd.Flags().StringVar(&o.Merchant, "merchant", "", "`NAME` of the merchant that it acts for (default the app's own)")
	cmd.Flags().StringVar(&o.User, "user", "", "the `USER` that receives: a name, or TYPE:value (default none)")
	cmd.Flags().DurationVar(&o.Lifetime, "expires", 24*time.Hour, "`DURATION` that it is good; 0 is for ever")
	cmd.Flags().DurationVar(&o.Refresh, "refresh", 0, "give a refresh token too, good for this `DURATION`")
	_ = cmd.MarkFlagRequired("app")
	return cmd
}

func showGrant(w io.Writer, g *session.Grant) error {
	lines := []string{"session: " + g.Access, "digest: " + g.Digest.String(), "expires: " + expiry(g.Expires)}
	if g.Refresh != "" {
		lines = append(lines, "refresh_token: "+g.Refresh, "refresh_expires: "+expiry(g.RefreshExpires))
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// expiry is when a session is over, at +08:00.
func expiry(at benefit.Instant) string {
	if at == 0 {
		return "never"
	}
	return at.String()
}

func newSessionList() *cobra.Command {
	var at place
	var f session.Filter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List sessions, without their keys",
		Long: `List the sessions that are good now: their digest, which names them to "faquan session revoke", what they are
for, and until when, at +08:00. Keys are not shown. --all lists those that have expired or ended, too.`,
		Example: `  faquan session list --app shop --all`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := at.mustExist(); err != nil {
				return err
			}
			return withPlatform(cmd.Context(), at, func(p control.Platform) error {
				all, err := p.ListSessions(cmd.Context(), f)
				if err != nil {
					return err
				}
				return showSessions(cmd.OutOrStdout(), all)
			})
		},
	}
	placeFlags(cmd, &at)
	cmd.Flags().StringVar(&f.App, "app", "", "only those of the app with this `NAME`")
	cmd.Flags().BoolVar(&f.All, "all", false, "also those that are no longer good")
	return cmd
}

func showSessions(w io.Writer, all []session.Info) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DIGEST\tKIND\tSTATE\tAPP\tMERCHANT\tUSER\tEXPIRES")
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Digest, s.Kind, s.State, cell(s.App), cell(s.Merchant), cell(s.User), expiry(s.Expires))
	}
	return table.Flush()
}

// cell is a name in a column of a table.
func cell(name string) string {
	if name == "" {
		return "-"
	}
	return quoted(name)
}

func newSessionRevoke() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "revoke DIGEST|KEY|-",
		Short: "Revoke a session and what belongs to it",
		Long: `Revoke a session, its refresh token, and everything else that was given out for the same consent. When the command
returns, no call with any of it is admitted any more; on a database, by the other processes, within a second.

The session is named by its digest, of which the first 8 digits will do, by its key, or by "-": then the key is read
from the standard input, where other users of the machine cannot see it in the list of processes.`,
		Example: `  faquan session revoke 1f9a3c5e
  faquan session revoke - < key.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := sessionName(cmd, args[0])
			if err != nil {
				return err
			}
			if err := at.mustExist(); err != nil {
				return err
			}
			return withPlatform(cmd.Context(), at, func(p control.Platform) error {
				return revoke(cmd.Context(), cmd.OutOrStdout(), p, name)
			})
		},
	}
	placeFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	return cmd
}

func sessionName(cmd *cobra.Command, arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	in := bufio.NewScanner(cmd.InOrStdin())
	if !in.Scan() {
		return "", errors.Join(errors.New("standard input has no key"), in.Err())
	}
	return strings.TrimSpace(in.Text()), nil
}

func revoke(ctx context.Context, w io.Writer, p control.Platform, name string) error {
	ended, err := p.RevokeSession(ctx, name)
	if err != nil {
		return err
	}
	if ended == 0 {
		_, err = fmt.Fprintln(w, "it had ended before")
	} else {
		_, err = fmt.Fprintf(w, "ended: %d\n", ended)
	}
	return err
}
