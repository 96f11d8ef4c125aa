//go:build linux

package realservers

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
)

const (
	user   = "crm"
	secret = "S3cret-of-crm"
)

// brands are the simulators that stand behind a real nginx: one for each driver.
// They differ in where the token travels: in the query, in Authorization, in the
// body, in a cookie.
func brands() (firsts []simulators.Simulator) {
	for _, s := range simulators.All() {
		if !slices.ContainsFunc(firsts, func(first simulators.Simulator) bool { return first.Driver == s.Driver }) {
			firsts = append(firsts, simulators.Of(s.Driver)[0])
		}
	}
	return firsts
}

// simulated is a simulator that listens on loopback.
type simulated struct {
	simulators.Simulator
	*pbxsim.PBX
	server *pbxsim.Server
	life   time.Duration // of its tokens
}

func simulate(t *testing.T, b simulators.Simulator, life time.Duration) *simulated {
	t.Helper()
	sim := b.New(&pbxsim.Options{Accounts: map[string]string{user: secret}, Lifetime: life, MaxTokens: -1})
	s := &simulated{Simulator: b, PBX: sim, server: pbxsim.Listen(sim), life: life}
	t.Cleanup(s.server.Close)
	return s
}

// open opens the driver for a URL at which the simulator is reached.
func (s *simulated) open(t *testing.T, url string, trust pbx.TLS) func() pbx.Authenticator {
	t.Helper()
	return func() pbx.Authenticator {
		t.Helper()
		options := maps.Clone(s.Options)
		if options == nil {
			options = map[string]string{}
		}
		driver, _ := pbx.Lookup(s.Driver)
		for _, o := range driver.Options {
			if o.Name == "token_ttl" { // no response states it
				options[o.Name] = s.life.String()
			}
		}
		auth, err := pbx.Open(s.Driver, pbx.Config{URL: url, Username: user, Password: pbx.NewSecret(secret), TLS: trust, Options: options})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
}

// request sends the brand's harmless request.
func (s *simulated) request(t *testing.T, from *session.Session) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	resp, err := from.Client().Do(s.Harmless.At(from.URL()).WithContext(ctx))
	if err != nil {
		return err
	}
	text, err := read(resp)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d: %.100s", resp.StatusCode, text)
	}
	return nil
}
