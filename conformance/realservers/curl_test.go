//go:build linux

package realservers

import (
	"bytes"
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/freepbx/freepbxsim"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/mikopbx/mikopbxsim"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/adapters/starface/starfacesim"
	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/adapters/uis/uissim"
	"github.com/pbxauth/pbx/adapters/wazo/wazosim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// sample is a vendor's printed exchanges, in an order in which a simulated PBX
// can serve them.
type sample struct {
	directory string            // below adapters
	options   map[string]string // of the driver
	simulate  func(*pbxsim.Options) *pbxsim.PBX
	accounts  map[string]string
	tokens    []string // that the PBX issues, in this order
	loggedIn  bool     // the driver logs in first, because the vendor prints no such login
	files     []string
	other     map[string]string // by file: why the simulator's response is not the printed one
	status    map[string]string // by file: the response's status, where other says why it is not the printed one
	madeUp    []string          // JSON fields that have to be there, and whose values are not the PBX's own words
}

const goldenSecret = "s3cret pässword" // of Asterisk's samples

func yeastar(family string) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX { return yeastarsim.New(&yeastarsim.Options{Family: family}, o) }
}

// The vendor prints logins at v1.1.0 and the rest at v0.0.1.
func openvox(version string) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX {
		return openvoxsim.New(&openvoxsim.Options{Yeastar: yeastarsim.Options{Version: version}, WrongHeader: version == "v0.0.1"}, o)
	}
}

func grandstream(o *pbxsim.Options) *pbxsim.PBX { return grandstreamsim.New(nil, o) }

func asteriskSim(single bool) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX {
		o.Lifetime = httptimeout
		return asterisksim.New(&asterisksim.Options{SingleLogin: single}, o)
	}
}

