package wire_test

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"faquan/internal/gateway/alipay/wire"
)

// A gateway with one method and one app, and a call to it: what the handler and
// `faquan send` do.
func Example() {
	app, _ := rsa.GenerateKey(rand.Reader, 2048)
	platform, _ := rsa.GenerateKey(rand.Reader, 2048)
	signer, _ := wire.NewKeySigner(platform)
	const method = "alipay.marketing.voucher.send"
	policy := &wire.Policy{
		KnownMethod: func(name string) bool { return name == method },
		Key: func(appID string) (*rsa.PublicKey, *wire.Error) {
			if appID != "2014072300007148" {
				return nil, wire.ErrInvalidAppID
			}
			return &app.PublicKey, nil
		},
	}
	issue := func(req *wire.Request, node *wire.Node) *wire.Error {
		biz, bad := wire.ParseBiz(req.Get("biz_content"))
		if bad != nil {
			return bad
		}
		memo := biz.Text("memo", 128)
		biz.RequiredText("template_id", 28)
		if bad := biz.Err(); bad != nil {
			return bad
		}
		node.Success()
		node.Text("voucher_id", "20160906000730020020002U8CBS")
		node.Text("memo", memo)
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, bad := wire.Parse(r, 0)
		if bad == nil {
			_, bad = policy.Check(req)
		}
		node := wire.NewNode(req.Charset)
		if bad == nil {
			bad = issue(req, node)
		}
		if bad != nil {
			node.Failure(bad)
		}
		body, err := wire.Seal(req.Method(), node, req.AnswerSignType(), signer)
		if err == nil {
			err = wire.Send(w, req.Charset, body, "trace")
		}
		if err != nil {
			fmt.Println(err)
		}
	}))
	defer server.Close()

	for _, biz := range []string{`{"template_id":"T1","memo":"优酷"}`, `{"memo":"优酷"}`} {
		form, _ := wire.SignRequest(map[string]string{
			"app_id": "2014072300007148", "method": method, "version": "1.0",
			"timestamp": "2014-07-24 03:07:50", "biz_content": biz,
		}, app, wire.RSA2, wire.GBK)
		res, err := http.Post(server.URL, "application/x-www-form-urlencoded;charset=GBK", strings.NewReader(form))
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		answer, err := wire.VerifyAnswer(body, wire.GBK, method, &platform.PublicKey, wire.RSA2)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(answer.OK(), string(answer.Node))
	}
	// Output:
	// true {"code":"10000","msg":"Success","voucher_id":"20160906000730020020002U8CBS","memo":"优酷"}
	// false {"code":"40004","msg":"Business Failed","sub_code":"INVALID_PARAMETER","sub_msg":"参数template_id不能为空"}
}
