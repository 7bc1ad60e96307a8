package wire

import (
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
// public element, under its own. What says who calls and how the answer looks (outer) is the query's alone: the
// signature was checked for that app, and all answers share one format.
//
// The second result refuses the batch as a whole.
func (p *Policy) Items(batch *Request) ([]Item, *Error) {
	limit := p.BatchItems
	if limit == 0 {
		limit = DefaultBatchItems
	}
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
			bad = checkMethod(&checker{policy: p, req: req})
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

// outer holds the parameters that only the query can set.
func outer(name string) bool {
	switch name {
	case "app_key", "sign", "sign_method", "timestamp", "v", "format", "simplify", "partner_id":
		return true
	}
	return false
}

// mergeParams returns the parameters of under and over, sorted; where both have a name, over's. The signature is left out,
// as nothing more is to be checked against it.
func mergeParams(under, over []Param) []Param {
	all := make([]Param, 0, len(under)+len(over))
	for len(under) > 0 || len(over) > 0 {
		var p Param
		switch {
		case len(over) == 0 || len(under) > 0 && under[0].Name < over[0].Name:
			p, under = under[0], under[1:]
		case len(under) == 0 || over[0].Name < under[0].Name:
			p, over = over[0], over[1:]
			if outer(p.Name) {
				continue
			}
		default:
			p = over[0]
			if outer(p.Name) {
				p = under[0]
			}
			under, over = under[1:], over[1:]
		}
		if p.Name != "sign" {
			all = append(all, p)
		}
	}
	return all
}
