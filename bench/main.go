// Command bench measures faquan on this machine beside what a team would use or write instead, in the same run:
//
//	go run ./bench engine            the core and a store, beside a bare journal, SQLite, or the programs of bench/peers
//	go run ./bench decide            what a decision among activities with rules costs
//	go run ./bench http              a gateway of the program faquan, end to end
//	go run ./bench redeem            redemptions, beside issues
//	go run ./bench expiry            looking for expired vouchers among many, and recording them
//	go run ./bench lists             pages of lists of vouchers, beside issues
//	go run ./bench start             how long a large store takes to open
//
// A figure alone says little on a shared machine, so every round measures all alternatives one after the other, and
// ratios are taken within a round. What is measured is the real thing: each issue is synced before it is answered, and
// each answer is checked. Every command ends its output with one line of name=value pairs for scripts.
//
// docs/performance.md has the figures. Each command has a file here, with its flags: enginecommand.go, decide.go,
// gateway.go, redeem.go, expiry.go, lists.go, start.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run returns the exit code of main: 0, or 1 after an error.
func run() int {
	syscall.Umask(0o077) // the store that engine --keep leaves is private, as that of a server
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal kills at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "bench",
		Short: "Measure faquan on this machine, beside its alternatives",
		Long: `Measure faquan on this machine, beside alternatives and upper bounds that are measured in the same run.

Compare ratios, not figures, between machines, and run nothing else on the machine meanwhile. The last line of the
output has the medians as name=value pairs, for scripts.`,
		Example: `  go run ./bench engine --millions 2 --no-direct
  go run ./bench engine --store private --processes 1,2 --peers bench/peers
  go run ./bench http --protocol top`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true // `go run` has no completion
	root.AddCommand(newEngine(), newDecide(), newHTTP(), newRedeem(), newExpiry(), newLists(), newStart(), newWorker(), newEmpty())
	return root
}

// profileFlag adds the flag --cpuprofile to a command, which profiles the process that runs it.
func profileFlag(cmd *cobra.Command) *cobra.Command {
	file, measure := "", cmd.RunE
	cmd.Flags().StringVar(&file, "cpuprofile", "", "write a CPU profile to `FILE`, for go tool pprof")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return profiled(file, func() error { return measure(cmd, args) })
	}
	return cmd
}

// profiled runs fn and writes a CPU profile of it, unless file is empty.
func profiled(file string, fn func() error) error {
	if file == "" {
		return fn()
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = fn()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

// self returns a command that runs this program again, as one of its hidden commands.
func self(args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{Path: path, Args: append([]string{"bench"}, args...), Stderr: os.Stderr}, nil
}
