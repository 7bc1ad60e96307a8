package main

import (
	"cmp"
	"fmt"
)

// atLeast returns an error that names the flag if its value is too small, or not a number.
func atLeast[N int | int64 | float64](flag string, value, least N) error {
	if value >= least {
		return nil
	}
	return fmt.Errorf("--%s %v: must be at least %v", flag, value, least)
}

// seconds returns an error that names the flag if its value is not a length of time to measure.
func seconds(flag string, value float64) error {
	if value > 0 {
		return nil
	}
	return fmt.Errorf("--%s %v: must be above 0", flag, value)
}

// firstOf returns the first error that is one.
func firstOf(errs ...error) error { return cmp.Or(errs...) }
