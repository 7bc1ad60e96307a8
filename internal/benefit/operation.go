package benefit

import "faquan/internal/id"

// OperationKind describes which command an operation is of. The numbers are stored.
type OperationKind uint8

// IssueOperation is an issue: its operation is an [Issuance].
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
