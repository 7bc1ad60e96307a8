package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"faquan/internal/config"
	"faquan/internal/gateway"
)

// While the disk is full /readyz says so, and callers are told to retry. With room again the process is ready, though
// no call comes that could find it out.
func TestReadinessOnFullDisk(t *testing.T) {
	volume := t.TempDir()
	if err := syscall.Mount("tmpfs", volume, "tmpfs", 0, "size=24m,mode=0700"); err != nil {
		t.Skipf("a file system of its own cannot be had here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(volume, syscall.MNT_DETACH) })
	c := config.Default()
	c.Data, c.Listen = filepath.Join(volume, "data"), "127.0.0.1:0"
	withMetrics(&c)
	s, err := startServer(t.Context(), &c, serverOptions{log: slog.New(slog.DiscardHandler), segmentBytes: 1 << 20,
		document: testDocument(`  - {name: t, merchant: acme, kind: EXCHANGE, template_id: T, valid: {days: 1}}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	if status, body := get(t, s.url+"/readyz"); status != http.StatusOK {
		t.Fatalf("%d %q", status, body)
	}
	filler := filepath.Join(volume, "filler")
	if err := os.WriteFile(filler, make([]byte, 24<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	app := testCaller(t, s.service, s.url)
	defer app.client.CloseIdleConnections()
	code, sent := "", 0
	for ; code == "" && sent < 2000; sent++ {
		e, err := app.send(t.Context(), &voucherSend{TemplateID: "T", UserID: "2088000000000001", OutBizNo: fmt.Sprint("k", sent)})
		if err != nil {
			t.Fatal(err)
		}
		code = e.answer.SubCode
	}
	if code != "SYSTEM_ERROR" {
		t.Fatalf("after %d calls on a full disk: %q", sent, code)
	}
	if status, body := get(t, s.url+"/readyz"); status != http.StatusServiceUnavailable || body != "the disk is full; callers are told to retry\n" {
		t.Errorf("on a full disk: %d %q", status, body)
	}
	s.shows(t, map[string]float64{
		"faquan_ready": 0, "faquan_store_up": 0, "faquan_journal_segment_failed": 1, "faquan_data_free_bytes": 0, callsOf("busy"): 1,
		"faquan_refusals_write_failed": 1,
	})
	if found, err := s.refusals.Find(func(*gateway.Record) bool { return true }, 9); err != nil || len(found) != 1 {
		t.Errorf("%d refusals are found on a full disk: %v", len(found), err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	within(t, "it is ready when there is room", func() bool {
		status, _ := get(t, s.url+"/readyz")
		return status == http.StatusOK
	})
	s.shows(t, map[string]float64{"faquan_ready": 1, "faquan_store_up": 1, "faquan_journal_segment_failed": 0, callsOf("busy"): 1})
}
