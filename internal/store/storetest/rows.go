package storetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"faquan/internal/benefit"
	"faquan/internal/gateway/scope"
	"faquan/internal/id"
	"faquan/internal/money"
)

// ids makes the ids of rows that tests write by hand.
type ids struct{ *id.Generator }

func newIDs() ids {
	return ids{id.NewGenerator(rand.New(rand.NewPCG(7, 7)), 0)}
}

// take returns n consecutive ids, of the bucket that small user ids are of: an issuance carries its user's.
func (g ids) take(clock benefit.Instant, n int) id.ID { return g.Block(int64(clock), 0, n) }

// plain returns an issuance of one template, with so many vouchers.
func plain(first id.ID, key string, user benefit.UserID, template benefit.TemplateID, vouchers int) *benefit.Issuance {
	line := benefit.Line{Template: template, Sends: vouchers, Quantity: 1}
	amounts := make([]money.Fen, vouchers)
	for k := range amounts {
		amounts[k] = 500
	}
	return &benefit.Issuance{
		ID: first, Scope: scope.Template(template), Key: key, App: App, Fingerprint: benefit.FingerprintOf([]benefit.Line{line}),
		Recipient: benefit.Identifier{Type: benefit.AlipayID, Value: fmt.Sprint("2088", user)}, User: user, Catalogue: 1,
		Lines: []benefit.IssuedLine{{
			Line: line, First: first, Amounts: amounts, Issued: vouchers,
			At: Start, Catalogue: 1, Valid: benefit.Window{Start: Start, End: Start + 1000},
			Kind: benefit.Reduction, Face: benefit.Face{Reduction: 500},
		}},
	}
}

// edgeCaseText returns every character that a careless store gets wrong, up to a length of so many characters.
func edgeCaseText(length int) string {
	text := []rune("发券 “é\u0301” 😀 '\"\\`%_;--\t\r\n\u2028 <b>&amp; 𠮷 €\u00a0\ufffd")
	for len(text) < length {
		text = append(text, text...)
	}
	return string(text[:length])
}

// fullIssuance has something in every field, the largest there is where there is a largest.
func fullIssuance(g ids) *benefit.Issuance {
	first := g.Block(int64(Start), benefit.UserID(math.MaxInt64).Bucket(), 2+6+1)
	return &benefit.Issuance{
		ID: first, Scope: benefit.Scope("a/9223372036854775807/" + edgeCaseText(64)), Key: edgeCaseText(benefit.MaxKey), App: math.MaxInt64,
		Fingerprint: benefit.FingerprintOf(nil, "full"),
		Recipient:   benefit.Identifier{Type: benefit.OpenID, Value: edgeCaseText(benefit.MaxIdentifier), App: math.MaxInt64},
		User:        math.MaxInt64, Alipay: "2088" + edgeCaseText(12), Catalogue: math.MaxInt64, Continues: true,
		BindMillis: math.MaxInt64 - 1, BoxDone: true,
		Params: benefit.Params{
			Card: edgeCaseText(32), BizCode: edgeCaseText(64), Channel: math.MaxInt64, SceneCode: edgeCaseText(64), ActCodes: []string{"A1", edgeCaseText(64)},
			Rights: []benefit.ActRight{{RightID: math.MaxInt64}, {ActCode: edgeCaseText(64)}, {ActCode: "A", RightID: 1}},
		},
		Errors: []benefit.DecisionError{
			{Kind: benefit.SceneError, Reason: benefit.SceneNotOpen}, {Kind: benefit.ActivityError, ActCode: edgeCaseText(64), Reason: benefit.ActivityNotFound},
			{Kind: benefit.RightError, ActCode: "A", RightID: math.MaxInt64, Reason: benefit.RightNotFound},
		},
		Basis: &benefit.Basis{
			Now: Start + 1, Known: true, Frozen: true, Attributes: []byte(`{"city":"杭州","a":[1.50,null]}`),
			Templates: []benefit.TemplateSeen{
				{Template: 1}, {Template: math.MaxInt64, Counters: benefit.Counters{
					Count: math.MaxInt64, Amount: math.MaxInt64 - 1, DayCount: math.MaxInt64 - 2,
					DayAmount: math.MaxInt64 - 3, User: math.MaxInt64 - 4, UserDay: math.MaxInt64 - 5, Person: math.MaxInt64 - 6,
				}},
			},
			Participations: []benefit.Participation{{ParticipationKey: benefit.ParticipationKey{User: 1, Activity: 1}}, fullParticipation()},
		},
		Note: benefit.Note{Memo: edgeCaseText(128), Extend: strings.Repeat(edgeCaseText(500), 8), TraceID: edgeCaseText(256)},
		Lines: []benefit.IssuedLine{
			{
				Line: benefit.Line{
					Template: math.MaxInt64, Activity: math.MaxInt64, DetailID: math.MaxInt64, Sends: 2, Quantity: 1,
					Amount: money.MaxFen, HasAmount: true,
				},
				First: first, Amounts: []money.Fen{money.MaxFen, 1}, Issued: 1, Reason: benefit.AmountOutOfRange,
				Codes: []string{strings.Repeat("0", 64), "000000000001"},
				At:    Start + 999, Catalogue: math.MaxInt64, Valid: benefit.Window{Start: Start, End: math.MaxInt64}, Kind: benefit.Certificate,
				Face: benefit.Face{
					Reduction: money.MaxFen, Threshold: money.MaxFen - 1, Percent: 9_999, Ceiling: money.MaxFen - 2, Price: money.MaxFen - 3,
				},
				Seen: benefit.Counters{
					Count: math.MaxInt64, Amount: math.MaxInt64 - 1, DayCount: math.MaxInt64 - 2,
					DayAmount: math.MaxInt64 - 3, User: math.MaxInt64 - 4, UserDay: math.MaxInt64 - 5, Person: math.MaxInt64 - 6,
				},
			},
			{ // nothing of this line was issued, and it was asked to be free
				Line:  benefit.Line{Template: 2, Sends: 2, Quantity: 3, HasAmount: true},
				First: first + 2, Amounts: make([]money.Fen, 6), Reason: benefit.StockEmpty,
			},
			{ // the same template again, without an end, all of it issued
				Line:  benefit.Line{Template: math.MaxInt64, Sends: 1, Quantity: 1},
				First: first + 8, Amounts: []money.Fen{0}, Issued: 1, Sending: true,
				At: Start + 1000, Catalogue: 2, Kind: benefit.Exchange,
			},
		},
	}
}

