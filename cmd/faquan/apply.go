package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"faquan/internal/catalog"
	"faquan/internal/control"
)

// documentFlags are the flags of a command that plans a catalogue file.
type documentFlags struct {
	file     string
	uncapped bool
}

func (f *documentFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "file", "f", "", "catalogue `FILE`, - for standard input")
	_ = cmd.MarkFlagRequired("file")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	cmd.Flags().BoolVar(&f.uncapped, "allow-uncapped", false,
		"allow the file to remove caps and limits of templates that are not drafts")
}

func (f *documentFlags) read(stdin io.Reader) (*control.Document, error) {
	doc, err := control.ReadDocument(f.file, stdin)
	if err == nil {
		doc.AllowUncapped = f.uncapped
	}
	return doc, err
}

func newApply() *cobra.Command {
	var at location
	var f documentFlags
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Apply a catalogue file: merchants, apps, users, templates, activities",
		Long: `Apply a catalogue file to a data directory or a database, as a whole or not at all, and print what changed.

What the file leaves out is kept. What it states replaces what is stored, except for secrets, ids on the wire, status
and identifiers, which are kept when they are left out. Applying a file twice changes nothing the second time.

A process that serves the directory applies it between two batches: when this command returns, the change is durable
and in force there, without a restart. On a database it is in force for everything that is issued from then on, by any
process; what the gateways keep in memory (apps, sessions, the platform's key) follows within a second.

A file that removes a cap or a limit of a template that is not a draft, which is often an oversight, needs
--allow-uncapped. Other likely mistakes are warned about.`,
		Example: `  faquan apply -f catalog.yaml --data ./data
  faquan diff -f catalog.yaml --data ./data     # look first
  faquan apply -f catalog.yaml --data /etc/faquan --store postgres://faquan@db:5432/faquan`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := f.read(cmd.InOrStdin())
			if err != nil {
				return err
			}
			at.document = doc
			return showPlan(cmd, at, doc, control.Apply)
		},
	}
	locationFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	f.add(cmd)
	return cmd
}

func newDiff() *cobra.Command {
	var at location
	var f documentFlags
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show what applying a catalogue file would change",
		Long: `Show, field by field, what applying a catalogue file would change. Nothing is changed, and no secret is shown.
A file that apply would refuse is refused here too, for the same reasons.`,
		Example: `  faquan diff -f catalog.yaml --data ./data`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := f.read(cmd.InOrStdin())
			if err != nil {
				return err
			}
			if err := at.mustExist(); err != nil {
				return err
			}
			return showPlan(cmd, at, doc, control.Diff)
		},
	}
	locationFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	f.add(cmd)
	return cmd
}

// showPlan plans or applies a document, and prints the plan.
func showPlan(cmd *cobra.Command, at location, doc *control.Document,
	plan control.Call[*control.Document, *catalog.Plan]) error {
	return openPlatform(cmd.Context(), at, func(p control.Platform) error {
		shown, err := plan.On(cmd.Context(), p, doc)
		if err != nil {
			return err
		}
		for _, w := range shown.Warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
		}
		_, err = shown.WriteTo(cmd.OutOrStdout())
		return err
	})
}
