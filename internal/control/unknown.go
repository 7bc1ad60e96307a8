package control

import (
	"errors"
	"fmt"

	"faquan/internal/issuing"
)

// errNoAnswer is returned when the serving process, once connected, has not answered: it ended, or the caller did not
// wait for it.
var errNoAnswer = errors.New("no answer from the serving process")

// What to do when it is not known whether a change was made.
const (
	applyAgain   = "Applying the same file again is safe"
	rotateAgain  = "Compare `faquan key show` with the key that callers have, or rotate again"
	sessionAgain = "If a session was made, its key is lost: `faquan session list` shows it, revoke it and make another"
	revokeAgain  = "Revoking it again is safe"
)

// advised adds what to do to the error of a change whose outcome is not known.
func advised(err error, advice string) error {
	if errors.Is(err, errNoAnswer) {
		err = fmt.Errorf("%w: %w", issuing.ErrChangeUnknown, err)
	}
	if errors.Is(err, issuing.ErrChangeUnknown) {
		return fmt.Errorf("%w. %s", err, advice)
	}
	return err
}
