package postgres

import (
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// warningKey is where a connection keeps the last warning that its server sent.
const warningKey = "faquan.warning"

// keepWarning receives the server's notices. There is one that matters: a commit whose wait for the standby was
// cancelled is answered as if it had been replicated, with a warning that it has not.
func keepWarning(conn *pgconn.PgConn, n *pgconn.Notice) {
	//guard:TestWarningInAnotherLanguage n.SeverityUnlocalized -> n.Severity
	if n.SeverityUnlocalized == "WARNING" { // Severity is in the language of the server
		conn.CustomData()[warningKey] = n.Message
	}
}

// forgetWarnings drops the warnings so far; the result gives the last one since.
func forgetWarnings(conn *pgxpool.Conn) (since func() string) {
	data := conn.Conn().PgConn().CustomData()
	delete(data, warningKey)
	return func() string {
		warning, _ := data[warningKey].(string)
		return warning
	}
}
