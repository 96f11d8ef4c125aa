package threecxsim

import (
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	tokenPath  = "/connect/token"
	xapi       = "/xapi/v1/"
	statusPath = xapi + "SystemStatus"
	usersPath  = xapi + "Users"
)

func (dialect) Action(r *pbxsim.Request) pbxsim.Action {
	switch path := r.URL.Path; {
	case path == tokenPath && r.Method == http.MethodPost:
		return pbxsim.Login
	case path == tokenPath, strings.HasPrefix(path, xapi), strings.HasPrefix(path, "/callcontrol"):
		return pbxsim.AppRequest
	}
	return pbxsim.Web
}

func (d dialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	path := r.URL.Path
	switch {
	case r.Action == pbxsim.Login:
		return d.login(a, r)
	case path == tokenPath:
		return pbxsim.Reply{Status: http.StatusMethodNotAllowed, Header: http.Header{"Allow": {http.MethodPost}}}
	case path == "/" && r.Method == http.MethodGet:
		return pbxsim.Reply{Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(pbxsim.HTMLPage)}
	case r.Action == pbxsim.Web:
		return pbxsim.Reply{Status: http.StatusNotFound}
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch dead := a.Use(token) != pbxsim.OK; {
	case dead && d.DeadTokenInJSON && d.Refusal == Words401:
		return words()
	case dead && d.DeadTokenInJSON && d.Refusal == Problem401:
		return problem()
	case dead && d.DeadTokenInJSON:
		return odata(http.StatusUnauthorized, "", "Unauthorized")
	case dead:
		return pbxsim.Reply{Status: http.StatusUnauthorized}
	case d.Denied != "" && strings.HasPrefix(path, d.Denied):
		return pbxsim.Reply{Status: http.StatusForbidden}
	}
	if own, ok := a.Respond("application/json"); ok {
		return own
	}
	switch {
	case r.Method == http.MethodGet && path == statusPath:
		return reply(http.StatusOK, status{Context: "https://pbx.example.com/xapi/v1/$metadata#SystemStatus", FQDN: "pbx.example.com", Version: "20.0.9.0", Activated: true})
	case r.Method == http.MethodGet && path == usersPath:
		return reply(http.StatusOK, users{Context: "https://pbx.example.com/xapi/v1/$metadata#Users", Value: []user{
			{ID: 1, Number: "1000", FirstName: "Reception"}, {ID: 2, Number: "1001", FirstName: "Sales"},
		}})
	}
	return odata(http.StatusNotFound, "", "Not found")
}

// login responds to a token request. What is in the URL is not looked at.
func (d dialect) login(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	form, ok := fields(r)
	switch {
	case !ok || form.Get("grant_type") == "":
		return refused(http.StatusBadRequest, "invalid_request")
	case form.Get("grant_type") != "client_credentials":
		return refused(http.StatusBadRequest, "unsupported_grant_type")
	}
	secret := form.Get("client_secret")
	token, verdict := a.Login(form.Get("client_id"), func(key string) bool { return secret != "" && secret == key })
	switch verdict {
	case pbxsim.OK:
	case pbxsim.TooManyTokens:
		switch {
		case d.Second == Refused400:
			return refused(http.StatusBadRequest, "invalid_request")
		case d.Refusal == Words401:
			return words()
		}
		return pbxsim.Reply{Status: http.StatusUnauthorized}
	default: // a lock that is stated has no words of its own
		switch d.Refusal {
		case JSON401:
			return refused(http.StatusUnauthorized, "invalid_client")
		case JSON400:
			return refused(http.StatusBadRequest, "invalid_client")
		case Request400:
			return refused(http.StatusBadRequest, "invalid_request")
		case Words401:
			return words()
		case Problem401:
			return problem()
		}
		return pbxsim.Reply{Status: http.StatusUnauthorized}
	}
	body := map[string]any{
		"token_type": "Bearer", "access_token": token.Value, "refresh_token": nil,
		"expires_in": int(token.Expires.Sub(token.Issued) / time.Second),
	}
	if d.ExpiresIn != 0 {
		body["expires_in"] = d.ExpiresIn
	}
	if d.NoRefreshToken {
		delete(body, "refresh_token")
	}
	return reply(http.StatusOK, body)
}

// maxForm bounds a form, in bytes.
const maxForm = 64 << 10

// fields reads a form, in either encoding.
func fields(r *pbxsim.Request) (url.Values, bool) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, false
	}
	switch kind {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(r.Body))
		return form, err == nil
	case "multipart/form-data":
		parts := multipart.NewReader(strings.NewReader(string(r.Body)), params["boundary"])
		form := url.Values{}
		for {
			part, err := parts.NextPart()
			if err == io.EOF {
				return form, true
			}
			if err != nil {
				return nil, false
			}
			value, err := io.ReadAll(io.LimitReader(part, maxForm))
			if err != nil {
				return nil, false
			}
			form.Add(part.FormName(), string(value))
		}
	}
	return nil, false
}

type status struct {
	Context   string `json:"@odata.context"`
	FQDN      string
	Version   string
	Activated bool
}

type users struct {
	Context string `json:"@odata.context"`
	Value   []user `json:"value"`
}

type user struct {
	ID        int `json:"Id"`
	Number    string
	FirstName string
}

// refused is an OAuth error.
func refused(status int, code string) pbxsim.Reply {
	return reply(status, map[string]string{"error": code})
}

// words is HTTP 401 as on the vendor's page.
func words() pbxsim.Reply {
	return reply(http.StatusUnauthorized, map[string]string{"error": "unauthorized", "error_description": "The request requires valid user authentication."})
}

// problem is HTTP 401 as ASP.NET writes it.
func problem() pbxsim.Reply {
	r := reply(http.StatusUnauthorized, map[string]any{
		"type": "https://tools.ietf.org/html/rfc9110#section-15.5.2", "title": "Unauthorized", "status": http.StatusUnauthorized, "traceId": "00-0123456789abcdef-00",
	})
	r.Header.Set("Content-Type", "application/problem+json; charset=utf-8")
	return r
}

// odata is an error of XAPI.
func odata(status int, code, message string) pbxsim.Reply {
	return reply(status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func reply(status int, body any) pbxsim.Reply {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // a response has nothing that JSON has not
	}
	return pbxsim.Reply{Status: status, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: text}
}
