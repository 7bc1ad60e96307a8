package benefit

import "slices"

// Merchant owns templates, activities, scenes and subscriptions.
type Merchant struct {
	ID       MerchantID `json:"id"`
	Name     string     `json:"name"`
	Title    string     `json:"title,omitzero"`
	SellerID int64      `json:"seller_id,omitzero"` // purchaser_id on TOP
	// Open accepts an unknown primary identifier as a recipient of the merchant's templates; otherwise every
	// recipient must be known.
	Open bool `json:"open,omitzero"`
	// UserTypes are the types of primary identifiers that an Open merchant accepts. Empty means any, as for merchants
	// stored before the field existed.
	UserTypes []string `json:"user_types,omitzero"`
	// AnyUserID accepts any ALIPAY identifier as a user_id on the Alipay gateway, for test data. Otherwise it must be one
	// of the platform's form.
	AnyUserID bool `json:"any_user_id,omitzero"`
}

// TakesType reports whether the merchant, if it is Open, accepts recipients that are named by identifiers of the type.
// Aliases never create a user, so they are in no list.
func (m *Merchant) TakesType(t string) bool {
	return len(m.UserTypes) == 0 || IsAlias(t) || slices.Contains(m.UserTypes, t)
}

// App is an open-platform caller. Its secrets are sealed: only the service that holds the key file opens them.
type App struct {
	ID       AppID      `json:"id"`
	Name     string     `json:"name"`
	Merchant MerchantID `json:"merchant"`

	AppKey    string   `json:"app_key,omitzero"`    // on TOP
	AppSecret []byte   `json:"app_secret,omitzero"` // sealed
	AppID     string   `json:"app_id,omitzero"`     // on Alipay
	PublicKey string   `json:"public_key,omitzero"` // PEM, PKIX
	SignTypes []string `json:"sign_types,omitzero"` // RSA2, RSA

	Methods       []string `json:"methods,omitzero"`         // the methods granted; empty: all
	RatePerSecond int64    `json:"rate_per_second,omitzero"` // 0: no limit
	Disabled      bool     `json:"disabled,omitzero"`

	// ExplainSignature makes TOP answers explain why a signature is wrong, with the string that the gateway signed. Use
	// it while an app is being integrated.
	ExplainSignature bool `json:"explain_signature,omitzero"`
	// RedirectURIs are where an authorization code may be sent; a redirect_uri must be one of them to the letter.
	RedirectURIs []string `json:"redirect_uris,omitzero"`
}

// IsCallerID reports whether an app may be known by the text on a wire, as app_id or app_key: printable ASCII without
// spaces, not "0", and not with "@" in front. PHP SDKs leave those two out of what they sign, so that a call which
// verifies may not name its app at all.
func IsCallerID(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != "" && text != "0" && text[0] != '@'
}

// Granted reports whether the app may call the method.
func (a *App) Granted(method string) bool {
	return len(a.Methods) == 0 || slices.Contains(a.Methods, method)
}

// MayIssue reports whether the app, acting for the merchant, may issue the template.
func (a *App) MayIssue(t *Template, acting MerchantID) bool {
	return t.Merchant == acting || slices.Contains(t.GrantedTo, a.ID)
}

// disabled reports whether an app is in the catalogue and disabled.
func (c *Catalogue) disabled(a AppID) bool {
	app := c.Apps[a]
	return app != nil && app.Disabled
}

// Item is a template inside an activity.
type Item struct {
	DetailID    int64      `json:"detail_id,omitzero"`
	Template    TemplateID `json:"template"`
	BenefitType int64      `json:"benefit_type,omitzero"`
	MaxSends    int        `json:"max_send_count"`  // per call
	Quantity    int        `json:"quantity"`        // vouchers per send
	Amount      int64      `json:"amount,omitzero"` // fen; what it gives when the template takes the amount from the request
}

