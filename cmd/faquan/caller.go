package main

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
)

// sendMethod is the API that issues a voucher on the Alipay gateway.
const sendMethod = "alipay.marketing.voucher.send"

// voucherSend is the biz_content of sendMethod.
type voucherSend struct {
	TemplateID string `json:"template_id"`
	UserID     string `json:"user_id,omitempty"`
	OpenID     string `json:"open_id,omitempty"`
	LoginID    string `json:"login_id,omitempty"`
	TaobaoNick string `json:"taobao_nick,omitempty"`
	OutBizNo   string `json:"out_biz_no"`
	Amount     string `json:"amount,omitempty"`
	Memo       string `json:"memo,omitempty"`
	ExtendInfo string `json:"extend_info,omitempty"`
}

// text returns the JSON as an SDK sends it, without unnecessary escapes.
func (v *voucherSend) text() string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // strings only: it cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

// caller is an app that calls an Alipay gateway, as the platform's SDKs do.
type caller struct {
	url        string // of the gateway, with or without its path
	appID      string
	key        *rsa.PrivateKey
	gatewayKey *rsa.PublicKey // nil: answers are not verified
	token      string         // app_auth_token
	signType   wire.SignType
	charset    wire.Charset
	client     *http.Client // nil: the default one
}

// exchange is a call and its answer.
type exchange struct {
	biz    string // what was asked
	answer wire.Answer
	raw    string // the body of the answer, as it came
	trace  string // the header trace_id
	took   time.Duration
}

// voucherID returns the voucher id of a success.
func (e *exchange) voucherID() string {
	var node struct {
		VoucherID string `json:"voucher_id"`
	}
	_ = json.Unmarshal(e.answer.Node, &node)
	return node.VoucherID
}

// form signs a call, and returns the body to post.
func (c *caller) form(biz string, at time.Time) (string, error) {
	return wire.SignRequest(map[string]string{
		"app_id": c.appID, "method": sendMethod, "format": "JSON", "version": "1.0",
		"timestamp": at.In(benefit.Shanghai).Format(benefit.WireTime), "app_auth_token": c.token, "biz_content": biz,
	}, c.key, c.signType, c.charset)
}

// endpoint returns the URL to post to. SDKs put charset into the query, so that a gateway knows it before the body.
func (c *caller) endpoint() string {
	url := strings.TrimSuffix(c.url, "/")
	if !strings.HasSuffix(url, alipay.Path) {
		url += alipay.Path
	}
	return url + "?charset=" + c.charset.String()
}

// send makes one call. An error means that there is no trustworthy answer: the outcome is unknown, and a retry with the
// same out_biz_no is safe.
func (c *caller) send(ctx context.Context, v *voucherSend) (*exchange, error) {
	e := &exchange{biz: v.text()}
	form, err := c.form(e.biz, time.Now())
	if err != nil {
		return nil, err
	}
	start := time.Now()
	body, header, err := c.post(ctx, form)
	if err != nil {
		return nil, err
	}
	e.raw, e.trace, e.took = string(body), header.Get("trace_id"), time.Since(start)
	if c.gatewayKey == nil {
		return e, readUnverified(body, &e.answer)
	}
	answer, err := wire.VerifyAnswer(body, c.charset, sendMethod, c.gatewayKey, c.signType)
	if err != nil {
		return nil, fmt.Errorf("%w; the gateway said: %s", err, e.raw)
	}
	e.answer = *answer
	return e, nil
}

func (c *caller) post(ctx context.Context, form string) (body []byte, header http.Header, err error) {
	return httpPost(ctx, c.client, c.endpoint(), "application/x-www-form-urlencoded;charset="+c.charset.String(), form, 16<<20)
}

// httpPost makes a call, and returns the body, of at most limit bytes, and the header of the answer. client may be nil.
func httpPost(ctx context.Context, client *http.Client, url, contentType, body string, limit int64) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := cmp.Or(client, http.DefaultClient).Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("the gateway answered %s", resp.Status)
	}
	return answer, resp.Header, nil
}

// readUnverified parses an answer without checking its signature.
func readUnverified(body []byte, into *wire.Answer) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return fmt.Errorf("the answer is not a JSON object: %w", err)
	}
	into.Node = members[wire.RootName(sendMethod)]
	if into.Node == nil {
		return errors.New("the answer is not one of " + sendMethod)
	}
	return json.Unmarshal(into.Node, into)
}

// show writes the exchange for people.
func (e *exchange) show(w io.Writer, verified bool) {
	fmt.Fprintf(w, "→ %s\n  %s\n", sendMethod, indented(e.biz))
	signature := "signature not checked"
	if verified {
		signature = "signature good"
	}
	if e.trace != "" {
		signature += ", trace_id " + quoted(e.trace)
	}
	fmt.Fprintf(w, "← %s in %.1f ms, %s\n  %s\n", quoted(e.answer.Code), float64(e.took.Microseconds())/1000, signature, indented(string(e.answer.Node)))
}
