//go:build unix && !linux

package datadir

func readOnly(string) bool { return false }
