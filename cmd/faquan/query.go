package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/control"
	"faquan/internal/money"
)

func newQuery() *cobra.Command {
	var (
		at      location
		q       control.VoucherQuery
		command string
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "query [VOUCHER]",
		Short: "Find vouchers, and show how they stand",
		Long: `Find vouchers, the newest first, and show how each stands now: its status, its balance, how long it is valid.

They are found by one of: the VOUCHER's id, a number or the voucher_id of 28 digits; --code of a certificate; --user,
by the name in the catalogue, an identifier TYPE:VALUE or OPEN_ID/APP:VALUE, or faquan's number; --template; --trace,
the trace id of the call that issued them; --order, for which they were redeemed; --key of a command, which also shows
what was done under it. A key is unique in its scope, so it needs --command: issue, with the scope as for "faquan
explain"; redeem, void, extend or expire, with --app, or without for those of the operator; reverse, with
--redemption.

A page has --limit vouchers. If there are more, its last line has the --cursor of the next page. Vouchers that are
issued meanwhile appear in no later page, so no voucher is shown twice. Codes and identifiers of people are masked
unless --unmasked. The exit code is 1 when nothing is found.`,
		Example: `  faquan query 771376440531771976
  faquan query --user ALIPAY:2088302001456115 --limit 5
  faquan query --order 2026-8-15 --merchant acme
  faquan query --key 2026-8-15-1 --command redeem --json
  faquan query --key order-1 --command issue --template cinema-10`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				q.Voucher = args[0]
			}
			if err := checkQuery(cmd, &q, command); err != nil {
				return err
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				page, err := control.QueryVouchers.On(cmd.Context(), p, &q)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(cmd.OutOrStdout(), page)
				}
				return showPage(cmd, page)
			})
		},
	}
	locationFlags(cmd, &at)
	f := cmd.Flags()
	f.StringVar(&q.Code, "code", "", "`CODE` of a certificate")
	f.StringVar(&q.User, "user", "", "`USER`: a name, TYPE:VALUE, OPEN_ID/APP:VALUE or faquan's number")
	f.StringVar(&q.Template, "template", "", "`NAME` of a template, or its template_id; with --key of an issue: of the key's template")
	f.StringVar(&q.Trace, "trace", "", "trace `ID` that the caller sent, or was answered")
	f.StringVar(&q.Order, "order", "", "`ID` of an order that vouchers were redeemed for")
	f.StringVar(&q.Merchant, "merchant", "", "`NAME` of the order's merchant (default any)")
	f.StringVar(&q.Key, "key", "", "idempotency `KEY` of a command")
	f.StringVar(&command, "command", "", "`COMMAND` of the key: issue, redeem, reverse, void, extend or expire")
	f.StringVar(&q.Redemption, "redemption", "", "`ID` of the redemption that the key of a reversal belongs to")
	f.StringVar(&q.Scope.App, "app", "", "`NAME` of the key's app")
	f.Int64Var(&q.Scope.Relation, "relation", 0, "relation_id of the activity of an issue's key")
	f.StringVar(&q.Scope.BizCode, "biz-code", "", "biz_code of an issue's key")
	f.IntVar(&q.Limit, "limit", 20, "how many vouchers at most, up to 1000")
	f.StringVar(&q.Cursor, "cursor", "", "`CURSOR` that the page before ended with")
	outputFlags(f, &asJSON, &q.Unmasked)
	return cmd
}

// commandKinds are the values of --command.
var commandKinds = []benefit.OperationKind{
	benefit.IssueOperation, benefit.RedeemOperation, benefit.ReverseOperation, benefit.VoidOperation, benefit.ExtendOperation, benefit.ExpireOperation,
}

func commandNames() (names []string) {
	for _, kind := range commandKinds {
		names = append(names, kind.String())
	}
	return names
}

