package main

import (
	"github.com/spf13/cobra"

	"faquan/internal/control"
)

func newExport() *cobra.Command {
	var at place
	var secrets bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the whole catalogue as a file",
		Long: `Write the whole catalogue to standard output, in the form that apply takes. Generated ids are in it.

Secrets are left out unless --secrets asks for them: app secrets, the platform's private key, and sessions, which are
their key. Applied where it came from, a file without secrets keeps them; applied elsewhere, it has none.`,
		Example: `  faquan export --data ./data > catalog.yaml
  faquan export --data ./data --secrets > complete.yaml    # keep it as safe as the secrets in it`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := at.mustExist(); err != nil {
				return err
			}
			return withPlatform(cmd.Context(), at, func(p control.Platform) error {
				return p.Export(cmd.Context(), cmd.OutOrStdout(), secrets)
			})
		},
	}
	placeFlags(cmd, &at)
	cmd.Flags().BoolVar(&secrets, "secrets", false, "write secrets too, as they are")
	return cmd
}
