package postgres

import (
	"errors"
	"net/url"
)

// withDefaults adds to a URL what it leaves out: that the host must be a primary, and how long a connection may take.
func withDefaults(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errors.New("the store's URL must be postgres://user@host:port/database") // its text may hold a password
	}
	q := u.Query()
	for name, value := range map[string]string{"target_session_attrs": "read-write", "connect_timeout": "3"} {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}
