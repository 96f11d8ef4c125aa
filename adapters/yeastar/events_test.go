package yeastar_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/session"
)

const account = `"username":"api","password":"` + sampleDigest + `"`

var allEvents = yeastar.Events{Port: 9000, URL: "192.0.2.1:9000/report", URLTag: "1", IPAddr: "192.0.2.1", Version: "2.0.0"}

// Each family's pages list the fields of each request.
func TestEventOptionsGoWhereTheFamilyHasThemAndNowhereElse(t *testing.T) {
	const login = `{` + account + `,"port":"9000","version":"2.0.0","url":"192.0.2.1:9000/report","urltag":"1"}`
	tests := []struct {
		dialect yeastarsim.Options
		events  yeastar.Events
		bodies  []string // of the login, and of the keep-alive
	}{
		{yeastarsim.Options{Family: yeastarsim.SV1}, allEvents, []string{login,
			`{"ipaddr":"192.0.2.1","port":"9000","url":"192.0.2.1:9000/report","urltag":"1"}`}},
		{yeastarsim.Options{Family: yeastarsim.SV2}, allEvents, []string{login,
			`{"ipaddr":"192.0.2.1","port":"9000","version":"2.0.0","url":"192.0.2.1:9000/report","urltag":"1"}`}},
		{yeastarsim.Options{Family: yeastarsim.CloudV2, NoRefreshToken: true}, allEvents, []string{login,
			`{"ipaddr":"192.0.2.1","port":"9000","version":"2.0.0","url":"192.0.2.1:9000/report","urltag":"1"}`}},
		{yeastarsim.Options{Family: yeastarsim.CloudV2}, allEvents, []string{login, `{"refreshtoken":"…"}`}},
		{yeastarsim.Options{Family: yeastarsim.CloudV1}, yeastar.Events{Port: 9000, URL: "192.0.2.1:9000/report", URLTag: "1", Version: "2.0.0"},
			[]string{login, `{"refreshtoken":"…"}`}},

		{yeastarsim.Options{Family: yeastarsim.SV1}, yeastar.Events{}, []string{`{` + account + `,"port":"8260"}`, `{}`}},
		{yeastarsim.Options{Family: yeastarsim.SV2}, yeastar.Events{}, []string{`{` + account + `,"port":"8260"}`, `{}`}},
		{yeastarsim.Options{Family: yeastarsim.CloudV1}, yeastar.Events{}, []string{`{` + account + `,"port":"8260"}`, `{"refreshtoken":"…"}`}},
		{yeastarsim.Options{Family: yeastarsim.CloudV2}, yeastar.Events{}, []string{`{` + account + `,"port":"8260"}`, `{"refreshtoken":"…"}`}},
		{yeastarsim.Options{Family: yeastarsim.SV1}, yeastar.Events{IPAddr: "2001:db8::7"}, []string{`{` + account + `,"port":"8260"}`, `{"ipaddr":"2001:db8::7"}`}},
		{yeastarsim.Options{Family: yeastarsim.SV2}, yeastar.Events{Version: "2.0.0"}, []string{`{` + account + `,"port":"8260","version":"2.0.0"}`, `{"version":"2.0.0"}`}},
	}
	for _, tt := range tests {
		set := func(c *yeastar.Config) { c.Events = tt.events }
		simulate(t, tt.dialect, set, func(t *testing.T, s simulation) {
			token := s.Login(t)
			if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
				t.Error(err)
			}
			if err := s.Driver.Logout(t.Context(), token); err != nil {
				t.Error(err)
			}
			var bodies []string
			for _, record := range s.Log() {
				body := string(record.Body)
				if refresh := token.Refresh.Reveal(); refresh != "" && body == `{"refreshtoken":"`+refresh+`"}` {
					body = `{"refreshtoken":"…"}`
				}
				bodies = append(bodies, body)
			}
			if diff := cmp.Diff(append(tt.bodies, ""), bodies); diff != "" {
				t.Errorf("%+v, %+v: bodies of login, keep-alive, logout (-want +got):\n%s", tt.dialect, tt.events, diff)
			}
		})
	}
}

func TestTheNextHeartbeatCarriesAChangeOfEvents(t *testing.T) {
	simulate(t, yeastarsim.Options{}, nil, func(t *testing.T, s simulation) {
		live := session.New(s.Driver, &session.Options{Guard: &session.Guard{}})
		defer live.Close(t.Context())
		time.Sleep(25 * time.Minute)
		if err := s.Driver.SetEvents(yeastar.Events{Port: 9000, IPAddr: "192.0.2.1"}); err != nil {
			t.Fatal(err)
		}
		if n := s.Counts().Requests; n != 2 {
			t.Errorf("%d requests, want a login and a heartbeat: the change itself sends nothing", n)
		}
		time.Sleep(25 * time.Minute)
		if body := string(s.Last().Body); body != `{"ipaddr":"192.0.2.1","port":"9000"}` {
			t.Errorf("the next heartbeat says %s", body)
		}
		s.Restart()
		time.Sleep(17 * time.Minute) // after the third heartbeat, and before another
		if c := s.Counts(); c.Logins != 2 {
			t.Fatalf("%+v, want a second login", c)
		}
		if body := string(s.Last().Body); s.Last().Path != "/api/v1.1.0/login" || body != `{`+account+`,"port":"9000"}` {
			t.Errorf("the next login says %s", body)
		}
	})
}
