package main

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"faquan/internal/gateway/alipay/wire"
	"faquan/internal/gateway/form"
)

func newSend() *cobra.Command {
	var (
		a  alipaySend
		t  topSend
		ca string
	)
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Make one call to a gateway",
		Long: `Make one call to a gateway as an SDK would: sign the request, post it, and print request and answer.

Without --method it is alipay.marketing.voucher.send: it needs --app-id, --key and --template, and the signature of the
answer is verified with --gateway-key. Without --out-biz-no the call gets a new number; give the number of an earlier
call to see that a retry answers the same voucher.

Any other --method is called on the TOP gateway: it needs --app-key and --secret-file. --json is the
request object of a method; --param gives any parameter by name. --batch makes the calls in a FILE as one batch: a
sequence of JSON objects, whose members are the parameters of a call, including method and session.

The exit code is 0 when something was issued or a query was answered, and 1 otherwise.`,
		Example: `  faquan key show --data ./data --format base64 > gateway_public.txt
  faquan send --url http://127.0.0.1:8080 --app-id 2014072300007148 --key app_private.pem \
      --gateway-key gateway_public.txt --template 20140601000730010040000000EB --user 2088302001456115

  faquan send --method taobao.mobile.promotion.benefit.activity.send --app-key 12345678 --secret-file secret.txt \
      --session 6100e23a5b7c9d1f --json '{"unique_id":"u-1","relation_id":12345234,"detail_id":123235235,
      "biz_id":"12457112","purchaser_id":725677994,"benefit_type":1,"send_count":1,"trace_id":"t-1"}'
  faquan send --method taobao.user.seller.get --param fields=nick,user_id --app-key … --secret-file … --session …
  faquan send --url https://faquan.example.com --ca ca.pem --app-id … --key … --template … --user …
  faquan send --batch calls.json --format xml --app-key … --secret-file …`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := trusting(ca, a.caller.url)
			if err != nil {
				return err
			}
			a.caller.client, t.caller.client = client, client
			if (t.method == "" || t.method == sendMethod) && t.batch == "" {
				if err := skippedParams(cmd.Flags(), "top", sendMethod); err != nil {
					return err
				}
				return a.run(cmd)
			}
			if err := skippedParams(cmd.Flags(), "alipay", "the TOP gateway"); err != nil {
				return err
			}
			return t.run(cmd)
		},
	}
	cmd.Flags().StringVar(&a.caller.url, "url", "http://127.0.0.1:8080", "`URL` of the gateway")
	cmd.Flags().StringVar(&ca, "ca", "", "PEM `FILE` with the certificates to trust instead of the system's, for https URLs")
	_ = cmd.MarkFlagFilename("ca", "pem", "crt")
	a.flags(cmd.Flags())
	t.flags(cmd.Flags())
	return cmd
}

