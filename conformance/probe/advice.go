package probe

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/pbxauth/pbx"
)

// rule is the advice for failures of one shape. {port} and {setup} stand for
// what the driver knows about its brand.
type rule struct {
	kind  error                   // nil: of no kind
	steps []Name                  // nil: any
	shape func(f *pbx.Error) bool // nil: any
	says  string
}

// errAnyKind stands for every kind, and for none.
var errAnyKind = errors.New("any kind")

// says reports whether the message of an error has a phrase.
func says(phrase string) func(*pbx.Error) bool {
	return func(f *pbx.Error) bool { return strings.Contains(f.Message, phrase) }
}

func judged(f *pbx.Error) bool      { return f.Kind != pbx.ErrUnavailable }
func redirected(f *pbx.Error) bool  { return f.HTTPStatus/100 == 3 }
func unsent(f *pbx.Error) bool      { return !f.Sent }
func noResponse(f *pbx.Error) bool  { return f.Sent && f.HTTPStatus == 0 }
func rateLimited(f *pbx.Error) bool { return f.HTTPStatus == 429 }
func notFound(f *pbx.Error) bool    { return f.HTTPStatus == 404 }
func unnamed(f *pbx.Error) bool     { return f.Setting == "" }

func unresolved(f *pbx.Error) bool {
	var dns *net.DNSError
	return errors.As(f.Err, &dns)
}

// rules are read from the top. The first that fits is given.
var rules = []rule{
	{kind: errAnyKind, steps: []Name{DeadToken}, shape: judged,
		says: "Report this line and the PBX's firmware: without a clear refusal, a session does not notice that its token is dead."},

	{kind: pbx.ErrConfig, shape: says("not the pinned one"),
		says: "Look the certificate up on the PBX itself before you pin another key. Otherwise you trust anyone who responds."},
	{kind: pbx.ErrConfig, shape: says("begin the URL with https://"),
		says: "Set URL to the same address with https:// at its beginning."},
	{kind: pbx.ErrConfig, shape: says("this port "),
		says: "Set the port of the API: it is {port} unless that was changed."},
	{kind: pbx.ErrConfig, shape: says("old firmware"),
		says: "Update the PBX's firmware."},
	{kind: pbx.ErrConfig, shape: redirected,
		says: "Set URL to the address of the API itself. Its port is {port} unless that was changed."},
	{kind: pbx.ErrConfig, shape: unnamed,
		says: "Check the address, the port ({port} unless that was changed), any proxy in between, and the settings of the PBX. {setup}"},
	{kind: pbx.ErrConfig,
		says: "Change the setting that is named."},

	{kind: pbx.ErrInvalidCredentials, steps: []Name{Login}, shape: unsent,
		says: "Change the user name or the password: the PBX has refused these, and they were not sent again."},
	{kind: pbx.ErrInvalidCredentials, steps: []Name{Login},
		says: "Compare the user name and the password with those of the API's account, which is seldom that of the web interface. A blank at the end counts too."},
	{kind: pbx.ErrLocked, shape: says("one more wrong login"),
		says: "Wait, or correct the accounts that are named. If the PBX does not forget wrong logins by itself, unlock this machine's address there, and then let this program forget them."},
	{kind: pbx.ErrLocked,
		says: "Wait, or remove this machine's address from the blocked ones in the PBX's web interface. Look for another program here that logs in with an old password."},
	{kind: pbx.ErrForbidden,
		says: "Add this machine's address to those that may use the API, and give the account the permission. {setup}"},
	{kind: pbx.ErrTooManySessions,
		says: "Wait until a token expires, and look for the program that logs in again and again without logging out."},

	{kind: pbx.ErrProtocol, steps: []Name{Login}, shape: notFound,
		says: "Check the address, the port ({port} unless that was changed) and the driver's options{options}: there is no such page. {setup}"},
	{kind: pbx.ErrProtocol, shape: says("web page"),
		says: "Check the port, which is {port} unless that was changed: a web interface or a proxy has responded. {setup}"},
	{kind: pbx.ErrProtocol, shape: says("is empty"),
		says: "Check the port, which is {port} unless that was changed: something else responds here, or the API is off. {setup}"},
	{kind: pbx.ErrProtocol, steps: []Name{Login},
		says: "Compare the PBX's model and firmware with the driver and its options{options}: this may be another brand or product line."},
	{kind: pbx.ErrProtocol,
		says: "Report this line and the PBX's firmware, which differs from what the driver knows."},

	{kind: pbx.ErrTokenRejected, steps: []Name{HarmlessRequest, KeepAlive, Logout},
		says: "Look for another program that logs in with the same account: the PBX refuses a token that it has just issued."},

	{kind: pbx.ErrUnavailable, shape: unresolved,
		says: "Check the spelling of the name, or set URL to the PBX's IP address: the name has no address."},
	{kind: pbx.ErrUnavailable, shape: unsent,
		says: "Check that the PBX is on, that no firewall is in between, and the port: it is {port} unless that was changed."},
	{kind: pbx.ErrUnavailable, shape: noResponse, steps: []Name{Login},
		says: "Wait before you try again: the PBX may be overloaded, or a firewall may drop what comes from a blocked address. It is unknown whether the login counted as a wrong one."},
	{kind: pbx.ErrUnavailable, shape: noResponse,
		says: "Try again, and look at the PBX's own log if it happens again: the PBX responded to the login and not to this."},
	{kind: pbx.ErrUnavailable, shape: rateLimited,
		says: "Wait as long as it says: the PBX, or a proxy in front of it, limits how often a client may send requests."},
	{kind: pbx.ErrUnavailable,
		says: "Wait. If it goes on, restart the PBX or its API: the PBX says that it cannot respond now."},

	{kind: nil,
		says: "Look the code up in the vendor's manual for this firmware, and report what it means."},
}

// advice is what to do about the failure of a step, "" if there is nothing to
// add to it.
func advice(step Name, err error, driver pbx.Driver) string {
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return ""
	}
	for _, r := range rules {
		if (r.kind != errAnyKind && r.kind != failure.Kind) || (r.steps != nil && !slices.Contains(r.steps, step)) || (r.shape != nil && !r.shape(failure)) {
			continue
		}
		var options []string
		for _, o := range driver.Options {
			if o.Kind != pbx.OptionChoice {
				continue
			}
			var choices []string
			for _, c := range o.Choices {
				choices = append(choices, c.Value)
			}
			options = append(options, o.Name+": "+strings.Join(choices, ", "))
		}
		choices := ""
		if options != nil {
			choices = " (" + strings.Join(options, "; ") + ")"
		}
		return strings.TrimSpace(strings.NewReplacer("{port}", fmt.Sprint(driver.DefaultPort), "{setup}", driver.Setup, "{options}", choices).Replace(r.says))
	}
	return ""
}
