package refusals

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"faquan/internal/benefit"
	"faquan/internal/gateway"
	"faquan/internal/store/codec"
)

// A segment is a sequence of frames:
//
//	4 bytes   length of the record, big-endian
//	4 bytes   CRC-32C of the record
//	the record: fields in the wire format of Protocol Buffers; the numbers of fields are never used again
//
// A reader skips fields that it does not have, and missing ones are zero, so older and newer programs read each other's
// files. A reason is stored by its number. A record has what an answer to "why?" needs and no more: no memo, no code, no
// signature. Identifiers of people are in the issuance alone.
const (
	fieldNumber      protowire.Number = 1
	fieldAt          protowire.Number = 2 // Unix milliseconds
	fieldMethod      protowire.Number = 3
	fieldTrace       protowire.Number = 4
	fieldCode        protowire.Number = 5
	fieldSubCode     protowire.Number = 6
	fieldMessage     protowire.Number = 7
	fieldReason      protowire.Number = 8
	fieldTemplate    protowire.Number = 9
	fieldKey         protowire.Number = 10
	fieldCallerTrace protowire.Number = 11
	fieldApp         protowire.Number = 12
	fieldErr         protowire.Number = 13
	fieldRequest     protowire.Number = 14 // what the core was asked, as an issuance without lines
	fieldAttempt     protowire.Number = 15 // what the core refused
)

const (
	frameHeader = 8
	// maxRecord bounds a record; larger ones are kept without what the core was asked.
	maxRecord = 32 << 10
	maxErr    = 1024 // bytes of the text of an error
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encoder appends frames to b.
type encoder struct{ b, issuance []byte }

// frame appends the frame of a refusal.
func (e *encoder) frame(c *gateway.Record, number int64) {
	start := len(e.b)
	e.b = append(e.b, make([]byte, frameHeader)...)
	e.fields(c, number)
	if c.Attempt != nil {
		e.stored(fieldAttempt, asStored(c.Attempt), start)
	} else if r := c.Request; r != nil {
		e.stored(fieldRequest, benefit.Issuance{Scope: r.Scope, Key: r.Key, App: r.App, Recipient: r.Recipient, Params: r.Params}, start)
	}
	b, record := e.b[start:], e.b[start+frameHeader:]
	binary.BigEndian.PutUint32(b, uint32(len(record)))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(record, castagnoli))
}

func (e *encoder) fields(c *gateway.Record, number int64) {
	text := func(field protowire.Number, value string) {
		if value != "" {
			e.b = protowire.AppendString(protowire.AppendTag(e.b, field, protowire.BytesType), value)
		}
	}
	integer := func(field protowire.Number, value int64) {
		if value != 0 {
			e.b = protowire.AppendVarint(protowire.AppendTag(e.b, field, protowire.VarintType), uint64(value))
		}
	}
	integer(fieldNumber, number)
	integer(fieldAt, c.At.UnixMilli())
	integer(fieldReason, int64(c.Reason))
	integer(fieldApp, int64(c.App))
	text(fieldMethod, c.Method)
	text(fieldTrace, c.TraceID)
	text(fieldCode, c.Code)
	text(fieldSubCode, c.SubCode)
	text(fieldMessage, c.Message)
	text(fieldTemplate, c.Template)
	text(fieldKey, c.Key)
	text(fieldCallerTrace, c.CallerTrace)
	if c.Err != nil {
		err := c.Err.Error()
		text(fieldErr, err[:min(len(err), maxErr)])
	}
}

// stored appends an issuance, unless it would make the frame that begins at start too large.
func (e *encoder) stored(field protowire.Number, i benefit.Issuance, start int) {
	e.issuance = codec.AppendIssuance(e.issuance[:0], &i)
	if len(e.b)-start+len(e.issuance) < maxRecord {
		e.b = protowire.AppendBytes(protowire.AppendTag(e.b, field, protowire.BytesType), e.issuance)
	}
}

// asStored returns an attempt without what explains nothing.
func asStored(attempt *benefit.Issuance) benefit.Issuance {
	i := *attempt
	i.Note, i.Alipay = benefit.Note{}, "" //guard:TestNoMoreThanNeeded
	i.Lines = slices.Clone(attempt.Lines) // the attempt is shared
	for k := range i.Lines {
		i.Lines[k].Codes = nil //guard:TestNoMoreThanNeeded
	}
	return i
}

// frames returns the records of a segment, up to the first damaged frame, and how many bytes they take with their headers.
func frames(segment []byte) (records [][]byte, size int64) {
	for rest := segment; len(rest) > frameHeader; {
		length := int64(binary.BigEndian.Uint32(rest))
		if length == 0 || length > int64(len(rest)-frameHeader) {
			break
		}
		record := rest[frameHeader : frameHeader+length]
		if crc32.Checksum(record, castagnoli) != binary.BigEndian.Uint32(rest[4:]) { //guard:TestDamagedSegment
			break
		}
		records = append(records, record)
		rest = rest[frameHeader+length:]
		size += frameHeader + length
	}
	return records, size
}

// decode reads a record. An issuance that a newer program wrote in a form that this one does not have is left out.
func decode(record []byte) (*gateway.Record, error) {
	c, text := &gateway.Record{}, string(record) // one copy for all texts
	for at := 0; at < len(record); {
		field, kind, n := protowire.ConsumeTag(record[at:])
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		at += n
		if n = protowire.ConsumeFieldValue(field, kind, record[at:]); n < 0 {
			return nil, protowire.ParseError(n)
		}
		switch kind {
		case protowire.VarintType:
			value, _ := protowire.ConsumeVarint(record[at:])
			setInteger(c, field, int64(value))
		case protowire.BytesType:
			value, _ := protowire.ConsumeBytes(record[at:])
			if field == fieldRequest || field == fieldAttempt {
				setIssuance(c, field, value)
				break
			}
			setText(c, field, text[at+n-len(value):at+n])
		}
		at += n
	}
	return c, nil
}

func setInteger(c *gateway.Record, field protowire.Number, value int64) {
	switch field {
	case fieldNumber:
		c.Number = value
	case fieldAt:
		c.At = time.UnixMilli(value)
	case fieldReason:
		c.Reason = benefit.Reason(value)
	case fieldApp:
		c.App = benefit.AppID(value)
	}
}

func setText(c *gateway.Record, field protowire.Number, value string) {
	switch field {
	case fieldMethod:
		c.Method = value
	case fieldTrace:
		c.TraceID = value
	case fieldCode:
		c.Code = value
	case fieldSubCode:
		c.SubCode = value
	case fieldMessage:
		c.Message = value
	case fieldTemplate:
		c.Template = value
	case fieldKey:
		c.Key = value
	case fieldCallerTrace:
		c.CallerTrace = value
	case fieldErr:
		c.Err = errors.New(value)
	}
}

func setIssuance(c *gateway.Record, field protowire.Number, body []byte) {
	i, err := codec.DecodeIssuance(bytes.Clone(body)) // parts of it stay in use, and the segment should not
	if err != nil {
		return
	}
	c.Request = &benefit.Request{Scope: i.Scope, Key: i.Key, App: i.App, Recipient: i.Recipient, Params: i.Params}
	if field == fieldAttempt {
		c.Attempt = i
	}
}
