package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
)

// topMethod describes an API on the TOP gateway. Paths are those of texts in its answers.
type topMethod struct {
	// object is the parameter that holds the request as JSON; "" when the API has none.
	object string
	// succeeded is the path whose value, below, is in the answer of a success. Without it every answer that is not an
	// error_response is a success.
	succeeded, value string
	// code and message are the paths of an error in an answer of the API itself.
	code, message string
}

const (
	activitySend     = "taobao.mobile.promotion.benefit.activity.send"
	decisionSend     = "alibaba.alsc.upp.right.decisionsend"
	certificateSend  = "tmall.nrt.certificate.send"
	certificateQuery = "tmall.nrt.certificate.query"
)

var topMethods = map[string]topMethod{
	activitySend:             {"single_benefit_request", "send_result.is_success", "true", "send_result.error_code", "send_result.error_message"},
	decisionSend:             {"decision_send_top_req", "result.success", "true", "result.result_code", "result.result_msg"},
	certificateSend:          {"nrt_certificate_send_d_t_o", "result.code", "0", "result.code", "result.message"},
	certificateQuery:         {"nrt_certificate_instance_query_d_t_o", "result.code", "0", "result.code", "result.message"},
	"taobao.time.get":        {},
	"taobao.user.seller.get": {},
}

// topCaller is an app that calls a TOP gateway, as the platform's SDKs do.
type topCaller struct {
	url        string // of the gateway, with or without its path
	appKey     string
	secret     string
	session    string // "" for none
	signMethod wire.SignMethod
	format     wire.Format
	client     *http.Client // nil: the default one
}

// topExchange is one call and its answer.
type topExchange struct {
	method string
	params map[string]string
	reply  *wire.Reply
	raw    string // the answer, as it came
	took   time.Duration
}

// endpoint returns the gateway's URL with the path of single calls, or of batches.
func (c *topCaller) endpoint(path string) string {
	url := strings.TrimSuffix(c.url, "/")
	for _, known := range []string{top.Path, top.BatchPath} {
		url = strings.TrimSuffix(url, known)
	}
	return url + path
}

func (c *topCaller) signed(method string, params map[string]string) *wire.Call {
	return &wire.Call{
		Method: method, AppKey: c.appKey, Session: c.session, Format: c.format, SignMethod: c.signMethod,
		At: time.Now(), Params: params,
	}
}

// send makes one call. An error means that there is no answer: the outcome is unknown.
func (c *topCaller) send(ctx context.Context, method string, params map[string]string) (*topExchange, error) {
	form := c.signed(method, params).Form(c.secret)
	body, took, err := c.post(ctx, c.endpoint(top.Path), "application/x-www-form-urlencoded;charset=UTF-8", form)
	if err != nil {
		return nil, err
	}
	return c.read(method, params, body, took)
}

func (c *topCaller) post(ctx context.Context, url, contentType, body string) (answer string, took time.Duration, err error) {
	start := time.Now()
	text, _, err := httpPost(ctx, c.client, url, contentType, body, 64<<20)
	return string(text), time.Since(start), err
}

func (c *topCaller) read(method string, params map[string]string, body string, took time.Duration) (*topExchange, error) {
	reply, err := wire.ReadReply([]byte(body), c.format, method)
	if err != nil {
		return nil, fmt.Errorf("%w; the gateway said: %s", err, body)
	}
	return &topExchange{method: method, params: params, reply: reply, raw: body, took: took}, nil
}

// sendBatch makes several calls as one. Each item is the parameters of a call, its method among them.
func (c *topCaller) sendBatch(ctx context.Context, items []map[string]string) ([]*topExchange, error) {
	query, text := c.signed("", nil).Batch(c.secret, items)
	body, took, err := c.post(ctx, c.endpoint(top.BatchPath)+"?"+query, "text/plain;charset=UTF-8", text)
	if err != nil {
		return nil, err
	}
	answers := strings.Split(body, wire.Separator)
	if len(answers) != len(items) {
		e, err := c.read("", nil, body, took) // the batch as a whole may be refused
		if err == nil && e.reply.Refusal != nil {
			return []*topExchange{e}, nil
		}
		return nil, fmt.Errorf("%d answers to %d calls: %s", len(answers), len(items), body)
	}
	all := make([]*topExchange, len(items))
	for k, answer := range answers {
		params := maps.Clone(items[k])
		delete(params, "method")
		if all[k], err = c.read(items[k]["method"], params, answer, took); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// text returns the text at a path of the answer, such as result.code.
func (e *topExchange) text(path string) string { return e.reply.Text(strings.Split(path, ".")...) }

// failure returns the error of the answer; nil for a success.
func (e *topExchange) failure() error {
	if r := e.reply.Refusal; r != nil {
		return fmt.Errorf("refused: %d %s %s %s", r.Code, oneLine(r.Msg), oneLine(r.SubCode), oneLine(r.SubMsg))
	}
	m := topMethods[e.method]
	if m.succeeded == "" || e.text(m.succeeded) == m.value {
		return nil
	}
	return fmt.Errorf("failed: %s %s", oneLine(e.text(m.code)), oneLine(e.text(m.message)))
}

// show writes the exchange for people.
func (e *topExchange) show(w io.Writer) {
	fmt.Fprintf(w, "→ %s\n", quoted(e.method))
	for _, name := range slices.Sorted(maps.Keys(e.params)) {
		value := e.params[name]
		if name == "session" {
			value = "…" // it is a secret
		}
		fmt.Fprintf(w, "  %s=%s\n", quoted(name), indented(value))
	}
	fmt.Fprintf(w, "← %s in %.1f ms\n  %s\n", e.verdict(), float64(e.took.Microseconds())/1000, indented(strings.TrimSpace(e.raw)))
}

func (e *topExchange) verdict() string {
	switch {
	case e.reply.Refusal != nil:
		return fmt.Sprintf("error %d", e.reply.Refusal.Code)
	case e.failure() != nil:
		return "answered: failure"
	}
	return "success"
}

// topParamsOf adds the JSON of the method's object, unless it is empty, to the parameters of a call.
func topParamsOf(method string, params map[string]string, object string) (map[string]string, error) {
	if object == "" {
		return params, nil
	}
	m := topMethods[method]
	if m.object == "" {
		return nil, fmt.Errorf("the parameter of method %q that takes the JSON is not known; give it as --param NAME='{…}'", method)
	}
	if _, twice := params[m.object]; twice {
		return nil, fmt.Errorf("%s is given by --param and by --json", m.object)
	}
	if !json.Valid([]byte(object)) {
		return nil, errors.New("--json is not valid JSON")
	}
	params[m.object] = object
	return params, nil
}

// readBatch reads the calls of a batch: a sequence of JSON objects, whose members are the parameters of a call, including
// method and session. A member that is an object or a list is sent as its JSON text.
func readBatch(text []byte, method string) (items []map[string]string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var members map[string]json.RawMessage
		if err := decoder.Decode(&members); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("call %d of the batch: %w", len(items)+1, err)
		}
		item := map[string]string{"method": method}
		for name, raw := range members {
			item[name] = string(raw)
			var text string
			if json.Unmarshal(raw, &text) == nil {
				item[name] = text
			}
		}
		if item["method"] == "" {
			return nil, fmt.Errorf("call %d of the batch has no method", len(items)+1)
		}
		items = append(items, item)
	}
	if len(items) == 0 {
		return nil, errors.New("the batch has no calls")
	}
	return items, nil
}
