package control

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/engine"
	"faquan/internal/gateway"
	"faquan/internal/seal"
	"faquan/internal/store"
)

// Platform carries out the calls of the commands on a data directory: a Service in this process, or a Client, which
// asks the Service of another.
type Platform interface {
	// Export writes the whole catalogue as a file, with or without the secrets.
	Export(ctx context.Context, w io.Writer, secrets bool) error
}

var (
	_ Platform = (*Service)(nil)
	_ Platform = (*Client)(nil)
)

// The calls about the catalogue and the platform's key: see the methods of Service.
var (
	Apply     = newCall("/apply", "Applying the same file again is safe", (*Service).Apply)
	Diff      = newCall("/diff", "", (*Service).Diff)
	PublicKey = newCall("/key/show", "", (*Service).publicKey)
	RotateKey = newCall("/key/rotate", "Compare `faquan key show` with the key that callers have, or rotate again", (*Service).RotateKey)
	Settle    = newCall("/settle", "", (*Service).settle)
)

// None is what a call takes or returns that takes or returns nothing.
type None struct{}

// Document is a catalogue file with the key files that it names.
type Document struct {
	Name     string // for problems
	Text     []byte
	Attached map[string][]byte // the key files, by their names in the text
	// AllowUncapped allows the file to remove caps and limits of templates that are not drafts.
	AllowUncapped bool
}

// ReadDocument reads a catalogue file, "-" for standard input, and the key files that it names, whose paths are relative
// to it. A file that is wrong in itself is refused here already, with catalog.Problems.
func ReadDocument(path string, stdin io.Reader) (*Document, error) {
	d := &Document{Name: path}
	dir := filepath.Dir(path)
	var err error
	if path == "-" {
		d.Name, dir = "standard input", "."
		d.Text, err = io.ReadAll(stdin)
	} else {
		d.Text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	file, err := catalog.Parse(d.Name, d.Text, func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return os.ReadFile(name)
	})
	if err != nil {
		return nil, err
	}
	d.Attached = file.Attached()
	return d, nil
}

func (d *Document) parse() (*catalog.File, error) {
	file, err := catalog.Parse(d.Name, d.Text, func(name string) ([]byte, error) {
		data, ok := d.Attached[name]
		if !ok {
			return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
		}
		return data, nil
	})
	if err != nil {
		return nil, err
	}
	file.AllowUncapped, file.Now = d.AllowUncapped, benefit.InstantOf(time.Now())
	return file, nil
}

// RefusalFinder finds calls that issued nothing: those of a process, or those that one left in its files.
type RefusalFinder interface {
	// Find returns those that match, newest first, at most limit.
	Find(match func(*gateway.Record) bool, limit int) ([]gateway.Record, error)
}

// Service does the work of the calls in the process that has the store open.
type Service struct {
	Store  store.Store
	Engine *engine.Engine
	Box    *seal.Box
	// Refusals finds the calls that issued nothing.
	Refusals RefusalFinder
	// Health returns how this process does; nil when it does not serve.
	Health func() Health
	// FeedKeep is how old the events from start are; 0 is 7 days.
	FeedKeep time.Duration
	// Sequence, unless nil, puts into the feed all that was committed before the call. It is called before each page of events.
	Sequence func(ctx context.Context) error
	// Changed, unless nil, is called after every committed change, so that the gateways reload what they derived from the
	// store before the command that made the change returns.
	Changed func(ctx context.Context) error
}

// Apply applies a catalogue file as a whole or not at all; the error of a file that does not fit is catalog.Problems. When
// it returns a plan without error, the plan is in force and durable.
func (d *Service) Apply(ctx context.Context, doc *Document) (*catalog.Plan, error) {
	file, err := doc.parse()
	if err != nil {
		return nil, err
	}
	var plan *catalog.Plan
	err = d.change(ctx, "apply", func(
		ctx context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env,
	) (changes *benefit.Changes, err error) {
		changes, plan, err = file.Changes(ctx, r, cat, env, d.Box)
		return changes, err
	})
	if err != nil {
		return nil, err
	}
	plan.Applied = true
	return plan, nil
}

// Diff returns the plan of Apply without applying it.
func (d *Service) Diff(ctx context.Context, doc *Document) (*catalog.Plan, error) {
	file, err := doc.parse()
	if err != nil {
		return nil, err
	}
	r, err := d.Store.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cat, err := catalogueOf(ctx, r)
	if err != nil {
		return nil, err
	}
	return file.Plan(ctx, r, cat, d.Box)
}

