package postgres

import (
	"errors"
	"testing"
)

func TestPoolConfig(t *testing.T) {
	config, schema, err := poolConfig("postgres://u@h/db?schema=Shop.1&options=-c%20statement_timeout=1s&application_name=a+b")
	if err != nil {
		t.Fatal(err)
	}
	if schema != "Shop.1" {
		t.Errorf("schema %q", schema)
	}
	// It is no parameter of the server, which would refuse it; the others reach it as they were written.
	for name, want := range map[string]string{"schema": "", "options": "-c statement_timeout=1s", "application_name": "a+b"} {
		if got := config.ConnConfig.RuntimeParams[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, url := range []string{"mysql://u@h/db", "db"} {
		if _, _, err := poolConfig(url); !errors.Is(err, errURL) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, _, err := poolConfig("postgres://u@h/db?schema="); !errors.Is(err, errNoName) {
		t.Errorf("an empty schema: %v", err)
	}
}

func TestSearchPath(t *testing.T) {
	if got, want := searchPath(`a"b, c`), `"a""b, c", pg_temp`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
