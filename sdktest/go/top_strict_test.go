package sdktest

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// strictClient is a client of our own for what the others do not ask for: XML, HMAC, the types of all members. It
// reads an answer by the types that the pages of the APIs declare, and takes nothing that is not declared, so that a
// member of another type, at another place or with another name fails.
type strictClient struct {
	format, signMethod string
	simplify           bool
}

// shape is the declared type of a member.
type shape struct {
	kind    string           // object, objects, texts, text, number, boolean
	item    string           // of objects: the name of one
	members map[string]shape // of object and objects
}

func object(members map[string]shape) shape { return shape{kind: "object", members: members} }

func objects(item string, members map[string]shape) shape {
	return shape{kind: "objects", item: item, members: members}
}

var (
	text    = shape{kind: "text"}
	number  = shape{kind: "number"}
	boolean = shape{kind: "boolean"}
	texts   = shape{kind: "texts"}
)

// shapes are the answers of the APIs, but request_id.
var shapes = map[string]map[string]shape{
	"taobao.time.get":        {"time": text},
	"taobao.user.seller.get": {"user": object(map[string]shape{"user_id": number, "nick": text, "type": text, "status": text, "has_shop": boolean})},
	"taobao.mobile.promotion.benefit.activity.send": {"send_result": object(map[string]shape{
		"error_message": text, "error_code": text, "is_success": boolean, "unique_id": text, "is_baoxiang_task_done": boolean,
		"results": objects("mobile_benefit_send_result_ext", map[string]shape{
			"error_code_list": texts, "failure_count": number, "success_count": number, "index_id": number,
		}),
	})},
	"alibaba.alsc.upp.right.decisionsend": {"result": object(map[string]shape{
		"can_retry": boolean, "result_code": text, "result_msg": text, "success": boolean, "trace_id": text,
		"result_obj": object(map[string]shape{
			"status": text,
			"error_top_dto_list": objects("decision_error_top_d_t_o", map[string]shape{
				"act_code": text, "error_code": text, "error_desc": text, "right_id": text, "scene_code": text, "type": text,
			}),
			"right_send_top_vo_list": objects("right_send_top_v_o", map[string]shape{
				"end_time": text, "out_biz_instance_id": text, "reduction_yuan": text, "req_id": text, "right_instance_id": text,
				"right_name": text, "start_time": text, "threshold_yuan": text, "benefit_type": text, "reduction": text,
				"threshold": text, "fixed_price": text,
			}),
		}),
	})},
	"tmall.nrt.certificate.send": {"result": object(map[string]shape{
		"message": text, "code": text,
		"model": object(map[string]shape{
			"status": text, "modified_time": text, "create_time": text, "start_time": text, "end_time": text,
			"certificate_code": text, "out_id": number, "channel": number, "open_id": text,
		}),
	})},
	"tmall.nrt.certificate.query": {"result": object(map[string]shape{
		"message": text, "code": text,
		"model": object(map[string]shape{
			"page_size": text, "current_page": text, "total_item": text,
			"data_list": objects("nrt_certificate_instance_response_dto", map[string]shape{
				"create_time": text, "start_time": text, "end_time": text, "certificate_code": text, "modified_time": text,
				"status": number, "open_id": text, "channel": number, "out_id": text,
			}),
		}),
	})},
}

var refusalShape = map[string]shape{"code": number, "msg": text, "sub_code": text, "sub_msg": text}

func (c strictClient) call(t *testing.T, w world, s topStep) (map[string]any, *topRefusal) {
	t.Helper()
	params := s.topParams(t)
	for name, value := range map[string]string{
		"method": s.Method, "app_key": w.AppKey, "session": s.Session, "v": "2.0", "format": c.format, "sign_method": c.signMethod,
		"timestamp": time.Now().In(time.FixedZone("", 8*3600)).Format(time.DateTime), "partner_id": "strict",
	} {
		if value != "" {
			params[name] = value
		}
	}
	if s.AppKey != "" {
		params["app_key"] = s.AppKey
	}
	if c.simplify {
		params["simplify"] = "true"
	}
	params["sign"] = signTOP(params, w.AppSecret, c.signMethod)
	form := url.Values{}
	for name, value := range params {
		form.Set(name, value)
	}
	body := c.post(t, w.TOP, form)
	root, name, err := c.parse(body)
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if name == "error_response" {
		return nil, refusalIn(t, c, root, body)
	}
	if want := rootName(s.Method); name != "" && name != want {
		t.Fatalf("the root is %s, want %s", name, want)
	}
	answer, err := c.read(root, shapes[s.Method])
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return answer, nil
}

func refusalIn(t *testing.T, c strictClient, root any, body []byte) *topRefusal {
	t.Helper()
	answer, err := c.read(root, refusalShape)
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	r := &topRefusal{}
	encoded, _ := json.Marshal(answer)
	if err := json.Unmarshal(encoded, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (c strictClient) post(t *testing.T, address string, form url.Values) []byte {
	t.Helper()
	resp, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"xml": "text/xml", "json": "text/javascript"}[c.format]
	got, params, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || got != want || !strings.EqualFold(params["charset"], "utf-8") {
		t.Fatalf("status %d, content type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return body
}

// rootName drops a leading "taobao." as the platform does.
func rootName(method string) string {
	return strings.ReplaceAll(strings.TrimPrefix(method, "taobao."), ".", "_") + "_response"
}

// signTOP signs as the platform's documentation says.
func signTOP(params map[string]string, secret, method string) string {
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name + params[name])
	}
	if method == "md5" {
		return fmt.Sprintf("%X", md5.Sum([]byte(secret+b.String()+secret)))
	}
	sum := map[string]func() hash.Hash{"hmac": md5.New, "hmac-sha256": sha256.New}[method]
	mac := hmac.New(sum, []byte(secret))
	mac.Write([]byte(b.String()))
	return strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))
}

