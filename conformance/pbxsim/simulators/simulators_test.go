package simulators_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// client is a driver at a simulated PBX in memory.
type client struct {
	*testing.T
	simulators.Simulator
	pbx    *pbxsim.PBX
	server *pbxsim.Server
}

// everywhere runs f at every simulated PBX, with the accounts api and other,
// password secret.
func everywhere(t *testing.T, opts pbxsim.Options, f func(client)) {
	for _, s := range simulators.All() {
		t.Run(s.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				own := opts
				own.Accounts = map[string]string{"api": "secret", "other": "secret"}
				own.Guesses = []string{"guess"}
				p := s.New(&own)
				server := pbxsim.ListenMemory(p)
				defer server.Close()
				f(client{t, s, p, server})
			})
		})
	}
}

func (c client) open(user, password string) pbx.Authenticator {
	c.Helper()
	auth, err := pbx.Open(c.Driver, pbx.Config{
		URL: c.server.URL, Username: user, Password: pbx.NewSecret(password),
		Options: c.Options, Transport: c.server.Client().Transport,
	})
	if err != nil {
		c.Fatal(err)
	}
	return auth
}

// login tries a login, for as long as a person would wait.
func (c client) login(user, password string) (*pbx.Token, error) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
	defer cancel()
	return c.open(user, password).Login(ctx)
}

func (c client) mustLogin(user, password string) *pbx.Token {
	c.Helper()
	token, err := c.login(user, password)
	if err != nil {
		c.Fatal(err)
	}
	return token
}

// send sends a request with a token, and returns the response as the driver
// judges it.
func (c client) send(r simulators.Request, token *pbx.Token) (status int, body string, err error) {
	c.Helper()
	auth := c.open("api", "secret")
	requester, ok := pbx.As[pbx.Requester](auth)
	if !ok {
		c.Fatal("the driver authorizes no requests")
	}
	ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
	defer cancel()
	req := r.At(c.server.URL).WithContext(ctx)
	if err := requester.Authorize(req, token); err != nil {
		c.Fatal(err)
	}
	resp, err := requester.Transport().RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.Fatal(err)
	}
	return resp.StatusCode, string(text), requester.Inspect(resp, text, token)
}

func TestTheIndexHasEveryDriver(t *testing.T) {
	for _, d := range pbx.Drivers() {
		if len(simulators.Of(d.Name)) == 0 {
			t.Errorf("%s has no simulator", d.Name)
		}
	}
	names := map[string]bool{}
	for _, s := range simulators.All() {
		if _, ok := pbx.Lookup(s.Driver); !ok {
			t.Errorf("%s: no driver has this name", s.Driver)
		}
		if names[s.Name()] {
			t.Errorf("%s is in the index twice", s.Name())
		}
		names[s.Name()] = true
	}
	if got := simulators.Of("nobody"); len(got) != 0 {
		t.Errorf("Of an unknown driver: %v", got)
	}
}

