package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"faquan/internal/benefit"
	"faquan/internal/gateway/form"
	"faquan/internal/id"
	"faquan/internal/money"
)

// members are the members of the body, or the parameters of the query, asked for by name, each with its rule. The first
// broken rule is kept for done, so that an operation reads everything and looks once.
type members struct {
	prefix string // of the names in problems: of a nested object its own name
	list   []form.Member
	asked  []string
	bad    **Problem // shared by an object and those that are nested in it
}

// body reads the body of a call: a JSON object, or nothing where that is the same as an object without members.
func (h *Handler) body(c *call) (*members, *Problem) {
	m := &members{bad: new(*Problem)}
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, int64(h.o.MaxBytes)))
	switch {
	case errors.As(err, new(*http.MaxBytesError)): //guard:TestBodies
		return nil, refuse(bodyTooLarge, fmt.Sprintf("at most %d bytes", h.o.MaxBytes))
	case errors.Is(err, form.ErrBusy):
		return nil, c.busy(err)
	case errors.Is(err, form.ErrSlow):
		return nil, refuse(bodyTooSlow, "")
	case err != nil: // the connection broke
		return nil, refuse(requestInvalid, "the body was not received")
	case len(data) == 0:
		return m, nil
	}
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/json" { //guard:TestBodies
		return nil, refuse(notJSON, "send the header Content-Type: application/json")
	}
	list, problem := form.ParseObject(string(data))
	switch {
	case problem != nil && problem.Name != "":
		return nil, invalid(problem.Name, "is there more than once")
	case problem != nil:
		return nil, refuse(requestInvalid, "the body is not a JSON object, in UTF-8 and with nothing after it")
	}
	m.list = list
	return m, nil
}

// query returns the parameters of the query. Each may come once.
func (c *call) query() (*members, *Problem) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, refuse(requestInvalid, "the query is not correctly encoded")
	}
	m := &members{bad: new(*Problem)}
	for name, all := range values {
		if !utf8.ValidString(name) { //guard:TestNamesOfParameters
			return nil, refuse(requestInvalid, "the name of a parameter is not UTF-8")
		}
		if len(all) > 1 {
			return nil, invalid(name, "is there more than once")
		}
		m.list = append(m.list, form.Member{Name: name, Kind: form.String, Text: all[0]})
	}
	return m, nil
}

func (m *members) fail(name, rule string) {
	if *m.bad == nil {
		*m.bad = invalid(m.prefix+name, rule)
	}
}

// find returns a member that is asked for; nil when it is absent.
func (m *members) find(name string) *form.Member {
	m.asked = append(m.asked, name)
	for k := range m.list {
		if m.list[k].Name == name {
			return &m.list[k]
		}
	}
	return nil
}

// done returns the first broken rule. What was not asked for breaks one: a misspelt amount must not be ignored.
func (m *members) done() *Problem {
	for _, one := range m.list {
		if !slices.Contains(m.asked, one.Name) { //guard:TestBodies
			m.fail(one.Name, "is not known here; it may be one of "+strings.Join(m.asked, ", "))
		}
	}
	return *m.bad
}

// text returns an optional text of 1 to max characters; "" when it is absent. A number is none: readers of JSON in
// some languages round numbers, so this API has none where digits matter.
func (m *members) text(name string, max int) string {
	one := m.find(name)
	switch {
	case one == nil:
		return ""
	case one.Kind != form.String: //guard:TestBodies
		m.fail(name, "must be a string")
	case one.Text == "":
		m.fail(name, "must not be empty; leave it out instead")
	case utf8.RuneCountInString(one.Text) > max:
		m.fail(name, fmt.Sprintf("must have at most %d characters", max))
	case !utf8.ValidString(one.Text) || strings.ContainsFunc(one.Text, unicode.IsControl):
		m.fail(name, "must be UTF-8 without control characters")
	default:
		return strings.Clone(one.Text) // the body lies in one piece, all of which would stay in memory
	}
	return ""
}

