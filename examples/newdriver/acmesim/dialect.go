// Package acmesim is the other end: an Acme PBX, as a dialect of
// [github.com/pbxauth/pbx/conformance/pbxsim]. It is written from the vendor's
// documents, never from the driver, or both would share one misreading.
package acmesim

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// New returns an Acme PBX.
func New(opts *pbxsim.Options) *pbxsim.PBX { return pbxsim.New(dialect{}, opts) }

type dialect struct{}

func (dialect) Name() string { return "acme" }

func (dialect) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{
		Lifetime:        15 * time.Minute,
		RefreshLifetime: 24 * time.Hour,
		MaxTokens:       4,
		Lockout:         pbxsim.Lockout{After: 5, For: 15 * time.Minute, Reset: pbxsim.Account},
	}
}

func (dialect) NewToken() string { return rand.Text() }

func (dialect) Action(r *pbxsim.Request) pbxsim.Action {
	if r.Method != http.MethodPost && r.URL.Path != "/v1/status" {
		return pbxsim.Web
	}
	switch r.URL.Path {
	case "/v1/session":
		return pbxsim.Login
	case "/v1/session/refresh":
		return pbxsim.KeepAlive
	case "/v1/session/end":
		return pbxsim.Logout
	}
	return pbxsim.AppRequest
}

// codes are what the PBX returns for a verdict.
var codes = map[pbxsim.Verdict]int{
	pbxsim.WrongPassword: 11,
	pbxsim.Locked:        12,
	pbxsim.TooManyTokens: 13,
	pbxsim.UnknownToken:  21,
	pbxsim.ExpiredToken:  22,
}

const unreadable = 10

func (d dialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	token := r.Header.Get("X-Acme-Token")
	var fields struct{ User, Password, Tenant, Refresh string }
	if r.Action == pbxsim.Login || r.Action == pbxsim.KeepAlive {
		if r.Method != http.MethodPost || json.Unmarshal(r.Body, &fields) != nil {
			return fail(unreadable)
		}
	}
	switch r.Action {
	case pbxsim.Login:
		pair, v := a.Login(fields.User, func(password string) bool { return fields.Password == password })
		return answer(v, pair)
	case pbxsim.KeepAlive:
		pair, v := a.Refresh(fields.Refresh)
		return answer(v, pair)
	case pbxsim.Logout:
		return answer(a.Logout(token), pbxsim.Token{})
	}
	v := a.Use(token)
	if v == pbxsim.OK && r.URL.Path != "/v1/status" {
		return pbxsim.Reply{Status: http.StatusNotFound}
	}
	return answer(v, pbxsim.Token{})
}

// answer writes a verdict, with the pair of tokens if there is one.
func answer(v pbxsim.Verdict, t pbxsim.Token) pbxsim.Reply {
	switch {
	case v != pbxsim.OK:
		return fail(codes[v])
	case t.User == "":
		return reply(map[string]any{"result": "ok"})
	}
	return reply(map[string]any{
		"result":      "ok",
		"role":        "operator",
		"access":      t.Value,
		"access_ttl":  int(t.Expires.Sub(t.Issued).Seconds()),
		"refresh":     t.Refresh,
		"refresh_ttl": int(t.RefreshExpires.Sub(t.Issued).Seconds()),
	})
}

func fail(code int) pbxsim.Reply {
	return reply(map[string]any{"result": "error", "code": code})
}

func reply(fields map[string]any) pbxsim.Reply {
	body, err := json.Marshal(fields)
	if err != nil {
		panic(err) // texts and numbers always marshal
	}
	return pbxsim.Reply{Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}
