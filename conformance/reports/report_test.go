package reports

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"

	_ "github.com/pbxauth/pbx/adapters"
	_ "github.com/pbxauth/pbx/internal/fewgc"
	"github.com/pbxauth/pbx/internal/thorough"
)

var update = flag.Bool("update", false, "write the reports anew")

// skips are the rules that a PBX as its vendor documents it cannot pass, by
// driver, each with the reason.
var skips = map[string]map[string]string{
	"mikopbx": {
		"LOGIN-06":     "the PBX removes tags from a password before it compares it, so that the driver refuses one of any characters",
		"SECRETS-01":   "its password has a tag, which the driver refuses. The driver's own tests do the same with another password",
		"PROTOCOL-06":  "the vendor's texts are in the PBX's language and have no code: the HTTP status decides",
		"KEEPALIVE-06": "a refresh brings no new refresh token: the old one stays",
		"KEEPALIVE-07": "the refresh token is in a cookie, and a refresh need not set it",
		"SESSION-10":   "no record of tokens is kept, so that one that was replaced stays valid until it expires. The driver's own tests do the rest",
	},
	"runtel": {
		"LOCKOUT-02": "the vendor shows no answer to a blocked host: an HTTP 403 on a login may mean that or something else",
	},
	"starface": {
		"PROTOCOL-06": "the vendor documents no codes: the HTTP status decides",
	},
	"uis": {
		"LOCKOUT-02": "the vendor documents no lockout, and no words for one",
		"PING-01":    noPing, "PING-02": noPing, "PING-03": noPing,
	},
}

const noPing = "the vendor documents no method that every account may use: the option ping_method names one"

func harness(sim simulators.Simulator) conformance.Harness {
	return conformance.Harness{
		Driver: sim.Driver, Options: sim.Options, Simulator: sim.New, Call: sim.Harmless.At,
		Skip: skips[sim.Driver],
	}
}

// TestTheReportsAreThoseOfToday plays the reports of some drivers. go generate, and
// PBX_TESTS=all, play all of them.
func TestTheReportsAreThoseOfToday(t *testing.T) {
	seen := map[string]bool{}
	for _, sim := range simulators.All() {
		abilities := abilitiesOf(t, sim)
		if seen[abilities] && !*update && !thorough.Tests() {
			continue
		}
		seen[abilities] = true
		t.Run(sim.Name(), func(t *testing.T) {
			t.Parallel()
			fresh := conformance.Verify(harness(sim))
			if *update {
				write(t, sim.Name(), fresh)
			}
			text, encoded := sim.Name()+".txt", sim.Name()+".json"
			var old conformance.Report
			if err := json.Unmarshal(read(t, encoded), &old); err != nil {
				t.Fatal(err)
			}
			fresh.Module, fresh.Go = old.Module, old.Go
			if diff := cmp.Diff(old, fresh); diff != "" {
				t.Errorf("%s is out of date: run go generate ./conformance/reports\n(-committed +today)\n%s", encoded, diff)
			}
			if diff := cmp.Diff(string(read(t, text)), fresh.String()); diff != "" {
				t.Errorf("%s is out of date: run go generate ./conformance/reports\n(-committed +today)\n%s", text, diff)
			}
			if !fresh.OK() {
				t.Errorf("the driver fails: %v", fresh.Failed)
			}
		})
	}
}

// countingLogins is a wrapper as applications write them.
type countingLogins struct {
	pbx.Authenticator
	logins atomic.Int64
}

func (c *countingLogins) Login(ctx context.Context) (*pbx.Token, error) {
	c.logins.Add(1)
	return c.Authenticator.Login(ctx)
}

func (c *countingLogins) Unwrap() pbx.Authenticator { return c.Authenticator }

// TestAWrapperChangesNoReport: the suite and a session find what a driver can do
// through a wrapper. By default one driver stands for all that can do the same. With
// PBX_TESTS=all, each is wrapped.
func TestAWrapperChangesNoReport(t *testing.T) {
	seen := map[string]bool{}
	for _, sim := range simulators.All() {
		abilities := abilitiesOf(t, sim)
		if seen[abilities] && !thorough.Tests() {
			continue
		}
		seen[abilities] = true
		t.Run(sim.Name(), func(t *testing.T) {
			t.Parallel()
			var opened atomic.Int64
			d, _ := pbx.Lookup(sim.Driver)
			open := d.Open
			d.Open = func(cfg pbx.Config) (pbx.Authenticator, error) {
				auth, err := open(cfg)
				if err != nil {
					return nil, err
				}
				opened.Add(1)
				return &countingLogins{Authenticator: auth}, nil
			}
			h := harness(sim)
			h.Registry = new(pbx.Registry)
			h.Registry.Register(d)
			wrapped := conformance.Verify(h)
			if opened.Load() == 0 {
				t.Fatal("the suite does not use the wrapper")
			}
			var plain conformance.Report
			if err := json.Unmarshal(read(t, sim.Name()+".json"), &plain); err != nil {
				t.Fatal(err)
			}
			wrapped.Module, wrapped.Go = plain.Module, plain.Go
			if diff := cmp.Diff(plain, wrapped); diff != "" {
				t.Errorf("-committed +through a wrapper:\n%s", diff)
			}
		})
	}
}

// abilitiesOf are the optional interfaces of a driver, which a wrapper hides, and how a
// session keeps its tokens alive.
func abilitiesOf(t *testing.T, sim simulators.Simulator) string {
	t.Helper()
	auth, err := pbx.Open(sim.Driver, pbx.Config{
		URL: "https://pbx.example.com", Username: "api", Password: pbx.NewSecret("secret"), Options: sim.Options,
	})
	if err != nil {
		t.Fatal(err)
	}
	describer, describes := pbx.As[pbx.Describer](auth)
	_, requests := pbx.As[pbx.Requester](auth)
	_, pings := pbx.As[pbx.Pinger](auth)
	_, prints := pbx.As[pbx.Fingerprinter](auth)
	var traits pbx.Traits
	if describes {
		traits = describer.Traits()
	}
	return fmt.Sprint(describes, requests, pings, prints, traits.KeepAlive)
}

func TestEveryRegisteredDriverHasAReport(t *testing.T) {
	for _, d := range pbx.Drivers() {
		if len(simulators.Of(d.Name)) == 0 {
			t.Errorf("%s has no simulator in the index", d.Name)
		}
	}
}

func TestEveryReportIsOfASimulator(t *testing.T) {
	known := map[string]bool{}
	for _, sim := range simulators.All() {
		known[sim.Name()+".txt"], known[sim.Name()+".json"] = true, true
	}
	for _, pattern := range []string{"*.txt", "*.json"} {
		files, _ := filepath.Glob(pattern) // the patterns are good
		for _, file := range files {
			if !known[file] {
				t.Errorf("%s is of no driver", file)
			}
		}
	}
}

func write(t *testing.T, file string, r conformance.Report) {
	t.Helper()
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{file + ".txt": r.String(), file + ".json": string(encoded) + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.ReplaceAll(string(text), "\r\n", "\n"))
}
