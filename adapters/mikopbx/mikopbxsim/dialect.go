package mikopbxsim

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const api = "/pbxcore/api/v3/"

func (*mikopbx) Action(r *pbxsim.Request) pbxsim.Action {
	method, ok := strings.CutPrefix(r.URL.Path, api)
	if !ok {
		return pbxsim.Web
	}
	if r.Method == http.MethodPost {
		switch method {
		case "auth:login":
			return pbxsim.Login
		case "auth:refresh":
			return pbxsim.KeepAlive
		case "auth:logout":
			return pbxsim.Logout
		}
	}
	return pbxsim.AppRequest
}

func (m *mikopbx) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	method := strings.TrimPrefix(r.URL.Path, api)
	switch r.Action {
	case pbxsim.Web:
		if r.URL.Path == "/" && r.Method == http.MethodGet {
			return pbxsim.Reply{Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(pbxsim.HTMLPage)}
		}
		return pbxsim.Reply{Status: http.StatusNotFound, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html><title>404 Not Found</title></html>")}
	case pbxsim.Login:
		return m.login(a, r)
	case pbxsim.KeepAlive:
		return m.refresh(a, r)
	}
	if strings.HasPrefix(method, "auth:") && r.Action == pbxsim.AppRequest {
		return m.fail(http.StatusNotFound, "no such method")
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ") // no other spelling
	// A key without the right is refused like one that does not exist
	// (TokenValidationService.php, AuthenticationMiddleware.php).
	if !ok || a.Use(token) != pbxsim.OK || m.Denied && a.Token(token).User == "" {
		if m.Gate && r.Action == pbxsim.AppRequest {
			return pbxsim.Reply{Status: http.StatusForbidden, Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte(notAuthenticated)}
		}
		return m.fail(http.StatusUnauthorized, notAuthenticated)
	}
	switch {
	case r.Action == pbxsim.Logout:
		return m.logout(r)
	case m.Denied:
		return m.fail(http.StatusForbidden, "Access denied: the role has no right to this")
	}
	if own, ok := a.Respond("application/json"); ok {
		return own
	}
	if r.Method == http.MethodGet && method == "extensions" {
		return respond(http.StatusOK, true, extensions, nil)
	}
	return m.fail(http.StatusUnprocessableEntity, "unknown")
}

const notAuthenticated = "The user isn't authenticated."

func (m *mikopbx) login(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	fields := params(r)
	user, ok1 := fields["login"].(string)
	given, ok2 := fields["password"].(string)
	if !ok1 || !ok2 {
		return m.fail(http.StatusBadRequest, "login and password are required")
	}
	user, given = altered(user), altered(given)
	token, v := a.Login(user, func(password string) bool { return given == password })
	switch v {
	case pbxsim.Locked:
		return m.fail(http.StatusTooManyRequests, "too many attempts")
	case pbxsim.OK:
	default:
		return m.fail(http.StatusUnauthorized, "wrong login or password, some attempts are left")
	}
	reply := respond(http.StatusOK, true, map[string]any{
		"accessToken": token.Value, "tokenType": "Bearer", "expiresIn": int(lifetime / time.Second), "login": user,
	}, nil)
	end := time.Time{}
	if fields["rememberMe"] == true {
		end = token.RefreshExpires
	}
	m.setCookie(&reply, r, m.keep(token.Refresh, token.RefreshExpires), end)
	return reply
}

func (m *mikopbx) refresh(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	if m.tooMany(r.From) {
		return m.fail(http.StatusTooManyRequests, "too many attempts")
	}
	value := cookieOf(r)
	token, v := a.Refresh(m.find(value))
	if v != pbxsim.OK {
		return m.fail(http.StatusUnauthorized, "the refresh token is missing or has expired")
	}
	reply := respond(http.StatusOK, true, map[string]any{
		"accessToken": token.Value, "tokenType": "Bearer", "expiresIn": int(lifetime / time.Second), "homePage": "/admin-cabinet/extensions/index",
	}, nil)
	next := m.refreshed(value, token.Refresh, token.RefreshExpires)
	if next == "" && m.Deletes {
		next = value // it is set anew
	}
	if next != "" {
		m.setCookie(&reply, r, next, token.RefreshExpires)
	}
	return reply
}

// logout ends the refresh token. The access token stays valid until it expires.
func (m *mikopbx) logout(r *pbxsim.Request) pbxsim.Reply {
	m.drop(cookieOf(r))
	reply := respond(http.StatusOK, true, map[string]string{"message": "logged out"}, nil)
	reply.Header.Set("Set-Cookie", deletion)
	return reply
}

const (
	cookieName = "refreshToken"
	deletion   = cookieName + "=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/; HttpOnly; SameSite=Strict"
)

// cookieOf returns the value of the refresh token's cookie, as it is written.
func cookieOf(r *pbxsim.Request) string {
	for part := range strings.SplitSeq(r.Header.Get("Cookie"), ";") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(part), cookieName+"="); ok {
			return value
		}
	}
	return ""
}

