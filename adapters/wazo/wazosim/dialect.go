package wazosim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	auth        = "/api/auth/0.1"
	tokens      = auth + "/token"
	ownGrants   = auth + "/users/me/tokens"
	extensions  = "/api/confd/1.1/extensions"
	tokenHeader = "X-Auth-Token"
)

func (dialect) Action(r *pbxsim.Request) pbxsim.Action {
	path := r.URL.Path
	switch {
	case !strings.HasPrefix(path, "/api/"):
		return pbxsim.Web
	case path == tokens && r.Method == http.MethodPost:
		var body tokenRequest
		if json.Unmarshal(r.Body, &body); body.RefreshToken != "" {
			return pbxsim.KeepAlive
		}
		return pbxsim.Login
	case r.Method == http.MethodDelete && (strings.HasPrefix(path, tokens+"/") || strings.HasPrefix(path, ownGrants+"/")):
		return pbxsim.Logout
	}
	return pbxsim.AppRequest
}

func (d dialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	path := r.URL.Path
	switch {
	case path == "/" && r.Method == http.MethodGet:
		return page(http.StatusOK, pbxsim.HTMLPage)
	case r.Action == pbxsim.Web:
		return page(http.StatusNotFound, "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
	case path == tokens:
		if r.Method != http.MethodPost {
			return failed(http.StatusMethodNotAllowed, "The method is not allowed for the requested URL.")
		}
		return d.newToken(a, r)
	case strings.HasPrefix(path, tokens+"/"):
		return d.token(a, r, strings.TrimPrefix(path, tokens+"/"))
	}
	return d.request(a, r)
}

// tokenRequest is the body of a login and of a refresh. Unknown fields are ignored.
type tokenRequest struct {
	Expiration   any    `json:"expiration"`
	AccessType   string `json:"access_type"`
	ClientID     string `json:"client_id"`
	RefreshToken string `json:"refresh_token"`
}

// newToken responds to a login and to a refresh.
func (d dialect) newToken(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	var body tokenRequest
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || json.Unmarshal(r.Body, &body) != nil {
		return failed(http.StatusBadRequest, "The browser (or proxy) sent a request that this server could not understand.")
	}
	lifetime, ok := expiration(body.Expiration)
	switch {
	case !ok:
		return refused(http.StatusBadRequest, "{'expiration': ['Must be greater than or equal to 1 and less than or equal to 315360000.']}")
	case body.ClientID == "" && (body.AccessType == "offline" || body.RefreshToken != ""):
		return refused(http.StatusBadRequest, `{'_schema': ['"client_id" must be specified']}`)
	}

	var token pbxsim.Token
	var verdict pbxsim.Verdict
	if body.RefreshToken != "" {
		token, verdict = a.Redeem(body.RefreshToken, body.ClientID)
	} else {
		user, given := basic(r.Header.Get("Authorization"))
		token, verdict = a.Login(user, func(password string) bool { return given != "" && given == password })
	}
	switch verdict {
	case pbxsim.OK:
	case pbxsim.TooManyTokens:
		return refused(http.StatusTooManyRequests, "User UUID has exceeded the maximum number of active sessions")
	default:
		return refused(http.StatusUnauthorized, "Authentication Failed")
	}
	if lifetime > 0 {
		token = a.SetLifetime(token.Value, lifetime)
	}
	data := d.described(token, r)
	if body.RefreshToken == "" && body.AccessType == "offline" {
		data.RefreshToken = a.Grant(token.User, body.ClientID)
	}
	reply := reply(http.StatusOK, map[string]tokenData{"data": data})
	reply.Header.Set("Wazo-Sessions-Revoked", "0")
	return reply
}

// expiration reads a number of seconds, also one in a string. 0: there is none.
func expiration(v any) (time.Duration, bool) {
	if v == nil {
		return 0, true
	}
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	if f, ok := v.(float64); ok {
		n, err = int64(f), nil
	}
	if err != nil || n < 1 || n > int64(maxExpiration/time.Second) {
		return 0, false
	}
	return time.Duration(n) * time.Second, true
}

// basic reads HTTP Basic authentication: in UTF-8, or else in Latin-1.
func basic(header string) (user, password string) {
	encoded, ok := strings.CutPrefix(header, "Basic ")
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return "", ""
	}
	text := string(decoded)
	if !utf8.ValidString(text) {
		runes := make([]rune, len(decoded))
		for i, b := range decoded {
			runes[i] = rune(b)
		}
		text = string(runes)
	}
	user, password, _ = strings.Cut(text, ":")
	return user, password
}

