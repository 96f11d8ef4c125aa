package adapters_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
)

// elsewhere sends all requests to a simulator, whatever their address.
type elsewhere struct{ server *pbxsim.Server }

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, _ = strings.Cut(e.server.URL, "://")
	return e.server.Client().Transport.RoundTrip(r)
}

// One person writes the usual port, another leaves it out.
func TestAWrongPasswordIsSentOnceHoweverTheAddressIsWritten(t *testing.T) {
	for _, s := range simulators.All() {
		synctest.Test(t, func(t *testing.T) {
			sim := s.New(&pbxsim.Options{Accounts: map[string]string{tableUser: tablePassword}})
			server := pbxsim.ListenMemory(sim)
			defer server.Close()
			driver, _ := pbx.Lookup(s.Driver)
			port := driver.DefaultPort
			if s.Driver == "yeastar" && strings.HasPrefix(s.Variant, "cloud") {
				port = 443
			}
			guard := new(session.Guard)
			for _, url := range []string{"https://pbx.example.com", "https://pbx.example.com:" + strconv.Itoa(port)} {
				auth, err := pbx.Open(s.Driver, pbx.Config{
					URL: url, Username: tableUser, Password: pbx.NewSecret("wrong"), Options: s.Options, Transport: elsewhere{server},
				})
				if err != nil {
					t.Fatal(err)
				}
				one := session.New(auth, &session.Options{Guard: guard})
				defer one.Close(context.Background())
				time.Sleep(10 * time.Minute)
			}
			if got := sim.Counts().WrongLogins; got != 1 {
				t.Errorf("%s: the wrong password was sent %d times", s.Name(), got)
			}
		})
	}
}
