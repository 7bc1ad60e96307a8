package sdktest

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/smartwalle/alipay/v3"
)

const (
	method = "alipay.marketing.voucher.send"
	alice  = "2088302001456115"
)

// world is what sdktest/world tells its clients.
type world struct {
	Gateway       string `json:"gateway"`
	AppID         string `json:"app_id"`
	PrivateKey    string `json:"private_key"`
	GatewayKey    string `json:"gateway_key"`
	OtherKey      string `json:"other_key"`
	NotGatewayKey string `json:"not_gateway_key"`
	Cases         string `json:"cases"`

	TOP       string `json:"top"`
	AppKey    string `json:"app_key"`
	AppSecret string `json:"app_secret"`
	TOPCases  string `json:"top_cases"`

	Program string `json:"program"`
}

func theWorld(t *testing.T) world {
	t.Helper()
	file := os.Getenv("SDKTEST_WORLD")
	if file == "" {
		t.Fatal("SDKTEST_WORLD is not set: run scripts/test sdk")
	}
	var w world
	readJSON(t, file, &w)
	return w
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.UseNumber() // an amount goes out as it stands in the file
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// client returns an SDK for an app of the world. It verifies answers, as it does by default.
func (w world) client(t *testing.T, appID string) *alipay.Client {
	t.Helper()
	c, err := alipay.New(appID, w.PrivateKey, true, alipay.WithProductionGateway(w.Gateway))
	if err == nil {
		err = c.LoadAliPayPublicKey(w.GatewayKey)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer is what a caller of voucher.send reads. The SDK has no type for this method; its own way for such methods
// is a Payload and a struct of the caller's.
type answer struct {
	alipay.Error
	VoucherID string `json:"voucher_id"`
	UserID    string `json:"user_id"`
	OpenID    string `json:"open_id"`
}

// send sends one voucher. The error is the SDK's own, such as a signature that does not verify.
func send(c *alipay.Client, name string, biz map[string]any, token string) (answer, error) {
	p := alipay.NewPayload(name)
	for field, value := range biz {
		p.AddBizField(field, value)
	}
	if token != "" {
		p.AddParam("app_auth_token", token)
	}
	var a answer
	err := c.Request(p, &a)
	return a, err
}
