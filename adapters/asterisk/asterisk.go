// Package asterisk is the driver "asterisk" for the manager interface (AMI) over
// HTTP, as in every PBX that is built on Asterisk: FreePBX, Issabel and plain
// ones.
//
// # What Asterisk does
//
// It has to be switched on: enabled=yes and webenabled=yes in manager.conf,
// enabled=yes in http.conf. Then POST /rawman takes an action as a form and
// returns lines, nearly always under HTTP 200. Challenge gives a session's id and
// a number, Login proves the secret by the MD5 of both, and the id is the token:
// the cookie mansession_id. It is valid for a minute (httptimeout) after the last
// request that carried it, refused ones included. A session that is not logged in
// lasts 5 s. If the challenge takes longer than that, no login is sent.
//
// Every response sets that cookie, even a refusal, so having one proves nothing.
// Without a valid session the response to any action is "Permission denied", and
// so it is to an action that the user may not run. The id that the response sets
// shows which: a session that has ended is replaced by another.
// (Asterisk 22 and 23 on the wire; main/manager.c and main/http.c of 16 to 23.)
//
// # What this driver makes of it
//
// The secret itself is not sent, and no old cookie goes with a login: Asterisk
// would respond with success, whatever the secret.
//
// How long a session is valid is taken from the Max-Age of the login's response. Pings
// keep it valid. Requests are not relied on, because those to what else is at this
// address, such as ARI, do not extend it.
//
// A refused login takes Asterisk a second, so a context has to allow for more than
// that. A user with allowmultiplelogin=no who is logged in elsewhere is
// [pbx.ErrTooManySessions], which says nothing about the secret. So log out.
//
// Asterisk itself locks nobody out. If fail2ban does, it drops the packets of the
// client's address, which looks like a time-out.
//
// The web server is up before the manager: if an address that has worked returns
// 404, Asterisk is starting.
//
// [pbx.Token].Details is nil: a login returns nothing about the user.
package asterisk

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "asterisk"

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
//
// Username and Password are a user of manager.conf and its secret. A URL without
// a port means 8089 with https, 8088 with http.
type Config struct {
	pbx.Config

	// Prefix is that of http.conf, as in "asterisk". Most PBXs have none. It can
	// be a part of the URL instead.
	Prefix string
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Asterisk, FreePBX, Issabel (AMI over HTTP)",

		UserLabel: "Manager user", PasswordLabel: "Secret",
		DefaultPort: 8089,
		Setup:       "Set enabled=yes and webenabled=yes in manager.conf, and enabled=yes in http.conf. The account is a user of manager.conf.",
		Docs:        "https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Manager-Interface-AMI/",

		Options: []pbx.Option{
			{Name: "prefix", Label: "Prefix", Kind: pbx.OptionString, Help: "The prefix in Asterisk's http.conf, as in asterisk. Most have none."},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			options := cfg.Options
			cfg.Options = nil
			return New(Config{Config: cfg, Prefix: options["prefix"]})
		},
	})
}

// PBX is an Asterisk as seen by one user of its manager interface. It implements
// [pbx.Authenticator] and all the optional interfaces.
type PBX struct {
	wire   *wire.Client
	prefix string // "", or "/asterisk"

	// worked is set once this address has responded as the manager. It decides
	// how a 404 is read.
	worked atomic.Bool
}

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	if !prefixes.MatchString(cfg.Prefix) {
		return nil, wire.Misconfigured(Name, "prefix", "Prefix (prefix) may have letters, digits, slashes, and the characters - _ ~ and . only, because it becomes a part of a URL")
	}
	client, err := wire.New(wire.Endpoint{
		Driver: Name, Port: 8089, PlainPort: 8088, APIPaths: apiPaths, NoOptions: true, Impossible: impossible,
		Greetings: []wire.Greeting{{Prefix: "Asterisk Call Manager", Advice: "this is the TCP port of Asterisk's manager interface: configure its HTTP port, usually 8088, or 8089 for https"}},
	}, cfg.Config)
	if err != nil {
		return nil, err
	}
	p := &PBX{wire: client}
	if prefix := strings.Trim(cfg.Prefix, "/"); prefix != "" && !strings.HasSuffix(client.URL(), "/"+prefix) {
		p.prefix = "/" + prefix
	}
	return p, nil
}

// prefixes matches what can be a part of a path as it is, and the empty string.
var prefixes = regexp.MustCompile(`^(/*[\w.~-]*[\w~-][\w.~-]*)*/*$`)

// impossible implements [wire.Endpoint].Impossible. Asterisk drops what is not above
// a blank at both ends of a value when it reads manager.conf, and at the beginning of
// one when it reads a request.
func impossible(account pbx.Credentials) (setting, wrong string) {
	if account.Username[0] <= ' ' {
		return "Username", "the user name begins with a blank, which Asterisk drops: remove it"
	}
	if s := account.Password.Reveal(); s[0] <= ' ' || s[len(s)-1] <= ' ' {
		return "Password", "the password begins or ends with a blank, which no secret of manager.conf does: remove it"
	}
	return "", ""
}

