package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"faquan/internal/benefit"
	"faquan/internal/feed"
	"faquan/internal/gateway"
)

// Bounds of pages of events.
const (
	defaultEvents = 100
	maxEvents     = 1000
	maxNames      = 1024 // characters of a list of types or templates
)

// EventList is a page of events.
type EventList struct {
	Events []*feed.Event `json:"events"`
	Next   string        `json:"next"`
	More   bool          `json:"more"`
}

// eventStream is the type of server-sent events.
const eventStream = "text/event-stream"

// listEvents answers a page of events, or begins a stream of them.
func (h *Handler) listEvents(c *call) (any, *Problem) {
	m, bad := c.query()
	if bad != nil {
		return nil, bad
	}
	streams := strings.Contains(c.r.Header.Get("Accept"), eventStream)
	from := m.text("from", 64)
	if from == "" {
		from = "start"
	}
	filter := feed.Filter{Merchant: c.app.Merchant, Types: m.patterns("types")} //guard:TestEventsOfOtherMerchants c.app.Merchant -> 0
	for _, name := range m.names("templates") {
		t := c.template(name)
		if t == nil {
			m.fail("templates", "must be names of templates of the app's merchant")
			break
		}
		filter.Templates = append(filter.Templates, t.ID)
	}
	limit := int(m.number("limit", 1, maxEvents, defaultEvents))
	if streams && m.find("limit") != nil {
		m.fail("limit", "is for pages; a stream has no end")
	}
	if bad := m.done(); bad != nil {
		return nil, bad
	}
	field := "from"
	if last := c.r.Header.Get(lastEventID); streams && last != "" { // of a client that connects again
		from, field = last, lastEventID //guard:TestEventStream
	}
	var leave func()
	if streams {
		limit = 1
		// The room for streams comes first: a client that waits there holds up no queries.
		if leave, bad = h.enterStreams(c); bad != nil {
			return nil, bad
		}
		defer func() {
			if c.stream == nil { // it has not begun
				leave() //guard:TestRefusedStreamsLeave
			}
		}()
	}
	return h.asQuery(c, func() (any, *Problem, error) {
		position, err := h.o.Feed.From(c.ctx, from, c.now-benefit.Instant(h.o.FeedKeep.Milliseconds()))
		if errors.Is(err, feed.ErrFrom) {
			return nil, invalid(field, err.Error()), nil
		}
		if err != nil {
			return nil, nil, err
		}
		list, err := h.o.Feed.Page(c.ctx, position, &filter, limit)
		if bad := positionProblem(err); bad != nil {
			return nil, bad, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if streams { // from a position that can be read from
			c.stream = &stream{position, &filter, leave}
			return nil, nil, nil
		}
		c.hideKeys(list.Events)
		return &EventList{list.Events, list.Next.String(), list.More}, nil, nil
	})
}

const lastEventID = "Last-Event-ID"

// positionProblem returns the problem of a position that cannot be read from; nil for any other error.
func positionProblem(err error) *Problem {
	switch {
	case errors.Is(err, feed.ErrForeignPosition):
		return refuse(positionUnknown, err.Error())
	case errors.Is(err, feed.ErrPositionGone):
		return refuse(positionGone, err.Error())
	}
	return nil
}

// hideKeys removes the keys that are not the caller's.
func (c *call) hideKeys(all []*feed.Event) {
	for _, e := range all {
		if e.App != c.app.ID {
			e.Data.Key = "" //guard:TestKeysInEvents
		}
	}
}

// names returns an optional list of names, joined by commas.
func (m *members) names(name string) []string {
	text := m.text(name, maxNames)
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// patterns returns an optional list of patterns of types of events.
func (m *members) patterns(name string) []benefit.EventPattern {
	all, err := feed.ParsePatterns(m.names(name))
	if err != nil {
		m.fail(name, "must be types of events, joined by commas: "+err.Error())
	}
	return all
}

// stream is a stream of events that was begun.
type stream struct {
	from   feed.Position
	filter *feed.Filter
	leave  func() // makes room for another stream
}

// streamTimes are the times of streams.
type streamTimes struct {
	beat  time.Duration // how often a client hears something, and its token is checked
	write time.Duration // how long a client may take to receive what is written at once
}

var defaultStreamTimes = streamTimes{beat: 15 * time.Second, write: 10 * time.Second}

// enterStreams waits until there is room for another stream of the app.
func (h *Handler) enterStreams(c *call) (leave func(), bad *Problem) {
	select {
	case <-h.stopping:
		return nil, c.busy(gateway.ErrReadersBusy)
	default:
	}
	leave, err := h.streams.Enter(c.ctx, c.app.ID)
	if err != nil {
		c.record.Outcome = gateway.Busy
		return nil, refuse(busy, fmt.Sprintf("a process has at most %d streams of events, %d of one app; end one, or read pages", maxStreams, maxStreamsOfApp))
	}
	return leave, nil
}

// EndStreams ends all streams of events, whose clients connect again, and begins no more. Call it before the server shuts down.
func (h *Handler) EndStreams() { h.stopStreams.Do(func() { close(h.stopping) }) }

// errEnded is returned when a stream has ended for no fault of the store.
var errEnded = errors.New("the stream has ended")

// serveStream writes events until the client is gone or too slow, its token permits them no more, or the process stops.
func (h *Handler) serveStream(c *call) {
	defer c.stream.leave()
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	go func() {
		select {
		case <-h.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	w := &streamWriter{w: c.w, control: http.NewResponseController(c.w), timeout: h.streamTimes.write}
	c.w.Header().Set("Content-Type", eventStream)
	c.w.Header().Set("X-Accel-Buffering", "no") // of proxies that would wait for more
	err := w.write([]byte(": stream\n\n"))
	if err == nil {
		err = h.follow(ctx, c, w)
	}
	if !errors.Is(err, errEnded) && ctx.Err() == nil {
		h.o.Log.Warn("a stream of events ended; its client can connect again", slog.String("trace", c.record.TraceID), slog.Any("err", err))
	}
}

// follow writes events until there is an error.
func (h *Handler) follow(ctx context.Context, c *call, w *streamWriter) error {
	for beat := time.Now().Add(h.streamTimes.beat); ; {
		if !time.Now().Before(beat) {
			if err := h.stillPermitted(ctx, c); err != nil {
				return err
			}
			// An id without data moves the position of the client, whose filter may select nothing for long.
			if err := w.write(fmt.Appendf(nil, ": still here\nid: %s\n\n", c.stream.from)); err != nil {
				return err
			}
			beat = time.Now().Add(h.streamTimes.beat)
		}
		end, err := h.o.Feed.End(ctx)
		if err != nil {
			return err
		}
		more, err := h.writePage(ctx, c, w)
		if err != nil {
			return err
		}
		if !more {
			until, cancel := context.WithDeadline(ctx, beat)
			err := h.o.Feed.Wait(until, end)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
				return err
			}
		}
	}
}

// stillPermitted returns an error when the token or its app no longer permits the stream.
func (h *Handler) stillPermitted(ctx context.Context, c *call) error {
	ctx, cancel := context.WithTimeout(ctx, h.o.Deadline)
	defer cancel()
	t, err := h.lookUp(ctx, c.token.Digest)
	if err != nil {
		return err
	}
	app := h.o.Apps.Current().ByID(c.token.App)
	//guard:TestStreamOfARevokedToken
	if t == nil || permits(t, app, benefit.MayReadEvents, benefit.InstantOf(h.o.Clock())) != nil || app.Merchant != c.stream.filter.Merchant {
		return errEnded
	}
	return nil
}

// writePage writes the next page of a stream, and reports whether there is more.
func (h *Handler) writePage(ctx context.Context, c *call, w *streamWriter) (more bool, err error) {
	leave, err := h.readers.Enter(ctx, c.app.ID)
	if errors.Is(err, gateway.ErrReadersBusy) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	page, err := h.o.Feed.Page(ctx, c.stream.from, c.stream.filter, defaultEvents)
	leave()
	if err != nil {
		return false, err
	}
	c.hideKeys(page.Events)
	var text bytes.Buffer
	for _, e := range page.Events {
		data, err := json.Marshal(e, json.Deterministic(true))
		if err != nil {
			return false, err
		}
		fmt.Fprintf(&text, "id: %s\nevent: %s\ndata: %s\n\n", e.Position, e.Type, data)
	}
	if text.Len() > 0 {
		err = w.write(text.Bytes())
	}
	c.stream.from = page.Next
	return page.More, err
}

// streamWriter writes to a client that must receive what is written in time. Nothing is kept for one that does not.
type streamWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (s *streamWriter) write(text []byte) error {
	err := s.control.SetWriteDeadline(time.Now().Add(s.timeout)) //guard:TestSlowStream s.timeout -> time.Hour
	if err == nil {
		_, err = s.w.Write(text)
	}
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		return errEnded // the client is gone, or too slow
	}
	return nil
}
