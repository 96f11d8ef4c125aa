// Package yeastarpsim simulates the API of a Yeastar P-Series PBX, as
// help.yeastar.com documents it for the Appliance, Software and Cloud Edition. It
// is a dialect of [pbxsim], which has the rest: accounts, tokens and what
// refreshes them, the eight places, the lockout, faults.
//
//	pbx := yeastarpsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"client": "secret"}})
//	server := pbxsim.Listen(pbx)
//	defer server.Close()
//
// What the vendor does not say is played either way by fields of [Options], and
// of [pbxsim.Options]: RefreshSparesOld, RefreshHoldsPlace, Lockout.
package yeastarpsim

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// New returns a P-Series PBX. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	if o == nil {
		o = &Options{}
	}
	return pbxsim.New(dialect{*o}, common)
}

// Options are how one PBX differs from another. The zero value is what the
// vendor's pages document, and for what they do not document the likelier of two
// readings.
type Options struct {
	// RefreshErrcode is the response to a dead refresh token. The vendor names
	// none; 0 means 10004, the only code for a token that there is.
	RefreshErrcode int

	// LogoutForgives makes a del_token of a dead token a success. The vendor does
	// not say what it is. Without LogoutForgives it is 10004.
	LogoutForgives bool

	// NoBlockTime leaves block_expire_time out of the response to a blocked
	// client. No page has the field; a client has met it.
	NoBlockTime bool
}

// dialect is the wire format.
type dialect struct{ Options }

func (dialect) Name() string { return "yeastar-p" }

