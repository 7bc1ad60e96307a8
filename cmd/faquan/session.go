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
		Short: "Create, list and revoke sessions",
		Long: `A session lets an app act for a merchant and, for some calls, names the user who receives. Calls on TOP have its key
in the parameter session, calls on Alipay in app_auth_token. OAuth creates sessions, too: see docs/sessions.md.

If a process serves the directory, it makes the change; when the command returns, the change is durable and in force
there. On a database the processes follow within a second.`,
		Example: `  faquan session new --app shop --merchant acme --user alice --expires 24h
  faquan session list
  faquan session revoke 1f9a3c5e`,
	}
	cmd.AddCommand(newSessionNew(), newSessionList(), newSessionRevoke())
	return cmd
}

func newSessionNew() *cobra.Command {
	var at location
	var o session.Order
	cmd := &cobra.Command{
		Use:        "new --app APP",
		SuggestFor: []string{"make", "create", "add"},
		Short:      "Create a session and print its key",
		Long: `Create a session and print its key. The key is shown only once: it is stored sealed, and only an export with --secrets
shows it again.

The user is the one with that name in the catalogue, or TYPE:value for any other, such as TAOBAO:2054398. --refresh
also creates a refresh token, with which the app gets the next session by itself: see docs/sessions.md.`,
		Example: `  faquan session new --app shop                                 # for the app's own merchant
  faquan session new --app shop --merchant acme --user alice --expires 24h
  faquan session new --app shop --refresh 720h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				g, err := control.NewSession.On(cmd.Context(), p, o)
				if err != nil {
					return err
				}
				return showGrant(cmd.OutOrStdout(), g)
			})
		},
	}
	locationFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	cmd.Flags().StringVar(&o.App, "app", "", "`NAME` of the app that may use it")
	cmd.Flags().StringVar(&o.Merchant, "merchant", "", "`NAME` of the merchant that it acts for (default the app's own)")
	cmd.Flags().StringVar(&o.User, "user", "", "the `USER` that receives: a name, or TYPE:value (default none)")
	cmd.Flags().DurationVar(&o.Lifetime, "expires", 24*time.Hour, "`DURATION` that it is valid; 0 is forever")
	cmd.Flags().DurationVar(&o.Refresh, "refresh", 0, "also create a refresh token, valid for this `DURATION`")
	_ = cmd.MarkFlagRequired("app")
	return cmd
}

func showGrant(w io.Writer, g *session.Grant) error {
	lines := []string{"session: " + g.Access, "digest: " + g.Digest.String(), "expires: " + expiresAt(g.Expires)}
	if g.Refresh != "" {
		lines = append(lines, "refresh_token: "+g.Refresh, "refresh_expires: "+expiresAt(g.RefreshExpires))
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// expiresAt returns the time at which a session expires, at +08:00.
func expiresAt(at benefit.Instant) string {
	if at == 0 {
		return "never"
	}
	return at.String()
}

func newSessionList() *cobra.Command {
	var at location
	var f session.Filter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List sessions, without their keys",
		Long: `List the sessions that are valid now: their digest, by which "faquan session revoke" takes them, what they are for,
and when they expire, at +08:00. Keys are not shown. --all also lists those that have expired or ended.`,
		Example: `  faquan session list --app shop --all`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				all, err := control.ListSessions.On(cmd.Context(), p, f)
				if err != nil {
					return err
				}
				return showSessions(cmd.OutOrStdout(), all)
			})
		},
	}
	locationFlags(cmd, &at)
	cmd.Flags().StringVar(&f.App, "app", "", "only those of the app with this `NAME`")
	cmd.Flags().BoolVar(&f.All, "all", false, "also those that are no longer valid")
	return cmd
}

func showSessions(w io.Writer, all []session.Info) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DIGEST\tKIND\tSTATE\tAPP\tMERCHANT\tUSER\tEXPIRES")
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Digest, s.Kind, s.State, cell(s.App), cell(s.Merchant), cell(s.User), expiresAt(s.Expires))
	}
	return table.Flush()
}

// cell returns a name for a column of a table.
func cell(name string) string {
	if name == "" {
		return "-"
	}
	return quoted(name)
}

func newSessionRevoke() *cobra.Command {
	var at location
	cmd := &cobra.Command{
		Use:   "revoke DIGEST|KEY|-",
		Short: "Revoke a session and what belongs to it",
		Long: `Revoke a session, its refresh token, and everything else that was issued for the same consent. When the command
returns, calls with any of them are refused; on a database, other processes follow within a second.

Name the session by its digest, of which the first 8 digits are enough, by its key, or by "-" to read the key from
standard input, where other users of the machine cannot see it in the list of processes. What "faquan session new"
printed can be the input, too.`,
		Example: `  faquan session revoke 1f9a3c5e
  faquan session revoke - < key.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := nameOrInput(cmd, args[0], "session:")
			if err != nil {
				return err
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				return revoke(cmd.Context(), cmd.OutOrStdout(), p, name)
			})
		},
	}
	locationFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	return cmd
}

// nameOrInput returns an argument, or for "-" the first line of standard input. The line may begin with a label, as where the
// secret was printed.
func nameOrInput(cmd *cobra.Command, arg, label string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	in := bufio.NewScanner(cmd.InOrStdin())
	if !in.Scan() {
		return "", errors.Join(errors.New("standard input is empty"), in.Err())
	}
	return strings.TrimSpace(strings.TrimPrefix(in.Text(), label)), nil
}

func revoke(ctx context.Context, w io.Writer, p control.Platform, name string) error {
	ended, err := control.RevokeSession.On(ctx, p, name)
	if err != nil {
		return err
	}
	if ended == 0 {
		_, err = fmt.Fprintln(w, "it had already ended")
	} else {
		_, err = fmt.Fprintf(w, "ended: %d\n", ended)
	}
	return err
}
