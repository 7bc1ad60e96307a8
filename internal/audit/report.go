package audit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"faquan/internal/benefit"
)

// Invariant names what a store promises.
type Invariant string

// The promises. The numbers in the comments are those of the specification.
const (
	Totals       Invariant = "totals"       // 1: what was issued of a template
	Limits       Invariant = "limits"       // 2: what a user or person has of a template
	OneOutcome   Invariant = "one outcome"  // 3: one outcome per scope and key, or one at a time where keys are bound for a while
	Vouchers     Invariant = "vouchers"     // 4: a voucher has its issuance, and is as its template says
	Events       Invariant = "events"       // 5: each issue, each operation and each last piece of a template has one event; an end has one at most
	Redemptions  Invariant = "redemptions"  // 6: a voucher is what its operations make of it, and each of them was possible
	Conservation Invariant = "conservation" // 7: a template's counters are its vouchers, by what has become of them

	Codes   Invariant = "codes"   // a certificate has a code like no other
	Lookups Invariant = "lookups" // what is there is found

	Participations Invariant = "participations" // what a user has done in an activity
	Guard          Invariant = "guard"          // the one-second guard of an activity
	Boxes          Invariant = "boxes"          // a treasure box is answered as done when it is
	Decisions      Invariant = "decisions"      // lines that a scene chose have the basis of the choice

	Journal Invariant = "journal" // embedded store: no byte of the journal was changed, removed or moved
	View    Invariant = "view"    // embedded store: the view agrees with the journal

	Database Invariant = "database" // PostgreSQL: rows are where they are looked for, and agree with their columns
)

// Finding is a row that breaks a promise.
type Finding struct {
	Invariant Invariant `json:"invariant"`
	Row       string    `json:"row"`  // which, by ids
	Want      string    `json:"want"` // what it should have
	Got       string    `json:"got"`  // what it has
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: %s: want %s, got %s", f.Invariant, f.Row, f.Want, f.Got)
}

// Doubt is a rule that rows of a template or of an activity break as it stands today, and may have kept as it stood when
// they were written: the store does not keep enough to tell.
type Doubt struct {
	Invariant Invariant `json:"invariant"`
	Template  string    `json:"template,omitzero"` // its name
	Activity  string    `json:"activity,omitzero"` // its name, instead of the template's
	Rule      string    `json:"rule"`
	Rows      int64     `json:"rows"`  // how many
	First     Finding   `json:"first"` // the first of them
}

// Of names what the rule belongs to.
func (d *Doubt) Of() string {
	if d.Template != "" {
		return "template " + d.Template
	}
	return "activity " + d.Activity
}

// Checked counts what was looked at.
type Checked struct {
	Issuances    int64 `json:"issuances"`
	Vouchers     int64 `json:"vouchers"`
	Keys         int64 `json:"keys"` // and codes
	Codes        int64 `json:"codes"`
	Decisions    int64 `json:"decisions"`     // of scenes
	Templates    int64 `json:"templates"`     // with counters in total
	TemplateDays int64 `json:"template_days"` // with counters of a day
	Quotas       int64 `json:"quotas"`        // counters of a user and template
	// Participations are those that were compared, of a user and activity.
	Participations int64 `json:"participations"`
	Operations     int64 `json:"operations"`     // on vouchers
	VoucherStates  int64 `json:"voucher_states"` // of vouchers to which something has happened
	Events         int64 `json:"events"`         // in the feed: those of vouchers that were compared with the rows, and all of templates

	Users   int64 `json:"users"`
	Persons int64 `json:"persons"` // with a limit per person, each with each such template
	Lookups int64 `json:"lookups"`
	Passes  int64 `json:"passes"` // over all issuances
}

