package control

import (
	"errors"
	"fmt"

	"faquan/internal/engine"
)

// errNoAnswer is returned when the serving process did not answer after the connection was made: it ended, or the caller
// did not wait for it.
var errNoAnswer = errors.New("no answer from the serving process")

// Advice for when it is unknown whether a change was made.
const (
	applyAgain   = "Applying the same file again is safe"
	rotateAgain  = "Compare `faquan key show` with the key that callers have, or rotate again"
	sessionAgain = "If a session was made, its key is lost: `faquan session list` shows it, revoke it and make another"
	revokeAgain  = "Revoking it again is safe"
)

// advised adds advice to the error of a change whose outcome is unknown.
func advised(err error, advice string) error {
	if errors.Is(err, errNoAnswer) {
		err = fmt.Errorf("%w: %w", engine.ErrChangeUnknown, err)
	}
	if errors.Is(err, engine.ErrChangeUnknown) {
		return fmt.Errorf("%w. %s", err, advice)
	}
	return err
}
