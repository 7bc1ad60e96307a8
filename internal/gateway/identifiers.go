package gateway

import "faquan/internal/benefit"

// identifierRules are the texts of the identifier rules for callers, shown after the name of the parameter.
var identifierRules = map[benefit.IdentifierRule]string{
	benefit.RuleControl:     "含有控制字符",
	benefit.RuleSpace:       "首尾不能有空白字符",
	benefit.RulePlaceholder: "不是用户标识，调用方的变量可能没有值",
	benefit.RuleDigits:      "应为1至16位数字",
	benefit.RuleUserID:      "应为2088开头的16位数字",
}

// IdentifierRule returns the rule that the request's recipient breaks, for the caller. The catalogue may be a newer one
// than the one that the request was refused under, so that it breaks none.
func IdentifierRule(cat *benefit.Catalogue, r *benefit.Request, t *benefit.Template) string {
	if text := identifierRules[cat.RecipientBreaks(r, t)]; text != "" {
		return text
	}
	return "不是有效的用户标识"
}
