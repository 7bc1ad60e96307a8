// Package catalog reads, checks, plans and writes catalogue files: the YAML in which an operator states merchants,
// apps, users, sessions, templates, activities, scenes and subscriptions. The commands apply, diff and export are thin
// layers over it.
//
//	Parse(text)           → File      every field known, of the right type and in range, or Problems with lines
//	File.Plan(store)      → Plan      what applying would do, field by field
//	File.Changes(store)   → Changes   the rows to commit, for engine.Engine.Change
//	Export(store)         → text      the same format
//
// # The file
//
// testdata/example.yaml shows every part. A scalar is parsed by the type of its field from the text as it is written,
// regardless of YAML's own types: an unquoted 2014e12 is an id, ids above 2^53 are exact, amounts are text in yuan,
// and a time without a zone is at +08:00. Only the attributes of users, which have no declared type, follow YAML's
// types. Anchors, aliases and tags are refused.
//
// Errors have file, line and reason, as many as can be found at once, and then nothing is applied: unknown fields,
// fields given twice, names or wire ids of two entities, references to what neither the file nor the store has, fields
// that a kind does not have, values out of range.
//
// docs/catalogue.md describes every field and how the text of each type is written.
//
// # Applying over what exists
//
// An entity is found by its name, a user by name or else by identifiers, a session by its key. Entities that the
// file leaves out are kept. An entity that the file states replaces the stored one: an optional field that is left out
// goes back to its default. These are kept when they are left out, because losing them that way would be an accident:
//
//   - secrets: app_secret, the platform's key, and sessions, which are their key;
//   - ids on the wire, which callers know; new entities get generated ones, the same for the same file;
//   - status, so that a file without it does not start what was paused or frozen. A new entity is ACTIVE;
//   - the identifiers of a user. They can be added, but never removed, because an unknown identifier might make a new
//     user with fresh limits.
//
// Some changes are refused: an ENDED entity stays ENDED, and none becomes a DRAFT again. Once vouchers of a template
// were issued, its kind, face, code rule and merchant are fixed. The total stock cannot be set below what is issued. A
// wire id does not move to another entity in one step, and an identifier never to another user.
//
// Applying a file twice changes nothing the second time, and makes no new version.
package catalog
