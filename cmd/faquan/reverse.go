package main

import (
	"github.com/spf13/cobra"

	"faquan/internal/benefit"
)

func newReverse() *cobra.Command {
	var v voucherFlags
	cmd := &cobra.Command{
		Use:   "reverse REDEMPTION",
		Short: "Give back what a redemption took, once for each key",
		Long: `Reverse a redemption: the voucher gets back what was taken, and is no longer USED. Its end stays as it was, so it may
be expired. A redemption of a CASH voucher may be reversed in parts, all others as a whole.

The redemption is named by the id that redeem, query and explain print, such as 771376440531771976-1. The key belongs
to the redemption: reversals of two redemptions may have the same.
` + keyHelp,
		Example: `  faquan reverse 771376440531771976-1 --key return-17
  faquan reverse 771376440531771976-1 --amount 1.50`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v.command.Redemption = args[0]
			return v.run(cmd)
		},
	}
	v.flags(cmd, benefit.ReverseOperation)
	addYuan(cmd.Flags(), &v.command.Amount, "amount", "how much to give back to a CASH voucher, in `YUAN` (default all that is left of the redemption)")
	return cmd
}
