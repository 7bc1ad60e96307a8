package refusals

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
)

// refusal returns a refused call with everything that a record can have.
func refusal() *gateway.Record {
	person := benefit.Identifier{Type: benefit.AlipayID, Value: "2088302001456115"}
	return &gateway.Record{
		At: time.UnixMilli(1_795_000_000_123), Method: "m", TraceID: "ours", Code: "40004", SubCode: "STOCK_NOT_ENOUGH", Message: "模板库存不足",
		Reason: benefit.StockEmpty, Template: "coupon", Key: "k", CallerTrace: "theirs", App: 7, Err: errors.New("broken"),
		Request: &benefit.Request{
			Scope: "s", Key: "k", App: 7, Recipient: person, Params: benefit.Params{SceneCode: "S", Channel: 3},
			Note: benefit.Note{Memo: "private-memo"},
		},
		Attempt: &benefit.Issuance{
			ID: 99, Scope: "s", Key: "k", App: 7, Recipient: person, User: 5, Alipay: "2088-other", Catalogue: 4,
			Note: benefit.Note{Memo: "private-memo", Extend: "private-extend", TraceID: "theirs"}, Params: benefit.Params{SceneCode: "S", Channel: 3},
			Lines: []benefit.IssuedLine{{
				Line: benefit.Line{Template: 3, Sends: 1, Quantity: 2}, First: 99, Reason: benefit.StockEmpty, Codes: []string{"383977292112"},
				Seen: benefit.Counters{Count: 10, User: 1},
			}},
			Basis: &benefit.Basis{Now: 5, Known: true, Attributes: []byte(`{"level":3}`)},
		},
	}
}

// recordOf returns the record of a refusal, without the header of its frame.
func recordOf(c *gateway.Record, number int64) []byte { return frameOf(c, number)[frameHeader:] }

func frameOf(c *gateway.Record, number int64) []byte {
	var e encoder
	e.frame(c, number)
	return e.b
}

// A record keeps what explains a refusal.
func TestRoundTrip(t *testing.T) {
	c := refusal()
	got, err := decode(recordOf(c, 12))
	if err != nil {
		t.Fatal(err)
	}
	want := *c
	want.Number = 12
	attempt := *c.Attempt
	want.Attempt, attempt.Note, attempt.Alipay = &attempt, benefit.Note{}, ""
	attempt.Lines = []benefit.IssuedLine{attempt.Lines[0]}
	attempt.Lines[0].Codes = nil
	request := *c.Request
	want.Request, request.Note = &request, benefit.Note{}
	if got.Err == nil || got.Err.Error() != "broken" {
		t.Errorf("the error %v", got.Err)
	}
	got.Err, want.Err = nil, nil
	compare := cmp.AllowUnexported(gateway.Record{})
	if diff := cmp.Diff(&want, got, compare); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	c.Attempt = nil
	got, err = decode(recordOf(c, 12))
	if err != nil || got.Attempt != nil {
		t.Fatalf("without an attempt: %+v, %v", got, err)
	}
	if diff := cmp.Diff(&request, got.Request); diff != "" {
		t.Errorf("the request (-want +got)\n%s", diff)
	}
	if got, err := decode(recordOf(&gateway.Record{At: time.UnixMilli(0)}, 0)); err != nil || !got.At.Equal(time.UnixMilli(0)) && !got.At.IsZero() {
		t.Errorf("an empty one: %+v, %v", got, err)
	}
}

// What explains nothing is not kept: codes of certificates, remarks of callers, and further identifiers of people.
func TestNoMoreThanNeeded(t *testing.T) {
	c := refusal()
	record := recordOf(c, 1)
	for _, text := range []string{"383977292112", "private-memo", "private-extend", "2088-other"} {
		if bytes.Contains(record, []byte(text)) {
			t.Errorf("the record has %q", text)
		}
	}
	if c.Attempt.Lines[0].Codes == nil || c.Attempt.Note.Memo == "" || c.Attempt.Alipay == "" {
		t.Errorf("the attempt in memory has changed: %+v", c.Attempt)
	}
}

// A record is bounded: a larger one is kept without what the core was asked.
func TestLargeRecord(t *testing.T) {
	c := refusal()
	c.Attempt.Basis.Attributes = []byte(strings.Repeat("x", maxRecord))
	c.Err = errors.New(strings.Repeat("e", 1<<20))
	record := recordOf(c, 1)
	got, err := decode(record)
	if err != nil || len(record) > 2<<10 || got.Attempt != nil || got.Key != "k" || got.Reason != benefit.StockEmpty {
		t.Errorf("%d bytes: %+v, %v", len(record), got, err)
	}
}

// The files of earlier versions stay readable.
func TestFormat(t *testing.T) {
	const stored = "000000daee204b38080110fbbcd9f29e34403d60071a016d22046f7572732a053430303034321053544f434b5f4e4f545f454e4f5547483a12e6a8a1" +
		"e69dbfe5ba93e5ad98e4b88de8b6b34a06636f75706f6e52016b5a067468656972736a0662726f6b656e7a7a00000000000000630173016b0e000000" +
		"0000000000000000000000000006414c4950415910323038383330323030313435363131350000000000000000050008000000000106000002040000" +
		"0000003d000000000000000000000014000000020023000006015300000a01000b7b226c6576656c223a337d0000"
	if got := hex.EncodeToString(frameOf(refusal(), 1)); got != stored {
		t.Errorf("the frame is now %s", got)
	}
	segment, err := hex.DecodeString(stored)
	records, size := frames(segment)
	if err != nil || len(records) != 1 || size != int64(len(segment)) {
		t.Fatalf("%d records of %d bytes: %v", len(records), size, err)
	}
	if c, err := decode(records[0]); err != nil || c.Key != "k" || c.Reason != benefit.StockEmpty || c.Attempt.Lines[0].Seen.Count != 10 {
		t.Errorf("it is read as %+v, %v", c, err)
	}
}

// A newer program may write further fields, and an issuance that this one cannot read.
func TestNewerRecord(t *testing.T) {
	record := recordOf(&gateway.Record{Key: "k"}, 1)
	record = protowire.AppendVarint(protowire.AppendTag(record, 900, protowire.VarintType), 7)
	record = protowire.AppendString(protowire.AppendTag(record, 901, protowire.BytesType), "text")
	record = protowire.AppendFixed64(protowire.AppendTag(record, 902, protowire.Fixed64Type), 7)
	record = protowire.AppendString(protowire.AppendTag(record, fieldAttempt, protowire.BytesType), "\xff")
	record = protowire.AppendString(protowire.AppendTag(record, fieldCode, protowire.BytesType), "50")
	if got, err := decode(record); err != nil || got.Key != "k" || got.Code != "50" || got.Attempt != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(recordOf(refusal(), 1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, record []byte) {
		c, err := decode(record)
		if err != nil {
			return
		}
		again, err := decode(recordOf(c, c.Number))
		if err != nil || again.Key != c.Key || again.TraceID != c.TraceID || again.Reason != c.Reason || again.Number != c.Number {
			t.Errorf("%+v is stored as %+v, %v", c, again, err)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(append(frameOf(refusal(), 1), frameOf(refusal(), 2)...))
	f.Fuzz(func(t *testing.T, segment []byte) {
		records, size := frames(segment)
		var sum int64
		for _, r := range records {
			sum += int64(len(r)) + frameHeader
		}
		if sum != size || size > int64(len(segment)) {
			t.Errorf("%d records of %d bytes in %d", len(records), sum, size)
		}
	})
}
