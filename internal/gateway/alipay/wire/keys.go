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

// Sizes of RSA keys that are accepted, in bits. Below 1024 a key can be factored; above 8192 one verification would
// take an unreasonable share of a core.
const (
	MinKeyBits = 1024
	MaxKeyBits = 8192
)

// ParsePublicKey reads an RSA public key in any form that the platform's console and tools hand out: PEM or the bare
// base64 of its body, PKIX ("PUBLIC KEY") or PKCS#1 ("RSA PUBLIC KEY"), on one line or many. Errors never quote the
// text.
func ParsePublicKey(text string) (*rsa.PublicKey, error) {
	key, err := publicKey(text)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return key, nil
}

var errPrivate = errors.New("this is a private key")

func publicKey(text string) (*rsa.PublicKey, error) {
	label, der, err := unwrapKey(text)
	switch {
	case err != nil:
		return nil, err
	case strings.Contains(label, "PRIVATE KEY"):
		return nil, errPrivate
	case label == "CERTIFICATE":
		return nil, errors.New("this is a certificate; certificate mode is not supported, give its public key")
	}
	key, err := parseDER(der, x509.ParsePKIXPublicKey, x509.ParsePKCS1PublicKey, "is neither PKIX nor PKCS#1")
	if err == nil {
		return key, checkPublicKey(key)
	}
	if _, wrong := privateKeyDER(der); wrong == nil {
		return nil, errPrivate
	}
	return nil, err
}

// ParsePrivateKey reads an RSA private key: PEM or bare base64, PKCS#8 or PKCS#1. Errors never quote the text.
func ParsePrivateKey(text string) (*rsa.PrivateKey, error) {
	key, err := privateKey(text)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return key, nil
}

func privateKey(text string) (*rsa.PrivateKey, error) {
	label, der, err := unwrapKey(text)
	switch {
	case err != nil:
		return nil, err
	case strings.Contains(label, "ENCRYPTED"):
		return nil, errors.New("it is encrypted; decrypt it first")
	case strings.Contains(label, "PUBLIC KEY"):
		return nil, errors.New("this is a public key")
	}
	key, err := privateKeyDER(der)
	if err != nil {
		return nil, err
	}
	return key, checkPublicKey(&key.PublicKey)
}

func privateKeyDER(der []byte) (*rsa.PrivateKey, error) {
	return parseDER(der, x509.ParsePKCS8PrivateKey, x509.ParsePKCS1PrivateKey, "is neither PKCS#8 nor PKCS#1")
}

// parseDER reads a key in a form for keys of any algorithm, or in one for RSA alone. Neither is the error when it is in
// none of them.
func parseDER[K any](der []byte, ofAny func([]byte) (any, error), ofRSA func([]byte) (K, error), neither string) (key K, err error) {
	found, err := ofAny(der)
	if err != nil {
		if key, err = ofRSA(der); err != nil {
			err = errors.New(neither)
		}
		return key, err
	}
	key, ok := found.(K)
	if !ok {
		err = fmt.Errorf("is %T, not RSA", found)
	}
	return key, err
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

// unwrapKey removes the PEM armour, if there is one, and decodes the base64. It is more forgiving than encoding/pem: a
// key that went through a configuration file or an environment variable often lost its line breaks or kept them as \n.
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
