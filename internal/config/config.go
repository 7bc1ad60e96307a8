// Package config is the configuration of `faquan serve`: one typed struct, filled in layers.
//
//	defaults < file (--config, YAML) < environment (FAQUAN_…) < flags
//
// Every setting has one name in four spellings; Settings lists all settings:
//
//	request.timeout        in the file, as request: {timeout: 5s}
//	FAQUAN_REQUEST_TIMEOUT in the environment
//	--request-timeout      as a flag
//	Config.Request.Timeout here
//
// A relative path in the file is relative to the file; one in the environment or in a flag to the working directory.
//
// Nothing is ignored silently: an unknown key of the file, an unknown variable that begins with FAQUAN_, a
// key without a value and a value out of range are errors that name the place. A misspelt limit that is ignored
// is worse than a process that does not start.
//
// Templates, apps, users and the like are not configuration: they are the catalogue, see package catalog.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Config holds all settings of serve. The zero value is not usable; Default returns one that is.
type Config struct {
	// Data is the data directory. It is made when it is missing. With a Store it holds only the key file.
	Data string `koanf:"data"`
	// Store is the postgres:// URL of the database to issue on; empty for the store in the data directory. It may hold a
	// password: show StoreName instead.
	Store string `koanf:"store"`
	// Listen is the HOST:PORT of the gateway; port 0 takes a free one.
	Listen string `koanf:"listen"`
	// Apply is a catalogue file to apply before the gateway opens; empty for none.
	Apply    string   `koanf:"apply"`
	TLS      TLS      `koanf:"tls"`
	Metrics  Metrics  `koanf:"metrics"`
	Log      Log      `koanf:"log"`
	Issuing  Issuing  `koanf:"issuing"`
	Request  Request  `koanf:"request"`
	Alipay   Alipay   `koanf:"alipay"`
	TOP      TOP      `koanf:"top"`
	OAuth    OAuth    `koanf:"oauth"`
	Shutdown Shutdown `koanf:"shutdown"`
}

// TLS names the PEM files of the gateway's certificate chain and key. Set both or neither; without them the gateway
// serves plain HTTP.
type TLS struct {
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
}

// Metrics is where metrics are served.
type Metrics struct {
	Listen string `koanf:"listen"` // HOST:PORT; empty for no metrics
}

// Log configures what is logged, and in which format.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn or error
	Format string `koanf:"format"` // text or json
	Calls  string `koanf:"calls"`  // the level of the line of a call without an internal error: info, debug, or off
}

// Issuing bounds the queues in front of the committers.
type Issuing struct {
	Queue int `koanf:"queue"` // requests that may wait; more are told to retry
	Batch int `koanf:"batch"` // the maximum number of requests in one commit
	// Committers is the number of batches in progress at the same time on a database; a data directory has one.
	Committers int `koanf:"committers"`
}

// Request bounds one call.
type Request struct {
	Timeout time.Duration `koanf:"timeout"` // how long a caller waits for its outcome
	Bytes   int           `koanf:"bytes"`   // of the query and of the body, each
	// Memory is the memory that open connections and the requests on them may take, in bytes; 0 is a share of the
	// machine's.
	Memory int `koanf:"memory"`
	// Connections is the maximum number of open connections; 0 is as many as half of Memory and the limit of file
	// descriptors allow.
	Connections int `koanf:"connections"`
	// Rate is the minimum rate at which a body must arrive, in bytes per second.
	Rate int `koanf:"rate"`
}

// Alipay configures the Alipay gateway.
type Alipay struct {
	// Tolerance is how far a request's timestamp may be from now, either way; 0 disables the check. Several SDKs send
	// the local time of the caller, whatever its zone.
	Tolerance time.Duration `koanf:"tolerance"`
}

// TOP configures the TOP gateway.
type TOP struct {
	// Tolerance is how far a request's timestamp may be from now, either way; 0 disables the check.
	Tolerance time.Duration `koanf:"tolerance"`
	// Zones are the time zones that a timestamp may be in, joined by commas: +HH:MM, -HH:MM, UTC, or local for the server's.
	// Several SDKs send the caller's local time, which in a container is UTC. The platform documents only "+08:00".
	Zones string `koanf:"zones"`
	// BusinessCode is the code of business errors: 50, as in the pages of the APIs, or 15, as in real traffic.
	BusinessCode int `koanf:"business_code"`
	// Batch is the maximum number of calls in one batch.
	Batch int `koanf:"batch"`
}

