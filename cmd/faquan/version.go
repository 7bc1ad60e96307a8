package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker for a release: -ldflags "-X main.release=v1.2.3".
var release string

// buildVersion describes the source that the binary was built from.
type buildVersion struct {
	release string // or "devel"
	commit  string // "unknown" if it was built without version control, as by go build -buildvcs=false
	date    string // of the commit, RFC 3339 in UTC
	changed bool   // built with changes that are not in the commit
}

func readBuildVersion() buildVersion {
	v := buildVersion{release: cmp.Or(release, "devel"), commit: "unknown", date: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.commit = s.Value[:min(12, len(s.Value))]
		case "vcs.time":
			v.date = s.Value
		case "vcs.modified":
			v.changed = s.Value == "true"
		}
	}
	return v
}

// version returns the release, or else the commit that the binary was built from, in one word.
func version() string {
	v := readBuildVersion()
	if v.release != "devel" || v.commit == "unknown" {
		return v.release
	}
	if v.changed {
		return "devel-" + v.commit + "+changes"
	}
	return "devel-" + v.commit
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of faquan",
		Long: `Print the release, the commit and its date, and the Go version that built it: what a bug report needs.
A binary that was not built as a release is "devel".`,
		Example: `  faquan version`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := readBuildVersion()
			changed := ""
			if v.changed {
				changed = ", with local changes"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "faquan %s\ncommit %s%s\ndate   %s\ngo     %s %s/%s\n",
				v.release, v.commit, changed, v.date, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
