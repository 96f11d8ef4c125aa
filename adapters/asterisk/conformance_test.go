package asterisk_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		Driver:    asterisk.Name,
		Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return asterisksim.New(nil, o) },
		Call: func(base string) *http.Request {
			r, _ := http.NewRequest(http.MethodPost, base+"/rawman", strings.NewReader("Action=ListCommands"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r
		},
		Skip: map[string]string{
			"LOCKOUT-02": "Asterisk locks nobody out; fail2ban does, and a caller that it has locked gets no answer",
		},
	})
}
