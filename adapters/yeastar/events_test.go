package yeastar_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
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

func TestEventsCanBeGivenUp(t *testing.T) {
	set := func(c *yeastar.Config) { c.Events = allEvents }
	simulate(t, yeastarsim.Options{HeartbeatInsists: true}, set, func(t *testing.T, s simulation) {
		if err := s.Driver.SetEvents(yeastar.Events{}); err != nil {
			t.Fatal(err)
		}
		got, err := s.keepAlive(t)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{`{}`, `{"ipaddr":"127.0.0.1","port":"8260"}`}, got); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
	})
}

// What the PBX accepted because nothing better was given is not what an application asked for.
func TestEventsTakeThePlaceOfWhatAPBXInsistedOn(t *testing.T) {
	simulate(t, yeastarsim.Options{HeartbeatInsists: true}, nil, func(t *testing.T, s simulation) {
		if _, err := s.keepAlive(t); err != nil {
			t.Fatal(err)
		}
		if err := s.Driver.SetEvents(yeastar.Events{Port: 9000, IPAddr: "192.0.2.1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.keepAlive(t); err != nil {
			t.Error(err)
		}
		if body := string(s.Last().Body); body != `{"ipaddr":"192.0.2.1","port":"9000"}` {
			t.Errorf("the heartbeat says %s", body)
		}
	})
}

func TestEventsThatCannotWorkAreRefusedAndChangeNothing(t *testing.T) {
	tests := []struct {
		family yeastar.Family
		events yeastar.Events
		says   string
	}{
		{yeastar.SV1, yeastar.Events{Port: -1}, "event_port"},
		{yeastar.SV1, yeastar.Events{Port: 65536}, "event_port"},
		{yeastar.SV1, yeastar.Events{URL: "report", URLTag: "2"}, "event_urltag"},
		{yeastar.SV1, yeastar.Events{URLTag: "1"}, "event_url"},
		{yeastar.SV1, yeastar.Events{URL: "re\nport"}, "event_url"},
		{yeastar.SV1, yeastar.Events{Version: "\xff"}, "event_version"},
		{yeastar.SV1, yeastar.Events{IPAddr: "pbx.example.com"}, "event_ipaddr"},
		{yeastar.SV2, yeastar.Events{IPAddr: "192.0.2.256"}, "event_ipaddr"},
		{yeastar.CloudV1, yeastar.Events{IPAddr: "192.0.2.1"}, "event_ipaddr"},
	}
	for _, tt := range tests {
		_, err := yeastar.New(yeastar.Config{Config: config(t), Family: tt.family, Events: tt.events})
		drivertest.Misconfigured(t, yeastar.Name, err == nil, err, "", tt.says)

		changed := &changing{}
		driver, err := yeastar.New(yeastar.Config{Family: tt.family, Events: yeastar.Events{Port: 9000}, Config: pbx.Config{
			URL: "https://pbx.example.com", Username: sampleUser, Password: pbx.NewSecret(samplePassword), Transport: changed,
		}})
		if err != nil {
			t.Fatal(err)
		}
		err = driver.SetEvents(tt.events)
		drivertest.Misconfigured(t, yeastar.Name, err == nil, err, "", tt.says)
		driver.Login(t.Context())
		if want := `{` + account + `,"port":"9000"}`; changed.body != want {
			t.Errorf("after a change that was refused, a login says %s, want %s", changed.body, want)
		}
	}
}

// changing notes what it was sent last.
type changing struct{ body string }

func (c *changing) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.body = string(body)
	return drivertest.Body(`{"status":"Success","token":"x"}`).RoundTrip(r)
}

func TestEventsAreChangedWhileHeartbeatsAreUnderWay(t *testing.T) {
	simulate(t, yeastarsim.Options{HeartbeatInsists: true}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 20 {
					s.Driver.SetEvents(yeastar.Events{Port: 9000 + i, IPAddr: "192.0.2.1"})
					if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
}