// Report is the result of an audit.
type Report struct {
	Checked  Checked         `json:"checked"`
	Findings []Finding       `json:"findings"`          // at most Options.MaxFindings
	More     int64           `json:"more,omitzero"`     // findings beyond those
	Doubts   []Doubt         `json:"doubts,omitzero"`   // by invariant, and by template or activity
	Balances []Balance       `json:"balances,omitzero"` // by template; where the rows were counted
	NotKept  []string        `json:"not_kept"`          // what was not checked, why, and how to have it checked
	Notes    []string        `json:"notes,omitzero"`    // what is no fault, and worth knowing
	Embedded *EmbeddedReport `json:"embedded,omitzero"` // nil but for Embedded
	Postgres *PostgresReport `json:"postgres,omitzero"` // nil but for Postgres
	Checksum *Checksum       `json:"meaning,omitzero"`  // nil unless Options.Checksum, and where the rows were not counted
}

// OK reports whether nothing is wrong. Doubts do not count.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// Options of an audit. The zero value is usable.
type Options struct {
	// LookupEvery looks up every n-th issuance and user again. 1 is all of them, which takes several random reads each.
	// Default 100; negative: none.
	LookupEvery int
	// MaxFindings bounds Report.Findings. Default 1,000.
	MaxFindings int
	// Memory bounds what a pass holds, in bytes; see the package comment. Default 768 MiB.
	Memory int64
	// Checksum adds the checksum of the store to the report. It takes one more pass over all rows.
	Checksum bool
	// Now is the instant at which vouchers are expired or not, in [Report.Balances]. Default: the clock.
	Now benefit.Instant
	// History are the templates and activities of earlier catalogue versions, where they are known. Nil: only today's.
	History *History

	// former are the persons to which users ever belonged, of users who may have belonged to several.
	former map[benefit.UserID][]string
}

func (o *Options) defaults() {
	o.LookupEvery = cmp.Or(o.LookupEvery, 100)
	o.MaxFindings = cmp.Or(o.MaxFindings, 1000)
	o.Memory = cmp.Or(o.Memory, 768<<20)
	o.Now = cmp.Or(o.Now, benefit.InstantOf(time.Now()))
}

// reporter fills a report.
type reporter struct {
	report      Report
	maxFindings int
	doubts      map[doubtKey]*Doubt
	cat         *benefit.Catalogue // for names; nil where the rows are not counted
}

type doubtKey struct {
	invariant Invariant
	template  benefit.TemplateID
	activity  benefit.ActivityID
	rule      string
}

func newReporter(limit int) *reporter {
	return &reporter{maxFindings: limit, doubts: map[doubtKey]*Doubt{}, report: Report{Findings: []Finding{}}}
}

// notChecked notes what is not checked, why, and how to have it checked.
func (r *reporter) notChecked(format string, args ...any) {
	r.report.NotKept = append(r.report.NotKept, fmt.Sprintf(format, args...))
}

func (r *reporter) find(f Finding) {
	if len(r.report.Findings) >= r.maxFindings {
		r.report.More++
		return
	}
	r.report.Findings = append(r.report.Findings, f)
}

// judge reports a row that breaks a rule: a finding if it is sure that this was the rule then, else a doubt. The key names
// the rule and what it belongs to.
func (r *reporter) judge(sure bool, k doubtKey, f Finding) {
	if sure {
		r.find(f)
		return
	}
	k.invariant = f.Invariant
	if d := r.doubts[k]; d != nil {
		d.Rows++
		return
	}
	d := &Doubt{Invariant: f.Invariant, Rule: k.rule, Rows: 1, First: f}
	if k.template != 0 {
		d.Template = fmt.Sprint(k.template)
		if t := r.cat.Templates[k.template]; t != nil {
			d.Template = t.Name
		}
	} else {
		d.Activity = fmt.Sprint(k.activity)
		if a := r.cat.Activities[k.activity]; a != nil {
			d.Activity = a.Name
		}
	}
	r.doubts[k] = d
}

// done returns the report, with the doubts in a fixed order.
func (r *reporter) done() *Report {
	for _, d := range r.doubts {
		r.report.Doubts = append(r.report.Doubts, *d)
	}
	slices.SortFunc(r.report.Doubts, func(a, b Doubt) int {
		return cmp.Or(cmp.Compare(a.Invariant, b.Invariant), cmp.Compare(a.Template, b.Template), cmp.Compare(a.Activity, b.Activity), cmp.Compare(a.Rule, b.Rule))
	})
	return &r.report
}
