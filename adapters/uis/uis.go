// Package uis is the driver "uis" for UIS and CoMagic, two brands of one cloud
// platform, with its Call API v4.0.
//
// # What the vendor says
//
// Everything is a POST of a JSON-RPC 2.0 request to /v4.0. The method login.user
// takes login and password and returns access_token, which is valid for an hour,
// and expire_at, a time in Unix seconds. The token goes into the params of every
// request, as access_token. logout.user ends it. Instead of a login, a key that is
// made in the user's settings can be used. It expires at a date or never. A failure has
// an error object with a code and a mnemonic. (uiscom.ru and comagic.ru, «Call
// API».)
//
// # Failures
//
// They are read by the mnemonic. An unknown one is read by the group that its code
// belongs to, and has no kind if the group is that of a method's parameters.
//
//	auth_error                                   invalid credentials
//	access_token_invalid, _expired, _blocked     token rejected; of a key: invalid credentials
//	ip_not_whitelisted, forbidden, component_disabled, account_inactive   forbidden
//	limit_exceeded, internal_error               unavailable
//	parse_error, method_not_found and others     unexpected response
//
// An expired token is access_token_invalid: access_token_expired is for keys only.
// An error repeats the value of the field that it is about, so that one about the
// token or the password holds it. Of the platform's words, this driver takes over
// the mnemonic and the name of the field.
//
// # What it does not say
//
// Under which HTTP status failures come: any is expected. Where an error has its
// metadata, with the seconds to wait after limit_exceeded: three places are looked
// into. Whether a login ends the token before it. Whether wrong logins lock anybody
// out: the limits that a session assumes hold. Which request every account may
// make: [Config].PingMethod names one.
//
// # Details
//
// [pbx.Token].Details is the metadata of the login's response, as in
//
//	{"limits": {"day_limit": 10000, "minute_remaining": 59, …}}
//
// and nil without. An "api_version" in it says that v4.0 ends in a few months.
package uis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/bodytoken"
	"github.com/pbxauth/pbx/adapters/internal/statickey"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "uis"

const (
	path        = "/v4.0"
	contentType = "application/json; charset=UTF-8"

	lifetime = time.Hour // of a token, if the response does not say

	mostLifetime = 24 * time.Hour // what is beyond is a misprint, or the Date is wrong
)

// Platforms of the vendor's, for [Config].Platform.
const (
	UIS     = "uis"
	CoMagic = "comagic"
)

var (
	addresses = map[string]string{UIS: "https://callapi.uiscom.ru", CoMagic: "https://callapi.comagic.ru"}
	platforms = strings.Join(slices.Sorted(maps.Keys(addresses)), ", ") // for messages
)

// readsOnly matches the methods that the vendor names as reading.
var readsOnly = regexp.MustCompile(`^(list|get)\.`)

// place is where the vendor has the token.
var place = bodytoken.Place{Driver: Name, Object: "params", Field: "access_token", Form: `{"jsonrpc":"2.0","id":1,"method":…,"params":{…}}`}

// lockout: the document says nothing about wrong logins, and its table of errors has no
// code for a lock: a locked client may get the error for a wrong password. The platform is
// shared by all its customers.
var lockout = pbx.Lockout{LooksWrong: true}

