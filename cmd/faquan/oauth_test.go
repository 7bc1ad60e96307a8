package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"faquan/internal/audit"
	"faquan/internal/config"
	"faquan/internal/control"
)

// An app gets a session by consent, beside a command that revokes it; all of it outlives a restart.
func TestOAuthServes(t *testing.T) {
	dir := t.TempDir()
	keyFile := filepath.Join(t.TempDir(), "consent.key")
	serve := func(key string) (*server, error) {
		if err := os.WriteFile(keyFile, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := config.Default()
		c.Data, c.Listen, c.OAuth.ConsentKeyFile = filepath.Join(dir, "data"), "127.0.0.1:0", keyFile
		return startServer(context.Background(), &c, serverOptions{log: slog.New(slog.DiscardHandler), document: &control.Document{
			Name: "catalog.yaml", Text: []byte(`{merchants: [{name: acme, seller_id: 7}], apps: [{name: shop, merchant: acme,
  app_key: "1", app_secret: hush, redirect_uris: ["https://shop.example/back"]}]}`),
		}})
	}
	if _, err := serve("\uFEFFfifteen letters"); err == nil || !strings.Contains(err.Error(), "fewer than 16 characters") {
		t.Fatalf("a short key: %v", err)
	}
	s, err := serve("\uFEFFa key that is long enough") // as an editor may have saved it
	if err != nil {
		t.Fatal(err)
	}
	code := consentTo(t, s.url)
	got, err := exchangeAt(s.url, code)
	if err != nil || got["taobao_user_id"] != "7" {
		t.Fatalf("%v, %v", got, err)
	}
	token := got["refresh_token"].(string)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	if s, err = serve("a key that is long enough"); err != nil {
		t.Fatal(err)
	}
	if again, err := exchangeAt(s.url, code); err != nil || again["error"] != "invalid_grant" {
		t.Errorf("a used code after a restart: %v, %v", again, err)
	}
	if n, err := s.service.RevokeSession(t.Context(), token); n != 0 || err != nil {
		t.Errorf("its reuse ended what it had given out, but %d were left, %v", n, err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	report, err := auditDir(t.Context(), filepath.Join(dir, "data"), audit.EmbeddedOptions{})
	if err != nil || !report.OK() {
		t.Errorf("audit: %+v, %v", report, err)
	}
}

// consentTo agrees on the page and gives the code.
func consentTo(t *testing.T, at string) string {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.PostForm(at+"/authorize", url.Values{
		"response_type": {"code"}, "client_id": {"1"}, "redirect_uri": {"https://shop.example/back"}, "merchant": {"acme"},
		"consent_key": {"a key that is long enough"}, "decision": {"agree"},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return to.Query().Get("code")
}

func exchangeAt(at, code string) (members map[string]any, err error) {
	resp, err := http.PostForm(at+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {"1"}, "client_secret": {"hush"},
		"redirect_uri": {"https://shop.example/back"},
	})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return members, json.NewDecoder(resp.Body).Decode(&members)
}