// fen returns an optional amount of money, given as a text of decimal digits.
func (m *members) fen(name string) (amount money.Fen, given bool) {
	text := m.text(name, 19)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text || n < 0 { //guard:TestBodies without strconv.FormatInt(n, 10) != text
		m.fail(name, `must be a string of a whole number of fen, such as "1999"`)
		return 0, false
	}
	return money.Fen(n), true
}

// bool returns an optional bool; false when it is absent.
func (m *members) bool(name string) bool {
	one := m.find(name)
	if one != nil && one.Kind != form.Bool {
		m.fail(name, "must be true or false")
	}
	return one != nil && one.Text == "true"
}

// instant returns a time of RFC 3339, which must be there.
func (m *members) instant(name string) benefit.Instant {
	text := m.required(name, 64)
	if text == "" {
		return 0
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		m.fail(name, `must be a time of RFC 3339, such as "2027-01-01T00:00:00+08:00"`)
		return 0
	}
	return benefit.InstantOf(t)
}

// required returns a text that must be there.
func (m *members) required(name string, max int) string {
	text := m.text(name, max)
	if text == "" {
		m.fail(name, "is missing")
	}
	return text
}

// id returns an optional id of a voucher; 0 when it is absent.
func (m *members) id(name string) id.ID {
	text := m.text(name, maxID)
	if text == "" {
		return 0
	}
	n, ok := parseID(text)
	if !ok {
		m.fail(name, `must be a string of a voucher's id, such as "7301459273465856001"`)
	}
	return n
}

// maxID is the length of the longest form of a voucher's id.
const maxID = 28

// parseID reads the id of a voucher as the API writes it, or as the Alipay gateway does: a shop that has issued the voucher
// there has only that.
func parseID(text string) (id.ID, bool) {
	if v, err := id.ParseLong(text); err == nil {
		return v, true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return id.ID(n), err == nil && n > 0 && strconv.FormatInt(n, 10) == text
}

// number returns an optional whole number of a query.
func (m *members) number(name string, low, high, absent int64) int64 {
	text := m.text(name, 19)
	if text == "" {
		return absent
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		m.fail(name, fmt.Sprintf("must be a whole number from %d to %d", low, high))
	}
	return n
}

// holder returns an optional identifier of a user; the zero Identifier when it is absent. An OPEN_ID is that of the app.
func (m *members) holder(name string, app benefit.AppID) benefit.Identifier {
	one := m.find(name)
	if one == nil {
		return benefit.Identifier{}
	}
	if one.Kind != form.Object {
		m.fail(name, "must be an object with type and value")
		return benefit.Identifier{}
	}
	list, problem := form.ParseObject(one.Text)
	if problem != nil {
		m.fail(name, "must be an object with type and value, each once")
		return benefit.Identifier{}
	}
	nested := &members{prefix: m.prefix + name + ".", list: list, bad: m.bad}
	kind, value := nested.required("type", benefit.MaxIdentifierType), nested.required("value", benefit.MaxIdentifier)
	_ = nested.done() // kept for m.done
	return nested.identifier("type", kind, value, app)
}

// identifier returns an identifier of its two parts.
func (m *members) identifier(name, kind, value string, app benefit.AppID) benefit.Identifier {
	if kind != "" && !benefit.ValidIdentifierType(kind) {
		m.fail(name, "must be a type of identifiers, such as ALIPAY")
	}
	i := benefit.Identifier{Type: kind, Value: value}
	if kind == benefit.OpenID {
		i.App = app
	}
	return i
}

// key returns the Idempotency-Key of a call that changes something.
func (c *call) key() (string, *Problem) {
	const header = "Idempotency-Key"
	switch all := c.r.Header.Values(header); {
	case len(all) == 0 || len(all) == 1 && all[0] == "": //guard:TestKeys
		p := refuse(keyMissing, "send the header "+header)
		p.Field = header
		return "", p
	case len(all) > 1 || len(all[0]) > benefit.MaxKey || strings.ContainsFunc(all[0], func(r rune) bool { return r < ' ' || r > '~' }): //guard:TestKeys
		return "", invalid(header, fmt.Sprintf("must have 1 to %d characters of ASCII, and be there once", benefit.MaxKey))
	default:
		c.record.Key = all[0]
		return all[0], nil
	}
}
