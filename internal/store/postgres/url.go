package postgres

import (
	"errors"
	"net/url"
)

// errURL does not show the text, which may hold a password.
var errURL = errors.New("the store's URL must be postgres://user@host:port/database")

// withDefaults adds to a URL what it leaves out: that the host must be a primary, how long a connection may take, and how
// long one that was idle may take to show that it is still there.
func withDefaults(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errURL
	}
	q := u.Query()
	if q.Has(claimsParameter) {
		return "", ErrSplit
	}
	for name, value := range map[string]string{"target_session_attrs": "read-write", "connect_timeout": "3", "pool_ping_timeout": "2s"} {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}
