package main

import (
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/pbxauth/pbx"
)

// counsel is what to do about failures of one shape. {port} and {enabled} stand
// for what is known of the brand.
type counsel struct {
	kind  error                   // nil: without one
	steps []string                // nil: any
	shape func(f *pbx.Error) bool // nil: any
	says  string
}

// says reports whether the message of an error has a phrase: one of package
// wire's, which has no types for these.
func says(phrase string) func(*pbx.Error) bool {
	return func(f *pbx.Error) bool { return strings.Contains(f.Message, phrase) }
}

// errOfAnyKind stands for all of them.
var errOfAnyKind = errors.New("any kind")

func judged(f *pbx.Error) bool     { return f.Kind != pbx.ErrUnavailable }
func redirected(f *pbx.Error) bool { return f.HTTPStatus/100 == 3 }
func unsent(f *pbx.Error) bool     { return !f.Sent }
func unanswered(f *pbx.Error) bool { return f.Sent && f.HTTPStatus == 0 }

func unresolved(f *pbx.Error) bool {
	var dns *net.DNSError
	return errors.As(f.Err, &dns)
}

// counsels is what pbxprobe adds to the errors themselves, which say much
// already. The first that fits is given.
var counsels = []counsel{
	{kind: errOfAnyKind, steps: []string{"dead-call"}, shape: judged,
		says: "Without a clear refusal a session would not notice that its token has ended: please report this line and the PBX's firmware."},
	{kind: errOfAnyKind, steps: []string{"dead-logout"}, shape: judged,
		says: "A session's Close would report this though all is well: please report this line and the PBX's firmware."},

	{kind: pbx.ErrConfig, shape: says("not the pinned one"),
		says: "Look the certificate up on the PBX itself before you pin another key: to take over the one that is presented is to trust whoever answers."},
	{kind: pbx.ErrConfig, shape: says("sha256/"),
		says: "If you know the certificate to be your PBX's own, run it again with: -tls-pin {pin}"},
	{kind: pbx.ErrConfig, shape: says("speaks plain http"),
		says: "The API answers on {port} unless that was changed; to send the password in clear after all, write http:// and add -allow-plain-http."},
	{kind: pbx.ErrConfig, shape: says("no version of TLS"),
		says: "Bring the firmware up to date; there is no flag to go lower, though a program may."},
	{kind: pbx.ErrConfig, shape: redirected,
		says: "Give -url the address where the API itself answers, on {port} unless that was changed."},
	{kind: pbx.ErrConfig,
		says: "Mend the setting that is named; a driver's own are given with -option."},

	{kind: pbx.ErrInvalidCredentials, steps: []string{"login"},
		says: "Compare the user name and the password with those of the API's account, which are seldom the web interface's; a blank at the end counts too."},
	{kind: pbx.ErrLocked,
		says: "Wait, or take this machine's address off the list of blocked ones in the PBX's web interface; look for another program here that logs in with an old password."},
	{kind: pbx.ErrForbidden,
		says: "Enter this machine's address in the list of those that may use the API, and give the account the permission for it; the API is switched on {enabled}."},
	{kind: pbx.ErrTooManySessions,
		says: "Wait until a token ends, and look for the program that logs in again and again without logging out."},

	{kind: pbx.ErrProtocol, shape: says("web page"),
		says: "A web interface or a proxy has answered: the API answers on {port} unless that was changed, and is switched on {enabled}."},
	{kind: pbx.ErrProtocol, shape: says("the answer is empty"),
		says: "Something else listens here, or the API is off: it answers on {port} unless that was changed, and is switched on {enabled}."},
	{kind: pbx.ErrProtocol, steps: []string{"login"},
		says: "This may be another brand or product line than the driver's: compare the PBX's model and firmware with -driver and its options (examples/quickstart -list)."},
	{kind: pbx.ErrProtocol,
		says: "The PBX's firmware differs from what the driver knows: note its version and this line when you report it."},

	{kind: pbx.ErrTokenRejected, steps: []string{"call", "keep-alive", "logout"},
		says: "The PBX refuses a token that it has just issued: see whether another program logs in with the same account and ends it."},

	{kind: pbx.ErrUnavailable, shape: unresolved,
		says: "The name has no address: check its spelling, or give -url the PBX's IP address."},
	{kind: pbx.ErrUnavailable, shape: unsent,
		says: "Check that the PBX is on, that no firewall is in between, and the port: the API answers on {port} unless that was changed."},
	{kind: pbx.ErrUnavailable, shape: unanswered, steps: []string{"login"},
		says: "It may be overloaded, or a firewall may drop what comes from a blocked address; whether it took the login for a wrong one is not known."},
	{kind: pbx.ErrUnavailable, shape: unanswered,
		says: "The PBX answered the login and not this: try again, and look at the PBX's own log if it happens again."},
	{kind: pbx.ErrUnavailable,
		says: "The PBX says that it cannot answer now: wait, and if it goes on so, restart its API or the PBX."},

	{kind: nil,
		says: "Look the code up in the vendor's manual for this firmware, and please report what it means."},
}

var pinShape = regexp.MustCompile(`sha256/[A-Za-z0-9+/]{43}=`)

// advice is what to do about the failure of a step; "" where there is nothing to
// add to it.
func (p *probe) advice(step string, err error) string {
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		if step == "memory" && kindOf(err) == "unknown" {
			return "A login is not sent unless it can be remembered: name a directory that can be written, with -memory or PBXPROBE_MEMORY."
		}
		return ""
	}
	for _, c := range counsels {
		if (c.kind != errOfAnyKind && c.kind != failure.Kind) || (c.steps != nil && !slices.Contains(c.steps, step)) || (c.shape != nil && !c.shape(failure)) {
			continue
		}
		port, enabled := "the port in the vendor's manual", "in its web interface"
		if p.brand.port != "" {
			port = "port " + p.brand.port
		}
		if p.brand.enabled != "" {
			enabled = p.brand.enabled
		}
		return strings.NewReplacer("{port}", port, "{enabled}", enabled, "{pin}", pinShape.FindString(failure.Message)).Replace(c.says)
	}
	return ""
}

// fields are the names that errors call settings by, with the flags that set
// them here.
var fields = []struct{ field, flag string }{
	{"AllowPlainHTTP", "-allow-plain-http"},
	{"CAFile", "-tls-ca"},
	{"PinSHA256", "-tls-pin"},
	{"InsecureSkipVerify", "-insecure-skip-verify"},
	{"Username", "-user"},
	{"Password", "PBX_PASSWORD"},
}

// flagsFor translates the settings that an error names.
func flagsFor(message string) string {
	var all []string
	for _, f := range fields {
		if strings.Contains(message, f.field) {
			all = append(all, f.field+" is "+f.flag)
		}
	}
	if all == nil {
		return ""
	}
	return "here, " + strings.Join(all, ", ")
}
