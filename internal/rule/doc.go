// Package rule compiles and evaluates the rules of activities: who may take part. A rule is an expression of CEL, the
// Common Expression Language (cel.dev), over the recipient's attributes, the request, the time and what the recipient
// has received before, such as
//
//	user.level >= 2 && request.biz_code == "XXXX" && issuedOf("cinema-10") == 0
//
// docs/rules.md is the page for those who write rules. The core has the text of a rule alone and asks through the
// interface benefit.Rules, which [Rules] implements; the catalogue calls [Compile] before it stores a rule.
//
//	Compile(text)    → Rule     or why not, with line and column
//	Rule.Holds(in)   → bool     an error means that it does not hold
//	Rules            a cache of compiled rules, by text
//
// # What a rule cannot do
//
// It cannot change anything, and the same text gives the same result for the same input: the time comes with the
// input, maps are gone through in the order of their keys, and time zones are offsets and not names, whose meaning
// differs between machines.
//
// It cannot take long, because decisions are made one after the other. [Compile] refuses a rule that could cost more
// than [MaxCost] with the largest input. What a loop (exists, all, filter, map) or a pattern (matches) costs depends too much
// on lengths that are not known beforehand, so a rule with one is judged for usual lengths, has its cost counted while it
// runs, and ends at MaxCost with an error. Other rules need no counting, which would take longer than they do.
//
// # How it is fast
//
// A decision may ask twenty rules in the time of one issue. So what rules look at is turned into CEL's values once and
// kept for the next rule: a scope remembers the input of the last one and makes a value anew only where the input
// differs. Scopes are pooled, and the rules of one decision run one after the other, so they mostly find the scope of
// the one before.
package rule
