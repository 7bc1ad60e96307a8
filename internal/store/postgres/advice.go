package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// advices say what is wrong and what to do about what a server answers to a connection, by SQLSTATE. When several hosts answer, the first
// line of this table wins.
var advices = []struct{ code, text string }{
	{"28P01", "the server knows no such user with this password; it is given in PGPASSWORD, in ~/.pgpass or in the URL, where / @ ? # % are written %2F %40 %3F %23 %25"},
	{"28000", "the server lets this user in neither from here nor with this sslmode: look at its pg_hba.conf, and whether the user exists"},
	{"3D000", "there is no such database; make it: CREATE DATABASE name OWNER user ENCODING 'UTF8'"},
	{"42704", "the URL has a parameter that nobody knows, or the server is older than PostgreSQL 15"},
	{"42501", "the user may not make or use tables here; make it the owner of the database (ALTER DATABASE name OWNER TO user) and of tables that were restored (ALTER TABLE name OWNER TO user)"},
	{"25006", readOnlyAdvice},
	{"08P01", "what answers is no PostgreSQL server, or a pooler that refuses faquan's settings, such as lock_timeout: connect to the server directly"},
	{"53300", "the server has no room for more connections: raise its max_connections, or give each process fewer with pool_max_conns in the URL"},
	{"57P03", "the server is starting or stopping; try again in a moment"},
}

const readOnlyAdvice = "a standby answers, and no primary that takes writes. When another server is just being made primary, try again; else name all hosts of the pair in the URL, postgres://user@db1,db2/name, and leave target_session_attrs out"

// Advice says what is wrong and what to do about an error of connecting to a database; "" when the error says all that there is to say.
func Advice(err error) string {
	if err == nil {
		return ""
	}
	all := leaves(err)
	for _, a := range advices {
		for _, err := range all {
			if pg, ok := err.(*pgconn.PgError); ok && pg.Code == a.code {
				return a.text
			}
		}
	}
	if errors.Is(err, pgconn.ErrReadOnlyConnection) { // the driver has asked, for target_session_attrs
		return readOnlyAdvice
	}
	return wayAdvice(err)
}

// wayAdvice is for what went wrong on the way to the server.
func wayAdvice(err error) string {
	var (
		name *net.DNSError
		cert *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &name):
		return "the name of the host is not known here; look at its spelling, and at this machine's name server"
	case errors.As(err, &cert):
		return "the server's certificate is not trusted: sslrootcert names who has signed it"
	case strings.Contains(err.Error(), "server refused TLS connection") && !errors.Is(err, syscall.ECONNREFUSED) && !errors.As(err, new(*pgconn.PgError)):
		return "the server speaks no TLS, and the URL asks for it with sslmode"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no server takes connections there: is it running, is the port right, and does listen_addresses have this address?"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF):
		return "nothing answers there in time: is it a PostgreSQL server, and does a firewall stand before it?"
	}
	return ""
}

// leaves are the errors that an error is made of, without those that only wrap.
func leaves(err error) []error {
	switch e := err.(type) {
	case nil:
		return nil
	case interface{ Unwrap() []error }:
		var all []error
		for _, part := range e.Unwrap() {
			all = append(all, leaves(part)...)
		}
		return all
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return leaves(inner)
		}
	}
	return []error{err}
}
