package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/control"
	"faquan/internal/token"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke tokens for the JSON API",
		Long: `A token lets a program, such as a shop system, call the JSON API (--api-listen of "faquan serve") for an app: redeem
vouchers of the app's merchant, and so on. Calls send its secret in the header "Authorization: Bearer …".
See docs/api.md.

If a process serves the directory, it makes the change. When the command returns, the change is durable, and in force in
all processes, on a database too.`,
		Example: `  faquan token make --app shop --scope redeem,query
  faquan token list
  faquan token revoke 1f9a3c5e`,
	}
	cmd.AddCommand(newTokenMake(), newTokenList(), newTokenRevoke())
	return cmd
}

func newTokenMake() *cobra.Command {
	var at location
	var o token.Order
	lifetime := lifetimeFlag(90 * day)
	cmd := &cobra.Command{
		Use:        "make --app APP --scope SCOPES",
		SuggestFor: []string{"new", "create", "add"},
		Short:      "Make a token and print its secret",
		Long: `Make a token and print its secret, which is shown only once: the store keeps its digest, and nothing can show the secret
again.

The scopes are what the token permits: query, redeem, reverse, void, extend, expire, events. Give a program only those
that it needs.`,
		Example: `  faquan token make --app shop --scope redeem,query
  faquan token make --app shop --scope redeem,reverse,query --for 365d --label "till of the shop in Hangzhou"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Lifetime = time.Duration(lifetime)
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				g, err := control.MakeToken.On(cmd.Context(), p, o)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "token: %s\nid: %s\nexpires: %s\n", g.Secret, g.ID, expiresAt(g.Expires))
				return err
			})
		},
	}
	locationFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	cmd.Flags().StringVar(&o.App, "app", "", "`NAME` of the app that it acts for")
	cmd.Flags().StringSliceVar(&o.Scopes, "scope", nil, "`SCOPES` that it has, joined by commas: "+strings.Join(token.ScopeNames(), ","))
	cmd.Flags().Var(&lifetime, "for", "`DURATION` that it is valid, such as 90d or 12h; never (or 0) is forever")
	cmd.Flags().StringVar(&o.Label, "label", "", "`TEXT` for the list, such as where the token is used")
	_ = cmd.MarkFlagRequired("app")
	_ = cmd.MarkFlagRequired("scope")
	return cmd
}

const day = 24 * time.Hour

// lifetimeFlag is a duration that may be given in days; 0 is forever.
type lifetimeFlag time.Duration

func (l *lifetimeFlag) Type() string { return "duration" }

func (l *lifetimeFlag) String() string {
	switch d := time.Duration(*l); {
	case d == 0:
		return "never"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	default:
		return d.String()
	}
}

func (l *lifetimeFlag) Set(text string) error {
	if text == "never" {
		text = "0"
	}
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16) // as many days as a token may be valid fit in 16 bits
		d = time.Duration(n) * day
	}
	if err != nil {
		return fmt.Errorf("%q is not a duration like 90d or 12h, nor never", text)
	}
	*l = lifetimeFlag(d)
	return nil
}

func newTokenList() *cobra.Command {
	var at location
	var f token.Filter
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tokens, without their secrets",
		Long: `List the tokens that are valid now: their id, by which "faquan token revoke" takes them, what they are for, and when
they expire, at +08:00. --all also lists those that have expired or were revoked.`,
		Example: `  faquan token list --app shop --all`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				all, err := control.ListTokens.On(cmd.Context(), p, f)
				switch {
				case err != nil:
					return err
				case asJSON:
					return writeTokens(cmd.OutOrStdout(), all)
				default:
					return showTokens(cmd.OutOrStdout(), all)
				}
			})
		},
	}
	locationFlags(cmd, &at)
	cmd.Flags().StringVar(&f.App, "app", "", "only those of the app with this `NAME`")
	cmd.Flags().BoolVar(&f.All, "all", false, "also those that are no longer valid")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func showTokens(w io.Writer, all []token.Info) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTATE\tAPP\tSCOPES\tLABEL\tMADE\tEXPIRES")
	for _, t := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			t.ID, t.State, cell(t.App), joinScopes(t.Scopes), cell(t.Label), t.Made, expiresAt(t.Expires))
	}
	return table.Flush()
}

func joinScopes(scopes []benefit.TokenScope) string {
	var names []string
	for _, scope := range scopes {
		names = append(names, string(scope))
	}
	return strings.Join(names, ",")
}

// writeTokens writes the tokens for programs.
func writeTokens(w io.Writer, all []token.Info) error {
	type info struct {
		ID      string               `json:"id"`
		State   string               `json:"state"`
		App     string               `json:"app"`
		Scopes  []benefit.TokenScope `json:"scopes"`
		Label   string               `json:"label"`
		Made    string               `json:"made"`
		Expires string               `json:"expires,omitzero"` // without it: never
	}
	list := make([]info, len(all))
	for k, t := range all {
		list[k] = info{t.ID, t.State, t.App, t.Scopes, t.Label, t.Made.String(), t.Expires.String()}
	}
	return writeJSON(w, list)
}

func newTokenRevoke() *cobra.Command {
	var at location
	cmd := &cobra.Command{
		Use:   "revoke ID|SECRET|-",
		Short: "Revoke a token",
		Long: `Revoke a token. When the command returns, calls with it are refused.

Name the token by its id, of which the first 8 digits are enough, by its secret, or by "-" to read the secret from
standard input, where other users of the machine cannot see it in the list of processes. What "faquan token make"
printed can be the input, too.`,
		Example: `  faquan token revoke 1f9a3c5e
  faquan token revoke - < token.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := nameOrInput(cmd, args[0], "token:")
			if err != nil {
				return err
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				revoked, err := control.RevokeToken.On(cmd.Context(), p, name)
				if err != nil {
					return err
				}
				answer := "revoked"
				if !revoked {
					answer = "it had already been revoked"
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), answer)
				return err
			})
		},
	}
	locationFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	return cmd
}
