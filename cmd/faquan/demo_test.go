package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// The curl command that the demo prints works verbatim, twice, and yields one voucher.
func TestDemoInvitation(t *testing.T) {
	var out bytes.Buffer
	d := demo{dir: t.TempDir(), listen: "127.0.0.1:0", out: &out, err: io.Discard}
	if err := d.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.server.stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.invite(); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^curl -sS '([^']+)' --data '([^']+)'$`).FindStringSubmatch(out.String())
	if line == nil {
		t.Fatalf("no curl line in\n%s", out.String())
	}
	first, second := post(t, line[1], line[2]), post(t, line[1], line[2])
	if !strings.Contains(first, `"code":"10000"`) || first != second {
		t.Errorf("answers\n%s\n%s", first, second)
	}
}

// The commands that the demo prints for TOP work verbatim: one sends and explains a call, one shows what a user would get.
func TestDemoCommands(t *testing.T) {
	var out bytes.Buffer
	d := demo{dir: t.TempDir(), listen: "127.0.0.1:0", out: &out, err: io.Discard}
	if err := d.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.server.stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.invite(); err != nil {
		t.Fatal(err)
	}
	printed := strings.ReplaceAll(out.String(), "\\\n", "")
	for _, c := range []struct{ command, says, err string }{
		{"send", `"status":"SUCCESS"`, ""},
		{"explain", "activity members (act-members): open, CHOSEN", ""},
		{"decide", "rule user.level >= 2", "nothing would be issued"},
	} {
		line := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(command()) + " " + c.command + " .*$").FindString(printed)
		var args []string
		for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
			args = append(args, m[1]+m[2])
		}
		if len(args) < 2 {
			t.Fatalf("no faquan %s in\n%s", c.command, printed)
		}
		said, err := faquan(t, "", args[1:]...)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || !strings.Contains(said, c.says) {
			t.Errorf("%s\nsays %s\n%v", line, said, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func post(t *testing.T, url, form string) string {
	t.Helper()
	resp, err := http.Post(url, "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
