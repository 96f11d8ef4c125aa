package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

var brand = wire.Endpoint{Driver: "fake", Port: 8088, APIPaths: []string{"/api", "/api/v1.1.0/login", "/api/v2.0.0"}}

// login is a request as drivers make it.
var login = wire.Request{Op: pbx.OpLogin, Path: "/api/login", Body: []byte(`{"username":"api"}`)}

func settings(url string) pbx.Config {
	return pbx.Config{URL: url, Username: "api", Password: pbx.NewSecret("hunter2")}
}

func open(t *testing.T, cfg pbx.Config) *wire.Client {
	t.Helper()
	c, err := wire.New(brand, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// server counts what reaches it.
type server struct {
	*httptest.Server
	requests, connections atomic.Int32
}

func newServer(t *testing.T, handler http.HandlerFunc) *server {
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		handler(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	t.Cleanup(s.Close)
	return s
}

func serve(t *testing.T, handler http.HandlerFunc) *server {
	s := newServer(t, handler)
	s.Start()
	return s
}

// roundTripper is a transport that a test writes itself.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func over(url string, f roundTripper) pbx.Config {
	cfg := settings(url)
	cfg.Transport = f
	return cfg
}

// wantFailure checks what a session decides by, and that the text has a part.
func wantFailure(t *testing.T, err error, kind error, sent bool, part string) *pbx.Error {
	t.Helper()
	failure, ok := err.(*pbx.Error)
	if !ok {
		t.Fatalf("error %v (%T), want a *pbx.Error", err, err)
	}
	if failure.Kind != kind || failure.Sent != sent || failure.Driver != "fake" {
		t.Errorf("%v: driver %q, kind %v, sent %v; want kind %v, sent %v", err, failure.Driver, failure.Kind, failure.Sent, kind, sent)
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("error %q does not say %q", err, part)
	}
	return failure
}

func TestCredentials(t *testing.T) {
	vault := errors.New("the vault is sealed")
	returns := func(user, password string, err error) func(context.Context) (pbx.Credentials, error) {
		return func(context.Context) (pbx.Credentials, error) {
			return pbx.Credentials{Username: user, Password: pbx.NewSecret(password)}, err
		}
	}
	for name, test := range map[string]struct {
		cfg         pbx.Config
		wantOpen    string // part of New's error
		wantError   string // part of Credentials'
		kind, cause error
		want        string
	}{
		"fixed":             {cfg: pbx.Config{Username: "api", Password: pbx.NewSecret("p")}, want: "api p"},
		"func":              {cfg: pbx.Config{Credentials: returns("v", "w", nil)}, want: "v w"},
		"none":              {wantOpen: "no user name"},
		"no password":       {cfg: pbx.Config{Username: "api"}, wantOpen: "no password"},
		"no user":           {cfg: pbx.Config{Password: pbx.NewSecret("p")}, wantOpen: "no user name"},
		"func and user":     {cfg: pbx.Config{Username: "api", Credentials: returns("v", "w", nil)}, wantOpen: "not both"},
		"func and password": {cfg: pbx.Config{Password: pbx.NewSecret("p"), Credentials: returns("v", "w", nil)}, wantOpen: "not both"},
		"func fails":        {cfg: pbx.Config{Credentials: returns("", "", vault)}, kind: pbx.ErrUnavailable, cause: vault, wantError: "the vault is sealed"},
		"func times out":    {cfg: pbx.Config{Credentials: returns("", "", context.DeadlineExceeded)}, kind: pbx.ErrUnavailable, cause: context.DeadlineExceeded, wantError: "nothing was sent"},
		"func's no user":    {cfg: pbx.Config{Credentials: returns("", "w", nil)}, kind: pbx.ErrConfig, wantError: "the user name is empty"},
		"func's no secret":  {cfg: pbx.Config{Credentials: returns("v", "", nil)}, kind: pbx.ErrConfig, wantError: "the password is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.URL = "pbx.example.com"
			c, err := wire.New(brand, test.cfg)
			if test.wantOpen != "" {
				wantFailure(t, err, pbx.ErrConfig, false, test.wantOpen)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Credentials(t.Context())
			if test.wantError != "" {
				wantFailure(t, err, test.kind, false, test.wantError)
				if test.cause != nil && !errors.Is(err, test.cause) {
					t.Errorf("%v does not match its cause %v", err, test.cause)
				}
				return
			}
			if text := fmt.Sprint(got.Username, " ", got.Password.Reveal()); err != nil || text != test.want {
				t.Errorf("%q, %v; want %q", text, err, test.want)
			}
		})
	}
}

func TestTheCredentialsFuncIsAskedEveryTimeWithTheLoginsContext(t *testing.T) {
	type key struct{}
	asked := 0
	c := open(t, pbx.Config{URL: "pbx.example.com", Credentials: func(ctx context.Context) (pbx.Credentials, error) {
		if ctx.Value(key{}) != "the caller's" {
			t.Error("another context")
		}
		asked++
		return pbx.Credentials{Username: "api", Password: pbx.NewSecret(fmt.Sprint("p", asked))}, nil
	}})
	for _, want := range []string{"p1", "p2"} {
		got, err := c.Credentials(context.WithValue(t.Context(), key{}, "the caller's"))
		if err != nil || got.Password.Reveal() != want {
			t.Errorf("%v, %v; want %s", got.Password.Reveal(), err, want)
		}
	}
}

func TestCredentialsThatChangeAreNoticed(t *testing.T) {
	vault := errors.New("the vault is sealed")
	var now pbx.Credentials
	var failure error
	c := open(t, pbx.Config{URL: "pbx.example.com", Credentials: func(context.Context) (pbx.Credentials, error) { return now, failure }})
	account := func(user, password string) pbx.Credentials {
		return pbx.Credentials{Username: user, Password: pbx.NewSecret(password)}
	}
	print := func() string {
		t.Helper()
		got, err := c.Fingerprint(t.Context(), []byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	now = account("api", "old")
	old := print()
	now = account("api", "old") // another Secret of the same text
	if print() != old {
		t.Error("the same credentials have two fingerprints")
	}
	for _, now = range []pbx.Credentials{account("api", "new"), account("Api", "old"), account("apio", "ld")} {
		if print() == old {
			t.Errorf("%s has the fingerprint of other credentials", now.Username)
		}
	}
	failure = vault
	_, err := c.Fingerprint(t.Context(), []byte("key"))
	wantFailure(t, err, pbx.ErrUnavailable, false, "the vault is sealed")
	if !errors.Is(err, vault) {
		t.Errorf("%v lost its cause", err)
	}
}

func TestABrandWithAKeyNeedsNoAccount(t *testing.T) {
	c, err := wire.New(wire.Endpoint{Driver: "fake", NoAccount: true}, pbx.Config{URL: "pbx.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if c.URL() != "https://pbx.example.com" {
		t.Errorf("URL %s", c.URL())
	}
}

func TestADriverWithFieldsForItsOptionsRefusesOptions(t *testing.T) {
	for name, change := range map[string]func(*pbx.Config){
		"options": func(c *pbx.Config) { c.Options = map[string]string{"ttl": "4h"} },
		"secrets": func(c *pbx.Config) { c.Secrets = map[string]pbx.Secret{"key": pbx.NewSecret("k")} },
	} {
		cfg := settings("pbx.example.com")
		change(&cfg)
		if _, err := wire.New(brand, cfg); err != nil {
			t.Errorf("%s of a driver that reads them itself: %v", name, err)
		}
		_, err := wire.New(wire.Endpoint{Driver: "fake", NoOptions: true}, cfg)
		wantFailure(t, err, pbx.ErrConfig, false, "for pbx.Open")
		if got := new(pbx.Error); !errors.As(err, &got) || got.Setting != "Options" {
			t.Errorf("%s: setting %q", name, got.Setting)
		}
	}
}

// tried returns what is wrong with an account: with a fixed one, and with one that a
// Credentials func returns.
func tried(t *testing.T, endpoint wire.Endpoint, account pbx.Credentials) (fixed, asked error) {
	t.Helper()
	cfg := settings("pbx.example.com")
	cfg.Username, cfg.Password = account.Username, account.Password
	_, fixed = wire.New(endpoint, cfg)

	cfg.Username, cfg.Password = "", pbx.Secret{}
	cfg.Credentials = func(context.Context) (pbx.Credentials, error) { return account, nil }
	c, err := wire.New(endpoint, cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, asked = c.Credentials(t.Context())
	return fixed, asked
}

func TestAnAccountThatCannotBeRightIsNotSent(t *testing.T) {
	for name, tt := range map[string]struct {
		impossible func(pbx.Credentials) (setting, wrong string)
		account    pbx.Credentials
		setting    string // "": it is possible
		says       string
	}{
		"any bytes":                      {nil, pbx.Credentials{Username: "a:\xff", Password: pbx.NewSecret("\xff")}, "", ""},
		"JSON, a colon":                  {wire.NotUTF8, pbx.Credentials{Username: "a:b", Password: pbx.NewSecret("пароль:")}, "", ""},
		"JSON, a user name of bytes":     {wire.NotUTF8, pbx.Credentials{Username: "a\xff", Password: pbx.NewSecret("b")}, "Username", "not UTF-8"},
		"JSON, a password of bytes":      {wire.NotUTF8, pbx.Credentials{Username: "a", Password: pbx.NewSecret("b\xff")}, "Password", "not UTF-8"},
		"Basic, a colon in the password": {wire.NotBasic, pbx.Credentials{Username: "a", Password: pbx.NewSecret("b:c")}, "", ""},
		"Basic, a colon":                 {wire.NotBasic, pbx.Credentials{Username: "a:b", Password: pbx.NewSecret("c")}, "Username", "colon"},
		"Basic, a password of bytes":     {wire.NotBasic, pbx.Credentials{Username: "a", Password: pbx.NewSecret("b\xff")}, "Password", "not UTF-8"},
	} {
		endpoint := brand
		endpoint.Impossible = tt.impossible
		fixed, asked := tried(t, endpoint, tt.account)
		if tt.setting == "" {
			if fixed != nil || asked != nil {
				t.Errorf("%s: %v, %v", name, fixed, asked)
			}
			continue
		}
		wantFailure(t, fixed, pbx.ErrConfig, false, tt.says)
		wantFailure(t, asked, pbx.ErrConfig, false, tt.says)
		for _, err := range []error{fixed, asked} {
			if got := new(pbx.Error); !errors.As(err, &got) || got.Setting != tt.setting {
				t.Errorf("%s: setting %q, want %q", name, got.Setting, tt.setting)
			}
		}
	}
}

func TestBasicIsTheHeaderOfHTTPBasicAuthentication(t *testing.T) {
	r := &http.Request{Header: http.Header{"Authorization": {wire.Basic(pbx.Credentials{Username: "мария", Password: pbx.NewSecret("a:b c")})}}}
	if user, password, ok := r.BasicAuth(); user != "мария" || password != "a:b c" || !ok {
		t.Errorf("%q, %q, %t", user, password, ok)
	}
}

func TestABrandWithoutUserNamesRefusesOne(t *testing.T) {
	endpoint := brand
	endpoint.NoUsername = true
	account := func(user, password string) pbx.Credentials {
		return pbx.Credentials{Username: user, Password: pbx.NewSecret(password)}
	}
	for _, tt := range []struct {
		account pbx.Credentials
		says    string // "": it is good
	}{
		{account("", "p"), ""}, {account("api", "p"), "user name"}, {account("", ""), "password"},
	} {
		fixed, asked := tried(t, endpoint, tt.account)
		for _, err := range []error{fixed, asked} {
			if tt.says != "" {
				wantFailure(t, err, pbx.ErrConfig, false, tt.says)
			} else if err != nil {
				t.Error(err)
			}
		}
	}
}

func TestATransportAndTLSContradict(t *testing.T) {
	cfg := settings("pbx.example.com")
	cfg.Transport = http.DefaultTransport
	open(t, cfg)
	cfg.TLS.InsecureSkipVerify = true
	_, err := wire.New(brand, cfg)
	wantFailure(t, err, pbx.ErrConfig, false, "TLS and Transport are both set")
}
