package api

import "faquan/internal/benefit"

// HasProblem reports whether a reason of the core has a status and a title of its own.
func HasProblem(r benefit.Reason) bool {
	_, ok := problems[of(r)]
	return ok
}
