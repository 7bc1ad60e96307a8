package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/control"
	"faquan/internal/money"
)

// This file has what the commands that change a voucher share: redeem, reverse, void, extend and expire.

// keyHelp is the paragraph about keys in their help.
const keyHelp = `
A command with a --key is carried out once, however often it is repeated: a repetition prints what was done then.
Without --key, a new key is made and printed before anything is done. If the outcome is unknown (exit code 3), for
example because the server was killed, repeat the command with the key.

A refusal prints its reason, changes nothing, and does not use the key up; the exit code is 1.`

// voucherFlags holds the flags of a command that changes a voucher.
type voucherFlags struct {
	at      location
	command control.VoucherCommand
	asJSON  bool
}

// newVoucherCommand returns a command that changes the voucher in its argument or behind --code. The caller adds the flags of
// its own to it.
func newVoucherCommand(kind benefit.OperationKind, v *voucherFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: kind.String() + " VOUCHER|--code CODE", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) == (v.command.Code == "") {
				return usagef("name one voucher: its id, or --code")
			}
			if len(args) > 0 {
				v.command.Voucher = args[0]
			}
			return v.run(cmd)
		},
	}
	v.flags(cmd, kind)
	cmd.Flags().StringVar(&v.command.Code, "code", "", "`CODE` of a certificate, in place of the id")
	return cmd
}

func (v *voucherFlags) flags(cmd *cobra.Command, kind benefit.OperationKind) {
	v.command.Command = kind
	locationFlags(cmd, &v.at)
	clockFlag(cmd, &v.at.acceptClock)
	f := cmd.Flags()
	f.StringVar(&v.command.Key, "key", "", "idempotency `KEY`, 1 to 64 characters (default a new one)")
	f.StringVar(&v.command.Holder, "holder", "", "refuse unless the voucher belongs to this user, `TYPE:VALUE` or OPEN_ID/APP:VALUE")
	outputFlags(f, &v.asJSON, &v.command.Unmasked)
}

// run asks for the command and prints the result. An unknown outcome must not leave the key unknown, so a key that is made
// here is printed first.
func (v *voucherFlags) run(cmd *cobra.Command) error {
	if cmd.Flags().Changed("key") {
		if !benefit.ValidKey(v.command.Key) {
			return usagef("--key must have 1 to %d characters", benefit.MaxKey)
		}
	} else {
		v.command.Key = rand.Text()
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "key %s; if the outcome is unknown, repeat the command with --key %[1]s\n", v.command.Key); err != nil {
			return err
		}
	}
	return openExisting(cmd.Context(), v.at, func(p control.Platform) error {
		result, err := control.OnVoucher.On(cmd.Context(), p, &v.command)
		if err != nil {
			return err
		}
		if v.asJSON {
			err = writeJSON(cmd.OutOrStdout(), result)
		} else if result.Outcome == control.Done {
			var p renderer
			p.result(result)
			_, err = p.WriteTo(cmd.OutOrStdout())
		}
		if err == nil && result.Outcome != control.Done {
			err = fmt.Errorf("refused: %s: %s", result.Reason, result.Explanation)
		}
		return err
	})
}

func (p *renderer) result(r *control.VoucherResult) {
	if r.Replayed {
		p.line(0, "already carried out under this key")
	}
	p.operation(0, r.Operation)
	p.line(0, "voucher %s of %s: %s", r.Voucher.ID, quoted(r.Voucher.Template), standing(r.Voucher))
}

// operation prints what was done to a voucher, and how it stood just after.
func (p *renderer) operation(level int, o *control.Operation) {
	by := "the operator"
	if o.App != "" {
		by = "app " + quoted(o.App)
	}
	parts := []string{fmt.Sprintf("%s  %s %s by %s", o.At, o.Command, o.ID, by), "key " + quoted(o.Key)}
	add := func(given bool, format string, args ...any) {
		if given {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(o.Redemption != "", "of %s", o.Redemption)
	add(o.Amount != 0, "%s yuan", money.Fen(o.Amount).Yuan())
	add(o.Discount != 0 && o.Amount == 0, "discount %s yuan", money.Fen(o.Discount).Yuan())
	add(o.Order != "", "order %s", quoted(o.Order))
	add(o.OrderAmount != 0, "amount of the order %s yuan", money.Fen(o.OrderAmount).Yuan())
	add(o.Shop != "", "shop %s", quoted(o.Shop))
	add(o.ReturnStock, "stock returned")
	add(o.Memo != "", "memo %s", quoted(o.Memo))
	add(o.Command == "extend" || o.Command == "expire", "valid to %s", o.End)
	after := o.Status
	if o.Balance != nil {
		after += ", balance " + money.Fen(*o.Balance).Yuan() + " yuan"
	}
	p.line(level, "%s → %s", strings.Join(parts, ", "), after)
	switch {
	case o.GivenBack != 0:
		p.line(level+1, "of which %s yuan were given back later", money.Fen(o.GivenBack).Yuan())
	case o.Reversed:
		p.line(level+1, "it was reversed later")
	}
}

// standing describes how a voucher stands.
func standing(v *control.Voucher) string {
	text := v.Status
	if v.NotStarted {
		text += " (not yet valid)"
	}
	if v.Balance != nil {
		text += fmt.Sprintf(", balance %s of %s yuan", money.Fen(*v.Balance).Yuan(), money.Fen(v.Amount).Yuan())
	}
	if v.Start != "" {
		text += ", valid from " + v.Start
	}
	if v.End != "" {
		text += " to " + v.End
	}
	return text
}

// yuanFlag is a flag for an amount in yuan that may be left out.
type yuanFlag struct{ to **money.Fen }

func addYuan(f *pflag.FlagSet, to **money.Fen, name, usage string) { f.Var(yuanFlag{to}, name, usage) }

// Set parses an amount.
func (y yuanFlag) Set(text string) error {
	amount, err := money.ParseYuan(text)
	if err == nil && amount == 0 {
		err = errors.New("must be at least 0.01")
	}
	*y.to = &amount
	return err
}

func (y yuanFlag) String() string {
	if y.to == nil || *y.to == nil {
		return ""
	}
	return (**y.to).Yuan()
}

// Type returns the name of the value in help texts.
func (yuanFlag) Type() string { return "YUAN" }

// timeFlag is a flag for a time, to the second.
type timeFlag struct{ to *benefit.Instant }

// Set parses a time as catalogue files have it.
func (t timeFlag) Set(text string) (err error) {
	*t.to, err = catalog.ParseTime(text)
	return err
}

func (t timeFlag) String() string {
	if t.to == nil {
		return ""
	}
	return t.to.String()
}

// Type returns the name of the value in help texts.
func (timeFlag) Type() string { return "TIME" }
