package api

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The page of the API has every reason with its status, and every operation with its scope.
func TestThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (\\d+) \\|").FindAllStringSubmatch(string(page), -1) {
		got = append(got, row[1]+" "+row[2])
	}
	for r, p := range problems {
		want = append(want, fmt.Sprint(r, " ", p.status))
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(GET|POST) ([^?`]*)[^`]*` \\| `(\\w+)` \\|").FindAllStringSubmatch(string(page), -1) {
		got = append(got, strings.Join(row[1:], " "))
	}
	for _, r := range routes {
		if r.scope != "" {
			want = append(want, fmt.Sprint(r.method, " ", Root, r.path, " ", r.scope))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	got = slices.Compact(got) // a list has a row for each of its questions
	if !slices.Equal(got, want) {
		t.Errorf("the page has\n%s\nthe API has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
