package main

import (
	"github.com/spf13/cobra"

	"faquan/internal/control"
)

func newPause() *cobra.Command {
	cmd := newSetStatus(true)
	cmd.Use, cmd.Short = "pause TEMPLATE|ACTIVITY", "Pause a template or an activity at once"
	cmd.Long = `Pause a template, or with --activity an activity, by its name; a template also by its template_id. When the command
returns, nothing more is issued of it, by any process: the next call is refused as TEMPLATE_PAUSED or
ACTIVITY_NOT_OPEN. Vouchers that were issued can still be redeemed.

It does what "faquan apply" does with a file that only changes the status, so it is in the history. It prints the
change. Pausing what is paused changes nothing. DRAFT and ENDED cannot be paused.`
	cmd.Example = `  faquan pause cinema-10
  faquan pause --activity spring`
	return cmd
}

func newResume() *cobra.Command {
	cmd := newSetStatus(false)
	cmd.Use, cmd.Short = "resume TEMPLATE|ACTIVITY", "Resume a template or an activity that is paused"
	cmd.Long = `Make a paused template, or with --activity an activity, ACTIVE again, by its name; a template also by its template_id.
It prints the change. Resuming what is ACTIVE changes nothing. DRAFT and ENDED cannot be resumed: use "faquan apply".`
	cmd.Example = `  faquan resume cinema-10
  faquan resume --activity spring`
	return cmd
}

func newSetStatus(pause bool) *cobra.Command {
	var at location
	var activity bool
	cmd := &cobra.Command{
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			order := &control.StatusOrder{Kind: "template", Name: args[0], Pause: pause}
			if activity {
				order.Kind = "activity"
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
	return cmd
}
