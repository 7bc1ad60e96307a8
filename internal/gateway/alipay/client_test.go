package alipay_test

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"faquan/internal/gateway/alipay"
	"faquan/internal/gateway/alipay/wire"
)

// caller makes one call, signed as the platform's documentation says and without any code of package wire.
type caller struct {
	params         map[string]string
	via            string          // how the parameters travel, see request
	charset        string          // of the bytes, and of the parameter charset unless that is set
	key            *rsa.PrivateKey // signs
	signAs         string          // the algorithm to sign by; "" is sign_type
	sign           string          // instead of a signature, if not ""
	unsigned       bool            // no sign at all
	blanksUnsigned bool            // values of blanks alone are not signed
	blanksAround   bool            // white space stands around the signature
}

// goodCall returns the call of the platform's page.
func goodCall() *caller {
	return &caller{
		params: map[string]string{
			"app_id": appID, "method": method, "format": "JSON", "sign_type": "RSA2",
			"timestamp": "2026-11-22 12:00:00", "version": "1.0",
			"biz_content": `{"template_id":"` + cashID + `","login_id":"13196215350","taobao_nick":"yue54333",` +
				`"user_id":"` + aliceID + `","out_biz_no":"2016122814164328aadaee_1aee_4","amount":9.99,"memo":"优酷3个月兑换券"}`,
		},
		via: "post", charset: "utf-8", key: appKey(),
	}
}

// send returns a good call with another biz_content.
func send(biz string) *caller {
	c := goodCall()
	c.params["biz_content"] = biz
	return c
}

func (c *caller) with(name, value string) *caller {
	c.params[name] = value
	return c
}

// encode returns the bytes of text in the caller's charset.
func (c *caller) encode(text string) string {
	var err error
	switch strings.ToLower(c.charset) {
	case "gbk", "gb2312":
		text, err = simplifiedchinese.GBK.NewEncoder().String(text)
	case "gb18030":
		text, err = simplifiedchinese.GB18030.NewEncoder().String(text)
	}
	if err != nil {
		panic(err)
	}
	return text
}

// pairs returns the parameters in the order of their names, sign last, in the bytes that are sent.
func (c *caller) pairs() [][2]string {
	if _, set := c.params["charset"]; !set {
		c.params["charset"] = c.charset
	}
	var pairs [][2]string
	var toSign []string
	for name, value := range c.params {
		pairs = append(pairs, [2]string{name, c.encode(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	for _, p := range pairs {
		if p[1] != "" && !(c.blanksUnsigned && strings.TrimSpace(p[1]) == "") {
			toSign = append(toSign, p[0]+"="+p[1])
		}
	}
	if c.unsigned {
		return pairs
	}
	if c.sign == "" {
		c.sign = c.signature(strings.Join(toSign, "&"))
	}
	sent := c.sign
	if c.blanksAround {
		sent = " " + sent + "\r\n"
	}
	return append(pairs, [2]string{"sign", sent})
}

func (c *caller) signature(text string) string {
	as := c.signAs
	if as == "" {
		as = c.params["sign_type"]
	}
	sum256 := sha256.Sum256([]byte(text))
	hash, sum := crypto.SHA256, sum256[:]
	if as == "RSA" {
		sum1 := sha1.Sum([]byte(text))
		hash, sum = crypto.SHA1, sum1[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, c.key, hash, sum)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

func urlEncoded(pairs [][2]string) string {
	var all []string
	for _, p := range pairs {
		all = append(all, url.QueryEscape(p[0])+"="+url.QueryEscape(p[1]))
	}
	return strings.Join(all, "&")
}

// raw returns the call as bytes of HTTP/1.1.
//
//	post      all in the body (smartwalle, .NET)
//	split     biz_content in the body, the rest in the query (Java, PHP, Python, Node)
//	get       all in the query
//	get-form  a GET with all in a form body
//	multipart all as parts of a multipart body
//	absolute  like split, with the whole URL in the request line (Python)
//
// Anything else is taken for an HTTP method, with all in the query.
func (c *caller) raw() []byte {
	var query, body [][2]string
	verb, contentType := "POST", "application/x-www-form-urlencoded;charset="+c.charset
	target := alipay.Path
	pairs := c.pairs()
	switch c.via {
	case "post", "multipart":
		body = pairs
	case "get-form":
		verb, body = "GET", pairs
	case "split", "absolute":
		for _, p := range pairs {
			if p[0] == "biz_content" {
				body = append(body, p)
			} else {
				query = append(query, p)
			}
		}
	case "get":
		verb, query = "GET", pairs
	default:
		verb, query = c.via, pairs
	}
	if c.via == "absolute" {
		target = "http://gateway.test" + target
	}
	if len(query) > 0 {
		target += "?" + urlEncoded(query)
	}
	text := urlEncoded(body)
	if c.via == "multipart" {
		text, contentType = parts(body)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: gateway.test\r\n", verb, target)
	if text != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Length: %d\r\n", contentType, len(text))
	}
	fmt.Fprintf(&b, "\r\n%s", text)
	return b.Bytes()
}

func parts(pairs [][2]string) (body, contentType string) {
	var b strings.Builder
	w := multipart.NewWriter(&b)
	_ = w.SetBoundary("boundary-of-a-test")
	for _, p := range pairs {
		_ = w.WriteField(p[0], p[1])
	}
	_ = w.Close()
	return b.String(), w.FormDataContentType()
}

// call sends the call and checks all that every answer owes: status 200, and a signature of the platform by the
// algorithm of the request.
func (w *world) call(t testing.TB, c *caller) (*wire.Answer, *httptest.ResponseRecorder) {
	t.Helper()
	res := w.do(t, c.raw())
	if res.Code != http.StatusOK {
		t.Fatalf("status %d: %s", res.Code, res.Body)
	}
	signType := wire.RSA2
	if c.params["sign_type"] == "RSA" {
		signType = wire.RSA
	}
	cs, _ := wire.ParseCharset(c.charset)
	answer, err := wire.VerifyAnswer(res.Body.Bytes(), cs, c.params["method"], &platformKey().PublicKey, signType)
	if err != nil {
		t.Fatalf("%v: %s", err, res.Body)
	}
	if answer.OK() == (answer.SubCode != "") {
		t.Fatalf("an answer that is neither a success nor a failure: %s", answer.Node)
	}
	return answer, res
}

// do serves the bytes of one request.
func (w *world) do(t testing.TB, raw []byte) *httptest.ResponseRecorder {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	res := httptest.NewRecorder()
	w.ServeHTTP(res, r.WithContext(t.Context()))
	return res
}
