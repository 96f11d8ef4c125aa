package yeastarsim_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	success = `{"status":"Success"}`

	// The password of the login in the vendor's sample; its MD5 is printed there.
	password = "Yeastar202"
	digest   = "2d7257a528679d01a19c70e3fa773620"
	sample   = "48a7d7481a5355aa4fb5dc285edeb40e"
)

func failed(errno int) string {
	return fmt.Sprintf(`{"status":"Failed","errno":"%d"}`, errno)
}

// inMemory gives f an S-Series PBX with the sample's account, in virtual time.
func inMemory(t *testing.T, d yeastarsim.Options, opts pbxsim.Options, f func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server)) {
	t.Helper()
	opts.Accounts = map[string]string{"api": password, `o"brien`: "пароль"}
	drivertest.InMemory(t, func() *pbxsim.PBX { return yeastarsim.New(&d, &opts) }, f)
}

func post(t *testing.T, s *pbxsim.Server, path, body string) string {
	t.Helper()
	resp, got := drivertest.Send(t, s, "POST", path, body)
	if resp.StatusCode != 200 {
		t.Errorf("%s: HTTP status %d, want 200 as always", path, resp.StatusCode)
	}
	return got
}

func credentials(user, digest string) string {
	return fmt.Sprintf(`{"username":%q,"password":%q,"port":"8260"}`, user, digest)
}

func login(t *testing.T, s *pbxsim.Server) string {
	t.Helper()
	got := post(t, s, "/api/v1.1.0/login", credentials("api", digest))
	m := regexp.MustCompile(`^{"status":"Success","token":"([0-9a-f]{32})"}$`).FindStringSubmatch(got)
	if m == nil {
		t.Fatalf("login: %s", got)
	}
	return m[1]
}

// The vendor's printed requests are answered with the printed answers, to the
// byte; in the head of an answer only the Date and the length are ours.
func TestPrintedRequestsGetThePrintedResponses(t *testing.T) {
	for file, d := range map[string]yeastarsim.Options{
		"session.http":     {},
		"failedlogin.http": {WrongLoginErrno: 30003},
	} {
		t.Run(file, func(t *testing.T) {
			opts := pbxsim.Options{NewToken: func() string { return sample }}
			inMemory(t, d, opts, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				drivertest.ReplayTranscript(t, s, filepath.Join("testdata", file))
			})
		})
	}
}

func TestALoginTakesTheLowerCaseDigest(t *testing.T) {
	tests := []struct {
		name, body, want string
	}{
		{"wrong digest", credentials("api", "e10adc3949ba59abbe56e057f20f883e"), failed(20003)},
		{"password in clear", credentials("api", password), failed(20003)},
		{"digest in upper case", credentials("api", strings.ToUpper(digest)), failed(20003)},
		{"unknown user", credentials("nobody", digest), failed(20003)},
		{"user in another case", credentials("API", digest), failed(20003)},
		{"not JSON", "username=api", failed(20000)},
		{"JSON cut short", credentials("api", digest)[:40], failed(20000)},
		{"quote not escaped", `{"username":"o"brien","password":"` + digest + `","port":"8260"}`, failed(20000)},
		{"nothing", "", failed(20000)},
		{"not an object", `["api"]`, failed(20000)},
		{"port as a number", `{"username":"api","password":"` + digest + `","port":8260}`, failed(20000)},
		{"no user", `{"password":"` + digest + `","port":"8260"}`, failed(10004)},
		{"no password", `{"username":"api","port":"8260"}`, failed(10004)},
		{"no port", `{"username":"api","password":"` + digest + `"}`, failed(10004)},
		{"field in another case", `{"Username":"api","password":"` + digest + `","port":"8260"}`, failed(10004)},
		{"blank user", credentials("", digest), failed(10004)},
		{"port 0", `{"username":"api","password":"` + digest + `","port":"0"}`, failed(20008)},
		{"port 65536", `{"username":"api","password":"` + digest + `","port":"65536"}`, failed(20008)},
		{"port no number", `{"username":"api","password":"` + digest + `","port":"http"}`, failed(20008)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, yeastarsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				if got := post(t, s, "/api/v1.1.0/login", tt.body); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
				wrong := 0
				if tt.want == failed(20003) {
					wrong = 1
				}
				if got := p.Counts().WrongLogins; got != wrong {
					t.Errorf("%d wrong logins counted, want %d", got, wrong)
				}
				if got := p.Tokens("api"); got != nil {
					t.Errorf("tokens: %q", got)
				}
			})
		})
	}
}

