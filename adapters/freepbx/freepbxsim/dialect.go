package freepbxsim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	base      = "/admin/api/api/"
	tokenPath = base + "token"
	gqlPath   = base + "gql"
	restPath  = base + "rest/"
)

func (d dialect) Action(r *pbxsim.Request) pbxsim.Action {
	path := r.URL.Path
	switch {
	case d.ModuleOff || path != tokenPath && path != gqlPath && !strings.HasPrefix(path, restPath):
		return pbxsim.Web
	case path != tokenPath || r.Method != http.MethodPost:
		return pbxsim.AppRequest
	}
	if form, err := url.ParseQuery(string(r.Body)); err == nil && form.Get("grant_type") == "refresh_token" {
		return pbxsim.KeepAlive
	}
	return pbxsim.Login
}

func (d dialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	path := r.URL.Path
	switch {
	case r.Action == pbxsim.Web && (d.ModuleOff || path == "/"):
		return page(http.StatusOK, pbxsim.HTMLPage)
	case r.Action == pbxsim.Web:
		return page(http.StatusNotFound, "<html><head><title>404 Not Found</title></head><body></body></html>\n")
	case path == tokenPath && r.Method != http.MethodPost:
		return page(http.StatusMethodNotAllowed, "<html><body>Method not allowed</body></html>\n")
	case path == tokenPath:
		return d.token(a, r)
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if a.Use(token) != pbxsim.OK {
		return d.denied(path)
	}
	if own, ok := a.Respond("application/json"); ok {
		return own
	}
	if path == gqlPath && r.Method == http.MethodPost {
		return d.query(r)
	}
	if path == restPath+"core/users" && r.Method == http.MethodGet {
		if d.NoScope { // Rest/Base.php
			return reply(http.StatusUnauthorized, map[string]any{"status": false, "message": "unauthorized"})
		}
		return reply(http.StatusOK, extensions)
	}
	return page(http.StatusNotFound, "<html><head><title>Page Not Found</title></head><body></body></html>\n")
}

// token responds to a token request.
func (d dialect) token(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form = url.Values{}
	}
	app, byBasic := application(r, form)
	refuse := func(status int, code, message string) pbxsim.Reply {
		reply := d.refused(status, code, message, "")
		// Release 7.1.1 of league/oauth2-server stopped challenging clients that did not
		// use Basic (its CHANGELOG.md).
		if (byBasic || d.Version < 17) && code == "invalid_client" {
			reply.Header.Set("WWW-Authenticate", `Basic realm="OAuth"`)
		}
		return reply
	}
	unknown := func() pbxsim.Reply {
		return refuse(http.StatusUnauthorized, "invalid_client", "Client authentication failed")
	}
	if scope := form.Get("scope"); scope != "" {
		for name := range strings.FieldsSeq(scope) {
			if name != "gql" && name != "rest" && !strings.HasPrefix(name, "gql:") && !strings.HasPrefix(name, "rest:") {
				return refuse(http.StatusBadRequest, "invalid_scope", "The requested scope is invalid, unknown, or malformed")
			}
		}
	}
	var token pbxsim.Token
	var verdict pbxsim.Verdict
	switch grant := form.Get("grant_type"); {
	case grant == "client_credentials":
		token, verdict = a.Login(app.ID, func(secret string) bool {
			return d.AnySecret || app.Secret != "" && app.Secret == secret
		})
		token.Refresh = "" // there is none with this grant
		if verdict != pbxsim.OK {
			return unknown()
		}
	case d.Application.ID == "" || grant != "password" && grant != "refresh_token":
		return refuse(http.StatusBadRequest, "unsupported_grant_type", "The authorization grant type is not supported by the authorization server.")
	case app.ID != d.Application.ID || app.Secret != d.Application.Secret && !d.AnySecret:
		return unknown()
	case grant == "password":
		given := form.Get("password")
		token, verdict = a.Login(form.Get("username"), func(password string) bool { return given != "" && given == password })
		switch {
		case verdict == pbxsim.OK:
		case d.Version >= 17:
			return refuse(http.StatusBadRequest, "invalid_grant", "The user credentials were incorrect.")
		default:
			return refuse(http.StatusUnauthorized, "invalid_credentials", "The user credentials were incorrect.")
		}
	default:
		if token, verdict = a.Refresh(form.Get("refresh_token")); verdict != pbxsim.OK {
			return d.refused(http.StatusUnauthorized, "invalid_request", "The refresh token is invalid.", "Token has expired")
		}
	}
	body := map[string]any{"token_type": "Bearer", "expires_in": int(token.Expires.Sub(token.Issued) / time.Second), "access_token": token.Value}
	if token.Refresh != "" {
		body["refresh_token"] = token.Refresh
	}
	return reply(http.StatusOK, body)
}

