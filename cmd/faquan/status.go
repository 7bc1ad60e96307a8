package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/control"
	"faquan/internal/money"
)

func newStatus() *cobra.Command {
	var at location
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [TEMPLATE]",
		Short: "Show what is issued and left of each template, and how the serving process does",
		Long: `Show for each template, or for one by its name or its template_id, how many vouchers are issued and how many are left,
in total and today, and the same for the budget in yuan. A voucher that was voided with its stock returned does not
count. "-" is left where there is no cap. The day begins at 00:00 at +08:00.

With a TEMPLATE, it also shows how many of its vouchers are issued per second now, by all processes: it counts for
one second. On a data directory that no process serves it does not.

If a process serves, what only it knows follows: whether it can issue, as /readyz answers; how many vouchers it issues
per second, of all templates, over the last ten seconds; how many requests wait for a batch; and how many calls it
refused in the last hour, by reason, or by the code of the answer for calls that were refused before a decision: as many
as it has kept, at most 100,000. With a TEMPLATE these are the calls for it. On a database each process on this machine
that was started with this --data is asked, and each has issued and refused only what it was asked for itself.`,
		Example: `  faquan status
  faquan status cinema-10 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			var status platformStatus
			err := openExisting(cmd.Context(), at, func(p control.Platform) (err error) {
				if status.Templates, err = control.Templates.On(cmd.Context(), p, name); err != nil {
					return err
				}
				if at.store == "" {
					one, err := control.Process.On(cmd.Context(), p, name)
					if errors.Is(err, control.ErrNotServed) {
						return nil
					}
					if err != nil {
						return err
					}
					status.Processes = append(status.Processes, one)
				}
				if name != "" {
					status.Rate, err = templateRate(cmd.Context(), p, &status.Templates[0])
				}
				return err
			})
			if err != nil {
				return err
			}
			if at.store != "" {
				processes, notServed := control.DialShared(at.dir)
				if notServed != nil && !errors.Is(notServed, control.ErrNotServed) {
					return notServed
				}
				status.Processes, err = processes.Status(cmd.Context(), name)
			}
			if asJSON {
				return errors.Join(err, writeJSON(cmd.OutOrStdout(), &status))
			}
			return errors.Join(err, status.show(cmd.OutOrStdout()))
		},
	}
	locationFlags(cmd, &at)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// platformStatus is the output of the command.
type platformStatus struct {
	Templates []control.TemplateStatus `json:"templates"`
	Rate      *float64                 `json:"rate,omitempty"`      // vouchers of the one template per second
	Processes []*control.ProcessStatus `json:"processes,omitempty"` // those that serve, as far as they can be asked
}

// templateRate returns how many vouchers of a template are issued per second, from its status and that of a second later.
func templateRate(ctx context.Context, p control.Platform, before *control.TemplateStatus) (*float64, error) {
	start := time.Now()
	if !wait(ctx, time.Second) {
		return nil, ctx.Err()
	}
	after, err := control.Templates.On(ctx, p, before.Name)
	if err != nil {
		return nil, err
	}
	more := max(0, after[0].Total.Issued-before.Total.Issued) // fewer when stock was returned
	rate := float64(more) / time.Since(start).Seconds()
	return &rate, nil
}

func (s *platformStatus) show(w io.Writer) error {
	var p renderer
	table := tabwriter.NewWriter(&p, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TEMPLATE\tKIND\tSTATUS\tISSUED\tLEFT\tYUAN LEFT\tTODAY\tLEFT TODAY\tYUAN LEFT TODAY")
	for _, t := range s.Templates {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%d\t%s\t%s\n", quoted(t.Name), t.Kind, t.Status,
			t.Total.Issued, left(t.Total.Left), yuanLeft(t.Total.AmountLeft),
			t.Today.Issued, left(t.Today.Left), yuanLeft(t.Today.AmountLeft))
	}
	_ = table.Flush() // into memory
	if s.Rate != nil {
		p.line(0, "")
		p.line(0, "%.1f vouchers per second are issued now", *s.Rate)
	}
	for _, one := range s.Processes {
		state := "ready"
		if !one.Ready {
			state = "not ready: " + one.Unready
		}
		p.line(0, "")
		p.line(0, "process %d at %s: %s", one.PID, one.URL, state)
		p.line(1, "issues %.1f vouchers per second; %d requests wait", one.Rate, one.Waiting)
		refused := "none"
		for k, r := range one.Refusals {
			if k == 0 {
				refused = ""
			} else {
				refused += ", "
			}
			refused += fmt.Sprintf("%d %s", r.Calls, quoted(r.Reason))
		}
		p.line(1, "refused since %s: %s", one.RefusalsSince, refused)
	}
	_, err := p.WriteTo(w)
	return err
}

// left returns what is left of a cap, for a column of a table.
func left(n *int64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatInt(*n, 10)
}

func yuanLeft(fen *int64) string {
	if fen == nil {
		return "-"
	}
	return money.Fen(*fen).Yuan()
}
