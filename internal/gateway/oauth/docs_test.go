package oauth

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The page has every member of an answer and every error.
func TestThePageIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../../docs/sessions.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	want := []string{AuthorizePath, TokenPath, "access_denied", "unsupported_response_type", "invalid_grant"}
	for _, bad := range []*refusal{invalid(""), errClient, errDisabled, errLimited, errBusy, errType} {
		want = append(want, "`"+bad.Error+"`")
	}
	for i := range reflect.TypeFor[answer]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[answer]().Field(i).Tag.Get("json"), ",")
		if level, rest, _ := strings.Cut(name, "_"); len(level) == 2 && strings.Trim(level[1:], "12") == "" && level != "r1" {
			name = level
			want = append(want, "`r1_"+rest+"`")
		}
		want = append(want, "`"+name+"`")
	}
	for _, w := range want {
		if !strings.Contains(page, w) {
			t.Errorf("the page lacks %s", w)
		}
	}
}
