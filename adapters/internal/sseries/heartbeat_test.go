package sseries_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/internal/sseries"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// keepAlive logs in, and returns the bodies of all heartbeats so far, with those that
// one KeepAlive sends, and its error.
func keepAlive(t *testing.T, s simulation) ([]string, error) {
	t.Helper()
	_, err := s.Driver.KeepAlive(t.Context(), s.Login(t))
	return s.Bodies(pbxsim.KeepAlive), err
}

func TestAPBXThatInsistsIsToldThisEndOfTheConnection(t *testing.T) {
	simulate(t, true, nil, func(t *testing.T, s simulation) {
		got, err := keepAlive(t, s)
		if err != nil {
			t.Error(err)
		}
		want := []string{`{}`, `{"ipaddr":"127.0.0.1","port":"8260"}`}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
	})
}

func TestAPBXThatInsistedIsNotAskedForLessAgain(t *testing.T) {
	simulate(t, true, nil, func(t *testing.T, s simulation) {
		for range 3 {
			if _, err := keepAlive(t, s); err != nil {
				t.Error(err)
			}
		}
		const full = `{"ipaddr":"127.0.0.1","port":"8260"}`
		got, err := keepAlive(t, s)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{`{}`, full, full, full, full}, got); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
	})
}

// This machine may have another address by then.
func TestAPBXThatRefusesTheAddressIsToldTheNewOne(t *testing.T) {
	simulate(t, true, nil, func(t *testing.T, s simulation) {
		if _, err := keepAlive(t, s); err != nil {
			t.Fatal(err)
		}
		s.Fault(pbxsim.Fault{On: pbxsim.KeepAlive, Body: []byte(`{"status":"Failed","errno":"20011"}`)})
		got, err := keepAlive(t, s)
		if err != nil || len(got) != 4 {
			t.Errorf("sent %q, %v; want four heartbeats", got, err)
		}
	})
}

func TestHeartbeatCodesWithWhichAPBXInsists(t *testing.T) {
	for code, beats := range map[string]int{"10004": 2, "20011": 2, "20006": 1, "20008": 1, "20015": 1, "30003": 1} {
		simulate(t, false, nil, func(t *testing.T, s simulation) {
			s.Fault(pbxsim.Fault{On: pbxsim.KeepAlive, Body: []byte(`{"status":"Failed","errno":"` + code + `"}`)})
			got, err := keepAlive(t, s)
			if len(got) != beats {
				t.Errorf("%s: sent %q, want %d", code, got, beats)
			}
			if succeeded := err == nil; succeeded != (beats == 2) {
				t.Errorf("%s: %v", code, err)
			}
		})
	}
}

// An address made up here would take the events away from the program that gets them.
func TestAPBXThatInsistsIsToldNoAddressWhereEventsAreWanted(t *testing.T) {
	for name, settings := range map[string]func(*sseries.Settings){
		"port":    func(c *sseries.Settings) { c.Events.Port = 9000 },
		"url":     func(c *sseries.Settings) { c.Events.URL = "report" },
		"urltag":  func(c *sseries.Settings) { c.Events.URL, c.Events.URLTag = "report", "1" },
		"version": func(c *sseries.Settings) { c.Events.Version = "1.0.2" },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, true, settings, func(t *testing.T, s simulation) {
				got, err := keepAlive(t, s)
				if len(got) != 1 || failure(t, err).Code != "10004" {
					t.Errorf("sent %q, %v; want one heartbeat and the code 10004", got, err)
				}
			})
		})
	}
}

func TestAPBXThatInsistsAfterAllIsNotAskedAgain(t *testing.T) {
	simulate(t, false, nil, func(t *testing.T, s simulation) {
		s.Fault(pbxsim.Fault{On: pbxsim.KeepAlive, Times: -1, Body: []byte(`{"status":"Failed","errno":"20011"}`)})
		got, err := keepAlive(t, s)
		if len(got) != 2 || failure(t, err).Code != "20011" || failure(t, err).Kind != nil {
			t.Errorf("sent %q, %v; want two heartbeats and the code 20011 without a kind", got, err)
		}
	})
}

// A RoundTripper that does not tell its connection has no address to give.
func TestWithoutAConnectionToNameThePBXsRefusalStands(t *testing.T) {
	p := open(t, &plain, settings(drivertest.Body(`{"status":"Failed","errno":"10004"}`)))
	_, err := p.KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret("48a7d748")})
	if failure(t, err).Code != "10004" {
		t.Errorf("%v, want the code 10004", err)
	}
}

func TestAHeartbeatGivesTheSameTokenItsFullLifeBack(t *testing.T) {
	for _, insists := range []bool{false, true} {
		simulate(t, insists, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			for range 48 {
				time.Sleep(29 * time.Minute)
				before := *token
				prolonged, err := s.Driver.KeepAlive(t.Context(), token)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&before, token); diff != "" {
					t.Fatalf("the old token was changed:\n%s", diff)
				}
				want := &pbx.Token{Value: token.Value, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(30 * time.Minute)}
				if diff := cmp.Diff(want, prolonged); diff != "" {
					t.Fatalf("token (-want +got):\n%s", diff)
				}
				token = prolonged
			}
		})
	}
}

// The PBX counts from when the request reaches it, so the life is counted from
// when it was sent: an answer that is long in coming must not add to it.
func TestALifeIsCountedFromBeforeTheRequest(t *testing.T) {
	for name, insists := range map[string]bool{"lenient": false, "insists": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, insists, nil, func(t *testing.T, s simulation) {
				sent := time.Now()
				s.Fault(pbxsim.Fault{On: pbxsim.Login, Delay: 20 * time.Second})
				token := s.Login(t)
				want := &pbx.Token{Value: token.Value, IssuedAt: sent, ExpiresAt: sent.Add(30 * time.Minute)}
				if diff := cmp.Diff(want, token); diff != "" {
					t.Errorf("login (-want +got):\n%s", diff)
				}
				sent = time.Now()
				s.Fault(pbxsim.Fault{On: pbxsim.KeepAlive, Delay: 20 * time.Second, Times: -1})
				token, err := s.Driver.KeepAlive(t.Context(), token)
				if err != nil {
					t.Fatal(err)
				}
				if insists {
					sent = sent.Add(20 * time.Second) // it is the second one that counts
				}
				want.IssuedAt, want.ExpiresAt = sent, sent.Add(30*time.Minute)
				if diff := cmp.Diff(want, token); diff != "" {
					t.Errorf("keep-alive (-want +got):\n%s", diff)
				}
			})
		})
	}
}
