package benefit

import (
	"fmt"

	"faquan/internal/id"
)

// OperationKind describes which command an operation is of. The numbers are stored, and never used for another command; 1 is
// for issues, whose operation is the [Issuance].
type OperationKind uint8

// The kinds.
const (
	IssueOperation   OperationKind = 1
	RedeemOperation  OperationKind = 2
	ReverseOperation OperationKind = 3
	VoidOperation    OperationKind = 4
	ExtendOperation  OperationKind = 5
	ExpireOperation  OperationKind = 6
)

var operationNames = [...]string{
	IssueOperation: "issue", RedeemOperation: "redeem", ReverseOperation: "reverse", VoidOperation: "void",
	ExtendOperation: "extend", ExpireOperation: "expire",
}

// String returns the name of the command, such as redeem.
func (k OperationKind) String() string {
	if int(k) < len(operationNames) && k != 0 {
		return operationNames[k]
	}
	return fmt.Sprintf("operation %d", uint8(k))
}

// Operation is a command that was carried out, as it stands under its key for ever.
type Operation struct {
	Claim       ClaimID // of scope and key
	Kind        OperationKind
	ID          id.ID // of what the operation is about, such as a voucher; stores do not count it among the ids given out
	Scope       Scope
	Key         string
	Fingerprint Digest // of what a retry must repeat
	At          Instant
	Result      []byte // in a form of the kind's own
}

// Keyed is what commands other than [Issue] have in common: a key, under which a command stands as an operation once it was
// carried out. A refusal does not bind the key.
type Keyed struct {
	Kind        OperationKind
	Scope       Scope
	Key         string
	Fingerprint Digest // of what a retry must repeat
}

// Check returns an error when the key is not valid.
func (k *Keyed) Check() error { return checkKey(k.Scope, k.Key) }

func checkKey(scope Scope, key string) error {
	if scope == "" || !ValidKey(key) {
		return fmt.Errorf("the key must have 1 to %d characters, in a scope", MaxKey)
	}
	return nil
}

// Names asks for what stands under the key.
func (k *Keyed) Names(b *Batch) { Operations.Want(&b.rows, ClaimIDOf(k.Scope, k.Key)) }

// Bound returns the operation under the key, nil when the key is free, and whether this batch has put it there. The reason is
// KeyConflict when the operation is of something else; then it is not returned.
func (k *Keyed) Bound(b *Batch) (op *Operation, uncommitted bool, reason Reason) {
	claim := ClaimIDOf(k.Scope, k.Key)
	row, loaded := Operations.Get(&b.rows, claim)
	switch {
	case !loaded: //guard:TestOperation
		panic(fmt.Sprintf("benefit: the operation %s was not loaded", claim))
	case !Operations.Exists(&b.rows, claim):
		return nil, false, NotRefused
	}
	uncommitted = Operations.Changed(&b.rows, claim)
	if *k != (Keyed{row.Kind, row.Scope, row.Key, row.Fingerprint}) { //guard:TestOperation
		return nil, uncommitted, KeyConflict
	}
	return &row, uncommitted, NotRefused
}

// Operation returns the operation to be stored under the key. The form of the result is the kind's own.
func (k *Keyed) Operation(b *Batch, id id.ID, result []byte) Operation {
	return Operation{ClaimIDOf(k.Scope, k.Key), k.Kind, id, k.Scope, k.Key, k.Fingerprint, b.Now, result}
}
