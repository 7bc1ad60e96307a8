package main

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"faquan/internal/control"
	"faquan/internal/token"
)

// completionTime bounds how long a shell waits for the names of a catalogue.
const completionTime = 2 * time.Second

var (
	charsets       = []string{"utf-8", "gbk", "gb2312", "gb18030"}
	topSignMethods = []string{"md5", "hmac", "hmac-sha256"}
	allSignMethods = append([]string{"RSA2", "RSA"}, topSignMethods...)
)

// flagValues are the values of flags with a fixed set of values, by command and flag.
var flagValues = map[string][]string{
	"send charset":          charsets,
	"send sign-type":        {"RSA2", "RSA"},
	"send sign-method":      topSignMethods,
	"send format":           {"json", "xml"},
	"send method":           append([]string{sendMethod}, slices.Sorted(maps.Keys(topMethods))...),
	"sign charset":          charsets,
	"sign protocol":         {"alipay", "top"},
	"sign sign-type":        allSignMethods,
	"sign print":            {"all", "string", "sign", "form"},
	"verify-sign charset":   charsets,
	"verify-sign protocol":  {"alipay", "top"},
	"verify-sign sign-type": allSignMethods,
	"query command":         commandNames(),
	"history kind":          entityKinds,
	"new format":            {"pkcs8", "pkcs1"},
	"show format":           {"pem", "base64", "both"},
	"serve log-level":       {"debug", "info", "warn", "error"},
	"serve log-format":      {"text", "json"},
	"serve log-calls":       {"info", "debug", "off"},
	"make scope":            token.ScopeNames(),
}

// flagNames are where a catalogue has the names that are values of a flag, by the flag alone or by command and flag.
var flagNames = map[string]struct{ list, field string }{
	"merchant":      {"merchants", "name"},
	"app":           {"apps", "name"},
	"app-id":        {"apps", "app_id"},
	"app-key":       {"apps", "app_key"},
	"scene":         {"scenes", "scene_code"},
	"template":      {"templates", "name"},
	"send template": {"templates", "template_id"},
}

// completeValues lets shells complete the values of the flags of cmd and of all commands below it.
func completeValues(cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		completeValues(child)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		key := cmd.Name() + " " + f.Name
		if values := flagValues[key]; values != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
			return
		}
		names, ok := flagNames[key]
		if !ok {
			names, ok = flagNames[f.Name]
		}
		if ok {
			_ = cmd.RegisterFlagCompletionFunc(f.Name,
				func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
					return catalogueNames(cmd, names.list, names.field), cobra.ShellCompDirectiveNoFileComp
				})
		}
	})
}

// catalogueNames returns the values of a field in a list of the catalogue, whose place the command's flags, or the
// environment, name. It returns none when no process serves that place: a key press must not open a store.
func catalogueNames(cmd *cobra.Command, list, field string) (names []string) {
	at := location{dir: cmp.Or(os.Getenv("FAQUAN_DATA"), "data"), store: os.Getenv("FAQUAN_STORE")}
	for flag, value := range map[string]*string{"data": &at.dir, "store": &at.store} {
		if f := cmd.Flags().Lookup(flag); f != nil && f.Changed {
			*value = f.Value.String()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	var text bytes.Buffer
	var catalogue map[string]yaml.Node
	p, err := servedBy(at)
	if err != nil || p.Export(ctx, &text, false) != nil || yaml.Unmarshal(text.Bytes(), &catalogue) != nil {
		return nil
	}
	var entities []map[string]yaml.Node
	if node := catalogue[list]; node.Decode(&entities) != nil {
		return nil
	}
	for _, e := range entities {
		if value := e[field].Value; value != "" {
			names = append(names, value)
		}
	}
	return names
}

// servedBy returns a process of this machine that serves the place.
func servedBy(at location) (*control.Client, error) {
	if at.store == "" {
		return control.Dial(at.dir)
	}
	all, err := control.DialShared(at.dir)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}
