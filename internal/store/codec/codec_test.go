package codec

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"faquan/internal/benefit"
	"faquan/internal/id"
	"faquan/internal/money"
	"faquan/internal/store/storetest"
)

// The generators below fill every field that the codec writes.

func anyInt(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 1, -1, math.MaxInt64, math.MinInt64})).Draw(t, "n")
}

func anyText(t *rapid.T) string { return rapid.String().Draw(t, "text") }

func anyIdentifier(t *rapid.T) benefit.Identifier {
	return benefit.Identifier{Type: anyText(t), Value: anyText(t), App: benefit.AppID(anyInt(t))}
}

func anyWindow(t *rapid.T) benefit.Window {
	return benefit.Window{Start: benefit.Instant(anyInt(t)), End: benefit.Instant(anyInt(t))}
}

func anyDigest(t *rapid.T) (d benefit.Digest) {
	copy(d[:], rapid.SliceOfN(rapid.Byte(), len(d), len(d)).Draw(t, "digest"))
	return d
}

func several[V any](t *rapid.T, one func(t *rapid.T) V) []V {
	return rapid.SliceOfN(rapid.Custom(one), 0, 4).Draw(t, "several")
}

func anyLine(t *rapid.T) benefit.IssuedLine {
	l := benefit.IssuedLine{
		Line: benefit.Line{
			Template: benefit.TemplateID(anyInt(t)), Activity: benefit.ActivityID(anyInt(t)), DetailID: anyInt(t),
			Sends: rapid.IntRange(0, 5).Draw(t, "sends"), Quantity: rapid.IntRange(0, 5).Draw(t, "quantity"),
			Amount: money.Fen(anyInt(t)), HasAmount: rapid.Bool().Draw(t, "has"),
		},
		First: id.ID(anyInt(t)), Reason: benefit.Reason(rapid.Byte().Draw(t, "reason")), Codes: several(t, anyText),
		At: benefit.Instant(anyInt(t)), Catalogue: anyInt(t), Valid: anyWindow(t), Kind: benefit.Kind(rapid.Byte().Draw(t, "kind")),
		Face: benefit.Face{
			Reduction: money.Fen(anyInt(t)), Threshold: money.Fen(anyInt(t)), Percent: anyInt(t), Ceiling: money.Fen(anyInt(t)),
			Price: money.Fen(anyInt(t)),
		},
		Seen: benefit.Counters{
			Count: anyInt(t), Amount: anyInt(t), DayCount: anyInt(t), DayAmount: anyInt(t), User: anyInt(t), UserDay: anyInt(t),
			Person: rapid.SampledFrom([]int64{0, 0, 1, math.MaxInt64, math.MinInt64}).Draw(t, "person"),
		},
		Sending: rapid.Bool().Draw(t, "sending"),
	}
	for range l.Vouchers() {
		l.Amounts = append(l.Amounts, money.Fen(anyInt(t)))
	}
	l.Issued = rapid.IntRange(0, l.Sends).Draw(t, "issued")
	return l
}

// seldom returns a value or none, so that every combination of what may be there comes up.
func seldom[V any](t *rapid.T, one func(t *rapid.T) V) (v V) {
	if rapid.Bool().Draw(t, "there") {
		v = one(t)
	}
	return v
}

func anyAsked(t *rapid.T) benefit.Params {
	return benefit.Params{
		Card: seldom(t, anyText), BizCode: seldom(t, anyText), Channel: seldom(t, anyInt), SceneCode: seldom(t, anyText),
		ActCodes: seldom(t, func(t *rapid.T) []string { return several(t, anyText) }),
		Rights: seldom(t, func(t *rapid.T) []benefit.ActRight {
			return several(t, func(t *rapid.T) benefit.ActRight { return benefit.ActRight{ActCode: anyText(t), RightID: anyInt(t)} })
		}),
	}
}

func anyErrors(t *rapid.T) []benefit.DecisionError {
	return several(t, func(t *rapid.T) benefit.DecisionError {
		return benefit.DecisionError{
			Kind: benefit.ErrorKind(rapid.Byte().Draw(t, "kind")), ActCode: anyText(t), RightID: anyInt(t),
			Reason: benefit.Reason(rapid.Byte().Draw(t, "reason")),
		}
	})
}

func anyBasis(t *rapid.T) *benefit.Basis {
	return &benefit.Basis{
		Now: benefit.Instant(anyInt(t)), Known: rapid.Bool().Draw(t, "known"), Frozen: rapid.Bool().Draw(t, "frozen"), Attributes: []byte(anyText(t)),
		Templates: several(t, func(t *rapid.T) benefit.TemplateSeen {
			return benefit.TemplateSeen{Template: benefit.TemplateID(anyInt(t)), Counters: benefit.Counters{
				Count: anyInt(t), Amount: anyInt(t), DayCount: anyInt(t), DayAmount: anyInt(t), User: anyInt(t), UserDay: anyInt(t), Person: anyInt(t),
			}}
		}),
		Participations: several(t, anyParticipation),
	}
}