// token responds to what is asked about one token, which the path names and no
// header has to.
func (d dialect) token(a *pbxsim.Accounts, r *pbxsim.Request, token string) pbxsim.Reply {
	switch r.Method {
	case http.MethodDelete:
		a.Logout(token)
		return reply(http.StatusOK, map[string]any{"data": map[string]string{"message": "success"}})
	case http.MethodGet, http.MethodHead:
	default:
		return failed(http.StatusMethodNotAllowed, "The method is not allowed for the requested URL.")
	}
	switch {
	case a.Use(token) != pbxsim.OK:
		return refused(http.StatusNotFound, "No such token")
	case d.Denied != "" && r.URL.Query().Get("scope") != "":
		return refused(http.StatusForbidden, "Unauthorized for "+r.URL.Query().Get("scope"))
	case r.Method == http.MethodHead:
		return pbxsim.Reply{Status: http.StatusNoContent}
	}
	return reply(http.StatusOK, map[string]tokenData{"data": d.described(a.Token(token), r)})
}

// request responds to what needs a token in its header.
func (d dialect) request(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	token := r.Header.Get(tokenHeader)
	client, ofGrant := strings.CutPrefix(r.URL.Path, ownGrants+"/")
	switch {
	case a.Use(token) != pbxsim.OK:
		return d.unauthorized(r, token, "not_found_or_expired")
	case d.Denied != "" && strings.HasPrefix(r.URL.Path, d.Denied):
		return d.unauthorized(r, token, "missing_permission_or_invalid_tenant")
	case r.Header.Get("Wazo-Tenant") != "" && r.Header.Get("Wazo-Tenant") != Tenant:
		return reply(http.StatusUnauthorized, unauthorized{
			Message: "Unauthorized tenant", ErrorID: "unauthorized-tenant", Timestamp: time.Now().Unix(),
			Details: map[string]any{"tenant_uuid": r.Header.Get("Wazo-Tenant")},
		})
	case ofGrant && r.Method == http.MethodDelete:
		a.Withdraw(a.Token(token).User, client)
		return pbxsim.Reply{Status: http.StatusNoContent}
	}
	if own, ok := a.Respond("application/json"); ok {
		return own
	}
	switch {
	case r.Method == http.MethodGet && r.URL.Path == ownGrants:
		return reply(http.StatusOK, list{Items: []any{}})
	case r.Method == http.MethodGet && r.URL.Path == extensions:
		return reply(http.StatusOK, list{Total: 2, Items: []any{
			extension{ID: 1, Exten: "1000", Context: "default-key-abcde-internal", Tenant: Tenant},
			extension{ID: 2, Exten: "1001", Context: "default-key-abcde-internal", Tenant: Tenant},
		}})
	}
	return failed(http.StatusNotFound, "The requested URL was not found on the server.")
}

// unauthorized responds with the token in the body, as the server does.
func (d dialect) unauthorized(r *pbxsim.Request, token, reason string) pbxsim.Reply {
	names := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/"), "/") // the daemon, its API's version, the rest
	access := strings.Join(append(names[:1:1], names[min(2, len(names)):]...), ".") + ".read"
	details := map[string]any{"invalid_token": token, "required_access": access}
	if !d.NoReason {
		details["reason"] = reason
	}
	if reason != "not_found_or_expired" {
		details["tenant_uuid"] = nil
		if d.Forbidden403 {
			return reply(http.StatusForbidden, unauthorized{Message: "Forbidden", ErrorID: "forbidden", Details: details, Timestamp: time.Now().Unix()})
		}
	}
	return reply(http.StatusUnauthorized, unauthorized{
		Message: "Unauthorized", ErrorID: "unauthorized", Details: details, Timestamp: time.Now().Unix(),
	})
}
