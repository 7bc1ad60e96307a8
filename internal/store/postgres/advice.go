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

// advices say what is wrong and what to do about what a server answers to a connection, by SQLSTATE. When several hosts
// answer, the first line of this table wins.
var advices = []struct{ code, text string }{
	{"28P01", "the user name or the password is wrong; give the password in PGPASSWORD, in ~/.pgpass or in the URL, where / @ ? # % are written %2F %40 %3F %23 %25"},
	{"28000", "the server does not let this user in from here with this sslmode; check its pg_hba.conf, and whether the user exists"},
	{"3D000", "the database does not exist; create it: CREATE DATABASE name OWNER user ENCODING 'UTF8'"},
	{"42704", "the URL has an unknown parameter, or the server is older than PostgreSQL 15"},
	{"42501", "the user may not create or use tables here; make it the owner of the database (ALTER DATABASE name OWNER TO user) and of tables that were restored (ALTER TABLE name OWNER TO user)"},
	{"25006", readOnlyAdvice},
	{"08P01", "this is not a PostgreSQL server, or it is a pooler that refuses faquan's settings, such as lock_timeout; connect to the server directly"},
	{"53300", "the server has no room for more connections: raise its max_connections, or give each process fewer with pool_max_conns in the URL"},
	{"57P03", "the server is starting or stopping; try again in a moment"},
}

const readOnlyAdvice = "a standby answers, and no primary that takes writes. If another server is being promoted, try again in a moment; otherwise name all hosts in the URL, postgres://user@db1,db2/name, without target_session_attrs"

// Advice returns what is wrong and what to do about an error of connecting to a database; "" when the error says all
// that there is to say.
func Advice(err error) string {
	if err == nil {
		return ""
	}
	all := leaves(err) //guard:TestAdviceByCode leaves(err) -> leaves(err)[:1]
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
	return actionAdvice(err)
}

// actionAdvice is for what went wrong on the way to the server.
func actionAdvice(err error) string {
	var (
		name *net.DNSError
		cert *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &name):
		return "the host name is unknown; check its spelling, and the name server of this machine"
	case errors.As(err, &cert):
		return "the server's certificate is not trusted; name the certificate that signed it with sslrootcert"
	case strings.Contains(err.Error(), "server refused TLS connection") && !errors.Is(err, syscall.ECONNREFUSED) && !errors.As(err, new(*pgconn.PgError)):
		return "the server does not support TLS, and sslmode in the URL asks for it"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no server accepts connections there; check that it runs, the port, and its listen_addresses"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF):
		return "no answer in time; check that it is a PostgreSQL server, and that no firewall is in the way"
	}
	return ""
}

// leaves returns the errors that an error is made of, without those that only wrap.
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