func TestADigestIsOfTheUTF8Bytes(t *testing.T) {
	inMemory(t, yeastarsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		post(t, s, "/api/v1.1.0/login", credentials(`o"brien`, "e242f36f4f95f12966da8fa2efd59992"))
		if got := p.Tokens(`o"brien`); len(got) != 1 {
			t.Errorf("%d tokens, want one: %s", len(got), p.Log()[0].Reply)
		}
	})
}

func TestTheFifthWrongLoginLocksForTenMinutes(t *testing.T) {
	inMemory(t, yeastarsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for range 5 {
			if got := post(t, s, "/api/v1.1.0/login", credentials("api", "x")); got != failed(20003) {
				t.Errorf("%s, want %s", got, failed(20003))
			}
		}
		for range 10 {
			if got := post(t, s, "/api/v1.1.0/login", credentials("api", digest)); got != failed(20002) {
				t.Errorf("%s, want %s", got, failed(20002))
			}
			time.Sleep(time.Minute)
		}
		login(t, s)
	})
}

func TestATokenIsTakenInTheQueryOnly(t *testing.T) {
	paths := []string{"/api/v1.1.0/heartbeat", "/api/v1.1.0/logout", "/api/v1.1.0/deviceinfo/query", "/api/v1.1.0/extensionlist/query"}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			inMemory(t, yeastarsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				token := login(t, s)
				check := func(query, body, want string) {
					t.Helper()
					if got := post(t, s, path+query, body); got != want {
						t.Errorf("%s: %s, want %s", query, got, want)
					}
				}
				check("", `{"token":"`+token+`"}`, failed(20005)) // in the body it is not seen
				check("?token=", "", failed(20005))
				check("?Token="+token, "", failed(20005))
				check("?token="+strings.ToUpper(token), "", failed(20004))
				check("?token="+sample, "", failed(20004))
				p.Expire(token)
				check("?token="+token, "", failed(20006))
				token = login(t, s)
				if got := post(t, s, path+"?token="+token, ""); !strings.HasPrefix(got, `{"status":"Success"`) {
					t.Errorf("a good token: %s", got)
				}
			})
		})
	}
}

func TestCallsAndHeartbeatsProlongAToken(t *testing.T) {
	for _, path := range []string{"/api/v1.1.0/heartbeat", "/api/v1.1.0/deviceinfo/query"} {
		inMemory(t, yeastarsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			path := path + "?token=" + login(t, s)
			for range 3 {
				time.Sleep(30*time.Minute - time.Second)
				if got := post(t, s, path, ""); !strings.HasPrefix(got, `{"status":"Success"`) {
					t.Errorf("%s: %s", path, got)
				}
			}
			time.Sleep(30 * time.Minute)
			if got := post(t, s, path, ""); got != failed(20006) {
				t.Errorf("after 30m: %s, want %s", got, failed(20006))
			}
		})
	}
}

