package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// result is the line that ends of a benchmark's output: pairs of name=value with blanks between, for scripts. Names are only
// ever added. Rates are per second, times in µs or ms as the name says, and ratios and rates are medians.
type result struct{ pairs []string }

func newResult(benchmark string) *result { return (&result{}).text("benchmark", benchmark) }

// text adds a value that has no blanks.
func (r *result) text(name, value string) *result {
	r.pairs = append(r.pairs, name+"="+value)
	return r
}

// number adds a value with four significant digits. 0 is a figure that could not be seen, and is left out.
func (r *result) number(name string, value float64) *result {
	if value == 0 {
		return r
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 4, 64), 64)
	return r.text(name, strconv.FormatFloat(rounded, 'f', -1, 64))
}

func (r *result) print(w io.Writer) { fmt.Fprintln(w, strings.Join(r.pairs, " ")) }

// storeKind returns the value of store in a result.
func storeKind(store string) string {
	if store == "" {
		return "embedded"
	}
	return "postgres"
}

// slug returns a name as a part of one in a result.
func slug(name string) string { return strings.NewReplacer(" ", "_", "-", "_").Replace(name) }

// median returns 0 for no values.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