// Locations returns the zones.
func (t TOP) Locations() ([]*time.Location, error) {
	var all []*time.Location
	for name := range strings.SplitSeq(t.Zones, ",") {
		zone, err := location(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		all = append(all, zone)
	}
	return all, nil
}

func location(name string) (*time.Location, error) {
	switch name {
	case "UTC":
		return time.UTC, nil
	case "local":
		return time.Local, nil
	}
	at, err := time.Parse("-07:00", name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a zone like +08:00, UTC or local", name)
	}
	_, offset := at.Zone()
	return time.FixedZone(name, offset), nil
}

// OAuth configures /authorize and /token.
type OAuth struct {
	// ConsentKeyFile is the file with the key that a person must enter to consent; empty disables /authorize.
	ConsentKeyFile string        `koanf:"consent_key_file"`
	Code           time.Duration `koanf:"code"`    // lifetime of an authorization code
	Access         time.Duration `koanf:"access"`  // lifetime of a session
	Refresh        time.Duration `koanf:"refresh"` // lifetime of a refresh token; each refresh makes a new one
}

// Shutdown bounds a graceful stop.
type Shutdown struct {
	Drain   time.Duration `koanf:"drain"`   // how long calls are still served after the signal, while /readyz fails
	Timeout time.Duration `koanf:"timeout"` // how long running calls may take to finish
}

// Default returns the settings that apply when nothing is set.
func Default() Config {
	return Config{
		Data:     "data",
		Listen:   "127.0.0.1:8080",
		Log:      Log{Level: "info", Format: "text", Calls: "debug"},
		Issuing:  Issuing{Queue: 8192, Batch: 1024, Committers: 2},
		Request:  Request{Timeout: 5 * time.Second, Bytes: 1 << 20, Rate: 8 << 10},
		TOP:      TOP{Tolerance: 10 * time.Minute, Zones: "+08:00,UTC", BusinessCode: 50, Batch: 20},
		OAuth:    OAuth{Code: 10 * time.Minute, Access: 24 * time.Hour, Refresh: 30 * 24 * time.Hour},
		Shutdown: Shutdown{Drain: 5 * time.Second, Timeout: 20 * time.Second},
	}
}

// Load returns the Config from the file (empty for none), the environment (as os.Environ returns it) and the flags
// that were given, by the key of their setting.
func Load(file string, environ []string, flags map[string]string) (*Config, error) {
	k := koanf.New(".")
	var moved []path
	if file != "" {
		var err error
		if moved, err = loadFile(k, file); err != nil {
			return nil, err
		}
	}
	vars, err := variables(environ)
	if err != nil {
		return nil, err
	}
	for _, layer := range []map[string]any{vars, anyValues(flags)} {
		if err := k.Load(confmap.Provider(layer, "."), nil); err != nil {
			return nil, err
		}
	}
	for _, p := range moved {
		if err := p.check(k); err != nil {
			return nil, err
		}
	}
	if err := checkTypes(k, reflect.TypeFor[Config](), ""); err != nil {
		return nil, err
	}
	c := Default()
	if err := k.Unmarshal("", &c); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return &c, c.validate(k)
}

// loadFile loads the file, and returns the paths that it resolved relative to the file.
func loadFile(k *koanf.Koanf, file string) ([]path, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := checkFile(file, data); err != nil {
		return nil, err
	}
	values, err := yaml.Parser().Unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := k.Load(confmap.Provider(values, ""), nil); err != nil {
		return nil, err
	}
	var relative []path
	for _, key := range paths {
		written := k.String(key)
		if written == "" || written == "-" || filepath.IsAbs(written) { // - is the standard input
			continue
		}
		p := path{file: file, key: key, written: written, meant: filepath.Join(filepath.Dir(file), written)}
		if err := k.Set(key, p.meant); err != nil {
			return nil, err
		}
		relative = append(relative, p)
	}
	return relative, nil
}

// path is a relative path in the file.
type path struct{ file, key, written, meant string }

// check returns an error when nothing exists at the path relative to the file, but something does relative to the working
// directory, as earlier versions resolved it: the process would start on an empty data directory. A path that a later
// layer replaced is not checked.
func (p *path) check(k *koanf.Koanf) error {
	if k.String(p.key) != p.meant {
		return nil
	}
	if _, err := os.Stat(p.meant); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(p.written); err != nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %s is relative to this file, and there is no %s; %s in the working directory is not used. Write the absolute path",
		p.file, p.key, p.written, p.meant, p.written)
}

// checkTypes returns an error that names the setting when a value is not of the type of its field, and shows the value
// as it was written.
func checkTypes(k *koanf.Koanf, t reflect.Type, prefix string) error {
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("koanf")
		if f.Type.Kind() == reflect.Struct {
			if err := checkTypes(k, f.Type, key+"."); err != nil {
				return err
			}
			continue
		}
		if !k.Exists(key) {
			continue
		}
		text := written(k, key)
		switch f.Type {
		case reflect.TypeFor[int]():
			if _, err := strconv.ParseInt(text, 0, 64); err != nil && text != "" {
				return fmt.Errorf("%s: %q is not a whole number", key, text)
			}
		case reflect.TypeFor[time.Duration]():
			_, err := time.ParseDuration(text)
			if _, notNumber := strconv.ParseInt(text, 10, 64); err != nil && notNumber == nil { //guard:TestRefusals
				return fmt.Errorf("%s: %s has no unit; write %ss for seconds", key, text, text)
			}
			if err != nil {
				return fmt.Errorf("%s: %q is not a duration like 500ms, 5s, 10m or 24h", key, text)
			}
		}
	}
	return nil
}

