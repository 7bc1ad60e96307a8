package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/config"
	"faquan/internal/control"
	"faquan/internal/datadir"
	"faquan/internal/refusals"
	"faquan/internal/store/embedded"
	"faquan/internal/vfs"
)

// location is the location of the store: a data directory with everything in it, or a database and a directory with the
// key file.
type location struct {
	dir   string
	store string // the database's URL, which may hold a password; "" for the store in the directory

	acceptClock bool // the operator confirms that the clock is right; see engine.Options
	// document, unless nil, is about to be applied: no store is made when the document would be refused.
	document *control.Document
}

// refusals returns the directory of the files with what was refused.
func (at location) refusals() string { return filepath.Join(at.dir, refusals.Dir) }

// dataFlag adds --data to a command that works on a data directory.
func dataFlag(cmd *cobra.Command, dir *string) {
	preset := cmp.Or(os.Getenv("FAQUAN_DATA"), "data")
	cmd.Flags().StringVar(dir, "data", preset, "data `DIR`ectory; also FAQUAN_DATA")
	_ = cmd.MarkFlagDirname("data")
}

// locationFlags adds --data and --store to a command that works on either. The store in the environment is not the default
// of the flag, because a help text shows defaults, and the URL may hold a password.
func locationFlags(cmd *cobra.Command, at *location) {
	dataFlag(cmd, &at.dir)
	//guard:TestScripts/^postgres$ "store", "" -> "store", os.Getenv("FAQUAN_STORE")
	cmd.Flags().StringVar(&at.store, "store", "", "`URL` of a PostgreSQL database in place of the store in --data; also FAQUAN_STORE")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("store") {
			at.store = os.Getenv("FAQUAN_STORE")
		}
		if err := config.CheckStore(at.store); err != nil {
			return err
		}
		dir, err := datadir.Find(at.dir)
		at.dir = dir //guard:TestPrivateDirectory
		return err
	}
}

// clockFlag adds --accept-clock to a command that may commit.
func clockFlag(cmd *cobra.Command, accept *bool) {
	cmd.Flags().BoolVar(accept, "accept-clock", false, "confirm that the clock is right, more than a year after the last commit")
}

// mustExist returns an error when the data directory does not exist, for commands that only read: the name is probably
// misspelt. A database must exist in any case.
func (at location) mustExist() error {
	if at.store != "" {
		return nil
	}
	return embedded.CheckExists(at.dir)
}

// openExisting is openPlatform for a place that must exist.
func openExisting(ctx context.Context, at location, fn func(control.Platform) error) error {
	if err := at.mustExist(); err != nil {
		return err
	}
	return openPlatform(ctx, at, fn)
}

// lockedWait is how long a command waits for a process that has locked the directory and has no socket: it is starting,
// or about to end.
const lockedWait = 5 * time.Second

// openPlatform calls fn on the platform: on a database directly, beside the processes that serve it; on a data directory
// through the process that serves it, or else by opening it.
func openPlatform(ctx context.Context, at location, fn func(control.Platform) error) error {
	for start := time.Now(); ; {
		if at.store == "" {
			c, err := control.Dial(at.dir)
			if err == nil {
				return fn(c)
			}
			if !errors.Is(err, control.ErrNotServed) {
				return err
			}
		}
		n, err := openNode(ctx, at, nodeOptions{})
		if err == nil {
			return errors.Join(fn(n.service()), n.close())
		}
		if !errors.Is(err, vfs.ErrLocked) || time.Since(start) > lockedWait {
			return err
		}
		if !wait(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}
