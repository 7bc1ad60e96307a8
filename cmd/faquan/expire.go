package main

import (
	"github.com/spf13/cobra"

	"faquan/internal/benefit"
)

func newExpire() *cobra.Command {
	var v voucherFlags
	cmd := newVoucherCommand(benefit.ExpireOperation, &v)
	cmd.Short = "End the validity of a voucher now, once for each key"
	cmd.Long = `End the validity of a voucher now: it is EXPIRED from this moment on. "faquan extend" undoes it; a voucher that was
voided stays void.
` + keyHelp
	cmd.Example = `  faquan expire 771376440531771976 --key ticket-4711`
	return cmd
}
