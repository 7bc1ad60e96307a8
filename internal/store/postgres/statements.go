package postgres

// A statement is one text that the store sends, prepared under its name once for each connection. It binds the bucket
// of every row that it touches in a table that is distributed by bucket, so that a distributed database sends it to
// the nodes of those buckets alone; or it says why it need not. Tests go through all of them.
type statement struct {
	name string
	text string
	// spans is why the statement may touch all buckets; empty when it binds the bucket of each key.
	spans string
}

// statements are all that were defined, by name.
var statements = map[string]*statement{}

// hot defines a statement that binds buckets.
func hot(name, text string) *statement { return define(statement{name: name, text: text}) }

// spanning defines a statement that may touch all buckets, and why it may.
func spanning(name, why, text string) *statement {
	if why == "" {
		panic("postgres: no reason why " + name + " may span buckets")
	}
	return define(statement{name: name, text: text, spans: why})
}

func define(s statement) *statement {
	if statements[s.name] != nil {
		panic("postgres: two statements named " + s.name)
	}
	statements[s.name] = &s
	return &s
}
