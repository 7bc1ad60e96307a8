package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
)

const (
	testAppKey = "12345678"
	testSecret = "helloworld"
)

// topStub returns a TOP gateway that verifies as the real one does and answers activity.send by the unique_id: "bad" is
// not issued, "refused" is refused, everything else is issued. taobao.time.get answers the session.
func topStub(t *testing.T) string {
	t.Helper()
	policy := &wire.Policy{
		Methods: map[string]wire.Method{"taobao.time.get": {}, "taobao.user.seller.get": {}, activitySend: {}, decisionSend: {}},
		Credentials: func(appKey string) (wire.Credentials, *wire.Error) {
			if appKey != testAppKey {
				return wire.Credentials{}, wire.ErrInvalidAppKey
			}
			return wire.Credentials{Secrets: []string{testSecret}}, nil
		},
		Now: time.Now,
	}
	answer := func(req *wire.Request) *wire.Answer {
		id := wire.NewRequestID()
		if req.Method() != activitySend {
			a := wire.Success(req.Format(), req.Method(), id)
			a.Text("time", "as "+req.Session())
			return a
		}
		key := req.Args().Object("single_benefit_request").RequiredText("unique_id", 64)
		if key == "refused" {
			return wire.Failure(req.Format(), wire.Business("isp.225", "权益接收者不存在"), id)
		}
		a := wire.Success(req.Format(), req.Method(), id)
		a.Object("send_result", func() {
			a.Bool("is_success", key != "bad")
			a.Text("unique_id", key)
			if key == "bad" {
				a.Text("error_code", "STOCK_EMPTY")
				a.Text("error_message", "库存不足")
			}
		})
		return a
	}
	mux := http.NewServeMux()
	mux.HandleFunc(top.Path, func(w http.ResponseWriter, r *http.Request) {
		req, bad := wire.Parse(r, wire.Limits{})
		if bad == nil {
			_, bad = policy.Check(req)
		}
		if bad != nil {
			_ = wire.Send(w, r, wire.Failure(req.Format(), bad, wire.NewRequestID()))
			return
		}
		_ = wire.Send(w, r, answer(req))
	})
	mux.HandleFunc(top.BatchPath, func(w http.ResponseWriter, r *http.Request) {
		req, bad := wire.ParseBatch(r, wire.Limits{})
		var items []wire.Item
		if bad == nil {
			_, bad = policy.CheckBatch(req)
		}
		if bad == nil {
			items, bad = policy.Items(req)
		}
		if bad != nil {
			_ = wire.Send(w, r, wire.Failure(req.Format(), bad, wire.NewRequestID()))
			return
		}
		var answers []*wire.Answer
		for _, item := range items {
			answers = append(answers, answer(item.Request))
		}
		_ = wire.SendBatch(w, r, req, answers)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// faquan runs a command in this process.
func faquan(t *testing.T, stdin string, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetIn(strings.NewReader(stdin))
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestSendTOP(t *testing.T) {
	url := topStub(t)
	secret := filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(secret, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	common := []string{"send", "--url", url, "--app-key", testAppKey, "--secret-file", secret}
	for _, c := range []struct {
		name, args string
		stdin      string
		out        []string // stand in the output
		err        string   // stands in the error; "" for none
	}{
		{"issued", "--method " + activitySend + ` --json {"unique_id":"u1"}`, "",
			[]string{"→ " + activitySend, `single_benefit_request={"unique_id":"u1"}`, "← success in", `"is_success":true`, "_response"}, ""},
		{"md5, xml", "--method " + activitySend + ` --json {"unique_id":"u1"} --format xml --sign-method md5`, "",
			[]string{"<is_success>true</is_success>"}, ""},
		{"simplified, from standard input", "--method " + activitySend + " --json - --simplify", `{"unique_id":"u1"}`,
			[]string{`{"send_result":{"is_success":true`}, ""},
		{"by parameter", "--method " + activitySend + ` --param single_benefit_request={"unique_id":"u1"} --sign-method hmac`, "",
			[]string{"← success in"}, ""},
		{"not issued", "--method " + activitySend + ` --json {"unique_id":"bad"}`, "",
			[]string{"← answered: failure in"}, "failed: STOCK_EMPTY 库存不足"},
		{"refused", "--method " + activitySend + ` --json {"unique_id":"refused"} --format xml`, "",
			[]string{"← error 50 in"}, "refused: 50 Remote service error isp.225 权益接收者不存在"},
		{"another app", "--method taobao.time.get --app-key 1", "", []string{"← error 29 in"}, "refused: 29"},
		{"session", "--method taobao.time.get --session s1", "", []string{`"time":"as s1"`}, ""},
		{"batch", "--batch - --session s0",
			`{"method":"taobao.time.get","session":"s1"} {"method":"` + activitySend + `","single_benefit_request":{"unique_id":"bad"}}`,
			[]string{`"time":"as s1"`, "session=…", `"unique_id":"bad"`}, "failed: STOCK_EMPTY"},
		{"batch with one method", "--batch - --method taobao.time.get --format xml", "{} {}", []string{"<time>as </time>"}, ""},
		{"batch of another app", "--batch - --app-key 1", `{"method":"a"} {"method":"b"}`, []string{"← error 29 in"}, "refused: 29"},
		{"empty batch", "--batch -", " ", nil, "the batch has no calls"},
		{"batch without method", "--batch -", "{}", nil, "call 1 of the batch has no method"},
		{"unknown object", "--method a.b --json {}", "", nil, "the parameter of method \"a.b\" that takes the JSON is not known"},
		{"no JSON", "--method " + activitySend + " --json {", "", nil, "--json is not valid JSON"},
		{"xml and simplify", "--method a --format xml --simplify", "", nil, "--simplify is for JSON"},
		{"format", "--method a --format yaml", "", nil, `format "yaml" is not json or xml`},
		{"sign method", "--method a --sign-method sha1", "", nil, `sign method "sha1" is not md5, hmac or hmac-sha256`},
		{"alipay", "", "", nil, "--app-key is not for alipay.marketing.voucher.send"},
		{"a flag of alipay", "--method taobao.time.get --user 2088", "", nil, "--user is not for the TOP gateway"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := faquan(t, c.stdin, append(common, strings.Fields(c.args)...)...)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			for _, text := range c.out {
				if !strings.Contains(out, text) {
					t.Errorf("no %q in\n%s", text, out)
				}
			}
			if strings.Contains(out, testSecret) {
				t.Errorf("the secret is shown:\n%s", out)
			}
		})
	}
}

// The signature of a batch covers its body.
func TestVerifySignOfBatch(t *testing.T) {
	call := wire.Call{AppKey: testAppKey, At: time.Now(), Format: wire.JSON}
	query, body := call.Batch(testSecret, []map[string]string{{"method": "a"}, {"method": "b"}})
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := []string{"verify-sign", "--protocol", "top", "--secret", testSecret}
	if out, err := faquan(t, "", append(verify, "--body", "@"+file, query)...); err != nil || !strings.Contains(out, "the signature is right: md5") {
		t.Errorf("with its body: %v\n%s", err, out)
	}
	if out, err := faquan(t, "", append(verify, query)...); err == nil {
		t.Errorf("without its body it is right:\n%s", out)
	}
}
