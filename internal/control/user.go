package control

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
)

// userHeader carries the name of the user of the machine who asks, for the history. It is not a proof: who may open the socket
// may do everything.
const userHeader = "Faquan-User"

type userKey struct{}

// withUser returns a context with the user who asks through the socket.
func withUser(ctx context.Context, h http.Header) context.Context {
	name, err := url.PathUnescape(h.Get(userHeader))
	if name == "" || err != nil {
		return ctx
	}
	return context.WithValue(ctx, userKey{}, name)
}

// userOf returns the user who asks: of the context, or of this process.
func userOf(ctx context.Context) string {
	if name, ok := ctx.Value(userKey{}).(string); ok {
		return name
	}
	return systemUser()
}

// systemUser returns the name of the user of this process, or the number of one without a name.
func systemUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}
