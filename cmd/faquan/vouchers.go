package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"faquan/internal/control"
	"faquan/internal/money"
)

// voucherExport holds the flags of vouchers.
type voucherExport struct {
	query       control.VoucherQuery
	csv, asJSON bool
	file        string
}

func newVouchers() *cobra.Command {
	var at location
	var e voucherExport
	cmd := &cobra.Command{
		Use:   "vouchers",
		Short: "Export vouchers as CSV or JSON, with how they stand",
		Long: `Export vouchers with their state: those of a template, of a user, or all; with --since only those that were issued
then or later. The newest come first, and without --template and --user, one template after the other.

--csv, the default, writes a line for each voucher below a line with the names of the columns, amounts in yuan. A text
that a spreadsheet would take for a formula begins with an apostrophe. --json writes an object on each line, as
"faquan query --json" does, amounts in fen.

Vouchers are read in pages while they are written, so any number of them needs little memory, and each is as it stood
when its page was read. What is issued meanwhile is left out. --since reads the older vouchers, too. -o writes a file
that only you can read, and that appears when it is complete. Codes and identifiers of people are masked unless
--unmasked.`,
		Example: `  faquan vouchers --template cinema-10 -o cinema-10.csv
  faquan vouchers --since "2026-11-30 00:00:00" --json | jq -r 'select(.status == "USED") | .id'
  faquan vouchers --user ALIPAY:2088302001456115 --unmasked`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.query.Template != "" && e.query.User != "" {
				return usagef("give one of --template and --user")
			}
			if e.query.Template == "" && e.query.User == "" && !cmd.Flags().Changed("since") {
				return usagef("give --template, --user or --since")
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				return toFile(e.file, cmd.OutOrStdout(), func(w io.Writer) error { return e.write(cmd.Context(), p, w) })
			})
		},
	}
	locationFlags(cmd, &at)
	f := cmd.Flags()
	f.StringVar(&e.query.Template, "template", "", "`NAME` of a template, or its template_id")
	f.StringVar(&e.query.User, "user", "", "`USER`: a name, TYPE:VALUE, OPEN_ID/APP:VALUE or faquan's number")
	f.Var(timeFlag{&e.query.Since}, "since", "only what was issued since this `TIME`, such as \"2026-11-30 00:00:00\"")
	f.StringVarP(&e.file, "output", "o", "", "write this `FILE`, for you alone (default standard output)")
	f.BoolVar(&e.csv, "csv", false, "write CSV, the default")
	f.BoolVar(&e.asJSON, "json", false, "write JSON, an object on each line")
	f.BoolVar(&e.query.Unmasked, "unmasked", false, "do not mask codes and identifiers of people")
	cmd.MarkFlagsMutuallyExclusive("csv", "json")
	return cmd
}

// toFile calls write for a new file, which replaces the one with the name when it is complete, or for standard output.
func toFile(name string, stdout io.Writer, write func(io.Writer) error) (err error) {
	if name == "" {
		return write(stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // its mode is 0600
	if err != nil {
		return err
	}
	defer undo(&err, func() error { return os.Remove(f.Name()) })
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// write writes the vouchers page by page.
func (e *voucherExport) write(ctx context.Context, p control.Platform, to io.Writer) error {
	w := bufio.NewWriter(to)
	one := e.jsonLine(w)
	rows := csv.NewWriter(w)
	if !e.asJSON {
		if err := rows.Write(csvColumns); err != nil {
			return err
		}
		one = func(v *control.Voucher) error { return rows.Write(csvRow(v)) }
	}
	queries, err := e.queries(ctx, p)
	if err != nil {
		return err
	}
	for _, q := range queries {
		for more := true; more; more = q.Cursor != "" {
			page, err := control.QueryVouchers.On(ctx, p, &q)
			if errors.Is(err, control.ErrNotFound) {
				break
			} else if err != nil {
				return err
			}
			for _, v := range page.Vouchers {
				if err := one(v); err != nil {
					return err
				}
			}
			q.Cursor = page.Next
		}
	}
	rows.Flush()
	return errors.Join(rows.Error(), w.Flush())
}

// queries returns the query, or one for each template.
func (e *voucherExport) queries(ctx context.Context, p control.Platform) ([]control.VoucherQuery, error) {
	e.query.Limit = control.MaxPage
	if e.query.Template != "" || e.query.User != "" {
		return []control.VoucherQuery{e.query}, nil
	}
	templates, err := control.Templates.On(ctx, p, "")
	var all []control.VoucherQuery
	for _, t := range templates {
		q := e.query
		q.Template = t.Name
		all = append(all, q)
	}
	return all, err
}

func (e *voucherExport) jsonLine(w io.Writer) func(*control.Voucher) error {
	return func(v *control.Voucher) error {
		text, err := json.Marshal(v)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", printableJSON(text))
		}
		return err
	}
}

var csvColumns = []string{
	"id", "voucher_id", "template", "kind", "status", "amount_yuan", "balance_yuan", "code", "user", "recipient",
	"issued_at", "start", "end", "operations", "changed_at", "app", "key", "caller_trace",
}

func csvRow(v *control.Voucher) []string {
	amount, balance := "", ""
	if v.Amount != 0 {
		amount = money.Fen(v.Amount).Yuan()
	}
	if v.Balance != nil {
		balance = money.Fen(*v.Balance).Yuan()
	}
	return []string{
		v.ID, v.LongID, csvText(v.Template), v.Kind, v.Status, amount, balance, csvText(v.Code), v.User, csvText(v.Recipient),
		v.IssuedAt, v.Start, v.End, strconv.FormatInt(v.Operations, 10), v.ChangedAt, csvText(v.App), csvText(v.Key), csvText(v.CallerTrace),
	}
}

// csvText returns a text of people or callers for a cell of a spreadsheet: never a formula, and on one line.
func csvText(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t", rune(text[0])) { //guard:TestScripts/vouchers$
		text = "'" + text
	}
	return oneLine(text)
}
