// Package control lets the commands of faquan work on a data directory, also while another process has it open.
//
// Only one process at a time may have a data directory open. While `faquan serve` has it, the other commands
// (apply, export, redeem, query, explain and so on) ask that process, through a socket in the directory; otherwise they open the
// directory themselves. Both ways are a Platform, on which a command makes a Call, so that it need not distinguish them:
//
//	Service does the work, on an open store
//	Client  asks the Service of another process through the socket
//	Handler serves a Service on the socket
//
// Processes on a database share it: a command opens the database beside them, and no socket is needed. Only the latest
// refusals, which are in the memory of each process, are requested from the processes: each has a small socket in its
// directory, see Processes.
//
// The socket is DIR/faquan.sock with mode 0600: the user that may read the directory may open it, and there is no
// other authentication. The protocol is HTTP with one path for each operation; the paths are not a public interface and
// change with the program.
package control
