package benefit

import (
	"fmt"

	"faquan/internal/id"
)

// OperationKind describes which command an operation is of. The numbers are stored.
type OperationKind uint8

// IssueOperation is an issue: its operation is an [Issuance]. Each other command has a kind of its own, beside it.
const IssueOperation OperationKind = 1

// Operation is a command that was carried out, as it stands under its key for ever.
type Operation struct {
	Claim       ClaimID // of scope and key
	Kind        OperationKind
	ID          id.ID
	Scope       Scope
	Key         string
	Fingerprint Digest // of what a retry must repeat
	At          Instant
	Result      []byte // in a form of the kind's own
}

// Operation returns an issuance as an operation.
func (i *Issuance) Operation() Operation {
	return Operation{
		Claim: ClaimIDOf(i.Scope, i.Key), Kind: IssueOperation, ID: i.ID, Scope: i.Scope, Key: i.Key, Fingerprint: i.Fingerprint, At: i.At(),
	}
}

// Operation returns what stands under the key of a command that does not issue, nil when nothing does, and whether this
// batch has put it there. The command compares scope and key, which may share a digest with others, and the fingerprint.
func (s *State) Operation(c ClaimID) (op *Operation, uncommitted bool) {
	row, loaded := Operations.Get(&s.rows, c)
	switch {
	case !loaded: //guard:TestOperation
		panic(fmt.Sprintf("benefit: the operation %s was not loaded", c))
	case !Operations.Exists(&s.rows, c):
		return nil, false
	}
	return &row, Operations.Changed(&s.rows, c)
}
