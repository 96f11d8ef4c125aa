package probe

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
)

func TestAdviceDependsOnTheFailureAndTheStep(t *testing.T) {
	driver := pbx.Driver{DefaultPort: 8088, Setup: "In the web interface, under API.", Options: []pbx.Option{
		{Name: "family", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "v1"}, {Value: "v2"}}},
	}}
	dns := &net.DNSError{Err: "no such host", Name: "pbx.invalid", IsNotFound: true}
	failure := func(kind error, sent bool, cause error) *pbx.Error {
		return &pbx.Error{Driver: "fake", Op: pbx.OpRequest, Kind: kind, Sent: sent, Err: cause}
	}
	for _, row := range []struct {
		step Name
		err  error
		says string
	}{
		{Address, failure(pbx.ErrUnavailable, false, &net.OpError{Op: "dial", Net: "tcp", Err: dns}), "Check the spelling of the name"},
		{Address, failure(pbx.ErrUnavailable, false, errors.New("refused")), "Check that the PBX is on, that no firewall is in between, and the port: it is 8088"},
		{Login, failure(pbx.ErrUnavailable, true, errors.New("a reset")), "Wait before you try again"},
		{Login, failure(pbx.ErrInvalidCredentials, true, nil), "Compare the user name and the password"},
		{Login, failure(pbx.ErrInvalidCredentials, false, nil), "Change the user name or the password"},
		{Login, failure(pbx.ErrLocked, true, nil), "Wait, or remove this machine's address"},
		{Login, &pbx.Error{Kind: pbx.ErrLocked, Message: "not sent: one more wrong login could make pbx.test lock this client."}, "Wait, or correct the accounts"},
		{Login, failure(pbx.ErrTooManySessions, true, nil), "Wait until a token expires"},
		{Login, &pbx.Error{Kind: pbx.ErrConfig, Setting: "token_ttl", Sent: true}, "Change the setting"},
		{Login, failure(pbx.ErrConfig, true, nil), "Check the address, the port (8088 unless that was changed), any proxy in between, and the settings of the PBX. In the web"},
		{Login, &pbx.Error{Kind: pbx.ErrConfig, Setting: "URL", Message: "this port speaks https, not plain http: begin the URL with https://"}, "Set URL to the same address with https://"},
		{Login, failure(pbx.ErrForbidden, true, nil), "Add this machine's address"},
		{Login, &pbx.Error{Kind: pbx.ErrProtocol, HTTPStatus: 404, Sent: true}, "Check the address, the port (8088 unless that was changed) and the driver's options (family: v1, v2): there is no such page. In the web"},
		{Login, failure(pbx.ErrProtocol, true, nil), "Compare the PBX's model and firmware with the driver and its options (family: v1, v2)"},
		{KeepAlive, failure(pbx.ErrUnavailable, true, errors.New("a reset")), "Try again"},
		{HarmlessRequest, failure(pbx.ErrTokenRejected, true, nil), "Look for another program"},
		{HarmlessRequest, failure(pbx.ErrProtocol, true, nil), "Report this line"},
		{DeadToken, failure(pbx.ErrUnavailable, true, errors.New("a reset")), "Try again"},
		{DeadToken, failure(nil, true, nil), "Report this line"},
		{Logout, failure(nil, true, nil), "Look the code up"},
		{Login, errInterrupted, ""},
	} {
		got := advice(row.step, row.err, driver)
		if !strings.HasPrefix(got, row.says) || (got == "") != (row.says == "") || strings.Contains(got, "{") {
			t.Errorf("%s: %v: %q, want %q", row.step, row.err, got, row.says)
		}
	}
}

// Advice starts with what to do.
func TestAdviceStartsWithTheAction(t *testing.T) {
	actions := []string{"Add", "Change", "Check", "Compare", "Look", "Report", "Set", "Try", "Update", "Wait", "Wait."}
	for _, r := range rules {
		first, _, _ := strings.Cut(r.says, " ")
		if !slices.Contains(actions, strings.TrimSuffix(first, ",")) {
			t.Errorf("%q starts with %q", r.says, first)
		}
	}
}
