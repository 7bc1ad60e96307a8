package main

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"faquan/internal/gateway/alipay/wire"
)

func newSend() *cobra.Command {
	var (
		v                    voucherSend
		c                    caller
		keyFile, gatewayFile string
		signType, charset    string
	)
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Issue one voucher through a gateway, to try things",
		Long: `Call alipay.marketing.voucher.send on a gateway as an SDK would: sign the request, post it, verify the signature of
the answer, and print both. Without --out-biz-no the call gets a new number; give the number of an earlier call to see
that a retry answers the same voucher.

The exit code is 0 for an issued voucher and 1 for everything else.`,
		Example: `  faquan key show --data ./data --format base64 > gateway_public.txt
  faquan send --url http://127.0.0.1:8080 --app-id 2014072300007148 --key app_private.pem \
      --gateway-key gateway_public.txt --template 20140601000730010040000000EB --user 2088302001456115`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if c.key, err = readPrivateKey(keyFile); err != nil {
				return err
			}
			if gatewayFile != "" {
				if c.gatewayKey, err = readPublicKey(gatewayFile); err != nil {
					return err
				}
			}
			if c.signType, c.charset, err = parseSigning(signType, charset); err != nil {
				return err
			}
			if v.OutBizNo == "" {
				v.OutBizNo = "send-" + rand.Text()
			}
			e, err := c.send(cmd.Context(), &v)
			if err != nil {
				return err
			}
			e.show(cmd.OutOrStdout(), c.gatewayKey != nil)
			if !e.answer.OK() {
				return fmt.Errorf("not issued: %s %s", e.answer.SubCode, e.answer.SubMsg)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.url, "url", "http://127.0.0.1:8080", "`URL` of the gateway")
	f.StringVar(&c.appID, "app-id", "", "the app's `ID`")
	f.StringVar(&keyFile, "key", "", "`FILE` with the app's private key, PEM or bare base64")
	f.StringVar(&gatewayFile, "gateway-key", "", "`FILE` with the platform's public key; without it answers are not verified")
	f.StringVar(&c.token, "app-auth-token", "", "`TOKEN`, when the app acts for another merchant")
	f.StringVar(&signType, "sign-type", string(wire.RSA2), "RSA2 or RSA")
	f.StringVar(&charset, "charset", wire.UTF8.String(), "utf-8, gbk, gb2312 or gb18030")
	f.StringVar(&v.TemplateID, "template", "", "template_id")
	f.StringVar(&v.UserID, "user", "", "user_id of the recipient")
	f.StringVar(&v.OpenID, "open-id", "", "open_id of the recipient")
	f.StringVar(&v.LoginID, "login-id", "", "login_id of the recipient: mobile or e-mail")
	f.StringVar(&v.TaobaoNick, "taobao-nick", "", "taobao_nick of the recipient")
	f.StringVar(&v.OutBizNo, "out-biz-no", "", "idempotency key; a new one when left out")
	f.StringVar(&v.Amount, "amount", "", "amount in yuan, for templates that take it from the request")
	f.StringVar(&v.Memo, "memo", "", "memo")
	f.StringVar(&v.ExtendInfo, "extend-info", "", "extend_info")
	for _, name := range []string{"app-id", "key", "template"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func parseSigning(signType, charset string) (wire.SignType, wire.Charset, error) {
	t := wire.SignType(strings.ToUpper(signType))
	if t != wire.RSA2 && t != wire.RSA {
		return "", 0, fmt.Errorf("sign type %q is neither RSA2 nor RSA", signType)
	}
	cs, ok := wire.ParseCharset(charset)
	if !ok {
		return "", 0, fmt.Errorf("charset %q is none of utf-8, gbk, gb2312, gb18030", charset)
	}
	return t, cs, nil
}

func readPrivateKey(file string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := wire.ParsePrivateKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

func readPublicKey(file string) (*rsa.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := wire.ParsePublicKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}