// Box is a treasure box (赢宝箱): a daily task over the sends of an activity.
type Box struct {
	Cards      []string `json:"cards"`
	DoneAfter  int      `json:"done_after"`
	CountSends bool     `json:"count_sends,omitzero"` // count sends; otherwise different cards
}

// Activity is a campaign over templates.
type Activity struct {
	ID         ActivityID `json:"id"`
	Name       string     `json:"name"`
	Merchant   MerchantID `json:"merchant"`
	ActCode    string     `json:"act_code,omitzero"`
	RelationID int64      `json:"relation_id,omitzero"`
	Window     Window     `json:"window,omitzero"`
	Status     Status     `json:"status"`
	NoGuard    bool       `json:"no_guard,omitzero"` // turns the one-second guard off
	Box        *Box       `json:"box,omitzero"`
	Rule       string     `json:"rule,omitzero"`
	Priority   int64      `json:"priority,omitzero"`
	Items      []Item     `json:"items"`
}

// OpenAt reports whether the activity issues its items at now.
func (a *Activity) OpenAt(now Instant) bool { return a.Status == Active && a.Window.Contains(now) }

// Strategy determines how a scene chooses among its activities.
type Strategy uint8

// The strategies. The numbers are stored.
const (
	ChooseAll      Strategy = 1
	ChooseFirst    Strategy = 2
	ChooseWeighted Strategy = 3
)

// Narrowing is the set of names by which a request may limit a scene's candidates.
type Narrowing uint8

// The narrowings. The numbers are stored; 0 leaves it to the strategy: see Scene.Narrows.
const (
	NarrowNone       Narrowing = 1
	NarrowActivities Narrowing = 2
	NarrowRights     Narrowing = 3 // and activities
)

// SceneEntry is an activity in a scene.
type SceneEntry struct {
	Activity ActivityID `json:"activity"`
	Weight   int64      `json:"weight,omitzero"`
}

// Scene is an ordered set of activities and how to choose among them.
type Scene struct {
	ID         SceneID      `json:"id"`
	Name       string       `json:"name"`
	Merchant   MerchantID   `json:"merchant"`
	SceneCode  string       `json:"scene_code"`
	Strategy   Strategy     `json:"strategy"`
	Activities []SceneEntry `json:"activities"`
	Status     Status       `json:"status"`
	Narrowing  Narrowing    `json:"narrowing,omitzero"`
}

// Narrows returns what a request may narrow. A scene that draws by weight lets it narrow nothing unless it says so: a
// caller who narrows to one activity draws it with certainty.
func (s *Scene) Narrows() Narrowing {
	switch {
	case s.Narrowing != 0:
		return s.Narrowing
	case s.Strategy == ChooseWeighted: //guard:TestNarrowingAllowed
		return NarrowNone
	}
	return NarrowRights
}

// Subscription is a wish of a merchant to receive events.
type Subscription struct {
	ID        SubscriptionID `json:"id"`
	Name      string         `json:"name"`
	Merchant  MerchantID     `json:"merchant"`
	Types     []EventPattern `json:"types"`
	Templates []TemplateID   `json:"templates,omitzero"` // none: all of the merchant
	Status    Status         `json:"status"`
}

// Wants reports whether the subscription is to events of the type about the template. A PAUSED one is, so that no event is
// missing when it is resumed.
func (s *Subscription) Wants(e EventType, about *Template) bool {
	return (s.Status == Active || s.Status == Paused) &&
		about.Merchant == s.Merchant &&
		(len(s.Templates) == 0 || slices.Contains(s.Templates, about.ID)) &&
		slices.ContainsFunc(s.Types, func(p EventPattern) bool { return p.Matches(e) })
}