var (
	yeastarAccount     = map[string]string{"api": "Yeastar202"}
	grandstreamAccount = map[string]string{"cdrapi": "cdrapi123"}
	asteriskAccount    = map[string]string{"crm": goldenSecret}

	samples = []sample{
		{directory: "yeastar", simulate: yeastar("s-v1"), accounts: yeastarAccount, tokens: []string{"48a7d7481a5355aa4fb5dc285edeb40e"},
			files: []string{"login.http"}},
		{directory: "yeastar", simulate: yeastar("s-v1"), accounts: yeastarAccount, tokens: []string{"277ac400357b509b4a587ff2157f7ad5"}, loggedIn: true,
			files: []string{"heartbeat.http", "logout.http"}},
		{directory: "yeastar", simulate: yeastar("s-v1"), accounts: map[string]string{"api": "another"}, files: []string{"login-failed.http"},
			other: map[string]string{"login-failed.http": "20003, which the vendor's table has for a wrong password: the printed 30003 is that of an API process that does not run"}},
		{directory: "yeastar", simulate: yeastar("s-v2"), accounts: yeastarAccount, files: []string{"s-v2-login.http"},
			other: map[string]string{"s-v2-login.http": "a refusal: no password with the printed digest is known"}},
		{directory: "yeastar", simulate: yeastar("s-v2"), accounts: yeastarAccount, files: []string{"failed-call.http"},
			other: map[string]string{"failed-call.http": "the code for an unknown token: the vendor prints the response without its request"}},
		{directory: "yeastar", simulate: yeastar("s-v2"), options: map[string]string{"family": "s-v2"}, accounts: yeastarAccount,
			tokens: []string{"277ac400357b509b4a587ff2157f7ad5"}, loggedIn: true, files: []string{"s-v2-heartbeat.http"}},
		{directory: "yeastar", simulate: yeastar("cloud-v1"), accounts: yeastarAccount,
			tokens: []string{"48a7d7481a5355aa4fb5dc285edeb40e", "58f29c380365e5546cd3ac8c34edc88c", "1c0a3fd34ca5e5292042a77e4d9ff950", "4a1f20e901b45d4106e7aee076d22115"},
			files:  []string{"cloud-v1-login.http", "cloud-v1-refresh.http"}},
		{directory: "yeastar", simulate: yeastar("cloud-v2"), options: map[string]string{"family": "cloud-v2"}, accounts: yeastarAccount,
			tokens:   []string{"48a7d7481a5355aa4fb5dc285edeb40e", "58f29c380365e5546cd3ac8c34edc88c", "1c0a3fd34ca5e5292042a77e4d9ff950", "4a1f20e901b45d4106e7aee076d22115"},
			loggedIn: true, files: []string{"cloud-v2-refresh.http"}},
		{directory: "yeastarp", simulate: yeastarp, accounts: map[string]string{"UEnH9Dmv6uBJEXsYcag1trNfQThYXXXX": "ZLcXl63S9EtMnYoHUnjbVo6sA8CbXXXX"},
			tokens: []string{"EXZMpZAO86mbrKm6rFtgeb3rfcpC9uqS", "SCduGecwbG9jIusiS8FxFUVn3kf0Q9R8", "0OPU6QwU1phKcYMzntmmLrn1SNvGeNJt", "EXZMpZAO86mbrKm6rFtgeb3rfcpC9uqT"},
			files:  []string{"get-token.http", "refresh-token.http", "del-token.http"},
			other:  map[string]string{"refresh-token.http": "another refresh token: the printed one is the access token of before"}},
		{directory: "yeastarp", simulate: yeastarp, accounts: map[string]string{"UEnH9Dmv6uBJEXsYcag1trNfQThYXXXX": "another"}, files: []string{"get-token-failed.http"}},
		{directory: "openvox", simulate: openvox("v1.1.0"), accounts: map[string]string{"xiaoshao": "123456"}, tokens: []string{"813b621cfe8eecf445a2ce1f4a079ffe"},
			files: []string{"login-json.http"}},
		{directory: "openvox", simulate: openvox("v1.1.0"), accounts: map[string]string{"api": "123456"}, tokens: []string{"813b621cfe8eecf445a2ce1f4a079ffe"},
			files: []string{"login-xml.http"}},
		{directory: "openvox", simulate: openvox("v0.0.1"), accounts: map[string]string{"api": "123456"}, tokens: []string{"813b621cfe8eecf445a2ce1f4a079ffe"}, loggedIn: true,
			files: []string{"heartbeat.http", "call-xml.http"}, other: map[string]string{"call-xml.http": "a refusal: the request is made up"}},
		{directory: "openvox", simulate: openvox("v1.1.0"), accounts: map[string]string{"xiaoshao": "another"}, files: []string{"login-failed.http"},
			other: map[string]string{"login-failed.http": "another code: the vendor's pages have no table of codes"}},
		{directory: "runtel", simulate: func(o *pbxsim.Options) *pbxsim.PBX { return runtelsim.New(nil, o) }, accounts: map[string]string{"a@office.runtel.org": "secret"},
			tokens: []string{"J...W"}, files: []string{"login.http", "logout.http"}, other: map[string]string{"login.http": "other versions and permissions"}},
		{directory: "grandstream", simulate: grandstream, accounts: grandstreamAccount, tokens: []string{"sid1616565943-1653038164"},
			files: []string{"login-1-challenge.http", "login-2-login.http", "keepalive.http", "call.http", "logout.http", "cookie-error.http"}},
		{directory: "grandstream", simulate: grandstream, accounts: grandstreamAccount, files: []string{"login-1-challenge.http", "wrong-2-login.http"}},
		{directory: "grandstream", simulate: grandstream, accounts: grandstreamAccount, files: []string{"login-1-challenge.http", "banned-2-login.http"},
			other: map[string]string{"banned-2-login.http": "a wrong password: the ban is that of five logins before"}},
		{directory: "asterisk", simulate: asteriskSim(false), accounts: asteriskAccount,
			files: []string{"not-found.http", "login-1-challenge.http", "login-2-login.http", "ping.http", "not-permitted.http", "logoff.http", "session-gone.http"}},
		{directory: "asterisk", simulate: asteriskSim(false), accounts: asteriskAccount, files: []string{"wrong-1-challenge.http", "wrong-2-login.http"}},
		{directory: "asterisk", simulate: asteriskSim(true), accounts: map[string]string{"single": goldenSecret}, loggedIn: true,
			files: []string{"in-use-1-challenge.http", "in-use-2-login.http"}},

		{directory: "freepbx", simulate: freepbx(16), accounts: map[string]string{"application": "secret"}, tokens: []string{freepbxToken},
			files: []string{"login-16.http"}},
		{directory: "freepbx", simulate: freepbx(17), accounts: map[string]string{"application": "secret"}, tokens: []string{freepbxToken17},
			files: []string{"login-17.http"}},
		{directory: "freepbx", simulate: freepbx(16), accounts: map[string]string{"application": "another"}, files: []string{"login-refused-16.http"}},
		{directory: "freepbx", simulate: freepbx(17), accounts: map[string]string{"application": "another"}, files: []string{"login-refused-17.http"}},
		{directory: "freepbx", simulate: freepbx(16), accounts: map[string]string{"1000": "pass"}, tokens: []string{freepbxToken, "def50200", freepbxToken17, "def50201"},
			files: []string{"login-user-16.http", "refresh-16.http"}},
		{directory: "freepbx", simulate: freepbx(16), accounts: map[string]string{"1000": "another"}, files: []string{"login-user-refused-16.http"}},
		{directory: "freepbx", simulate: freepbx(17), accounts: map[string]string{"1000": "another"}, files: []string{"login-user-refused-17.http"}},
		{directory: "freepbx", simulate: freepbx(16), accounts: map[string]string{"1000": "pass"}, files: []string{"refresh-refused-16.http", "request-dead-16.http"}},

		{directory: "mikopbx", simulate: mikopbx, accounts: mikopbxAccount, madeUp: mikopbxMadeUp,
			tokens: []string{mikopbxToken, "c1e5", mikopbxRefreshed, "c1e6"},
			files:  []string{"login.http", "refresh.http", "extensions.http", "logout.http", "refresh-expired.http"},
			other:  map[string]string{"extensions.http": "two extensions, where the sample has none"}},
		{directory: "mikopbx", simulate: mikopbx, accounts: mikopbxAccount, madeUp: mikopbxMadeUp, files: []string{"dead-token.http", "wrong-password.http"}},
		{directory: "mikopbx", simulate: mikopbxLocked, accounts: mikopbxAccount, madeUp: mikopbxMadeUp, files: []string{"locked.http"}},

		{directory: "starface", simulate: starface(0), accounts: starfaceAccount, tokens: []string{starfaceToken}, madeUp: []string{"nonce", "login"},
			files: []string{"login-1-nonce.http", "login-2-login.http", "me.http", "logout.http", "me-dead-token.http"}},
		{directory: "starface", simulate: starface(401), accounts: starfaceAccount, tokens: []string{starfaceToken}, madeUp: []string{"nonce"},
			files: []string{"login-1-nonce.http", "login-2-login.http", "users-forbidden.http"}},
		{directory: "starface", simulate: starface(0), accounts: starfaceAccount, madeUp: []string{"nonce"},
			files: []string{"login-1-nonce.http", "wrong-2-login.http"}},

		{directory: "threecx", simulate: threecx(threecxsim.Options{}), accounts: map[string]string{"900": "key"}, tokens: []string{threecxToken},
			files: []string{"login.http"}},
		{directory: "threecx", simulate: threecx(threecxsim.Options{ExpiresIn: 60}), accounts: map[string]string{"900": "key"}, tokens: []string{threecxToken},
			files: []string{"login-20.0.8.http"}},
		{directory: "threecx", simulate: threecx(threecxsim.Options{}), accounts: map[string]string{"900": "another"},
			files: []string{"request-dead.http", "login-refused.http"}},
		{directory: "threecx", simulate: threecx(threecxsim.Options{Refusal: threecxsim.Words401}), accounts: map[string]string{"900": "another"},
			files: []string{"login-refused-words.http"}},
		{directory: "threecx", simulate: threecx(threecxsim.Options{Refusal: threecxsim.JSON400}), accounts: map[string]string{"900": "another"},
			files: []string{"login-refused-oauth.http"}},

		{directory: "uis", simulate: uis(uissim.Options{NullID: true, Metadata: uissim.NoMetadata}), accounts: uisAccount, tokens: []string{uisToken},
			madeUp: []string{"expire_at"}, files: []string{"login.http", "logout.http", "dead-token.http", "wrong-password.http"}},
		{directory: "uis", simulate: uis(uissim.Options{NullID: true, MinuteLimit: 1}), accounts: uisAccount, tokens: []string{uisToken}, loggedIn: true,
			madeUp: []string{"day_limit", "day_remaining", "day_reset", "minute_limit", "minute_remaining", "minute_reset"},
			files:  []string{"list-calls.http", "limit-exceeded.http"},
			other: map[string]string{"list-calls.http": "somebody is on the phone, where the sample has no calls",
				"limit-exceeded.http": "the text does not name the limit"}},

		{directory: "wazo", simulate: wazo(""), accounts: wazoAccount, tokens: []string{wazoToken}, madeUp: wazoMadeUp,
			files: []string{"login.http", "request-tenant.http", "logout.http", "request-dead.http"}},
		{directory: "wazo", simulate: wazo("/api/auth/0.1/users"), accounts: wazoAccount, tokens: []string{wazoToken}, madeUp: wazoMadeUp,
			files: []string{"login.http", "request-denied.http"}},
		{directory: "wazo", simulate: wazo(""), accounts: wazoAccount, tokens: []string{wazoToken, wazoRefresh, "c0b1a2d3-e4f5-4a6b-9c8d-7e6f5a4b3c2d"}, madeUp: wazoMadeUp,
			files: []string{"login-offline.http", "refresh.http"}},
		{directory: "wazo", simulate: wazo(""), accounts: map[string]string{"crm": "another"}, madeUp: wazoMadeUp,
			files: []string{"login-refused.http", "refresh-refused.http"}},
		{directory: "wazo", simulate: wazoOfOneSession, accounts: wazoAccount, tokens: []string{wazoToken}, madeUp: wazoMadeUp,
			files: []string{"login.http", "login-full.http"}},
		{directory: "wazo", simulate: wazo(""), accounts: wazoAccount, tokens: []string{wazoToken}, madeUp: wazoMadeUp,
			files:  []string{"login-broker-down.http"},
			status: map[string]string{"login-broker-down.http": "200 OK"},
			other:  map[string]string{"login-broker-down.http": "a token: the simulator has no message broker that can be down"}},
	}
)

