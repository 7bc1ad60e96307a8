package catalog

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"sync"
	"testing"
	"unicode"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/seal"
	"faquan/internal/store"
	"faquan/internal/store/memory"
)

// keyFiles are the files that the example names, made once: RSA keys take a while.
var keyFiles = sync.OnceValue(func() map[string][]byte {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		panic(err)
	}
	return map[string][]byte{
		"gateway_private_pkcs8.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		"app_public.pem":            pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix}),
	}
})

func readKeyFile(name string) ([]byte, error) {
	if data, ok := keyFiles()[name]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
}

func example(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// world is a store, and what is needed to apply files to it.
type world struct {
	t     testing.TB
	store store.Store
	env   benefit.Env
	box   *seal.Box
}

func newWorld(t testing.TB) *world {
	t.Helper()
	box, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	draws := mathrand.New(mathrand.NewPCG(1, 2))
	return &world{t: t, store: memory.New(), box: box, env: benefit.Env{IDs: id.NewGenerator(draws, 0), Rand: draws}}
}

func (w *world) reader() store.Reader {
	w.t.Helper()
	r, err := w.store.Read(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { r.Close() })
	return r
}

func (w *world) catalogue() *benefit.Catalogue {
	w.t.Helper()
	entities, version, err := w.reader().Entities(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	cat, err := benefit.CatalogueOf(version, entities)
	if err != nil {
		w.t.Fatal(err)
	}
	return cat
}

func (w *world) commit(changes *benefit.Changes) {
	w.t.Helper()
	tx, err := w.store.Begin(context.Background(), 1_700_000_000_000)
	if err != nil {
		w.t.Fatal(err)
	}
	defer tx.Rollback()
	changes.Now = tx.Now()
	if err := tx.Commit(context.Background(), changes); err != nil {
		w.t.Fatal(err)
	}
}

// apply parses and commits a text, and returns the plan.
func (w *world) apply(text string) (*Plan, error) {
	w.t.Helper()
	f, err := Parse("catalog.yaml", []byte(text), readKeyFile)
	if err != nil {
		return nil, err
	}
	changes, plan, err := f.Changes(context.Background(), w.reader(), w.catalogue(), w.env, w.box)
	if err != nil {
		return nil, err
	}
	if !changes.Empty() {
		w.commit(changes)
	}
	return plan, nil
}

// mustApply is apply for a text that must be accepted.
func (w *world) mustApply(text string) *Plan {
	w.t.Helper()
	plan, err := w.apply(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan
}

func (w *world) export(secrets bool) string {
	w.t.Helper()
	var out bytes.Buffer
	options := ExportOptions{}
	if secrets {
		options.Secrets = w.box
	}
	if err := Export(context.Background(), &out, w.reader(), w.catalogue(), options); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

func fenOf(n int64) money.Fen { return money.Fen(n) }

// asciiGraphic are the visible characters of ASCII, each of which has a meaning somewhere in YAML.
var asciiGraphic = &unicode.RangeTable{R16: []unicode.Range16{{Lo: ' ', Hi: '~', Stride: 1}}, LatinOffset: 1}
