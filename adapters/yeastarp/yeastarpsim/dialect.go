// Package yeastarpsim simulates the API of a Yeastar P-Series PBX, as
// help.yeastar.com documents it for the Appliance, Software and Cloud Edition. It
// is a dialect of [pbxsim], which has the rest: accounts, tokens and what
// refreshes them, the eight places, the lockout, faults.
//
//	pbx := yeastarpsim.New(&pbxsim.Options{Accounts: map[string]string{"client": "secret"}})
//	server := pbxsim.Listen(pbx)
//	defer server.Close()
//
// What the vendor does not say is played either way by fields of [Dialect], and
// of [pbxsim.Options]: RefreshSparesOld, RefreshHoldsPlace, WrongTokenCounts,
// SuccessKeepsCount.
package yeastarpsim

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// New returns a P-Series PBX.
func New(opts *pbxsim.Options) *pbxsim.PBX {
	return pbxsim.New(Dialect{}, opts)
}

// Dialect is the wire format. Its zero value is what the vendor's pages
// document, and for what they do not document the likelier of two readings.
type Dialect struct {
	// RefreshErrcode answers a dead refresh token. What the PBX answers is not
	// documented; 0 means 10004, the only code for a token that there is.
	RefreshErrcode int

	// LogoutForgives answers a del_token of a dead token with success. What the
	// PBX answers is not documented; without LogoutForgives it is 10004.
	LogoutForgives bool

	// NoBlockTime leaves block_expire_time out of the answer to a blocked
	// client. No page has the field; a client has met it.
	NoBlockTime bool
}

func (Dialect) Name() string { return "yeastar-p" }

// Defaults are the documented numbers. The vendor says that the fifth consecutive
// wrong login blocks the client's address, and not for how long: that is played
// as the ten minutes of the vendor's other PBXs. Nor does it name a time after
// which a wrong login is forgotten, or say that a good login of one account ends
// the row of another.
func (Dialect) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{
		Life:        1800 * time.Second,
		RefreshLife: 86400 * time.Second,
		MaxTokens:   8,
		Lockout: pbxsim.Lockout{
			After: 5, For: 10 * time.Minute,
			Memory: pbxsim.Forever, Per: pbxsim.Address, Reset: pbxsim.Account,
		},
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewToken returns 32 letters and digits, as in every printed sample.
func (Dialect) NewToken() string {
	var b [32]byte
	for i := range b {
		b[i] = alphabet[rand.IntN(len(alphabet))]
	}
	return string(b[:])
}

const prefix = "/openapi/v1.0/"

func (Dialect) Action(r *pbxsim.Request) pbxsim.Action {
	name, ours := strings.CutPrefix(r.URL.Path, prefix)
	switch {
	case !strings.HasPrefix(r.URL.Path, "/openapi/"):
		return pbxsim.Web
	case !ours || methods[name] != "" && methods[name] != r.Method: // 10001 or 10003
		return pbxsim.Call
	}
	switch name {
	case "get_token":
		return pbxsim.Login
	case "refresh_token":
		return pbxsim.KeepAlive
	case "del_token":
		return pbxsim.Logout
	}
	return pbxsim.Call
}

// The vendor's errcodes that the simulator itself answers.
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
	"system/information": http.MethodGet,
}

func (d Dialect) Serve(p *pbxsim.PBX, r *pbxsim.Request) pbxsim.Reply {
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
		return d.login(p, r)
	case r.Action == pbxsim.KeepAlive:
		return d.refresh(p, r)
	}

	// The query is the only place for a token.
	token := r.URL.Query().Get("access_token")
	if r.Action == pbxsim.Logout {
		v := p.Logout(r, token)
		if v == pbxsim.Locked || v != pbxsim.OK && !d.LogoutForgives {
			return d.refuse(r, v)
		}
		return reply(answer{})
	}
	if v := p.Use(r, token); v != pbxsim.OK {
		return d.refuse(r, v)
	}
	return reply(answer{})
}

// refuse answers a token that does not work.
func (d Dialect) refuse(r *pbxsim.Request, v pbxsim.Verdict) pbxsim.Reply {
	if v == pbxsim.Locked {
		return d.blocked(r)
	}
	return fail(tokenExpired)
}

// blocked answers a client that is blocked.
func (d Dialect) blocked(r *pbxsim.Request) pbxsim.Reply {
	a := answer{Errcode: clientBlocked}
	if until := r.LockedUntil(); !until.IsZero() && !d.NoBlockTime {
		a.BlockedUntil = until.Unix()
	}
	return reply(a)
}

func (d Dialect) login(p *pbxsim.PBX, r *pbxsim.Request) pbxsim.Reply {
	params, errcode := parameters(r.Body, "username", "password")
	if errcode != success {
		return fail(errcode)
	}
	token, v := p.Login(r, params["username"], func(password string) bool { return params["password"] == password })
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
func (d Dialect) refresh(p *pbxsim.PBX, r *pbxsim.Request) pbxsim.Reply {
	params, errcode := parameters(r.Body, "refresh_token")
	if errcode != success {
		return fail(errcode)
	}
	token, v := p.Refresh(r, params["refresh_token"])
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

// An answer is the body of every answer, fields in the order of the samples.
type answer struct {
	Errcode       int            `json:"errcode"`
	Errmsg        string         `json:"errmsg"`
	AccessLife    int            `json:"access_token_expire_time,omitempty"`
	AccessToken   *string        `json:"access_token,omitempty"`
	RefreshLife   int            `json:"refresh_token_expire_time,omitempty"`
	RefreshToken  *string        `json:"refresh_token,omitempty"`
	InvalidParams []invalidParam `json:"invalid_param_list,omitempty"`
	BlockedUntil  int64          `json:"block_expire_time,omitempty"`
}

type invalidParam struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

func pair(t pbxsim.Token) pbxsim.Reply {
	return reply(answer{
		AccessLife: int(t.Expires.Sub(t.Issued) / time.Second), AccessToken: &t.Value,
		RefreshLife: int(t.RefreshExpires.Sub(t.Issued) / time.Second), RefreshToken: &t.Refresh,
	})
}

func fail(errcode int) pbxsim.Reply { return reply(answer{Errcode: errcode}) }

// reply answers HTTP 200, which failures have too, and closes the connection.
func reply(a answer) pbxsim.Reply {
	a.Errmsg = "SUCCESS"
	if a.Errcode != success {
		a.Errmsg = "FAILURE"
	}
	body, err := json.Marshal(a)
	if err != nil {
		panic(err) // an answer has nothing that JSON has not
	}
	return pbxsim.Reply{
		Header: http.Header{"Content-Type": {"application/json"}, "Connection": {"close"}},
		Body:   body,
	}
}
