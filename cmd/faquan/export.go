package main

import (
	"github.com/spf13/cobra"

	"faquan/internal/control"
)

func newExport() *cobra.Command {
	var at location
	var secrets bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the whole catalogue as a file",
		Long: `Write the whole catalogue to standard output, in the form that apply takes, with all generated ids.

Without --secrets, app secrets, the platform's private key and sessions are left out. Applied to the same store, such a
file keeps those that exist; applied elsewhere, they are missing.`,
		Example: `  faquan export --data ./data > catalog.yaml
  faquan export --data ./data --secrets > complete.yaml    # keep it as safe as the secrets in it`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				return p.Export(cmd.Context(), cmd.OutOrStdout(), secrets)
			})
		},
	}
	locationFlags(cmd, &at)
	cmd.Flags().BoolVar(&secrets, "secrets", false, "include secrets, in plain text")
	return cmd
}
