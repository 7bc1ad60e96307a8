// Package archtest holds the shape of faquan: what may import what, what the core may know of the world, and a few
// things that no package may have. Nothing but its own tests uses it.
//
// The table in rules.go is the architecture in one screen. A package that is not in it fails the test, so a new
// package starts with a line there; a finding says which line it breaks. Read is the tree as it is, Check compares.
//
// It looks at the source, not at what a build of one platform takes of it, so a file behind a build tag is held to
// the same rules. Modules of their own (sdktest/go) are not looked at.
package archtest
