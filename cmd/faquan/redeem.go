package main

import (
	"github.com/spf13/cobra"

	"faquan/internal/benefit"
)

func newRedeem() *cobra.Command {
	var v voucherFlags
	cmd := newVoucherCommand(benefit.RedeemOperation, &v)
	cmd.Short = "Redeem a voucher, once for each key"
	cmd.Long = `Redeem a voucher by its id, a number or the voucher_id of 28 digits, or by the code of a certificate.

faquan computes the discount from the amount of the order and prints it. REDUCTION, DISCOUNT and FIXED_PRICE need
--order-amount. A CASH voucher may be redeemed in parts: without --amount it pays as much of the order as its balance
allows, and without --order-amount all of its balance. All other vouchers are redeemed as a whole, without --amount.
` + keyHelp
	cmd.Example = `  faquan redeem 771376440531771976 --order 2026-8-15 --order-amount 128 --key 2026-8-15-1
  faquan redeem --code 383977292112 --shop store-7 --holder ALIPAY:2088302001456115
  faquan redeem 2026113000771376440531771976 --amount 4.50 --json`
	f := cmd.Flags()
	f.StringVar(&v.command.Order, "order", "", "`ID` of the merchant's order, by which the redemption can be found")
	f.StringVar(&v.command.Shop, "shop", "", "`NAME` of the shop")
	addYuan(f, &v.command.OrderAmount, "order-amount", "amount of the order in `YUAN`, before the discount")
	addYuan(f, &v.command.Amount, "amount", "how much to take of a CASH voucher, in `YUAN`")
	return cmd
}