// Defaults are the documented numbers. The vendor says that the fifth consecutive
// wrong login blocks the client's address, and not for how long: that is played
// as the ten minutes of the vendor's other PBXs. Nor does it name a time after
// which a wrong login is forgotten, or say that a good login of one account ends
// the row of another.
func (dialect) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{
		Lifetime:        1800 * time.Second,
		RefreshLifetime: 86400 * time.Second,
		MaxTokens:       8,
		Lockout: pbxsim.Lockout{
			After: 5, For: 10 * time.Minute,
			Memory: pbxsim.Forever, Per: pbxsim.Address, Reset: pbxsim.Account,
		},
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewToken returns 32 letters and digits, as in every printed sample.
func (dialect) NewToken() string {
	var b [32]byte
	for i := range b {
		b[i] = alphabet[rand.IntN(len(alphabet))]
	}
	return string(b[:])
}

const prefix = "/openapi/v1.0/"

func (dialect) Action(r *pbxsim.Request) pbxsim.Action {
	name, ours := strings.CutPrefix(r.URL.Path, prefix)
	switch {
	case !strings.HasPrefix(r.URL.Path, "/openapi/"):
		return pbxsim.Web
	case !ours || methods[name] != "" && methods[name] != r.Method: // 10001 or 10003
		return pbxsim.AppRequest
	}
	switch name {
	case "get_token":
		return pbxsim.Login
	case "refresh_token":
		return pbxsim.KeepAlive
	case "del_token":
		return pbxsim.Logout
	}
	return pbxsim.AppRequest
}

// The vendor's errcodes that the simulator itself sends.
const (
	success            = 0
	failure            = -1
	noSuchInterface    = 10001
	unsupportedVersion = 10003
	tokenExpired       = 10004
	accessDenied       = 10005
	wrongSyntax        = 40001
	wrongParameter     = 40002
	maximumReached     = 60002
	clientBlocked      = 70004
)

// methods are those of the interfaces that the simulator has. All others take
// both, for a GET changes things here too.
var methods = map[string]string{
	"get_token":          http.MethodPost,
	"refresh_token":      http.MethodPost,
	"del_token":          http.MethodGet,
	"extension/list":     http.MethodGet,
	"system/information": http.MethodGet,
}

func (d dialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	name, ours := strings.CutPrefix(r.URL.Path, prefix)
	switch {
	case r.Action == pbxsim.Web && r.URL.Path == "/" && r.Method == http.MethodGet:
		return pbxsim.Reply{Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(pbxsim.HTMLPage)}
	case r.Action == pbxsim.Web:
		return pbxsim.Reply{Status: http.StatusNotFound, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html><body>404 Not Found</body></html>\n")}
	case r.UserAgent() == "": // mandatory; what happens without it is not documented
		return fail(accessDenied)
	case !ours:
		return fail(unsupportedVersion)
	case name == "" || methods[name] != "" && methods[name] != r.Method:
		return fail(noSuchInterface)
	case r.Action == pbxsim.Login:
		return d.login(a, r)
	case r.Action == pbxsim.KeepAlive:
		return d.refresh(a, r)
	}

	// The query is the only place for a token.
	token := r.URL.Query().Get("access_token")
	if r.Action == pbxsim.Logout {
		v := a.Logout(token)
		if v == pbxsim.Locked || v != pbxsim.OK && !d.LogoutForgives {
			return d.refuse(r, v)
		}
		return reply(answer{})
	}
	if v := a.Use(token); v != pbxsim.OK {
		return d.refuse(r, v)
	}
	if own, ok := a.Respond("application/json"); ok {
		own.Header.Set("Connection", "close")
		return own
	}
	switch name {
	case "system/information":
		return reply(answer{})
	case "extension/list":
		return reply(answer{Total: len(extensions), Data: extensions})
	}
	return fail(noSuchInterface)
}

// refuse responds to a token that does not work.
func (d dialect) refuse(r *pbxsim.Request, v pbxsim.Verdict) pbxsim.Reply {
	if v == pbxsim.Locked {
		return d.blocked(r)
	}
	return fail(tokenExpired)
}

// blocked responds to a client that is blocked.
func (d dialect) blocked(r *pbxsim.Request) pbxsim.Reply {
	response := answer{Errcode: clientBlocked}
	if until := r.LockedUntil(); !until.IsZero() && !d.NoBlockTime {
		response.BlockedUntil = until.Unix()
	}
	return reply(response)
}

func (d dialect) login(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	params, errcode := parameters(r.Body, "username", "password")
	if errcode != success {
		return fail(errcode)
	}
	token, v := a.Login(params["username"], func(password string) bool { return params["password"] == password })
	switch v {
	case pbxsim.OK:
		return pair(token)
	case pbxsim.TooManyTokens:
		return fail(maximumReached)
	case pbxsim.Locked:
		return d.blocked(r)
	}
	return reply(answer{Errcode: failure, InvalidParams: []invalidParam{{"username or password", "error"}}})
}

// refresh trades the latest refresh token for another pair. No access token is
// asked for.
func (d dialect) refresh(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	params, errcode := parameters(r.Body, "refresh_token")
	if errcode != success {
		return fail(errcode)
	}
	token, v := a.Refresh(params["refresh_token"])
	switch {
	case v == pbxsim.OK:
		return pair(token)
	case v == pbxsim.Locked:
		return d.blocked(r)
	case d.RefreshErrcode != 0:
		return fail(d.RefreshErrcode)
	}
	return fail(tokenExpired)
}

// parameters reads the fields of a request, which are strings all. Names are
// compared exactly.
func parameters(body []byte, required ...string) (params map[string]string, errcode int) {
	if json.Unmarshal(body, &params) != nil {
		return nil, wrongSyntax
	}
	for _, name := range required {
		if params[name] == "" {
			return nil, wrongParameter
		}
	}
	return params, success
}

// An answer is the body of every response, fields in the order of the samples.
type answer struct {
	Errcode         int            `json:"errcode"`
	Errmsg          string         `json:"errmsg"`
	AccessLifetime  int            `json:"access_token_expire_time,omitempty"`
	AccessToken     *string        `json:"access_token,omitempty"`
	RefreshLifetime int            `json:"refresh_token_expire_time,omitempty"`
	RefreshToken    *string        `json:"refresh_token,omitempty"`
	InvalidParams   []invalidParam `json:"invalid_param_list,omitempty"`
	BlockedUntil    int64          `json:"block_expire_time,omitempty"`
	Total           int            `json:"total_number,omitempty"`
	Data            []extension    `json:"data,omitempty"`
}

// An extension has the fields of the page query-extension-list that are the same
// in all editions.
type extension struct {
	ID       int    `json:"id"`
	Presence string `json:"presence_status"`
	Number   string `json:"number"`
	Name     string `json:"caller_id_name"`
	Role     string `json:"role_name"`
	Email    string `json:"email_addr"`
	Mobile   string `json:"mobile_number"`
}

var extensions = []extension{
	{ID: 1, Presence: "available", Number: "1000", Name: "Reception", Role: "Administrator"},
	{ID: 2, Presence: "away", Number: "1001", Name: "Sales", Email: "sales@pbx.example"},
}

type invalidParam struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

func pair(t pbxsim.Token) pbxsim.Reply {
	return reply(answer{
		AccessLifetime: int(t.Expires.Sub(t.Issued) / time.Second), AccessToken: &t.Value,
		RefreshLifetime: int(t.RefreshExpires.Sub(t.Issued) / time.Second), RefreshToken: &t.Refresh,
	})
}

func fail(errcode int) pbxsim.Reply { return reply(answer{Errcode: errcode}) }

// reply responds with HTTP 200, which failures have too, and closes the connection.
func reply(a answer) pbxsim.Reply {
	a.Errmsg = "SUCCESS"
	if a.Errcode != success {
		a.Errmsg = "FAILURE"
	}
	body, err := json.Marshal(a)
	if err != nil {
		panic(err) // a response has nothing that JSON has not
	}
	return pbxsim.Reply{
		Header: http.Header{"Content-Type": {"application/json"}, "Connection": {"close"}},
		Body:   body,
	}
}
