package catalog

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
)

// refusedCase is one case of testdata/refused.txt.
type refusedCase struct {
	name, text string
	want       []Problem // reasons are parts
}

func refusedCases(t testing.TB) []refusedCase {
	t.Helper()
	data, err := os.ReadFile("testdata/refused.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []refusedCase
	for k, part := range strings.Split("\n"+string(data), "\n=== ") {
		if k == 0 {
			continue // the introduction
		}
		name, text, _ := strings.Cut(part, "\n")
		c := refusedCase{name: name, text: text}
		for n, line := range strings.Split(text, "\n") {
			for _, reason := range strings.Split(line, "#!")[1:] {
				c.want = append(c.want, Problem{Line: n + 1, Reason: strings.TrimSpace(reason)})
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// oddKeys are key files that are refused.
func oddKeys(t testing.TB) map[string][]byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	// A key of 512 bits, in the right form.
	small, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 511, 1), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"private1024.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"small.pem":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: small}),
	}
}

func TestWrongFilesAreRefused(t *testing.T) {
	odd := oddKeys(t)
	for name, data := range odd {
		keyFiles()[name] = data
	}
	defer func() {
		for name := range odd {
			delete(keyFiles(), name)
		}
	}()
	for _, c := range refusedCases(t) {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.apply(c.text)
			var got Problems
			if !errors.As(err, &got) {
				t.Fatalf("%v; want Problems", err)
			}
			for _, want := range c.want {
				k := slices.IndexFunc(got, func(p Problem) bool { return p.Line == want.Line && strings.Contains(p.Reason, want.Reason) })
				if k < 0 {
					t.Errorf("not reported: %d: %s", want.Line, want.Reason)
					continue
				}
				if p := got[k]; p.Error() != fmt.Sprintf("catalog.yaml:%d: %s", p.Line, p.Reason) {
					t.Errorf("the text of the problem: %s", p)
				}
				got = slices.Delete(got, k, k+1)
			}
			for _, p := range got {
				t.Errorf("reported as well: %s", p)
			}
			if cat := w.catalogue(); cat.Version != 0 || len(cat.Merchants) != 0 {
				t.Errorf("something was applied: version %d", cat.Version)
			}
		})
	}
}
