//go:build unix && !linux

package datadir

import "errors"

// Free returns an error: how much room there is is known on Linux only.
func Free(string) (uint64, error) { return 0, errors.ErrUnsupported }

func readOnly(string) bool { return false }
