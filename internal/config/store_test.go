package config

import (
	"strings"
	"testing"
)

// The password is never shown, whatever characters it has.
func TestStoreName(t *testing.T) {
	for store, want := range map[string]string{
		"postgres://h/db":                     "postgres://h/db",
		"postgresql://u:hush@h1:5432/db":      "postgresql://u@h1:5432/db",
		"postgres://u:hush@h1:1,h2:2/db?a=b":  "postgres://u@h1:1,h2:2/db",
		"postgres://u@h/db?password=hush":     "postgres://u@h/db",
		"postgres://h/db?password=hush@hush":  "",
		"postgres:///db?host=/run/postgresql": "postgres:///db",
		"postgres://u:h%40ush@h/db":           "postgres://u@h/db",
		"postgres://u:12/hush@h/db":           "",
		"postgres://u:12?hush@h/db":           "",
		"postgres://u:hush#hush@h/db":         "",
		"postgres://u:hush@hush@h/db":         "",
		"postgres://u:hu sh@h/db":             "",
		"postgres:u:hush@h/db":                "",
		"host=h password=hush":                "",
		"mysql://u:hush@h/db":                 "",
	} {
		got := StoreName(store)
		if got != want {
			t.Errorf("%s: got %q, want %q", store, got, want)
		}
		if strings.Contains(got, "ush") {
			t.Errorf("%s: got %q, which shows the password", store, got)
		}
	}
}

func TestRefusedStoreIsNotShown(t *testing.T) {
	_, err := Load("", nil, map[string]string{"store": "postgres://u:12/hush@h/db"})
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}
