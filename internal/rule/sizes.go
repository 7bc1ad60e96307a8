package rule

import (
	"slices"

	"cel.dev/cel-go/common/cost"
)

// Of a rule with loops the cost is estimated for lists of usual length and elements of usual size. That refuses what
// would always be too dear; what is too dear for a long list ends while it runs.
const (
	usualList    = 100
	usualElement = 16
)

// sizes tells the estimate of a rule's cost how large what it looks at can be, in bytes or elements.
type sizes struct{ loops bool }

// EstimateSize is the size of a variable or of a part of one; nil for what the rule makes itself.
func (s sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	largest := uint64(MaxText)
	switch path[0] {
	case "user":
		largest = MaxAttributes
	case "request.act_codes":
		largest = MaxActCodes
	case "day":
		largest = 10
	}
	if s.loops {
		largest = min(largest, usualList)
		if slices.ContainsFunc(path, func(s string) bool { return s == "@items" || s == "@keys" || s == "@values" }) {
			largest = usualElement
		}
	}
	return &cost.SizeEstimate{Max: largest}
}

// EstimateCallCost leaves the calls to CEL's own model.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
