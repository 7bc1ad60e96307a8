package control

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/gateway"
	"faquan/internal/issuing"
	"faquan/internal/seal"
	"faquan/internal/session"
	"faquan/internal/store"
)

// Platform is what the commands do with a data directory.
type Platform interface {
	// Apply applies a catalogue file as a whole, or nothing of it; a file that does not fit is catalog.Problems.
	// When it returns a plan without error, the plan is in force and durable.
	Apply(ctx context.Context, d *Document) (*catalog.Plan, error)
	// Diff is the plan of Apply without its effect.
	Diff(ctx context.Context, d *Document) (*catalog.Plan, error)
	// Export writes the whole catalogue as a file, with the secrets only if asked.
	Export(ctx context.Context, w io.Writer, secrets bool) error
	// PublicKey is the platform's key, by which callers verify Alipay answers; nil before there is one.
	PublicKey(ctx context.Context) (*rsa.PublicKey, error)
	// RotateKey puts another private key in its place, in force at once.
	RotateKey(ctx context.Context, key *rsa.PrivateKey) error
	// Decide tells how a request would be decided now, without issuing anything.
	Decide(ctx context.Context, q *Question, unmasked bool) (*Told, error)
	// Find tells of decisions that were made, oldest first (refusals newest first); ErrNotFound when there are none.
	Find(ctx context.Context, s *Search) ([]*Told, error)

	// NewSession gives a session out; the answer has its key. RevokeSession ends one, and what belongs to it, and
	// says how many ended; ListSessions shows what there is, but for the keys. See package session.
	NewSession(ctx context.Context, o session.Order) (*session.Grant, error)
	RevokeSession(ctx context.Context, name string) (ended int, err error)
	ListSessions(ctx context.Context, f session.Filter) ([]session.Info, error)

	// Settle writes out what was committed so far, so that a reader of the directory's files sees it.
	Settle(ctx context.Context) error
}

// Document is a catalogue file with the key files that it names.
type Document struct {
	Name     string // for problems
	Text     []byte
	Attached map[string][]byte // the key files, under the names that the text gives them
	// AllowUncapped confirms that templates that issue may lose caps and limits.
	AllowUncapped bool
}

// ReadDocument reads a catalogue file, "-" for the standard input, and the key files that it names, whose places
// are relative to its own. A file that is wrong in itself is refused here already, with catalog.Problems.
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

// Desk is the Platform of the process that has the store open.
type Desk struct {
	Store  store.Store
	Issuer *issuing.Issuer
	Box    *seal.Box
	// Refusals are the calls that issued nothing, of a process that has gateways.
	Refusals *gateway.Refusals
	// Changed, unless nil, is called after every change was committed, so that what a gateway derived from the
	// store is derived again before the command that made the change returns.
	Changed func(ctx context.Context) error
}

var _ Platform = (*Desk)(nil)

// Apply implements Platform.
func (d *Desk) Apply(ctx context.Context, doc *Document) (*catalog.Plan, error) {
	file, err := doc.parse()
	if err != nil {
		return nil, err
	}
	var plan *catalog.Plan
	err = d.change(ctx, func(
		ctx context.Context, r store.Reader, cat *benefit.Catalogue, env benefit.Env,
	) (changes *benefit.Changes, err error) {
		changes, plan, err = file.Changes(ctx, r, cat, env, d.Box)
		return changes, err
	})
	if err != nil {
		return nil, advised(err, applyAgain)
	}
	plan.Applied = true
	return plan, nil
}

// Diff implements Platform.
func (d *Desk) Diff(ctx context.Context, doc *Document) (*catalog.Plan, error) {
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

// Export implements Platform.
func (d *Desk) Export(ctx context.Context, w io.Writer, secrets bool) error {
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

// catalogueOf is the catalogue of the reader's snapshot; the issuer's may be a newer one.
func catalogueOf(ctx context.Context, r store.Reader) (*benefit.Catalogue, error) {
	entities, version, err := r.Entities(ctx)
	if err != nil {
		return nil, err
	}
	return benefit.CatalogueOf(version, entities)
}

// PublicKey implements Platform.
func (d *Desk) PublicKey(ctx context.Context) (*rsa.PublicKey, error) {
	key, err := d.PrivateKey(ctx)
	if key == nil || err != nil {
		return nil, err
	}
	return &key.PublicKey, nil
}

// PrivateKey is the platform's key, with which the gateway signs; nil before there is one.
func (d *Desk) PrivateKey(ctx context.Context) (*rsa.PrivateKey, error) {
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

// RotateKey implements Platform.
func (d *Desk) RotateKey(ctx context.Context, key *rsa.PrivateKey) error {
	return advised(d.change(ctx, issuing.ChangeFunc(catalog.RotatePlatformKey(d.Box, key))), rotateAgain)
}

// EnsureKey makes the platform's key when there is none.
func (d *Desk) EnsureKey(ctx context.Context) error {
	if key, err := d.PrivateKey(ctx); key != nil || err != nil {
		return err
	}
	return d.change(ctx, issuing.ChangeFunc(catalog.EnsurePlatformKey(d.Box)))
}

// Settle implements Platform: a reader sees everything committed before it was opened.
func (d *Desk) Settle(ctx context.Context) error {
	r, err := d.Store.Read(ctx)
	if err != nil {
		return err
	}
	return r.Close()
}

// errNotShown says that a change is durable although something went wrong after it.
var errNotShown = errors.New("the change is stored, but the gateway reload failed; restart faquan serve")

func (d *Desk) change(ctx context.Context, fn issuing.ChangeFunc) error {
	if err := d.Issuer.Change(ctx, fn); err != nil {
		return err
	}
	if d.Changed == nil {
		return nil
	}
	if err := d.Changed(context.WithoutCancel(ctx)); err != nil { // whoever asked may have left
		return fmt.Errorf("%w: %w", errNotShown, err)
	}
	return nil
}