// element is an XML element: its text, or its children in their order.
type element struct {
	name     string
	text     string
	children []*element
}

// parse returns the root and its name, which is "" in simplified JSON.
func (c strictClient) parse(body []byte) (root any, name string, err error) {
	if c.format == "xml" {
		e, err := parseXML(body)
		if err != nil {
			return nil, "", err
		}
		return e, e.name, nil
	}
	var document map[string]any
	d := newNumberDecoder(body)
	if err := d.Decode(&document); err != nil {
		return nil, "", err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, "", fmt.Errorf("there is data after the document")
	}
	if refused, ok := document["error_response"]; ok && len(document) == 1 {
		return refused, "error_response", nil
	}
	if c.simplify {
		return document, "", nil
	}
	for name, node := range document {
		if len(document) == 1 {
			return node, name, nil
		}
	}
	return nil, "", fmt.Errorf("%d roots", len(document))
}

func newNumberDecoder(body []byte) *json.Decoder {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return d
}

func parseXML(body []byte) (*element, error) {
	if !bytes.HasPrefix(body, []byte("<?xml ")) {
		return nil, fmt.Errorf("there is no XML declaration")
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	above := []*element{{}}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		top := above[len(above)-1]
		switch token := token.(type) {
		case xml.StartElement:
			if len(token.Attr) > 0 && len(above) > 1 {
				return nil, fmt.Errorf("%s has attributes", token.Name.Local)
			}
			e := &element{name: token.Name.Local}
			top.children = append(top.children, e)
			above = append(above, e)
		case xml.EndElement:
			above = above[:len(above)-1]
		case xml.CharData:
			top.text += string(token)
		}
	}
	if len(above[0].children) != 1 {
		return nil, fmt.Errorf("%d roots", len(above[0].children))
	}
	return above[0].children[0], nil
}

// read returns the members of a node by their declared types, in one form whatever the format. At the root request_id
// is a member, too.
func (c strictClient) read(root any, members map[string]shape) (map[string]any, error) {
	all := map[string]shape{"request_id": text}
	for name, s := range members {
		all[name] = s
	}
	answer, err := c.members(root, all)
	if err == nil && answer["request_id"] == nil {
		err = fmt.Errorf("there is no request_id")
	}
	return answer, err
}

func (c strictClient) members(node any, declared map[string]shape) (map[string]any, error) {
	nodes, err := c.children(node)
	if err != nil {
		return nil, err
	}
	read := map[string]any{}
	for name, child := range nodes {
		s, ok := declared[name]
		if !ok {
			return nil, fmt.Errorf("%s is not declared", name)
		}
		value, err := c.member(child, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		read[name] = value
	}
	return read, nil
}

// children returns the members of an object, each once.
func (c strictClient) children(node any) (map[string]any, error) {
	if members, ok := node.(map[string]any); ok {
		return members, nil
	}
	e, ok := node.(*element)
	if !ok || strings.TrimSpace(e.text) != "" {
		return nil, fmt.Errorf("it is no object")
	}
	members := map[string]any{}
	for _, child := range e.children {
		if members[child.name] != nil {
			return nil, fmt.Errorf("%s stands twice", child.name)
		}
		members[child.name] = child
	}
	return members, nil
}

func (c strictClient) member(node any, s shape) (any, error) {
	switch s.kind {
	case "object":
		return c.members(node, s.members)
	case "objects", "texts":
		return c.list(node, s)
	}
	return scalar(node, s.kind)
}

// list reads the elements of a list, which in all but simplified JSON stand under the name of their type.
func (c strictClient) list(node any, s shape) (any, error) {
	item := s.item
	if s.kind == "texts" {
		item = "string"
	}
	elements, err := c.elements(node, item)
	if err != nil {
		return nil, err
	}
	if len(elements) == 0 {
		return nil, fmt.Errorf("an empty list, which should be absent")
	}
	all := make([]any, len(elements))
	for k, e := range elements {
		if s.kind == "texts" {
			all[k], err = scalar(e, "text")
		} else {
			all[k], err = c.members(e, s.members)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (c strictClient) elements(node any, item string) (all []any, err error) {
	if e, ok := node.(*element); ok {
		for _, child := range e.children {
			if child.name != item {
				return nil, fmt.Errorf("%s in a list of %s", child.name, item)
			}
			all = append(all, child)
		}
		return all, nil
	}
	if !c.simplify {
		wrapper, _ := node.(map[string]any)
		if len(wrapper) != 1 {
			return nil, fmt.Errorf("a list of %s is not wrapped", item)
		}
		node = wrapper[item]
	}
	all, ok := node.([]any)
	if !ok {
		return nil, fmt.Errorf("it is no list of %s", item)
	}
	return all, nil
}

// scalar reads a text, a bare number, or a bare true or false. XML has only texts.
func scalar(node any, kind string) (any, error) {
	if e, ok := node.(*element); ok {
		if len(e.children) > 0 {
			return nil, fmt.Errorf("it has children, and should be a %s", kind)
		}
		switch {
		case kind == "number" && e.text != "" && strings.Trim(e.text, "0123456789") == "":
			return json.Number(e.text), nil
		case kind == "boolean" && (e.text == "true" || e.text == "false"):
			return e.text == "true", nil
		case kind == "text":
			return e.text, nil
		}
		return nil, fmt.Errorf("%q is no %s", e.text, kind)
	}
	ok := false
	switch node.(type) {
	case string:
		ok = kind == "text"
	case json.Number:
		ok = kind == "number"
	case bool:
		ok = kind == "boolean"
	}
	if !ok {
		return nil, fmt.Errorf("%v is no %s", node, kind)
	}
	return node, nil
}
