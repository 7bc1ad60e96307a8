package oauth

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"

	"faquan/internal/benefit"
	"faquan/internal/session"
)

// answer is what /token answers: the members that the platform's SDKs and callers read. The platform has four levels
// of APIs, r1 to w2, with an expiry each; here they are all that of the session.
type answer struct {
	AccessToken           string `json:"access_token"`
	TokenType             string `json:"token_type"`
	ExpiresIn             int64  `json:"expires_in"`  // seconds
	ExpireTime            int64  `json:"expire_time"` // Unix milliseconds
	RefreshToken          string `json:"refresh_token"`
	ReExpiresIn           int64  `json:"re_expires_in"`            // seconds
	RefreshTokenValidTime int64  `json:"refresh_token_valid_time"` // Unix milliseconds
	R1ExpiresIn           int64  `json:"r1_expires_in"`
	R1Valid               int64  `json:"r1_valid"`
	R2ExpiresIn           int64  `json:"r2_expires_in"`
	R2Valid               int64  `json:"r2_valid"`
	W1ExpiresIn           int64  `json:"w1_expires_in"`
	W1Valid               int64  `json:"w1_valid"`
	W2ExpiresIn           int64  `json:"w2_expires_in"`
	W2Valid               int64  `json:"w2_valid"`
	UserID                string `json:"taobao_user_id,omitempty"` // a number, as text
	UserNick              string `json:"taobao_user_nick"`         // URL-encoded UTF-8
	OpenUID               string `json:"taobao_open_uid,omitempty"`
}

func answerOf(app *benefit.App, g *session.Grant) *answer {
	in, at := int64(g.Expires-g.Made)/1000, int64(g.Expires)
	a := &answer{
		AccessToken: g.Access, TokenType: "Bearer", ExpiresIn: in, ExpireTime: at,
		RefreshToken: g.Refresh, ReExpiresIn: int64(g.RefreshExpires-g.Made) / 1000,
		RefreshTokenValidTime: int64(g.RefreshExpires),
		R1ExpiresIn:           in, R1Valid: at, R2ExpiresIn: in, R2Valid: at, W1ExpiresIn: in, W1Valid: at, W2ExpiresIn: in, W2Valid: at,
	}
	var nick string
	a.UserID, nick, a.OpenUID = names(app, g)
	a.UserNick = url.QueryEscape(nick)
	return a
}

// names returns who the session stands for: its user, or else its merchant.
func names(app *benefit.App, g *session.Grant) (userID, nick, openUID string) {
	if g.User == nil {
		return strconv.FormatInt(g.Merchant.SellerID, 10), cmp.Or(g.Merchant.Title, g.Merchant.Name), ""
	}
	nick = g.User.Name
	for _, i := range slices.Backward(g.User.Identifiers) { // the first of a type wins
		switch {
		case i.Type == benefit.TaobaoID:
			userID = i.Value
		case i.Type == benefit.Nick:
			nick = i.Value
		case i.Type == benefit.OpenID && i.App == app.ID:
			openUID = i.Value
		}
	}
	return userID, nick, openUID
}
