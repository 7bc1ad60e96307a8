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
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Config holds all settings of serve. Settings describes each. The zero value is not usable; Default returns one that is.
type Config struct {
	Data     string   `koanf:"data"`
	Store    string   `koanf:"store"` // it may hold a password: show StoreName instead
	Listen   string   `koanf:"listen"`
	Apply    string   `koanf:"apply"`
	TLS      TLS      `koanf:"tls"`
	API      API      `koanf:"api"`
	Metrics  Metrics  `koanf:"metrics"`
	Log      Log      `koanf:"log"`
	Issuing  Issuing  `koanf:"issuing"`
	Request  Request  `koanf:"request"`
	Alipay   Alipay   `koanf:"alipay"`
	TOP      TOP      `koanf:"top"`
	OAuth    OAuth    `koanf:"oauth"`
	Refusals Refusals `koanf:"refusals"`
	Feed     Feed     `koanf:"feed"`
	Shutdown Shutdown `koanf:"shutdown"`
}

// TLS names the PEM files of the gateway's certificate chain and key. Set both or neither; without them the gateway
// serves plain HTTP.
type TLS struct {
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
}

// API is where the JSON API for apps is served. It has the TLS of the gateway.
type API struct {
	Listen string `koanf:"listen"`
}

// Metrics is where metrics are served.
type Metrics struct {
	Listen string `koanf:"listen"`
}

// Log configures what is logged, and in which format.
type Log struct {
	Level  string `koanf:"level"`
	Format string `koanf:"format"`
	Calls  string `koanf:"calls"`
}

// Issuing bounds the queues in front of the committers.
type Issuing struct {
	Queue      int `koanf:"queue"`
	Batch      int `koanf:"batch"`
	Committers int `koanf:"committers"` // on a database; a data directory has one
}

// Request bounds one call, and the connections on which calls arrive.
type Request struct {
	Timeout     time.Duration `koanf:"timeout"`
	Bytes       int           `koanf:"bytes"`       // of the query and of the body, each
	Memory      int           `koanf:"memory"`      // in bytes; 0 is a share of the machine's
	Connections int           `koanf:"connections"` // 0 is as many as half of Memory and the limit of file descriptors allow
	Rate        int           `koanf:"rate"`        // in bytes per second
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
	Batch        int `koanf:"batch"`
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
	ConsentKeyFile string        `koanf:"consent_key_file"`
	Code           time.Duration `koanf:"code"`
	Access         time.Duration `koanf:"access"`
	Refresh        time.Duration `koanf:"refresh"` // each refresh makes a new token
}

// Refusals configures what is kept of calls that issued nothing.
type Refusals struct {
	Keep int64 `koanf:"keep"` // in bytes of files; 0 keeps the latest in memory only
}

// Feed configures the feed of commits.
type Feed struct {
	Keep time.Duration `koanf:"keep"` // how far back start goes; a database keeps no older commits
}

// Shutdown bounds a graceful stop.
type Shutdown struct {
	Drain   time.Duration `koanf:"drain"`
	Timeout time.Duration `koanf:"timeout"`
}

// Default returns the settings that apply when nothing is set.
func Default() Config {
	texts := map[string]any{}
	for _, s := range Settings() {
		texts[s.Key] = s.Default
	}
	k, c := koanf.New("."), Config{}
	if err := errors.Join(k.Load(confmap.Provider(texts, "."), nil), k.Unmarshal("", &c)); err != nil {
		panic(err) // a default has the wrong type
	}
	return c
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
	maps.Copy(vars, flags)
	for key, text := range vars {
		if err := k.Set(key, text); err != nil {
			return nil, err
		}
	}
	for _, p := range moved {
		if err := p.check(k); err != nil {
			return nil, err
		}
	}
	for _, s := range Settings() {
		text := fmt.Sprint(k.Get(s.Key))
		if !k.Exists(s.Key) || s.check == nil || text == s.Default {
			continue
		}
		if err := s.check(text); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Key, err)
		}
	}
	c := Default()
	if err := k.Unmarshal("", &c); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if err := CheckStore(c.Store); err != nil {
		return nil, err
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return nil, errors.New("tls.cert, tls.key: set both or neither")
	}
	return &c, nil
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
