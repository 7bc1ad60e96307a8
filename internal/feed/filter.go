package feed

import (
	"fmt"
	"slices"

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
	for _, text := range texts {
		p := benefit.EventPattern(text)
		if !p.Known() {
			return nil, fmt.Errorf("%.64q is not a type of events: it must be one of %s", text, benefit.EventPatternNames())
		}
		all = append(all, p)
	}
	return all, nil
}

func (f *Filter) selects(kind benefit.EventType, t *benefit.Template) bool {
	return (f.Merchant == 0 || t.Merchant == f.Merchant) && //guard:TestPaging (f.Merchant == 0 || t.Merchant == f.Merchant) -> true
		(len(f.Types) == 0 || slices.ContainsFunc(f.Types, func(p benefit.EventPattern) bool { return p.Matches(kind) })) &&
		(len(f.Templates) == 0 || slices.Contains(f.Templates, t.ID))
}
