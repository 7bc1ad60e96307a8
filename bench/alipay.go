package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
)

const (
	alipayAppID    = "2026000000000001"
	alipayTemplate = "BENCH-HOT"
	sendMethod     = "alipay.marketing.voucher.send"
)

// alipayCatalogue has one hot template and one app.
const alipayCatalogue = `
platform: {alipay_private_key_file: gateway_private.pem}
merchants: [{name: bench, recipients: open}]
apps:
  - {name: bench, merchant: bench, app_id: "` + alipayAppID + `", public_key_file: app_public.pem}
templates:
  - name: hot
    merchant: bench
    title: hot
    kind: REDUCTION
    template_id: ` + alipayTemplate + `
    reduction: "10.50"
    threshold: "100"
    publish: {start: 2022-01-01 00:00:00, end: 2050-12-31 23:59:59}
    valid: {days: 30}
    status: ACTIVE
`

// alipayLoad makes and checks calls of the Alipay gateway.
type alipayLoad struct {
	*gatewayBench
	appKey     *rsa.PrivateKey // signs the calls
	gatewayKey *rsa.PrivateKey // signs the answers
	signer     wire.Signer     // like the gateway's
}

// newAlipay prepares the load of the Alipay gateway, and returns the catalogue that it needs.
func newAlipay(b *gatewayBench) (files catalogue, err error) {
	l := &alipayLoad{gatewayBench: b}
	if l.appKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if l.gatewayKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if l.signer, err = wire.NewKeySigner(l.gatewayKey); err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&l.appKey.PublicKey)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(l.gatewayKey)
	if err != nil {
		return nil, err
	}
	b.load = gatewayLoad{
		title: "Alipay gateway, RSA2 with 2048 bits", call: l.call, check: l.check,
		bounds: []bound{{"signing alone", l.signing}, {"empty handler", b.emptyRate}},
	}
	return catalogue{
		catalogueFile:         []byte(alipayCatalogue),
		"app_public.pem":      pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"gateway_private.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

// signing returns the rate of RSA signatures over an answer of the usual size, on every CPU.
func (l *alipayLoad) signing() (float64, error) {
	node := []byte(`{"code":"10000","msg":"Success","voucher_id":"2026112200000757451037124534272","user_id":"2088302001456115"}`)
	until := time.Now().Add(time.Duration(l.seconds * float64(time.Second)))
	var count atomic.Int64
	began, errs := time.Now(), make([]error, runtime.NumCPU())
	each(len(errs), func(c int) {
		for time.Now().Before(until) && errs[c] == nil {
			_, errs[c] = l.signer.Sign(wire.RSA2, node)
			count.Add(1)
		}
	})
	return float64(count.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}

// call implements gatewayLoad.
func (l *alipayLoad) call(n int) ([]byte, error) {
	form, err := wire.SignRequest(map[string]string{
		"app_id": alipayAppID, "method": sendMethod, "charset": "utf-8", "version": "1.0", "format": "JSON",
		"timestamp": wire.FormatTimestamp(time.Now()),
		"biz_content": `{"template_id":"` + alipayTemplate + `","user_id":"` + strconv.Itoa(2088000000000000+n) +
			`","out_biz_no":"bench-` + strconv.Itoa(n) + `","memo":"优酷3个月兑换券"}`,
	}, l.appKey, wire.RSA2, wire.UTF8)
	return postForm(l.program.address(), alipay.Path, form), err
}

// sampleEvery is how many answers there are to each one whose signature is verified.
const sampleEvery = 50

// check implements gatewayLoad: it verifies a sample of the answers.
func (l *alipayLoad) check(answers [][]byte) (checked int, err error) {
	for k := 0; k < len(answers); k += sampleEvery {
		a, err := wire.VerifyAnswer(answers[k], wire.UTF8, sendMethod, &l.gatewayKey.PublicKey, wire.RSA2)
		if err != nil {
			return checked, fmt.Errorf("answer %s: %w", answers[k], err)
		}
		if a.Code != "10000" {
			return checked, fmt.Errorf("answer %s: not issued", answers[k])
		}
		checked++
	}
	return checked, nil
}
