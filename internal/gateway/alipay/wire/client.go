package wire

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// SignRequest signs a call as the Java SDK does and returns it as a URL-encoded form, for a query or a body. It sets
// sign_type, charset and sign itself; empty values are left out. It fails when a value has a character that the charset
// lacks.
func SignRequest(params map[string]string, key *rsa.PrivateKey, t SignType, cs Charset) (string, error) {
	req := Request{Charset: cs}
	for name, value := range params {
		if name == "sign" || name == "sign_type" || name == "charset" || value == "" {
			continue
		}
		raw, ok := cs.encode(value)
		if !ok {
			return "", fmt.Errorf("sign request: %s has a character that %s lacks", name, cs)
		}
		req.Params = append(req.Params, Param{Name: name, Value: value, raw: raw})
	}
	req.Params = append(req.Params,
		Param{Name: "sign_type", Value: string(t), raw: string(t)},
		Param{Name: "charset", Value: cs.String(), raw: cs.String()})
	slices.SortFunc(req.Params, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })

	hash, sum := t.digest(req.StringToSign(WithoutEmpties))
	signature, err := rsa.SignPKCS1v15(nil, key, hash, sum)
	if err != nil {
		return "", fmt.Errorf("sign request: %w", err)
	}
	var form strings.Builder
	for _, p := range req.Params {
		form.WriteString(url.QueryEscape(p.Name) + "=" + url.QueryEscape(p.raw) + "&")
	}
	form.WriteString("sign=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature)))
	return form.String(), nil
}

// Answer is a verified answer.
type Answer struct {
	Code    string `json:"code"`
	Msg     string `json:"msg"`
	SubCode string `json:"sub_code"`
	SubMsg  string `json:"sub_msg"`
	// Node is the JSON object that was signed, in UTF-8.
	Node []byte `json:"-"`
}

// OK reports success by the strictest rule of the SDKs: code 10000 and no sub_code.
func (a *Answer) OK() bool { return a.Code == "10000" && a.SubCode == "" }

// VerifyAnswer cuts the signed text out of an answer and checks it. The cut is the one that every SDK can follow: the
// root name once, as the first thing, "sign" once, as the last, and nothing between, no white space either. t and cs
// are those of the request.
func VerifyAnswer(body []byte, cs Charset, method string, key *rsa.PublicKey, t SignType) (*Answer, error) {
	node, sign, err := cutAnswer(body, RootName(method))
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	signature, err := base64.StdEncoding.DecodeString(sign)
	if err != nil {
		return nil, errors.New("answer: sign is not base64")
	}
	if !verifyBytes(key, t, node, signature) {
		return nil, errors.New("answer: the signature does not verify")
	}
	text, ok := cs.decode(string(node))
	if !ok {
		return nil, fmt.Errorf("answer: is not valid %s", cs)
	}
	answer := &Answer{Node: []byte(text)}
	if err := json.Unmarshal(answer.Node, answer); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return answer, nil
}

func cutAnswer(body []byte, root string) (node []byte, sign string, err error) {
	rest, ok := bytes.CutPrefix(body, []byte(`{"`+root+`":`))
	if !ok {
		return nil, "", fmt.Errorf("does not begin with %s", root)
	}
	node, tail, ok := bytes.Cut(rest, []byte(`,"sign":"`))
	if !ok {
		return nil, "", errors.New("is not signed")
	}
	signBytes, ok := bytes.CutSuffix(tail, []byte(`"}`))
	switch {
	case !ok:
		return nil, "", errors.New("does not end with sign")
	case bytes.Contains(rest, []byte(root)):
		return nil, "", fmt.Errorf("holds %s twice", root)
	case bytes.Count(rest, []byte(`"sign"`)) != 1 || bytes.Contains(rest, []byte(`"alipay_cert_sn"`)):
		return nil, "", errors.New("has a word inside the node at which some SDKs cut the answer in the wrong place")
	case len(node) < 2 || node[0] != '{' || node[len(node)-1] != '}':
		return nil, "", errors.New("has a node that is not an object")
	}
	return node, string(signBytes), nil
}
