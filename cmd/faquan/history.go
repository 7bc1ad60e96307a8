package main

import (
	"strings"

	"github.com/spf13/cobra"

	"faquan/internal/catalog"
	"faquan/internal/control"
)

// entityKinds are the values of history --kind.
var entityKinds = []string{"merchant", "app", "template", "activity", "scene", "subscription", "platform"}

func newHistory() *cobra.Command {
	var at location
	var q control.HistoryQuery
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show who changed the catalogue, and what",
		Long: `Show the last versions of the catalogue, the newest first: when each was made, by which user of the machine and by
which command, and field by field what it changed, with the names of catalogue files. Secrets are not shown. Users and
sessions are not part of the catalogue.

--kind and --name select the changes of some entities, or of one. Versions that an earlier version of faquan made have
neither time nor user.`,
		Example: `  faquan history
  faquan history --kind template --name cinema-10 --limit 3
  faquan history --json | jq '.[] | {version, at, by}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Limit < 1 {
				return usagef("--limit must be at least 1")
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				versions, err := control.History.On(cmd.Context(), p, &q)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(cmd.OutOrStdout(), versions)
				}
				var out renderer
				for k := range versions {
					out.version(&versions[k])
				}
				_, err = out.WriteTo(cmd.OutOrStdout())
				return err
			})
		},
	}
	locationFlags(cmd, &at)
	f := cmd.Flags()
	f.StringVar(&q.Kind, "kind", "", "only changes of this `KIND`: "+strings.Join(entityKinds, ", "))
	f.StringVar(&q.Name, "name", "", "only changes of entities with this `NAME`")
	f.IntVar(&q.Limit, "limit", 20, "how many versions at most")
	f.BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (p *renderer) version(v *control.CatalogueVersion) {
	if v.At == "" {
		p.line(0, "version %d", v.Version)
	} else {
		p.line(0, "version %d  %s  by %s, %s", v.Version, v.At, quoted(v.By), v.Command)
	}
	for _, c := range v.Changes {
		sign := "~"
		if c.Action == string(catalog.Added) {
			sign = "+"
		}
		name := ""
		if c.Name != "" {
			name = quoted(c.Name)
		}
		p.line(1, "%s", strings.TrimSpace(sign+" "+c.Kind+" "+name))
		for _, f := range c.Fields {
			p.line(3, "%s", catalog.Difference{Field: f.Field, Old: f.Old, New: f.New})
		}
	}
}
