package benefit

import (
	"encoding/json"
	"fmt"
	"math"

	"faquan/internal/id"
	"faquan/internal/table"
)

// The rows that are described by tables. Issuances with their keys and lists, and users with their identifiers, are kept
// by the stores in forms of their own; see [Changes].
//
// The numbers and the columns are stored: a number is never used again, and columns are only ever appended.
var (
	// Quotas count what a user has of a template.
	Quotas = table.New(table.Spec[QuotaKey, Quota]{
		Name: "quota", Title: "quotas", Number: 1, Home: table.ByID,
		Key:    []table.Column{{Name: "user_id", Type: table.ID}, {Name: "template", Type: table.Int}},
		Value:  []table.Column{{Name: "total", Type: table.Int}, {Name: "day", Type: table.Int}, {Name: "day_total", Type: table.Int}},
		KeyOf:  func(q *Quota) QuotaKey { return q.QuotaKey },
		Absent: func(k QuotaKey) Quota { return Quota{QuotaKey: k} },
		PutKey: func(w *table.Writer, k QuotaKey) { w.Int(int64(k.User)); w.Int(int64(k.Template)) },
		GetKey: func(r *table.Reader) QuotaKey { return QuotaKey{UserID(r.Int()), TemplateID(r.Int())} },
		Put:    func(w *table.Writer, q *Quota) { w.Int(q.Total); w.Int(int64(q.Day)); w.Int(q.DayTotal) },
		Get:    func(r *table.Reader, q *Quota) { q.Total, q.Day, q.DayTotal = r.Int(), Day(r.Int()), r.Int() },
		Sum:    func(q *Quota) (vouchers, fen int64) { return q.Total, 0 },
	})

	// Participations count what a user did in an activity.
	Participations = table.New(table.Spec[ParticipationKey, Participation]{
		Name: "participation", Title: "participations", Number: 2, Home: table.ByID,
		Key:    []table.Column{{Name: "user_id", Type: table.ID}, {Name: "activity", Type: table.Int}},
		Value:  []table.Column{{Name: "body", Type: table.Bytes}},
		KeyOf:  func(p *Participation) ParticipationKey { return p.ParticipationKey },
		Absent: func(k ParticipationKey) Participation { return Participation{ParticipationKey: k} },
		PutKey: func(w *table.Writer, k ParticipationKey) { w.Int(int64(k.User)); w.Int(int64(k.Activity)) },
		GetKey: func(r *table.Reader) ParticipationKey { return ParticipationKey{UserID(r.Int()), ActivityID(r.Int())} },
		Put:    func(w *table.Writer, p *Participation) { w.Bytes(p.AppendCounts(nil)) },
		Get: func(r *table.Reader, p *Participation) {
			if body := r.Bytes(); len(body) > 0 {
				rest, err := p.ReadCounts(body)
				if err == nil && len(rest) > 0 {
					err = errCounts
				}
				r.Check(err)
			}
		},
		Sum: func(p *Participation) (vouchers, fen int64) { return p.Total, 0 },
	})

	// TemplateCounts count what was issued of a template in total.
	TemplateCounts = table.New(table.Spec[TemplateID, TemplateCount]{
		Name: "template_count", Title: "template counters", Number: 3,
		Key:    []table.Column{{Name: "template", Type: table.Int}},
		Value:  []table.Column{{Name: "count", Type: table.Int}, {Name: "amount", Type: table.Int}},
		KeyOf:  func(c *TemplateCount) TemplateID { return c.Template },
		Absent: func(t TemplateID) TemplateCount { return TemplateCount{Template: t} },
		PutKey: func(w *table.Writer, t TemplateID) { w.Int(int64(t)) },
		GetKey: func(r *table.Reader) TemplateID { return TemplateID(r.Int()) },
		Put:    func(w *table.Writer, c *TemplateCount) { w.Int(c.Count); w.Int(c.Amount) },
		Get:    func(r *table.Reader, c *TemplateCount) { c.Count, c.Amount = r.Int(), r.Int() },
		Sum:    func(c *TemplateCount) (vouchers, fen int64) { return c.Count, c.Amount },
	})

	// TemplateDays count what was issued of a template on a day.
	TemplateDays = table.New(table.Spec[TemplateDayKey, TemplateDay]{
		Name: "template_day", Title: "template days", Number: 4,
		Key:    []table.Column{{Name: "template", Type: table.Int}, {Name: "day", Type: table.Int}},
		Value:  []table.Column{{Name: "count", Type: table.Int}, {Name: "amount", Type: table.Int}},
		KeyOf:  func(d *TemplateDay) TemplateDayKey { return TemplateDayKey{d.Template, d.Day} },
		Absent: func(k TemplateDayKey) TemplateDay { return TemplateDay{Template: k.Template, Day: k.Day} },
		PutKey: func(w *table.Writer, k TemplateDayKey) { w.Int(int64(k.Template)); w.Int(int64(k.Day)) },
		GetKey: func(r *table.Reader) TemplateDayKey { return TemplateDayKey{TemplateID(r.Int()), Day(r.Int())} },
		Put:    func(w *table.Writer, d *TemplateDay) { w.Int(d.Count); w.Int(d.Amount) },
		Get:    func(r *table.Reader, d *TemplateDay) { d.Count, d.Amount = r.Int(), r.Int() },
		Sum:    func(d *TemplateDay) (vouchers, fen int64) { return d.Count, d.Amount },
	})

	// Sessions are kept by the digests of their keys.
	Sessions = table.New(table.Spec[Digest, *Session]{
		Name: "session", Title: "sessions", Number: 5, Home: table.ByDigest,
		Key:    []table.Column{{Name: "digest", Type: table.Digest}},
		Value:  []table.Column{{Name: "expires", Type: table.Int}, {Name: "body", Type: table.Bytes}}, // body has it as well
		KeyOf:  func(s **Session) Digest { return (*s).Digest },
		Absent: func(d Digest) *Session { return &Session{Digest: d} },
		PutKey: func(w *table.Writer, d Digest) { w.Digest(d) },
		GetKey: func(r *table.Reader) Digest { return r.Digest() },
		Put:    func(w *table.Writer, s **Session) { w.Int(int64((*s).Expires)); w.Bytes(EncodeSession(*s)) },
		Get: func(r *table.Reader, s **Session) {
			r.Int()
			if body := r.Bytes(); len(body) > 0 { // sessions are shared: the one that was there is not changed
				one, err := DecodeSession(body)
				r.Check(err)
				*s = one
			}
		},
	})

	// Tokens are kept by the digests of their secrets.
	Tokens = table.New(table.Spec[Digest, *Token]{
		Name: "token", Title: "tokens", Number: 12, Home: table.ByDigest,
		Key:    []table.Column{{Name: "digest", Type: table.Digest}},
		Value:  []table.Column{{Name: "body", Type: table.Bytes}},
		KeyOf:  func(t **Token) Digest { return (*t).Digest },
		Absent: func(d Digest) *Token { return &Token{Digest: d} },
		PutKey: func(w *table.Writer, d Digest) { w.Digest(d) },
		GetKey: func(r *table.Reader) Digest { return r.Digest() },
		Put:    func(w *table.Writer, t **Token) { w.Bytes(encodeToken(*t)) },
		Get: func(r *table.Reader, t **Token) {
			if body := r.Bytes(); len(body) > 0 {
				one, err := decodeToken(body)
				r.Check(err)
				*t = one
			}
		},
	})

	// Entities are those of the catalogue in force.
	Entities = table.New(table.Spec[EntityKey, Entity]{
		Name: "entity", Title: "entities", Number: 6,
		Key:    []table.Column{{Name: "kind", Type: table.Int}, {Name: "id", Type: table.Int}},
		Value:  []table.Column{{Name: "body", Type: table.Bytes}},
		KeyOf:  func(e *Entity) EntityKey { return EntityKey{e.Kind, e.ID} },
		Absent: func(k EntityKey) Entity { return Entity{Kind: k.Kind, ID: k.ID} },
		PutKey: putEntityKey,
		GetKey: getEntityKey,
		Put:    func(w *table.Writer, e *Entity) { w.Bytes(e.Body) },
		Get:    func(r *table.Reader, e *Entity) { e.Body = r.Bytes() },
	})

	// EntityVersions are all forms that the entities have had, each with the version of the catalogue that brought it.
	EntityVersions = table.New(table.Spec[EntityVersionKey, EntityVersion]{
		Name: "entity_version", Title: "catalogue versions", Number: 7, Derived: true,
		Key:   []table.Column{{Name: "version", Type: table.Int}, {Name: "kind", Type: table.Int}, {Name: "id", Type: table.Int}},
		Value: []table.Column{{Name: "body", Type: table.Bytes}},
		KeyOf: func(v *EntityVersion) EntityVersionKey { return EntityVersionKey{v.Version, EntityKey{v.Kind, v.ID}} },
		Absent: func(k EntityVersionKey) EntityVersion {
			return EntityVersion{k.Version, Entity{Kind: k.Kind, ID: k.ID}}
		},
		PutKey: func(w *table.Writer, k EntityVersionKey) { w.Int(k.Version); putEntityKey(w, k.EntityKey) },
		GetKey: func(r *table.Reader) EntityVersionKey { return EntityVersionKey{r.Int(), getEntityKey(r)} },
		Put:    func(w *table.Writer, v *EntityVersion) { w.Bytes(v.Body) },
		Get:    func(r *table.Reader, v *EntityVersion) { v.Body = r.Bytes() },
	})

	// Operations are what stands under the keys of commands, but for those that issue: of these it is the issuance.
	Operations = table.New(table.Spec[ClaimID, Operation]{
		Name: "operation", Title: "operations", Number: 8, Home: table.ByDigest,
		Key: []table.Column{{Name: "claim", Type: table.Digest}},
		Value: []table.Column{
			{Name: "kind", Type: table.Int}, {Name: "id", Type: table.ID}, {Name: "scope", Type: table.Text}, {Name: "key", Type: table.Text},
			{Name: "fingerprint", Type: table.Digest}, {Name: "at", Type: table.Int}, {Name: "result", Type: table.Bytes},
		},
		KeyOf:  func(o *Operation) ClaimID { return o.Claim },
		Absent: func(c ClaimID) Operation { return Operation{Claim: c} },
		PutKey: func(w *table.Writer, c ClaimID) { w.Digest(c) },
		GetKey: func(r *table.Reader) ClaimID { return r.Digest() },
		Put: func(w *table.Writer, o *Operation) {
			w.Int(int64(o.Kind))
			w.Int(int64(o.ID))
			w.Text(string(o.Scope))
			w.Text(o.Key)
			w.Digest(o.Fingerprint)
			w.Int(int64(o.At))
			w.Bytes(o.Result)
		},
		Get: func(r *table.Reader, o *Operation) {
			o.Kind, o.ID, o.Scope, o.Key = OperationKind(r.Small(math.MaxUint8)), id.ID(r.Int()), Scope(r.Text()), r.Text()
			o.Fingerprint, o.At, o.Result = r.Digest(), Instant(r.Int()), r.Bytes()
		},
	})

	// VoucherStates are those of vouchers to which something has happened.
	VoucherStates = table.New(table.Spec[id.ID, VoucherState]{
		Name: "voucher_state", Title: "voucher states", Number: 9, Home: table.ByID,
		Key: []table.Column{{Name: "voucher", Type: table.ID}},
		Value: []table.Column{
			{Name: "status", Type: table.Int}, {Name: "operations", Type: table.Int}, {Name: "redeemed", Type: table.Int},
			{Name: "ends", Type: table.Int}, {Name: "at", Type: table.Int},
		},
		KeyOf:  func(s *VoucherState) id.ID { return s.Voucher },
		Absent: func(v id.ID) VoucherState { return VoucherState{Voucher: v} },
		PutKey: func(w *table.Writer, v id.ID) { w.Int(int64(v)) },
		GetKey: func(r *table.Reader) id.ID { return id.ID(r.Int()) },
		Put: func(w *table.Writer, s *VoucherState) {
			w.Int(int64(s.Status))
			w.Int(s.Operations)
			w.Int(s.Redeemed)
			w.Int(int64(s.End))
			w.Int(int64(s.At))
		},
		Get: func(r *table.Reader, s *VoucherState) {
			s.Status, s.Operations, s.Redeemed = VoucherStatus(r.Small(math.MaxUint8)), r.Int(), r.Int()
			s.End, s.At = Instant(r.Int()), Instant(r.Int())
		},
	})

	// VoucherOperations list the operations on each voucher.
	VoucherOperations = table.New(table.Spec[OperationID, VoucherOperation]{
		Name: "voucher_operation", Title: "operations on vouchers", Number: 10, Home: table.ByID,
		Key: []table.Column{{Name: "voucher", Type: table.ID}, {Name: "number", Type: table.Int}},
		Value: []table.Column{
			{Name: "kind", Type: table.Int}, {Name: "claim", Type: table.Digest}, {Name: "value", Type: table.Int}, {Name: "reversed", Type: table.Int},
		},
		KeyOf:  func(o *VoucherOperation) OperationID { return o.OperationID },
		Absent: func(k OperationID) VoucherOperation { return VoucherOperation{OperationID: k} },
		PutKey: func(w *table.Writer, k OperationID) { w.Int(int64(k.Voucher)); w.Int(k.Number) },
		GetKey: func(r *table.Reader) OperationID { return OperationID{id.ID(r.Int()), r.Int()} },
		Put: func(w *table.Writer, o *VoucherOperation) {
			w.Int(int64(o.Kind))
			w.Digest(o.Claim)
			w.Int(o.Value)
			w.Int(o.Reversed)
		},
		Get: func(r *table.Reader, o *VoucherOperation) {
			o.Kind, o.Claim, o.Value, o.Reversed = OperationKind(r.Small(math.MaxUint8)), r.Digest(), r.Int(), r.Int()
		},
	})

	// OrderRedemptions find redemptions by their orders.
	OrderRedemptions = table.New(table.Spec[OrderKey, OrderRedemption]{
		Name: "order_redemption", Title: "redemptions for orders", Number: 11, Home: table.ByDigest,
		Key: []table.Column{
			{Name: "of_order", Type: table.Digest}, {Name: "voucher", Type: table.ID}, {Name: "number", Type: table.Int},
		},
		Value:  []table.Column{{Name: "at", Type: table.Int}},
		KeyOf:  func(o *OrderRedemption) OrderKey { return o.OrderKey },
		Absent: func(k OrderKey) OrderRedemption { return OrderRedemption{OrderKey: k} },
		PutKey: func(w *table.Writer, k OrderKey) { w.Digest(k.Order); w.Int(int64(k.Voucher)); w.Int(k.Number) },
		GetKey: func(r *table.Reader) OrderKey { return OrderKey{r.Digest(), OperationID{id.ID(r.Int()), r.Int()}} },
		Put:    func(w *table.Writer, o *OrderRedemption) { w.Int(int64(o.At)) },
		Get:    func(r *table.Reader, o *OrderRedemption) { o.At = Instant(r.Int()) },
	})

	// CatalogueChanges note who made the versions of the catalogue. Those from before the notes have none.
	CatalogueChanges = table.New(table.Spec[int64, CatalogueChange]{
		Name: "catalogue_change", Title: "notes on catalogue versions", Number: 13,
		Key:    []table.Column{{Name: "version", Type: table.Int}},
		Value:  []table.Column{{Name: "at", Type: table.Int}, {Name: "made_by", Type: table.Text}, {Name: "command", Type: table.Text}},
		KeyOf:  func(c *CatalogueChange) int64 { return c.Version },
		Absent: func(version int64) CatalogueChange { return CatalogueChange{Version: version} },
		PutKey: func(w *table.Writer, version int64) { w.Int(version) },
		GetKey: func(r *table.Reader) int64 { return r.Int() },
		Put:    func(w *table.Writer, c *CatalogueChange) { w.Int(int64(c.At)); w.Text(c.By); w.Text(c.Command) },
		Get: func(r *table.Reader, c *CatalogueChange) {
			c.At, c.By, c.Command = Instant(r.Int()), r.Text(), r.Text()
		},
	})

	// ExpiryCursors find vouchers that have expired.
	ExpiryCursors = table.New(table.Spec[ExpiryKey, ExpiryCursor]{
		Name: "expiry_cursor", Title: "cursors over the ends of vouchers", Number: 14,
		Key:    []table.Column{{Name: "template", Type: table.Int}, {Name: "version", Type: table.Int}},
		Value:  []table.Column{{Name: "since", Type: table.Int}, {Name: "due", Type: table.Int}, {Name: "id", Type: table.ID}},
		KeyOf:  func(c *ExpiryCursor) ExpiryKey { return c.ExpiryKey },
		Absent: func(k ExpiryKey) ExpiryCursor { return ExpiryCursor{ExpiryKey: k} },
		PutKey: func(w *table.Writer, k ExpiryKey) { w.Int(int64(k.Template)); w.Int(k.Version) },
		GetKey: func(r *table.Reader) ExpiryKey { return ExpiryKey{TemplateID(r.Int()), r.Int()} },
		Put:    func(w *table.Writer, c *ExpiryCursor) { w.Int(int64(c.Since)); w.Int(int64(c.Due)); w.Int(int64(c.ID)) },
		Get: func(r *table.Reader, c *ExpiryCursor) {
			c.Since, c.Due, c.ID = Instant(r.Int()), Instant(r.Int()), id.ID(r.Int())
		},
	})

	// ExpiryDues are the ends that vouchers were extended to, and those of vouchers that a retry issued.
	ExpiryDues = table.New(table.Spec[ExpiryDueKey, ExpiryDue]{
		Name: "expiry_due", Title: "ends of vouchers out of the order of issues", Number: 15, Home: table.ByDigest,
		Key: []table.Column{
			{Name: "bucket_of_ends", Type: table.Digest}, {Name: "due", Type: table.Int}, {Name: "voucher", Type: table.ID},
		},
		Value:  []table.Column{{Name: "template", Type: table.Int}, {Name: "at", Type: table.Int}},
		KeyOf:  func(d *ExpiryDue) ExpiryDueKey { return d.ExpiryDueKey },
		Absent: func(k ExpiryDueKey) ExpiryDue { return ExpiryDue{ExpiryDueKey: k} },
		PutKey: func(w *table.Writer, k ExpiryDueKey) {
			w.Digest(k.Bucket)
			w.Int(int64(k.Due))
			w.Int(int64(k.Voucher))
		},
		GetKey: func(r *table.Reader) ExpiryDueKey { return ExpiryDueKey{r.Digest(), Instant(r.Int()), id.ID(r.Int())} },
		Put:    func(w *table.Writer, d *ExpiryDue) { w.Int(int64(d.Template)); w.Int(int64(d.At)) },
		Get:    func(r *table.Reader, d *ExpiryDue) { d.Template, d.At = TemplateID(r.Int()), Instant(r.Int()) },
	})
)

