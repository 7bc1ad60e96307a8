package postgres

import (
	"errors"
	"net/url"
	"strings"
)

// errURL does not show the text, which may hold a password.
var errURL = errors.New("the store's URL must be postgres://user@host:port/database")

// schemaParameter names, in a store's URL, the schema of its tables.
const schemaParameter = "schema"

var errNoName = errors.New("the store's URL: schema has no value")

// withDefaults adds to a URL what it leaves out: that the host must be a primary, how long a connection may take, and how
// long one that was idle may take to show that it is still there.
// It takes the schema out of it, which is no parameter of the server.
func withDefaults(text string) (_, schema string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", "", errURL
	}
	u.RawQuery = strings.ReplaceAll(u.RawQuery, "+", "%2B") // to libpq, and to pgx, it is a plus sign and no space
	q := u.Query()
	schema = q.Get(schemaParameter)
	if q.Has(schemaParameter) && schema == "" {
		return "", "", errNoName
	}
	q.Del(schemaParameter)
	for name, value := range map[string]string{"target_session_attrs": "read-write", "connect_timeout": "3", "pool_ping_timeout": "2s"} {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String(), schema, nil
}
