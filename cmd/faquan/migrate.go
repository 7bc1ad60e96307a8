package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"faquan/internal/audit"
	"faquan/internal/config"
	"faquan/internal/datadir"
	"faquan/internal/migrate"
	"faquan/internal/seal"
	"faquan/internal/store/embedded"
	"faquan/internal/store/postgres"
	"faquan/internal/vfs"
)

func newMigrateStore() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "migrate-store",
		Short: "Move a data directory to PostgreSQL",
		Long: `Move everything in a data directory to an empty PostgreSQL database: vouchers, keys, counters, users, sessions, the
catalogue with all its versions. No process may serve the directory meanwhile, and none can serve the database before
it is complete.

The command audits the directory, copies it table by table, audits the database, and compares the two: rows, sums, and
a hash of each table. The database can be served only when all of them agree; otherwise the exit code is 1, and the
database stays marked as incomplete. After an interruption, run the same command again: it continues where it stopped.

Nothing in the directory is changed; it is a backup from then on. Copy its key file by hand, because the secrets stay
sealed under it: every process needs a copy in its own --data.`,
		Example: `  faquan migrate-store --from ./data --to postgres://faquan@db:5432/faquan
  PGPASSWORD=… faquan migrate-store --from ./data --to postgres://faquan@db1,db2/faquan`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return errors.New("--to is missing: give the URL of an empty database")
			}
			if err := config.CheckStore(to); err != nil {
				return err
			}
			from, err := datadir.Find(from)
			if err == nil {
				err = embedded.CheckExists(from)
			}
			if err != nil {
				return err
			}
			return migrateStore(cmd.Context(), from, to, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "data", "data `DIR`ectory to move")
	f.StringVar(&to, "to", "", "`URL` of an empty PostgreSQL database")
	_ = cmd.MarkFlagDirname("from")
	return cmd
}

func migrateStore(ctx context.Context, from, to string, out, progress io.Writer) error {
	// A data directory has had a key file since its first start.
	box, err := seal.OpenKeyFile(from, true, rand.Reader)
	if err != nil {
		return err
	}
	start := time.Now()
	bar := newBar(progress)
	result, err := migrate.Run(ctx, migrate.Options{From: from, To: postgres.Options{URL: to}, Proof: box.Proof(), OnProgress: bar.update})
	bar.end()
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return explainOpen(ctx, from, err)
	case errors.Is(err, postgres.ErrNotEmpty), errors.Is(err, postgres.ErrOtherSource):
		return fmt.Errorf("%s: %w; give an empty database", config.StoreName(to), err)
	case err != nil:
		return fmt.Errorf("moving %s to %s (run it again to go on): %s%w", from, config.StoreName(to), advised(err), err)
	}
	if err := writeMove(out, result); err != nil {
		return err
	}
	if !result.OK() {
		return notMigrated(result)
	}
	_, err = fmt.Fprintf(out, `moved %s to %s in %s: %d rows, and %d before; the audit found nothing wrong in either, and both hold the same
now copy %s into the --data directory of every process, and serve --store; do not serve %s any more
`, from, config.StoreName(to), time.Since(start).Round(time.Millisecond), result.Copied, result.Resumed,
		filepath.Join(from, seal.KeyFile), from)
	return err
}

// writeMove prints the findings in the directory and in the database.
func writeMove(w io.Writer, r *migrate.Result) error {
	for _, end := range []struct {
		name   string
		report *audit.Report
	}{{"directory", r.Source}, {"database", r.Target}} {
		if end.report == nil {
			continue
		}
		for _, f := range end.report.Findings {
			fmt.Fprintf(w, "FINDING in the %s: %s\n", end.name, oneLine(f.String()))
		}
		for _, d := range end.report.Doubts {
			fmt.Fprintf(w, "doubt of the %s: %s, %s: %d rows, the first %s\n", end.name, oneLine(d.Of()), d.Rule, d.Rows, oneLine(d.First.String()))
		}
	}
	if r.Target == nil || r.Target.Checksum == nil {
		return nil
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "table\trows\tvouchers\tfen\tsha256")
	for _, t := range r.Source.Checksum.Tables {
		same := "the same"
		if other := r.Target.Checksum.Table(t.Table); other == nil || *other != t {
			same = "DIFFERENT"
		}
		fmt.Fprintf(tab, "%s\t%d\t%d\t%d\t%s…\t%s\n", t.Table, t.Rows, t.Vouchers, t.Fen, t.SHA256[:16], same)
	}
	return tab.Flush()
}

// notMigrated returns why the database stays marked.
func notMigrated(r *migrate.Result) error {
	if r.Target == nil {
		return fmt.Errorf("nothing was moved: the audit of the data directory has %d findings", int64(len(r.Source.Findings))+r.Source.More)
	}
	return fmt.Errorf("the database differs from the directory and cannot be served: %d findings, differences: %q",
		int64(len(r.Target.Findings))+r.Target.More, r.Differences)
}

// progressBar shows progress on a terminal, and nothing elsewhere.
type progressBar struct {
	w     io.Writer
	bar   *progressbar.ProgressBar
	doing string
}

func newBar(w io.Writer) *progressBar {
	if !isTerminal(w) {
		w = nil
	}
	return &progressBar{w: w}
}

// isTerminal reports whether a stream is a terminal, or another device of characters.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (b *progressBar) update(p migrate.Progress) {
	if b.w == nil {
		return
	}
	total := cmp.Or(p.Total, -1) // -1 is a spinner
	if b.bar == nil || b.bar.GetMax64() != total {
		b.end()
		b.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(b.w), progressbar.OptionClearOnFinish(),
			progressbar.OptionShowCount(), progressbar.OptionSetItsString("rows"), progressbar.OptionShowIts(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSpinnerType(14))
	}
	if p.Doing != b.doing {
		b.doing = p.Doing
		b.bar.Describe(p.Doing)
	}
	if p.Total > 0 {
		_ = b.bar.Set64(min(p.Done, p.Total-1)) // the last row is not the end of the work
	}
}

// end removes the bar.
func (b *progressBar) end() {
	if b.bar != nil {
		_ = b.bar.Clear()
		_ = b.bar.Exit()
		b.bar = nil
	}
}
