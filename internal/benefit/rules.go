package benefit

// Rules evaluates the rules of activities. The core knows of a rule only its text; package rule compiles it.
// It is safe for concurrent use, and pure: the same text and input give the same result.
type Rules interface {
	// References returns the templates and activities, by name, whose past issues to the recipient the rule reads.
	References(rule string) (templates, activities []string)
	// Holds evaluates the rule. An error means that it could not be evaluated (it took too long, or asked for an
	// attribute that the user does not have); then it does not hold.
	Holds(rule string, in *RuleInput) (bool, error)
}

// Past is how many vouchers a user has received before.
type Past struct {
	Total int64 `json:"total"`
	Today int64 `json:"today"`
}

// RuleInput is the input of a rule.
type RuleInput struct {
	Now        Instant
	Attributes []byte // the recipient's: a JSON object, or empty
	Known      bool   // the recipient was known before
	Request    *Request
	// OfTemplate and InActivity return the recipient's past issues, by name. They answer only for names that References
	// returned.
	OfTemplate, InActivity func(name string) Past
}
