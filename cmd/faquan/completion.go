package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"faquan/internal/control"
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
	"new format":            {"pkcs8", "pkcs1"},
	"show format":           {"pem", "base64", "both"},
	"serve log-level":       {"debug", "info", "warn", "error"},
	"serve log-format":      {"text", "json"},
	"serve log-calls":       {"info", "debug", "off"},
}

// names selects the names of a catalogue that are values of a flag.
type names struct {
	Merchants []named
	Apps      []named
	Templates []named
	Scenes    []named
}

type named struct {
	Name       string
	AppID      string `yaml:"app_id"`
	AppKey     string `yaml:"app_key"`
	TemplateID string `yaml:"template_id"`
	SceneCode  string `yaml:"scene_code"`
}

// flagNames are the names that are values of a flag, by the flag alone or by command and flag.
var flagNames = map[string]func(*names) []string{
	"merchant":      func(n *names) []string { return each(n.Merchants, func(m named) string { return m.Name }) },
	"app":           func(n *names) []string { return each(n.Apps, func(a named) string { return a.Name }) },
	"app-id":        func(n *names) []string { return each(n.Apps, func(a named) string { return a.AppID }) },
	"app-key":       func(n *names) []string { return each(n.Apps, func(a named) string { return a.AppKey }) },
	"scene":         func(n *names) []string { return each(n.Scenes, func(s named) string { return s.SceneCode }) },
	"template":      func(n *names) []string { return each(n.Templates, func(t named) string { return t.Name }) },
	"send template": func(n *names) []string { return each(n.Templates, func(t named) string { return t.TemplateID }) },
}

// each returns the non-empty texts of the elements.
func each(all []named, text func(named) string) []string {
	var texts []string
	for _, n := range all {
		if t := text(n); t != "" {
			texts = append(texts, t)
		}
	}
	return texts
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
		pick := flagNames[key]
		if pick == nil {
			pick = flagNames[f.Name]
		}
		if pick != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name,
				func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
					return pick(catalogueNames(cmd)), cobra.ShellCompDirectiveNoFileComp
				})
		}
	})
}

// catalogueNames returns the names in the catalogue of the place that the command's flags, or the environment, name. It
// returns none when no process serves that directory: a key press must not open a store.
func catalogueNames(cmd *cobra.Command) *names {
	at := location{dir: "data", store: os.Getenv("FAQUAN_STORE")}
	if dir := os.Getenv("FAQUAN_DATA"); dir != "" {
		at.dir = dir
	}
	for flag, value := range map[string]*string{"data": &at.dir, "store": &at.store} {
		if f := cmd.Flags().Lookup(flag); f != nil && f.Changed {
			*value = f.Value.String()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	var text bytes.Buffer
	found := new(names)
	p, err := servedBy(at)
	if err != nil || p.Export(ctx, &text, false) != nil || yaml.Unmarshal(text.Bytes(), found) != nil {
		return new(names)
	}
	return found
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
