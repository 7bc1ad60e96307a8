package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"faquan/internal/control"
)

// failure is the error of a command that ran. Every other error is a mistake on the command line that cobra found.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// usageError is a mistake on the command line that the command itself found.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode returns 2 for a mistake on the command line, 3 when it is not known whether a change was made, and 1 for every
// other error.
func exitCode(err error) int {
	if control.OutcomeUnknown(err) { //guard:TestUnknownOutcomeOfAVoucher
		return 3
	}
	if errors.As(err, new(failure)) && !errors.As(err, new(usageError)) {
		return 1
	}
	return 2
}

// checkUsage makes cmd and the commands below it distinguish mistakes on the command line from failures, and refuse unknown
// subcommands, for which cobra prints the help and reports success.
func checkUsage(cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		checkUsage(child)
	}
	if cmd.HasSubCommands() {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args) }
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		return
	}
	cmd.PreRunE, cmd.RunE = failing(cmd.PreRunE), failing(cmd.RunE)
}

// failing returns run with its errors marked as failures.
func failing(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	if run == nil {
		return nil
	}
	return func(cmd *cobra.Command, args []string) error {
		if err := run(cmd, args); err != nil {
			return failure{err}
		}
		return nil
	}
}

// unknownCommand returns an error if there are args, which follow the name of a command that only groups others.
func unknownCommand(group *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], group.CommandPath())
	if group.SuggestionsMinimumDistance <= 0 {
		group.SuggestionsMinimumDistance = 2
	}
	if names := group.SuggestionsFor(args[0]); len(names) > 0 {
		text += `, did you mean "` + strings.Join(names, `" or "`) + `"`
	}
	return fmt.Errorf("%s; `%s --help` lists the commands", text, group.CommandPath())
}

// helpTopics makes `help` refuse unknown commands; cobra's help prints a usage text and reports success.
func helpTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		panic(err) // the command was just added
	}
	help.Args = func(_ *cobra.Command, args []string) error {
		found, rest, err := root.Find(args)
		if err != nil || len(rest) == 0 {
			return err
		}
		return unknownCommand(found, rest)
	}
}
