package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/datadir"
	"faquan/internal/store/embedded"
	"faquan/internal/vfs"
)

func newRebuild() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Rebuild the view from the journal",
		Long: `Rebuild the view, the SQLite file in which a data directory is looked up, from the journal. When the two differ, the
journal is right. No process may serve the directory meanwhile. The old view is replaced when the new one is complete.

Use it when the audit found the view wrong. A view that is missing or unusable is rebuilt by the next start anyway.`,
		Example: `  faquan rebuild --data ./data && faquan audit --data ./data`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := datadir.Find(dir)
			if err == nil {
				err = embedded.CheckExists(dir)
			}
			if err == nil {
				_, err = datadir.Check(dir)
			}
			if err != nil {
				return err
			}
			return rebuild(cmd.Context(), dir, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	dataFlag(cmd, &dir)
	return cmd
}

func rebuild(ctx context.Context, dir string, out, progress io.Writer) error {
	start, records := time.Now(), uint64(0)
	onProgress := progressLine(progress)
	err := embedded.Rebuild(embedded.Options{Dir: dir}, func(done, total uint64) {
		records = total
		onProgress(done, total)
	})
	if errors.Is(err, vfs.ErrLocked) {
		return explainOpen(ctx, dir, err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "rebuilt the view from %d journal records in %s\n", records, time.Since(start).Round(time.Millisecond))
	return err
}

// progressLine shows progress on a terminal, on a line that is overwritten, and nothing elsewhere.
func progressLine(w io.Writer) func(done, total uint64) {
	if !isTerminal(w) {
		return func(uint64, uint64) {}
	}
	last := uint64(0)
	return func(done, total uint64) {
		if percent := done * 100 / max(total, 1); percent != last {
			last = percent
			fmt.Fprintf(w, "\r%3d %% of %d records", percent, total)
			if done == total {
				fmt.Fprint(w, "\r\x1b[K")
			}
		}
	}
}
