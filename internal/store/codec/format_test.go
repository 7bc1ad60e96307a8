package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/money"
	"faquan/internal/store/storetest"
)

// formatOneChanges returns what testdata/format-one.hex says: a journal record as the first format wrote it.
func formatOneChanges() *benefit.Changes {
	line := benefit.Line{Template: 7, Activity: 3, DetailID: 5, Sends: 2, Quantity: 1, Amount: 30, HasAmount: true}
	open := benefit.Identifier{Type: benefit.OpenID, Value: "open", App: 1}
	return &benefit.Changes{
		Now: storetest.Start,
		Issuances: []*benefit.Issuance{{
			ID: 1 << 40, Scope: "t/7", Key: "key", App: 1, Fingerprint: benefit.FingerprintOf([]benefit.Line{line}), Recipient: open,
			User: 1<<40 + 9, Alipay: "2088", Catalogue: 4, Continues: true,
			Note: benefit.Note{Memo: "第", Extend: "{}", TraceID: "trace"},
			Lines: []benefit.IssuedLine{{
				Line: line, First: 1 << 40, Amounts: []money.Fen{30, 30}, Issued: 1, Reason: benefit.StockEmpty, Codes: []string{"12345678"},
				At: storetest.Start, Catalogue: 4, Valid: benefit.Window{Start: storetest.Start, End: storetest.Start + 1000},
				Kind: benefit.Cash, Face: benefit.Face{Threshold: 100},
				Seen: benefit.Counters{Count: 1, Amount: 2, DayCount: 3, DayAmount: 4, User: 5, UserDay: 6},
			}},
		}},
		Users:     []*benefit.User{{ID: 1<<40 + 9, Name: "n", Person: "p", Alipay: "2088", Attributes: []byte("{}"), Identifiers: []benefit.Identifier{open}}},
		Catalogue: 4,
		Rows: benefit.RowsOf(
			benefit.Quotas.Rows(benefit.Quota{QuotaKey: benefit.QuotaKey{User: 1<<40 + 9, Template: 7}, Total: 6, Day: 20000, DayTotal: 7}),
			benefit.TemplateCounts.Rows(benefit.TemplateCount{Template: 7, Count: 2, Amount: 32}),
			benefit.TemplateDays.Rows(benefit.TemplateDay{Template: 7, Day: 20000, Count: 4, Amount: 34}),
			benefit.Entities.Rows(benefit.Entity{Kind: benefit.TemplateEntity, ID: 7, Body: []byte(`{"id":7}`)}),
		),
	}
}

func formatOneRecord(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/format-one.hex")
	if err != nil {
		t.Fatal(err)
	}
	record, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil || record[0] != 1 {
		t.Fatalf("not a record of format 1: %v", err)
	}
	return record
}

// A record of the first format, which has no participations and no groups behind the lines, says what it said.
func TestFormatOne(t *testing.T) {
	got, at, err := DecodeChanges(formatOneRecord(t))
	if err != nil || len(at) != 1 {
		t.Fatalf("decoding: %v, %d bodies", err, len(at))
	}
	if diff := storetest.Diff(formatOneChanges(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, _, err := DecodeChanges(append(formatOneRecord(t), 0)); err == nil {
		t.Error("participations in a record of the first format go unnoticed")
	}
}

// What identifiers are looked up by stands in every database: it may never change.
func TestIdentifierHashIsPinned(t *testing.T) {
	for want, i := range map[string]benefit.Identifier{
		"b45b6f0f6bb8de4a37a006494675c2d5": {Type: benefit.AlipayID, Value: "2088302001456115"}, "c87e93c533e6a130dc1ce83770fd8692": {Type: benefit.OpenID, Value: "open", App: 7}, "96a296d224f285c67bee93c30f8a3091": {},
	} {
		if got := IdentifierHash(i).String(); got != want {
			t.Errorf("%+v: %s, want %s", i, got, want)
		}
	}
}

// What this program does not know of the user of a basis is not passed over.
func TestUnknownFlagsOfABasis(t *testing.T) {
	var e coder
	e.basis(&benefit.Basis{Now: 1, Frozen: true, Unregistered: true})
	const at = 2 // behind the instant and whether the user is known
	if e.b[at] != flagFrozen|flagUnregistered {
		t.Fatalf("no flags at %d: %x", at, e.b)
	}
	for flags := range 256 {
		e.b[at] = byte(flags)
		d, b := coder{b: e.b, reading: true}, &benefit.Basis{}
		d.basis(b)
		if known := flags <= flagFrozen|flagUnregistered; (d.err == nil) != known {
			t.Errorf("flags %x: %+v, %v", flags, b, d.err)
		}
	}
}

// Users of earlier formats do not say whether they are registered. Issuing made those that are only an identifier, which
// a whole record tells for sure: a commit that issues nothing is the operator's.
func TestUsersThatDoNotSayWhetherTheyAreRegistered(t *testing.T) {
	const user benefit.UserID = 1<<40 + 9
	ident := benefit.Identifier{Type: benefit.AlipayID, Value: "2088"}
	// old takes out of what is written now what was not written then: the flags stand behind the id and the name.
	old := func(written []byte) []byte {
		id := binary.BigEndian.AppendUint64(nil, uint64(user))
		at := bytes.LastIndex(written, append(id, 0)) + 9
		if written[at]&^(flagUnregistered|flagRegistered) > flagFrozen {
			t.Fatalf("no flags at %d: %x", at, written)
		}
		written[at] &= flagFrozen
		return written
	}
	for name, c := range map[string]struct {
		change             func(*benefit.User)
		alone, issue, made bool // unregistered: in a row, in a record that issues, in one that does not
	}{
		"only an identifier": {func(*benefit.User) {}, true, true, false},
		"frozen":             {func(u *benefit.User) { u.Frozen = true }, false, false, false},
		"with a person":      {func(u *benefit.User) { u.Person = "p" }, false, false, false},
		"two identifiers": {func(u *benefit.User) {
			u.Identifiers = append(u.Identifiers, benefit.Identifier{Type: benefit.Login, Value: "a@b"})
		}, false, false, false},
	} {
		u := benefit.PlainUser(user, ident)
		c.change(u)
		got, err := DecodeUser(old(AppendUser(nil, u)))
		if err != nil || got.Unregistered != c.alone || got.Frozen != u.Frozen {
			t.Errorf("%s: a row says %+v, %v", name, got, err)
		}
		for _, issuances := range [][]*benefit.Issuance{nil, formatOneChanges().Issuances} {
			changes := &benefit.Changes{Issuances: issuances, Users: []*benefit.User{u}}
			changes.Steps = stepsOfIssues(changes)
			record, _ := EncodeChanges(nil, changes, nil)
			record = append(old(record), make([]byte, 4)...) // of the rows of a record of then, which are none
			record[0] = 2
			want := c.made
			if issuances != nil {
				want = c.issue
			}
			whole, _, err := DecodeChanges(record)
			if err != nil || whole.Users[0].Unregistered != want {
				t.Errorf("%s, %d issuances: unregistered is %v, want %v; %v", name, len(issuances), !want, want, err)
			}
		}
	}
}