func TestTheFirstOfADriverNeedsNoOptions(t *testing.T) {
	for _, d := range pbx.Drivers() {
		s := simulators.Of(d.Name)[0]
		server := pbxsim.Listen(s.New(&pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
		defer server.Close()
		auth, err := pbx.Open(s.Driver, pbx.Config{URL: server.URL, Username: "api", Password: pbx.NewSecret("secret")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := auth.Login(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestAClientMayChangeWhatItGets(t *testing.T) {
	simulators.Of("openvox")[0].Options["format"] = "none"
	if got := simulators.Of("openvox")[0].Options["format"]; got != "json" {
		t.Errorf("format %q", got)
	}
}

func TestRequestsAreServed(t *testing.T) {
	everywhere(t, pbxsim.Options{}, func(c client) {
		token := c.mustLogin("api", "secret")
		if status, body, err := c.send(c.Harmless, token); status != 200 || err != nil {
			c.Errorf("the harmless request: %d %s, %v", status, body, err)
		}
		status, body, err := c.send(c.Extensions, token)
		if status != 200 || err != nil || !strings.Contains(body, "1000") && !strings.Contains(body, "100@") {
			c.Errorf("the list of extensions: %d %s, %v", status, body, err)
		}
		if got := c.pbx.Counts().AppRequests; got != 2 {
			c.Errorf("%d requests were accepted, want 2", got)
		}
	})
}

// unknownTo returns a request that no vendor documents.
func unknownTo(s simulators.Simulator) simulators.Request {
	r := s.Harmless
	for _, known := range []string{"deviceinfo/query", "extension/query", "system/information", "users/me", "extensions?limit=1", "SystemStatus"} {
		r.Path = strings.Replace(r.Path, known, "nothing/known", 1)
	}
	for _, known := range []string{"getSystemGeneralStatus", "ListCommands", "__typename", "list.talk_options", `"get","obj":"User"`} {
		r.Body = strings.Replace(r.Body, known, map[bool]string{true: `"nothing","obj":"Nothing"`, false: "Nothing"}[strings.Contains(known, ",")], 1)
	}
	return r
}

func TestAnUnknownRequestIsNoSuccess(t *testing.T) {
	everywhere(t, pbxsim.Options{}, func(c client) {
		token := c.mustLogin("api", "secret")
		status, body, err := c.send(unknownTo(c.Simulator), token)
		success := err == nil
		if c.Driver == "asterisk" { // whose driver leaves the application's errors to the application
			success = !strings.Contains(body, "Response: Error")
		}
		if success || errors.Is(err, pbx.ErrTokenRejected) {
			c.Errorf("%d %s: %v", status, body, err)
		}
		if _, _, err := c.send(c.Harmless, token); err != nil {
			c.Errorf("the token afterwards: %v", err)
		}
	})
}

func TestRespondServesTheApplicationsRequests(t *testing.T) {
	opts := pbxsim.Options{Respond: func(r *pbxsim.Request) *pbxsim.Reply {
		if strings.Contains(string(r.Body)+r.URL.Path, "othing") {
			return &pbxsim.Reply{Body: []byte("my own")}
		}
		return nil
	}}
	everywhere(t, opts, func(c client) {
		token := c.mustLogin("api", "secret")
		status, body, _ := c.send(unknownTo(c.Simulator), token)
		if status != 200 || !strings.Contains(body, "my own") {
			c.Errorf("%d %s", status, body)
		}
		if _, body, err := c.send(c.Harmless, token); err != nil || strings.Contains(body, "my own") {
			c.Errorf("another request: %s, %v", body, err)
		}
		c.pbx.Restart()
		if _, body, _ := c.send(unknownTo(c.Simulator), token); strings.Contains(body, "my own") {
			c.Errorf("with a dead token: %s", body)
		}
	})
}

// words are the kinds of error in which a driver understands its brand's words
// for a lock. The vendors of Runtel, 3CX, STARFACE and UIS document none, and
// Asterisk, FreePBX and Wazo have none.
func words(driver string) error {
	switch driver {
	case "runtel", "asterisk", "wazo", "3cx", "freepbx", "starface", "uis":
		return pbx.ErrInvalidCredentials
	}
	return pbx.ErrLocked
}

// Every model in every dialect: whom a lock stops, what a good login clears, what
// the client sees, and what becomes of tokens.
func TestEveryDialectPlaysEveryModel(t *testing.T) {
	for _, response := range []pbxsim.LockResponse{pbxsim.Stated, pbxsim.Mute, pbxsim.ResetConnection, pbxsim.LooksWrong} {
		for _, covers := range []pbxsim.Coverage{pbxsim.LoginsOnly, pbxsim.Everything} {
			for _, per := range []pbxsim.Scope{pbxsim.Address, pbxsim.Account, pbxsim.AddressAndAccount} {
				name := fmt.Sprintf("response %d covers %d per %d", response, covers, per)
				rules := pbxsim.Lockout{
					After: 3, For: time.Hour, Weight: 1, Memory: pbxsim.Forever, Reset: pbxsim.Account,
					Response: response, Covers: covers, Per: per,
				}
				t.Run(name, func(t *testing.T) {
					everywhere(t, pbxsim.Options{Lockout: rules}, func(c client) { c.playLock(rules) })
				})
			}
		}
	}
}

func (c client) playLock(rules pbxsim.Lockout) {
	wrong := func() {
		c.Helper()
		if _, err := c.login("api", "guess"); !errors.Is(err, pbx.ErrInvalidCredentials) {
			c.Errorf("a wrong password: %v", err)
		}
	}
	wrong()
	wrong()
	c.mustLogin("api", "secret") // clears the account
	wrong()
	time.Sleep(365 * 24 * time.Hour) // clears nothing
	wrong()
	token := c.mustLogin("api", "secret")
	wrong()
	wrong()
	wrong()

	_, err := c.login("api", "secret")
	switch want := map[pbxsim.LockResponse]error{
		pbxsim.Stated: words(c.Driver), pbxsim.LooksWrong: pbx.ErrInvalidCredentials,
		pbxsim.Mute: pbx.ErrUnavailable, pbxsim.ResetConnection: pbx.ErrUnavailable,
	}[rules.Response]; {
	case c.Driver == "runtel" && rules.Response == pbxsim.Stated:
		if err == nil { // a guess of the driver's, whatever it is
			c.Error("a login under the lock succeeds")
		}
	case !errors.Is(err, want):
		c.Errorf("under the lock: %v, want %v", err, want)
	}
	_, err = c.login("other", "secret")
	if stopped := rules.Per == pbxsim.Address; stopped != (err != nil) {
		c.Errorf("another account: %v", err)
	}
	_, _, err = c.send(c.Harmless, token)
	if stopped := rules.Covers == pbxsim.Everything; stopped != (err != nil) {
		c.Errorf("a token under the lock: %v", err)
	}
	if until, locked := c.pbx.LockedAccount("127.0.0.1", "api"); !locked || time.Until(until) > time.Hour {
		c.Errorf("locked %v, until %v", locked, until)
	}
	refused := 1
	if rules.Per == pbxsim.Address {
		refused = 2
		challenge := c.Driver == "asterisk" || c.Driver == "grandstream" || c.Driver == "starface"
		if challenge && rules.Covers == pbxsim.Everything && (rules.Response == pbxsim.Mute || rules.Response == pbxsim.ResetConnection) {
			refused = 0 // the client got no challenge, and sent no login
		}
	}
	counts := c.pbx.Counts()
	if counts.WrongLogins != 7 || counts.LockedLogins != refused || counts.Locks != 1 {
		c.Errorf("%+v, want 7 wrong logins, one lock, and %d logins under it", counts, refused)
	}
	passwords := ""
	for _, r := range c.pbx.Logins() {
		passwords += cmp.Or(r.Password, "?") + " "
	}
	if want := "guess guess secret guess guess secret guess guess guess "; !strings.HasPrefix(passwords, want) {
		c.Errorf("passwords that were sent: %s, want %s", passwords, want)
	}
	time.Sleep(time.Hour)
	c.mustLogin("api", "secret")
}

func TestDeadTokensCountInEveryDialect(t *testing.T) {
	for _, counts := range []bool{false, true} {
		rules := pbxsim.Lockout{After: 3, Weight: 1, DeadTokens: counts}
		everywhere(t, pbxsim.Options{Lockout: rules}, func(c client) {
			token := c.mustLogin("api", "secret")
			c.pbx.Restart()
			for range 3 {
				if _, _, err := c.send(c.Harmless, token); !errors.Is(err, pbx.ErrTokenRejected) {
					c.Errorf("a dead token: %v", err)
				}
			}
			if _, locked := c.pbx.Locked("127.0.0.1"); locked != counts {
				c.Errorf("DeadTokens %v: locked %v", counts, locked)
			}
			if got := c.pbx.CountsOf("api").RefusedTokens; got != 3 {
				c.Errorf("%d dead tokens of the account, want 3", got)
			}
		})
	}
}

// A GET without credentials is how a client learns that a PBX is up.
func TestAGetWithoutCredentialsIsNoLogin(t *testing.T) {
	everywhere(t, pbxsim.Options{}, func(c client) {
		urls := []string{c.server.URL + "/", c.server.URL + c.Harmless.Path}
		if describer, ok := pbx.As[pbx.Describer](c.open("api", "secret")); ok {
			urls = append(urls, cmp.Or(describer.Traits().Probe, describer.Traits().URL))
		}
		for _, path := range []string{"/api/v1.1.0/login", "/api/v2.0.0/login", "/api/v0.0.1/login", "/openapi/v1.0/get_token", "/api", "/api/", "/rawman", "/rest/login", "/v4.0", "/pbxcore/api/v3/auth:login"} {
			urls = append(urls, c.server.URL+path)
		}
		for _, url := range urls {
			resp, err := c.server.Client().Get(url)
			if err != nil {
				c.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode >= 500 {
				c.Errorf("GET %s: %d", url, resp.StatusCode)
			}
		}
		if counts := c.pbx.Counts(); counts.Logins != 0 || counts.WrongLogins != 0 {
			c.Errorf("%+v, want no logins", counts)
		}
	})
}

// The web interface is up while the API is down, and a probe of the API sees it.
func TestTheAPIIsDownWhileTheWebInterfaceIsUp(t *testing.T) {
	everywhere(t, pbxsim.Options{}, func(c client) {
		get := func(url string) int {
			resp, err := c.server.Client().Get(url)
			if err != nil {
				c.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		before := get(c.server.URL + "/")
		c.pbx.Down(pbxsim.APIDown)
		if got := get(c.server.URL + "/"); got != before {
			c.Errorf("the web interface: %d, and %d before", got, before)
		}
		if got := get(c.server.URL + c.Harmless.Path); got != 502 {
			c.Errorf("the API: %d, want 502", got)
		}
		if _, err := c.login("api", "secret"); !errors.Is(err, pbx.ErrUnavailable) {
			c.Errorf("a login: %v", err)
		}
		c.pbx.Up()
		c.mustLogin("api", "secret")
	})
}

// Client and simulator must not share assumptions, so a simulator shares no code
// with the library.
func TestSimulatorsImportNothingOfTheLibrary(t *testing.T) {
	const module = "github.com/pbxauth/pbx/"
	files := 0
	root := filepath.Join("..", "..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if !strings.HasSuffix(dir, "sim") || strings.Contains(dir, "/cmd/") { // the command is neither side
			return nil
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if own := strings.HasPrefix(name, module) || name == strings.TrimSuffix(module, "/"); own && !strings.HasSuffix(name, "sim") {
				t.Errorf("%s imports %s", path, name)
			}
		}
		return nil
	})
	if err != nil || files < 20 {
		t.Errorf("%d files, %v", files, err)
	}
}
