package wire

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// NewRequestID makes the request_id of an answer: 13 characters of 0-9 and a-z, as the platform's are. It is no
// secret.
func NewRequestID() string {
	const least = 131621703842267136 * 36 // 36^12, the least number of 13 digits
	return strconv.FormatUint(least+rand.Uint64N(1<<64-1-least), 36)
}

// Send writes the answer and releases it. The status is always 200, since several SDKs throw on every other. The
// types are those that the official SDKs ask for, and the one for Node parses. Nothing is compressed unasked: that
// SDK would crash.
func Send(w http.ResponseWriter, r *http.Request, a *Answer) error {
	defer a.Release()
	return send(w, r, a.format, a.Body())
}

// SendBatch writes the answers of a batch, in the order of its items and joined by Separator, and releases them.
func SendBatch(w http.ResponseWriter, r *http.Request, batch *Request, answers []*Answer) error {
	var body []byte
	for i, a := range answers {
		if i > 0 {
			body = append(body, Separator...)
		}
		body = append(body, a.Body()...)
		a.Release()
	}
	return send(w, r, batch.Format(), body)
}

// gzipMin is the length below which an answer goes out as it is even when gzip is asked for: it fits a packet.
const gzipMin = 1024

func send(w http.ResponseWriter, r *http.Request, f Format, body []byte) error {
	h := w.Header()
	h["Content-Type"] = contentTypes[f]
	h["X-Content-Type-Options"] = noSniff
	if len(body) >= gzipMin && acceptsGzip(r.Header) {
		h.Set("Content-Encoding", "gzip")
		body = pack(body)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body)
	return err
}

// Header values that are the same in every answer; net/http only reads them.
var (
	contentTypes = [...][]string{
		XML: {"text/xml;charset=UTF-8"}, JSON: {"text/javascript;charset=UTF-8"}, SimplifiedJSON: {"text/javascript;charset=UTF-8"},
	}
	noSniff = []string{"nosniff"}
)

// compressors are kept: making one allocates most of a megabyte.
var compressors = sync.Pool{New: func() any {
	zip, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails on a level that does not exist
	return zip
}}

func pack(body []byte) []byte {
	var packed bytes.Buffer
	zip := compressors.Get().(*gzip.Writer)
	zip.Reset(&packed)
	_, _ = zip.Write(body) // a bytes.Buffer takes everything
	_ = zip.Close()
	compressors.Put(zip)
	return packed.Bytes()
}

// acceptsGzip reads Accept-Encoding: gzip is named, and not with a weight of nothing.
func acceptsGzip(h http.Header) bool {
	for _, line := range h["Accept-Encoding"] {
		for entry := range strings.SplitSeq(line, ",") {
			coding, weight, _ := strings.Cut(entry, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			q, weighed := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			value, err := strconv.ParseFloat(q, 64)
			return !weighed || err == nil && value > 0
		}
	}
	return false
}