// Config is the typed form of the driver's settings. Options and Secrets of the
// embedded Config must be empty: they are for [pbx.Open].
//
// Username is the user's login.
type Config struct {
	pbx.Config

	// Platform is UIS or CoMagic, for the platform's own address instead of a URL.
	Platform string

	// Key is a static key, made in the settings of a user. It replaces an account:
	// Username, Password and Credentials must be empty. Login then sends PingMethod
	// with it, if that is set, and returns the key as a token that does not expire.
	// A refused key is [pbx.ErrInvalidCredentials].
	Key pbx.Secret

	// PingMethod is a method that needs a token, changes nothing, and takes no other
	// parameters, as in list.calls, which belongs to a component. It begins with
	// "list." or "get.". Empty: Ping returns [pbx.ErrNotSupported].
	PingMethod string
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "UIS and CoMagic",

		UserLabel: "Login", PasswordLabel: "Password",
		AccountOptional: true, // with a key
		Setup:           "An administrator opens the account's user management and gives a user the right to the Call API. The same page makes a key for the user. The account's page of the Call API lists the IP addresses that may use it.",
		Docs:            "https://www.uiscom.ru/academiya/spravochnyj-centr/dokumentatsiya-api/call_api/",

		Options: []pbx.Option{
			{Name: "platform", Label: "Platform", Kind: pbx.OptionChoice,
				Choices: []pbx.Choice{{Value: UIS, Label: "UIS (callapi.uiscom.ru)"}, {Value: CoMagic, Label: "CoMagic (callapi.comagic.ru)"}},
				Help:    "The platform, instead of a URL."},
			{Name: statickey.Option, Label: "Key", Kind: pbx.OptionSecret,
				Help: "A key made in the settings of a user, instead of a login and password."},
			{Name: "ping_method", Label: "Harmless method", Kind: pbx.OptionString,
				Help: "A method that changes nothing, to try a token or key with, as in list.calls. Without it, neither is tried before it is used."},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			options, key := cfg.Options, cfg.Secrets[statickey.Option]
			cfg.Options, cfg.Secrets = nil, nil
			return New(Config{Config: cfg, Platform: options["platform"], Key: key, PingMethod: options["ping_method"]})
		},
	})
}

// PBX is the platform as seen by one user, or through one key. It implements
// [pbx.Authenticator] and all the optional interfaces. It is safe for concurrent
// use.
type PBX struct {
	wire       *wire.Client
	key        statickey.Key
	pingMethod string
}

// New opens a platform. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	fault := func(setting, format string, args ...any) (*PBX, error) {
		return nil, wire.Misconfigured(Name, setting, format, args...)
	}
	switch address := addresses[cfg.Platform]; {
	case cfg.PingMethod != "" && !readsOnly.MatchString(cfg.PingMethod):
		return fault("ping_method", "PingMethod (ping_method) %q may change something: name one that begins with list. or get.", cfg.PingMethod)
	case cfg.Platform == "" && cfg.URL == "":
		return fault("URL", "no address: set URL, or Platform (platform) to one of %s", platforms)
	case cfg.Platform != "" && cfg.URL != "":
		return fault("platform", "set either URL or Platform (platform), not both: a platform has its own address")
	case cfg.Platform != "" && address == "":
		return fault("platform", "Platform (platform) %q is not one of %s", cfg.Platform, platforms)
	case cfg.Platform != "":
		cfg.URL = address
	}
	key, err := statickey.New(Name, cfg.Key, cfg.Config)
	if err != nil {
		return nil, err
	}
	client, err := wire.New(wire.Endpoint{
		Driver: Name, APIPaths: []string{path},
		NoAccount: !key.IsZero(), NoOptions: true, Impossible: wire.NotUTF8,
	}, cfg.Config)
	if err != nil {
		return nil, err
	}
	return &PBX{wire: client, key: key, pingMethod: cfg.PingMethod}, nil
}

// Format writes which platform this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "uis.PBX("+p.wire.URL()+")") }

// params are those of the driver's own requests.
type params struct {
	Login       string `json:"login,omitempty"`
	Password    string `json:"password,omitempty"`
	AccessToken string `json:"access_token,omitempty"`
}

// Login implements [pbx.Authenticator]. With a key it makes no login request: it
// proves the key with [PBX.Ping], and returns it.
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	if !p.key.IsZero() {
		return p.key.Login(ctx, p.Ping)
	}
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	issued := time.Now()
	got, x, err := p.do(ctx, wire.Request{Op: pbx.OpLogin}, "login.user", params{Login: account.Username, Password: account.Password.Reveal()})
	if err != nil {
		return nil, err
	}
	if got.Data.AccessToken == "" {
		return nil, x.Fail(pbx.ErrProtocol, "", "the login succeeded and brought no access_token")
	}
	return &pbx.Token{
		Value: pbx.NewSecret(got.Data.AccessToken), IssuedAt: issued,
		ExpiresAt: expiry(x, issued, got.Data.ExpireAt),
		Details:   x.Details(got.Metadata),
	}, nil
}