// written returns the value of a setting as it was written.
func written(k *koanf.Koanf, key string) string { return fmt.Sprint(k.Get(key)) }

// bound returns the end of a range in the form in which the setting is written.
func bound(n int64, unit string) string {
	if unit != "ms" {
		return strconv.FormatInt(n, 10)
	}
	text := (time.Duration(n) * time.Millisecond).String()
	for _, zero := range []string{"m0s", "h0m"} { // 10m0s, 24h0m0s
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func anyValues(texts map[string]string) map[string]any {
	values := make(map[string]any, len(texts))
	for name, text := range texts {
		values[name] = text
	}
	return values
}

// isAddress reports whether a text is HOST:PORT.
func isAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	return err == nil && port != ""
}

// validate checks the ranges. Its errors name the setting, because the value may come from four places.
func (c *Config) validate(k *koanf.Koanf) error {
	switch {
	case c.Data == "":
		return errors.New("data: must not be empty; give a directory")
	case CheckStore(c.Store) != nil:
		return CheckStore(c.Store)
	case !isAddress(c.Listen):
		return fmt.Errorf("listen: %q is not HOST:PORT, such as 127.0.0.1:8080", c.Listen)
	case c.Metrics.Listen != "" && !isAddress(c.Metrics.Listen):
		return fmt.Errorf("metrics.listen: %q is not HOST:PORT, such as 127.0.0.1:9090", c.Metrics.Listen)
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return errors.New("tls.cert, tls.key: set both or neither")
	case c.Log.Format != "text" && c.Log.Format != "json":
		return fmt.Errorf("log.format: %q is not text or json", c.Log.Format)
	case c.Log.Level != "debug" && c.Log.Level != "info" && c.Log.Level != "warn" && c.Log.Level != "error":
		return fmt.Errorf("log.level: %q is not debug, info, warn or error", c.Log.Level)
	case c.Log.Calls != "debug" && c.Log.Calls != "info" && c.Log.Calls != "off":
		return fmt.Errorf("log.calls: %q is not debug, info or off", c.Log.Calls)
	case c.TOP.BusinessCode != 50 && c.TOP.BusinessCode != 15:
		return fmt.Errorf("top.business_code: %d is not 50 or 15", c.TOP.BusinessCode)
	}
	if _, err := c.TOP.Locations(); err != nil {
		return fmt.Errorf("top.zones: %w", err)
	}
	for _, r := range []struct {
		name             string
		value, low, high int64
		unit             string
	}{
		{"issuing.queue", int64(c.Issuing.Queue), 1, 1_000_000, "requests"},
		{"issuing.batch", int64(c.Issuing.Batch), 1, 8192, "requests"},
		{"issuing.committers", int64(c.Issuing.Committers), 1, 64, "committers"},
		{"request.bytes", int64(c.Request.Bytes), 1 << 10, 64 << 20, "bytes"},
		{"request.memory", int64(c.Request.Memory), 0, 1 << 40, "bytes"},
		{"request.connections", int64(c.Request.Connections), 0, 1_000_000, "connections"},
		{"request.rate", int64(c.Request.Rate), 1, 1 << 20, "bytes per second"},
		{"request.timeout", c.Request.Timeout.Milliseconds(), 10, 60_000, "ms"},
		{"alipay.tolerance", c.Alipay.Tolerance.Milliseconds(), 0, 86_400_000, "ms"},
		{"top.tolerance", c.TOP.Tolerance.Milliseconds(), 0, 86_400_000, "ms"},
		{"top.batch", int64(c.TOP.Batch), 1, 1000, "calls"},
		{"oauth.code", c.OAuth.Code.Milliseconds(), 1000, 3_600_000, "ms"},
		{"oauth.access", c.OAuth.Access.Milliseconds(), 60_000, 10 * 365 * 86_400_000, "ms"},
		{"oauth.refresh", c.OAuth.Refresh.Milliseconds(), 60_000, 10 * 365 * 86_400_000, "ms"},
		{"shutdown.drain", c.Shutdown.Drain.Milliseconds(), 0, 600_000, "ms"},
		{"shutdown.timeout", c.Shutdown.Timeout.Milliseconds(), 10, 600_000, "ms"},
	} {
		if r.value < r.low || r.value > r.high {
			unit := " " + r.unit
			if r.unit == "ms" {
				unit = "" // it is in the value
			}
			return fmt.Errorf("%s: %s is out of range; it must be from %s to %s%s",
				r.name, written(k, r.name), bound(r.low, r.unit), bound(r.high, r.unit), unit)
		}
	}
	return nil
}
