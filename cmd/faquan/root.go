package main

import "github.com/spf13/cobra"

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "faquan",
		Short: "Hand out vouchers, exactly once",
		Long: `faquan (发券) is a platform that hands out benefits: vouchers, cash red packets, rights and certificates.
Callers ask over the wire protocols of the open platforms, so their official SDKs work with one URL changed.
faquan issues each benefit exactly once, within stock, budget and limits, and answers when it is durable.`,
		Example: `  faquan demo                                        # watch it work; nothing to set up
  faquan serve --data ./data --apply catalog.yaml    # run the platform`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newDemo(), newServe(), newBench(), newApply(), newDiff(), newExport(), newPause(), newResume(), newHistory(),
		newKey(), newSession(), newToken(),
		newRedeem(), newReverse(), newVoid(), newExtend(), newExpire(), newQuery(), newVouchers(), newFeed(), newStatus(),
		newDecide(), newExplain(), newSend(), newSign(), newVerifySign(), newAudit(), newRebuild(), newMigrateStore(), newVersion(),
	)
	helpTopics(root)
	root.InitDefaultCompletionCmd()
	completeValues(root)
	checkUsage(root)
	return root
}
