package main

import (
	"github.com/spf13/cobra"

	"faquan/internal/benefit"
)

func newVoid() *cobra.Command {
	var v voucherFlags
	cmd := newVoucherCommand(benefit.VoidOperation, &v)
	cmd.Short = "Void a voucher, once for each key"
	cmd.Long = `Void a voucher for good. It may be expired; nothing of it may be redeemed, unless that was reversed.

With --return-stock another one may be issued in its place: the counters of the template, of the day of the issue, of
the user and of the user's person go down. Participations in activities do not.
` + keyHelp
	cmd.Example = `  faquan void 771376440531771976 --return-stock --memo "issued by mistake" --key ticket-4711`
	f := cmd.Flags()
	f.BoolVar(&v.command.ReturnStock, "return-stock", false, "another voucher may be issued in its place")
	f.StringVar(&v.command.Memo, "memo", "", "`TEXT` that says why, at most 256 characters")
	return cmd
}
