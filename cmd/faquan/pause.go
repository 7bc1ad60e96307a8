package main

import (
	"github.com/spf13/cobra"

	"faquan/internal/control"
)

func newPause() *cobra.Command {
	cmd := newSetStatus(true)
	cmd.Use, cmd.Short = "pause TEMPLATE|ACTIVITY|APP", "Pause a template, an activity or an app at once"
	cmd.Long = `Pause a template, or with --activity an activity, by its name; a template also by its template_id. When the command
returns, nothing more is issued of it, by any process: the next call is refused as TEMPLATE_PAUSED or
ACTIVITY_NOT_OPEN. Vouchers that were issued can still be redeemed.

With --app pause an app: it becomes DISABLED. When the command returns, no process issues anything for it or carries out
a command of it on a voucher, and its calls are refused, on all gateways and on the JSON API, as APP_DISABLED is there.
Retries are refused as well.

It does what "faquan apply" does with a file that only changes the status, so it is in the history. It prints the
change. Pausing what is paused changes nothing. DRAFT and ENDED cannot be paused.`
	cmd.Example = `  faquan pause cinema-10
  faquan pause --activity spring
  faquan pause --app shop`
	return cmd
}

func newResume() *cobra.Command {
	cmd := newSetStatus(false)
	cmd.Use, cmd.Short = "resume TEMPLATE|ACTIVITY|APP", "Resume a template, an activity or an app that is paused"
	cmd.Long = `Make a paused template, or with --activity an activity, or with --app a DISABLED app, ACTIVE again, by its name; a
template also by its template_id.

It prints the change. Resuming what is ACTIVE changes nothing. DRAFT and ENDED cannot be resumed: use "faquan apply".`
	cmd.Example = `  faquan resume cinema-10
  faquan resume --activity spring
  faquan resume --app shop`
	return cmd
}

func newSetStatus(pause bool) *cobra.Command {
	var at location
	var activity, app bool
	cmd := &cobra.Command{
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			order := &control.StatusOrder{Kind: "template", Name: args[0], Pause: pause}
			switch {
			case activity:
				order.Kind = "activity"
			case app:
				order.Kind = "app"
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				plan, err := control.SetStatus.On(cmd.Context(), p, order)
				if err != nil {
					return err
				}
				_, err = plan.WriteTo(cmd.OutOrStdout())
				return err
			})
		},
	}
	locationFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	cmd.Flags().BoolVar(&activity, "activity", false, "it is the name of an activity")
	cmd.Flags().BoolVar(&app, "app", false, "it is the name of an app")
	cmd.MarkFlagsMutuallyExclusive("activity", "app")
	return cmd
}
