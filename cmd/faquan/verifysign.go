package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/gateway/form"
	topwire "faquan/internal/gateway/top/wire"
)

func newVerifySign() *cobra.Command {
	s := signOptions{alipayKey: "the app's public key", signFlag: "the algorithm of the signature; the one that the request names when left out"}
	var theirs string
	cmd := &cobra.Command{
		Use:   "verify-sign [REQUEST]",
		Short: "Check a signature, and explain why it is wrong",
		Long: `Check the signature of a request as the gateway does, and explain the verdict: the string that the gateway builds,
which of the SDKs' ways to build it matched, and whether the signature fits another algorithm than the request names.

REQUEST is what was sent, URL-encoded: the query and the form of a body joined with &, or a URL; - or nothing reads it
from standard input. Give the string that the caller has signed with --string (or --string @FILE) to see the first byte
in which the two differ. The exit code is 0 when the signature is right, else 1.`,
		Example: `  faquan verify-sign --key app_public.pem 'app_id=…&method=…&sign=…'
  faquan verify-sign --key app_public.pem --string @signed.txt < request.txt
  faquan verify-sign --protocol top --secret-file secret.txt 'app_key=…&sign=…'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			form, err := readRequest(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if theirs, err = textOrFile(theirs, readTrimmed); err != nil {
				return err
			}
			if s.body, err = textOrFile(s.body, readWhole); err != nil {
				return err
			}
			v, err := s.verify(form)
			if err != nil {
				return err
			}
			return v.show(cmd.OutOrStdout(), theirs)
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&s.body, "body", "", "top: the body of a call that is not a form, such as a batch, or @FILE; REQUEST is its query")
	cmd.Flags().StringVar(&theirs, "string", "", "the string that the caller signed, or @FILE; the first difference is shown")
	return cmd
}

// readRequest returns the URL-encoded form of a request, or the query of a URL, from the argument or standard input.
func readRequest(args []string, stdin io.Reader) (string, error) {
	text := "-"
	if len(args) == 1 {
		text = args[0]
	}
	if text == "-" {
		all, err := io.ReadAll(stdin)
		if err != nil {
			return "", err
		}
		text = string(all)
	}
	text = strings.TrimSpace(form.WithoutBOM(text))
	if _, query, isURL := strings.Cut(text, "?"); isURL {
		text = query
	}
	if text == "" {
		return "", errors.New("no request is given")
	}
	return text, nil
}

// textOrFile returns a text, or for @FILE what read returns of the file.
func textOrFile(text string, read func(file string) (string, error)) (string, error) {
	if file, isFile := strings.CutPrefix(text, "@"); isFile {
		return read(file)
	}
	return text, nil
}

// readTrimmed reads a file without the line end that editors add.
func readTrimmed(file string) (string, error) {
	text, err := readText(file)
	return strings.TrimRight(text, "\r\n"), err
}

// readWhole reads a file unchanged: line ends of a body are signed.
func readWhole(file string) (string, error) {
	text, err := os.ReadFile(file)
	return string(text), err
}

// verdict is the result of a check of a signature, of either protocol.
type verdict struct {
	good     bool
	matched  string // the variant that matches
	reason   string // why none matches, as far as it is known
	expected string // the gateway's string to sign
}

func (s *signOptions) verify(form string) (*verdict, error) {
	switch s.protocol {
	case "alipay":
		return s.verifyAlipay(form)
	case "top":
		return s.verifyTOP(form)
	}
	return nil, usagef("protocol %q is not alipay or top", s.protocol)
}

func (s *signOptions) verifyAlipay(form string) (*verdict, error) {
	if s.keyFile == "" {
		return nil, errNoKey
	}
	key, err := readPublicKey(s.keyFile)
	if err != nil {
		return nil, err
	}
	req, err := alipayRequest(form)
	if err != nil {
		return nil, err
	}
	t := req.AnswerSignType()
	if s.signType != "" {
		if t, _, err = parseSigning(s.signType, s.charset); err != nil {
			return nil, err
		}
	}
	found := req.Verify(key, t)
	v := &verdict{good: found.OK(), matched: fmt.Sprintf("%s, %s", t, found.Variant), expected: req.Readable(found.Variant)}
	switch {
	case req.Get("sign") == "":
		v.reason = "the request has no sign"
	case found.Hint != "":
		v.reason = found.Hint
	case found.Other != "":
		v.reason = fmt.Sprintf("the signature verifies as %s, not %s: sign_type is wrong", found.Other, t)
	}
	return v, nil
}

func (s *signOptions) verifyTOP(form string) (*verdict, error) {
	secret, err := s.secretFlags.read()
	if err != nil {
		return nil, err
	}
	params, err := topParams(form)
	if err != nil {
		return nil, err
	}
	m, err := parseSignMethod(cmp.Or(s.signType, params["sign_method"]))
	if err != nil {
		return nil, err
	}
	req := topwire.NewRequest(params, s.body)
	found := req.Verify(secret, m)
	variant := found.Variant
	if !found.OK() {
		variant = topwire.AsSent
	}
	v := &verdict{good: found.OK(), matched: fmt.Sprintf("%s, %s", m, found.Variant)}
	v.expected = req.StringToSign(variant)
	switch {
	case params["sign"] == "":
		v.reason = "the request has no sign"
	case found.Other != "":
		v.reason = fmt.Sprintf("the signature is right as %s, not %s: sign_method is wrong", found.Other, m)
	}
	return v, nil
}

// show explains the verdict. theirs is the string that the caller signed, "" when it is not known.
func (v *verdict) show(w io.Writer, theirs string) error {
	if v.good {
		fmt.Fprintf(w, "the signature is right: %s\n", v.matched)
	}
	fmt.Fprintf(w, "the gateway's string to sign:\n%s\n", printable(v.expected))
	if v.reason != "" {
		fmt.Fprintln(w, printable(v.reason))
	}
	if theirs != "" {
		const end = "(the end)"
		if d, differ := wire.Compare(v.expected, theirs); differ {
			fmt.Fprintf(w, "the strings differ from byte %d on:\n  gateway: %s\n  caller:  %s\n", d.Offset, oneLine(cmp.Or(d.Ours, end)), oneLine(cmp.Or(d.Theirs, end)))
		} else {
			fmt.Fprintln(w, "the strings are the same: if the signature does not match, the key is a different one")
		}
	}
	if !v.good {
		return errors.New("the signature does not match")
	}
	return nil
}
