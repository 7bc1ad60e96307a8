package main

import "github.com/spf13/cobra"

// newBench returns what is left of a command that became a program of its own.
func newBench() *cobra.Command {
	return &cobra.Command{
		Use:                "bench",
		Hidden:             true,
		DisableFlagParsing: true, // whatever flags it was given
		Short:              "Moved to a program of its own",
		Long:               "The benchmarks are a program of their own, in the directory bench of the source code.",
		Example:            "  go run ./bench help   # instead of faquan bench",
		RunE: func(*cobra.Command, []string) error {
			return usagef("bench is a program of its own now: run `go run ./bench` in a checkout of the source code")
		},
	}
}
