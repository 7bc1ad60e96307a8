package feed

import (
	"fmt"
	"slices"
	"strings"

	"faquan/internal/benefit"
)

// Filter selects events. The zero Filter selects all.
type Filter struct {
	Merchant  benefit.MerchantID     // of the template; 0: any
	Types     []benefit.EventPattern // one of which matches; none: any
	Templates []benefit.TemplateID   // none: any
}

// ParsePatterns returns patterns of types, which must select something.
func ParsePatterns(texts []string) (all []benefit.EventPattern, err error) {
	known := benefit.EventPatterns()
	for _, text := range texts {
		if !slices.Contains(known, benefit.EventPattern(text)) {
			var names []string
			for _, p := range known {
				names = append(names, string(p))
			}
			return nil, fmt.Errorf("%.64q is not a type of events: it must be one of %s", text, strings.Join(names, ", "))
		}
		all = append(all, benefit.EventPattern(text))
	}
	return all, nil
}

func (f *Filter) selects(kind benefit.EventType, t *benefit.Template) bool {
	return (f.Merchant == 0 || t.Merchant == f.Merchant) && //guard:TestPaging (f.Merchant == 0 || t.Merchant == f.Merchant) -> true
		(len(f.Types) == 0 || slices.ContainsFunc(f.Types, func(p benefit.EventPattern) bool { return p.Matches(kind) })) &&
		(len(f.Templates) == 0 || slices.Contains(f.Templates, t.ID))
}
