package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"faquan/internal/benefit"
	"faquan/internal/control"
	"faquan/internal/seal"
)

// What a weighted scene draws follows the key file: it is the same after a restart and in a copy of the store, and
// another with another key.
func TestDrawsFollowTheKeyFile(t *testing.T) {
	doc := &control.Document{Name: "test.yaml", Text: []byte(`merchants: [{name: m, recipients: open}]
apps: [{name: app, merchant: m, app_key: "12345678", app_secret: helloworld}]
templates: [{name: t, merchant: m, kind: EXCHANGE, valid: {for: 1d}}]
activities:
  - {name: a, merchant: m, items: [{template: t}]}
  - {name: b, merchant: m, items: [{template: t}]}
scenes: [{name: s, merchant: m, scene_code: S, strategy: WEIGHTED, activities: [{activity: a, weight: 1}, {activity: b, weight: 1}]}]
`)}
	ctx := context.Background()
	draws := func(dir string) (all string) {
		if err := openPlatform(ctx, location{dir: dir}, func(p control.Platform) error {
			_, err := control.Apply.On(ctx, p, doc)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		n, err := openNode(ctx, location{dir: dir}, nodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer n.close()
		var app benefit.AppID
		for app = range n.engine.Catalogue().Apps {
		}
		for k := range 40 {
			_, decision, err := n.engine.DryIssue(ctx, &benefit.Request{
				Scope: "b/draws", Key: fmt.Sprint(k), App: app, Continues: true, Params: benefit.Params{SceneCode: "S"},
				Recipient: benefit.Identifier{Type: benefit.AlipayID, Value: "2088"},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range decision.Candidates {
				if c.Chosen {
					all += c.Activity
				}
			}
		}
		return all
	}
	first, other := t.TempDir(), t.TempDir()
	want := draws(first)
	if len(want) != 40 {
		t.Fatalf("drawn %q, want 40 activities", want)
	}
	if diff := cmp.Diff(want, draws(first)); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	if draws(other) == want {
		t.Error("another key draws the same")
	}
	copied := t.TempDir()
	key, err := os.ReadFile(filepath.Join(first, seal.KeyFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(copied, seal.KeyFile), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, draws(copied)); diff != "" {
		t.Errorf("with a copy of the key (-want +got):\n%s", diff)
	}
}
