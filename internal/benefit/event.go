package benefit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// EventType describes what happened to a voucher or a template.
type EventType uint8

// The types of events. The numbers are stored; those of vouchers are below 64.
const (
	VoucherIssuedEvent   EventType = 1
	VoucherRedeemedEvent EventType = 2
	VoucherReversedEvent EventType = 3
	VoucherVoidedEvent   EventType = 4
	VoucherExtendedEvent EventType = 5
	VoucherExpiredEvent  EventType = 6 // its end has passed

	TemplateCreatedEvent   EventType = 64
	TemplateChangedEvent   EventType = 65
	TemplatePausedEvent    EventType = 66
	TemplateResumedEvent   EventType = 67
	TemplateEndedEvent     EventType = 68
	TemplateSoldOutEvent   EventType = 69 // a cap is reached
	TemplateRestockedEvent EventType = 70 // there is room again
)

// eventNames are the names in files, feeds and documentation.
var eventNames = map[EventType]string{
	VoucherIssuedEvent: "voucher.issued", VoucherRedeemedEvent: "voucher.redeemed", VoucherReversedEvent: "voucher.reversed",
	VoucherVoidedEvent: "voucher.voided", VoucherExtendedEvent: "voucher.extended", VoucherExpiredEvent: "voucher.expired",
	TemplateCreatedEvent: "template.created", TemplateChangedEvent: "template.changed", TemplatePausedEvent: "template.paused",
	TemplateResumedEvent: "template.resumed", TemplateEndedEvent: "template.ended",
	TemplateSoldOutEvent: "template.sold_out", TemplateRestockedEvent: "template.restocked",
}

// EventTypes lists all types by number.
func EventTypes() []EventType { return slices.Sorted(maps.Keys(eventNames)) }

// String returns the name of the type, such as voucher.issued.
func (t EventType) String() string {
	if name, ok := eventNames[t]; ok {
		return name
	}
	return fmt.Sprintf("event %d", uint8(t))
}

// EventPattern selects types of events: the name of one, or voucher.* or template.* for all of vouchers or templates, also
// those that later versions add.
type EventPattern string

// EventPatterns lists all patterns that select something.
func EventPatterns() []EventPattern {
	all := []EventPattern{"voucher.*", "template.*"}
	for _, t := range EventTypes() {
		all = append(all, EventPattern(t.String()))
	}
	return all
}

// Known reports whether the pattern selects something.
func (p EventPattern) Known() bool { return slices.Contains(EventPatterns(), p) }

// EventPatternNames returns all patterns that select something, joined by commas, for messages.
func EventPatternNames() string {
	var names []string
	for _, p := range EventPatterns() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// Matches reports whether the pattern selects the type.
func (p EventPattern) Matches(t EventType) bool {
	if prefix, all := strings.CutSuffix(string(p), "*"); all {
		return strings.HasPrefix(t.String(), prefix)
	}
	return string(p) == t.String()
}
