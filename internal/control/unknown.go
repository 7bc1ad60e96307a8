package control

import (
	"errors"
	"fmt"

	"faquan/internal/engine"
)

// errNoAnswer is returned when the serving process did not answer after the connection was made: it ended, or the caller
// did not wait for it.
var errNoAnswer = errors.New("no answer from the serving process")

// advised adds advice to the error of a change whose outcome is unknown; advice is "" for a call that changes nothing.
func advised(err error, advice string) error {
	if advice == "" {
		return err
	}
	if errors.Is(err, errNoAnswer) {
		err = fmt.Errorf("%w: %w", engine.ErrChangeUnknown, err)
	}
	if errors.Is(err, engine.ErrChangeUnknown) {
		return fmt.Errorf("%w. %s", err, advice)
	}
	return err
}
