package main

import (
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"faquan/internal/control"
	"faquan/internal/money"
)

func newStatus() *cobra.Command {
	var at location
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [TEMPLATE]",
		Short: "Show what is issued of each template, and what is left",
		Long: `Show for each template, or for one by its name or its template_id, how many vouchers are issued and how many are left,
in total and today, and the same for the budget in yuan. A voucher that was voided with its stock returned does not
count. "-" is left where there is no cap. The day begins at 00:00 at +08:00.`,
		Example: `  faquan status
  faquan status cinema-10 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				all, err := control.Templates.On(cmd.Context(), p, name)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(cmd.OutOrStdout(), all)
				}
				table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "TEMPLATE\tKIND\tSTATUS\tISSUED\tLEFT\tYUAN LEFT\tTODAY\tLEFT TODAY\tYUAN LEFT TODAY")
				for _, t := range all {
					fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%d\t%s\t%s\n", quoted(t.Name), t.Kind, t.Status,
						t.Total.Issued, left(t.Total.Left), yuanLeft(t.Total.AmountLeft),
						t.Today.Issued, left(t.Today.Left), yuanLeft(t.Today.AmountLeft))
				}
				return table.Flush()
			})
		},
	}
	locationFlags(cmd, &at)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
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
