// Package control is how the commands of faquan reach a data directory, whoever holds it.
//
// Only one process at a time may have a data directory open. While `faquan serve` has it, the other commands
// (apply, diff, export, key, decide, explain) ask that process, through a socket in the directory; otherwise they open the
// directory themselves. Both ways are a Platform, so that a command does not care:
//
//	Desk    does the work, on an open store
//	Client  asks the Desk of another process through the socket
//	Handler serves a Desk on the socket
//
// Processes on a database share it: a command opens the database beside them, and no socket is needed. Only what they
// have in their memory, the latest refusals, is asked for: each has a small socket in its directory, see Processes.
//
// The socket is DIR/faquan.sock with mode 0600: who may open it is who may read the directory, and there is no
// other authentication. It speaks HTTP, one path for each operation; the paths are no public interface and change
// with the program.
package control
