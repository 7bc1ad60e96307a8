package table_test

import (
	"strings"
	"testing"

	"faquan/internal/benefit" // describes the kinds
	"faquan/internal/table"
)

// The numbers and columns of kinds are stored in journals, views and databases: they may be added to, never changed.
func TestKindsArePinned(t *testing.T) {
	want := []string{
		"1/3 quota user_id template: total day day_total", "2/1 participation user_id activity: body", "3/2 template_count template: count amount",
		"4/2 template_day template day: count amount", "5/2 session digest: expires body", "6/1 entity kind id: body",
		"7/1 entity_version version kind id: body", "8/7 operation claim: kind id scope key fingerprint at result",
		"9/5 voucher_state voucher: status operations redeemed ends at", "10/4 voucher_operation voucher number: kind claim value reversed",
		"11/1 order_redemption of_order voucher number: at", "12/1 token digest: body",
		"13/3 catalogue_change version: at made_by command",
		"14/3 expiry_cursor template version: since due id", "15/2 expiry_due bucket_of_ends due voucher: template at",
	}
	described := strings.Fields(table.Described())
	for n, k := range table.Kinds() {
		got := described[n] + " " + k.Name
		for _, c := range k.Key {
			got += " " + c.Name
		}
		got += ":"
		for _, c := range k.Value {
			got += " " + c.Name
		}
		if n < len(want) && got != want[n] {
			t.Errorf("%s, want %s", got, want[n])
		}
	}
	if len(described) < len(want) {
		t.Errorf("%d kinds, want %d at least", len(described), len(want))
	}
}

// What a program with more kinds, or more columns, has written is refused.
func TestCheckDescribed(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "1/3": true, "1/2 2/1": true, table.Described(): true,
		"1/4": false, "249/1": false, "1/3 249/1": false, "x": false, "1": false,
	} {
		if err := table.CheckDescribed(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A row of a kind has one form in records and one as a key, and neither is read from too few or too many bytes.
func TestForms(t *testing.T) {
	kind := benefit.Operations.Kind
	var row table.Row
	op := benefit.Operation{
		Claim: benefit.Digest{1, 2}, Kind: 2, ID: 1 << 60, Scope: "s", Key: "k", Fingerprint: benefit.Digest{3}, At: -5, Result: []byte{0, 255},
	}
	if err := kind.Encode(op, &row); err != nil {
		t.Fatal(err)
	}
	key := kind.AppendKey(nil, row.Key)
	if columns, err := kind.ParseKey(key, nil); err != nil || len(columns) != 1 || string(columns[0].Bytes) != string(op.Claim[:]) {
		t.Errorf("the key: %v, %v", columns, err)
	}
	for _, wrong := range [][]byte{key[:15], append(key[:16:16], 0)} {
		if _, err := kind.ParseKey(wrong, nil); err == nil {
			t.Errorf("a key of %d bytes is read", len(wrong))
		}
	}
	value := table.AppendColumns(nil, kind.Value, row.Value)
	data, err := kind.ParseValue(value, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := benefit.Operations.Decode(&table.Row{Key: row.Key, Value: data}); err != nil || got.ID != op.ID || got.Key != op.Key || got.At != op.At || len(got.Result) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := kind.ParseValue(append(value[:len(value):len(value)], 0), nil); err == nil {
		t.Error("a byte too many is read")
	}
	// A row from before a column was added has zeros there.
	short := table.AppendColumns(nil, kind.Value[:4], row.Value[:4])
	if data, err = kind.ParseValue(short, nil); err != nil || len(data) != len(kind.Value) {
		t.Fatalf("%d columns, %v", len(data), err)
	}
	if got, err := benefit.Operations.Decode(&table.Row{Key: row.Key, Value: data}); err != nil || got.Key != op.Key || got.At != 0 || got.Fingerprint != (benefit.Digest{}) {
		t.Errorf("without the last columns: %+v, %v", got, err)
	}
	row.Value[0].Int = 256
	if _, err := kind.Decode(&row); err == nil {
		t.Error("a kind of operation that no byte holds is read")
	}
}