const (
	freepbxToken   = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhcHBsaWNhdGlvbiIsImp0aSI6IjFmMmUzZDRjIiwiaWF0IjoxNzY0MDk4NjgwLCJuYmYiOjE3NjQwOTg2ODAsImV4cCI6MTc2NDEwMjI4MCwic3ViIjoiIiwic2NvcGVzIjpbXX0.bWFkZSB1cCwgYW5kIG11Y2ggc2hvcnRlciB0aGFuIHRoZSBzaWduYXR1cmUgb2YgUlMyNTY"
	freepbxToken17 = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhcHBsaWNhdGlvbiIsImp0aSI6IjFmMmUzZDRjIiwiaWF0IjoxNzY0MDk4NjgwLjIzOTU3NywibmJmIjoxNzY0MDk4NjgwLjIzOTU3NywiZXhwIjoxNzY0MTAyMjgwLjEzODU3Nywic3ViIjoiIiwic2NvcGVzIjpbXX0.bWFkZSB1cCwgYW5kIG11Y2ggc2hvcnRlciB0aGFuIHRoZSBzaWduYXR1cmUgb2YgUlMyNTY"

	mikopbxToken     = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJhZG1pbiIsInJvbGUiOiJhZG1pbnMiLCJsYW5ndWFnZSI6ImVuIiwiaWF0IjoxNzc2MDc0NzAwLCJleHAiOjE3NzYwNzU2MDAsIm5iZiI6MTc3NjA3NDcwMH0.a1jBlgzdQpwiEWRW3K7dgJPZDYXsdPTv-dD0xM5BMZU"
	mikopbxRefreshed = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJhZG1pbiIsInJvbGUiOiJhZG1pbnMiLCJsYW5ndWFnZSI6ImVuIiwiaWF0IjoxNzc2MDc1MzAwLCJleHAiOjE3NzYwNzYyMDAsIm5iZiI6MTc3NjA3NTMwMH0.r_bGk7oPoudPt7k-yme-IDZWII4jSzXQVsjs8CCAdh4"

	starfaceToken = "5tq9e1hbtbq7oh0hmb0f0mbq7c"

	threecxToken = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL3BieC5leGFtcGxlLmNvbSIsIm5iZiI6MTc2NDA5ODY4MCwiaWF0IjoxNzY0MDk4NjgwLCJleHAiOjE3NjQxMDIyODB9.bm8gc2lnbmF0dXJlLCBidXQgYXMgbG9uZyBhcyB0aGUgb25lIG9mIEVTMjU2LCB3aGljaCBpcyA2NCBieXRlcw"

	uisToken = "2fRN4g217ca0b4224a67988aff3e584f91964a692045415f36fa66146f5a3c1ae1f6093d"

	wazoToken   = "7f1a50b1-fa4e-4a1c-acc6-704755305814"
	wazoRefresh = "9d2b6c4e-1f3a-4b5c-8d7e-6f5a4b3c2d1e"
)

