package telemetry

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestSecretsAreHidden(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, err := NewLogger(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		for name := range secret {
			log.Info("request", name, "hunter2", slog.Group("g", strings.ToUpper(name), "hunter2"))
		}
		log.With("sign", "hunter2").Info("request", "app_id", "2014072300007148")
		if text := out.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "2014072300007148") {
			t.Errorf("%s log shows a secret, or hides what is none:\n%s", format, text)
		}
	}
}

func TestLevelsAndFormats(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "json", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	if text := out.String(); strings.Contains(text, "quiet") || !strings.Contains(text, `"msg":"loud"`) {
		t.Errorf("level warn in json logged:\n%s", text)
	}
	if _, err := NewLogger(&out, "xml", "info"); err == nil {
		t.Error("the format xml was accepted")
	}
	if _, err := NewLogger(&out, "text", "loud"); err == nil {
		t.Error("the level loud was accepted")
	}
}

// Durations have a unit, and no number is larger than readers of JSON can represent.
func TestNumbers(t *testing.T) {
	for format, want := range map[string]string{
		"text": "took_ms=1.5 g.took_ms=2000 voucher=765483968103695632 big=18446744073709551615 low=-9007199254740993 n=9007199254740992\n",
		"json": `"took_ms":1.5,"g":{"took_ms":2000},"voucher":"765483968103695632","big":"18446744073709551615","low":"-9007199254740993","n":9007199254740992}` + "\n",
	} {
		var out bytes.Buffer
		log, err := NewLogger(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		log.Info("m", "took", 1500*time.Microsecond, slog.Group("g", "took", 2*time.Second), "voucher", int64(765483968103695632),
			"big", uint64(1<<64-1), "low", int64(-1<<53-1), "n", int64(1<<53))
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("%s: got %s", format, &out)
		}
	}
}
