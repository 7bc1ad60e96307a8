package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write makes a configuration file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "faquan.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	got, err := Load("", []string{"HOME=/root", "PATH=/bin"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Each layer sets four values, and each later layer overrides one of them.
func TestLaterLayersWin(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:1\ndata: of-file\nlog: {format: json, level: debug}\nrequest: {timeout: 2s}\n")
	environ := []string{"FAQUAN_DATA=of-env", "FAQUAN_LOG_LEVEL=warn", "FAQUAN_CONFIG=elsewhere"}
	got, err := Load(file, environ, map[string]string{"log.level": "error", "issuing.queue": "7"})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen, want.Data = "127.0.0.1:1", "of-env"
	want.Log.Level, want.Log.Format = "error", "json"
	want.Request.Timeout, want.Issuing.Queue = 2*time.Second, 7
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, file string
		environ    []string
		flags      map[string]string
		want       string
	}{
		{name: "unknown key", file: "data: d\nlisen: x\n", want: `faquan.yaml:2: unknown key "lisen"`},
		{name: "unknown nested key", file: "log:\n  levle: info\n", want: `faquan.yaml:2: unknown key "log.levle"`},
		{name: "a group that is a value", file: "log: info\n", want: `faquan.yaml:1: "log" is a group of settings`},
		{name: "a key without a value", file: "data:\n", want: "faquan.yaml:1: data needs a single value"},
		{name: "a list", file: "data: [a, b]\n", want: "faquan.yaml:1: data needs a single value"},
		{name: "twice", file: "data: a\ndata: b\n", want: "already defined"},
		{name: "unknown variable", environ: []string{"FAQUAN_LISEN=x"}, want: "unknown variable FAQUAN_LISEN"},
		{name: "not a number", environ: []string{"FAQUAN_ISSUING_QUEUE=many"}, want: `issuing.queue: "many" is not a whole number`},
		{name: "not a duration", flags: map[string]string{"request.timeout": "soon"}, want: `request.timeout: "soon" is not a duration like 500ms`},
		{name: "too short", file: "request: {timeout: 5}\n", want: "request.timeout: 5 has no unit; write 5s for seconds"},
		{name: "an hour", file: "request: {timeout: 1h}\n", want: "request.timeout: 1h is out of range; it must be from 10ms to 1m"},
		{name: "an hour in seconds", environ: []string{"FAQUAN_REQUEST_TIMEOUT=3600s"}, want: "request.timeout: 3600s is out of range; it must be from 10ms to 1m"},
		{name: "shorter than a millisecond", flags: map[string]string{"request.timeout": "5us"}, want: "request.timeout: 5us is out of range"},
		{name: "queue of none", file: "issuing: {queue: 0}\n", want: "issuing.queue: 0 is out of range; it must be from 1 to 1000000 requests"},
		{name: "a batch too large", file: "issuing: {batch: 100000}\n", want: "issuing.batch"},
		{name: "committers without end", file: "issuing: {committers: 65}\n", want: "issuing.committers: 65 is out of range"},
		{name: "tiny bodies", file: "request: {bytes: 1}\n", want: "request.bytes"},
		{name: "negative memory", file: "request: {memory: -1}\n", want: "request.memory: -1 is out of range"},
		{name: "memory with a unit", file: "request: {memory: 1GiB}\n", want: `request.memory: "1GiB" is not a whole number`},
		{name: "negative connections", file: "request: {connections: -1}\n", want: "request.connections: -1 is out of range"},
		{name: "no minimum rate", file: "request: {rate: 0}\n", want: "request.rate: 0 is out of range; it must be from 1 to 1048576 bytes per second"},
		{name: "negative tolerance", file: "alipay: {tolerance: -1s}\n", want: "alipay.tolerance"},
		{name: "negative tolerance of TOP", file: "top: {tolerance: -1s}\n", want: "top.tolerance"},
		{name: "no zone", file: "top: {zones: \"+08:00,Mars\"}\n", want: `top.zones: "Mars" is not a zone`},
		{name: "no zones", file: "top: {zones: \"\"}\n", want: `top.zones: "" is not a zone`},
		{name: "business code", file: "top: {business_code: 40004}\n", want: "top.business_code: 40004 is not 50 or 15"},
		{name: "an endless batch", file: "top: {batch: 1001}\n", want: "top.batch: 1001 is out of range"},
		{name: "level of calls", file: "log: {calls: warn}\n", want: `log.calls: "warn" is not debug, info or off`},
		{name: "a code for days", file: "oauth: {code: 48h}\n", want: "oauth.code: 48h is out of range; it must be from 1s to 1h"},
		{name: "a session for a moment", file: "oauth: {access: 1s}\n", want: "oauth.access: 1s is out of range; it must be from 1m to 87600h"},
		{name: "a refresh token for ever", file: "oauth: {refresh: 1000000h}\n", want: "oauth.refresh"},
		{name: "few bytes of refusals", file: "refusals: {keep: 1024}\n", want: "refusals.keep: 1024 is out of range; it must be from 1048576 to 1099511627776 bytes, or 0"},
		{name: "refusals with a unit", file: "refusals: {keep: 256MiB}\n", want: `refusals.keep: "256MiB" is not a whole number`},
		{name: "a feed for minutes", file: "feed: {keep: 59m}\n", want: "feed.keep: 59m is out of range; it must be from 1h to 87600h"},
		{name: "no feed", file: "feed: {keep: 0s}\n", want: "feed.keep: 0s is out of range; it must be from 1h to 87600h"},
		{name: "no time to stop", file: "shutdown: {timeout: 0s}\n", want: "shutdown.timeout: 0s is out of range; it must be from 10ms to 10m"},
		{name: "a negative drain", file: "shutdown: {drain: -1s}\n", want: "shutdown.drain: -1s is out of range; it must be from 0s to 10m"},
		{name: "no port", file: "listen: localhost\n", want: `listen: "localhost" is not HOST:PORT`},
		{name: "no port of the metrics", file: "metrics: {listen: localhost}\n", want: `metrics.listen: "localhost" is not HOST:PORT`},
		{name: "no directory", environ: []string{"FAQUAN_DATA="}, want: "data: must not be empty"},
		{name: "another database", environ: []string{"FAQUAN_STORE=mysql://u:hush@h/db"}, want: "store: not a URL like postgres://"},
		{name: "half of TLS", file: "tls: {cert: c.pem}\n", want: "tls.cert, tls.key: set both or neither"},
		{name: "log format", file: "log: {format: xml}\n", want: `log.format: "xml"`},
		{name: "log level", file: "log: {level: loud}\n", want: `log.level: "loud"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := ""
			if c.file != "" {
				file = write(t, c.file)
			}
			_, err := Load(file, c.environ, c.flags)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestNoSuchFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil, nil); !os.IsNotExist(err) {
		t.Errorf("got %v, want an error that says that there is no such file", err)
	}
}

// A field that Settings does not list could not be set, and a setting without a field would do nothing.
func TestSettingsAreTheFields(t *testing.T) {
	want := keysOf(reflect.TypeFor[Config](), "")
	var got []string
	for _, s := range Settings() {
		got = append(got, s.Key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields of Config and Settings differ (-fields +settings)\n%s", diff)
	}
}

func keysOf(t reflect.Type, prefix string) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("koanf")
		if f.Type.Kind() == reflect.Struct {
			keys = append(keys, keysOf(f.Type, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// The defaults that the help shows are those of Default.
func TestShownDefaults(t *testing.T) {
	shown := map[string]string{}
	for _, s := range Settings() {
		shown[s.Key] = s.Default
	}
	got, err := Load("", nil, shown)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A relative path of the file is relative to the file, whatever the working directory is. Others are not.
func TestPathsOfTheFile(t *testing.T) {
	file := write(t, "data: d\napply: ../catalog.yaml\ntls: {cert: c.pem, key: /k.pem}\noauth: {consent_key_file: consent}\n")
	dir := filepath.Dir(file)
	got, err := Load(file, []string{"FAQUAN_APPLY=from-env.yaml"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Data, want.Apply = filepath.Join(dir, "d"), "from-env.yaml"
	want.TLS = TLS{Cert: filepath.Join(dir, "c.pem"), Key: "/k.pem"}
	want.OAuth.ConsentKeyFile = filepath.Join(dir, "consent")
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got, err = Load(file, nil, map[string]string{"data": "of-flag"}); err != nil || got.Data != "of-flag" {
		t.Errorf("a flag: %v, %v", got, err)
	}
	if got.Apply != filepath.Join(filepath.Dir(dir), "catalog.yaml") {
		t.Errorf("apply: %s", got.Apply)
	}
	if got, err = Load(write(t, "apply: \"-\"\n"), nil, nil); err != nil || got.Apply != "-" {
		t.Errorf("the standard input: %v, %v", got, err)
	}
}

// Every setting that names a file or a directory is one of the paths.
func TestPathsAreListed(t *testing.T) {
	for _, s := range Settings() {
		names := strings.Contains(s.Usage, "`FILE`") || strings.Contains(s.Usage, "`DIR`")
		if names != slices.Contains(paths, s.Key) {
			t.Errorf("%s: names a file: %t, is among the paths: %t", s.Key, names, !names)
		}
	}
}

// Earlier versions took the working directory. A store that they made there is not passed over for a new one.
func TestPathOfTheWorkingDirectory(t *testing.T) {
	file := write(t, "data: store\n")
	t.Chdir(t.TempDir())
	if _, err := Load(file, nil, nil); err != nil {
		t.Fatalf("a first start: %v", err)
	}
	if err := os.Mkdir("store", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, nil, nil); err == nil || !strings.Contains(err.Error(), "data: store is relative to this file") {
		t.Errorf("a store in the working directory is passed over: %v", err)
	}
	if _, err := Load(file, nil, map[string]string{"data": "store"}); err != nil {
		t.Errorf("named by a flag: %v", err)
	}
	if err := os.Mkdir(filepath.Join(filepath.Dir(file), "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, nil, nil); err != nil {
		t.Errorf("both are there: %v", err)
	}
}

// The example names every setting. As it stands it sets nothing but the data directory, and what it shows as defaults are.
func TestExample(t *testing.T) {
	const example = "../../examples/faquan.yaml"
	got, err := Load(example, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Data = "/var/lib/faquan"
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		_, name, grouped := strings.Cut(s.Key, ".")
		if !grouped {
			name = s.Key
		}
		value := ""
		if s.Default != "" && s.Key != "data" {
			value = `"?` + regexp.QuoteMeta(s.Default) + `"?`
		}
		if !regexp.MustCompile(`(?m)^ *#? *` + name + `: *` + value).Match(text) {
			t.Errorf("%s is not in the example with its default %q", s.Key, s.Default)
		}
	}
}
