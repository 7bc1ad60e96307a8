package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"faquan/internal/control"
)

func newExplain() *cobra.Command {
	var (
		at     location
		s      control.Search
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "explain [VOUCHER]",
		Short: "Explain why something was issued or refused, and what became of it",
		Long: `Explain how issued vouchers came about: who asked for what under which key, which version of the catalogue decided,
what the rules read, the counters, and the caps and limits that they were compared with. Then everything that was done
to the vouchers since: redemptions, reversals, voids, extensions and early ends, each with its time, key, app and
order.

What was issued is found by one of VOUCHER or --voucher, --code (of a certificate), --trace (a trace id that the
caller sent, which finds all its issuances in order, or one that the caller received) and --key with its scope:
--template for alipay.marketing.voucher.send, --app and --relation for taobao.mobile.promotion.benefit.activity.send,
--app and --biz-code for alibaba.alsc.upp.right.decisionsend.

A call that was refused leaves nothing in the store. The serving process remembers the latest of them and their answers:
a --trace or --key under which nothing was issued is looked up there. --refusals lists them, newest first: all, or those
of a --trace or a --key. On a database it asks all processes on this machine that were started with this --data, and
names the process of each call; processes on other machines have to be asked there.

Codes and identifiers of people are masked unless --unmasked. The exit code is 1 when nothing is found.`,
		Example: `  faquan explain 2203102002536848287
  faquan explain --trace 5e7541dc-89ec-4283-a943-e1f3b72fc975
  faquan explain --key order-1 --template cinema-20
  faquan explain --key AE432CBF12A012 --app shop --relation 12345234
  faquan explain --code 383977292112 --json
  faquan explain --refusals --trace 5e7541dc-89ec-4283-a943-e1f3b72fc975`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if s.Voucher != "" {
					return usagef("name one voucher: its id, or --voucher")
				}
				s.Voucher = args[0]
			}
			if err := checkSearch(&s, cmd.Flags().Changed("biz-code")); err != nil {
				return err
			}
			if err := at.mustExist(); err != nil {
				return err
			}
			if !s.Refusals {
				err := openPlatform(cmd.Context(), at, func(p control.Platform) error {
					return explain(cmd.Context(), cmd.OutOrStdout(), finderOf(p), &s, asJSON)
				})
				if !errors.Is(err, control.ErrNotFound) || s.Trace == "" && s.Key == "" {
					return err
				}
			}
			return explainRefusals(cmd, at, s, asJSON)
		},
	}
	locationFlags(cmd, &at)
	f := cmd.Flags()
	f.StringVar(&s.Voucher, "voucher", "", "`ID` of a voucher, a number or Alipay's voucher_id")
	f.StringVar(&s.Code, "code", "", "`CODE` of a certificate")
	f.StringVar(&s.Trace, "trace", "", "trace `ID` that the caller sent, or was answered: trace_id on Alipay, request_id on TOP")
	f.StringVar(&s.Key, "key", "", "idempotency `KEY`")
	f.StringVar(&s.Scope.Template, "template", "", "`NAME` of the key's template, or its template_id")
	f.StringVar(&s.Scope.App, "app", "", "`NAME` of the key's app")
	f.Int64Var(&s.Scope.Relation, "relation", 0, "relation_id of the key's activity")
	f.StringVar(&s.Scope.BizCode, "biz-code", "", "biz_code of the key")
	f.BoolVar(&s.Refusals, "refusals", false, "look among the latest calls that issued nothing, of the serving process")
	f.IntVar(&s.Limit, "limit", 100, "how many at most")
	outputFlags(f, &asJSON, &s.Unmasked)
	return cmd
}

// checkSearch returns an error for a search that names nothing, or more than one thing.
func checkSearch(s *control.Search, bizCode bool) error {
	named := 0
	for _, text := range []string{s.Voucher, s.Code, s.Trace, s.Key} {
		if text != "" {
			named++
		}
	}
	scoped := s.Scope.Template != "" || s.Scope.App != "" && (s.Scope.Relation != 0 || bizCode)
	switch {
	case s.Refusals && (s.Voucher != "" || s.Code != ""):
		return usagef("a refused request has no voucher and no code; look by --trace or --key")
	case named > 1:
		return usagef("give one of --voucher, --code, --trace and --key")
	case s.Refusals:
		return nil
	case named == 0:
		return usagef("give one of --voucher, --code, --trace and --key, or --refusals")
	case s.Key != "" && !scoped:
		return usagef("a key is unique in its scope: give --template, or --app with --relation or --biz-code")
	case s.Key == "" && s.Scope != (control.ScopeName{}):
		return usagef("--template, --app, --relation and --biz-code go with --key")
	}
	return nil
}

// finder finds decisions.
type finder func(context.Context, *control.Search) ([]*control.Decision, error)

func finderOf(p control.Platform) finder {
	return func(ctx context.Context, s *control.Search) ([]*control.Decision, error) {
		return control.Find.On(ctx, p, s)
	}
}

// refusedBy returns the finder of refusals: the process that serves the directory, or those of this machine on the
// database. It prints how many are asked, because other machines may have more.
func refusedBy(note io.Writer, at location) (find finder, err error) {
	if at.store == "" {
		var one *control.Client
		one, err = control.Dial(at.dir)
		find = finderOf(one)
	} else {
		var all control.Processes
		if all, err = control.DialShared(at.dir); err == nil {
			fmt.Fprintf(note, "asking %d processes, those on this machine with --data %s\n", len(all), at.dir)
		}
		find = all.Find
	}
	if errors.Is(err, control.ErrNotServed) {
		err = fmt.Errorf("only the process that refused a request remembers it: %w", err)
	}
	return find, err
}

// explainRefusals searches the refusals: with --refusals, or when nothing that was issued is found.
func explainRefusals(cmd *cobra.Command, at location, s control.Search, asJSON bool) error {
	wanted := s.Refusals
	s.Refusals = true
	find, err := refusedBy(cmd.ErrOrStderr(), at)
	if err == nil {
		err = explain(cmd.Context(), cmd.OutOrStdout(), find, &s, asJSON)
	}
	switch {
	case wanted:
	case errors.Is(err, control.ErrNotServed):
		return fmt.Errorf("%w among what was issued; only a serving process knows what was refused, and none serves the data directory", control.ErrNotFound)
	case errors.Is(err, control.ErrNotFound):
		return fmt.Errorf("%w, neither issued nor among the latest refusals", err)
	}
	return err
}

func explain(ctx context.Context, w io.Writer, find finder, s *control.Search, asJSON bool) error {
	found, err := find(ctx, s)
	if len(found) == 0 && err != nil {
		return err
	}
	if asJSON {
		return errors.Join(err, writeJSON(w, found))
	}
	for k, decision := range found {
		if k > 0 {
			fmt.Fprintln(w)
		}
		if showErr := showDecision(w, decision); showErr != nil {
			return errors.Join(err, showErr)
		}
	}
	if len(found) == s.Limit {
		fmt.Fprintf(w, "\n%d are shown; there may be more (--limit)\n", s.Limit)
	}
	return err
}