// application reads the client's id and secret, from the header or the form.
func application(r *pbxsim.Request, form url.Values) (app Application, byBasic bool) {
	if encoded, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Basic "); ok {
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			app.ID, app.Secret, _ = strings.Cut(string(decoded), ":")
			return app, true
		}
	}
	return Application{form.Get("client_id"), form.Get("client_secret")}, false
}

// denied responds to a dead token. In 17 nothing catches the exception on gql.
func (d dialect) denied(path string) pbxsim.Reply {
	if d.Version < 17 || path != gqlPath {
		return d.refused(http.StatusUnauthorized, "access_denied", "The resource owner or authorization server denied the request.", "Access token has been revoked")
	}
	if d.EmptyFailure {
		return pbxsim.Reply{Status: http.StatusInternalServerError, Header: http.Header{"Content-Type": {"text/html"}}}
	}
	return page(http.StatusInternalServerError, "<!doctype html><html><head><title>Whoops! There was an error.</title></head><body></body></html>\n")
}

// query responds to GraphQL.
func (d dialect) query(r *pbxsim.Request) pbxsim.Reply {
	var body struct{ Query string }
	if json.Unmarshal(r.Body, &body) != nil || body.Query == "" {
		return gqlError("Syntax Error: Unexpected <EOF>")
	}
	switch {
	case strings.Contains(body.Query, "fetchAllExtensions") && !d.NoScope:
		var list []any
		for _, e := range extensions {
			list = append(list, map[string]any{"extensionId": e.Extension, "user": map[string]string{"name": e.Name}})
		}
		return reply(http.StatusOK, map[string]any{"data": map[string]any{"fetchAllExtensions": map[string]any{"status": true, "totalCount": len(list), "extension": list}}})
	case strings.Contains(body.Query, "__typename"):
		return reply(http.StatusOK, map[string]any{"data": map[string]string{"__typename": "Query"}})
	}
	return gqlError(`Cannot query field on type "Query".`)
}

// gqlError is how a query fails, and how one says that its scope is missing.
func gqlError(message string) pbxsim.Reply {
	return reply(http.StatusBadRequest, map[string]any{"errors": []any{map[string]any{"message": message, "status": false}}})
}

var extensions = []user{{"1000", "Reception"}, {"1001", "Sales"}}

type user struct {
	Extension string `json:"extension"`
	Name      string `json:"name"`
}

// refused is an error of league/oauth2-server: release 6 in 15 and 16, release 8
// in 17.
func (d dialect) refused(status int, code, message, hint string) pbxsim.Reply {
	body := map[string]string{"error": code, "message": message}
	if d.Version >= 17 {
		body["error_description"] = message
	}
	if hint != "" {
		body["hint"] = hint
	}
	return reply(status, body)
}

func reply(status int, body any) pbxsim.Reply {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // a response has nothing that JSON has not
	}
	return pbxsim.Reply{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: text}
}

func page(status int, text string) pbxsim.Reply {
	return pbxsim.Reply{Status: status, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(text)}
}