func TestAHeartbeatsBodyIsCheckedLaxlyOrStrictly(t *testing.T) {
	tests := []struct {
		body            string
		lenient, strict string
	}{
		{"", success, failed(20000)},
		{"{}", success, failed(10004)},
		{`{"ipaddr":"192.0.2.7"}`, success, failed(10004)},
		{`{"ipaddr":"192.0.2.7","port":"8260"}`, success, success},
		{`{"ipaddr":"192.0.2.7","port":"70000"}`, failed(20008), failed(20008)},
		{`{"ipaddr":"192.0.2.7","port":"8260",}`, failed(20000), failed(20000)},
	}
	for _, tt := range tests {
		for insists, want := range map[bool]string{false: tt.lenient, true: tt.strict} {
			d := yeastarsim.Options{HeartbeatInsists: insists}
			inMemory(t, d, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				if got := post(t, s, "/api/v1.1.0/heartbeat?token="+login(t, s), tt.body); got != want {
					t.Errorf("insists %v, body %s: %s, want %s", insists, tt.body, got, want)
				}
			})
		}
	}
}

func TestOnlyPOSTIsServed(t *testing.T) {
	inMemory(t, yeastarsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for _, path := range []string{"/api/v1.1.0/login", "/api/v1.1.0/heartbeat?token=" + login(t, s)} {
			for _, method := range []string{"GET", "PUT"} {
				if _, got := drivertest.Send(t, s, method, path, credentials("api", digest)); got != failed(20001) {
					t.Errorf("%s %s: %s, want %s", method, path, got, failed(20001))
				}
			}
		}
	})
}

func TestOtherVersionsAreNotFound(t *testing.T) {
	for _, path := range []string{"/api/v1.10/login", "/api/v2.0.0/login", "/api/login", "/api/v1.1.0", "/", "/login", "/v1.1.0/login"} {
		inMemory(t, yeastarsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			resp, got := drivertest.Send(t, s, "POST", path, credentials("api", digest))
			if resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "text/html" {
				t.Errorf("%s: status %d, %s", path, resp.StatusCode, got)
			}
		})
		if !strings.HasPrefix(path, "/api/") {
			continue
		}
		inMemory(t, yeastarsim.Options{VersionErrno: true}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			if got := post(t, s, path, credentials("api", digest)); got != failed(10003) {
				t.Errorf("%s: %s, want %s", path, got, failed(10003))
			}
		})
	}
}

func TestFailuresAreWordedAsThePagesDiffer(t *testing.T) {
	tests := []struct {
		dialect yeastarsim.Options
		want    string
	}{
		{yeastarsim.Options{NumericErrno: true}, `{"status":"Failed","errno":20003}`},
		{yeastarsim.Options{FailingStatus: "Failure"}, `{"status":"Failure","errno":"20003"}`},
		{yeastarsim.Options{WrongLoginErrno: 30003}, `{"status":"Failed","errno":"30003"}`},
	}
	for _, tt := range tests {
		inMemory(t, tt.dialect, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			if got := post(t, s, "/api/v1.1.0/login", credentials("api", "x")); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestLogoutForgives(t *testing.T) {
	inMemory(t, yeastarsim.Options{LogoutForgives: true}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		path := "/api/v1.1.0/logout?token=" + login(t, s)
		for range 2 {
			if got := post(t, s, path, ""); got != success {
				t.Errorf("%s, want %s", got, success)
			}
		}
	})
}

func TestConnectionsAreClosedUnlessKept(t *testing.T) {
	for _, keep := range []bool{false, true} {
		inMemory(t, yeastarsim.Options{KeepConnections: keep}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			resp, _ := drivertest.Send(t, s, "POST", "/api/v1.1.0/login", credentials("api", digest))
			if resp.Close == keep {
				t.Errorf("KeepConnections %v: close %v", keep, resp.Close)
			}
		})
	}
}

// A factory PBX sends HTTP on to HTTPS, and Go's client makes a GET of it.
func TestARedirectedLoginArrivesAsGET(t *testing.T) {
	inMemory(t, yeastarsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		const path = "/api/v1.1.0/login"
		p.Fault(pbxsim.Fault{Status: 302, Header: http.Header{"Location": {s.URL + path}}})
		if got := post(t, s, path, credentials("api", digest)); got != failed(20001) {
			t.Errorf("%s, want %s", got, failed(20001))
		}
	})
}
