package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faquan/internal/api"
	"faquan/internal/config"
	"faquan/internal/token"
)

func withAPI(c *config.Config) { c.API.Listen = "127.0.0.1:0" }

// apiCall calls the API of a server, and returns the status and the members of the answer.
func apiCall(t *testing.T, s *server, method, path, secret, key, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.api.listener.Addr().String()+api.Root+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var members map[string]any
	if err != nil || json.Unmarshal(text, &members) != nil {
		t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	return resp.StatusCode, members
}

// What was issued over a platform's API is redeemed over this one; a token is valid from when it is made until it is revoked.
func TestAPI(t *testing.T) {
	s := testServer(t, t.TempDir(), testDocument(metricsTemplates), withAPI, withMetrics)
	defer s.stop()
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	x, err := app.send(context.Background(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: "k1"})
	if err != nil {
		t.Fatal(err)
	}
	voucher := strings.TrimLeft(x.voucherID(), "0")
	g, err := s.service.MakeToken(t.Context(), token.Order{App: "shop", Scopes: []string{"redeem", "query"}})
	if err != nil {
		t.Fatal(err)
	}
	_, key := apiCall(t, s, "GET", "/keys?command=issue&key=k1&template=t", g.Secret, "", "")
	found := key["vouchers"].([]any)[0].(map[string]any)["id"].(string)
	if !strings.HasSuffix(voucher, found) {
		t.Errorf("the voucher %s is found as %s", voucher, found)
	}
	body := fmt.Sprintf(`{"voucher_id": "%s", "order": "o1"}`, found)
	for range 2 {
		if status, o := apiCall(t, s, "POST", "/redemptions", g.Secret, "r1", body); status != 200 || o["status"] != "USED" {
			t.Errorf("%d %v", status, o)
		}
	}
	if status, v := apiCall(t, s, "GET", "/vouchers/"+found, g.Secret, "", ""); status != 200 || v["status"] != "USED" {
		t.Errorf("%d %v", status, v)
	}
	if _, err := s.service.RevokeToken(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	if status, p := apiCall(t, s, "GET", "/vouchers/"+found, g.Secret, "", ""); status != 401 || p["reason"] != "TOKEN_REVOKED" {
		t.Errorf("revoked: %d %v", status, p)
	}
	s.shows(t, map[string]float64{
		`faquan_calls_total{api="api",method="redeem",outcome="answered"}`: 1,
		`faquan_calls_total{api="api",method="redeem",outcome="replayed"}`: 1,
	})
	address := "http://" + s.api.listener.Addr().String()
	if status, _ := get(t, address+"/readyz"); status != 200 {
		t.Errorf("/readyz: %d", status)
	}
	if status, _ := get(t, s.url+api.Root+"/openapi.yaml"); status != 404 {
		t.Errorf("the address of the gateways has the API: %d", status)
	}
	if status, _ := get(t, address+"/gateway.do"); status != 404 {
		t.Errorf("the address of the API has a gateway: %d", status)
	}
}

// Without api.listen there is no API.
func TestAPIIsOff(t *testing.T) {
	s := testServer(t, t.TempDir(), nil)
	defer s.stop()
	if s.api.listener != nil || s.api.http != nil {
		t.Error("the API is served")
	}
}

// A start that cannot have the address of the API has changed nothing. One that fails later gives it back.
func TestAPIAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start := func(c *config.Config) error {
		c.Listen = "127.0.0.1:0"
		s, err := startServer(context.Background(), c, serverOptions{log: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Error("it starts", s.stop())
		}
		return err
	}
	c := config.Default()
	c.Data, c.API.Listen = filepath.Join(t.TempDir(), "data"), taken.Addr().String()
	if err := start(&c); err == nil || !strings.HasPrefix(err.Error(), "api.listen: ") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(c.Data); !os.IsNotExist(err) {
		t.Errorf("the data directory was made: %v", err)
	}
	taken.Close()
	if err := os.WriteFile(c.Data, nil, 0o600); err != nil { // the store cannot be opened
		t.Fatal(err)
	}
	if err := start(&c); err == nil || strings.Contains(err.Error(), "api.listen") {
		t.Errorf("got %v", err)
	}
	again, err := net.Listen("tcp", taken.Addr().String())
	if err != nil {
		t.Fatalf("the address was not given back: %v", err)
	}
	again.Close()
}

// The API has the certificate of the gateways.
func TestAPIWithTLS(t *testing.T) {
	files, trusted := testCertificate(t, t.TempDir())
	s := testServer(t, t.TempDir(), nil, withAPI, func(c *config.Config) { c.TLS = files })
	defer s.stop()
	client := trusted.Client()
	defer client.CloseIdleConnections()
	address := s.api.listener.Addr().String() + api.Root + "/openapi.yaml"
	resp, err := client.Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || !bytes.Equal(body, api.Description) || err != nil {
		t.Errorf("%s, %d bytes, %v", resp.Status, len(body), err)
	}
	plain, err := http.Get("http://" + address)
	if err == nil {
		plain.Body.Close()
		if plain.StatusCode != 400 {
			t.Errorf("without TLS: %s", plain.Status)
		}
	}
}

// When the server has stopped, the address of the API is free.
func TestAPIStops(t *testing.T) {
	s := testServer(t, t.TempDir(), nil, withAPI)
	address := s.api.listener.Addr().String()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("the API is still served")
	}
}

// A stop waits for no stream of events: it ends them as a server ends an answer, so that their clients connect again elsewhere.
func TestStopEndsStreams(t *testing.T) {
	s := testServer(t, t.TempDir(), testDocument(metricsTemplates), withAPI, func(c *config.Config) { c.Shutdown.Timeout = 5 * time.Second })
	g, err := s.service.MakeToken(t.Context(), token.Order{App: "shop", Scopes: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.api.listener.Addr().String()+api.Root+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.Secret)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("%d", resp.StatusCode)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the stream was cut off: %v", err)
	}
}
