// Command faquan is the whole platform in one binary: the server that issues vouchers, and the tools around it.
//
//	faquan demo                     watch it issue, with nothing set up
//	faquan serve --data DIR         serve the gateways on a data directory
//	faquan serve --store URL        the same on a PostgreSQL database, by several processes
//	faquan apply, diff, export      the catalogue: what is handed out, and to whom
//	faquan send, sign, verify-sign  try a call, or find out why a signature does not fit
//	faquan decide, explain          why something is issued, would be, or was not
//	faquan audit, rebuild           prove the store, make its index again
//	faquan key, version, completion
//
// Each command is one file here, and thin: it reads its flags, calls the packages that do the work, and prints.
// `faquan help COMMAND` tells what each one does, with examples.
//
// Exit codes: 0 when all went well, 1 when something did not, 2 when the command line is wrong: an unknown command or
// flag, a missing argument. The last lines on standard error explain.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"faquan/internal/catalog"
)

func main() { os.Exit(run()) }

// run is main with an exit code, so that the scripts of the tests can call it.
func run() int {
	syscall.Umask(0o077) // whatever a command makes, SQLite's files among it, other users cannot read
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the first signal asks to stop, the second one kills at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		report(os.Stderr, err)
		return exitCode(err)
	}
	return 0
}

// report prints the error that ends the program. Problems of a catalogue file stand by themselves, as file:line:
// reason, so that an editor can jump there.
func report(w io.Writer, err error) {
	var problems catalog.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(w, printable(err.Error()))
		fmt.Fprintln(w, "faquan: nothing was applied")
		return
	}
	fmt.Fprintln(w, "faquan:", printable(err.Error()))
}
