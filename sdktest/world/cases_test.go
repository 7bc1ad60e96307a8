package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// theCases is ../cases.json, as the README beside it describes it.
type theCases struct {
	Cases []struct {
		Name     string `json:"name"`
		SignType string `json:"sign_type"`
		Steps    []struct {
			Biz     map[string]any `json:"biz"`
			AppID   string         `json:"app_id"`
			Method  string         `json:"method"`
			Token   string         `json:"token"`
			Tries   int            `json:"tries"`
			Code    string         `json:"code"`
			SubCode string         `json:"sub_code"`
			SubMsg  string         `json:"sub_msg"`
			SameAs  *int           `json:"same_as"`
			UserID  string         `json:"user_id"`
			OpenID  string         `json:"open_id"`
		} `json:"steps"`
	} `json:"cases"`
}

func readCases(t *testing.T) theCases {
	t.Helper()
	f, err := os.Open("../cases.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields() // a member with a slip in its name would check nothing
	var c theCases
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCasesAreSound: what a step asks for can be checked, and no case leaves anything to another, except stock.
func TestCasesAreSound(t *testing.T) {
	owner := map[any]string{}
	for _, c := range readCases(t).Cases {
		for n, s := range c.Steps {
			if (s.Code == "10000") == (s.SubCode != "") {
				t.Errorf("%s, step %d: code %s with sub_code %q", c.Name, n, s.Code, s.SubCode)
			}
			if s.SameAs != nil && (*s.SameAs >= n || c.Steps[*s.SameAs].Code != "10000" || s.Code != "10000") {
				t.Errorf("%s, step %d: is the same as step %d, which gave no voucher before", c.Name, n, *s.SameAs)
			}
			key, _ := s.Biz["out_biz_no"].(string)
			if at, taken := owner[key]; key != "" && taken && at != c.Name {
				t.Errorf("%s, step %d: uses the key %q of %s", c.Name, n, key, at)
			}
			owner[key] = c.Name
		}
	}
}

// unprovoked are the documented sub_codes that no case asks for, and why.
var unprovoked = map[string]string{
	"CODE_NOT_ENOUGH":              "needs a template whose codes are nearly all taken",
	"SYSTEM_ERROR":                 "needs a full queue or a stopping process",
	"isp.unknow-error":             "needs a store that fails",
	"ACTIVITY_NOT_OPEN":            "this API names no activity",
	"isv.missing-method":           "the SDKs always send it",
	"isv.missing-app-id":           "the SDKs always send it",
	"isv.missing-signature-type":   "the SDKs always send it",
	"isv.missing-signature":        "the SDKs always send it",
	"isv.missing-timestamp":        "the SDKs always send it",
	"isv.missing-version":          "the SDKs always send it",
	"isv.invalid-parameter":        "the SDKs build requests that can be read",
	"isv.invalid-charset":          "the SDKs fix it",
	"isv.invalid-timestamp":        "the SDKs write it",
	"isv.invalid-format":           "the SDKs fix it",
	"isv.invalid-encrypt-type":     "asks for a client of its own",
	"isv.illegal-json":             "the SDKs write the JSON",
	"isv.missing-signature-config": "the catalogue refuses an app_id without a key",
}

// documented returns the sub_codes in the tables of the method's page.
func documented(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/reference/alipay-marketing-voucher-send.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, found := strings.Cut(string(page), "\n## Business codes\n")
	row := regexp.MustCompile("(?m)^\\| (?:`\\d{5}` \\| )?`([A-Za-z][\\w.-]+)` \\|")
	var codes []string
	for _, m := range row.FindAllStringSubmatch(tables, -1) {
		codes = append(codes, m[1])
	}
	if !found || len(codes) < 20 {
		t.Fatalf("found %d sub_codes on the page: does its layout differ?", len(codes))
	}
	return codes
}

// TestEverySubCodeReachesTheSDKs: a sub_code that is documented is asked for by a case, or has a reason why not.
func TestEverySubCodeReachesTheSDKs(t *testing.T) {
	codes := documented(t)
	asked := map[string]bool{}
	for _, c := range readCases(t).Cases {
		for _, s := range c.Steps {
			asked[s.SubCode] = true
			if s.SubCode != "" && !slices.Contains(codes, s.SubCode) {
				t.Errorf("%s: %s is not on the method's page", c.Name, s.SubCode)
			}
		}
	}
	for _, code := range codes {
		if asked[code] == (unprovoked[code] != "") {
			t.Errorf("%s: asked for by a case: %v, a reason why not: %q", code, asked[code], unprovoked[code])
		}
	}
}