func (m *mikopbx) setCookie(reply *pbxsim.Reply, r *pbxsim.Request, value string, end time.Time) {
	line := cookieName + "=" + value
	if !end.IsZero() {
		line += "; expires=" + end.UTC().Format(http.TimeFormat)
	}
	line += "; path=/"
	if r.TLS != nil {
		line += "; Secure"
	}
	if m.Deletes {
		reply.Header.Add("Set-Cookie", deletion)
	}
	reply.Header.Add("Set-Cookie", line+"; HttpOnly; SameSite=Strict")
}

// params reads a body, JSON or a form.
func params(r *pbxsim.Request) map[string]any {
	fields := map[string]any{}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		form, _ := url.ParseQuery(string(r.Body))
		for name := range form {
			fields[name] = form.Get(name)
		}
		return fields
	}
	if json.Unmarshal(r.Body, &fields) != nil {
		return nil
	}
	return fields
}

// notInURL matches what PHP removes from a URL (FILTER_SANITIZE_URL).
var notInURL = regexp.MustCompile(`[^a-zA-Z0-9$\-_.+!*'(),{}|\\^~\[\]` + "`" + `<>#%";/?:@&=]`)

// altered is what the PBX makes of a text in a body before it looks at it: sanitizeData
// in BaseController.php. Its filter for tags does nothing from PHP 8.1 on.
func altered(text string) string {
	if len(text) >= 4 && strings.EqualFold(text[:4], "http") {
		return notInURL.ReplaceAllString(text, "")
	}
	return strings.Trim(text, " \t\n\r\x00\x0b")
}

// An extension as the PBX lists it. The fields are an assumption.
type extension struct {
	Number   string `json:"number"`
	Type     string `json:"type"`
	CallerID string `json:"callerid"`
}

var extensions = []extension{{"1000", "SIP", "Reception"}, {"1001", "SIP", "Sales"}}

func respond(status int, result bool, data, messages any) pbxsim.Reply {
	if messages == nil {
		messages = []string{}
	}
	body, err := json.Marshal(struct {
		Result    bool           `json:"result"`
		Data      any            `json:"data"`
		Messages  any            `json:"messages"`
		Function  string         `json:"function"`
		Processor string         `json:"processor"`
		PID       int            `json:"pid"`
		Meta      map[string]any `json:"meta"`
	}{result, data, messages, "", "", 123, map[string]any{"timestamp": time.Now().UTC().Format(time.RFC3339), "hash": "0123456789abcdef"}})
	if err != nil {
		panic(err) // nothing here is unknown to JSON
	}
	return pbxsim.Reply{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

// fail responds with a failure. Its text is in the PBX's language.
func (m *mikopbx) fail(status int, text string) pbxsim.Reply {
	if m.Language == "ru" && text != notAuthenticated {
		text = "Ошибка"
	}
	return respond(status, false, []string{}, map[string][]string{"error": {text}})
}
