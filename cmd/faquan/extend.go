package main

import (
	"github.com/spf13/cobra"

	"faquan/internal/benefit"
)

func newExtend() *cobra.Command {
	var (
		v    voucherFlags
		last benefit.Instant // in which it can be used
	)
	cmd := newVoucherCommand(benefit.ExtendOperation, &v)
	cmd.Use += " --end TIME"
	cmd.Short = "Move the end of a voucher to a later time, once for each key"
	cmd.Long = `Move the end of a voucher's validity to a later time, at most ten years from now. An expired voucher can be used
again.

--end is the last second in which the voucher can be used, as in catalogue files: 2027-01-31 23:59:59, at +08:00, or
with a zone 2027-01-31T23:59:59+08:00.
` + keyHelp
	cmd.Example = `  faquan extend 771376440531771976 --end "2027-01-31 23:59:59" --key ticket-4711`
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v.command.End = last + 1000
		return run(cmd, args)
	}
	cmd.Flags().Var(timeFlag{&last}, "end", "the last second of the validity, a `TIME` such as \"2027-01-31 23:59:59\"")
	_ = cmd.MarkFlagRequired("end")
	return cmd
}
