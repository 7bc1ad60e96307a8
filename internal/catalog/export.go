package catalog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"iter"

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
	e := &exporter{ctx: ctx, w: bufio.NewWriter(w), r: r, cat: cat, in: namesOf(cat), box: options.Secrets}
	fmt.Fprintf(e.w, "# The catalogue, version %d.\n", cat.Version)
	if e.box == nil {
		e.w.WriteString("# Secrets and sessions are left out; applying this file keeps those that exist.\n")
	}
	for _, part := range []func() error{e.platform, e.entities, e.sessions} {
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
	cat *benefit.Catalogue
	in  names
	box *seal.Box
}

func (e *exporter) platform() error {
	if e.box == nil {
		return nil
	}
	entities, _, err := e.r.Entities(e.ctx)
	if err != nil {
		return err
	}
	platform, err := PlatformOf(entities)
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
	m, inner := newMapping(), newMapping()
	inner.text("alipay_private_key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	m.nested("platform", inner)
	e.w.WriteByte('\n')
	return e.encode(m.Node, "")
}

func (e *exporter) entities() error {
	node := func(v any) (*yaml.Node, error) { return entityNode(v, e.in), nil }
	if err := e.list("merchants", inOrder(e.cat.Merchants), node); err != nil {
		return err
	}
	app := func(v any) (*yaml.Node, error) { return e.app(v.(*benefit.App)) }
	if err := e.list("apps", inOrder(e.cat.Apps), app); err != nil {
		return err
	}
	user := func(v any) (*yaml.Node, error) { return userNode(v.(*benefit.User), e.in.app), nil }
	if err := e.list("users", anyOf(e.r.AllUsers(e.ctx)), user); err != nil {
		return err
	}
	if err := e.list("templates", inOrder(e.cat.Templates), node); err != nil {
		return err
	}
	if err := e.list("activities", inOrder(e.cat.Activities), node); err != nil {
		return err
	}
	return e.list("scenes", inOrder(e.cat.Scenes), node)
}

func (e *exporter) app(a *benefit.App) (*yaml.Node, error) {
	if e.box == nil || a.AppSecret == nil {
		return appNode(a, "", e.in), nil
	}
	opened, err := e.box.Open(a.AppSecret, appSecret(a.ID))
	if err != nil {
		return nil, err
	}
	return appNode(a, string(opened), e.in), nil
}

func (e *exporter) sessions() error {
	if e.box == nil {
		return nil
	}
	return e.list("sessions", anyOf(e.goodSessions()), func(v any) (*yaml.Node, error) {
		s := v.(*benefit.Session)
		key, err := e.box.Open(s.Sealed, SessionKey(s.Digest))
		if err != nil {
			return nil, err
		}
		user := ""
		if s.User != 0 {
			u, err := e.r.User(e.ctx, s.User)
			if err != nil {
				return nil, err
			}
			user = userRef(u, e.in.app)
		}
		return sessionNode(s, string(key), user, e.in), nil
	})
}

// goodSessions returns the sessions that a call may use. Others are not exported: in another store revoked ones would be
// valid, and codes and refresh tokens would become sessions.
func (e *exporter) goodSessions() iter.Seq2[*benefit.Session, error] {
	return func(yield func(*benefit.Session, error) bool) {
		for s, err := range store.All(e.ctx, e.r, benefit.Sessions) {
			if err == nil && (s.Kind != benefit.AccessSession || s.Ended != 0) { //guard:TestRevokedSessionStaysRevoked
				continue
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// anyOf returns the sequence with elements of type any.
func anyOf[T any](all iter.Seq2[T, error]) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for v, err := range all {
			if !yield(v, err) {
				return
			}
		}
	}
}

// inOrder returns the entities of one kind in the order of their ids.
func inOrder[ID ~int64, T any](all map[ID]*T) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for _, v := range newTable("", all, func(*T) string { return "" }).values() {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// list writes the list of one kind, one element at a time; nothing when it has none.
func (e *exporter) list(title string, all iter.Seq2[any, error], node func(any) (*yaml.Node, error)) error {
	first := true
	for v, err := range all {
		if err != nil {
			return err
		}
		n, err := node(v)
		if err != nil {
			return err
		}
		if first {
			fmt.Fprintf(e.w, "\n%s:\n", title)
			first = false
		}
		if err := e.encode(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}, "  "); err != nil {
			return err
		}
	}
	return nil
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
