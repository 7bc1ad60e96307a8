package config

import (
	"errors"
	"net/url"
	"strings"
)

// errStore does not show the URL because of its password.
var errStore = errors.New("store: not a URL like postgres://user@host:5432/database, in which / @ ? # % of a password are written %2F %40 %3F %23 %25; it is not shown because of its password")

// CheckStore returns an error for a store that is not empty and not the URL of a PostgreSQL database.
func CheckStore(store string) error {
	if store != "" && StoreName(store) == "" {
		return errStore
	}
	return nil
}

// StoreName returns the part of a store's URL that may be shown and logged: scheme, user, hosts and database, without
// the password and the parameters, which may hold one. It returns "" for anything but the URL of a PostgreSQL database:
// when it is not clear where a password ends, nothing is shown.
func StoreName(store string) string {
	u, err := url.Parse(store)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" || strings.Contains(store, "#") {
		return ""
	}
	// A password with a bare / or ? ends what looks like the host too early.
	//guard:TestStoreName without u.User == nil && strings.Contains(store, "@")
	if before, _, _ := strings.Cut(store, "?"); u.User == nil && strings.Contains(store, "@") || strings.Count(before, "@") > 1 {
		return ""
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	return shown.String()
}
