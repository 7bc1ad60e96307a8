package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/audit"
	"faquan/internal/control"
	"faquan/internal/journal"
	"faquan/internal/store/postgres"
)

func newAudit() *cobra.Command {
	var (
		at     location
		o      audit.EmbeddedOptions
		heads  []string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove that the store keeps its promises",
		Long: `Read the whole journal, compare the view with it row by row, and count everything again from the rows: stock, budgets
and limits are kept; every counter agrees with its vouchers; every key has one outcome (one at a time where keys are
bound for a period); every voucher has its issuance and can be found, and its state is what its redemptions,
reversals, voids and changes of its end lead to; what was issued of a template is live, used, expired or voided;
participations in activities agree with their vouchers; the one-second guard held; treasure boxes were answered as
done when they were; certificate codes are unique; and each choice of a scene keeps its basis. Nothing is changed.
Beside a running process it audits what was committed when it began, while the process goes on issuing. For the
comparison it builds a second view where temporary files are; TMPDIR names another directory when there is too little
space.

Each finding is printed with the promise that is broken, the ids of the row, and what the row should have; then the
exit code is 1. A doubt is a row that today's rules would not allow, but those of its day may have; doubts do not
count.

A database has no journal and no view: its rows are counted again, and its indexes and keys are compared with them.

The line before the last has the head of the journal. Keep it elsewhere, or keep the one that serve logs at its start:
with --head, a later audit shows that nothing was cut off since.`,
		Example: `  faquan audit --data ./data
  faquan audit --data ./data --head 1234:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
  faquan audit --data ./data --json | jq .checked
  faquan audit --store postgres://faquan@db:5432/faquan`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := at.mustExist(); err != nil {
				return err
			}
			var err error
			if o.Heads, err = parseHeads(heads); err != nil {
				return err
			}
			start := time.Now()
			report, err := auditLocation(cmd.Context(), at, o)
			if err != nil {
				return err
			}
			return showReport(cmd.OutOrStdout(), report, time.Since(start), asJSON)
		},
	}
	locationFlags(cmd, &at)
	f := cmd.Flags()
	f.StringArrayVar(&heads, "head", nil, "`RECORD:HASH` of the journal, noted elsewhere; may be repeated")
	f.IntVar(&o.LookupEvery, "lookup-every", 0, "look up every `N`th issuance and user by its keys; 1 is all, -1 none (default 100)")
	f.IntVar(&o.MaxFindings, "max-findings", 0, "list `N` findings at most (default 1000)")
	f.BoolVar(&o.Checksum, "checksum", false, "print a checksum of the store's contents, one hash for each table, to compare it with another")
	f.BoolVar(&o.Checksum, "meaning", false, "the former name of --checksum")
	_ = f.MarkDeprecated("meaning", "use --checksum") // an alias for one release
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// parseHeads parses texts RECORD:HASH.
func parseHeads(texts []string) ([]journal.Head, error) {
	heads := make([]journal.Head, len(texts))
	for k, text := range texts {
		h := &heads[k]
		seq, hash, _ := strings.Cut(text, ":")
		var err error
		h.Seq, err = strconv.ParseUint(seq, 10, 64)
		sum, hexErr := hex.DecodeString(hash)
		if err != nil || hexErr != nil || len(sum) != len(h.Hash) {
			return nil, fmt.Errorf("--head %q is not RECORD:HASH, a number and %d hex digits", text, 2*len(h.Hash))
		}
		copy(h.Hash[:], sum)
	}
	return heads, nil
}

// auditLocation audits a data directory or a database. A database is opened beside the processes that serve it, and without
// the key file, because nothing is unsealed.
func auditLocation(ctx context.Context, at location, o audit.EmbeddedOptions) (*audit.Report, error) {
	if at.store == "" {
		return auditDir(ctx, at.dir, o)
	}
	if len(o.Heads) > 0 {
		return nil, errors.New("--head names a record of a journal, and a database has none")
	}
	db, err := openDatabase(ctx, at, postgres.Options{})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return audit.Postgres(ctx, db, o.Options)
}

// auditDir audits a data directory, also while a process serves it: the process first writes what it has only in memory,
// so that the audit covers everything that was answered before it began.
func auditDir(ctx context.Context, dir string, o audit.EmbeddedOptions) (*audit.Report, error) {
	c, err := control.Dial(dir)
	if err == nil {
		_, err = control.Settle.On(ctx, c, control.None{})
	}
	if err != nil && !errors.Is(err, control.ErrNotServed) {
		return nil, err
	}
	o.Store.Dir = dir
	return audit.Embedded(ctx, o)
}

// showReport prints the report. It returns an error when the report has findings.
func showReport(w io.Writer, r *audit.Report, took time.Duration, asJSON bool) error {
	if asJSON {
		if err := writeJSON(w, r); err != nil {
			return err
		}
	} else {
		writeReport(w, r, took)
	}
	if !r.OK() {
		return fmt.Errorf("audit: %d findings", int64(len(r.Findings))+r.More)
	}
	return nil
}

func writeReport(w io.Writer, r *audit.Report, took time.Duration) {
	c := &r.Checked
	fmt.Fprintf(w, "checked %d vouchers of %d issuances, %d templates, %d counters of users, %d users, %d look-ups in %s\n",
		c.Vouchers, c.Issuances, c.Templates, c.Quotas, c.Users, c.Lookups, took.Round(time.Millisecond))
	fmt.Fprintf(w, "checked %d keys and codes (%d codes), %d participations in activities, %d decisions of scenes\n",
		c.Keys, c.Codes, c.Participations, c.Decisions)
	fmt.Fprintf(w, "checked %d operations on %d vouchers, and %d events\n", c.Operations, c.VoucherStates, c.Events)
	writeBalance(w, r.Balances)
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", oneLine(note))
	}
	for _, promise := range r.NotKept {
		fmt.Fprintf(w, "not checked: %s\n", promise)
	}
	for _, d := range r.Doubts {
		fmt.Fprintf(w, "doubt: %s, %s: %d rows, the first %s\n", oneLine(d.Of()), d.Rule, d.Rows, oneLine(d.First.String()))
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "FINDING %s\n", oneLine(f.String()))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d findings more\n", r.More)
	}
	if r.Checksum != nil {
		_ = r.Checksum.Write(w)
	}
	if e := r.Embedded; e != nil {
		fmt.Fprintf(w, "journal: %d records, head %d:%s\n", e.Records, e.Journal.Seq, e.Journal.Hash)
	}
	if r.OK() {
		fmt.Fprintln(w, "nothing is wrong")
	}
}

// writeBalance prints what has become of all vouchers together. The report for programs has it of each template.
func writeBalance(w io.Writer, all []audit.Balance) {
	var n struct{ issued, live, used, expired, voided, returned, sending int64 }
	for _, b := range all {
		n.issued += b.Issued.Vouchers
		n.live += b.Live.Vouchers
		n.used += b.Used.Vouchers
		n.expired += b.Expired.Vouchers
		n.voided += b.Voided.Vouchers
		n.returned += b.Returned.Vouchers
		n.sending += b.Sending.Vouchers
	}
	if n.issued > 0 {
		fmt.Fprintf(w, "of %d vouchers %d are live, %d used, %d expired, %d voided, %d voided and returned to the stock, %d sent to a downstream\n",
			n.issued, n.live, n.used, n.expired, n.voided, n.returned, n.sending)
	}
}
