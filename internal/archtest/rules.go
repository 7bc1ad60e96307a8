package archtest

// Rule describes what one package may import, beside the standard library. Its tests may import anything of ours, the
// modules in TestOnly and those that some line of the table has.
type Rule struct {
	Package string
	Ours    []string // packages of this module; All: any
	Others  []string // modules
}

// All stands for every package of ours.
const All = "*"

// The modules that more than one package uses.
const (
	yaml   = "go.yaml.in/yaml/v3"
	text   = "golang.org/x/text"
	sqlite = "zombiezen.com/go/sqlite"
	koanf  = "github.com/knadh/koanf"
	pgx    = "github.com/jackc/pgx/v5"
	gocmp  = "github.com/google/go-cmp"
	cobra  = "github.com/spf13/cobra"
	pflag  = "github.com/spf13/pflag"
)

// Rules is the table, from the core outwards.
var Rules = []Rule{
	// The core: pure, the standard library only.
	{"internal/money", nil, nil},
	{"internal/id", nil, nil},
	{"internal/table", []string{"internal/id"}, nil},
	{"internal/benefit", []string{"internal/id", "internal/money", "internal/table"}, nil},
	{"internal/store", []string{"internal/benefit", "internal/id", "internal/table"}, nil},
	{"internal/outage", nil, nil},
	{"internal/engine", []string{"internal/benefit", "internal/id", "internal/outage", "internal/store"}, nil},

	// Files and bytes; they know no benefits.
	{"internal/vfs", nil, nil},
	{"internal/journal", []string{"internal/vfs"}, nil},
	{"internal/seal", nil, nil},

	// Stores: none decides anything, none knows another. They share the bytes of rows.
	{"internal/store/codec", []string{"internal/benefit", "internal/id", "internal/money", "internal/table"}, nil},
	{"internal/store/memory", []string{"internal/benefit", "internal/id", "internal/store", "internal/table"}, nil},
	{"internal/store/embedded/sumvfs", nil, []string{"modernc.org/sqlite", "modernc.org/libc"}},
	{"internal/store/embedded", []string{
		"internal/benefit", "internal/id", "internal/money", "internal/store", "internal/store/codec", "internal/store/embedded/sumvfs",
		"internal/journal", "internal/table", "internal/vfs",
	}, []string{sqlite}},
	{"internal/store/postgres", []string{
		"internal/benefit", "internal/id", "internal/outage", "internal/store", "internal/store/codec", "internal/table",
	}, []string{pgx, "github.com/pressly/goose"}},

	// Gateways: the wire packages know only bytes, the handlers never see a store.
	{"internal/gateway/form", nil, []string{"github.com/go-json-experiment/json"}},
	{"internal/gateway/scope", []string{"internal/benefit"}, nil},
	{"internal/gateway/alipay/wire", []string{"internal/gateway/form"}, []string{text}},
	{"internal/gateway/top/wire", []string{"internal/gateway/form"}, nil},
	{"internal/gateway", []string{"internal/gateway/form", "internal/benefit", "internal/id"}, []string{"golang.org/x/time"}},
	{"internal/gateway/alipay", []string{
		"internal/gateway", "internal/gateway/alipay/wire", "internal/gateway/scope", "internal/engine", "internal/benefit", "internal/id", "internal/money",
	}, nil},

	{"internal/gateway/oauth", []string{"internal/gateway", "internal/gateway/form", "internal/session", "internal/benefit"}, []string{"golang.org/x/time"}},
	{"internal/gateway/top", []string{
		"internal/gateway", "internal/gateway/scope", "internal/gateway/top/wire", "internal/engine", "internal/benefit", "internal/id", "internal/money",
	}, nil},

	// The files of refusals: what the gateways remember, in the bytes of rows.
	{"internal/refusals", []string{"internal/benefit", "internal/gateway", "internal/store/codec", "internal/vfs"}, []string{"google.golang.org/protobuf"}},

	// The JSON API for apps. Unlike the gateways it looks rows up by their descriptions.
	{"internal/api", []string{
		"internal/gateway", "internal/gateway/form", "internal/gateway/scope", "internal/engine", "internal/benefit", "internal/id", "internal/money", "internal/store",
		"internal/feed", "internal/table", "internal/token", "internal/vouchers",
	}, []string{"github.com/go-json-experiment/json"}},

	// Rules of activities; the core knows them by the interface benefit.Rules.
	{"internal/rule", []string{"internal/benefit"}, []string{"cel.dev/cel-go"}},

	// What an operator works with.
	{"internal/catalog", []string{
		"internal/benefit", "internal/id", "internal/money", "internal/store", "internal/seal", "internal/rule",
		"internal/gateway/alipay/wire", // reads keys in the forms in which the platform hands them out
	}, []string{yaml}},
	{"internal/session", []string{
		"internal/benefit", "internal/catalog", "internal/engine", "internal/seal", "internal/store",
	}, nil},
	{"internal/token", []string{"internal/benefit", "internal/engine", "internal/store"}, nil},
	{"internal/control", []string{
		"internal/audit", "internal/benefit", "internal/catalog", "internal/datadir", "internal/gateway", "internal/gateway/scope", "internal/id", "internal/engine", "internal/money", "internal/seal", "internal/session", "internal/store", "internal/token",
		"internal/feed", "internal/vouchers",
	}, nil},
	{"internal/feed", []string{"internal/benefit", "internal/id", "internal/store"}, nil},
	{"internal/expiry", []string{"internal/benefit", "internal/id", "internal/store"}, nil},
	{"internal/vouchers", []string{"internal/benefit", "internal/id", "internal/store", "internal/table"}, nil},
	{"internal/datadir", nil, nil},
	{"internal/config", nil, []string{yaml, koanf}},
	{"internal/telemetry", nil, nil},
	{"internal/docpages", nil, nil}, // for tests

	// What is measured, for Prometheus. The program hands it to those that it measures: they know interfaces and functions.
	{"internal/metrics", []string{
		"internal/benefit", "internal/gateway", "internal/engine", "internal/store/embedded", "internal/store/postgres",
	}, []string{"github.com/prometheus/client_golang"}},

	// The audit shares nothing with what decides: it has the vocabulary and the rows, and for the embedded store
	// that store's own proof.
	{"internal/audit", []string{
		"internal/benefit", "internal/gateway/scope", "internal/id", "internal/money", "internal/store", "internal/store/embedded", "internal/store/postgres",
		"internal/journal", "internal/table", "internal/vfs",
	}, nil},

	// The way from one store to another.
	{"internal/migrate", []string{
		"internal/audit", "internal/benefit", "internal/store", "internal/store/embedded", "internal/store/postgres", "internal/table",
	}, nil},

	// The program wires everything. The benchmarks are a program of their own, which is not shipped.
	{"cmd/faquan", []string{All}, []string{cobra, pflag, "github.com/schollz/progressbar/v3", yaml}},
	{"bench", []string{All}, []string{cobra, pflag, sqlite, pgx}},

	// The benchmarks start private servers with it, as the tests do.
	{"internal/sandbox", nil, nil},
	{"internal/pgserver", []string{"internal/sandbox"}, []string{pgx}},

	// What only tests use: see TestSupport.
	{"internal/archtest", nil, nil},
	{"internal/sim", []string{All}, []string{sqlite}},
	{"internal/oracle", []string{"internal/benefit", "internal/id", "internal/money", "internal/table"}, []string{gocmp}},
	{"internal/store/storetest", []string{
		"internal/benefit", "internal/gateway/scope", "internal/id", "internal/money", "internal/oracle", "internal/store", "internal/store/memory", "internal/table",
	}, []string{gocmp}},
	{"internal/pgtest", []string{"internal/pgserver"}, nil},
	{"internal/pgtest/cutproxy", nil, nil},
	{"internal/pgtest/ha", []string{"internal/sandbox"}, []string{pgx}},
	{"internal/tools/guards", nil, nil},
	{"internal/tools/testcount", nil, nil},
	{"internal/vfs/faultfs", []string{"internal/vfs"}, nil},
	{"sdktest/world", []string{"internal/pgserver"}, nil},
}

