package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/conformance/probe"
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

// machine is where pbxprobe runs: it has a ledger and a person.
type machine struct {
	t      *testing.T
	env    map[string]string
	people fakeConsole
}

// fakeConsole is a person with a password and a reply. Without them there is no
// terminal.
type fakeConsole struct {
	password, reply string
	asked           *[]string
}

func (f fakeConsole) Password(context.Context) (pbx.Secret, error) {
	if f.password == "" {
		return pbx.Secret{}, errors.New("there is no terminal")
	}
	return pbx.NewSecret(f.password), nil
}

func (f fakeConsole) Confirm(_ context.Context, question string) (bool, error) {
	if f.reply == "" {
		return false, errors.New("there is no terminal")
	}
	*f.asked = append(*f.asked, question)
	return f.reply == "yes", nil
}

func newMachine(t *testing.T) *machine {
	return &machine{
		t:   t,
		env: map[string]string{"PBX_PASSWORD": secret, "PBXPROBE_LEDGER": filepath.Join(t.TempDir(), "ledger")},
	}
}

// run runs pbxprobe and returns its exit status and what it printed.
func (d *machine) run(args ...string) (status int, out, errs string) {
	d.t.Helper()
	return d.runContext(d.t.Context(), args...)
}

func (d *machine) runContext(ctx context.Context, args ...string) (status int, out, errs string) {
	d.t.Helper()
	var o, e bytes.Buffer
	status = run(ctx, args,
		d.people,
		func(name string) (string, bool) { value, ok := d.env[name]; return value, ok },
		&o, &e)
	d.silent("the output", o.String()+e.String())
	d.forOperators(o.String() + e.String())
	filepath.WalkDir(d.env["PBXPROBE_LEDGER"], func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			text, _ := os.ReadFile(path)
			d.silent(path, path+string(text))
		}
		return nil
	})
	return status, o.String(), e.String()
}

// goNames are names of the library, as in Guard.Forgive, and what else a programmer does.
var goNames = regexp.MustCompile(`\b[A-Z][a-z]+\.[A-Z][A-Za-z]+|.*\bimport\b.*`)

// forOperators fails if text speaks to programmers. Who runs this has a command line.
func (d *machine) forOperators(text string) {
	d.t.Helper()
	if found := goNames.FindString(text); found != "" {
		d.t.Errorf("the output speaks of %q:\n%s", found, text)
	}
}

// silent fails if text holds a secret.
func (d *machine) silent(what, text string) {
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
		if !isAddressCheck(r.Method, r.RawQuery, r.Header) {
			all = append(all, r.Action)
		}
	}
	return all
}

// isAddressCheck reports whether a request is the GET without credentials that a
// run begins with.
func isAddressCheck(method, query string, h http.Header) bool {
	return method == http.MethodGet && query == "" && h.Get("Authorization") == ""
}

var times = regexp.MustCompile(` +\d+ ms`)

// timeless is a text with its milliseconds taken out.
func timeless(text string) string { return times.ReplaceAllString(text, " N ms") }