// expiry reads expire_at by the clock that it was written by, the platform's: the
// Date is in whole seconds, so that up to one of them has passed. It is zero if
// there is no sense in expire_at.
func expiry(x *wire.Exchange, issued time.Time, expireAt wire.Text) time.Time {
	seconds, err := strconv.ParseFloat(string(expireAt), 64)
	if err != nil || !(seconds >= 1e8 && seconds <= 1e11) { // nor NaN
		return time.Time{}
	}
	now := issued
	if date, err := http.ParseTime(x.Response.Header.Get("Date")); err == nil {
		now = date.Add(time.Second)
	}
	if left := time.UnixMilli(int64(seconds * 1000)).Sub(now); left > 0 && left <= mostLifetime {
		return issued.Add(left)
	}
	return time.Time{}
}

// KeepAlive implements [pbx.Authenticator]: there is no request for it, and it
// returns [pbx.ErrNotSupported]. A key needs none and is returned as it is. Nothing
// is sent either way.
func (p *PBX) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	if !p.key.IsZero() {
		return p.key.Token(), nil
	}
	return nil, p.wire.Unsent(pbx.OpKeepAlive, pbx.ErrNotSupported, "no request extends a token: log in again before it expires")
}

// Logout implements [pbx.Authenticator]. With a key it sends nothing.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	if !p.key.IsZero() {
		return nil
	}
	got, x, err := p.withToken(ctx, pbx.OpLogout, "logout.user", t)
	switch {
	case errors.Is(err, pbx.ErrTokenRejected):
		return nil // dead already
	case err != nil:
		return err
	case strings.Trim(string(got.Data.Success), `"`) != "true":
		return x.Fail(pbx.ErrProtocol, "", "the response to logout.user does not say that it succeeded")
	}
	return nil
}

// Ping implements [pbx.Pinger] with [Config].PingMethod. It returns
// [pbx.ErrNotSupported] without one, and if the account may not use the method.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	if p.pingMethod == "" {
		return p.wire.Unsent(pbx.OpPing, pbx.ErrNotSupported, "no harmless method is known: set ping_method")
	}
	_, _, err := p.withToken(ctx, pbx.OpPing, p.pingMethod, t)
	var failure *pbx.Error
	if errors.As(err, &failure) && slices.Contains(notForAll, failure.Code) {
		failure.Kind, failure.Setting = pbx.ErrNotSupported, "ping_method"
		failure.Message = "the account may not use " + p.pingMethod + ", or it needs other parameters: set ping_method to another method"
	}
	return err
}

// notForAll are the mnemonics of a method that does not suit as a ping.
var notForAll = []string{"method_not_found", "forbidden", "component_disabled", "required_parameter_missed", "unexpected_parameters"}

// Authorize implements [pbx.Requester]: the token goes into the body, as the
// access_token of its params, instead of any that is there. The other bytes stay as
// they are. A body without params, or of more than 1 MiB, is an error of kind
// [pbx.ErrNotSupported], and r is not to be used. Content-Type is set as well, if
// there is none.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", contentType)
	}
	return place.Put(r, t)
}

// Inspect implements [pbx.Requester]. A response that is not the API's, such as a
// recording, is judged by its HTTP status.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := p.key.Inspect(p.wire, r, body, t)
	got := read(x.Response.Body)
	if x.OK() && got.Error == nil {
		return nil
	}
	return p.judge(x, got)
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.key.Fingerprint(ctx, p.wire, key)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	traits := pbx.Traits{
		Driver: Name,
		URL:    p.wire.URL(), Account: p.wire.Account(), Lifetime: lifetime,
		KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutToken, Lockout: lockout,
		Unproven: !p.key.IsZero() && p.pingMethod == "", // nothing is sent with the key
		// Everything is a POST with a body, so that a GET without one is no login.
		Probe: p.wire.URL() + path,
	}
	p.key.Apply(&traits)
	return traits
}