// trusting returns a client that only trusts the certificates in a file; nil, the default client, without a file.
func trusting(file, url string) (*http.Client, error) {
	if file == "" {
		return nil, nil
	}
	if !strings.HasPrefix(strings.ToLower(url), "https://") {
		return nil, usagef("--ca is only for https URLs, and --url is %s", url)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca: %s has no PEM certificate", file)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
}

// skippedParams returns an error for flags of the gateway that is not called, because they would be ignored. The usage of a
// flag begins with its gateway.
func skippedParams(flags *pflag.FlagSet, gateway, called string) error {
	var bad error
	flags.Visit(func(f *pflag.Flag) {
		if bad == nil && strings.HasPrefix(f.Usage, gateway+": ") {
			bad = usagef("--%s is not for %s; choose the API with --method", f.Name, called)
		}
	})
	return bad
}

// alipaySend is a call of sendMethod from the command line.
type alipaySend struct {
	voucherSend
	caller               caller
	keyFile, gatewayFile string
	signType, charset    string
}

func (a *alipaySend) flags(f *pflag.FlagSet) {
	f.StringVar(&a.caller.appID, "app-id", "", "alipay: the app's `ID`")
	f.StringVar(&a.keyFile, "key", "", "alipay: `FILE` with the app's private key, PEM or bare base64")
	f.StringVar(&a.gatewayFile, "gateway-key", "", "alipay: `FILE` with the platform's public key; without it answers are not verified")
	f.StringVar(&a.caller.token, "app-auth-token", "", "alipay: `TOKEN`, when the app acts for another merchant")
	f.StringVar(&a.signType, "sign-type", string(wire.RSA2), "alipay: RSA2 or RSA")
	f.StringVar(&a.charset, "charset", wire.UTF8.String(), "alipay: utf-8, gbk, gb2312 or gb18030")
	f.StringVar(&a.TemplateID, "template", "", "alipay: template_id")
	f.StringVar(&a.UserID, "user", "", "alipay: user_id of the recipient")
	f.StringVar(&a.OpenID, "open-id", "", "alipay: open_id of the recipient")
	f.StringVar(&a.LoginID, "login-id", "", "alipay: login_id of the recipient: mobile or e-mail")
	f.StringVar(&a.TaobaoNick, "taobao-nick", "", "alipay: taobao_nick of the recipient")
	f.StringVar(&a.OutBizNo, "out-biz-no", "", "alipay: idempotency key; a new one when left out")
	f.StringVar(&a.Amount, "amount", "", "alipay: amount in yuan, for templates that take it from the request")
	f.StringVar(&a.Memo, "memo", "", "alipay: memo")
	f.StringVar(&a.ExtendInfo, "extend-info", "", "alipay: extend_info")
}

func (a *alipaySend) run(cmd *cobra.Command) (err error) {
	for _, name := range []string{"app-id", "key", "template"} {
		if !cmd.Flags().Changed(name) {
			return usagef("%s needs --%s", sendMethod, name)
		}
	}
	c := &a.caller
	if c.key, err = readPrivateKey(a.keyFile); err != nil {
		return err
	}
	if a.gatewayFile != "" {
		if c.gatewayKey, err = readPublicKey(a.gatewayFile); err != nil {
			return err
		}
	}
	if c.signType, c.charset, err = parseSigning(a.signType, a.charset); err != nil {
		return err
	}
	a.OutBizNo = cmp.Or(a.OutBizNo, "send-"+rand.Text())
	e, err := c.send(cmd.Context(), &a.voucherSend)
	if err != nil {
		return err
	}
	e.show(cmd.OutOrStdout(), c.gatewayKey != nil)
	if !e.answer.OK() {
		return fmt.Errorf("not issued: %s %s", oneLine(e.answer.SubCode), oneLine(e.answer.SubMsg))
	}
	return nil
}

func parseSigning(signType, charset string) (wire.SignType, wire.Charset, error) {
	t := wire.SignType(strings.ToUpper(signType))
	if t != wire.RSA2 && t != wire.RSA {
		return "", 0, usagef("sign type %q is not RSA2 or RSA", signType)
	}
	cs, ok := wire.ParseCharset(charset)
	if !ok {
		return "", 0, usagef("charset %q is not utf-8, gbk, gb2312 or gb18030", charset)
	}
	return t, cs, nil
}

// readText reads a file with a key, a secret or another text, without the byte order mark that some editors add.
func readText(file string) (string, error) {
	text, err := os.ReadFile(file)
	return form.WithoutBOM(string(text)), err
}

func readPrivateKey(file string) (*rsa.PrivateKey, error) { return readKey(file, wire.ParsePrivateKey) }

func readPublicKey(file string) (*rsa.PublicKey, error) { return readKey(file, wire.ParsePublicKey) }

func readKey[K any](file string, parse func(string) (*K, error)) (*K, error) {
	text, err := readText(file)
	if err != nil {
		return nil, err
	}
	key, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}
