package starface

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// judgeLogin makes the error for a login that was not accepted. A body that is not
// the API's proves nothing: the request for the nonce has just reached the API, so
// that a 400, 401 or 403 with any body may be the API's.
func judgeLogin(x *wire.Exchange) *pbx.Error {
	switch status := x.Response.Status; {
	case status == http.StatusBadRequest, status == http.StatusUnauthorized && !wantsHTTPAuthentication(x):
		return x.Fail(pbx.ErrInvalidCredentials, "", "wrong login ID or password: check the user in the web interface", message(x))
	}
	return x.Unexpected()
}

// judge makes the error for any other failed request.
func judge(x *wire.Exchange) *pbx.Error {
	said := message(x)
	switch status := x.Response.Status; {
	case status == http.StatusUnauthorized && !wantsHTTPAuthentication(x):
		return x.Fail(pbx.ErrTokenRejected, "", "the token is not valid, or the request needs administrator rights", said)
	case status == http.StatusForbidden && !isPage(x):
		return x.Fail(pbx.ErrForbidden, "", "this user may not send this request: it may need administrator rights", said)
	case status/100 == 4 && said != "" && wire.StatusKind(x.Request.Op, status) == pbx.ErrProtocol:
		return x.Fail(nil, "", fmt.Sprintf("the PBX refuses the request with HTTP status %d", status), said)
	}
	return x.Unexpected()
}

// wantsHTTPAuthentication reports whether a 401 is that of a proxy, which asks for
// a password by HTTP and has no message of the API. Its text may be plain: Traefik's
// is "401 Unauthorized" (github.com/abbot/go-http-auth). The API's own 401 may have a
// WWW-Authenticate too: RFC 9110 wants one in each.
func wantsHTTPAuthentication(x *wire.Exchange) bool {
	if wire.ReadJSON(x.Response.Body, new(struct{})) && message(x) != "" {
		return false
	}
	for _, challenge := range x.Response.Header.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " ")
		switch strings.ToLower(scheme) {
		case "basic", "digest", "negotiate", "ntlm":
			return true
		}
	}
	return false
}

// isPage reports whether the body is HTML.
func isPage(x *wire.Exchange) bool {
	return bytes.HasPrefix(bytes.TrimSpace(x.Response.Body), []byte("<"))
}

// message is what the API says: clients have seen {"message":"…"} and plain text.
func message(x *wire.Exchange) string {
	var body struct {
		Message wire.Text `json:"message"`
	}
	if wire.ReadJSON(x.Response.Body, &body) {
		return string(body.Message)
	}
	if strings.HasPrefix(x.Response.Header.Get("Content-Type"), "text/plain") && !isPage(x) {
		return string(x.Response.Body)
	}
	return ""
}
