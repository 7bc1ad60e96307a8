package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"faquan/internal/catalog"
	"faquan/internal/control"
	"faquan/internal/seal"
	"faquan/internal/store/postgres"
)

// The key file of a database can be changed as the page for operators says: everything sealed goes along.
func TestKeyFileOfDatabaseIsChanged(t *testing.T) {
	store, dir, ctx := testDatabase(t), t.TempDir(), context.Background()
	at := location{dir: dir, store: store}
	doc := &control.Document{Name: "test.yaml", Text: []byte(`merchants: [{name: acme}]
apps: [{name: shop, merchant: acme, app_key: "12345678", app_secret: helloworld}]
`)}
	var before, after bytes.Buffer
	err := openPlatform(ctx, at, func(p control.Platform) error {
		if _, err := control.Apply.On(ctx, p, doc); err != nil {
			return err
		}
		key, err := catalog.NewPlatformKey()
		if err != nil {
			return err
		}
		_, err = control.RotateKey.On(ctx, p, control.PrivateKey{PrivateKey: key})
		return errors.Join(err, p.Export(ctx, &before, true))
	})
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, seal.KeySize)
	rand.Read(key)
	if err := os.WriteFile(filepath.Join(dir, seal.KeyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	complete := &control.Document{Name: "complete.yaml", Text: before.Bytes()}
	apply := func(p control.Platform) error {
		_, err := control.Apply.On(ctx, p, complete)
		return err
	}
	if err := openPlatform(ctx, at, apply); !errors.Is(err, postgres.ErrOtherKey) {
		t.Fatalf("while the database knows the old key: %v", err)
	}
	conn, err := pgx.Connect(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "UPDATE state SET key_check = NULL"); err != nil {
		t.Fatal(err)
	}
	if err := openPlatform(ctx, at, apply); err != nil {
		t.Fatal(err)
	}
	s := onDatabase(t, store, dir, nil, slog.New(slog.DiscardHandler))
	if err := s.service.Export(ctx, &after, true); err != nil {
		t.Fatal(err)
	}
	_, want, _ := bytes.Cut(before.Bytes(), []byte("\n")) // the first line has the version
	if _, got, _ := bytes.Cut(after.Bytes(), []byte("\n")); !bytes.Equal(got, want) || !bytes.Contains(got, []byte("helloworld")) {
		t.Error("the catalogue has other secrets than before")
	}
}
