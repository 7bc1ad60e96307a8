package main

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"faquan/internal/gateway/form"
	"faquan/internal/gateway/top/wire"
)

// topSend is a call of the TOP gateway from the command line, or a batch of them.
type topSend struct {
	method, object, batch string
	params                []string
	secret                secretFlags
	signMethod, format    string
	simplify              bool
	caller                topCaller
}

func (t *topSend) flags(f *pflag.FlagSet) {
	f.StringVar(&t.method, "method", "", "`NAME` of the API; "+sendMethod+" when left out")
	f.StringVar(&t.caller.appKey, "app-key", "", "top: the app's `KEY`")
	t.secret.flags(f)
	f.StringVar(&t.caller.session, "session", "", "top: session `KEY`, for APIs that need one")
	f.StringVar(&t.object, "json", "", "top: the request object of the API, as `JSON`; - reads it from standard input")
	f.StringArrayVar(&t.params, "param", nil, "top: a parameter, as `NAME=VALUE`; may be repeated")
	f.StringVar(&t.batch, "batch", "", "top: `FILE` of calls to make as one batch; - reads standard input")
	f.StringVar(&t.signMethod, "sign-method", string(wire.HMACSHA256), "top: md5, hmac or hmac-sha256")
	f.StringVar(&t.format, "format", "json", "top: json or xml")
	f.BoolVar(&t.simplify, "simplify", false, "top: ask for simplified JSON")
}

func (t *topSend) run(cmd *cobra.Command) (err error) {
	if t.caller.appKey == "" {
		return usagef("the TOP gateway needs --app-key")
	}
	if t.caller.secret, err = t.secret.read(); err != nil {
		return err
	}
	if t.caller.url, err = cmd.Flags().GetString("url"); err != nil {
		return err
	}
	if t.caller.signMethod, err = parseSignMethod(t.signMethod); err != nil {
		return err
	}
	if t.caller.format, err = t.answerFormat(); err != nil {
		return err
	}
	exchanges, err := t.exchange(cmd)
	if err != nil {
		return err
	}
	var failed []error
	for _, e := range exchanges {
		e.show(cmd.OutOrStdout())
		if bad := e.failure(); bad != nil {
			failed = append(failed, bad)
		}
	}
	return errors.Join(failed...)
}

func (t *topSend) answerFormat() (f wire.Format, err error) {
	switch {
	case t.format == "xml" && t.simplify:
		return f, usagef("--simplify is for JSON")
	case t.format == "xml":
		return wire.XML, nil
	case t.format != "json":
		return f, usagef("format %q is not json or xml", t.format)
	case t.simplify:
		return wire.SimplifiedJSON, nil
	}
	return wire.JSON, nil
}

func (t *topSend) exchange(cmd *cobra.Command) ([]*topExchange, error) {
	if t.batch != "" {
		text, err := readFileOr(cmd.InOrStdin(), t.batch)
		if err != nil {
			return nil, err
		}
		items, err := readBatch([]byte(form.WithoutBOM(string(text))), t.method)
		if err != nil {
			return nil, err
		}
		return t.caller.sendBatch(cmd.Context(), items)
	}
	params, err := parseParams(t.params)
	if err != nil {
		return nil, err
	}
	if t.object == "-" {
		text, err := io.ReadAll(cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		t.object = string(text)
	}
	if params, err = topParamsOf(t.method, params, t.object); err != nil {
		return nil, err
	}
	e, err := t.caller.send(cmd.Context(), t.method, params)
	if err != nil {
		return nil, err
	}
	return []*topExchange{e}, nil
}

// readFileOr reads a file, or standard input when the name is "-".
func readFileOr(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}