func anyParticipation(t *rapid.T) benefit.Participation {
	return benefit.Participation{
		ParticipationKey: benefit.ParticipationKey{User: benefit.UserID(anyInt(t)), Activity: benefit.ActivityID(anyInt(t))},
		Total:            anyInt(t), At: benefit.Instant(anyInt(t)), DayTotal: anyInt(t), DaySends: anyInt(t), Cards: several(t, anyText),
		Done: rapid.Bool().Draw(t, "done"),
	}
}

func anyIssuance(t *rapid.T) *benefit.Issuance {
	return &benefit.Issuance{
		Params: seldom(t, anyAsked), BindMillis: seldom(t, anyInt), BoxDone: rapid.Bool().Draw(t, "box"),
		Errors: seldom(t, anyErrors), Basis: seldom(t, anyBasis),

		ID: id.ID(anyInt(t)), Scope: benefit.Scope(anyText(t)), Key: anyText(t), App: benefit.AppID(anyInt(t)), Fingerprint: anyDigest(t),
		Recipient: anyIdentifier(t), User: benefit.UserID(anyInt(t)), Alipay: anyText(t), Catalogue: anyInt(t),
		Continues: rapid.Bool().Draw(t, "continues"), Lines: several(t, anyLine),
		Note: benefit.Note{Memo: anyText(t), Extend: anyText(t), TraceID: anyText(t)},
	}
}

func anyUser(t *rapid.T) *benefit.User {
	return &benefit.User{
		ID: benefit.UserID(anyInt(t)), Name: anyText(t), Frozen: rapid.Bool().Draw(t, "frozen"), Person: anyText(t), Alipay: anyText(t),
		Attributes: []byte(anyText(t)), Identifiers: several(t, anyIdentifier),
	}
}

func anyDay(t *rapid.T) benefit.Day { return benefit.Day(rapid.Int32().Draw(t, "day")) }

func anyChanges(t *rapid.T) *benefit.Changes {
	c := anyRows(t)
	unnamed := slices.ContainsFunc(c.Issuances, func(i *benefit.Issuance) bool { return i.ID == 0 }) // as none is
	if c.Steps = stepsOfIssues(c); unnamed || rapid.Bool().Draw(t, "only issues") {
		return c
	}
	steps := c.Steps
	c.Steps = nil
	for k, s := range steps {
		later := slices.ContainsFunc(c.Issuances[k+1:], func(i *benefit.Issuance) bool { return i.ID == s.Issuance.ID })
		if len(s.Lines) > 0 && !later && rapid.Bool().Draw(t, "step") {
			s.Lines = s.Lines[rapid.IntRange(0, len(s.Lines)-1).Draw(t, "from"):]
			s.Templates = several(t, anyTemplateEvent)
			c.Steps = append(c.Steps, s)
		}
	}
	claims := map[benefit.ClaimID]bool{{}: true} // the zero claim refers to nothing
	for _, o := range benefit.Operations.Of(c.Rows) {
		if claims[o.Claim] {
			continue
		}
		claims[o.Claim] = true
		c.Steps = append(c.Steps, benefit.Step{Operation: &o, Templates: several(t, anyTemplateEvent)})
	}
	if expired := several(t, anyExpired); len(expired) > 0 {
		c.Steps = append(c.Steps, benefit.Step{Expired: expired})
	}
	return c
}

func anyExpired(t *rapid.T) benefit.ExpiredVoucher {
	return benefit.ExpiredVoucher{
		Voucher: id.ID(anyInt(t)), Template: benefit.TemplateID(anyInt(t)), Operations: anyInt(t), Redeemed: anyInt(t), End: benefit.Instant(anyInt(t)),
	}
}

func anyTemplateEvent(t *rapid.T) benefit.TemplateEvent {
	return benefit.TemplateEvent{
		Type: benefit.EventType(rapid.Byte().Draw(t, "type")), Template: benefit.TemplateID(anyInt(t)), Catalogue: anyInt(t), Count: anyInt(t),
		Amount: anyInt(t), Stock: benefit.Stock{Count: benefit.Cap(anyInt(t)), Amount: benefit.Cap(anyInt(t))},
	}
}

