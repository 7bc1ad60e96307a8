package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"faquan/internal/control"
	"faquan/internal/refusals"
	"faquan/internal/vfs"
)

func newExplain() *cobra.Command {
	var (
		at     location
		s      control.Search
		cursor string
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

A call that was refused leaves nothing in the store. The serving process keeps the latest of these calls in files of
the data directory, with their answers: a --trace or --key under which nothing was issued is looked up there. --refusals
lists them, newest first: all, or those of a --trace, a --key or a --user. On a database each process keeps its own.
The command asks all processes on this machine that were started with this --data, reads the files of those that have
ended, and names the process or the files of each call. Processes on other machines have to be asked there.

--user explains a user: who it is, whether it is frozen, how much of each template it has received and may receive, a
page of its vouchers, the newest first, as "faquan query --user" has them, and the latest calls for it that issued
nothing, which may exist for a user who has never received anything. --cursor shows the next page of vouchers.

Codes and identifiers of people are masked unless --unmasked. The exit code is 1 when nothing is found.`,
		Example: `  faquan explain 2203102002536848287
  faquan explain --trace 5e7541dc-89ec-4283-a943-e1f3b72fc975
  faquan explain --key order-1 --template cinema-20
  faquan explain --key AE432CBF12A012 --app shop --relation 12345234
  faquan explain --code 383977292112 --json
  faquan explain --user ALIPAY:2088302001456115
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
			switch {
			case cursor != "" && (s.User == "" || s.Refusals):
				return usagef("--cursor goes with --user")
			case s.User != "" && !s.Refusals:
				return explainUser(cmd, at, s, cursor, asJSON)
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
	f.StringVar(&s.User, "user", "", "`USER`: a name, TYPE:VALUE, OPEN_ID/APP:VALUE or faquan's number")
	f.StringVar(&cursor, "cursor", "", "`CURSOR` that the page of the user's vouchers before ended with")
	f.BoolVar(&s.Refusals, "refusals", false, "look among the latest calls that issued nothing")
	f.IntVar(&s.Limit, "limit", 100, "how many at most, of a user also vouchers")
	outputFlags(f, &asJSON, &s.Unmasked)
	return cmd
}

// checkSearch returns an error for a search that names nothing, or more than one thing.
func checkSearch(s *control.Search, bizCode bool) error {
	named := 0
	for _, text := range []string{s.Voucher, s.Code, s.Trace, s.Key, s.User} {
		if text != "" {
			named++
		}
	}
	scoped := s.Scope.Template != "" || s.Scope.App != "" && (s.Scope.Relation != 0 || bizCode)
	switch {
	case s.Refusals && (s.Voucher != "" || s.Code != ""):
		return usagef("a refused request has no voucher and no code; look by --trace, --key or --user")
	case named > 1:
		return usagef("give one of --voucher, --code, --trace, --key and --user")
	case s.Refusals:
		return nil
	case named == 0:
		return usagef("give one of --voucher, --code, --trace, --key and --user, or --refusals")
	case s.Key != "" && !scoped:
		return usagef("a key is unique in its scope: give --template, or --app with --relation or --biz-code")
	case s.Key == "" && s.Scope != (control.ScopeName{}):
		return usagef("--template, --app, --relation and --biz-code go with --key")
	}
	return nil
}

func finderOf(p control.Platform) control.Finder {
	return func(ctx context.Context, s *control.Search) ([]*control.Decision, error) {
		return control.Find.On(ctx, p, s)
	}
}

// explainRefusals searches the refusals: with --refusals, or when nothing that was issued is found.
func explainRefusals(cmd *cobra.Command, at location, s control.Search, asJSON bool) error {
	wanted := s.Refusals
	s.Refusals = true
	err := withRefusals(cmd, at, func(find control.Finder) error { return explain(cmd.Context(), cmd.OutOrStdout(), find, &s, asJSON) })
	switch {
	case wanted:
	case errors.Is(err, control.ErrNotServed):
		return fmt.Errorf("%w among what was issued; %w", control.ErrNotFound, err)
	case errors.Is(err, control.ErrNotFound):
		return fmt.Errorf("%w, neither issued nor among the latest refusals", err)
	}
	return err
}

// withRefusals calls fn with a finder of the refusals.
func withRefusals(cmd *cobra.Command, at location, fn func(control.Finder) error) error {
	if at.store != "" {
		return withSharedRefusals(cmd, at, fn)
	}
	return openPlatform(cmd.Context(), at, func(p control.Platform) error { return fn(finderOf(p)) })
}

// withSharedRefusals calls fn with a finder of the refusals on a database: it asks the processes of this machine and reads
// the files of those that have ended. It prints which these are, because other machines may have more.
func withSharedRefusals(cmd *cobra.Command, at location, fn func(control.Finder) error) error {
	processes, notServed := control.DialShared(at.dir)
	if notServed != nil && !errors.Is(notServed, control.ErrNotServed) {
		return notServed
	}
	ended, err := refusals.Ended(vfs.OS, at.refusals())
	if err != nil {
		return err
	}
	if len(processes)+len(ended) == 0 {
		return fmt.Errorf("each process keeps its own refusals, and there are none here: %w", notServed)
	}
	note := cmd.ErrOrStderr()
	fmt.Fprintf(note, "asking %d processes, those on this machine with --data %s\n", len(processes), at.dir)
	all := processes.Finders()
	find := func(ctx context.Context, s *control.Search) ([]*control.Decision, error) {
		return control.FindAll(ctx, all, s)
	}
	if len(ended) == 0 {
		return fn(find)
	}
	n, err := openNode(cmd.Context(), at, nodeOptions{})
	if err != nil {
		return err
	}
	for _, left := range ended {
		fmt.Fprintf(note, "reading %s, the files of a process that has ended\n", left.Dir)
		all = append(all, n.service().LeftFinder(left.Dir, left))
	}
	return errors.Join(fn(find), n.close())
}

func explain(ctx context.Context, w io.Writer, find control.Finder, s *control.Search, asJSON bool) error {
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