// decoded reads what -json prints, milliseconds taken out.
func decoded(t *testing.T, out string) probe.Report {
	t.Helper()
	var r probe.Report
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

func TestAGoodRunSendsOneOfEachAndPrintsWhatItLearned(t *testing.T) {
	for _, row := range []struct {
		driver string
		asked  []pbxsim.Action
		says   string
	}{
		{"yeastar", []pbxsim.Action{"login", "request", "keepalive", "logout", "request"}, `yeastar at HOST, as api
  ok       settings N ms  http://HOST
  ok       address N ms  HTTP 200
  skipped  certificate N ms  plain http: anyone on the path reads the password
  ok       login N ms  the token is valid for 30m0s, and every request extends it
  ok       harmless request N ms  the PBX accepts the token
  ok       keep-alive N ms  the token is extended: it is valid for 30m0s, and every request extends it
  ok       logout N ms  the token is logged out
  ok       dead token N ms  the PBX refuses the token now
Fine: everything works, and no token is left behind.
`},
		{"openvox", []pbxsim.Action{"login", "keepalive", "logout", "keepalive"}, `openvox at HOST, as api
  ok       settings N ms  http://HOST
  ok       address N ms  HTTP 200
  skipped  certificate N ms  plain http: anyone on the path reads the password
  ok       login N ms  the token is valid for 30m0s, and every request extends it
  skipped  harmless request N ms  the driver knows no request that is documented and surely harmless
  ok       keep-alive N ms  the token is extended: it is valid for 30m0s, and every request extends it
  ok       logout N ms  the token is logged out
  ok       dead token N ms  the PBX refuses the token now
Fine: everything works, and no token is left behind.
`},
	} {
		t.Run(row.driver, func(t *testing.T) {
			sim := simulator(row.driver, pbxsim.Options{})
			server := pbxsim.Listen(sim)
			defer server.Close()
			status, out, errs := newMachine(t).run(on(row.driver, server.URL)...)
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
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	status, out, errs := newMachine(t).run(on("yeastar", server.URL, "-json")...)
	got := decoded(t, out)
	if status != exitFine || errs != "" || !got.OK || got.Schema != probe.Schema || got.Host != strings.TrimPrefix(server.URL, "http://") {
		t.Errorf("status %d, %q: %+v", status, errs, got)
	}
	var names []probe.Name
	for _, s := range got.Steps {
		names = append(names, s.Name)
	}
	if diff := cmp.Diff(probe.Names(), names); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if got.Token == nil || *got.Token.ExpiresInS != 1800 || !*got.Token.Sliding {
		t.Errorf("token %+v", got.Token)
	}
}

func TestTheJSONOfAFailureHasItsKindAndTheAdviceGoesToStandardError(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{Accounts: map[string]string{"api": "another"}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newMachine(t)
	status, out, errs := d.run(on("yeastar", server.URL, "-json")...)
	got := decoded(t, out)
	last := got.Steps[len(got.Steps)-1]
	if status != exitFailed || got.OK || last.Name != probe.Login || last.State != probe.Failed || last.Kind != "invalid credentials" || !strings.Contains(last.Message, "(code 20003)") {
		t.Errorf("status %d: %+v", status, last)
	}
	if !strings.HasPrefix(errs, "Compare the user name") || !strings.Contains(errs, "is remembered") {
		t.Errorf("standard error: %q", errs)
	}
	_, out, _ = d.run(on("yeastar", server.URL, "-json")...)
	got = decoded(t, out)
	last = got.Steps[len(got.Steps)-1]
	if last.Kind != "invalid credentials" || !strings.Contains(last.Message, "not sent") || got.OK || got.Token != nil || sim.Counts().Logins != 1 {
		t.Errorf("the run after it: %+v", last)
	}
}

// The run is interrupted at a request: the context of the run ends when the
// request arrives, and the response comes all the same.
func TestAnInterruptGivesTheTokenBack(t *testing.T) {
	for _, row := range []struct {
		at    pbxsim.Action
		nth   int32
		asked []pbxsim.Action
		met   probe.Name // the step that noticed it
	}{
		{"login", 1, []pbxsim.Action{"login", "logout"}, probe.HarmlessRequest},
		{"request", 1, []pbxsim.Action{"login", "request", "logout"}, probe.HarmlessRequest},
		{"keepalive", 1, []pbxsim.Action{"login", "request", "keepalive", "logout"}, probe.DeadToken},
		{"logout", 1, []pbxsim.Action{"login", "request", "keepalive", "logout"}, probe.DeadToken},
		{"request", 2, []pbxsim.Action{"login", "request", "keepalive", "logout", "request"}, probe.DeadToken},
	} {
		t.Run(fmt.Sprint(row.at, row.nth), func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			sim := simulator("yeastar", pbxsim.Options{})
			var seen atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !isAddressCheck(r.Method, r.URL.RawQuery, r.Header) && sim.Dialect().Action(&pbxsim.Request{Request: r}) == row.at && seen.Add(1) == row.nth {
					interrupt()
					if row.at == "request" { // which need not be waited for
						<-r.Context().Done()
						r = r.WithContext(context.WithoutCancel(r.Context()))
					}
				}
				sim.ServeHTTP(w, r)
			}))
			defer server.Close()
			status, out, _ := newMachine(t).runContext(ctx, on("yeastar", server.URL, "-json")...)
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
		{"s-v1", []pbxsim.Action{"login", "request", "keepalive", "logout", "request"}, []pbxsim.Action{"login", "request", "keepalive", "logout"}, 1},
		// Its keep-alive replaces the token, and the replaced one is dead.
		{"cloud-v1", []pbxsim.Action{"login", "request", "keepalive", "logout", "logout", "request"}, []pbxsim.Action{"login", "request", "logout"}, 2},
	} {
		t.Run(row.family, func(t *testing.T) {
			// The worst PBX that the vendors' pages leave room for.
			sim := yeastarsim.New(&yeastarsim.Options{Family: row.family}, &pbxsim.Options{
				Accounts: map[string]string{"api": secret}, Lockout: pbxsim.Lockout{DeadTokens: true, Reset: pbxsim.Nothing},
			})
			server := pbxsim.Listen(sim)
			defer server.Close()
			d := newMachine(t)
			args := on("yeastar", server.URL, "-option", "family="+row.family)
			for i := range 10 {
				want := row.next
				if i == 0 {
					want = row.first
				}
				before := len(actions(sim))
				status, out, _ := d.run(args...)
				if diff := cmp.Diff(want, actions(sim)[before:]); diff != "" || status != exitFine {
					t.Fatalf("run %d: status %d (-want +got):\n%s\n%s", i, status, diff, out)
				}
				if said := strings.Count(out, "done by an earlier run, and a dead token may count as a wrong login: again after "); i > 0 && said != row.leftOut {
					t.Errorf("run %d: %d steps are said to be left out:\n%s", i, said, out)
				}
				if left := len(sim.Tokens("api")); left != 0 {
					t.Errorf("run %d: %d tokens left", i, left)
				}
				if _, locked := sim.Locked("127.0.0.1"); locked {
					t.Fatalf("run %d: the PBX has locked this machine", i)
				}
			}
		})
	}
}

func TestAPBXThatStillAcceptsTheTokenAfterTheLogoutFails(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	sim.Fault(pbxsim.Fault{On: pbxsim.Logout, Body: []byte(`{"status":"Success"}`)}) // and nothing done
	server := pbxsim.Listen(sim)
	defer server.Close()
	status, out, _ := newMachine(t).run(on("yeastar", server.URL)...)
	if status != exitFailed || !strings.Contains(out, "still accepts the token") || !strings.Contains(out, "A token may be left behind. If so, it is valid for 30m0s") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestTheTokenIsLoggedOutWhateverFails(t *testing.T) {
	for _, fault := range []pbxsim.Fault{
		{On: pbxsim.AppRequest, Drop: pbxsim.DropBefore},
		{On: pbxsim.AppRequest, Status: 302, Header: http.Header{"Location": {"/login?from=" + tokenPrefix}}},
		{On: pbxsim.AppRequest, Body: []byte(`{"status":"Failed","errno":"20015"}`)},
		{On: pbxsim.AppRequest, Status: 500},
		{On: pbxsim.KeepAlive, Drop: pbxsim.DropBefore},
	} {
		var sim *pbxsim.PBX
		sim = pbxsim.New(watching{simulator("yeastar", pbxsim.Options{}).Dialect(), func() { sim.Fault(fault) }},
			&pbxsim.Options{Accounts: map[string]string{"api": secret}})
		server := pbxsim.Listen(sim)
		status, out, _ := newMachine(t).run(on("yeastar", server.URL)...)
		server.Close()
		if left := len(sim.Tokens("api")); status != exitFailed || left != 0 || !strings.Contains(out, "Failed: 1 of 8 steps. No token is left behind.") {
			t.Errorf("%+v: status %d, %d tokens left:\n%s", fault, status, left, out)
		}
		if n := len(actions(sim)); n != 5 {
			t.Errorf("%+v: %v", fault, actions(sim))
		}
	}
}

func TestAFailedLogoutIsNotRepeatedAndSaysHowLongTheTokenIsValid(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	sim.Fault(pbxsim.Fault{On: pbxsim.Logout, Drop: pbxsim.DropBefore})
	server := pbxsim.Listen(sim)
	defer server.Close()
	status, out, _ := newMachine(t).run(on("yeastar", server.URL)...)
	if status != exitFailed || !strings.Contains(out, "A token may be left behind. If so, it is valid for 30m0s") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if diff := cmp.Diff([]pbxsim.Action{"login", "request", "keepalive", "logout"}, actions(sim)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// watching is a dialect that reports each login before it is judged.
type watching struct {
	pbxsim.Dialect
	login func()
}

func (w watching) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	if r.Action == pbxsim.Login {
		w.login()
	}
	return w.Dialect.Serve(a, r)
}
