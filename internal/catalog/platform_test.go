package catalog

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"faquan/internal/benefit"
)

func (w *world) change(fn ChangeFunc) *benefit.Changes {
	w.t.Helper()
	changes, err := fn(context.Background(), w.reader(), w.catalogue(), w.env)
	if err != nil {
		w.t.Fatal(err)
	}
	if changes != nil {
		w.commit(changes)
	}
	return changes
}

func (w *world) platformKey() *rsa.PrivateKey {
	w.t.Helper()
	entities, _, err := w.reader().Entities(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	platform, err := PlatformOf(entities)
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := platform.Key(w.box)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

func TestThePlatformsKeyIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	if w.platformKey() != nil {
		t.Fatal("an empty store has a key")
	}
	w.change(EnsurePlatformKey(w.box))
	first := w.platformKey()
	if first == nil || first.N.BitLen() != 2048 || w.catalogue().Version != 1 {
		t.Fatalf("version %d", w.catalogue().Version)
	}
	if again := w.change(EnsurePlatformKey(w.box)); again != nil || !w.platformKey().Equal(first) {
		t.Error("a second key was made")
	}
	if plan := w.mustApply(string(example(t))); w.platformKey().Equal(first) {
		t.Errorf("the file's key was not taken: %+v", plan)
	}
}

func TestThePlatformsKeyIsRotated(t *testing.T) {
	w := newWorld(t)
	w.change(EnsurePlatformKey(w.box))
	next, err := NewPlatformKey()
	if err != nil {
		t.Fatal(err)
	}
	w.change(RotatePlatformKey(w.box, next))
	if !w.platformKey().Equal(next) || w.catalogue().Version != 2 {
		t.Error("the key is another one")
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RotatePlatformKey(w.box, weak)(context.Background(), w.reader(), w.catalogue(), w.env); err == nil {
		t.Error("a weak key was taken")
	}
}

// A key file may begin with a byte order mark, as the catalogue file itself may.
func TestKeyFilesAfterByteOrderMarks(t *testing.T) {
	files := map[string]bool{}
	f, err := Parse("catalog.yaml", []byte("\uFEFF"+string(example(t))), func(name string) ([]byte, error) {
		data, err := readKeyFile(name)
		files[name] = true
		return append([]byte("\uFEFF"), data...), err
	})
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	plain, err := Parse("catalog.yaml", example(t), readKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if !f.platform.key.Equal(plain.platform.key) {
		t.Error("the platform's key is another one")
	}
	for k := range plain.apps {
		if f.apps[k].app.PublicKey != plain.apps[k].app.PublicKey {
			t.Errorf("the key of %s is another one", plain.apps[k].app.Name)
		}
	}
}

func TestSealedValues(t *testing.T) {
	ctx := context.Background()
	for text, want := range map[string]bool{
		`merchants: [{name: m}]`: false,
		`{merchants: [{name: m}], apps: [{name: a, merchant: m, app_id: x, public_key_file: app_public.pem}]}`: false,
		`{merchants: [{name: m}], apps: [{name: a, merchant: m, app_key: x, app_secret: s}]}`:                  true,
		`platform: {alipay_private_key_file: gateway_private_pkcs8.pem}`:                                       true,
	} {
		w := newWorld(t)
		w.mustApply(text)
		entities, _, err := w.reader().Entities(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := SealedValues(entities); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