func anyRows(t *rapid.T) *benefit.Changes {
	return &benefit.Changes{
		Now: benefit.Instant(anyInt(t)), Issuances: several(t, anyIssuance), Users: several(t, anyUser),
		Catalogue: anyInt(t),
		Rows: benefit.RowsOf(
			benefit.Quotas.Rows(several(t, func(t *rapid.T) benefit.Quota {
				return benefit.Quota{
					QuotaKey: benefit.QuotaKey{User: benefit.UserID(anyInt(t)), Template: benefit.TemplateID(anyInt(t))},
					Total:    anyInt(t), Day: anyDay(t), DayTotal: anyInt(t),
				}
			})...),
			benefit.TemplateCounts.Rows(several(t, func(t *rapid.T) benefit.TemplateCount {
				return benefit.TemplateCount{Template: benefit.TemplateID(anyInt(t)), Count: anyInt(t), Amount: anyInt(t)}
			})...),
			benefit.TemplateDays.Rows(several(t, func(t *rapid.T) benefit.TemplateDay {
				return benefit.TemplateDay{Template: benefit.TemplateID(anyInt(t)), Day: anyDay(t), Count: anyInt(t), Amount: anyInt(t)}
			})...),
			benefit.Participations.Rows(several(t, anyParticipation)...),
			benefit.Entities.Rows(several(t, func(t *rapid.T) benefit.Entity {
				return benefit.Entity{Kind: benefit.EntityKind(rapid.Byte().Draw(t, "kind")), ID: anyInt(t), Body: []byte(anyText(t))}
			})...),
			benefit.Sessions.Rows(several(t, func(t *rapid.T) *benefit.Session {
				return &benefit.Session{
					Digest: anyDigest(t), Sealed: []byte(anyText(t)), App: benefit.AppID(anyInt(t)), Merchant: benefit.MerchantID(anyInt(t)),
					User: benefit.UserID(anyInt(t)), Expires: benefit.Instant(anyInt(t)),
				}
			})...),
			benefit.Operations.Rows(several(t, func(t *rapid.T) benefit.Operation {
				return benefit.Operation{
					Claim: anyDigest(t), Kind: benefit.OperationKind(rapid.Byte().Draw(t, "kind")), ID: id.ID(anyInt(t)), Scope: benefit.Scope(anyText(t)),
					Key: anyText(t), Fingerprint: anyDigest(t), At: benefit.Instant(anyInt(t)), Result: []byte(anyText(t)),
				}
			})...),
		),
	}
}

// What is written is what is read, and the bodies lie where they are said to lie.
func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyChanges(t)
		record, bodies := EncodeChanges(nil, c, nil)
		got, at, err := DecodeChanges(record)
		if err != nil {
			t.Fatal(err)
		}
		if diff := storetest.Diff(c, got); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
		if diff := storetest.Diff(bodies, at); diff != "" {
			t.Fatalf("where the bodies are (-written +read):\n%s", diff)
		}
		for k, i := range c.Issuances {
			one, err := DecodeIssuance(record[at[k][0]:at[k][1]])
			if diff := storetest.Diff(i, one); diff != "" || err != nil {
				t.Fatalf("body %d: %v\n%s", k, err, diff)
			}
		}
		for _, u := range c.Users {
			one, err := DecodeUser(AppendUser(nil, u))
			if diff := storetest.Diff(u, one); diff != "" || err != nil {
				t.Fatalf("user: %v\n%s", err, diff)
			}
			if _, err := DecodeUser(append(AppendUser(nil, u), 0)); err == nil {
				t.Fatal("a byte too many behind a user goes unnoticed")
			}
		}
	})
}

// A record that was cut anywhere, or has something behind it, is refused.
func TestCodecCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		record, _ := EncodeChanges(nil, anyChanges(t), nil)
		if _, _, err := DecodeChanges(record[:rapid.IntRange(0, len(record)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a part is taken for a record")
		}
		if _, _, err := DecodeChanges(append(record, 0)); err == nil {
			t.Fatal("a byte too many goes unnoticed")
		}
	})
}

// Whatever the bytes are, decoding ends with an error or with something that is written the same way again and
// can be shown.
func FuzzDecodeChanges(f *testing.F) {
	f.Add([]byte{RecordFormat})
	f.Add(formatOneRecord(f))
	for n := range 4 {
		record, _ := EncodeChanges(nil, rapid.Custom(anyChanges).Example(n+1), nil)
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, at, err := DecodeChanges(data)
		if err != nil {
			return
		}
		if len(at) != len(c.Issuances) {
			t.Fatalf("%d bodies of %d issuances", len(at), len(c.Issuances))
		}
		for _, i := range c.Issuances {
			i.Vouchers()
		}
		again, _ := EncodeChanges(nil, c, nil)
		second, _, err := DecodeChanges(again)
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if diff := storetest.Diff(c, second); diff != "" {
			t.Fatalf("read again it is something else:\n%s", diff)
		}
	})
}

func FuzzDecodeIssuance(f *testing.F) {
	for n := range 6 {
		f.Add(AppendIssuance(nil, rapid.Custom(anyIssuance).Example(n+1)))
	}
	f.Add(AppendIssuance(nil, formatOneChanges().Issuances[0]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := DecodeIssuance(data)
		if err != nil {
			return
		}
		for _, v := range i.Vouchers() {
			if got, ok := i.Voucher(v.ID); !ok && got.ID != v.ID {
				t.Fatalf("voucher %d is listed and cannot be found", v.ID)
			}
		}
		second, err := DecodeIssuance(AppendIssuance(nil, i))
		if diff := storetest.Diff(i, second); diff != "" || err != nil {
			t.Fatalf("read again it is something else: %v\n%s", err, diff)
		}
	})
}
