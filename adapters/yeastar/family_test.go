package yeastar_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
)

func TestEachFamilyHasTheVendorsNumbers(t *testing.T) {
	lockout := pbx.Lockout{Attempts: 5, Window: 10 * time.Minute, Memory: pbx.Forever}
	for family, want := range map[string]pbx.Traits{
		"":         {Driver: yeastar.Name, URL: "https://pbx.example.com:8088", Account: sampleUser, Probe: "https://pbx.example.com:8088/api/v1.1.0/login", Lifetime: 30 * time.Minute, Sliding: true, KeepAlive: pbx.KeepAliveHeartbeat, Lockout: lockout},
		"s-v1":     {Driver: yeastar.Name, URL: "https://pbx.example.com:8088", Account: sampleUser, Probe: "https://pbx.example.com:8088/api/v1.1.0/login", Lifetime: 30 * time.Minute, Sliding: true, KeepAlive: pbx.KeepAliveHeartbeat, Lockout: lockout},
		"s-v2":     {Driver: yeastar.Name, URL: "https://pbx.example.com:8088", Account: sampleUser, Probe: "https://pbx.example.com:8088/api/v2.0.0/login", Lifetime: 30 * time.Minute, KeepAlive: pbx.KeepAliveHeartbeat, Lockout: lockout},
		"cloud-v1": {Driver: yeastar.Name, URL: "https://pbx.example.com:443", Account: sampleUser, Probe: "https://pbx.example.com:443/api/v1.1.0/login", Lifetime: 30 * time.Minute, KeepAlive: pbx.KeepAliveRefresh, Lockout: lockout},
		"cloud-v2": {Driver: yeastar.Name, URL: "https://pbx.example.com:443", Account: sampleUser, Probe: "https://pbx.example.com:443/api/v2.0.0/login", Lifetime: 30 * time.Minute, KeepAlive: pbx.KeepAliveRefresh, Lockout: lockout},
	} {
		cfg := config(t)
		cfg.Options = map[string]string{"family": family}
		auth, err := pbx.Open(yeastar.Name, cfg)
		if err != nil {
			t.Errorf("%s: %v", family, err)
			continue
		}
		if diff := cmp.Diff(want, auth.(pbx.Describer).Traits()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", family, diff)
		}
	}
}

func TestAFamilyThatIsNoneIsRefused(t *testing.T) {
	_, err := yeastar.New(yeastar.Config{Config: config(t), Family: "p-series"})
	drivertest.Misconfigured(t, yeastar.Name, err == nil, err, "", "Family", `"p-series"`, "s-v1, s-v2, cloud-v1, cloud-v2")
}

func TestEachFamilyHasItsPaths(t *testing.T) {
	for family, want := range map[string][]string{
		yeastarsim.SV1:     {"/api/v1.1.0/login", "/api/v1.1.0/heartbeat", "/api/v1.1.0/logout"},
		yeastarsim.SV2:     {"/api/v2.0.0/login", "/api/v2.0.0/heartbeat", "/api/v2.0.0/logout"},
		yeastarsim.CloudV1: {"/api/v1.1.0/login", "/api/v1.1.0/token/refresh", "/api/v1.1.0/logout"},
		yeastarsim.CloudV2: {"/api/v2.0.0/login", "/api/v2.0.0/token/refresh", "/api/v2.0.0/logout"},
	} {
		simulate(t, yeastarsim.Options{Family: family}, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			token, err := s.Driver.KeepAlive(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Driver.Logout(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, s.paths()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", family, diff)
			}
		})
	}
}

func TestTheVersionInThePathsCanBeSet(t *testing.T) {
	for _, version := range []string{"v1.0.0", "v1.0.1", "v1.10", "v3"} {
		for _, family := range []string{yeastarsim.SV1, yeastarsim.CloudV2} {
			set := func(c *yeastar.Config) { c.APIVersion = version }
			simulate(t, yeastarsim.Options{Family: family, Version: version}, set, func(t *testing.T, s simulation) {
				token := s.Login(t)
				if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
					t.Error(err)
				}
				for _, path := range s.paths() {
					if !strings.HasPrefix(path, "/api/"+version+"/") {
						t.Errorf("%s is asked for %s", version, path)
					}
				}
			})
		}
	}
	for _, version := range []string{"1.1.0", "v", "v1.", "v1.1.0/", "../v1", "v1 ", "latest", "v1?x=y"} {
		_, err := yeastar.New(yeastar.Config{Config: config(t), APIVersion: version})
		drivertest.Misconfigured(t, yeastar.Name, err == nil, err, "", "api_version", "v1.1.0")
		cfg := config(t)
		cfg.Options = map[string]string{"api_version": version}
		_, err = pbx.Open(yeastar.Name, cfg)
		drivertest.Misconfigured(t, yeastar.Name, err == nil, err, "", "api_version", "v1.1.0")
	}
}

// What has been typed into the wrong driver's form gets a whole answer, which
// says whose it is.
func TestAResponseOfAnotherFamilyNamesTheDriverThatFits(t *testing.T) {
	for body, driver := range map[string]string{
		`{"errcode":-1,"errmsg":"FAILURE","invalid_param_list":[{"field":"username or password","value":"error"}]}`: "yeastar-p",
		`{"errcode":0,"errmsg":"SUCCESS","access_token":"EXZMpZAO86mbrKm6rFtgeb3rfcpC9uqS"}`:                        "yeastar-p",
		`<?xml version="1.0" encoding="utf-8"?><xml><status>Failed</status><errno>20003</errno></xml>`:              "openvox",
	} {
		for op, err := range operations(t, body) {
			if op == pbx.OpRequest { // the application's own answer may be anything
				if err != nil {
					t.Errorf("%s: Inspect: %v", body, err)
				}
				continue
			}
			if !errors.Is(err, pbx.ErrProtocol) || !strings.HasSuffix(failure(t, err).Message, "set the driver to "+driver) {
				t.Errorf("%s: %s: %v, want the driver %s", body, op, err, driver)
			}
		}
	}
}

func TestALoginOfAPIV2TellsHowEventsAreReported(t *testing.T) {
	for body, want := range map[string]string{
		`{"status":"Success","token":"x","transport":"TCP"}`:                    `{"transport":"TCP"}`,
		`{"status":"Success","token":"x","transport":"HTTP","msg":"48a7d7481"}`: `{"transport":"HTTP"}`,
		`{"status":"Success","token":"x","transport":"48a7d7481"}`:              "",
		`{"status":"Success","token":"x","transport":1}`:                        "",
		`{"status":"Success","token":"x"}`:                                      "",
	} {
		token, err := on(t, drivertest.Body(body)).Login(t.Context())
		if err != nil || string(token.Details) != want {
			t.Errorf("%s: details %s, %v; want %s", body, token.Details, err, want)
		}
	}
}

// paths are what the PBX was asked for.
func (s simulation) paths() (paths []string) {
	for _, record := range s.Log() {
		paths = append(paths, record.Path)
	}
	return paths
}
