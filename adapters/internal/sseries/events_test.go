package sseries_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/internal/sseries"
)

func TestEventsCanBeGivenUp(t *testing.T) {
	set := func(c *sseries.Settings) {
		c.Events = sseries.Events{Port: 9000, URL: "192.0.2.1:9000/report", URLTag: "1", IPAddr: "192.0.2.1", Version: "2.0.0"}
	}
	simulate(t, true, set, func(t *testing.T, s simulation) {
		if err := s.Driver.SetEvents(sseries.Events{}); err != nil {
			t.Fatal(err)
		}
		got, err := keepAlive(t, s)
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
	simulate(t, true, nil, func(t *testing.T, s simulation) {
		if _, err := keepAlive(t, s); err != nil {
			t.Fatal(err)
		}
		if err := s.Driver.SetEvents(sseries.Events{Port: 9000, IPAddr: "192.0.2.1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := keepAlive(t, s); err != nil {
			t.Error(err)
		}
		if body := string(s.Last().Body); body != `{"ipaddr":"192.0.2.1","port":"9000"}` {
			t.Errorf("the heartbeat says %s", body)
		}
	})
}

func TestEventsThatCannotWorkAreRefusedAndChangeNothing(t *testing.T) {
	beatless := plain
	beatless.Heartbeat, beatless.Refresh = false, true
	tests := []struct {
		variant *sseries.Variant
		events  sseries.Events
		says    string
	}{
		{&plain, sseries.Events{Port: -1}, "event_port"},
		{&plain, sseries.Events{Port: 65536}, "event_port"},
		{&plain, sseries.Events{URL: "report", URLTag: "2"}, "event_urltag"},
		{&plain, sseries.Events{URLTag: "1"}, "event_url"},
		{&plain, sseries.Events{URL: "re\nport"}, "event_url"},
		{&plain, sseries.Events{Version: "\xff"}, "event_version"},
		{&plain, sseries.Events{IPAddr: "pbx.example.com"}, "event_ipaddr"},
		{&typed, sseries.Events{IPAddr: "192.0.2.256"}, "event_ipaddr"},
		{&beatless, sseries.Events{IPAddr: "192.0.2.1"}, "event_ipaddr"},
	}
	for _, tt := range tests {
		bad := settings(drivertest.Unsent{T: t})
		bad.Events = tt.events
		opened, err := sseries.New(tt.variant, bad)
		drivertest.Misconfigured(t, driver, opened != nil, err, "", tt.says)

		accepting := drivertest.Body(`{"status":"Success","token":"x"}`)
		good := settings(accepting)
		good.Events = sseries.Events{Port: 9000}
		p := open(t, tt.variant, good)
		err = p.SetEvents(tt.events)
		drivertest.Misconfigured(t, driver, err == nil, err, "", tt.says)
		p.Login(t.Context())
		want := []string{`{"username":"` + user + `","password":"` + digest + `","port":"9000"}`}
		if diff := cmp.Diff(want, accepting.SentBodies()); diff != "" {
			t.Errorf("after a change that was refused, a login says (-want +got):\n%s", diff)
		}
	}
}

func TestEventsAreChangedWhileHeartbeatsAreUnderWay(t *testing.T) {
	simulate(t, true, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 20 {
					s.Driver.SetEvents(sseries.Events{Port: 9000 + i, IPAddr: "192.0.2.1"})
					if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
}