var (
	mikopbxAccount  = map[string]string{"admin": "s3cret-password"}
	starfaceAccount = map[string]string{"0001": "s3cret-password"}
	uisAccount      = map[string]string{"your_login": "your_password"}
	wazoAccount     = map[string]string{"crm": "secret"}

	// The texts of a MikoPBX are in its language, and name the code that responded.
	mikopbxMadeUp = []string{"error", "message", "function", "processor", "pid", "timestamp", "hash"}
	wazoMadeUp    = []string{"timestamp", "auth_id", "uuid", "session_uuid", "issued_at", "expires_at", "utc_issued_at", "utc_expires_at", "remote_addr", "user_agent", "purpose"}
)

func freepbx(version int) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX {
		options := &freepbxsim.Options{Version: version}
		if o.Accounts["1000"] != "" {
			options.Application = freepbxsim.Application{ID: "application", Secret: "secret"}
		}
		return freepbxsim.New(options, o)
	}
}

func mikopbx(o *pbxsim.Options) *pbxsim.PBX { return mikopbxsim.New(nil, o) }

// mikopbxLocked is a MikoPBX on which somebody else has tried too many passwords.
// Its locks end when the clock's next five minutes begin.
func mikopbxLocked(o *pbxsim.Options) *pbxsim.PBX {
	waitForTheNext(5 * time.Minute)
	sim := mikopbx(o)
	sim.Lock("127.0.0.1")
	return sim
}

