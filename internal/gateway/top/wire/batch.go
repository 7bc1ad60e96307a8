package wire

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"faquan/internal/gateway/form"
)

// SeparatorHeader is the request header by which a caller names another separator between the items of a batch. A
// batch that has it is refused: no signature covers a header, and by another separator the signed body would be other
// calls.
const SeparatorHeader = "Top-Api-Separator"

// Separator stands between the items of a batch, and between their answers. No answer holds it: both shapes write a
// carriage return as an escape.
const Separator = "\r\n-S-\r\n"

const (
	publicPrefix = "#PUBLIC#"
	noParams     = "N" // an item without parameters of its own
)

// Item is one call of a batch: a request to serve, or, when it cannot be read or names no known method, its refusal.
type Item struct {
	Request *Request
	Refusal *Error
}

// Items splits a batch that CheckBatch has passed. An item's parameters are those of the query, under those of the
// public element, under its own. Those in outer, for the caller and the shape of the answer, are the query's alone: the
// signature was checked for that app, and all answers share one format.
//
// The second result refuses the batch as a whole.
func (p *Policy) Items(batch *Request) ([]Item, *Error) {
	limit := cmp.Or(p.BatchItems, DefaultBatchItems)
	public, body := batch.Params, batch.Body
	if rest, ok := strings.CutPrefix(body, publicPrefix); ok {
		first, more, _ := strings.Cut(rest, Separator)
		body = more
		shared, bad := batch.readItem(first)
		if bad != nil {
			return nil, bad
		}
		public = mergeParams(public, shared)
	}
	if body == "" {
		return nil, ErrParameter.With("批量请求中没有API调用")
	}
	if strings.Count(body, Separator) >= limit {
		return nil, ErrParameter.With("批量请求最多包含" + strconv.Itoa(limit) + "个API调用")
	}
	var items []Item
	for text := range strings.SplitSeq(body, Separator) {
		own, bad := batch.readItem(text)
		req := &Request{Params: mergeParams(public, own), limits: batch.limits}
		if bad == nil {
			bad = p.checkMethod(req)
		}
		items = append(items, Item{req, bad})
	}
	return items, nil
}

// readItem reads the parameters of one element.
func (r *Request) readItem(text string) ([]Param, *Error) {
	if text == noParams {
		return nil, nil
	}
	f, problem := form.ReadText(text, form.Options{Bytes: r.limits.Bytes, Params: r.limits.Params})
	if dup := f.Merge(""); problem == nil {
		problem = dup
	}
	if problem != nil {
		return nil, unreadable(problem)
	}
	return decode(f.Params)
}

// outer are the parameters that only the query can set.
var outer = []string{"app_key", "sign", "sign_method", "timestamp", "v", "format", "simplify", "partner_id"}

// mergeParams returns the parameters of under and over, sorted; where both have a name, over's. The signature is left out,
// as nothing more is to be checked against it.
func mergeParams(under, over []Param) []Param {
	all := make([]Param, 0, len(under)+len(over))
	for _, p := range over {
		if !slices.Contains(outer, p.Name) {
			all = append(all, p)
		}
	}
	for _, p := range under {
		if p.Name != "sign" {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(all, func(a, b Param) bool { return a.Name == b.Name })
}
