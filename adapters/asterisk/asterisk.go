// Package asterisk is the driver "asterisk" for the manager interface (AMI) over
// HTTP, as in every PBX that is built on Asterisk: FreePBX, Issabel and plain
// ones.
//
// # What Asterisk does
//
// It has to be switched on: enabled=yes and webenabled=yes in manager.conf,
// enabled=yes in http.conf. Then POST /rawman takes an action as a form and
// answers lines, nearly always under HTTP 200. Challenge gives a session's id and
// a number, Login proves the secret by the MD5 of both, and the id is the token:
// the cookie mansession_id. It lives for a minute (httptimeout) after the last
// request that carried it, refused ones included; a session not yet logged in
// lives 5 s.
//
// Every answer sets that cookie, a refusal's too, so having one proves nothing.
// Without a live session any action is answered "Permission denied", and so is
// one that the user may not run: only the id that the answer sets tells which,
// for a session that is gone is replaced by another.
// (Asterisk 22 and 23 on the wire; main/manager.c and main/http.c of 16 to 23.)
//
// # What this driver makes of it
//
// The secret never travels, and no old cookie goes with a login: Asterisk would
// answer that with success, whatever the secret.
//
// How long a session lives is learnt from the Max-Age of the login's answer. A
// refused login takes Asterisk a second, so a context has to allow for more than
// that. A user with allowmultiplelogin=no who is logged in elsewhere is
// [pbx.ErrTooManySessions], which says nothing about the secret; so log out.
//
// Asterisk itself locks nobody out. Where fail2ban does, it drops the packets of
// the caller's address, which looks like a time-out.
//
// [pbx.Token].Details is nil: a login answers nothing about the user.
package asterisk

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
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

	// Prefix is that of http.conf, as in "asterisk". Most PBXs have none. It may
	// as well be a part of the URL.
	Prefix string
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Asterisk, FreePBX, Issabel (AMI over HTTP)",
		Options: []pbx.Option{
			{Name: "prefix", Kind: pbx.OptionString, Help: "prefix in Asterisk's http.conf, as in asterisk; most have none"},
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
}

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	fault := func(message string) error {
		return &pbx.Error{Driver: Name, Op: pbx.OpOpen, Kind: pbx.ErrConfig, Message: message}
	}
	if len(cfg.Options) > 0 {
		return nil, fault("Options are for pbx.Open: set the fields of asterisk.Config")
	}
	if wrong := wrongFor(cfg.Password); wrong != "" {
		return nil, fault(wrong)
	}
	client, err := wire.New(wire.Endpoint{Driver: Name, Port: 8089, PlainPort: 8088, APIPath: path}, cfg.Config)
	if err != nil {
		return nil, err
	}
	p := &PBX{wire: client}
	if prefix := strings.Trim(cfg.Prefix, "/"); prefix != "" && !strings.HasSuffix(client.URL(), "/"+prefix) {
		p.prefix = "/" + prefix
	}
	return p, nil
}

// wrongFor returns what makes a secret a wrong one for certain, "" if nothing.
// Asterisk skips what is not above a blank at the beginning of a value, also when
// it reads manager.conf.
func wrongFor(secret pbx.Secret) string {
	if s := secret.Reveal(); s != "" && s[0] <= ' ' {
		return "the password begins with a blank, which no secret of manager.conf does: remove it"
	}
	return ""
}

// Login implements [pbx.Authenticator], in two requests: Challenge and Login.
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	if wrong := wrongFor(account.Password); wrong != "" {
		return nil, &pbx.Error{Driver: Name, Op: pbx.OpLogin, Kind: pbx.ErrConfig, Message: "nothing was sent, for " + wrong}
	}
	x, err := p.call(ctx, pbx.OpLogin, pbx.Secret{}, url.Values{"Action": {"Challenge"}, "AuthType": {"MD5"}}, account.Password)
	if err != nil {
		return nil, err
	}
	challenge := x.block["Challenge"]
	if x.block["Response"] != "Success" || challenge == "" || x.given.IsZero() {
		return nil, p.unproven(x, "the answer to Challenge lacks the challenge or the session's cookie")
	}

	sum := md5.Sum([]byte(challenge + account.Password.Reveal()))
	key := pbx.NewSecret(hex.EncodeToString(sum[:])) // capitals are refused
	issued := time.Now()
	x, err = p.call(ctx, pbx.OpLogin, x.given, url.Values{
		"Action": {"Login"}, "AuthType": {"MD5"}, "Username": {account.Username}, "Key": {key.Reveal()},
	}, account.Password, key)
	if err != nil {
		return nil, err
	}
	switch {
	case x.block["Message"] == "Already authenticated":
		return nil, p.unproven(x, "Asterisk took the login for one of a live session, and did not look at the secret")
	case x.block["Response"] != "Success" || x.block["Message"] != "Authentication accepted":
		return nil, p.unproven(x, "the answer to Login does not say that the authentication was accepted")
	case x.given.IsZero():
		return nil, p.unproven(x, "the login succeeded and brought no session's cookie")
	}
	return &pbx.Token{Value: x.given, IssuedAt: issued, ExpiresAt: issued.Add(x.life)}, nil
}

// KeepAlive implements [pbx.Authenticator] with a Ping, which needs no
// permission. The token stays the same.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	issued := time.Now()
	x, err := p.call(ctx, pbx.OpKeepAlive, t.Value, url.Values{"Action": {"Ping"}})
	if err != nil {
		return nil, err
	}
	if x.block["Response"] != "Success" || x.block["Ping"] != "Pong" {
		return nil, p.unproven(x, "the answer to Ping is no Pong")
	}
	prolonged := *t
	prolonged.IssuedAt, prolonged.ExpiresAt = issued, issued.Add(x.life)
	return &prolonged, nil
}

// Logout implements [pbx.Authenticator]. Asterisk says goodbye to a session that
// it does not know, too.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	x, err := p.call(ctx, pbx.OpLogout, t.Value, url.Values{"Action": {"Logoff"}})
	if err != nil {
		return err
	}
	if x.block["Response"] != "Goodbye" {
		return p.unproven(x, "the answer to Logoff is no Goodbye")
	}
	return nil
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.wire.Fingerprint(ctx, key)
}

// Traits implements [pbx.Describer]. The lockout is unknown: it is not
// Asterisk's own.
func (p *PBX) Traits() pbx.Traits {
	return pbx.Traits{URL: p.wire.URL() + p.prefix, Lifetime: usualLife, Sliding: true, KeepAlive: pbx.KeepAliveHeartbeat}
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "asterisk.PBX("+p.Traits().URL+")") }