func starface(notAdministrator int) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX {
		return starfacesim.New(&starfacesim.Options{NotAdministrator: notAdministrator}, o)
	}
}

func threecx(options threecxsim.Options) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX { return threecxsim.New(&options, o) }
}

// uis counts requests by the minutes of the clock.
func uis(options uissim.Options) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX {
		if options.MinuteLimit > 0 {
			waitForTheNext(time.Minute)
		}
		return uissim.New(&options, o)
	}
}

func wazo(denied string) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX { return wazosim.New(&wazosim.Options{Denied: denied}, o) }
}

func wazoOfOneSession(o *pbxsim.Options) *pbxsim.PBX {
	o.MaxTokens = 1
	return wazosim.New(nil, o)
}

// waitForTheNext returns in a part of the clock that has five seconds left at least.
func waitForTheNext(part time.Duration) {
	if left := part - time.Since(time.Now().Truncate(part)); left < 5*time.Second {
		time.Sleep(left)
	}
}

func yeastarp(o *pbxsim.Options) *pbxsim.PBX { return yeastarpsim.New(nil, o) }

// curl sends every sample as the vendor prints it, byte for byte, and the
// simulator gives the printed response.
func TestCurlSendsTheVendorsSamples(t *testing.T) {
	t.Parallel()
	requireProgram(t, "curl")
	sent := map[string]bool{}
	for _, s := range samples {
		for _, file := range s.files {
			sent[s.directory+"/"+file] = true
		}
		t.Run(s.directory+"/"+s.files[len(s.files)-1], func(t *testing.T) {
			t.Parallel()
			sendSamples(t, s)
		})
	}
	all, err := filepath.Glob("../../adapters/*/testdata/golden/*.http")
	if err != nil || len(all) < 40 {
		t.Fatalf("%d samples: %v", len(all), err)
	}
	for _, path := range all {
		brand := filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(path))))
		if name := brand + "/" + filepath.Base(path); !sent[name] {
			t.Errorf("%s is not sent", name)
		}
	}
}

