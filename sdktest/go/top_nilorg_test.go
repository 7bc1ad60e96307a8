package sdktest

import (
	"testing"

	top "github.com/nilorg/go-opentaobao"
)

// callNilorg calls with github.com/nilorg/go-opentaobao, which signs with md5, sends the time as seconds plus eight
// hours, and is asked for simplified JSON. Of a refusal it tells one text, sub_msg or msg.
func callNilorg(t *testing.T, w world, s topStep) (map[string]any, *topRefusal) {
	t.Helper()
	top.Router, top.AppKey, top.AppSecret, top.Session = w.TOP, w.AppKey, w.AppSecret, s.Session
	if s.AppKey != "" {
		top.AppKey = s.AppKey
	}
	params := top.Parameter{"simplify": "true"}
	for name, text := range s.topParams(t) {
		params[name] = text
	}
	result, err := top.Execute(s.Method, params)
	if err != nil {
		return nil, &topRefusal{SubMsg: err.Error()}
	}
	text, err := result.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := newNumberDecoder(text).Decode(&answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return answer, nil
}