// Core is held to the standard library by a rule of its own, so that no line of the table can soften it.
var Core = []string{"internal/money", "internal/id", "internal/table", "internal/benefit", "internal/store", "internal/outage", "internal/engine"}

// TestSupport are the packages that no shipped package may import, directly or through another.
var TestSupport = []string{
	"internal/archtest", "internal/oracle", "internal/pgtest", "internal/pgtest/cutproxy", "internal/pgtest/ha",
	"internal/sim", "internal/store/storetest", "internal/tools/guards", "internal/tools/testcount",
	"internal/vfs/faultfs", "sdktest/world",
}

// Program is what is shipped.
const Program = "cmd/faquan"

// TestOnly are modules that tests and TestSupport may import, and nothing else.
var TestOnly = []string{gocmp, "pgregory.net/rapid", "github.com/rogpeppe/go-internal", "github.com/santhosh-tekuri/jsonschema/v6"}

// Clockless packages never ask for the time: it comes in through parameters, so that the simulation can drive them.
var Clockless = []string{
	"internal/money", "internal/id", "internal/table", "internal/benefit", "internal/store", "internal/outage", "internal/engine", "internal/journal",
	"internal/store/memory", "internal/store/codec", "internal/store/embedded", "internal/catalog", "internal/oracle", "internal/sim",
}

// Diceless packages never draw from the global source of randomness, for the same reason.
var Diceless = []string{
	"internal/money", "internal/id", "internal/table", "internal/benefit", "internal/store", "internal/journal",
	"internal/store/memory", "internal/store/codec", "internal/store/embedded", "internal/catalog", "internal/oracle", "internal/sim",
}
