package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

func armour(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

// spellings returns the ways in which one key arrives.
func spellings(label string, der []byte) map[string]string {
	text := armour(label, der)
	bare := base64.StdEncoding.EncodeToString(der)
	return map[string]string{
		"PEM":                  text,
		"PEM, CRLF":            strings.ReplaceAll(text, "\n", "\r\n"),
		"PEM, indented":        "  " + strings.ReplaceAll(text, "\n", "\n    "),
		"PEM, on one line":     strings.ReplaceAll(text, "\n", " "),
		"PEM, \\n spelled out": strings.ReplaceAll(text, "\n", `\n`),
		"PEM, after a BOM":     "\uFEFF" + text,
		"bare":                 bare,
		"bare, after a BOM":    "\uFEFF" + bare,
		"bare, in lines":       bare[:64] + "\n" + bare[64:] + "\n",
	}
}

func pkix(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	must(t, err)
	return der
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return der
}

func TestParsePublicKey(t *testing.T) {
	key := &testKey().PublicKey
	for label, der := range map[string][]byte{
		"PUBLIC KEY": pkix(t, key), "RSA PUBLIC KEY": x509.MarshalPKCS1PublicKey(key),
	} {
		for name, text := range spellings(label, der) {
			if got, err := ParsePublicKey(text); err != nil || !got.Equal(key) {
				t.Errorf("%s, %s: %v", label, name, err)
			}
		}
	}
}

func TestParsePrivateKey(t *testing.T) {
	key := testKey()
	for label, der := range map[string][]byte{
		"PRIVATE KEY": pkcs8(t, key), "RSA PRIVATE KEY": x509.MarshalPKCS1PrivateKey(key),
	} {
		for name, text := range spellings(label, der) {
			if got, err := ParsePrivateKey(text); err != nil || !got.Equal(key) {
				t.Errorf("%s, %s: %v", label, name, err)
			}
		}
	}
}

func TestKeysRefused(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	odd := new(big.Int).SetBit(big.NewInt(1), 1022, 1)
	small := pkix(t, &rsa.PublicKey{N: odd, E: 65537})
	large := pkix(t, &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8192, 1), E: 65537})
	even := pkix(t, &rsa.PublicKey{N: testKey().N, E: 4})
	public, private := pkix(t, &testKey().PublicKey), pkcs8(t, testKey())
	tests := []struct {
		name, text  string
		wantPublic  string
		wantPrivate string
	}{
		{"nothing", " \n", "is empty", "is empty"},
		{"junk", "hello!", "not base64", "not base64"},
		{"base64 of junk", "aGVsbG8=", "neither PKIX nor PKCS#1", "neither PKCS#8 nor PKCS#1"},
		{"half a PEM", armour("PUBLIC KEY", public)[:100], "not a single complete PEM", "not a single complete PEM block"},
		{"two PEMs", armour("PUBLIC KEY", public) + armour("PUBLIC KEY", public), "not a single complete PEM", "not a single complete PEM block"},
		{"certificate", armour("CERTIFICATE", public), "certificate mode is not supported", "neither"},
		{"encrypted", armour("ENCRYPTED PRIVATE KEY", private), "this is a private key", "is encrypted"},
		{"private", armour("PRIVATE KEY", private), "this is a private key", ""},
		{"private, bare", base64.StdEncoding.EncodeToString(private), "this is a private key", ""},
		{"public", armour("PUBLIC KEY", public), "", "this is a public key"},
		{"elliptic curve", armour("PUBLIC KEY", pkix(t, &curve.PublicKey)), "not RSA", "public key"},
		{"elliptic curve, private", armour("PRIVATE KEY", pkcs8(t, curve)), "private key", "not RSA"},
		{"1023 bits", armour("PUBLIC KEY", small), "has 1023 bits, must have 1024 to 8192", "public key"},
		{"8193 bits", armour("PUBLIC KEY", large), "has 8193 bits", "public key"},
		{"even exponent", armour("PUBLIC KEY", even), "impossible exponent", "public key"},
	}
	for _, test := range tests {
		_, err := ParsePublicKey(test.text)
		checkRefusal(t, test.name, "public", err, test.wantPublic)
		_, err = ParsePrivateKey(test.text)
		checkRefusal(t, test.name, "private", err, test.wantPrivate)
	}
}

func checkRefusal(t *testing.T, name, which string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s read as %s key: got %v, want %q", name, which, err, want)
	}
}

func TestKeyErrorsDoNotQuoteTheKey(t *testing.T) {
	text := armour("PRIVATE KEY", pkcs8(t, testKey()))
	body := text[40:100]
	for _, broken := range []string{text[:len(text)-5], strings.Replace(text, body, "!"+body[1:], 1), text[30:]} {
		_, err := ParsePrivateKey(broken)
		if err == nil || strings.Contains(err.Error(), body[2:12]) {
			t.Errorf("got %v", err)
		}
	}
}

func TestNewKeySignerRefuses(t *testing.T) {
	broken := *testKey()
	broken.D = new(big.Int).Add(broken.D, big.NewInt(2))
	if _, err := NewKeySigner(&broken); err == nil {
		t.Error("a key that does not fit itself is accepted")
	}
	small := rsa.PrivateKey{PublicKey: rsa.PublicKey{N: big.NewInt(15), E: 3}}
	_, err := NewKeySigner(&small)
	checkRefusal(t, "4 bits", "private", err, "has 4 bits")
}

func FuzzParsePublicKey(f *testing.F) {
	for _, seed := range []string{"", "aGVsbG8=", "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----", "-----BEGIN ",
		"MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK==", `-----BEGIN X-----\nMAA=\n-----END X-----`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParsePublicKey(text)
		if (key == nil) == (err == nil) {
			t.Fatalf("key %v, error %v", key, err)
		}
		if err == nil && (key.N.BitLen() < MinKeyBits || key.E < 3) {
			t.Errorf("accepted %v", key)
		}
		if len(text) >= 16 && err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("the error quotes the key")
		}
	})
}
