package benefit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// EntityKind describes what the body of an Entity is.
type EntityKind uint8

// The kinds of catalogue entities. The numbers are stored.
const (
	MerchantEntity     EntityKind = 1
	AppEntity          EntityKind = 2
	TemplateEntity     EntityKind = 3
	ActivityEntity     EntityKind = 4
	SceneEntity        EntityKind = 5
	PlatformEntity     EntityKind = 6 // the platform's own settings; not part of a Catalogue
	SubscriptionEntity EntityKind = 7
)

// Entity is one catalogue entity as stores keep it: they need to know nothing more of it.
type Entity struct {
	Kind EntityKind
	ID   int64
	Body []byte // JSON
}

// EntityKey names an entity.
type EntityKey struct {
	Kind EntityKind
	ID   int64
}

// EntityVersionKey names a form that an entity has had.
type EntityVersionKey struct {
	Version int64
	EntityKey
}

// EntityVersion is an entity as a version of the catalogue brought it.
type EntityVersion struct {
	Version int64
	Entity
}

// CatalogueChange notes who made a version of the catalogue, when, and by which command.
type CatalogueChange struct {
	Version int64
	At      Instant
	By      string // a user of the machine
	Command string // such as apply
}

// EntityOf makes the stored form of a merchant, app, template, activity, scene or subscription.
func EntityOf(v any) (Entity, error) {
	var e Entity
	switch v := v.(type) {
	case *Merchant:
		e.Kind, e.ID = MerchantEntity, int64(v.ID)
	case *App:
		e.Kind, e.ID = AppEntity, int64(v.ID)
	case *Template:
		e.Kind, e.ID = TemplateEntity, int64(v.ID)
	case *Activity:
		e.Kind, e.ID = ActivityEntity, int64(v.ID)
	case *Scene:
		e.Kind, e.ID = SceneEntity, int64(v.ID)
	case *Subscription:
		e.Kind, e.ID = SubscriptionEntity, int64(v.ID)
	default:
		return e, fmt.Errorf("benefit: a %T is not a catalogue entity", v)
	}
	var err error
	e.Body, err = json.Marshal(v)
	return e, err
}

// CatalogueOf builds the snapshot of a version from all its entities. It passes over the platform's settings, and refuses a
// kind that this version does not know, because it would silently ignore what an operator has set.
func CatalogueOf(version int64, entities []Entity) (*Catalogue, error) {
	var (
		merchants     []*Merchant
		apps          []*App
		templates     []*Template
		activities    []*Activity
		scenes        []*Scene
		subscriptions []*Subscription
	)
	for _, e := range entities {
		var err error
		switch e.Kind {
		case MerchantEntity:
			err = decodeInto(&merchants, e)
		case AppEntity:
			err = decodeInto(&apps, e)
		case TemplateEntity:
			err = decodeInto(&templates, e)
		case ActivityEntity:
			err = decodeInto(&activities, e)
		case SceneEntity:
			err = decodeInto(&scenes, e)
		case SubscriptionEntity:
			err = decodeInto(&subscriptions, e)
		case PlatformEntity:
		default: //guard:TestEntitiesThatAreNone
			err = errNewerEntity
		}
		if err != nil {
			return nil, fmt.Errorf("catalogue entity %d/%d: %w", e.Kind, e.ID, err)
		}
	}
	return NewCatalogue(version, merchants, apps, templates, activities, scenes, subscriptions...), nil
}

var errNewerEntity = errors.New("this version does not know the kind: a newer faquan wrote it")

func decodeInto[T any](all *[]*T, e Entity) error {
	v := new(T)
	if err := json.Unmarshal(e.Body, v); err != nil {
		return err
	}
	*all = append(*all, v)
	return nil
}

// SortEntities sorts entities by kind and id, and returns them.
func SortEntities(all []Entity) []Entity {
	slices.SortFunc(all, func(a, b Entity) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
	return all
}
