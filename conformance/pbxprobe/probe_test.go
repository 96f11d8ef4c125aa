package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

const (
	secret      = `canary-Horse/9 "`
	tokenPrefix = "canaryToken"
)

// simulator makes a PBX whose tokens are canaries.
func simulator(brand string, opts pbxsim.Options) *pbxsim.PBX {
	if opts.Accounts == nil {
		opts.Accounts = map[string]string{"api": secret}
	}
	var n atomic.Int32
	opts.NewToken = func() string { return fmt.Sprint(tokenPrefix, n.Add(1)) }
	return simulators.Of(brand)[0].New(&opts)
}

// desk is where pbxprobe is run from: it has a memory and a clock.
type desk struct {
	t   *testing.T
	env map[string]string
	now time.Time
}

func newDesk(t *testing.T) *desk {
	return &desk{
		t:   t,
		env: map[string]string{"PBX_PASSWORD": secret, "PBXPROBE_MEMORY": filepath.Join(t.TempDir(), "memory")},
		now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// run runs pbxprobe and returns its exit status and what it printed.
func (d *desk) run(args ...string) (status int, out, errs string) {
	d.t.Helper()
	return d.runContext(d.t.Context(), args...)
}

func (d *desk) runContext(ctx context.Context, args ...string) (status int, out, errs string) {
	d.t.Helper()
	var o, e bytes.Buffer
	status = run(ctx, args,
		func(context.Context) (pbx.Secret, error) { panic("the password is in the environment") },
		func(name string) (string, bool) { value, ok := d.env[name]; return value, ok },
		&o, &e, func() time.Time { return d.now })
	d.silent("the output", o.String()+e.String())
	files, _ := filepath.Glob(filepath.Join(d.env["PBXPROBE_MEMORY"], "*-*.json"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		d.silent(file, file+string(text))
	}
	return status, o.String(), e.String()
}

// silent fails if text holds a secret.
func (d *desk) silent(what, text string) {
	d.t.Helper()
	quoted, _ := json.Marshal(secret)
	sum := md5.Sum([]byte(secret))
	for _, s := range []string{secret, string(quoted[1 : len(quoted)-1]), "canary-Horse", hex.EncodeToString(sum[:]), tokenPrefix} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
			d.t.Errorf("%s holds the secret %s:\n%s", what, s, text)
		}
	}
}

// on returns the arguments that name a PBX.
func on(driver, url string, more ...string) []string {
	return append([]string{"-driver", driver, "-url", url, "-user", "api"}, more...)
}

// actions is what a PBX was asked for, in order.
func actions(sim *pbxsim.PBX) []pbxsim.Action {
	var all []pbxsim.Action
	for _, r := range sim.Log() {
		all = append(all, r.Action)
	}
	return all
}

var times = regexp.MustCompile(` +\d+ ms`)

// timeless is a text with its milliseconds taken out.
func timeless(text string) string { return times.ReplaceAllString(text, " N ms") }

// decoded reads what -json prints, milliseconds taken out.
func decoded(t *testing.T, out string) report {
	t.Helper()
	var r report
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil || decoder.More() {
		t.Fatalf("%v, more %v, in:\n%s", err, decoder.More(), out)
	}
	for i := range r.Steps {
		if r.Steps[i].MS < 0 || r.Steps[i].MS > 60_000 {
			t.Errorf("%s took %d ms", r.Steps[i].Name, r.Steps[i].MS)
		}
		r.Steps[i].MS = 0
	}
	return r
}

func TestAGoodRunSendsOneOfEachAndTellsWhatItLearned(t *testing.T) {
	for _, row := range []struct {
		driver string
		asked  []pbxsim.Action
		says   string
	}{
		{"yeastar", []pbxsim.Action{"login", "request", "keepalive", "logout", "request", "logout"}, `yeastar at HOST, as api
  ok       configuration N ms  http://HOST, in clear: anyone on the path reads the password
  ok       memory N ms  no login to this host is known to have failed in the last 10m0s
  ok       login N ms  a token that lives 30m0s, and any call prolongs it
  ok       call N ms  POST /api/v1.1.0/deviceinfo/query is answered
  ok       keep-alive N ms  the token is prolonged: it lives 30m0s, and any call prolongs it
  ok       logout N ms  the token is given back
  ok       dead-call N ms  the PBX refuses the token now
  ok       dead-logout N ms  to log the dead token out again is no error
Fine: all of it works, and no token is left behind.
`},
		{"runtel", []pbxsim.Action{"login", "logout", "logout"}, `runtel at HOST, as api
  ok       configuration N ms  http://HOST, in clear: anyone on the path reads the password
  ok       memory N ms  no login to this host is known to have failed in the last 10m0s
  ok       login N ms  a token that lives 1h0m0s, which calls do not prolong
  skipped  call N ms  for this driver no call is known that is documented and surely harmless
  skipped  keep-alive N ms  the brand has none: a session logs in again ahead of the token's end
  ok       logout N ms  the token is given back
  skipped  dead-call N ms  for this driver no call is known that is documented and surely harmless
  ok       dead-logout N ms  to log the dead token out again is no error
Fine: all that was tried works, and the token is given back; whether it is dead was not to be seen.
`},
	} {
		t.Run(row.driver, func(t *testing.T) {
			sim := simulator(row.driver, pbxsim.Options{})
			server := pbxsim.Listen(sim)
			defer server.Close()
			args := on(row.driver, server.URL)
			if row.driver == "runtel" {
				args = append(args, "-option", "token_ttl=1h")
			}
			status, out, errs := newDesk(t).run(args...)
			if status != exitFine || errs != "" {
				t.Errorf("status %d, %q", status, errs)
			}
			out = strings.ReplaceAll(timeless(out), strings.TrimPrefix(server.URL, "http://"), "HOST")
			if diff := cmp.Diff(row.says, out); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.asked, actions(sim)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if left := len(sim.Tokens("api")); left != 0 || sim.Counts().WrongLogins != 0 {
				t.Errorf("%d tokens left, %+v", left, sim.Counts())
			}
		})
	}
}

func TestTheJSONIsOneObjectAndNothingElse(t *testing.T) {
	yes, no, half, hour := true, false, int64(1800), int64(3600)
	for _, row := range []struct {
		driver string
		token  life
		steps  []step
	}{
		{"yeastar", life{&half, &yes}, []step{
			{Name: "configuration", OK: true}, {Name: "memory", OK: true}, {Name: "login", OK: true}, {Name: "call", OK: true},
			{Name: "keep-alive", OK: true}, {Name: "logout", OK: true}, {Name: "dead-call", OK: true}, {Name: "dead-logout", OK: true},
		}},
		{"runtel", life{&hour, &no}, []step{
			{Name: "configuration", OK: true}, {Name: "memory", OK: true}, {Name: "login", OK: true},
			{Name: "call", OK: true, Kind: "skipped", Error: "for this driver no call is known that is documented and surely harmless"},
			{Name: "keep-alive", OK: true, Kind: "skipped", Error: "the brand has none: a session logs in again ahead of the token's end"},
			{Name: "logout", OK: true},
			{Name: "dead-call", OK: true, Kind: "skipped", Error: "for this driver no call is known that is documented and surely harmless"},
			{Name: "dead-logout", OK: true},
		}},
	} {
		sim := simulator(row.driver, pbxsim.Options{})
		server := pbxsim.Listen(sim)
		defer server.Close()
		args := on(row.driver, server.URL, "-json")
		if row.driver == "runtel" {
			args = append(args, "-option", "token_ttl=1h")
		}
		status, out, errs := newDesk(t).run(args...)
		want := report{Driver: row.driver, Host: strings.TrimPrefix(server.URL, "http://"), Steps: row.steps, Token: &row.token, OK: true}
		if diff := cmp.Diff(want, decoded(t, out)); diff != "" || status != exitFine || errs != "" {
			t.Errorf("status %d, %q (-want +got):\n%s", status, errs, diff)
		}
	}
}

func TestTheJSONOfAFailureHasItsKindAndTheAdviceGoesToStandardError(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{Accounts: map[string]string{"api": "another"}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newDesk(t)
	status, out, errs := d.run(on("yeastar", server.URL, "-json")...)
	want := report{Driver: "yeastar", Host: strings.TrimPrefix(server.URL, "http://"), Steps: []step{
		{Name: "configuration", OK: true}, {Name: "memory", OK: true},
		{Name: "login", Kind: "invalid credentials", Error: "yeastar: login: invalid credentials: wrong user name or password: check the API account in the PBX's web interface (code 20003)"},
	}}
	if diff := cmp.Diff(want, decoded(t, out)); diff != "" || status != exitFailed {
		t.Errorf("status %d (-want +got):\n%s", status, diff)
	}
	if !strings.HasPrefix(errs, "Compare the user name") || !strings.Contains(errs, "before 2026-03-01 12:10:00 UTC") {
		t.Errorf("standard error: %q", errs)
	}
	_, out, _ = d.run(on("yeastar", server.URL, "-json")...)
	got := decoded(t, out)
	if n := len(got.Steps); n != 2 || got.Steps[1].Kind != "remembered" || got.OK || got.Token != nil {
		t.Errorf("the run after it: %+v", got)
	}
}

// A PBX that is interrupted at a request: the context of the run ends when the
// request arrives, and the answer comes all the same.
func TestAnInterruptGivesTheTokenBack(t *testing.T) {
	for _, row := range []struct {
		at    pbxsim.Action
		nth   int32
		asked []pbxsim.Action
		met   string // the step that met it
	}{
		{"login", 1, []pbxsim.Action{"login", "logout"}, "call"},
		{"request", 1, []pbxsim.Action{"login", "request", "logout"}, "call"},
		{"keepalive", 1, []pbxsim.Action{"login", "request", "keepalive", "logout"}, "dead-call"},
		{"logout", 1, []pbxsim.Action{"login", "request", "keepalive", "logout"}, "dead-call"},
		{"request", 2, []pbxsim.Action{"login", "request", "keepalive", "logout", "request"}, "dead-call"},
	} {
		t.Run(fmt.Sprint(row.at, row.nth), func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			sim := simulator("yeastar", pbxsim.Options{})
			var seen atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if sim.Dialect().Action(&pbxsim.Request{Request: r}) == row.at && seen.Add(1) == row.nth {
					interrupt()
					if row.at == "request" { // which need not be waited for
						<-r.Context().Done()
						r = r.WithContext(context.WithoutCancel(r.Context()))
					}
				}
				sim.ServeHTTP(w, r)
			}))
			defer server.Close()
			status, out, _ := newDesk(t).runContext(ctx, on("yeastar", server.URL, "-json")...)
			got := decoded(t, out)
			server.Close() // waits for what came late
			if diff := cmp.Diff(row.asked, inOrder(actions(sim), row.asked)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if left := len(sim.Tokens("api")); left != 0 {
				t.Errorf("%d tokens left", left)
			}
			if status != exitFailed || got.OK {
				t.Errorf("status %d, %+v", status, got)
			}
			for _, s := range got.Steps {
				if (s.Kind == "interrupted") != (s.Name == row.met) {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// inOrder is got, in the order of want if it has the same elements: a request
// that is let go at an interrupt may arrive after the next.
func inOrder(got, want []pbxsim.Action) []pbxsim.Action {
	count := map[pbxsim.Action]int{}
	for _, a := range got {
		count[a]++
	}
	for _, a := range want {
		count[a]--
	}
	for _, n := range count {
		if n != 0 {
			return got
		}
	}
	return want
}

func TestADeadTokenIsUsedOncePerWindow(t *testing.T) {
	for _, row := range []struct {
		family      string
		first, next []pbxsim.Action
		leftOut     int // steps of the next runs
	}{
		{"s-v1", []pbxsim.Action{"login", "request", "keepalive", "logout", "request", "logout"}, []pbxsim.Action{"login", "request", "keepalive", "logout"}, 2},
		// Its keep-alive replaces the token, and the replaced one is dead.
		{"cloud-v1", []pbxsim.Action{"login", "request", "keepalive", "logout", "request", "logout"}, []pbxsim.Action{"login", "request", "logout"}, 3},
	} {
		t.Run(row.family, func(t *testing.T) {
			// The worst PBX that the vendors' pages leave room for.
			sim := yeastarsim.New(&yeastarsim.Options{Family: row.family}, &pbxsim.Options{
				Accounts: map[string]string{"api": secret}, Lockout: pbxsim.Lockout{DeadTokens: true, Reset: pbxsim.Nothing},
			})
			server := pbxsim.Listen(sim)
			defer server.Close()
			d := newDesk(t)
			args := on("yeastar", server.URL, "-option", "family="+row.family)
			for i := range 11 {
				want := row.next
				if i == 0 || i == 10 {
					want = row.first
				}
				before := len(actions(sim))
				status, out, _ := d.run(args...)
				if diff := cmp.Diff(want, actions(sim)[before:]); diff != "" || status != exitFine {
					t.Fatalf("run %d: status %d (-want +got):\n%s\n%s", i, status, diff, out)
				}
				if said := strings.Count(out, "again after 2026-03-01 12:10:00 UTC"); i > 0 && i < 10 && said != row.leftOut {
					t.Errorf("run %d: %d steps are said to be left out:\n%s", i, said, out)
				}
				if left := len(sim.Tokens("api")); left != 0 {
					t.Errorf("run %d: %d tokens left", i, left)
				}
				if i < 10 { // then the minutes have made up the window
					if _, locked := sim.Locked("127.0.0.1"); locked {
						t.Fatalf("run %d: the PBX has locked this machine", i)
					}
				}
				d.now = d.now.Add(time.Minute)
			}
		})
	}
}

func TestAPBXThatStillTakesTheTokenAfterTheLogoutFails(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	sim.Fault(pbxsim.Fault{On: pbxsim.Logout, Body: []byte(`{"status":"Success"}`)}) // and nothing done
	server := pbxsim.Listen(sim)
	defer server.Close()
	status, out, _ := newDesk(t).run(on("yeastar", server.URL)...)
	if status != exitFailed || !strings.Contains(out, "still takes the token") || !strings.Contains(out, "A token may be left behind; if so, it lives 30m0s") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if left := len(sim.Tokens("api")); left != 0 {
		t.Errorf("%d tokens left: the second logout was to end it", left)
	}
}

func TestAFailedCallDoesNotKeepTheTokenFromBeingGivenBack(t *testing.T) {
	for _, fault := range []pbxsim.Fault{
		{On: pbxsim.AppRequest, Drop: pbxsim.DropBefore},
		{On: pbxsim.AppRequest, Status: 302, Header: http.Header{"Location": {"/login?from=" + tokenPrefix}}},
		{On: pbxsim.AppRequest, Body: []byte(`{"status":"Failed","errno":"20015"}`)},
		{On: pbxsim.AppRequest, Status: 500},
		{On: pbxsim.KeepAlive, Drop: pbxsim.DropBefore},
	} {
		sim := simulator("yeastar", pbxsim.Options{})
		sim.Fault(fault)
		server := pbxsim.Listen(sim)
		status, out, _ := newDesk(t).run(on("yeastar", server.URL)...)
		server.Close()
		if left := len(sim.Tokens("api")); status != exitFailed || left != 0 || !strings.Contains(out, "Not fine: 1 of 8 steps failed. No token is left behind.") {
			t.Errorf("%+v: status %d, %d tokens left:\n%s", fault, status, left, out)
		}
		if n := len(actions(sim)); n != 6 {
			t.Errorf("%+v: %v", fault, actions(sim))
		}
	}
}

func TestAFailedLogoutIsNotRepeatedAndSaysHowLongTheTokenLives(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	sim.Fault(pbxsim.Fault{On: pbxsim.Logout, Drop: pbxsim.DropBefore})
	server := pbxsim.Listen(sim)
	defer server.Close()
	status, out, _ := newDesk(t).run(on("yeastar", server.URL)...)
	if status != exitFailed || !strings.Contains(out, "A token may be left behind; if so, it lives 30m0s") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if diff := cmp.Diff([]pbxsim.Action{"login", "request", "keepalive", "logout"}, actions(sim)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestTheHarmlessCallsAreThoseOfTheVendorsPages(t *testing.T) {
	for _, row := range []struct {
		driver  string
		options map[string]string
		want    string
	}{
		{"yeastar", nil, "POST https://pbx.test/base/api/v1.1.0/deviceinfo/query application/json; charset=utf-8 "},
		{"yeastar", map[string]string{"family": "s-v2"}, "POST https://pbx.test/base/api/v2.0.0/deviceinfo/query application/json; charset=utf-8 "},
		{"yeastar", map[string]string{"family": "cloud-v2"}, "POST https://pbx.test/base/api/v2.0.0/deviceinfo/query application/json; charset=utf-8 "},
		{"yeastar", map[string]string{"family": "s-v2", "api_version": "v2.1.0"}, "POST https://pbx.test/base/api/v2.1.0/deviceinfo/query application/json; charset=utf-8 "},
		{"yeastar-p", nil, "GET https://pbx.test/base/openapi/v1.0/system/information  "},
		{"grandstream", nil, `POST https://pbx.test/base/api application/json {"request":{"action":"getSystemStatus"}}`},
		{"asterisk", nil, "POST https://pbx.test/base/rawman application/x-www-form-urlencoded Action=Ping"},
		{"openvox", nil, ""},
		{"runtel", nil, ""},
	} {
		got := ""
		if h := brands[row.driver].call; h != nil {
			r, err := h.request("https://pbx.test/base", row.options)
			if err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			body.ReadFrom(r.Body)
			got = fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"), &body)
		}
		if got != row.want {
			t.Errorf("%s %v: %q, want %q", row.driver, row.options, got, row.want)
		}
	}
}
