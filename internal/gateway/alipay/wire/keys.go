package wire

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"faquan/internal/gateway/form"
)

// Sizes of RSA keys that are accepted, in bits. Below 1024 a key can be factored;
// above 8192 one verification would take an unreasonable share of a core.
const (
	MinKeyBits = 1024
	MaxKeyBits = 8192
)

// ParsePublicKey reads an RSA public key in any form that the platform's console
// and tools hand out: PEM or the bare base64 of its body, PKIX ("PUBLIC KEY") or
// PKCS#1 ("RSA PUBLIC KEY"), on one line or many. Errors never quote the text.
func ParsePublicKey(text string) (*rsa.PublicKey, error) {
	label, der, err := unwrapKey(text)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	switch {
	case strings.Contains(label, "PRIVATE KEY"):
		return nil, errors.New("public key: this is a private key")
	case label == "CERTIFICATE":
		return nil, errors.New("public key: this is a certificate; certificate mode is not supported, give its public key")
	}
	key, err := publicKeyDER(der)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	if err := checkPublicKey(key); err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return key, nil
}

func publicKeyDER(der []byte) (*rsa.PublicKey, error) {
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		if rsaKey, ok := key.(*rsa.PublicKey); ok {
			return rsaKey, nil
		}
		return nil, fmt.Errorf("is %T, not RSA", key)
	}
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return key, nil
	}
	if _, err := privateKeyDER(der); err == nil {
		return nil, errors.New("this is a private key")
	}
	return nil, errors.New("is neither PKIX nor PKCS#1")
}

// ParsePrivateKey reads an RSA private key: PEM or bare base64, PKCS#8 or PKCS#1.
// Errors never quote the text.
func ParsePrivateKey(text string) (*rsa.PrivateKey, error) {
	label, der, err := unwrapKey(text)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	switch {
	case strings.Contains(label, "ENCRYPTED"):
		return nil, errors.New("private key: it is encrypted; decrypt it first")
	case strings.Contains(label, "PUBLIC KEY"):
		return nil, errors.New("private key: this is a public key")
	}
	key, err := privateKeyDER(der)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	if err := checkPublicKey(&key.PublicKey); err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return key, nil
}

func privateKeyDER(der []byte) (*rsa.PrivateKey, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if rsaKey, ok := key.(*rsa.PrivateKey); ok {
			return rsaKey, nil
		}
		return nil, fmt.Errorf("is %T, not RSA", key)
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errors.New("is neither PKCS#8 nor PKCS#1")
}

func checkPublicKey(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits < MinKeyBits || bits > MaxKeyBits {
		return fmt.Errorf("has %d bits, must have %d to %d", bits, MinKeyBits, MaxKeyBits)
	}
	if key.E < 3 || key.E%2 == 0 {
		return errors.New("has an impossible exponent")
	}
	return nil
}

// unwrapKey takes the PEM armour off, if there is one, and decodes the base64.
// It is more forgiving than encoding/pem: a key that went through a configuration
// file or an environment variable often lost its line breaks or kept them as \n.
func unwrapKey(text string) (label string, der []byte, err error) {
	text = strings.TrimSpace(strings.ReplaceAll(form.WithoutBOM(text), `\n`, "\n"))
	if text == "" {
		return "", nil, errors.New("is empty")
	}
	if rest, isPEM := strings.CutPrefix(text, "-----BEGIN "); isPEM {
		var body string
		var okHead, okFoot bool
		label, rest, okHead = strings.Cut(rest, "-----")
		body, rest, okFoot = strings.Cut(rest, "-----END "+label+"-----")
		if !okHead || !okFoot || strings.TrimSpace(rest) != "" {
			return "", nil, errors.New("is not a single complete PEM block")
		}
		text = body
	}
	der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return "", nil, errors.New("is not base64")
	}
	return label, der, nil
}