// Catalogue is an immutable snapshot of all catalogue entities, which the hot path reads without a lock. The indexes
// are built once by NewCatalogue.
type Catalogue struct {
	Version       int64
	Merchants     map[MerchantID]*Merchant
	Apps          map[AppID]*App
	Templates     map[TemplateID]*Template
	Activities    map[ActivityID]*Activity
	Scenes        map[SceneID]*Scene
	Subscriptions map[SubscriptionID]*Subscription

	templatesByWire  map[string]*Template
	templatesByName  map[string]*Template
	templatesByOut   map[int64]*Template
	appsByID         map[string]*App
	appsByKey        map[string]*App
	activitiesByName map[string]*Activity
	relations        map[int64]*Activity
	scenesByCode     map[string]*Scene
}

// open reports whether the template's owner accepts recipients that are not registered.
func (c *Catalogue) open(t *Template) bool {
	owner := c.Merchants[t.Merchant]
	return owner != nil && owner.Open
}

// NewCatalogue builds a snapshot. The entities must not be changed afterwards.
func NewCatalogue(
	version int64, merchants []*Merchant, apps []*App, templates []*Template, activities []*Activity, scenes []*Scene,
	subscriptions ...*Subscription,
) *Catalogue {
	return &Catalogue{
		Version:       version,
		Merchants:     index(merchants, func(m *Merchant) MerchantID { return m.ID }),
		Apps:          index(apps, func(a *App) AppID { return a.ID }),
		Templates:     index(templates, func(t *Template) TemplateID { return t.ID }),
		Activities:    index(activities, func(a *Activity) ActivityID { return a.ID }),
		Scenes:        index(scenes, func(s *Scene) SceneID { return s.ID }),
		Subscriptions: index(subscriptions, func(s *Subscription) SubscriptionID { return s.ID }),

		templatesByWire:  indexNonZero(templates, func(t *Template) string { return t.TemplateID }),
		templatesByName:  indexNonZero(templates, func(t *Template) string { return t.Name }),
		templatesByOut:   indexNonZero(templates, func(t *Template) int64 { return t.OutID }),
		appsByID:         indexNonZero(apps, func(a *App) string { return a.AppID }),
		appsByKey:        indexNonZero(apps, func(a *App) string { return a.AppKey }),
		activitiesByName: indexNonZero(activities, func(a *Activity) string { return a.Name }),
		relations:        indexNonZero(activities, func(a *Activity) int64 { return a.RelationID }),
		scenesByCode:     indexNonZero(scenes, func(s *Scene) string { return s.SceneCode }),
	}
}

// indexNonZero indexes all elements whose key is not zero.
func indexNonZero[K comparable, V any](all []V, key func(V) K) map[K]V {
	m := index(all, key)
	var none K
	delete(m, none)
	return m
}

func index[K comparable, V any](all []V, key func(V) K) map[K]V {
	m := make(map[K]V, len(all))
	for _, v := range all {
		m[key(v)] = v
	}
	return m
}

// The methods below find an entity by a name or number of its own; nil when there is none.

// TemplateByWireID finds the template that Alipay's wire calls template_id.
func (c *Catalogue) TemplateByWireID(id string) *Template { return c.templatesByWire[id] }

// TemplateByOutID finds the template that certificate.send calls out_id.
func (c *Catalogue) TemplateByOutID(id int64) *Template { return c.templatesByOut[id] }

// AppByAppID finds the app that Alipay's wire calls app_id.
func (c *Catalogue) AppByAppID(id string) *App { return c.appsByID[id] }

// AppByAppKey finds the app that TOP's wire calls app_key.
func (c *Catalogue) AppByAppKey(key string) *App { return c.appsByKey[key] }

// ActivityByRelationID finds the activity that activity.send calls relation_id.
func (c *Catalogue) ActivityByRelationID(id int64) *Activity { return c.relations[id] }

// SceneByCode finds the scene that decisionsend calls scene_code.
func (c *Catalogue) SceneByCode(code string) *Scene { return c.scenesByCode[code] }

// TemplateByName and ActivityByName find by the operator's handle.
func (c *Catalogue) TemplateByName(name string) *Template { return c.templatesByName[name] }
func (c *Catalogue) ActivityByName(name string) *Activity { return c.activitiesByName[name] }