func putEntityKey(w *table.Writer, k EntityKey) { w.Int(int64(k.Kind)); w.Int(k.ID) }

func getEntityKey(r *table.Reader) EntityKey {
	return EntityKey{EntityKind(r.Small(math.MaxUint8)), r.Int()}
}

// EncodeSession returns the stored form of a session: JSON, because sessions are rare and their form may grow.
func EncodeSession(s *Session) []byte {
	body, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("benefit: a session that JSON cannot hold: %v", err)) // it has no such fields
	}
	return body
}

// DecodeSession reads what EncodeSession wrote.
func DecodeSession(body []byte) (*Session, error) {
	s := new(Session)
	if err := json.Unmarshal(body, s); err != nil {
		return nil, fmt.Errorf("%w: a session: %w", table.ErrMalformed, err)
	}
	return s, nil
}

// encodeToken returns the stored form of a token: JSON, for the same reasons as that of a session.
func encodeToken(t *Token) []byte {
	body, err := json.Marshal(t)
	if err != nil {
		panic(fmt.Sprintf("benefit: a token that JSON cannot hold: %v", err)) // it has no such fields
	}
	return body
}

func decodeToken(body []byte) (*Token, error) {
	t := new(Token)
	if err := json.Unmarshal(body, t); err != nil {
		return nil, fmt.Errorf("%w: a token: %w", table.ErrMalformed, err)
	}
	return t, nil
}
