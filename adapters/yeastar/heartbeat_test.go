package yeastar_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// keepAlive logs in, and returns the bodies of the heartbeats that one
// KeepAlive sends, and its error.
func (s simulation) keepAlive(t *testing.T) ([]string, error) {
	t.Helper()
	_, err := s.Driver.KeepAlive(t.Context(), s.Login(t))
	return s.Bodies(pbxsim.KeepAlive), err
}

func TestAHeartbeatCarriesWhatWasConfiguredAndNoMore(t *testing.T) {
	tests := []struct {
		name     string
		settings func(*yeastar.Config)
		want     string
	}{
		{"nothing", func(*yeastar.Config) {}, `{}`},
		{"port", func(c *yeastar.Config) { c.Events.Port = 9000 }, `{"port":"9000"}`},
		{"url", func(c *yeastar.Config) { c.Events.URL = "report" }, `{"url":"report"}`},
		{"relative url", func(c *yeastar.Config) { c.Events.URL, c.Events.URLTag = "report", "0" }, `{"url":"report","urltag":"0"}`},
		{"absolute url", func(c *yeastar.Config) { c.Events.URL, c.Events.URLTag = "192.0.2.1:8260/report", "1" }, `{"url":"192.0.2.1:8260/report","urltag":"1"}`},
		{"version, which a heartbeat does not take", func(c *yeastar.Config) { c.Events.Version = "1.0.2" }, `{}`},
		{"all", func(c *yeastar.Config) {
			c.Events.Port, c.Events.URL, c.Events.URLTag, c.Events.Version = 9000, "report", "0", "1.0.2"
		}, `{"port":"9000","url":"report","urltag":"0"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			simulate(t, yeastarsim.Options{}, tt.settings, func(t *testing.T, s simulation) {
				got, err := s.keepAlive(t)
				if err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff([]string{tt.want}, got); diff != "" {
					t.Errorf("bodies (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestATokensLifetimeCanBeSet(t *testing.T) {
	short := func(c *yeastar.Config) { c.TokenTTL = 5 * time.Minute }
	simulate(t, yeastarsim.Options{}, short, func(t *testing.T, s simulation) {
		token := s.Login(t)
		if life := token.ExpiresAt.Sub(token.IssuedAt); life != 5*time.Minute {
			t.Errorf("login: %s", life)
		}
		time.Sleep(time.Minute)
		token, err := s.Driver.KeepAlive(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if life := token.ExpiresAt.Sub(token.IssuedAt); life != 5*time.Minute {
			t.Errorf("keep-alive: %s", life)
		}
		if life := s.Driver.Traits().Lifetime; life != 5*time.Minute {
			t.Errorf("traits: %s", life)
		}
	})
}

func TestALogoutOfADeadTokenIsDone(t *testing.T) {
	for name, d := range map[string]yeastarsim.Options{"PBX forgives": {LogoutForgives: true}, "PBX complains": {}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, d, nil, func(t *testing.T, s simulation) {
				s.LogoutOfADeadTokenIsDone(t)
			})
		})
	}
}

func TestALogoutThatFailedIsNotDone(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"30003":      {Body: []byte(`{"status":"Failed","errno":"30003"}`)},
		"a web page": {Body: []byte(pbxsim.HTMLPage)},
		"cut":        {Drop: pbxsim.DropBefore},
		"HTTP 500":   {Status: 500},
	} {
		simulate(t, yeastarsim.Options{}, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			s.Fault(fault)
			err := s.Driver.Logout(t.Context(), token)
			if failure(t, err).Op != pbx.OpLogout || errors.Is(err, pbx.ErrTokenRejected) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