// checkQuery returns an error for a query that names nothing, or more than one thing. It moves --template of a key into the
// scope.
func checkQuery(cmd *cobra.Command, q *control.VoucherQuery, command string) error {
	if q.Key != "" {
		q.Scope.Template, q.Template = q.Template, ""
	}
	named := 0
	for _, text := range []string{q.Voucher, q.Code, q.User, q.Template, q.Trace, q.Order, q.Key} {
		if text != "" {
			named++
		}
	}
	if named != 1 {
		return usagef("give one of VOUCHER, --code, --user, --template, --trace, --order and --key")
	}
	if q.Limit < 1 || q.Limit > 1000 {
		return usagef("--limit must be from 1 to 1000")
	}
	if q.Merchant != "" && q.Order == "" {
		return usagef("--merchant goes with --order")
	}
	if q.Key == "" {
		if command != "" || q.Redemption != "" || q.Scope != (control.ScopeName{}) {
			return usagef("--command, --redemption, --app, --relation and --biz-code go with --key")
		}
		return nil
	}
	for _, kind := range commandKinds {
		if kind.String() == command {
			q.Command = kind
		}
	}
	switch ofIssue := q.Scope.Template != "" || q.Scope.Relation != 0 || cmd.Flags().Changed("biz-code"); {
	case q.Command == 0:
		return usagef("a key is unique among those of a command: give --command, which is issue, redeem, reverse, void, extend or expire")
	case (q.Command == benefit.ReverseOperation) != (q.Redemption != ""):
		return usagef("--redemption goes with --command reverse, and only with it")
	case q.Command == benefit.IssueOperation && (!ofIssue || q.Scope.Template == "" && q.Scope.App == ""):
		return usagef("a key of an issue is unique in its scope: give --template, or --app with --relation or --biz-code")
	case q.Command != benefit.IssueOperation && ofIssue:
		return usagef("--template, --relation and --biz-code go with --command issue")
	}
	return nil
}

func showPage(cmd *cobra.Command, page *control.VoucherPage) error {
	var p renderer
	if page.Operation != nil {
		p.operation(0, page.Operation)
	}
	if len(page.Vouchers) == 1 && page.Next == "" {
		p.voucher(page.Vouchers[0])
	} else {
		p.vouchers(page.Vouchers)
	}
	if page.Next != "" {
		p.line(0, "there are more: --cursor %s", page.Next)
	}
	_, err := p.WriteTo(cmd.OutOrStdout())
	return err
}

// voucher prints everything about one voucher.
func (p *renderer) voucher(v *control.Voucher) {
	p.line(0, "voucher %s of %s: %s", v.ID, quoted(v.Template), standing(v))
	p.line(1, "voucher_id %s, %s%s", v.LongID, v.Kind, faceOf(v))
	if v.Code != "" {
		p.line(1, "code %s", v.Code)
	}
	p.line(1, "issued %s by app %s, key %s %s", v.IssuedAt, quoted(v.App), quoted(v.Key), scopeName(v.Scope))
	p.line(1, "to %s, user %s", recipient(v.Recipient), v.User)
	if v.CallerTrace != "" {
		p.line(1, "trace id of the caller %s", quoted(v.CallerTrace))
	}
	if v.Operations > 0 {
		p.line(1, "operations %d, the last %s; \"faquan explain %s\" lists them", v.Operations, v.ChangedAt, v.ID)
	}
}

// faceOf describes what a voucher is worth.
func faceOf(v *control.Voucher) (text string) {
	add := func(format string, fen money.Fen) {
		if fen != 0 {
			text += fmt.Sprintf(format, fen.Yuan())
		}
	}
	if v.Balance != nil {
		add(" of %s yuan", money.Fen(v.Amount))
	}
	add(" of %s yuan", v.Face.Reduction)
	add(", price %s yuan", v.Face.Price)
	if v.Face.Percent != 0 {
		text += fmt.Sprintf(", %s %% left to pay", money.Fen(v.Face.Percent).ShortYuan())
	}
	add(", at most %s yuan", v.Face.Ceiling)
	add(", from %s yuan on", v.Face.Threshold)
	return text
}

// vouchers prints a line for each voucher.
func (p *renderer) vouchers(all []*control.Voucher) {
	table := tabwriter.NewWriter(p, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VOUCHER\tTEMPLATE\tSTATUS\tBALANCE\tISSUED\tEND\tUSER")
	for _, v := range all {
		balance := "-"
		if v.Balance != nil {
			balance = money.Fen(*v.Balance).Yuan()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, quoted(v.Template), v.Status, balance, v.IssuedAt, v.End, v.User)
	}
	_ = table.Flush() // into memory
}
