package probe

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
)

// Schema is the version of the report as JSON. It changes when a field changes
// its meaning or goes away.
const Schema = 1

// Report is the result of a test. It holds no secret.
type Report struct {
	Schema      int          `json:"schema"`
	Driver      string       `json:"driver"`
	Host        string       `json:"host"` // with its port
	Steps       []Step       `json:"steps"`
	Certificate *Certificate `json:"certificate"` // nil: none was seen
	Token       *Token       `json:"token"`       // nil: there was no login
	Left        bool         `json:"left"`        // a token may be left behind at the PBX
	OK          bool         `json:"ok"`          // no step failed, and none waits for a decision
}

// Step is one step of a test.
type Step struct {
	Name    Name   `json:"name"`
	State   State  `json:"state"`
	MS      int64  `json:"ms"`      // how long it took, in milliseconds
	Message string `json:"message"` // one line for a person
	Advice  string `json:"advice"`  // what to do about a failure; it starts with the action
	Kind    string `json:"kind"`    // the kind of the failure, as in "invalid credentials"
	Setting string `json:"setting"` // the setting at fault, as in pbx.Error; empty: none, or unknown

	// Err is the failure, if there is one.
	Err error `json:"-"`
}

// Name is the name of a [Step].
type Name string

// The steps, in their order.
const (
	Settings        Name = "settings"
	Address         Name = "address"
	CertificateStep Name = "certificate"
	Login           Name = "login"
	HarmlessRequest Name = "harmless request"
	KeepAlive       Name = "keep-alive"
	Logout          Name = "logout"
	DeadToken       Name = "dead token"
)

// Names returns all steps in their order.
func Names() []Name {
	return []Name{Settings, Address, CertificateStep, Login, HarmlessRequest, KeepAlive, Logout, DeadToken}
}

var titles = map[Name]string{
	Settings: "Settings", Address: "Address responds", CertificateStep: "Certificate", Login: "Login",
	HarmlessRequest: "Harmless request", KeepAlive: "Keep-alive", Logout: "Logout", DeadToken: "Token no longer works",
}

// Title is the name for a form, as in "Address responds".
func (n Name) Title() string { return titles[n] }

// State is the state of a [Step].
type State string

const (
	Running    State = "running"
	Done       State = "done"
	Failed     State = "failed"
	Decide     State = "decide"      // a person has to decide: see Report.Certificate
	Skipped    State = "skipped"     // the brand has no such thing
	NotChecked State = "not checked" // it could not be found out
)

// Certificate is what a person compares before trusting it.
type Certificate struct {
	SHA256     string    `json:"sha256"` // the fingerprint that browsers show, in upper-case hex
	Pin        string    `json:"pin"`    // for Config.TLS.PinSHA256
	Trusted    string    `json:"trusted_pin"`
	Subject    string    `json:"subject"`
	Names      []string  `json:"names"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	SelfSigned bool      `json:"self_signed"`
}

func certificate(c *x509.Certificate, trusted string) *Certificate {
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return &Certificate{
		SHA256: fmt.Sprintf("%X", sha256.Sum256(c.Raw)), Pin: pbx.Pin(c), Trusted: trusted,
		Subject: c.Subject.String(), Names: names, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		SelfSigned: string(c.RawIssuer) == string(c.RawSubject),
	}
}

// Token is what is known about the token's lifetime.
type Token struct {
	ExpiresInS *int64 `json:"expires_in_s"` // nil: no known expiry
	Sliding    *bool  `json:"sliding"`      // whether requests extend it; nil: the driver does not say
}

func lifetime(t *pbx.Token, auth pbx.Authenticator) *Token {
	var l Token
	if !t.ExpiresAt.IsZero() {
		seconds := int64(t.ExpiresAt.Sub(t.IssuedAt) / time.Second)
		l.ExpiresInS = &seconds
	}
	if d, ok := pbx.As[pbx.Describer](auth); ok {
		sliding := d.Traits().Sliding
		l.Sliding = &sliding
	}
	return &l
}

// String says how long the token is valid.
func (t *Token) String() string {
	if t.ExpiresInS == nil {
		return "has no known expiry"
	}
	text := "is valid for " + (time.Duration(*t.ExpiresInS) * time.Second).String()
	switch {
	case t.Sliding == nil:
		return text
	case *t.Sliding:
		return text + ", and every request extends it"
	}
	return text + ", and requests do not extend it"
}

// leftOut is the reason of a step that was not taken, and its state.
type leftOut struct {
	state  State
	reason string
}

func (l leftOut) Error() string { return l.reason }

func skipped(reason string) error    { return leftOut{Skipped, reason} }
func notChecked(reason string) error { return leftOut{NotChecked, reason} }

// errInterrupted is the failure of the step during which the context ended.
var errInterrupted = errors.New("interrupted")

// kindOf names the kind of a step's failure.
func kindOf(err error) string {
	var failure *pbx.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errInterrupted):
		return "interrupted"
	case errors.As(err, &failure) && failure.Kind != nil:
		return failure.Kind.Error()
	}
	return "unknown"
}

// host is the host of an address for people, with its port.
func host(address string) string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		rest = address
	}
	rest, _, _ = strings.Cut(rest, "/")
	return rest[strings.LastIndex(rest, "@")+1:]
}