// fullParticipation has something in every field.
func fullParticipation() benefit.Participation {
	return benefit.Participation{
		ParticipationKey: benefit.ParticipationKey{User: math.MaxInt64, Activity: math.MaxInt64 - 1},
		Total:            math.MaxInt64 - 2, At: Start + 999, DayTotal: math.MaxInt64 - 3, DaySends: math.MaxInt64 - 4,
		Cards: []string{"game", "", edgeCaseText(64)}, Done: true,
	}
}

// fullUser has something in every field.
func fullUser(user benefit.UserID) *benefit.User {
	return &benefit.User{
		ID: user, Name: edgeCaseText(64), Frozen: true, Person: edgeCaseText(40), Alipay: "2088302001456115",
		Attributes: []byte(`{"city":"杭州","level":3,"a":[1.50,null]}`),
		Identifiers: []benefit.Identifier{
			{Type: "会员", Value: edgeCaseText(benefit.MaxIdentifier)},
			{Type: benefit.AlipayID, Value: "2088302001456115"},
			{Type: benefit.OpenID, Value: "2088302001456115", App: 1},
			{Type: benefit.OpenID, Value: "2088302001456115", App: math.MaxInt64},
			{Type: benefit.Login, Value: "a@example.com"},
			{Type: benefit.Nick, Value: "商家测试帐号17"},
		},
	}
}

// named returns a user with a handle, and with an Alipay id that says it.
func named(user benefit.UserID, name string, more ...benefit.Identifier) *benefit.User {
	alipay := "2088" + name
	return &benefit.User{
		ID: user, Name: name, Alipay: alipay,
		Identifiers: append([]benefit.Identifier{{Type: benefit.AlipayID, Value: alipay}}, more...),
	}
}

// fullSession has something in every field.
func fullSession(key string) *benefit.Session {
	return &benefit.Session{
		Digest: benefit.SessionDigest(key), Sealed: []byte("\x00\xffsealed " + key), App: math.MaxInt64,
		Merchant: math.MaxInt64 - 1, User: math.MaxInt64 - 2, Expires: math.MaxInt64 - 3,
		Kind: benefit.CodeSession, Made: math.MaxInt64 - 4, Ended: math.MaxInt64 - 5, Redirect: "https://x/?" + key,
		Family: benefit.SessionDigest("f"), Access: benefit.SessionDigest("a"), Refresh: benefit.SessionDigest("r"),
	}
}
