package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The checks of values, which are given as they were written.

const day = 24 * time.Hour

func notEmpty(text string) error {
	if text == "" {
		return errors.New("must not be empty; give a directory")
	}
	return nil
}

func address(example string) func(string) error {
	return func(text string) error {
		if _, port, err := net.SplitHostPort(text); err != nil || port == "" {
			return fmt.Errorf("%q is not HOST:PORT, such as %s", text, example)
		}
		return nil
	}
}

func oneOf(values ...string) func(string) error {
	return func(text string) error {
		if slices.Contains(values, text) {
			return nil
		}
		last := len(values) - 1
		return fmt.Errorf("%q is not %s or %s", text, strings.Join(values[:last], ", "), values[last])
	}
}

func zones(text string) error {
	_, err := TOP{Zones: text}.Locations()
	return err
}

func businessCode(text string) error {
	n, err := parseNumber(text)
	if err == nil && n != 50 && n != 15 {
		err = fmt.Errorf("%d is not 50 or 15", n)
	}
	return err
}

// parseNumber parses a number as koanf does.
func parseNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil && text != "" {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

func number(low, high int64, unit string) func(string) error {
	return func(text string) error {
		n, err := parseNumber(text)
		if err == nil && (n < low || n > high) {
			err = fmt.Errorf("%s is out of range; it must be from %d to %d %s", text, low, high, unit)
		}
		return err
	}
}

// zeroOr takes 0 besides what the check takes.
func zeroOr(check func(string) error) func(string) error {
	return func(text string) error {
		n, err := parseNumber(text)
		if err != nil || n == 0 {
			return err
		}
		if err = check(text); err != nil {
			err = fmt.Errorf("%w, or 0", err)
		}
		return err
	}
}

func duration(low, high time.Duration) func(string) error {
	return func(text string) error {
		d, err := time.ParseDuration(text)
		if _, notNumber := strconv.ParseInt(text, 10, 64); err != nil && notNumber == nil { //guard:TestRefusals
			return fmt.Errorf("%s has no unit; write %ss for seconds", text, text)
		}
		if err != nil {
			return fmt.Errorf("%q is not a duration like 500ms, 5s, 10m or 24h", text)
		}
		if d = d.Truncate(time.Millisecond); d < low || d > high {
			return fmt.Errorf("%s is out of range; it must be from %s to %s", text, shown(low), shown(high))
		}
		return nil
	}
}

// shown returns a duration without parts that are zero, as people write it.
func shown(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} { // 10m0s, 24h0m0s
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
