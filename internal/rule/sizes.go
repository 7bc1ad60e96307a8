package rule

import (
	"slices"

	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Of a rule that is counted while it runs the cost is estimated for lists and texts of usual size and elements of
// usual size. That refuses what would always be too dear; what is too dear for a long list ends while it runs.
const (
	usualSize    = 100
	usualElement = 16
)

// sizes provides the maximum sizes of a rule's inputs, in bytes or elements, to the estimate of its cost.
type sizes struct {
	counted  bool
	patterns map[string]uint64
}

// EstimateSize returns the size of a variable or of a part of one; nil for what the rule makes itself.
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
	if s.counted {
		largest = min(largest, usualSize)
		if slices.ContainsFunc(path, func(s string) bool { return s == "@items" || s == "@keys" || s == "@values" }) {
			largest = usualElement
		}
	}
	return &cost.SizeEstimate{Max: largest}
}

// EstimateCallCost returns the cost of matching a pattern; other calls are left to CEL's own model.
func (s sizes) EstimateCallCost(function, _ string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	if function != overloads.Matches || len(args) == 0 {
		return nil
	}
	text := args[0]
	if target != nil {
		text = *target
	}
	size := text.ComputedSize()
	if size == nil {
		size = s.EstimateSize(text)
	}
	if size == nil {
		size = &cost.SizeEstimate{Max: usualSize}
	}
	pattern, _ := literal(args[len(args)-1].Expr())
	return &cost.CallEstimate{CostEstimate: cost.CostEstimate{Max: matching(size.Max, s.patterns[pattern])}}
}

// counter counts what patterns cost while a rule runs.
type counter struct{ patterns map[string]uint64 }

// CallCost returns the cost of matching a pattern; nil leaves other calls to CEL's own model.
func (c counter) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	//guard:TestAPatternEndsAtItsCost without function != overloads.Matches || len(args) != 2
	if function != overloads.Matches || len(args) != 2 {
		return nil
	}
	text, _ := args[0].(types.String)
	pattern, ok := args[1].(types.String)
	if !ok {
		return nil
	}
	n := matching(uint64(len(text)), c.patterns[string(pattern)])
	return &n
}

// matching returns what it costs to match a text. At worst each byte meets each instruction, which takes a third of a
// unit. CEL counts the length of the pattern instead, and (x?){200} is much longer than it looks.
func matching(text, instructions uint64) uint64 { return 1 + text*instructions/3 }