func sendSamples(t *testing.T, s sample) {
	tokens := slices.Clone(s.tokens)
	options := &pbxsim.Options{Accounts: s.accounts}
	if len(tokens) > 0 {
		options.NewToken = func() string {
			if len(tokens) == 0 {
				return "4f0c0a7b9d1e4c6f8a2b3c4d5e6f7081" // more than are printed
			}
			token := tokens[0]
			tokens = tokens[1:]
			return token
		}
	}
	sim := s.simulate(options)
	server := pbxsim.Listen(sim)
	defer server.Close()
	if s.loggedIn {
		driver := strings.Replace(s.directory, "yeastarp", "yeastar-p", 1)
		for user, password := range s.accounts {
			auth, err := pbx.Open(driver, pbx.Config{URL: server.URL, Username: user, Password: pbx.NewSecret(password), Options: s.options})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := auth.Login(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}

	var before exchangeState
	for _, file := range s.files {
		x, err := golden.Load(filepath.Join("../../adapters", s.directory, "testdata/golden", file))
		if err != nil {
			t.Fatal(err)
		}
		before.prepare(&x, s.accounts, strings.HasPrefix(file, "login"))
		response := curl(t, server.URL, x.Request)
		log := sim.Log()
		checkArrived(t, file, x.Request, log[len(log)-1])
		before.learn(response)
		if status, ok := s.status[file]; ok {
			x.Response.Line = "HTTP/1.1 " + status
		}
		checkResponse(t, file, x.Response, response, s.other[file], s.madeUp)
	}
}

// exchangeState is what a client has to put into a request of what it got before,
// where the vendor prints that of another day.
type exchangeState struct {
	cookie, challenge string // of Asterisk; of Asterisk and Grandstream
	refresh           string // MikoPBX's cookie
	nonce             string // STARFACE's
}

var (
	printedCookie = regexp.MustCompile(`^mansession_id=[0-9a-f]{8}$`)
	printedKey    = regexp.MustCompile(`Key=[0-9a-f]{32}`)
	printedToken  = regexp.MustCompile(`"token":"[0-9a-f]{32}"`)
	printedNonce  = regexp.MustCompile(`"nonce":"[0-9a-v]{26}"`)
	printedSecret = regexp.MustCompile(`"secret":"(\d+):[0-9a-f]{128}"`)
	invented      = regexp.MustCompile(`\{\{\w+\}\}`)
)

// prepare puts the session and the proof of this day into a sample. A sample of a
// wrong login keeps the printed proof, which is wrong by now.
func (b *exchangeState) prepare(x *golden.Exchange, accounts map[string]string, proven bool) {
	if c := x.Request.Header.Get("Cookie"); printedCookie.MatchString(c) && b.cookie != "" {
		x.Request.Header.Set("Cookie", "mansession_id="+b.cookie)
	}
	if strings.HasPrefix(x.Request.Header.Get("Cookie"), "refreshToken=") && b.refresh != "" {
		x.Request.Header.Set("Cookie", "refreshToken="+b.refresh)
	}
	for _, text := range []*string{&x.Request.Body, &x.Response.Body} { // which the client makes up
		*text = invented.ReplaceAllString(*text, "1632118454.2")
	}
	if b.nonce != "" {
		x.Request.Body = printedNonce.ReplaceAllString(x.Request.Body, `"nonce":"`+b.nonce+`"`)
		if m := printedSecret.FindStringSubmatch(x.Request.Body); m != nil && proven {
			user := m[1]
			proof := sha(user + b.nonce + sha(accounts[user]))
			x.Request.Body = printedSecret.ReplaceAllString(x.Request.Body, `"secret":"`+user+":"+proof+`"`)
		}
	}
	if b.challenge == "" || !proven {
		return
	}
	for user, password := range accounts {
		if !strings.Contains(x.Request.Body, user) {
			continue
		}
		sum := md5.Sum([]byte(b.challenge + password))
		proof := hex.EncodeToString(sum[:])
		x.Request.Body = printedKey.ReplaceAllString(x.Request.Body, "Key="+proof)
		x.Request.Body = printedToken.ReplaceAllString(x.Request.Body, `"token":"`+proof+`"`)
	}
}

func sha(text string) string {
	sum := sha512.Sum512([]byte(text))
	return hex.EncodeToString(sum[:])
}

var (
	starfaceNonce        = regexp.MustCompile(`"nonce":"([0-9a-v]{26})"`)
	mikopbxCookie        = regexp.MustCompile(`^refreshToken=([^;]+);.*expires=`)
	asteriskChallenge    = regexp.MustCompile(`Challenge: (\d+)`)
	grandstreamChallenge = regexp.MustCompile(`"challenge":"(\d+)"`)
)

func (b *exchangeState) learn(r curlResponse) {
	if m := sessionCookie.FindStringSubmatch(r.header.Get("Set-Cookie")); m != nil {
		b.cookie = m[1]
	}
	if m := starfaceNonce.FindStringSubmatch(r.body); m != nil {
		b.nonce = m[1]
	}
	if m := mikopbxCookie.FindStringSubmatch(r.header.Get("Set-Cookie")); m != nil && m[1] != "deleted" {
		b.refresh = m[1]
	}
	for _, challenge := range []*regexp.Regexp{asteriskChallenge, grandstreamChallenge} {
		if m := challenge.FindStringSubmatch(r.body); m != nil {
			b.challenge = m[1]
		}
	}
}

type curlResponse struct {
	status string
	header textproto.MIMEHeader
	body   string
}

// curl sends a request with nothing that is not in it.
func curl(t *testing.T, base string, r golden.Message) curlResponse {
	t.Helper()
	method, target, _ := strings.Cut(r.Line, " ")
	target, _, _ = strings.Cut(target, " ")
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte(r.Body), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--silent", "--show-error", "--include", "--path-as-is", "--globoff", "--noproxy", "*", "--max-time", "20", "--request", method}
	for name, values := range r.Header {
		if name == "Content-Length" && r.Body != "" {
			continue // curl's own has to be the printed one
		}
		args = append(args, "--header", name+": "+values[0])
	}
	for _, name := range []string{"User-Agent", "Accept", "Content-Type"} {
		if r.Header.Get(name) == "" {
			args = append(args, "--header", name+":")
		}
	}
	if r.Body != "" {
		args = append(args, "--data-binary", "@"+file)
	}
	output := run(t, "curl", append(args, base+target)...)
	head, text, ok := strings.Cut(output, "\r\n\r\n")
	if !ok {
		t.Fatalf("curl printed %q", output)
	}
	status, fields, _ := strings.Cut(head, "\r\n")
	header := textproto.MIMEHeader{}
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		header.Add(name, strings.TrimSpace(value))
	}
	return curlResponse{status, header, text}
}

// checkArrived compares what the simulator got with what is printed.
func checkArrived(t *testing.T, file string, want golden.Message, got pbxsim.Record) {
	t.Helper()
	target := got.Path
	if got.RawQuery != "" {
		target += "?" + got.RawQuery
	}
	if line := got.Method + " " + target + " HTTP/1.1"; line != want.Line {
		t.Errorf("%s: %q arrived, want %q", file, line, want.Line)
	}
	if !bytes.Equal(got.Body, []byte(want.Body)) {
		t.Errorf("%s: %q arrived, want %q", file, got.Body, want.Body)
	}
	for name, values := range want.Header {
		arrived := got.Header.Values(name)
		switch name {
		case "Host":
			continue // which the record does not have
		case "Content-Length":
			arrived = []string{fmt.Sprint(len(got.Body))}
		}
		if !slices.Equal(arrived, values) {
			t.Errorf("%s: %s %q arrived, want %q", file, name, arrived, values)
		}
	}
}

// checkResponse compares what curl got with what is printed. other, if set, says
// why the body is another one.
func checkResponse(t *testing.T, file string, want golden.Message, got curlResponse, other string, madeUp []string) {
	t.Helper()
	if _, status, _ := strings.Cut(want.Line, " "); !strings.HasSuffix(strings.ToUpper(got.status), strings.ToUpper(status)) {
		t.Errorf("%s: %s, want %s", file, got.status, want.Line)
	}
	if printed := want.Header.Get("Content-Type"); printed != "" {
		printed, _, _ = strings.Cut(printed, ";")
		if !strings.HasPrefix(got.header.Get("Content-Type"), printed) {
			t.Errorf("%s: Content-Type %q, want %q", file, got.header.Get("Content-Type"), printed)
		}
	}
	diff := cmp.Diff(without(withoutVariables(want.Body), madeUp), without(withoutVariables(got.body), madeUp))
	switch {
	case diff != "" && other == "":
		t.Errorf("%s: printed (-), the simulator (+):\n%s", file, diff)
	case diff == "" && other != "":
		t.Errorf("%s: the response is the printed one; said to differ: %s", file, other)
	}
}

// withoutVariables returns a body without what differs each time: JSON decoded, and
// other texts with line feeds only.
func withoutVariables(text string) any {
	var value any
	if json.Unmarshal([]byte(text), &value) == nil {
		if envelope, ok := value.(map[string]any); ok {
			if inner, ok := envelope["response"].(map[string]any); ok && inner["challenge"] != nil {
				inner["challenge"] = "N"
			}
		}
		return value
	}
	text = changing.ReplaceAllString(strings.ReplaceAll(text, "\r\n", "\n"), "${1}N")
	return strings.TrimRight(serverName.ReplaceAllString(text, "Asterisk"), "\n")
}

// without replaces the values of these fields, at any depth.
func without(value any, madeUp []string) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if slices.Contains(madeUp, name) {
				value[name] = "N"
			} else {
				value[name] = without(inner, madeUp)
			}
		}
	case []any:
		for i, inner := range value {
			value[i] = without(inner, madeUp)
		}
	}
	return value
}
