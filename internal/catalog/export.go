package catalog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"faquan/internal/benefit"
	"faquan/internal/seal"
	"faquan/internal/store"
)

// ExportOptions are the options of Export.
type ExportOptions struct {
	// Secrets opens app secrets, session keys and the platform's private key, which are then written in plain text.
	// When it is nil they are left out, and so are sessions, which are useless without their key.
	Secrets *seal.Box
}

// Export writes the catalogue as a file. Applied to an empty store, a file with the secrets makes the same catalogue;
// applied to the same store, it changes nothing. Entities are in the order in which they were made, users and sessions in
// the order of their keys. Users are written while they are read, so their number costs no memory.
func Export(ctx context.Context, w io.Writer, r store.Reader, cat *benefit.Catalogue, options ExportOptions) error {
	e := &exporter{ctx: ctx, w: bufio.NewWriter(w), r: r, tables: tablesOf(cat), box: options.Secrets}
	fmt.Fprintf(e.w, "# The catalogue, version %d.\n", cat.Version)
	if e.box == nil {
		e.w.WriteString("# Secrets and sessions are left out; applying this file keeps those that exist.\n")
	}
	for _, part := range []func() error{
		e.platform,
		func() error { return exportTable(e, "merchants", e.merchants) },
		e.appsWithSecrets,
		e.users,
		func() error { return exportTable(e, "templates", e.templates) },
		func() error { return exportTable(e, "activities", e.activities) },
		func() error { return exportTable(e, "scenes", e.scenes) },
		func() error { return exportTable(e, "subscriptions", e.subscriptions) },
		e.sessions,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return e.w.Flush()
}

type exporter struct {
	ctx context.Context
	w   *bufio.Writer
	r   store.Reader
	*tables
	box   *seal.Box
	title string // of the list that was begun last
}

func (e *exporter) platform() error {
	if e.box == nil {
		return nil
	}
	platform, err := storedPlatform(e.ctx, e.r)
	if err != nil {
		return err
	}
	key, err := platform.Key(e.box)
	if err != nil || key == nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	m := newMapping()
	m.nested("platform", platformNode(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))))
	e.w.WriteByte('\n')
	return e.encode(m.Node, "")
}

func exportTable[ID ~int64, T any](e *exporter, title string, t *table[ID, T]) error {
	for _, id := range t.ids() {
		if err := e.add(title, t.node(t.all[id], e.tables)); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) appsWithSecrets() error {
	for _, id := range e.apps.ids() {
		a, secret := e.apps.all[id], ""
		if e.box != nil {
			var err error
			if secret, err = AppSecret(a, e.box); err != nil {
				return err
			}
		}
		if err := e.add("apps", appNodeWith(a, secret, e.tables)); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) users() error {
	for u, err := range e.r.AllUsers(e.ctx) {
		if err != nil {
			return err
		}
		if err := e.add("users", userNode(u, e.tables)); err != nil {
			return err
		}
	}
	return nil
}

// sessions writes the sessions that a call may use. Others are not exported: in another store revoked ones would be
// valid, and codes and refresh tokens would become sessions.
func (e *exporter) sessions() error {
	if e.box == nil {
		return nil
	}
	for s, err := range store.All(e.ctx, e.r, benefit.Sessions) {
		if err != nil {
			return err
		}
		if s.Kind != benefit.AccessSession || s.Ended != 0 { //guard:TestRevokedSessionStaysRevoked
			continue
		}
		key, err := e.box.Open(s.Sealed, SessionKey(s.Digest))
		if err != nil {
			return err
		}
		user, err := userText(e.ctx, e.r, s.User, e.tables)
		if err != nil {
			return err
		}
		if err := e.add("sessions", sessionNode(s, string(key), user, e.tables)); err != nil {
			return err
		}
	}
	return nil
}

// add writes an element of a list; before the first one, its title.
func (e *exporter) add(title string, element mapping) error {
	if title != e.title {
		fmt.Fprintf(e.w, "\n%s:\n", title)
		e.title = title
	}
	return e.encode(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{element.Node}}, "  ")
}

// encode writes a node with every line indented.
func (e *exporter) encode(n *yaml.Node, indent string) error {
	var text bytes.Buffer
	out := yaml.NewEncoder(&text)
	out.SetIndent(2)
	if err := out.Encode(n); err != nil {
		return err
	}
	for line := range bytes.Lines(text.Bytes()) {
		e.w.WriteString(indent)
		if _, err := e.w.Write(line); err != nil {
			return err
		}
	}
	return nil
}