// challengeLasts is how long a session that is not logged in lasts. Asterisk writes the
// same line for a login without one as for a wrong secret, which fail2ban counts.
const challengeLasts = 5 * time.Second

// Login implements [pbx.Authenticator], in two requests: Challenge and Login.
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	x, err := p.call(ctx, wire.Request{Op: pbx.OpLogin, NoProof: true}, pbx.Secret{}, url.Values{"Action": {"Challenge"}, "AuthType": {"MD5"}})
	if err != nil {
		return nil, err
	}
	if time.Since(asked) >= challengeLasts {
		return nil, x.Fail(pbx.ErrUnavailable, "", "Asterisk is too slow: its challenge took longer than the 5 s for which it is valid, so that a login would fail")
	}
	challenge := x.block["Challenge"]
	if x.block["Response"] != "Success" || challenge == "" || x.given.IsZero() {
		return nil, x.unproven("the response to Challenge lacks the challenge or the session's cookie")
	}

	sum := md5.Sum([]byte(challenge + account.Password.Reveal()))
	key := pbx.NewSecret(hex.EncodeToString(sum[:])) // capitals are refused
	issued := time.Now()
	x, err = p.call(ctx, wire.Request{Op: pbx.OpLogin, Secrets: []pbx.Secret{key}}, x.given, url.Values{
		"Action": {"Login"}, "AuthType": {"MD5"}, "Username": {account.Username}, "Key": {key.Reveal()},
	})
	if err != nil {
		return nil, err
	}
	switch {
	case x.block["Message"] == "Already authenticated":
		return nil, x.unproven("Asterisk took the login for one of a live session, and did not look at the secret")
	case x.block["Response"] != "Success" || x.block["Message"] != "Authentication accepted":
		return nil, x.unproven("the response to Login does not say that the authentication was accepted")
	case x.given.IsZero():
		return nil, x.unproven("the login succeeded and brought no session's cookie")
	}
	return &pbx.Token{Value: x.given, IssuedAt: issued, ExpiresAt: issued.Add(x.lifetime)}, nil
}

// ping sends a Ping, which needs no permission.
func (p *PBX) ping(ctx context.Context, op pbx.Op, t *pbx.Token) (exchange, error) {
	x, err := p.call(ctx, wire.Request{Op: op}, t.Value, url.Values{"Action": {"Ping"}})
	if err == nil && (x.block["Response"] != "Success" || x.block["Ping"] != "Pong") {
		return exchange{}, x.unproven("the response to Ping is no Pong")
	}
	return x, err
}

// KeepAlive implements [pbx.Authenticator] with a Ping. The token stays the same.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	issued := time.Now()
	x, err := p.ping(ctx, pbx.OpKeepAlive, t)
	if err != nil {
		return nil, err
	}
	prolonged := *t
	prolonged.IssuedAt, prolonged.ExpiresAt = issued, issued.Add(x.lifetime)
	return &prolonged, nil
}

// Ping implements [pbx.Pinger].
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	_, err := p.ping(ctx, pbx.OpPing, t)
	return err
}

// Logout implements [pbx.Authenticator]. Asterisk says goodbye to a session that
// it does not know, too.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	x, err := p.call(ctx, wire.Request{Op: pbx.OpLogout}, t.Value, url.Values{"Action": {"Logoff"}})
	if failure, ok := err.(*pbx.Error); ok && failure.Kind == pbx.ErrTokenRejected {
		return nil // gone already
	}
	if err == nil && x.block["Response"] != "Goodbye" {
		return x.unproven("the response to Logoff is no Goodbye")
	}
	return err
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.wire.Fingerprint(ctx, key)
}

// lockout is not Asterisk's own, which locks nobody out: it is that of fail2ban
// in front of many. Its filter matches two lines of a wrong secret and three of an
// unknown user (seen with Asterisk 18 and 22). maxretry=5, fail2ban's own default,
// bans at the third wrong secret; Debian's jail for Asterisk has 10. A ban drops all
// packets for bantime, and a line counts for findtime, both 10 minutes by default
// (jail.conf of fail2ban 1.0.2). FreePBX has a findtime of 10 minutes too (System
// Admin, Intrusion Detection). No login ends the count. A request with a dead session
// writes a line that the filter does not match.
var lockout = pbx.Lockout{Attempts: 3, Window: 10 * time.Minute, Memory: 10 * time.Minute, DeadTokens: pbx.DeadTokensIgnored, CoversRequests: true}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	base := p.wire.URL() + p.prefix
	return pbx.Traits{
		Driver: Name,
		// Not Sliding: what else is at this address, as ARI, extends no session.
		URL: base, Account: p.wire.Account(), Lifetime: usualLifetime,
		KeepAlive: pbx.KeepAliveHeartbeat, Logout: pbx.LogoutToken, Lockout: lockout,
		Probe: base + path + "?action=challenge&authtype=MD5",
	}
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "asterisk.PBX("+p.Traits().URL+")") }
