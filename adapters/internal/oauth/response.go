package oauth

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// response is what is read of a token response. All of it may be missing.
type response struct {
	AccessToken  string      `json:"access_token"`
	RefreshToken string      `json:"refresh_token"`
	TokenType    wire.Text   `json:"token_type"`
	ExpiresIn    wire.Number `json:"expires_in"` // seconds
	Error        string      `json:"error"`
}

func read(body []byte) response {
	var r response
	wire.ReadJSON(body, &r)
	return r
}

// Of a lifetime: what is beyond these is a misprint.
const (
	least = time.Second
	most  = 24 * time.Hour
)

// lifetime is the token's own exp − iat if it is a JWT, else expires_in, else the
// brand's.
func (r response) lifetime(brand time.Duration) time.Duration {
	if life, ok := Lifetime(r.AccessToken); ok {
		return life
	}
	if s := r.ExpiresIn; s.Known && s.Value >= int64(least/time.Second) && s.Value <= int64(most/time.Second) {
		return time.Duration(s.Value) * time.Second
	}
	return brand
}

// maxClaims bounds what is read of a JWT, in bytes.
const maxClaims = 16 << 10

// Lifetime reads exp − iat of a JWT, from a second to a day. Neither this
// machine's clock nor the PBX's has to be right for it. The signature is not
// verified: who can change the token on its way can do worse. ok is false for
// anything else.
func Lifetime(token string) (life time.Duration, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(parts[1]) > maxClaims {
		return 0, false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return 0, false
	}
	var claims struct{ Iat, Exp *float64 } // RFC 7519: numbers, with a fraction or without
	if json.Unmarshal(text, &claims) != nil || claims.Iat == nil || claims.Exp == nil {
		return 0, false
	}
	seconds := *claims.Exp - *claims.Iat
	if !(seconds >= least.Seconds() && seconds <= most.Seconds()) {
		return 0, false
	}
	return time.Duration(math.Floor(seconds*1e3)) * time.Millisecond, true
}

// meaning is what an error code says of a login, and of a refresh.
type meaning struct {
	login, refresh error
	text           string
}

// meanings are the codes of RFC 6749 (5.2 and 4.1.2.1), and invalid_credentials,
// which league/oauth2-server had for a wrong user name or password before its
// release 8.
var meanings = map[string]meaning{
	"invalid_client":          {pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "the PBX does not know this client id, or its secret is wrong"},
	"invalid_grant":           {pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, "wrong user name or password; of a refresh: the refresh token is dead"},
	"invalid_credentials":     {pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, "wrong user name or password"},
	"invalid_request":         {pbx.ErrProtocol, pbx.ErrTokenRejected, "the PBX does not understand the request; of a refresh: the refresh token is dead"},
	"unauthorized_client":     {pbx.ErrConfig, pbx.ErrConfig, "the application may not log in in this way: check its settings in the PBX"},
	"unsupported_grant_type":  {pbx.ErrConfig, pbx.ErrConfig, "the PBX does not have this way to log in: check its version and settings"},
	"invalid_scope":           {pbx.ErrConfig, pbx.ErrConfig, "the application may not have this scope, or there is none of this name"},
	"access_denied":           {pbx.ErrForbidden, pbx.ErrTokenRejected, "the PBX denies access"},
	"server_error":            {pbx.ErrUnavailable, pbx.ErrUnavailable, "the PBX failed"},
	"temporarily_unavailable": {pbx.ErrUnavailable, pbx.ErrUnavailable, "the PBX is busy"},
}

// notJudged are the codes of a login whose client id and secret were right or not
// looked at.
var notJudged = []string{"unsupported_grant_type", "invalid_scope", "temporarily_unavailable"}

// refusal makes the error for a token response without a token. Of the PBX's own
// words it takes the code only.
func (c *Client) refusal(x *wire.Exchange, got response) *pbx.Error {
	status, refresh := x.Response.Status, x.Request.Op == pbx.OpKeepAlive
	known, ok := meanings[got.Error]
	switch {
	case ok:
		kind := known.login
		if refresh {
			kind = known.refresh
		}
		failure := x.Fail(kind, got.Error, known.text)
		failure.NotJudged = !refresh && slices.Contains(notJudged, got.Error)
		failure.Code = got.Error // everybody knows these words: one that is missing would show a secret
		if got.Error == "invalid_scope" {
			failure.Setting = "scope"
		}
		return failure
	case c.brand.EmptyRefusal && status == http.StatusUnauthorized && Silent(x):
		return x.Fail(pbx.ErrInvalidCredentials, "", meanings["invalid_client"].text)
	case got.Error != "" && status != http.StatusUnauthorized && status != http.StatusForbidden:
		kind := wire.StatusKind(x.Request.Op, status)
		if kind != pbx.ErrUnavailable {
			kind = nil
		}
		return x.Fail(kind, got.Error, "the PBX refuses the login for a reason that this driver does not know")
	}
	return x.Unexpected() // also {"error":"Unauthorized"} under 401, which gateways send
}
