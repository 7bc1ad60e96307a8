package form

import (
	"regexp"
	"strings"
)

// Holds reports whether a parameter may be hidden in a text: whether its name stands anywhere in the text, followed by
// what a value of it begins with; a nil value is anything. What comes before and behind a name in a signed text, such as
// "&" and "=", is for the platform to put into the name.
func Holds(text, name string, value *regexp.Regexp) bool {
	for {
		_, after, found := strings.Cut(text, name)
		if !found || value == nil || value.MatchString(after) {
			return found
		}
		text = after
	}
}
