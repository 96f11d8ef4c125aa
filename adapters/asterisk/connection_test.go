package asterisk_test

import (
	"context"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Over its limit of connections Asterisk closes a new one without a byte, which
// says nothing about the secret.
func TestAConnectionClosedWithoutAByteIsNoVerdict(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		s.Fault(pbxsim.Fault{Times: -1, Drop: pbxsim.DropBefore})
		before := s.Counts()
		_, login := s.Driver.Login(t.Context())
		_, ping := s.Driver.KeepAlive(t.Context(), token)
		logoff := s.Driver.Logout(t.Context(), token)
		for op, err := range map[string]error{"login": login, "ping": ping, "logoff": logoff} {
			if got := failure(t, err); got.Kind != pbx.ErrUnavailable || got.Sent != (op != "login") || got.HTTPStatus != 0 {
				t.Errorf("%s: %v", op, err)
			}
		}
		if sent := s.Counts().Requests - before.Requests; sent != 3 {
			t.Errorf("%d requests, want one for each operation", sent)
		}
		s.ClearFaults()
		if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
			t.Errorf("the session did not survive it: %v", err)
		}
	})
}

// fail2ban drops the packets of a caller that it has locked.
func TestALockedClientSeesATimeOut(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		s.Lock("127.0.0.1")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.Driver.Login(ctx)
		if got := failure(t, err); got.Kind != pbx.ErrUnavailable || s.Counts().Logins != 0 {
			t.Errorf("%v, %d logins sent", err, s.Counts().Logins)
		}
	})
}
