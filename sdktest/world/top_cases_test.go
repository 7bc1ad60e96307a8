package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// theTOPCases is ../top-cases.json, as the README beside it describes it.
type theTOPCases struct {
	Cases []struct {
		Name  string `json:"name"`
		Steps []struct {
			Faquan  []string       `json:"faquan"`
			Method  string         `json:"method"`
			AppKey  string         `json:"app_key"`
			Session string         `json:"session"`
			Params  map[string]any `json:"params"`
			Answer  map[string]any `json:"answer"`
			Error   *struct {
				Code    int    `json:"code"`
				SubCode string `json:"sub_code"`
				SubMsg  string `json:"sub_msg"`
			} `json:"error"`
		} `json:"steps"`
	} `json:"cases"`
}

// TestTOPCasesAreSound: each step runs a command, or has either an answer or an error. It refers to steps before it, and each
// API is asked for with success and with a refusal.
func TestTOPCasesAreSound(t *testing.T) {
	f, err := os.Open("../top-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	var file theTOPCases
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	answered, refused := map[string]bool{}, map[string]bool{}
	reference := regexp.MustCompile(`^[@!](\d+):`)
	for _, c := range file.Cases {
		for n, s := range c.Steps {
			check := func(what, text string) {
				if m := reference.FindStringSubmatch(text); m != nil {
					if at, _ := strconv.Atoi(m[1]); at >= n || len(c.Steps[at].Answer) == 0 {
						t.Errorf("%s, step %d: %s refers to step %d", c.Name, n, what, at)
					}
				}
			}
			if len(s.Faquan) > 0 {
				for _, arg := range s.Faquan {
					check("an argument", arg)
				}
				if s.Method != "" || len(s.Answer) > 0 || s.Error != nil {
					t.Errorf("%s, step %d: a command and a call", c.Name, n)
				}
				continue
			}
			if (len(s.Answer) > 0) == (s.Error != nil) {
				t.Errorf("%s, step %d: neither an answer nor an error, or both", c.Name, n)
			}
			answered[s.Method] = answered[s.Method] || s.Error == nil
			refused[s.Method] = refused[s.Method] || s.Error != nil
			for path, want := range s.Answer {
				text, _ := want.(string)
				check(path, text)
			}
		}
	}
	for _, method := range []string{
		"taobao.time.get", "taobao.user.seller.get", "taobao.mobile.promotion.benefit.activity.send",
		"alibaba.alsc.upp.right.decisionsend", "tmall.nrt.certificate.send", "tmall.nrt.certificate.query",
	} {
		if !answered[method] || !refused[method] {
			t.Errorf("%s: a success is asked for: %v, a refusal: %v", method, answered[method], refused[method])
		}
	}
}
