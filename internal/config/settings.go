package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// EnvPrefix is the prefix of the environment variables of faquan.
const EnvPrefix = "FAQUAN_"

// FileVariable is the environment variable that names the configuration file, as the flag --config does.
const FileVariable = EnvPrefix + "CONFIG"

// Setting is one setting.
type Setting struct {
	Key     string // in the file, with dots
	Default string // as text; empty for none
	Usage   string // one line
}

// Flag returns the name of the command-line flag, without the leading dashes.
func (s Setting) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Key) }

// Env returns the name of the environment variable.
func (s Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// Settings returns all settings, in the order of the help text.
func Settings() []Setting {
	d := Default()
	return []Setting{
		{"data", d.Data, "data `DIR`ectory; made when it is missing"},
		{"store", d.Store, "`URL` of a PostgreSQL database to issue on, postgres://…; without it the store is in --data"},
		{"listen", d.Listen, "`HOST:PORT` of the gateway; port 0 takes a free one"},
		{"apply", d.Apply, "catalogue `FILE` to apply before the gateway opens"},
		{"tls.cert", d.TLS.Cert, "PEM `FILE` of the certificate chain; with tls-key the gateway serves HTTPS"},
		{"tls.key", d.TLS.Key, "PEM `FILE` of the certificate's private key"},
		{"metrics.listen", d.Metrics.Listen, "`HOST:PORT` of the metrics for Prometheus, at /metrics; without it there are no metrics"},
		{"log.level", d.Log.Level, "`LEVEL` from which to log: debug, info, warn or error"},
		{"log.format", d.Log.Format, "`FORMAT` of the log on standard error: text or json"},
		{"log.calls", d.Log.Calls, "`LEVEL` of the line of a call without an internal error: info, debug or off"},
		{"issuing.queue", fmt.Sprint(d.Issuing.Queue), "`NUMBER` of requests that may wait; more are told to retry"},
		{"issuing.batch", fmt.Sprint(d.Issuing.Batch), "`NUMBER` of requests in one commit, at most"},
		{"issuing.committers", fmt.Sprint(d.Issuing.Committers), "`NUMBER` of batches in progress at the same time, on a database"},
		{"request.timeout", d.Request.Timeout.String(), "`DURATION` that a caller waits for its outcome, 10ms to 1m"},
		{"request.bytes", fmt.Sprint(d.Request.Bytes), "`BYTES` that a query or a body may have"},
		{"request.memory", fmt.Sprint(d.Request.Memory), "`BYTES` of memory for connections and their requests; 0 is a quarter of the memory, at most 1 GiB"},
		{"request.connections", fmt.Sprint(d.Request.Connections), "`NUMBER` of connections at the same time; 0 is as many as half of request.memory allows"},
		{"request.rate", fmt.Sprint(d.Request.Rate), "`BYTES` per second at which a body must arrive"},
		{"alipay.tolerance", d.Alipay.Tolerance.String(), "`DURATION` by which an Alipay timestamp may be off; 0 disables the check"},
		{"top.tolerance", d.TOP.Tolerance.String(), "`DURATION` by which a TOP timestamp may be off; 0 disables the check"},
		{"top.zones", d.TOP.Zones, "`ZONES` of a TOP timestamp, joined by commas: +08:00, UTC, local"},
		{"top.business_code", fmt.Sprint(d.TOP.BusinessCode), "`CODE` of business errors on TOP: 50 or 15"},
		{"top.batch", fmt.Sprint(d.TOP.Batch), "`NUMBER` of calls that one TOP batch may hold"},
		{"oauth.consent_key_file", d.OAuth.ConsentKeyFile, "`FILE` with the key that a person must enter to consent; without it /authorize is off"},
		{"oauth.code", d.OAuth.Code.String(), "`DURATION` that an authorization code is valid, 1s to 1h"},
		{"oauth.access", d.OAuth.Access.String(), "`DURATION` that a session from OAuth is valid"},
		{"oauth.refresh", d.OAuth.Refresh.String(), "`DURATION` that a refresh token from OAuth is valid"},
		{"shutdown.drain", d.Shutdown.Drain.String(), "`DURATION` that calls are still taken after SIGTERM, while /readyz fails; 0 stops at once"},
		{"shutdown.timeout", d.Shutdown.Timeout.String(), "`DURATION` that running calls have to finish when the process stops"},
	}
}

// paths are the settings that name a file or a directory.
var paths = []string{"data", "apply", "tls.cert", "tls.key", "oauth.consent_key_file"}

// variables returns the settings of faquan in the environment.
func variables(environ []string) (map[string]any, error) {
	values := map[string]any{}
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
