package wire

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCheckAcceptsAGoodCall(t *testing.T) {
	for _, signType := range []SignType{RSA2, RSA} {
		req := parse(t, encode(signed(with("sign_type", string(signType)))))
		variant, bad := testPolicy().Check(req)
		if bad != nil || variant != WithoutEmpties {
			t.Errorf("%s: got %v, %v", signType, variant, bad)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	tests := []struct {
		name    string
		changes []string
		want    *Error
	}{
		{"no method", []string{"method", "-"}, ErrMissingMethod},
		{"unknown method", []string{"method", "alipay.no.such"}, ErrInvalidMethod},
		{"illegal method", []string{"method", "<b>"}, ErrInvalidMethod},
		{"no app_id", []string{"app_id", "-"}, ErrMissingAppID},
		{"unknown app_id", []string{"app_id", "1"}, ErrInvalidAppID},
		{"long app_id", []string{"app_id", strings.Repeat("1", 33)}, ErrInvalidAppID},
		{"app switched off", []string{"app_id", "off"}, ErrInvalidAppState},
		{"app without a key", []string{"app_id", "no-key"}, ErrMissingSignatureConfig},
		{"no sign_type", []string{"sign_type", "-"}, ErrMissingSignatureType},
		{"sign_type SM2", []string{"sign_type", "SM2"}, ErrSM2},
		{"sign_type junk", []string{"sign_type", "rsa2"}, ErrInvalidSignatureType},
		{"unknown charset", []string{"charset", "latin1"}, ErrInvalidCharset},
		{"no timestamp", []string{"timestamp", "-"}, ErrMissingTimestamp},
		{"bad timestamp", []string{"timestamp", "2014-07-24T03:07:50"}, ErrInvalidTimestamp},
		{"no version", []string{"version", "-"}, ErrMissingVersion},
		{"other version", []string{"version", "1"}, ErrInvalidParameter},
		{"xml", []string{"format", "xml"}, ErrInvalidFormat},
		{"encrypted", []string{"encrypt_type", "AES"}, ErrInvalidEncryptType},
		{"certificate", []string{"app_cert_sn", "ab"}, ErrCertificateMode},
		{"root certificate", []string{"alipay_root_cert_sn", "ab"}, ErrCertificateMode},
	}
	for _, test := range tests {
		r := post("", encode(signed(with(test.changes...))))
		req, bad := Parse(r, 0)
		if bad == nil {
			_, bad = testPolicy().Check(req)
		}
		if !same(bad, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, bad, test.want)
		}
	}
}

func TestCheckAcceptsEveryWayToWriteFormat(t *testing.T) {
	for _, format := range []string{"JSON", "json", "Json", "-", ""} {
		req := parse(t, encode(signed(with("format", format))))
		if _, bad := testPolicy().Check(req); bad != nil {
			t.Errorf("format %q: %v", format, bad)
		}
	}
}

// TestOrder breaks everything at once and mends it step by step: at each step the
// first thing still broken must be the one that is reported.
func TestOrder(t *testing.T) {
	p := map[string]string{
		"charset": "latin1", "timestamp": "now", "version": "2", "format": "xml",
		"encrypt_type": "AES", "app_cert_sn": "x", "method": "x.y", "app_id": "x", "sign_type": "x",
	}
	good := params()
	steps := []struct {
		check string
		want  *Error
		mend  func()
	}{
		{"method", ErrInvalidMethod, func() { p["method"] = good["method"] }},
		{"app_id", ErrInvalidAppID, func() { p["app_id"] = good["app_id"] }},
		{"sign_type", ErrInvalidSignatureType, func() { p["sign_type"] = "RSA2" }},
		{"sign", ErrMissingSignature, func() { p["sign"] = "AAAA" }},
		{"charset", ErrInvalidCharset, func() { p["charset"] = "utf-8" }},
		{"timestamp", ErrInvalidTimestamp, func() { p["timestamp"] = good["timestamp"] }},
		{"version", ErrInvalidParameter, func() { p["version"] = "1.0" }},
		{"format", ErrInvalidFormat, func() { delete(p, "format") }},
		{"encryption", ErrInvalidEncryptType, func() { delete(p, "encrypt_type") }},
		{"certificate", ErrCertificateMode, func() { delete(p, "app_cert_sn") }},
		{"signature", ErrInvalidSignature, func() { signed(p) }},
	}
	var names []string
	for _, step := range steps {
		names = append(names, step.check)
		r := post("", encode(p))
		req, bad := Parse(r, 0)
		if bad != nil {
			t.Fatal(bad)
		}
		if _, bad = testPolicy().Check(req); !same(bad, step.want) {
			t.Errorf("%s: got %v, want %v", step.check, bad, step.want)
		}
		step.mend()
	}
	source, err := os.ReadFile("doc.go")
	must(t, err)
	var documented []string
	for _, item := range regexp.MustCompile(`(?m)^//\s+\d+\. ([\w ]+?)  `).FindAllStringSubmatch(string(source), -1) {
		documented = append(documented, item[1])
	}
	if diff := cmp.Diff(documented, append([]string{"the request can be read"}, names...)); diff != "" {
		t.Errorf("the list of checks (-package comment +test):\n%s", diff)
	}
	if _, bad := testPolicy().Check(parse(t, encode(p))); bad != nil {
		t.Errorf("all mended: %v", bad)
	}
}

func TestTolerance(t *testing.T) {
	tests := []struct {
		now  string
		want *Error
	}{
		{"2014-07-24 03:17:50", nil},
		{"2014-07-24 03:17:51", ErrInvalidTimestamp},
		{"2014-07-24 02:57:50", nil},
		{"2014-07-24 02:57:49", ErrInvalidTimestamp},
	}
	for _, test := range tests {
		policy := testPolicy()
		policy.Tolerance = 10 * time.Minute
		policy.Now = func() time.Time {
			now, err := ParseTimestamp(test.now)
			if err != nil {
				t.Fatal(err)
			}
			return now
		}
		_, bad := policy.Check(parse(t, encode(signed(params()))))
		if !same(bad, test.want) {
			t.Errorf("at %s: got %v, want %v", test.now, bad, test.want)
		}
	}
}

func TestParseTimestamp(t *testing.T) {
	at, err := ParseTimestamp("2014-07-24 03:07:50")
	if want := time.Date(2014, 7, 23, 19, 7, 50, 0, time.UTC); err != nil || !at.Equal(want) {
		t.Errorf("got %v, %v, want %v", at, err, want)
	}
	for _, text := range []string{
		"", "2014-07-24", "2014-07-24 3:07:50", "2014-07-24 03:07:50.5", "2014-07-24 03:07:50 ",
		"2014-07-24  03:07:50", "2014-02-30 03:07:50", "2014-07-24 24:00:00", "2014-07-24 03:07:60",
		"2014/07/24 03:07:50", "2014-07-24T03:07:50", "２014-07-24 03:07:50", "2014-7-24 03:07:50",
	} {
		if at, err := ParseTimestamp(text); err == nil {
			t.Errorf("%q is read as %v", text, at)
		}
	}
}

func FuzzParseTimestamp(f *testing.F) {
	for _, seed := range []string{"2014-07-24 03:07:50", "2014-07-24 03:07:50.5", "", "0000-01-01 00:00:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := ParseTimestamp(text)
		if err != nil {
			return
		}
		if len(text) != len(timestampLayout) || FormatTimestamp(at) != text {
			t.Errorf("%q was read as %v", text, at)
		}
	})
}
