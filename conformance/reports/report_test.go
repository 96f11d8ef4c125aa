package reports

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/runtel"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/adapters/yeastarp"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"

	_ "github.com/pbxauth/pbx/adapters"
)

var update = flag.Bool("update", false, "write the reports anew")

// row is a driver with its settings, and a PBX as the vendor documents it. Other
// readings of the documents are for the driver's own tests.
type row struct {
	file    string
	driver  string
	options map[string]string
	sim     func(*pbxsim.Options) *pbxsim.PBX
	call    call
	skip    map[string]string
}

func (r row) harness() conformance.Harness {
	return conformance.Harness{Driver: r.driver, Options: r.options, Simulator: r.sim, Call: r.call.at, Skip: r.skip}
}

var rows = []row{
	{"asterisk", asterisk.Name, nil, asterisksim.New,
		call{"POST", "/rawman", "application/x-www-form-urlencoded", "Action=ListCommands"},
		map[string]string{
			"LOCKOUT-02": "Asterisk locks nobody out; fail2ban does, and a caller that it has locked gets no answer",
		}},
	{"grandstream", grandstream.Name, nil, grandstreamsim.Settings{}.New,
		call{"POST", "/api", "application/json", `{"request":{"action":"getSystemGeneralStatus"}}`}, nil},
	{"openvox-json", openvox.Name, map[string]string{"format": "json"}, openvoxsim.New,
		call{"POST", "/api/v0.0.1/extension/list", "", "{}"}, nil},
	{"openvox-xml", openvox.Name, map[string]string{"format": "xml"}, openvoxsim.New,
		call{"POST", "/api/v0.0.1/extension/list", "", "<xml></xml>"}, nil},
	{"runtel", runtel.Name, nil, runtelsim.New,
		call{"POST", "/api/", "", `{"action":"get","obj":"User","action_id":"1","params":{}}`},
		map[string]string{
			"LOCKOUT-02": "the vendor shows no answer to a blocked host: an HTTP 403 on a login, or silence, may mean that or something else",
		}},
	{"yeastar-s-v1", yeastar.Name, map[string]string{"family": "s-v1"}, family("s-v1"),
		call{"POST", "/api/v1.1.0/deviceinfo/query", "", "{}"}, nil},
	{"yeastar-s-v2", yeastar.Name, map[string]string{"family": "s-v2"}, family("s-v2"),
		call{"POST", "/api/v2.0.0/deviceinfo/query", "", "{}"}, nil},
	{"yeastar-cloud-v1", yeastar.Name, map[string]string{"family": "cloud-v1"}, family("cloud-v1"),
		call{"POST", "/api/v1.1.0/deviceinfo/query", "", "{}"}, nil},
	{"yeastar-cloud-v2", yeastar.Name, map[string]string{"family": "cloud-v2"}, family("cloud-v2"),
		call{"POST", "/api/v2.0.0/deviceinfo/query", "", "{}"}, nil},
	{"yeastar-p", yeastarp.Name, nil, yeastarpsim.New,
		call{"GET", "/openapi/v1.0/system/information", "", ""}, nil},
}

func family(name string) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX { return pbxsim.New(yeastarsim.Dialect{Family: name}, o) }
}

// call is the harmless request of a [conformance.Harness].
type call struct{ method, path, contentType, body string }

func (c call) at(base string) *http.Request {
	r, _ := http.NewRequest(c.method, base+c.path, strings.NewReader(c.body))
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	return r
}

func TestTheReportsAreThoseOfToday(t *testing.T) {
	for _, row := range rows {
		t.Run(row.file, func(t *testing.T) {
			t.Parallel()
			fresh := conformance.Verify(row.harness())
			if *update {
				write(t, row.file, fresh)
			}
			text, encoded := row.file+".txt", row.file+".json"
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

func TestAWrapperChangesNoReport(t *testing.T) {
	for _, row := range rows {
		t.Run(row.file, func(t *testing.T) {
			t.Parallel()
			var opened atomic.Int64
			d, _ := pbx.Lookup(row.driver)
			open := d.Open
			d.Open = func(cfg pbx.Config) (pbx.Authenticator, error) {
				auth, err := open(cfg)
				if err != nil {
					return nil, err
				}
				opened.Add(1)
				return &countingLogins{Authenticator: auth}, nil
			}
			h := row.harness()
			h.Registry = new(pbx.Registry)
			h.Registry.Register(d)
			wrapped := conformance.Verify(h)
			if opened.Load() == 0 {
				t.Fatal("the suite does not use the wrapper")
			}
			var plain conformance.Report
			if err := json.Unmarshal(read(t, row.file+".json"), &plain); err != nil {
				t.Fatal(err)
			}
			wrapped.Module, wrapped.Go = plain.Module, plain.Go
			if diff := cmp.Diff(plain, wrapped); diff != "" {
				t.Errorf("-committed +through a wrapper:\n%s", diff)
			}
		})
	}
}

func TestEveryRegisteredDriverHasAReport(t *testing.T) {
	reported := map[string]bool{}
	for _, row := range rows {
		reported[row.driver] = true
	}
	for _, d := range pbx.Drivers() {
		if !reported[d.Name] {
			t.Errorf("%s has no row in this test", d.Name)
		}
	}
}

func TestEveryReportHasARow(t *testing.T) {
	known := map[string]bool{}
	for _, row := range rows {
		known[row.file+".txt"], known[row.file+".json"] = true, true
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
