package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// EnvPrefix is the prefix of the environment variables of faquan.
const EnvPrefix = "FAQUAN_"

// FileVariable is the environment variable that names the configuration file, as the flag --config does.
const FileVariable = EnvPrefix + "CONFIG"

// Setting is one setting.
type Setting struct {
	Key     string                     // in the file, with dots
	Default string                     // as text; empty for none
	Usage   string                     // one line
	check   func(written string) error // of a value as it was written, other than Default; nil takes every value
}

// Flag returns the name of the command-line flag, without the leading dashes.
func (s Setting) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Key) }

// Env returns the name of the environment variable.
func (s Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// Settings returns all settings, in the order of the help text.
func Settings() []Setting {
	return []Setting{
		{"data", "data", "data `DIR`ectory; made when it is missing", notEmpty},
		{"store", "", "`URL` of a PostgreSQL database to issue on, postgres://…; without it the store is in --data", nil},
		{"listen", "127.0.0.1:8080", "`HOST:PORT` of the gateway; port 0 takes a free one", address("127.0.0.1:8080")},
		{"apply", "", "catalogue `FILE` to apply before the gateway opens", nil},
		{"tls.cert", "", "PEM `FILE` of the certificate chain; with tls-key the gateway serves HTTPS", nil},
		{"tls.key", "", "PEM `FILE` of the certificate's private key", nil},
		{"api.listen", "", "`HOST:PORT` of the JSON API for apps, at /api/v1; without it there is none", address("127.0.0.1:8081")},
		{"metrics.listen", "", "`HOST:PORT` of the metrics for Prometheus, at /metrics; without it there are no metrics",
			address("127.0.0.1:9090")},
		{"log.level", "info", "`LEVEL` from which to log: debug, info, warn or error", oneOf("debug", "info", "warn", "error")},
		{"log.format", "text", "`FORMAT` of the log on standard error: text or json", oneOf("text", "json")},
		{"log.calls", "debug", "`LEVEL` of the line of a call without an internal error: info, debug or off", oneOf("debug", "info", "off")},
		{"issuing.queue", "8192", "`NUMBER` of requests that may wait; more are told to retry", number(1, 1_000_000, "requests")},
		{"issuing.batch", "1024", "`NUMBER` of requests in one commit, at most", number(1, 8192, "requests")},
		{"issuing.committers", "2", "`NUMBER` of batches in progress at the same time, on a database", number(1, 64, "committers")},
		{"request.timeout", "5s", "`DURATION` that a caller waits for its outcome, 10ms to 1m", duration(10*time.Millisecond, time.Minute)},
		{"request.bytes", "1048576", "`BYTES` that a query or a body may have", number(1<<10, 64<<20, "bytes")},
		{"request.memory", "0", "`BYTES` of memory for connections and their requests; 0 is a quarter of the memory, at most 1 GiB",
			number(0, 1<<40, "bytes")},
		{"request.connections", "0", "`NUMBER` of connections at the same time; 0 is as many as half of request.memory allows",
			number(0, 1_000_000, "connections")},
		{"request.rate", "8192", "`BYTES` per second at which a body must arrive", number(1, 1<<20, "bytes per second")},
		{"alipay.tolerance", "0s", "`DURATION` by which an Alipay timestamp may be off; 0 disables the check", duration(0, day)},
		{"top.tolerance", "10m0s", "`DURATION` by which a TOP timestamp may be off; 0 disables the check", duration(0, day)},
		{"top.zones", "+08:00,UTC", "`ZONES` of a TOP timestamp, joined by commas: +08:00, UTC, local", zones},
		{"top.business_code", "50", "`CODE` of business errors on TOP: 50 or 15", businessCode},
		{"top.batch", "20", "`NUMBER` of calls that one TOP batch may hold", number(1, 1000, "calls")},
		{"oauth.consent_key_file", "", "`FILE` with the key that a person must enter to consent; without it /authorize is off", nil},
		{"oauth.code", "10m0s", "`DURATION` that an authorization code is valid, 1s to 1h", duration(time.Second, time.Hour)},
		{"oauth.access", "24h0m0s", "`DURATION` that a session from OAuth is valid", duration(time.Minute, 3650*day)},
		{"oauth.refresh", "720h0m0s", "`DURATION` that a refresh token from OAuth is valid", duration(time.Minute, 3650*day)},
		{"refusals.keep", "268435456", "`BYTES` of files with the calls that issued nothing; 0 keeps the latest in memory only", zeroOr(number(1<<20, 1<<40, "bytes"))},
		{"feed.keep", "168h0m0s", "`DURATION` for which the events of vouchers can be read, from 1h", duration(time.Hour, 3650*day)},
		{"shutdown.drain", "5s", "`DURATION` that calls are still taken after SIGTERM, while /readyz fails; 0 stops at once",
			duration(0, 10*time.Minute)},
		{"shutdown.timeout", "20s", "`DURATION` that running calls have to finish when the process stops",
			duration(10*time.Millisecond, 10*time.Minute)},
	}
}

// paths are the settings that name a file or a directory.
var paths = []string{"data", "apply", "tls.cert", "tls.key", "oauth.consent_key_file"}

// variables returns the settings of faquan in the environment.
func variables(environ []string) (map[string]string, error) {
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) || name == FileVariable {
			continue
		}
		at := slices.IndexFunc(Settings(), func(s Setting) bool { return s.Env() == name })
		if at < 0 {
			return nil, fmt.Errorf("environment: unknown variable %s; `faquan serve --help` lists the settings", name)
		}
		values[Settings()[at].Key] = value
	}
	return values, nil
}

// checkFile returns an error for what koanf would ignore: unknown keys, keys without a value, lists.
func checkFile(file string, data []byte) error {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(root.Content) == 0 {
		return nil
	}
	return errors.Join(checkNode(file, "", root.Content[0])...)
}

// checkNode walks the file; key is the path of n, with dots.
func checkNode(file, key string, n *yaml.Node) []error {
	known := slices.ContainsFunc(Settings(), func(s Setting) bool { return s.Key == key })
	group := key == "" || slices.ContainsFunc(Settings(), func(s Setting) bool { return strings.HasPrefix(s.Key, key+".") })
	place := fmt.Sprintf("%s:%d", file, n.Line)
	switch {
	case !known && !group:
		return []error{fmt.Errorf("%s: unknown key %q; `faquan serve --help` lists the settings", place, key)}
	case known && (n.Kind != yaml.ScalarNode || n.Tag == "!!null"):
		return []error{fmt.Errorf("%s: %s needs a single value", place, key)}
	case group && n.Kind != yaml.MappingNode:
		return []error{fmt.Errorf("%s: %q is a group of settings; `faquan serve --help` lists them", place, key)}
	}
	var errs []error
	for i := 0; i+1 < len(n.Content); i += 2 {
		child := n.Content[i].Value
		if key != "" {
			child = key + "." + child
		}
		n.Content[i+1].Line = n.Content[i].Line // errors show the line of the name
		errs = append(errs, checkNode(file, child, n.Content[i+1])...)
	}
	return errs
}