// Export writes the whole catalogue as a file, with or without the secrets.
func (d *Service) Export(ctx context.Context, w io.Writer, secrets bool) error {
	r, err := d.Store.Read(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	cat, err := catalogueOf(ctx, r)
	if err != nil {
		return err
	}
	var o catalog.ExportOptions
	if secrets {
		o.Secrets = d.Box
	}
	return catalog.Export(ctx, w, r, cat, o)
}

// catalogueOf returns the catalogue of the reader's snapshot; the engine's may be newer.
func catalogueOf(ctx context.Context, r store.Reader) (*benefit.Catalogue, error) {
	entities, version, err := r.Entities(ctx)
	if err != nil {
		return nil, err
	}
	return benefit.CatalogueOf(version, entities)
}

// publicKey returns the platform's key, by which callers verify Alipay answers; nil before there is one.
func (d *Service) publicKey(ctx context.Context, _ None) (*rsa.PublicKey, error) {
	key, err := d.PrivateKey(ctx)
	if key == nil || err != nil {
		return nil, err
	}
	return &key.PublicKey, nil
}

// PrivateKey returns the platform's key, with which the gateway signs; nil before there is one.
func (d *Service) PrivateKey(ctx context.Context) (*rsa.PrivateKey, error) {
	entities, _, err := d.Store.Entities(ctx)
	if err != nil {
		return nil, err
	}
	platform, err := catalog.PlatformOf(entities)
	if err != nil {
		return nil, err
	}
	return platform.Key(d.Box)
}

// PrivateKey is a key of the platform; its JSON is a string, the PKCS#8 in base64.
type PrivateKey struct{ *rsa.PrivateKey }

func (k PrivateKey) MarshalJSON() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.PrivateKey)
	if err != nil {
		return nil, err
	}
	return json.Marshal(der)
}

func (k *PrivateKey) UnmarshalJSON(text []byte) error {
	var der []byte
	if err := json.Unmarshal(text, &der); err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	var ok bool
	if k.PrivateKey, ok = key.(*rsa.PrivateKey); !ok {
		return fmt.Errorf("the key is a %T, not an RSA key", key)
	}
	return nil
}

// RotateKey replaces the private key; the new one is in force at once.
func (d *Service) RotateKey(ctx context.Context, key PrivateKey) (none None, err error) {
	return none, d.change(ctx, "key rotate", engine.ChangeFunc(catalog.RotatePlatformKey(d.Box, key.PrivateKey)))
}

// EnsureKey makes the platform's key if there is none.
func (d *Service) EnsureKey(ctx context.Context) error {
	if key, err := d.PrivateKey(ctx); key != nil || err != nil {
		return err
	}
	return d.change(ctx, "serve", engine.ChangeFunc(catalog.EnsurePlatformKey(d.Box)))
}

// settle writes what was committed so far to the directory's files, so that a reader of the files sees it: a store's
// reader sees everything committed before it was opened.
func (d *Service) settle(ctx context.Context, _ None) (none None, err error) {
	r, err := d.Store.Read(ctx)
	if err != nil {
		return none, err
	}
	return none, r.Close()
}

// errNotShown is returned when a change is durable, but the gateways failed to load it.
var errNotShown = errors.New("the change is stored, but the gateway reload failed; restart faquan serve")

// change commits a change. One that makes a version of the catalogue is noted with the user and the command.
func (d *Service) change(ctx context.Context, command string, fn engine.ChangeFunc) error {
	noted := func(ctx context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error) {
		changes, err := fn(ctx, r, cat, env)
		if err == nil && changes != nil && changes.Catalogue != 0 { //guard:TestHistory
			note := benefit.CatalogueChange{Version: changes.Catalogue, At: d.now(), By: userOf(ctx), Command: command}
			changes.Rows = append(changes.Rows, benefit.CatalogueChanges.Rows(note))
		}
		return changes, err
	}
	if err := d.Engine.Change(ctx, noted); err != nil {
		return err
	}
	if d.Changed == nil {
		return nil
	}
	if err := d.Changed(context.WithoutCancel(ctx)); err != nil { // the caller may have gone
		return fmt.Errorf("%w: %w", errNotShown, err)
	}
	return nil
}

// changing returns change for a command.
func (d *Service) changing(command string) func(context.Context, engine.ChangeFunc) error {
	return func(ctx context.Context, fn engine.ChangeFunc) error { return d.change(ctx, command, fn) }
}
