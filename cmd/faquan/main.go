// Command faquan is the whole platform in one binary: the server that issues vouchers, and the tools around it.
//
//	faquan demo                     watch it issue vouchers, with no setup
//	faquan serve --data DIR         serve the gateways on a data directory
//	faquan serve --store URL        the same on a PostgreSQL database, by several processes
//	faquan apply, diff, export      the catalogue: templates, activities, apps, users
//	faquan pause, resume, history   stop a template at once, and who changed what
//	faquan send, sign, verify-sign  make a call, or find out why a signature does not match
//	faquan redeem, reverse, void,   do something to a voucher
//	       extend, expire
//	faquan query, vouchers          find vouchers, export them
//	faquan feed                     what happens, as events
//	faquan status                   what is issued of each template, and what is left
//	faquan decide, explain          why something would be, was or was not issued
//	faquan audit, rebuild           check the store, rebuild its index
//	faquan key, version, completion
//
// Each command is one file here, and thin: it reads its flags, calls the packages that do the work, and prints.
// `faquan help COMMAND` describes each one, with examples.
//
// Exit codes: 0 for success, 1 for a failure, which includes a refusal, 2 for a mistake on the command line, such as an
// unknown command or flag or a missing argument, and 3 when it is not known whether a change was made. The last lines on standard error have the reason.
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

// run is main, but returns the exit code, so that the scripts of the tests can call it.
func run() int {
	//guard:TestScripts/modes$
	syscall.Umask(0o077) // other users cannot read the files that a command makes, including those of SQLite
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the first signal stops gracefully, the second one kills at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		report(os.Stderr, err)
		return exitCode(err)
	}
	return 0
}

// report prints the error that ends the program. Problems of a catalogue file are printed without a prefix, as file:line:
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
