package runtelsim

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// New returns a Runtel PBX. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	if o == nil {
		o = &Options{}
	}
	return pbxsim.New(dialect{*o}, common)
}

// Options are how one PBX differs from another: what the vendor does not say.
type Options struct {
	// Failure is the shape of failing responses; [HTTP401] if empty.
	Failure FailureMode

	// Refusal is the code of a wrong login and of a refused token; 401 if 0.
	// Where the code is also the HTTP status, it has to be one.
	Refusal int

	// Block is the code that a locked client gets; 403 if 0. 429 comes with a
	// Retry-After.
	Block int

	// Echo is what becomes of the "action_id" in a response; it is repeated if
	// empty.
	Echo EchoMode

	// Body, where set, changes the body of a good login before it is sent: to
	// another role's, to null, to one without a token. It gets the vendor's
	// fields, numbers as float64, and is called by many goroutines at once.
	Body func(fields map[string]any) any

	// ExpZone is the zone of a login's "exp", which is printed without one; UTC
	// if nil. The vendor's sample ends 4 h after its Date under UTC, 2 h after
	// it under Europe/Prague, 1 h after it under Europe/Moscow.
	ExpZone *time.Location

	// TZ is the "tz" of a login, the zone of the user: "Europe/Prague", as in
	// the vendor's sample, if empty.
	TZ string

	// Notifies is the "notifies" of every response; [] if nil. What it holds, and
	// when, is not documented.
	Notifies json.RawMessage

	// SlashRequired makes a path without its last slash HTTP 404. The vendor does
	// not say what it is. Without SlashRequired it is a redirect.
	SlashRequired bool
}

// dialect is the wire format.
type dialect struct{ Options }

func (dialect) Name() string { return "runtel" }

// Defaults are assumptions: that the times of the vendor's one sample are UTC,
// and a lockout like other brands' (its limits belong to the platform's
// operator, and are not published), that is never forgotten and which nothing
// resets. With Failure set to [Silence] a lock is mute and covers everything.
func (d dialect) Defaults() pbxsim.Defaults {
	defaults := pbxsim.Defaults{Lifetime: 4 * time.Hour, Lockout: pbxsim.Lockout{
		After: 5, For: 10 * time.Minute,
		Memory: pbxsim.Forever, Per: pbxsim.Address, Reset: pbxsim.Nothing,
	}}
	if d.Failure == Silence {
		defaults.Lockout.Response, defaults.Lockout.Covers = pbxsim.Mute, pbxsim.Everything
	}
	return defaults
}

// NewToken returns an opaque token. Like the vendor's "J...W" it begins with J
// and ends with W, and is no JWT.
func (dialect) NewToken() string {
	return "J" + rand.Text() + rand.Text() + "W"
}

func (dialect) Action(r *pbxsim.Request) pbxsim.Action {
	if r.URL.Path != "/api" && r.URL.Path != "/api/" {
		return pbxsim.Web
	}
	if r.Method != http.MethodPost || r.URL.Path != "/api/" {
		return pbxsim.AppRequest
	}
	switch e, _ := parse(r.Body); {
	case e.is("auth", "User"):
		return pbxsim.Login
	case e.is("logout", "User"):
		return pbxsim.Logout
	}
	return pbxsim.AppRequest
}

func (d dialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	switch {
	case r.URL.Path == "/" && r.Method == http.MethodGet:
		return reply(http.StatusOK, "text/html", []byte(pbxsim.HTMLPage))
	case r.URL.Path == "/api" && !d.SlashRequired:
		reply := page(http.StatusMovedPermanently)
		reply.Header.Set("Location", "/api/")
		return reply
	case r.URL.Path != "/api/":
		return page(http.StatusNotFound)
	case r.Method != http.MethodPost:
		reply := page(http.StatusMethodNotAllowed)
		reply.Header.Set("Allow", http.MethodPost)
		return reply
	}
	e, ok := parse(r.Body)
	if !ok {
		return d.fail(e, http.StatusBadRequest)
	}
	if r.Action == pbxsim.Login {
		return d.login(a, r, e)
	}

	// The header is the only place for a token.
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return d.refuse(e)
	}
	verdict := a.Use
	if r.Action == pbxsim.Logout {
		verdict = a.Logout
	}
	switch verdict(token) {
	case pbxsim.OK:
	case pbxsim.Locked:
		return d.block(e, r.LockedUntil())
	default:
		return d.refuse(e)
	}
	if r.Action == pbxsim.Logout {
		return d.succeed(e, struct{}{})
	}
	if own, ok := a.Respond("application/json; charset=utf-8"); ok {
		own.Header.Set("Server", server)
		return own
	}
	switch {
	case e.is("list", "DomainUser"):
		return d.succeed(e, domainUsers)
	case e.Action == "list", e.is("get", "User"): // the page api_info: every object can be listed
		return d.succeed(e, struct{}{})
	}
	return d.fail(e, http.StatusBadRequest)
}

func (d dialect) login(a *pbxsim.Accounts, r *pbxsim.Request, e envelope) pbxsim.Reply {
	user, ok1 := e.Params["login"].(string)
	given, ok2 := e.Params["password"].(string)
	if !ok1 || !ok2 {
		return d.fail(e, http.StatusBadRequest)
	}
	token, v := a.Login(user, func(password string) bool { return given == password })
	switch v {
	case pbxsim.WrongPassword:
		return d.refuse(e)
	case pbxsim.Locked:
		return d.block(e, r.LockedUntil())
	}
	if d.Body != nil {
		return d.succeed(e, d.Body(fields(d.user(token))))
	}
	return d.succeed(e, d.user(token))
}
