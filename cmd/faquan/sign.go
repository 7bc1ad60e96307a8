package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"faquan/internal/benefit"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
	topwire "faquan/internal/gateway/top/wire"
)

// signOptions holds the flags of sign and verify-sign about the protocol and its key.
type signOptions struct {
	secretFlags
	protocol, keyFile   string
	signType, charset   string
	body                string // top: of a call whose body is not a form
	alipayKey, signFlag string // help texts, which differ between the two commands
}

func (s *signOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.protocol, "protocol", "alipay", "alipay or top")
	f.StringVar(&s.keyFile, "key", "", "alipay: `FILE` with "+s.alipayKey+", PEM or bare base64")
	s.secretFlags.flags(f)
	f.StringVar(&s.signType, "sign-type", "", s.signFlag)
	f.StringVar(&s.charset, "charset", wire.UTF8.String(), "alipay: utf-8, gbk, gb2312 or gb18030")
}

var errNoKey = usagef("alipay needs --key")

// secretFlags holds the flags of the secret of an app on TOP.
type secretFlags struct{ secret, secretFile string }

func (s *secretFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&s.secret, "secret", "", "top: the app's secret; other users of the machine can see it, so prefer --secret-file")
	f.StringVar(&s.secretFile, "secret-file", "", "top: `FILE` with the app's secret")
}

func (s *secretFlags) read() (string, error) {
	switch {
	case s.secretFile != "":
		text, err := readText(s.secretFile)
		return strings.TrimSpace(text), err
	case s.secret == "":
		return "", usagef("top needs --secret-file or --secret")
	}
	return s.secret, nil
}

func parseSignMethod(name string) (topwire.SignMethod, error) {
	m, ok := topwire.ParseSignMethod(name)
	if !ok {
		return "", usagef("sign method %q is not md5, hmac or hmac-sha256", name)
	}
	return m, nil
}

func newSign() *cobra.Command {
	s := signOptions{alipayKey: "the app's private key", signFlag: "alipay: RSA2 (default) or RSA; top: md5 (default), hmac or hmac-sha256"}
	var print string
	cmd := &cobra.Command{
		Use:   "sign NAME=VALUE…",
		Short: "Sign a request, and show how",
		Long: `Sign a request of either protocol and show the string that was signed, the signature, and the form to post.
The parameters that every call has get a value when they are left out: timestamp, version, format and the like.
With --print only one of the three is printed, for scripts.`,
		Example: `  faquan sign --key app_private.pem app_id=2014072300007148 method=alipay.marketing.voucher.send \
      biz_content='{"template_id":"20140601000730010040000000EB","user_id":"2088302001456115","out_biz_no":"n1"}'
  curl -d "$(faquan sign --print form --key app_private.pem app_id=… method=… biz_content=…)" http://127.0.0.1:8080/gateway.do
  faquan sign --protocol top --secret-file secret.txt app_key=12345678 method=taobao.item.seller.get`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := parseParams(args)
			if err != nil {
				return err
			}
			made, err := s.sign(params)
			if err != nil {
				return err
			}
			return made.show(cmd.OutOrStdout(), print)
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&print, "print", "all", "all, string, sign or form")
	return cmd
}

// parseParams parses NAME=VALUE arguments.
func parseParams(args []string) (map[string]string, error) {
	params := map[string]string{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, usagef("%q is not NAME=VALUE", arg)
		}
		if _, twice := params[name]; twice {
			return nil, usagef("%s is given twice", name)
		}
		params[name] = value
	}
	return params, nil
}

func (s *signOptions) sign(params map[string]string) (*signResult, error) {
	now := time.Now().In(benefit.Shanghai).Format(benefit.WireTime)
	switch s.protocol {
	case "alipay":
		all := map[string]string{"timestamp": now, "version": "1.0", "format": "JSON"}
		maps.Copy(all, params)
		return s.signAlipay(all)
	case "top":
		all := map[string]string{"timestamp": now, "v": "2.0", "format": "json"}
		maps.Copy(all, params)
		return s.signTOP(all)
	}
	return nil, usagef("protocol %q is not alipay or top", s.protocol)
}

func (s *signOptions) signAlipay(params map[string]string) (*signResult, error) {
	t, cs, err := parseSigning(cmp.Or(s.signType, string(wire.RSA2)), s.charset)
	if err != nil {
		return nil, err
	}
	if s.keyFile == "" {
		return nil, errNoKey
	}
	key, err := readPrivateKey(s.keyFile)
	if err != nil {
		return nil, err
	}
	form, err := wire.SignRequest(params, key, t, cs)
	if err != nil {
		return nil, err
	}
	req, err := alipayRequest(form)
	if err != nil {
		return nil, err
	}
	return &signResult{req.Readable(wire.WithoutEmpties), req.Get("sign"), form}, nil
}

// alipayRequest parses a form as the gateway does.
func alipayRequest(form string) (*wire.Request, error) {
	r, err := http.NewRequest(http.MethodPost, alipay.Path, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req, bad := wire.Parse(r, 0)
	if bad != nil {
		return nil, fmt.Errorf("the request cannot be read: %w: %s", bad, bad.SubMsg)
	}
	return req, nil
}

func (s *signOptions) signTOP(params map[string]string) (*signResult, error) {
	m, err := parseSignMethod(s.signType)
	if err != nil {
		return nil, err
	}
	secret, err := s.secretFlags.read()
	if err != nil {
		return nil, err
	}
	form := topwire.SignRequest(params, secret, m)
	sent, err := topParams(form)
	if err != nil {
		return nil, err
	}
	return &signResult{topwire.NewRequest(sent, "").StringToSign(topwire.AsSent), sent["sign"], form}, nil
}

// topParams parses a form in which each name is given once.
func topParams(form string) (map[string]string, error) {
	values, err := url.ParseQuery(form)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	params := make(map[string]string, len(values))
	for name, all := range values {
		if len(all) > 1 {
			return nil, fmt.Errorf("the request cannot be read: it has %s %d times", name, len(all))
		}
		params[name] = all[0]
	}
	return params, nil
}

// signResult is a request that was made.
type signResult struct{ text, sign, form string }

func (s *signResult) show(w io.Writer, what string) error {
	texts := map[string]string{
		"string": s.text, "sign": s.sign, "form": s.form,
		"all": fmt.Sprintf("string to sign:\n%s\n\nsign:\n%s\n\nform:\n%s", s.text, s.sign, s.form),
	}
	text, ok := texts[what]
	if !ok {
		return usagef("--print %q is not all, string, sign or form", what)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
