package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/audit"
	"faquan/internal/control"
)

func newAudit() *cobra.Command {
	var (
		dir    string
		o      control.AuditOptions
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove that the store keeps its promises",
		Long: `Count everything again from the rows and compare: stock, budgets and limits are kept, every counter is what its vouchers
say, every key has one outcome, every voucher has its issuance and is found. Beside a running process it audits a
snapshot while that goes on issuing.

Whatever is wrong is printed with the promise it breaks, the row by its ids, and what the row should say; then the exit
code is 1. A doubt is a row that today's rules would not allow and those of its day may have; doubts do not count.`,
		Example: `  faquan audit --data ./data
  faquan audit --data ./data --json | jq .checked`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := mustExist(dir); err != nil {
				return err
			}
			return withPlatform(cmd.Context(), dir, func(p control.Platform) error {
				start := time.Now()
				report, err := p.Audit(cmd.Context(), o)
				if err != nil {
					return err
				}
				return showReport(cmd.OutOrStdout(), report, time.Since(start), asJSON)
			})
		},
	}
	dataFlag(cmd, &dir)
	cmd.Flags().IntVar(&o.LookupEvery, "lookup-every", 0, "ask back for every `N`th issuance and user; 1 is all, -1 none (default 100)")
	cmd.Flags().IntVar(&o.MaxFindings, "max-findings", 0, "list `N` findings at most (default 1000)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// showReport prints the report. Its error says that something is wrong with the store.
func showReport(w io.Writer, r *audit.Report, took time.Duration, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		writeReport(w, r, took)
	}
	if !r.OK() {
		return fmt.Errorf("audit: %d findings", int64(len(r.Findings))+r.More)
	}
	return nil
}

func writeReport(w io.Writer, r *audit.Report, took time.Duration) {
	c := &r.Checked
	fmt.Fprintf(w, "checked %d vouchers of %d issuances, %d templates, %d counters of users, %d users, %d look-ups in %s\n",
		c.Vouchers, c.Issuances, c.Templates, c.Quotas, c.Users, c.Lookups, took.Round(time.Millisecond))
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	for _, promise := range r.NotKept {
		fmt.Fprintf(w, "not checked: %s\n", promise)
	}
	for _, d := range r.Doubts {
		fmt.Fprintf(w, "doubt: template %d, %s: %d rows, the first %s\n", d.Template, d.Rule, d.Rows, d.First)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "FINDING %s\n", f)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d findings more\n", r.More)
	}
	if r.OK() {
		fmt.Fprintln(w, "nothing is wrong")
	}
}
