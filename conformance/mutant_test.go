package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/freepbx"
	"github.com/pbxauth/pbx/adapters/freepbx/freepbxsim"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/adapters/uis"
	"github.com/pbxauth/pbx/adapters/wazo"
	"github.com/pbxauth/pbx/adapters/wire"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	acme "github.com/pbxauth/pbx/examples/newdriver"
	"github.com/pbxauth/pbx/examples/newdriver/acmesim"
)

// yeastarHarness is that of a driver that passes every rule.
var yeastarHarness = readyHarness(Harness{Driver: yeastar.Name, Simulator: simulators.Of(yeastar.Name)[0].New})

type opener func(pbx.Config) (pbx.Authenticator, error)

// acmeHarness is that of a driver with what Yeastar lacks: refresh tokens, a
// lifetime that requests do not extend, a limited number of tokens, and a Pinger.
var acmeHarness = readyHarness(Harness{Driver: acme.Name, Simulator: acmesim.New})

// unprovenHarness is that of a PBX that takes any password.
var unprovenHarness = readyHarness(Harness{Driver: freepbx.Name, Call: simulators.Of(freepbx.Name)[0].Harmless.At, Simulator: func(o *pbxsim.Options) *pbxsim.PBX {
	return freepbxsim.New(&freepbxsim.Options{Version: 17, AnySecret: true}, o)
}})

// brandHarness is that of a brand of this module, as its vendor documents it.
func brandHarness(brand simulators.Simulator) Harness {
	return readyHarness(Harness{Driver: brand.Driver, Options: brand.Options, Simulator: brand.New, Call: brand.Harmless.At})
}

// challengeHarness is that of a brand whose login begins with a request for a challenge.
var challengeHarness = brandHarness(simulators.Of(grandstream.Name)[0])

// xmlHarness is that of a brand that speaks XML.
var xmlHarness = brandHarness(simulators.Of(openvox.Name)[1])

// statusHarness is that of a brand that refuses with HTTP 401 and words of its own.
var statusHarness = brandHarness(simulators.Of(wazo.Name)[0])

func readyHarness(h Harness) Harness {
	h, err := h.ready()
	if err != nil {
		panic(err)
	}
	return h
}

// broken is yeastarHarness with a driver that make builds around the good one.
func broken(make func(cfg pbx.Config, good opener) (pbx.Authenticator, error)) Harness {
	return brokenAs(yeastarHarness, make)
}

func brokenAs(h Harness, make func(cfg pbx.Config, good opener) (pbx.Authenticator, error)) Harness {
	driver, _ := pbx.Lookup(h.Driver)
	good := driver.Open
	driver.Open = func(cfg pbx.Config) (pbx.Authenticator, error) { return make(cfg, good) }
	h.Registry = new(pbx.Registry)
	h.Registry.Register(driver)
	return h
}

// A mutant is the good driver with something in it replaced. Where it replaces
// nothing, the good driver's own shows through.
type mutant struct {
	fullDriver
	login     func(context.Context) (*pbx.Token, error)
	keepAlive func(context.Context, *pbx.Token) (*pbx.Token, error)
	logout    func(context.Context, *pbx.Token) error
	authorize func(*http.Request, *pbx.Token) error
	inspect   func(*http.Response, []byte, *pbx.Token) error
	transport http.RoundTripper
	traits    func() pbx.Traits
	print     func(context.Context, []byte) ([]byte, error)
}

// fullDriver has the optional interfaces that every driver here has.
type fullDriver interface {
	pbx.Authenticator
	pbx.Requester
	pbx.Describer
	pbx.Fingerprinter
	fmt.Formatter
}

// Unwrap shows the driver's other interfaces.
func (m *mutant) Unwrap() pbx.Authenticator { return m.fullDriver }

// pingMutant is a mutant whose Ping is replaced.
type pingMutant struct {
	*mutant
	ping func(context.Context, *pbx.Token) error
}

func (m *pingMutant) Ping(ctx context.Context, t *pbx.Token) error { return m.ping(ctx, t) }

// mutatePing replaces the Ping of the acme driver, which is passed to ping.
func mutatePing(ping func(good pbx.Pinger, m *mutant, ctx context.Context, t *pbx.Token) error) Harness {
	return brokenAs(acmeHarness, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil {
			return nil, err
		}
		m := &mutant{fullDriver: auth.(fullDriver)}
		return &pingMutant{m, func(ctx context.Context, t *pbx.Token) error {
			return ping(auth.(pbx.Pinger), m, ctx, t)
		}}, nil
	})
}

func (m *mutant) Login(ctx context.Context) (*pbx.Token, error) {
	if m.login != nil {
		return m.login(ctx)
	}
	return m.fullDriver.Login(ctx)
}

func (m *mutant) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	if m.keepAlive != nil {
		return m.keepAlive(ctx, t)
	}
	return m.fullDriver.KeepAlive(ctx, t)
}

func (m *mutant) Logout(ctx context.Context, t *pbx.Token) error {
	if m.logout != nil {
		return m.logout(ctx, t)
	}
	return m.fullDriver.Logout(ctx, t)
}

func (m *mutant) Authorize(r *http.Request, t *pbx.Token) error {
	if m.authorize != nil {
		return m.authorize(r, t)
	}
	return m.fullDriver.Authorize(r, t)
}

func (m *mutant) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	if m.inspect != nil {
		return m.inspect(r, body, t)
	}
	return m.fullDriver.Inspect(r, body, t)
}

func (m *mutant) Transport() http.RoundTripper {
	if m.transport != nil {
		return m.transport
	}
	return m.fullDriver.Transport()
}

func (m *mutant) Traits() pbx.Traits {
	if m.traits != nil {
		return m.traits()
	}
	return m.fullDriver.Traits()
}

func (m *mutant) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	if m.print != nil {
		return m.print(ctx, key)
	}
	return m.fullDriver.Fingerprint(ctx, key)
}

// mutate is yeastarHarness with parts of the driver replaced.
func mutate(replace func(m *mutant)) Harness { return mutateAs(yeastarHarness, replace) }

func mutateAs(h Harness, replace func(m *mutant)) Harness {
	return brokenAs(h, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil {
			return nil, err
		}
		m := &mutant{fullDriver: auth.(fullDriver)}
		replace(m)
		return m, nil
	})
}

// withLoginErrors is yeastarHarness with a change to every error of a login.
func withLoginErrors(change func(*pbx.Error)) Harness {
	return withLoginErrorsAs(yeastarHarness, change)
}

func withLoginErrorsAs(h Harness, change func(*pbx.Error)) Harness {
	return mutateAs(h, func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			return token, edited(err, change)
		}
	})
}

func edited(err error, change func(*pbx.Error)) error {
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return err
	}
	failed := *failure
	change(&failed)
	return &failed
}

// withTLS is yeastarHarness with other settings in TLS than it was given, for connections
// of its own.
func withTLS(change func(*pbx.TLS)) Harness {
	return broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if cfg.Transport == nil {
			change(&cfg.TLS)
		}
		return good(cfg)
	})
}

// retryingLogin repeats a login as long as it fails as told, three times in all.
func retryingLogin(when func(error) bool) Harness { return retryingLoginAs(yeastarHarness, when) }

func retryingLoginAs(h Harness, when func(error) bool) Harness {
	return mutateAs(h, func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			for range 2 {
				if !when(err) {
					break
				}
				time.Sleep(time.Second)
				token, err = m.fullDriver.Login(ctx)
			}
			return token, err
		}
	})
}

// cachingLogin keeps the last token and returns it from every later login.
func cachingLogin() Harness {
	return mutate(func(m *mutant) {
		var kept atomic.Pointer[pbx.Token]
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			if token := kept.Load(); token != nil {
				return token, nil
			}
			token, err := m.fullDriver.Login(ctx)
			kept.Store(token)
			return token, err
		}
	})
}

// shared gives all who log in at the same time the outcome of the first.
func sharingLogin() Harness {
	type flight struct {
		landed chan struct{}
		token  *pbx.Token
		err    error
	}
	return mutate(func(m *mutant) {
		var mu sync.Mutex
		var current *flight
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			mu.Lock()
			f := current
			if f != nil {
				mu.Unlock()
				<-f.landed
				return f.token, f.err
			}
			f = &flight{landed: make(chan struct{})}
			current = f
			mu.Unlock()
			f.token, f.err = m.fullDriver.Login(ctx)
			mu.Lock()
			current = nil
			mu.Unlock()
			close(f.landed)
			return f.token, f.err
		}
	})
}

// extendedLocally is t with its end moved on, whatever the PBX says.
func extendedLocally(t *pbx.Token) *pbx.Token {
	next := *t
	next.IssuedAt, next.ExpiresAt = time.Now(), time.Now().Add(30*time.Minute)
	return &next
}

// mutants are drivers that break a rule each, most of them in a way that was
// met in the field, with a part of what the rule has to say about it.
var mutants = []struct {
	rule    string
	does    string
	harness Harness
	says    string
}{
	{"CONFIG-01", "logs in when it is opened", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err == nil {
			go auth.Login(context.Background())
		}
		return auth, err
	}), "1 requests are sent"},
	{"CONFIG-08", "replaces an empty password by a default", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if cfg.Password.IsZero() && cfg.Credentials == nil {
			cfg.Password = pbx.NewSecret("admin")
		}
		return good(cfg)
	}), "without Password: it succeeds"},
	{"CONFIG-04", "sends passwords in plaintext to any host", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		cfg.AllowPlainHTTP = true
		return good(cfg)
	}), "http://pbx.example.com: it succeeds"},
	{"CONFIG-05", "asks the vault only once", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if vault := cfg.Credentials; vault != nil {
			kept := sync.OnceValues(func() (pbx.Credentials, error) { return vault(context.Background()) })
			cfg.Credentials = func(context.Context) (pbx.Credentials, error) { return kept() }
		}
		return good(cfg)
	}), "password 2 of the vault"},
	{"CONFIG-07", "has one fingerprint for all credentials", mutate(func(m *mutant) {
		m.print = func(_ context.Context, key []byte) ([]byte, error) { return key, nil }
	}), "another password has the same fingerprint"},
	{"CONFIG-07", "makes fingerprints without the key", mutate(func(m *mutant) {
		m.print = func(ctx context.Context, _ []byte) ([]byte, error) {
			return m.fullDriver.Fingerprint(ctx, []byte("one key for everybody"))
		}
	}), "under another key the fingerprint is the same"},
	{"CONFIG-07", "asks for the credentials twice in one attempt", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil || cfg.Credentials == nil {
			return auth, err
		}
		return &mutant{fullDriver: auth.(fullDriver), print: func(ctx context.Context, key []byte) ([]byte, error) {
			return auth.(fullDriver).Fingerprint(pbx.WithAttempt(ctx), key)
		}}, nil
	}), "a login of the attempt"},
	{"CONFIG-12", "states the URL with its API's path", withTraits(yeastarHarness, func(t *pbx.Traits) { t.URL += "/api" }), "Traits.URL is"},
	{"CONFIG-12", "states one account for all", withTraits(yeastarHarness, func(t *pbx.Traits) { t.Account = "api" }), "two user names have the same Traits.Account"},
	{"CONFIG-07", "leaves the user name out of the fingerprint", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil || cfg.Credentials != nil {
			return auth, err
		}
		return &mutant{fullDriver: auth.(fullDriver), print: func(_ context.Context, key []byte) ([]byte, error) {
			return wire.Fingerprint(key, "", cfg.Password), nil
		}}, nil
	}), "another user name with the same password has the same fingerprint"},
	{"LOGIN-01", "logs in twice, to be sure", mutate(func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			if _, err := m.fullDriver.Login(ctx); err != nil {
				return nil, err
			}
			return m.fullDriver.Login(ctx)
		}
	}), "2 login requests"},
	{"LOGIN-02", "keeps its token", cachingLogin(), "the same token"},
	{"LOGIN-02", "does not say that a login ends the token before it", statingNoLimit(), "state Traits.MaxTokens and Traits.NewestWins"},
	{"LOGIN-03", "takes HTTP 200 for success", naiveDriver(), "it succeeds"},
	{"LOGIN-04", "keeps an empty token", naiveDriver(), "it succeeds"},
	{"LOGIN-05", "retries a login when the PBX is in trouble", retryingLogin(func(err error) bool { return errors.Is(err, pbx.ErrUnavailable) }), "HTTP 500: the login is sent 2 times"},
	{"LOGIN-05", "retries a login that was refused with a code that it does not know", retryingLogin(func(err error) bool {
		var failure *pbx.Error
		return errors.As(err, &failure) && failure.Kind == nil
	}), "refused with UnheardOf for errno: the login is sent 3 times"},
	{"LOGIN-05", "asks again for a challenge that it does not get", retryingLoginAs(challengeHarness, func(err error) bool {
		var failure *pbx.Error
		return errors.As(err, &failure) && failure.Kind == pbx.ErrUnavailable && !failure.Sent
	}), "HTTP 503 to everything: a login sends 3 requests, want 1"},
	{"LOGIN-06", "puts JSON together with Sprintf", naiveDriver(), "has not issued the token"},
	{"LOGIN-06", "cuts the blanks off the password", withPassword(strings.TrimSpace), "a blank at each end: the login fails"},
	{"LOGIN-06", "has encoding/json replace what is not UTF-8", withPassword(func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }), "not UTF-8: the login fails"},
	{"LOGIN-06", "sends the password in lower case", withPassword(strings.ToLower), "the login fails"},
	{"LOGIN-06", "cuts the blanks off the user name", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		cfg.Username = strings.Trim(cfg.Username, " ")
		return good(cfg)
	}), "a user name with a blank at each end: the login fails"},
	{"LOGIN-07", "takes a full PBX for a wrong password", withLoginErrorsAs(acmeHarness, func(e *pbx.Error) { e.Kind = pbx.ErrInvalidCredentials }), `want an error of kind "too many sessions"`},
	{"LOGIN-07", "makes room by ending its last token", mutateAs(acmeHarness, func(m *mutant) {
		var mu sync.Mutex
		var last *pbx.Token
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, pbx.ErrTooManySessions) && last != nil {
				m.fullDriver.Logout(ctx, last)
				token, err = m.fullDriver.Login(ctx)
			}
			if err == nil {
				last = token
			}
			return token, err
		}
	}), "it succeeds"},

	{"TOKEN-01", "puts the token into a header where the query is wanted", mutate(func(m *mutant) {
		m.authorize = func(r *http.Request, t *pbx.Token) error {
			r.Header.Set("Authorization", "Bearer "+t.Value.Reveal())
			return nil
		}
	}), "token rejected"},
	{"TOKEN-02", "waits for an HTTP 401 that never comes", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			if r.StatusCode == http.StatusUnauthorized {
				return m.fullDriver.Inspect(r, body, t)
			}
			return nil
		}
	}), "a revoked token: it succeeds"},
	{"TOKEN-02", "does not know the code for a token of another address", boundHarness(), "from another address than it was issued to: it returns kind <nil>"},
	{"TOKEN-03", "takes a recording for a failure", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			if !json.Valid(body) {
				return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrProtocol, Sent: true}
			}
			return m.fullDriver.Inspect(r, body, t)
		}
	}), "unexpected response"},
	{"TOKEN-03", "reads the application's response", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, _ []byte, t *pbx.Token) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return &pbx.Error{Driver: yeastar.Name, Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Sent: true, Err: err}
			}
			return m.fullDriver.Inspect(r, body, t)
		}
	}), "Inspect reads Response.Body"},
	{"TOKEN-04", "takes every failure for a refused token", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			return edited(m.fullDriver.Inspect(r, body, t), func(e *pbx.Error) { e.Kind = pbx.ErrTokenRejected })
		}
	}), "is taken for a refused token"},
	{"TOKEN-05", "changes the expiry of the token that it was given", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.fullDriver.KeepAlive(ctx, t)
			if err == nil {
				*t = *next
			}
			return t, err
		}
	}), "KeepAlive changes the token"},

	{"PING-01", "pings with a login", mutatePing(func(_ pbx.Pinger, m *mutant, ctx context.Context, t *pbx.Token) error {
		_, err := m.Login(ctx)
		return err
	}), "or a login or logout"},
	{"PING-02", "pings without looking at the response", mutatePing(func(good pbx.Pinger, _ *mutant, ctx context.Context, t *pbx.Token) error {
		if err := good.Ping(ctx, t); !errors.Is(err, pbx.ErrTokenRejected) {
			return err
		}
		return nil
	}), "it succeeds"},
	{"PING-03", "takes every failed ping for a dead token", mutatePing(func(good pbx.Pinger, _ *mutant, ctx context.Context, t *pbx.Token) error {
		return edited(good.Ping(ctx, t), func(e *pbx.Error) { e.Kind = pbx.ErrTokenRejected })
	}), "is taken for a refused token"},

	{"KEEPALIVE-01", "extends the expiry and sends nothing", mutate(func(m *mutant) {
		m.keepAlive = func(_ context.Context, t *pbx.Token) (*pbx.Token, error) { return extendedLocally(t), nil }
	}), "expires no later than without"},
	{"KEEPALIVE-01", "does not extend the expiry", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			_, err := m.fullDriver.KeepAlive(ctx, t)
			return t, err
		}
	}), "is not extended"},
	{"KEEPALIVE-01", "leaves the time of the login in a kept token", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			kept, err := m.fullDriver.KeepAlive(ctx, t)
			if err != nil {
				return nil, err
			}
			next := *kept
			next.IssuedAt = t.IssuedAt
			return &next, nil
		}
	}), "set it to the time just before the keep-alive"},
	{"KEEPALIVE-02", "does not read the heartbeat's response", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			if _, err := m.fullDriver.KeepAlive(ctx, t); errors.Is(err, pbx.ErrUnavailable) {
				return nil, err
			}
			return extendedLocally(t), nil
		}
	}), "a web page: it succeeds"},
	{"KEEPALIVE-02", "returns the old token with the error", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.fullDriver.KeepAlive(ctx, t)
			if err != nil {
				return t, err
			}
			return next, nil
		}
	}), "together with an error"},
	{"KEEPALIVE-03", "takes a dead token for an unavailable PBX", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.fullDriver.KeepAlive(ctx, t)
			return next, edited(err, func(e *pbx.Error) { e.Kind = pbx.ErrUnavailable })
		}
	}), `want an error of kind "token rejected"`},
	{"KEEPALIVE-04", "invents a keep-alive", withTraits(yeastarHarness, func(t *pbx.Traits) { t.KeepAlive = pbx.KeepAliveNone }), "a request is sent"},
	{"KEEPALIVE-05", "counts the expiry of a kept token from the response", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.fullDriver.KeepAlive(ctx, t)
			if err != nil {
				return nil, err
			}
			return extendedLocally(next), nil
		}
	}), "ExpiresAt is 20s after"},
	{"KEEPALIVE-06", "uses a rotated refresh token again", mutateAs(acmeHarness, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.fullDriver.KeepAlive(ctx, t)
			if err != nil {
				return nil, err
			}
			kept := *next
			kept.Refresh = t.Refresh
			return &kept, nil
		}
	}), "refresh 1 returns the refresh token that it has used"},
	{"KEEPALIVE-06", "sends a refresh again if its response is lost", mutateAs(acmeHarness, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.fullDriver.KeepAlive(ctx, t)
			for range 2 {
				if !errors.Is(err, pbx.ErrUnavailable) {
					break
				}
				next, err = m.fullDriver.KeepAlive(ctx, t)
			}
			return next, err
		}
	}), "the refresh is sent 2 times"},
	{"KEEPALIVE-07", "accepts half a pair", mutateAs(acmeHarness, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.fullDriver.KeepAlive(ctx, t)
			if errors.Is(err, pbx.ErrProtocol) {
				half := *t
				half.Refresh = pbx.Secret{}
				return &half, nil
			}
			return next, err
		}
	}), "without a refresh token: it succeeds"},
	{"KEEPALIVE-08", "gives up when the access token has expired", mutateAs(acmeHarness, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			if time.Now().After(t.ExpiresAt) {
				return nil, &pbx.Error{Driver: acme.Name, Op: pbx.OpKeepAlive, Kind: pbx.ErrTokenRejected}
			}
			return m.fullDriver.KeepAlive(ctx, t)
		}
	}), "a good keep-alive fails"},

	{"LOGOUT-01", "forgets the token and sends nothing", mutate(func(m *mutant) {
		m.logout = func(context.Context, *pbx.Token) error { return nil }
	}), "still valid"},
	{"LOGOUT-02", "reports an error for a token that has ended", mutate(func(m *mutant) {
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			if err := m.fullDriver.Logout(ctx, t); err != nil {
				return err
			}
			_, err := m.fullDriver.KeepAlive(ctx, t)
			if errors.Is(err, pbx.ErrTokenRejected) && t.ExpiresAt.IsZero() {
				return nil
			}
			return err
		}
	}), "the first logout"},
	{"LOGOUT-03", "does not check whether the logout arrived", mutate(func(m *mutant) {
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			m.fullDriver.Logout(ctx, t)
			return nil
		}
	}), "HTTP 500: it succeeds"},
	{"LOGOUT-04", "logs in to log out", mutate(func(m *mutant) {
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			if _, err := m.fullDriver.Login(ctx); err != nil {
				return err
			}
			return m.fullDriver.Logout(ctx, t)
		}
	}), "the logout logs in"},

	{"LOGOUT-05", "says that there is no logout, and sends one", withTraits(yeastarHarness, func(t *pbx.Traits) { t.Logout = pbx.LogoutNone }), "a request is sent"},
	{"LOCKOUT-04", "says that the brand locks nobody out", withTraits(yeastarHarness, func(t *pbx.Traits) { t.Lockout = pbx.Lockout{None: true} }), "locks after 5 wrong logins, Traits.Lockout says None"},

	{"LOCKOUT-01", "tries a wrong password again", retryingLogin(func(err error) bool { return errors.Is(err, pbx.ErrInvalidCredentials) }), "sent 3 times"},
	{"LOCKOUT-01", "does not say that its PBX takes any password", withTraits(unprovenHarness, func(t *pbx.Traits) { t.Unproven = false }), "Traits.Unproven does not say so, or the PBX refused it"},
	{"LOCKOUT-01", "takes a refusal for a success, and says that any password is taken", mutate(func(m *mutant) {
		m.traits = func() pbx.Traits {
			traits := m.fullDriver.Traits()
			traits.Unproven = true
			return traits
		}
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			if errors.Is(err, pbx.ErrInvalidCredentials) {
				return &pbx.Token{Value: pbx.NewSecret("none"), IssuedAt: time.Now()}, nil
			}
			return token, err
		}
	}), "a login with a wrong password succeeds"},
	{"LOCKOUT-02", "takes a lockout for a wrong password", withLoginErrors(func(e *pbx.Error) { e.Kind = pbx.ErrInvalidCredentials }), `want an error of kind "locked out"`},
	{"LOCKOUT-03", "repeats a login under a lockout", retryingLogin(func(err error) bool { return errors.Is(err, pbx.ErrLocked) }), "sent 3 times"},
	{"LOCKOUT-04", "promises more attempts than there are", withTraits(yeastarHarness, func(t *pbx.Traits) { t.Lockout.Attempts = 10 }), "locks after 5 wrong logins, Traits.Lockout says 10"},
	{"LOCKOUT-04", "says that dead tokens do not count", func() Harness {
		h := withLockout(func(l *pbx.Lockout) { l.DeadTokens = pbx.DeadTokensIgnored })
		good := h.Simulator
		h.Simulator = func(o *pbxsim.Options) *pbxsim.PBX {
			o.Lockout.DeadTokens = true
			return good(o)
		}
		return h
	}(), "dead tokens"},
	{"LOCKOUT-04", "says that the PBX counts by account", withLockout(func(l *pbx.Lockout) { l.PerAccount = true }), "PerAccount"},

	{"EXPIRY-01", "counts a token's lifetime from the response", mutate(func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			if err != nil {
				return nil, err
			}
			return extendedLocally(token), nil
		}
	}), "IssuedAt is 20s after"},
	{"EXPIRY-02", "does not know the code for an expired token", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			err := m.fullDriver.Inspect(r, body, t)
			var failure *pbx.Error
			if errors.As(err, &failure) && failure.Code == "20006" {
				failure.Kind = nil
			}
			return err
		}
	}), `want an error of kind "token rejected"`},
	{"EXPIRY-03", "promises a lifetime of two hours", withTraits(yeastarHarness, func(t *pbx.Traits) { t.Lifetime = 2 * time.Hour }), "Traits says that a token is valid for 2h0m0s"},
	{"EXPIRY-04", "does not know the code for a forgotten token", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.fullDriver.KeepAlive(ctx, t)
			return next, edited(err, func(e *pbx.Error) {
				if e.Code == "20004" {
					e.Kind = nil
				}
			})
		}
	}), "a keep-alive: it returns kind <nil>"},
	{"EXPIRY-05", "counts a refresh token's lifetime from the response", mutateAs(acmeHarness, func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			if err != nil {
				return nil, err
			}
			later := *token
			later.RefreshExpiresAt = time.Now().Add(24 * time.Hour)
			return &later, nil
		}
	}), "after the login: RefreshExpiresAt is 20s after"},
	{"EXPIRY-06", "takes an expired refresh token for an unavailable PBX", mutateAs(acmeHarness, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.fullDriver.KeepAlive(ctx, t)
			return next, edited(err, func(e *pbx.Error) { e.Kind = pbx.ErrUnavailable })
		}
	}), `want an error of kind "token rejected"`},

	{"EXPIRY-07", "takes the seconds of a refresh token's lifetime for milliseconds", mutateAs(acmeHarness, func(m *mutant) {
		shorter := func(t *pbx.Token, err error) (*pbx.Token, error) {
			if err != nil {
				return nil, err
			}
			other := *t
			other.RefreshExpiresAt = t.IssuedAt.Add(t.RefreshExpiresAt.Sub(t.IssuedAt) / 1000)
			return &other, nil
		}
		m.login = func(ctx context.Context) (*pbx.Token, error) { return shorter(m.fullDriver.Login(ctx)) }
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			return shorter(m.fullDriver.KeepAlive(ctx, t))
		}
	}), "RefreshExpiresAt is in 1m26.4s"},
	{"EXPIRY-08", "reads a token's expiry by this machine's clock", expiringByTheWallClock(), "wrong by 1h0m0s: after the login: ExpiresAt is in 3h0m0s"},
	{"EXPIRY-08", "does not read the Date", withoutDate(brandHarness(simulators.Of(uis.Name)[0])), "subtract the response's own time, or its Date"},
	{"EXPIRY-09", "keeps to the documented lifetime", mutateAs(acmeHarness, func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			if err != nil {
				return nil, err
			}
			other := *token
			other.ExpiresAt = token.IssuedAt.Add(m.Traits().Lifetime)
			return &other, nil
		}
	}), "the PBX gives 7m30s instead of 15m0s, and its response says so"},
	{"TRANSPORT-10", "repeats the application's request", retransmitting(func(status int) bool { return status == http.StatusServiceUnavailable }), "HTTP 503: 2 requests are sent"},
	{"TRANSPORT-10", "follows a redirect of the application's request", retransmitting(func(status int) bool { return status/100 == 3 }), "2 requests are sent, want 1"},
	{"CONFIG-07", "shows the password in the fingerprint", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil || cfg.Credentials != nil {
			return auth, err
		}
		m := &mutant{fullDriver: auth.(fullDriver)}
		m.print = func(ctx context.Context, key []byte) ([]byte, error) {
			print, err := m.fullDriver.Fingerprint(ctx, key)
			return append(print, cfg.Password.Reveal()...), err
		}
		return m, nil
	}), "the password shows in a fingerprint"},
	{"CONFIG-13", "states the lifetime that the last login named", mutate(func(m *mutant) {
		var last atomic.Int64
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			if err == nil {
				last.Store(int64(token.ExpiresAt.Sub(token.IssuedAt)))
			}
			return token, err
		}
		m.traits = func() pbx.Traits {
			traits := m.fullDriver.Traits()
			traits.Lifetime = time.Duration(last.Load())
			return traits
		}
	}), "they are "},
	{"CONTEXT-01", "ignores its context", mutate(func(m *mutant) {
		m.keepAlive = func(_ context.Context, t *pbx.Token) (*pbx.Token, error) {
			return m.fullDriver.KeepAlive(context.Background(), t)
		}
	}), "KeepAlive returns 25s after"},
	{"CONTEXT-01", "ignores the context of a ping", mutatePing(func(good pbx.Pinger, _ *mutant, _ context.Context, t *pbx.Token) error {
		return good.Ping(context.Background(), t)
	}), "Ping returns"},
	{"CONTEXT-02", "hides why it gave up", mutate(func(m *mutant) {
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			return edited(m.fullDriver.Logout(ctx, t), func(e *pbx.Error) { e.Err = errors.New("i/o timeout") })
		}
	}), "Logout: the error does not match"},
	{"CONTEXT-03", "logs in though its context has ended", mutate(func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			if ctx.Err() == nil {
				return m.fullDriver.Login(ctx)
			}
			m.fullDriver.Login(context.WithoutCancel(ctx))
			return m.fullDriver.Login(ctx)
		}
	}), "Login sends a request"},

	{"TRANSPORT-01", "takes an unavailable PBX for another brand's", withLoginErrors(func(e *pbx.Error) {
		if e.HTTPStatus/100 == 5 {
			e.Kind = pbx.ErrProtocol
		}
	}), `want an error of kind "unavailable"`},
	{"TRANSPORT-02", "takes HTTP 429 for a wrong password", withLoginErrors(func(e *pbx.Error) { e.Kind = pbx.ErrInvalidCredentials }), `want an error of kind "locked out" or "unavailable"`},
	{"TRANSPORT-03", "does not read Retry-After", withLoginErrors(func(e *pbx.Error) { e.RetryAfter = 0 }), "RetryAfter is 0s, want 2m0s"},
	{"TRANSPORT-03", "obeys a Retry-After of a week", withLoginErrors(func(e *pbx.Error) {
		if e.RetryAfter == time.Hour {
			e.RetryAfter = 7 * 24 * time.Hour
		}
	}), "RetryAfter is 168h0m0s, want 1h0m0s"},
	{"TRANSPORT-04", "follows redirects", naiveDriver(), "Login follows HTTP 301"},
	{"TRANSPORT-04", "follows a redirect to https", following(func(from, to *url.URL) bool {
		return to.Scheme == "https" && to.Host == from.Host && to.Path == from.Path
	}), "follows HTTP 301 to https://127."},
	{"TRANSPORT-05", "says that it has sent what it has not", withLoginErrors(func(e *pbx.Error) { e.Sent = true }), "Sent is true, want false"},
	{"TRANSPORT-06", "says that it has not sent what it has", withLoginErrors(func(e *pbx.Error) { e.Sent = false }), "Sent is false, want true"},

	{"TLS-01", "trusts the system's authorities and no others", withTLS(func(settings *pbx.TLS) {
		if settings.PinSHA256 == "" {
			settings.RootCAs, settings.CAFile = nil, ""
		}
	}), "RootCAs: a good login fails"},
	{"TLS-01", "sends the application's requests over other connections", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil || cfg.Transport != nil {
			return auth, err
		}
		return &mutant{fullDriver: auth.(fullDriver), transport: http.DefaultTransport}, nil
	}), "the request gets no response"},
	{"TLS-02", "switches verification off, since it fails everywhere", withTLS(func(settings *pbx.TLS) {
		*settings = pbx.TLS{InsecureSkipVerify: true}
	}), "1 requests reach a PBX that is not trusted"},
	{"TLS-02", "says that a certificate is bad, and not what to do", withLoginErrors(func(e *pbx.Error) { e.Message = "bad certificate" }), "does not name the pin"},
	{"TLS-03", "wants an authority to vouch for a pinned certificate", withTLS(func(settings *pbx.TLS) {
		if settings.PinSHA256 != "" {
			settings.RootCAs = x509.NewCertPool()
		}
	}), "a good login fails"},
	{"TLS-04", "takes a pin for a wish to switch verification off", withTLS(func(settings *pbx.TLS) {
		if settings.PinSHA256 != "" {
			*settings = pbx.TLS{InsecureSkipVerify: true}
		}
	}), "1 requests reach a PBX that is not trusted"},
	{"TLS-05", "ignores a pin if it is given a transport", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if cfg.Transport != nil {
			cfg.TLS = pbx.TLS{}
		}
		return good(cfg)
	}), "it succeeds"},
	{"TLS-06", "takes a refused certificate for an unavailable PBX", withLoginErrors(func(e *pbx.Error) { e.Kind = pbx.ErrUnavailable }), `want an error of kind "configuration"`},

	{"PROTOCOL-01", "takes a web page for an unavailable PBX", withLoginErrors(func(e *pbx.Error) { e.Kind = pbx.ErrUnavailable }), `want an error of kind "unexpected response"`},
	{"PROTOCOL-02", "says of half a response that nothing was sent", withLoginErrors(func(e *pbx.Error) { e.Sent = false }), "Sent is false, want true"},
	{"PROTOCOL-03", "reads a response of any size", naiveDriver(), "16 MiB are read"},
	{"PROTOCOL-04", "does not name itself", withLoginErrors(func(e *pbx.Error) { e.Driver = "" }), `the error is of driver ""`},
	{"PROTOCOL-04", "does not name itself in its traits", withTraits(yeastarHarness, func(t *pbx.Traits) { t.Driver = "" }), `the Traits are of driver ""`},
	{"PROTOCOL-04", "says request where it pings", mutatePing(func(good pbx.Pinger, _ *mutant, ctx context.Context, t *pbx.Token) error {
		return edited(good.Ping(ctx, t), func(e *pbx.Error) { e.Op = pbx.OpRequest })
	}), `Ping, HTTP 500: the error is of driver "acme" and operation "request"`},

	{"SECRETS-01", "quotes the response in its error", naiveDriver(), "shows in an error of Login"},
	{"SECRETS-01", "quotes the refusal behind a code that it knows", quoting(yeastarHarness, func(said []byte) string { return string(said) }), "shows in an error of Login"},
	{"SECRETS-01", "quotes one field of the refusal behind a code that it knows", quoting(brandHarness(simulators.Of(freepbx.Name)[0]), func(said []byte) string {
		var refusal struct{ Message string }
		json.Unmarshal(said, &refusal)
		return refusal.Message
	}), "shows in an error of Login"},
	{"SECRETS-01", "quotes one element of a refusal in XML", quoting(xmlHarness, func(said []byte) string {
		var refusal struct {
			Status string `xml:"status"`
		}
		xml.Unmarshal(said, &refusal)
		return refusal.Status
	}), "shows in an error of Login"},
	{"SECRETS-01", "quotes the response to a ping", quotingPing(), "shows in an error of Ping"},
	{"SECRETS-02", "passes the whole response on", naiveDriver(), "shows in a token's Details"},
	{"SECRETS-02", "passes on what does not hold the password", withUnhiddenDetails(), "shows in a token's Details"},
	{"SECRETS-03", "passes net/http's error on", naiveDriver(), "the token shows in an error of Logout"},
	{"SECRETS-04", "quotes the URL that it cannot read", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil {
			return nil, edited(err, func(e *pbx.Error) { e.Message = "cannot use " + cfg.URL })
		}
		return auth, nil
	}), "the password shows in the error of opening"},

	{"CONCURRENCY-01", "lets concurrent logins share one", sharingLogin(), "the same token"},
	{"CONCURRENCY-01", "does not say that a login ends the token before it", statingNoLimit(), "state Traits.MaxTokens and Traits.NewestWins"},
	{"CONCURRENCY-02", "mixes up the tokens of concurrent keep-alives", mutate(func(m *mutant) {
		var mu sync.Mutex
		var last *pbx.Token
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			mu.Lock()
			last = t
			mu.Unlock()
			time.Sleep(time.Millisecond) // while the others come
			mu.Lock()
			defer mu.Unlock()
			return m.fullDriver.KeepAlive(ctx, last)
		}
	}), "returns another's token"},
	{"CONCURRENCY-03", "cancels a login for all when one context ends", sharingLogin(), "the other login: a good login fails"},
	{"CONCURRENCY-04", "mixes up the tokens of concurrent requests", mutate(func(m *mutant) {
		var mu sync.Mutex
		var last *pbx.Token
		m.authorize = func(r *http.Request, t *pbx.Token) error {
			mu.Lock()
			last = t
			mu.Unlock()
			time.Sleep(time.Millisecond) // while the others come
			mu.Lock()
			defer mu.Unlock()
			return m.fullDriver.Authorize(r, last)
		}
	}), "beside others"},
	{"CONCURRENCY-04", "mixes up the tokens of concurrent logouts", mutate(func(m *mutant) {
		var mu sync.Mutex
		var last *pbx.Token
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			mu.Lock()
			last = t
			mu.Unlock()
			time.Sleep(time.Millisecond) // while the others come
			mu.Lock()
			defer mu.Unlock()
			return m.fullDriver.Logout(ctx, last)
		}
	}), "after the logouts of all tokens"},

	{"SESSION-01", "hands its dead token out again", cachingLogin(), "dead token"},
	{"SESSION-02", "repeats a login whatever went wrong", retryingLogin(func(err error) bool { return err != nil }), "3 logins are sent"},
	{"SESSION-03", "never notices that a token was refused", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			return edited(m.fullDriver.Inspect(r, body, t), func(e *pbx.Error) { e.Kind = nil })
		}
	}), "the request after the restart"},
	{"SESSION-04", "promises a longer lifetime than tokens have", mutate(func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			if err != nil {
				return nil, err
			}
			longer := *token
			longer.ExpiresAt = token.IssuedAt.Add(2 * time.Hour)
			return &longer, nil
		}
	}), "hands out a dead token"},
	{"SESSION-05", "forgets the token and sends nothing", mutate(func(m *mutant) {
		m.logout = func(context.Context, *pbx.Token) error { return nil }
	}), "still valid"},
	{"SESSION-07", "says that requests extend a token, and they do not", withTraits(acmeHarness, func(t *pbx.Traits) { t.Sliding = true }), "tokens are refused"},
	{"SESSION-08", "says that a lockout ends in a second", withLoginErrors(func(e *pbx.Error) {
		if e.Kind == pbx.ErrLocked {
			e.RetryAfter = time.Second
		}
	}), "logins under a lock of 10m0s, want 3 at most"},
	{"SESSION-09", "never notices another password in the vault", mutate(func(m *mutant) {
		m.print = func(_ context.Context, key []byte) ([]byte, error) { return key, nil }
	}), "five minutes after the password was changed"},
	{"SESSION-09", "has the session try a wrong password again and again", mutate(func(m *mutant) {
		m.print = func(context.Context, []byte) ([]byte, error) {
			digest := sha256.Sum256([]byte(time.Now().String()))
			return digest[:], nil
		}
	}), "the wrong password is sent "},
	{"SESSION-10", "opens another session with every keep-alive", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			m.fullDriver.Login(ctx)
			return m.fullDriver.KeepAlive(ctx, t)
		}
	}), "tokens are valid"},
	{"SESSION-10", "logs in to keep alive", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, _ *pbx.Token) (*pbx.Token, error) { return m.fullDriver.Login(ctx) }
	}), "logins, want 8 at most"},

	{"CONFIG-09", "cuts the path off the URL", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if scheme, rest, ok := strings.Cut(cfg.URL, "://"); ok {
			host, _, _ := strings.Cut(rest, "/")
			cfg.URL = scheme + "://" + host
		}
		return good(cfg)
	}), "a request goes to /api/v1.1.0/login"},
	{"CONFIG-10", "calls the Credentials func itself", askingItself(false), "Login panics"},
	{"CONFIG-10", "waits for the Credentials func", askingItself(true), "holds the login until"},
	{"CONFIG-10", "replaces an empty password of the Credentials func by a default", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if ask := cfg.Credentials; ask != nil {
			cfg.Credentials = func(ctx context.Context) (pbx.Credentials, error) {
				got, err := ask(ctx)
				if err == nil && got.Password.IsZero() {
					got.Password = pbx.NewSecret("admin")
				}
				return got, err
			}
		}
		return good(cfg)
	}), "a func that returns no password: 1 requests are sent"},
	{"CONFIG-10", "waits for the Credentials func to make a fingerprint", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil || cfg.Credentials == nil {
			return auth, err
		}
		m := &mutant{fullDriver: auth.(fullDriver)}
		m.print = func(ctx context.Context, key []byte) ([]byte, error) {
			return m.fullDriver.Fingerprint(context.WithoutCancel(ctx), key)
		}
		return m, nil
	}), "holds Fingerprint until"},
	{"CONFIG-11", "removes line breaks by itself", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		cfg.Password = pbx.NewSecret(strings.TrimRight(cfg.Password.Reveal(), "\r\n"))
		return good(cfg)
	}), "1 requests are sent"},
	{"TOKEN-06", "inspects JSON only", inspectingJSON(), `the Content-Type "application/octet-stream"`},
	{"TOKEN-07", "reads the application's body", mutate(func(m *mutant) {
		m.authorize = func(r *http.Request, t *pbx.Token) error {
			if r.Body != nil {
				if _, err := io.ReadAll(r.Body); err != nil {
					return err
				}
			}
			return m.fullDriver.Authorize(r, t)
		}
	}), "after the context's end"},
	{"TOKEN-08", "adds the token beside an older one", mutateAs(acmeHarness, func(m *mutant) {
		m.authorize = func(r *http.Request, t *pbx.Token) error {
			r.Header.Add("X-Acme-Token", t.Value.Reveal())
			return nil
		}
	}), "carries the token of the first Authorize"},
	{"TOKEN-08", "keeps a token that is there already", mutateAs(acmeHarness, func(m *mutant) {
		m.authorize = func(r *http.Request, t *pbx.Token) error {
			if r.Header.Get("X-Acme-Token") != "" {
				return nil
			}
			return m.fullDriver.Authorize(r, t)
		}
	}), "carries the token of the first Authorize"},
	{"TOKEN-09", "sets the whole query", mutate(func(m *mutant) {
		m.authorize = func(r *http.Request, t *pbx.Token) error {
			r.URL.RawQuery = "token=" + url.QueryEscape(t.Value.Reveal())
			return nil
		}
	}), "the query parameter"},
	{"TOKEN-09", "removes the application's cookies", mutateAs(acmeHarness, func(m *mutant) {
		m.authorize = func(r *http.Request, t *pbx.Token) error {
			r.Header.Del("Cookie")
			return m.fullDriver.Authorize(r, t)
		}
	}), "the application's cookie is removed"},
	{"LOCKOUT-05", "says that a login clears the wrong ones of the address", withLockout(func(l *pbx.Lockout) { l.Reset = pbx.ResetAddress }), "Reset is stated"},
	{"LOCKOUT-05", "says that wrong logins are forgotten in a minute", withLockout(func(l *pbx.Lockout) { l.Memory = time.Minute }), "Memory is 1m0s"},
	{"LOCKOUT-06", "says that a lock lasts a minute", withLockout(func(l *pbx.Lockout) { l.Window = time.Minute }), "the PBX's lock lasts 13m59s longer"},
	{"LOCKOUT-02", "does not know the code for a lockout, and says that there is none", mutateAs(acmeHarness, func(m *mutant) {
		m.traits = func() pbx.Traits {
			traits := m.fullDriver.Traits()
			traits.Lockout.LooksWrong = true
			return traits
		}
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			return token, edited(err, func(e *pbx.Error) {
				if e.Kind == pbx.ErrLocked {
					e.Kind, e.RetryAfter = pbx.ErrInvalidCredentials, 0
				}
			})
		}
	}), `want an error of kind "locked out"`},
	{"LOCKOUT-08", "says that a lock stops requests too", withLockout(func(l *pbx.Lockout) { l.CoversRequests = true }), "serves a request under the lock"},
	{"LOCKOUT-09", "says that a lockout looks like a wrong password", withLockout(func(l *pbx.Lockout) { l.LooksWrong = true }), "recognises the lockout"},
	{"LOGOUT-01", "says that a logout leaves the token valid", withTraits(acmeHarness, func(t *pbx.Traits) { t.Logout = pbx.LogoutRefresh }), "the token is no longer valid at the PBX"},
	{"LOGOUT-01", "logs another token out, and says that only a refresh token ends, at a brand without any", mutate(func(m *mutant) {
		m.traits = func() pbx.Traits {
			traits := m.fullDriver.Traits()
			traits.Logout = pbx.LogoutRefresh
			return traits
		}
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			other := *t
			other.Value = pbx.NewSecret("0123456789abcdef0123456789abcdef")
			return m.fullDriver.Logout(ctx, &other)
		}
	}), "a refresh after the logout: it succeeds"},
	{"LOGOUT-01", "leaves the refresh token valid", withLogoutAt(acmeHarness, func(p *pbxsim.PBX, _ *pbxsim.Accounts, token string) { p.Expire(token) }),
		"a refresh after the logout: it succeeds"},
	{"LOCKOUT-07", "says that a wrong password was not judged", withLoginErrors(func(e *pbx.Error) { e.NotJudged = e.Kind == pbx.ErrInvalidCredentials }), "a wrong password: NotJudged is set"},
	{"LOCKOUT-07", "says that nothing was judged where no response came", withLoginErrors(func(e *pbx.Error) { e.NotJudged = e.HTTPStatus == 0 }), "no response: NotJudged is set"},
	{"LOCKOUT-07", "says that nothing was judged where it does not know the code", withLoginErrors(func(e *pbx.Error) { e.NotJudged = e.NotJudged || e.Kind == nil }), "refused with UnheardOf for errno: NotJudged is set"},
	{"TRANSPORT-07", "says that no password was sent where something in front responds", withLoginErrors(func(e *pbx.Error) {
		if e.Kind == pbx.ErrConfig {
			e.Sent = false
		}
	}), "when the password arrives, Login: the error's Sent is false"},
	{"TRANSPORT-07", "takes any HTTP 401 for a wrong password", withLoginErrors(tookForWrong), "what is in front asks for password, Login"},
	{"TRANSPORT-07", "takes any HTTP 401 for a wrong password, at a brand that has its own", withLoginErrorsAs(statusHarness, tookForWrong), "what is in front asks for password, Login"},
	{"TRANSPORT-07", "counts a request for a challenge as a login", withLoginErrorsAs(challengeHarness, func(e *pbx.Error) { e.Sent = true }), "what is in front asks for password, Login: the error's Sent is true"},
	{"TRANSPORT-07", "takes any HTTP 401 for a dead token", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			if r.StatusCode == http.StatusUnauthorized {
				return &pbx.Error{Driver: yeastar.Name, Op: pbx.OpRequest, Kind: pbx.ErrTokenRejected, Sent: true}
			}
			return m.fullDriver.Inspect(r, body, t)
		}
	}), "a request: it is taken for the PBX's verdict"},
	{"TRANSPORT-08", "does not say where it looked", withLoginErrors(func(e *pbx.Error) { e.Message, e.Err = "", nil }), "the error does not name"},
	{"TRANSPORT-08", "does not say how long the page is", withLoginErrors(func(e *pbx.Error) { e.Length = 0 }), "Length is 0"},
	{"TRANSPORT-09", "reads whatever follows HTTP 101", naiveDriver(), "after HTTP 101"},
	{"TLS-07", "counts a login that no server could read", withLoginErrors(func(e *pbx.Error) { e.Sent = true }), "Sent is true"},
	{"PROTOCOL-05", "reads strictly", overTransport(func(resp *http.Response, body []byte, err error) ([]byte, error) {
		if !json.Valid(body) {
			return nil, err
		}
		return body, err
	}), "a byte order mark: a good login fails"},
	{"PROTOCOL-06", "looks at the HTTP status first", withLoginErrors(func(e *pbx.Error) {
		if e.HTTPStatus >= 400 {
			e.Kind = pbx.ErrProtocol
		}
	}), "under HTTP 400, a wrong password"},
	{"PROTOCOL-07", "believes the announced length", overTransport(func(_ *http.Response, body []byte, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		return body, nil
	}), "a good login fails"},
	{"PROTOCOL-08", "has connections without a bound", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if cfg.Transport == nil {
			cfg.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cfg.TLS.RootCAs}, MaxResponseHeaderBytes: 64 << 20}
			cfg.TLS = pbx.TLS{}
		}
		return good(cfg)
	}), "it succeeds"},
	{"SECRETS-05", "keeps its connections", brokenAs(acmeHarness, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		base := cfg.Transport
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			kept := r.Clone(r.Context())
			kept.Close = false
			kept.Header.Del("Connection")
			return base.RoundTrip(kept)
		})
		return good(cfg)
	}), "returns the token of the one before"},
	{"SECRETS-06", "puts the token into the URL too", mutateAs(acmeHarness, func(m *mutant) {
		m.authorize = func(r *http.Request, t *pbx.Token) error {
			query := r.URL.Query()
			query.Set("access_token", t.Value.Reveal())
			r.URL.RawQuery = query.Encode()
			return m.fullDriver.Authorize(r, t)
		}
	}), "a request: the URL's query holds a secret"},
	{"SECRETS-06", "puts the password into the login's URL too", brokenAs(acmeHarness, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		base, password := cfg.Transport, cfg.Password.Reveal()
		if base != nil {
			cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/v1/session") {
					r = r.Clone(r.Context())
					r.URL.RawQuery = url.Values{"password": {password}}.Encode()
				}
				return base.RoundTrip(r)
			})
		}
		return good(cfg)
	}), "Login: the URL's query holds a secret"},
	{"SECRETS-07", "sends the password with every request", brokenAs(acmeHarness, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil {
			return nil, err
		}
		user, password := cfg.Username, cfg.Password.Reveal()
		m := &mutant{fullDriver: auth.(fullDriver)}
		m.authorize = func(r *http.Request, t *pbx.Token) error {
			r.SetBasicAuth(user, password)
			return m.fullDriver.Authorize(r, t)
		}
		return m, nil
	}), "a request: a header holds the password"},
	{"SESSION-11", "inspects JSON only", inspectingJSON(), `a refusal with the Content-Type "application/octet-stream"`},
	{"SESSION-12", "takes any HTTP 401 for a wrong password", withLoginErrors(tookForWrong), "what is in front asks for password"},
	{"SESSION-12", "takes any web page for a wrong password", withLoginErrors(func(e *pbx.Error) {
		if e.Kind == pbx.ErrProtocol {
			e.Kind = pbx.ErrInvalidCredentials
		}
	}), "what is in front starting"},
	{"SESSION-12", "states a probe that the PBX itself refuses", refusedProbeMutant(), "something in front of it would: choose a URL"},
	{"SESSION-13", "does not say where its PBX is", withTraits(yeastarHarness, func(t *pbx.Traits) { t.URL, t.Probe = "", "" }), "Traits.URL and Traits.Probe are empty"},
	{"SESSION-13", "takes an unavailable PBX for a wrong password", withLoginErrors(func(e *pbx.Error) {
		if e.HTTPStatus == http.StatusServiceUnavailable {
			e.Kind = pbx.ErrInvalidCredentials
		}
	}), "1m0s later the session has no valid token"},
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// overTransport is yeastarHarness with every response's body replaced, and with the error
// of reading it.
func overTransport(read func(resp *http.Response, body []byte, err error) ([]byte, error)) Harness {
	return broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		base := cfg.Transport
		if base == nil {
			return good(cfg)
		}
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			body, err = read(resp, body, err)
			if err != nil {
				return nil, err
			}
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			return resp, nil
		})
		return good(cfg)
	})
}

// inspectingJSON is yeastarHarness with a driver that sees no refusal in a response of
// another type.
func inspectingJSON() Harness {
	return mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
				return nil
			}
			return m.fullDriver.Inspect(r, body, t)
		}
	})
}

// askingItself is yeastarHarness with a driver that asks the Credentials func without
// protection, or with protection from its panics only.
func askingItself(recovers bool) Harness {
	return broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil || cfg.Credentials == nil {
			return auth, err
		}
		m := &mutant{fullDriver: auth.(fullDriver)}
		m.login = func(ctx context.Context) (token *pbx.Token, err error) {
			defer func() {
				if recovers && recover() != nil {
					err = &pbx.Error{Driver: yeastar.Name, Op: pbx.OpLogin, Kind: pbx.ErrUnavailable}
				}
			}()
			if _, err := cfg.Credentials(ctx); err != nil {
				return nil, &pbx.Error{Driver: yeastar.Name, Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Err: err}
			}
			return m.fullDriver.Login(ctx)
		}
		return m, nil
	})
}

// following is yeastarHarness with a driver that sends a request again, body included,
// to where a redirect points, if it likes that.
func following(likes func(from, to *url.URL) bool) Harness {
	return broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		base := cfg.Transport
		if base == nil {
			return good(cfg)
		}
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err != nil || resp.StatusCode/100 != 3 {
				return resp, err
			}
			to, err := resp.Location()
			if err != nil || !likes(r.URL, to) {
				return resp, nil
			}
			again := r.Clone(r.Context())
			again.URL = to
			if r.GetBody != nil {
				again.Body, _ = r.GetBody()
			}
			if followed, err := base.RoundTrip(again); err == nil {
				resp.Body.Close()
				return followed, nil
			}
			return resp, nil
		})
		return good(cfg)
	})
}

// retransmitting is yeastarHarness with a driver whose Transport sends a request again
// after some statuses: to where the response points, if it does.
func retransmitting(after func(status int) bool) Harness {
	return mutate(func(m *mutant) {
		base := m.fullDriver.Transport()
		m.transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err != nil || !after(resp.StatusCode) {
				return resp, err
			}
			again := r.Clone(r.Context())
			if to, err := resp.Location(); err == nil {
				again.URL = to
			}
			if r.GetBody != nil {
				again.Body, _ = r.GetBody()
			}
			resp.Body.Close()
			return base.RoundTrip(again)
		})
	})
}

// withPassword is yeastarHarness with a driver that changes the password on its way.
func withPassword(change func(string) string) Harness {
	return broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		cfg.Password = pbx.NewSecret(change(cfg.Password.Reveal()))
		return good(cfg)
	})
}

// refusedProbeMutant is yeastarHarness with a driver whose Probe is a URL for which the
// PBX wants a token.
func refusedProbeMutant() Harness {
	return broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		const path = "/api/who-am-i"
		if base := cfg.Transport; base != nil {
			cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := base.RoundTrip(r)
				if err == nil && r.URL.Path == path && resp.StatusCode < 500 {
					resp.StatusCode = http.StatusUnauthorized
				}
				return resp, err
			})
		}
		auth, err := good(cfg)
		if err != nil {
			return nil, err
		}
		m := &mutant{fullDriver: auth.(fullDriver)}
		m.traits = func() pbx.Traits {
			traits := m.fullDriver.Traits()
			traits.Probe = traits.URL + path
			return traits
		}
		return m, nil
	})
}

// hearing is base, and keeps the body of the last response.
func hearing(base http.RoundTripper, said *[]byte) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		resp.Body, *said = io.NopCloser(bytes.NewReader(body)), body
		return resp, err
	})
}

// quoting is a harness with a driver whose errors hold a part of the response to a
// refused login, if it is one that the vendor documents.
func quoting(h Harness, part func(said []byte) string) Harness {
	return brokenAs(h, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		var said []byte
		cfg.Transport = hearing(cfg.Transport, &said)
		auth, err := good(cfg)
		if err != nil {
			return nil, err
		}
		m := &mutant{fullDriver: auth.(fullDriver)}
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			return token, edited(err, func(e *pbx.Error) {
				if e.Kind == pbx.ErrInvalidCredentials {
					e.Message += part(said)
				}
			})
		}
		return m, nil
	})
}

// expiringByTheWallClock is statusHarness with a driver that takes the expiry as the
// response has it.
func expiringByTheWallClock() Harness {
	return brokenAs(statusHarness, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		var said []byte
		cfg.Transport = hearing(cfg.Transport, &said)
		auth, err := good(cfg)
		if err != nil {
			return nil, err
		}
		m := &mutant{fullDriver: auth.(fullDriver)}
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			if err != nil {
				return nil, err
			}
			var fields struct {
				Data struct {
					Expires string `json:"utc_expires_at"`
				} `json:"data"`
			}
			json.Unmarshal(said, &fields)
			expires, err := time.Parse("2006-01-02T15:04:05", fields.Data.Expires)
			if err != nil {
				return nil, err
			}
			other := *token
			other.ExpiresAt = expires
			return &other, nil
		}
		return m, nil
	})
}

// withoutDate is a harness with a driver that sees no Date in a response.
func withoutDate(h Harness) Harness {
	return brokenAs(h, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		base := cfg.Transport
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil {
				resp.Header.Del("Date")
			}
			return resp, err
		})
		return good(cfg)
	})
}

// quotingPing is acmeHarness with a driver whose Ping quotes what it cannot read.
func quotingPing() Harness {
	return brokenAs(acmeHarness, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		var said []byte
		cfg.Transport = hearing(cfg.Transport, &said)
		auth, err := good(cfg)
		if err != nil {
			return nil, err
		}
		return &pingMutant{&mutant{fullDriver: auth.(fullDriver)}, func(ctx context.Context, t *pbx.Token) error {
			return edited(auth.(pbx.Pinger).Ping(ctx, t), func(e *pbx.Error) { e.Message += string(said) })
		}}, nil
	})
}

// boundHarness is that of an acme PBX that binds a token to the address that it was
// issued to, and has a code for it that the driver does not know.
func boundHarness() Harness {
	h := acmeHarness
	h.Simulator = func(o *pbxsim.Options) *pbxsim.PBX { return pbxsim.New(boundDialect{acmesim.New(o).Dialect()}, o) }
	return h
}

type boundDialect struct{ pbxsim.Dialect }

func (d boundDialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	if r.From != clientAddress {
		return pbxsim.Reply{Body: []byte(`{"result":"error","code":23}`)}
	}
	return d.Dialect.Serve(a, r)
}

// withUnhiddenDetails is yeastarHarness with a driver that takes the secrets of the
// request out of the Details, and not the new token.
func withUnhiddenDetails() Harness {
	return broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		var said []byte
		cfg.Transport = hearing(cfg.Transport, &said)
		auth, err := good(cfg)
		if err != nil {
			return nil, err
		}
		m := &mutant{fullDriver: auth.(fullDriver)}
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.fullDriver.Login(ctx)
			if err != nil {
				return nil, err
			}
			var fields map[string]any
			if json.Unmarshal(said, &fields) != nil {
				return token, nil
			}
			delete(fields, "token")
			kept := []any{}
			texts, _ := fields["debug"].([]any)
			for _, text := range texts {
				if !strings.Contains(fmt.Sprint(text), cfg.Password.Reveal()) {
					kept = append(kept, text)
				}
			}
			fields["debug"] = kept
			other := *token
			other.Details, _ = json.Marshal(fields)
			return &other, nil
		}
		return m, nil
	})
}

// withLogoutAt is h with a PBX whose logout of a live token does something else. The
// response is that to a success.
func withLogoutAt(h Harness, end func(*pbxsim.PBX, *pbxsim.Accounts, string)) Harness {
	simulator := h.Simulator
	h.Simulator = func(o *pbxsim.Options) *pbxsim.PBX {
		d := &otherLogout{Dialect: simulator(o).Dialect(), end: end}
		d.pbx = pbxsim.New(d, o)
		return d.pbx
	}
	return h
}

type otherLogout struct {
	pbxsim.Dialect
	pbx *pbxsim.PBX
	end func(*pbxsim.PBX, *pbxsim.Accounts, string)
}

func (d *otherLogout) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	token := r.Header.Get("X-Acme-Token")
	if r.Action != pbxsim.Logout || a.Token(token) == (pbxsim.Token{}) {
		return d.Dialect.Serve(a, r)
	}
	d.end(d.pbx, a, token)
	return pbxsim.Reply{Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"result":"ok"}`)}
}

// withTraits is h with a driver that states other Traits.
func withTraits(h Harness, change func(*pbx.Traits)) Harness {
	return mutateAs(h, func(m *mutant) {
		m.traits = func() pbx.Traits {
			traits := m.fullDriver.Traits()
			change(&traits)
			return traits
		}
	})
}

// withLockout is acme with other words about its lockout.
func withLockout(change func(*pbx.Lockout)) Harness {
	return withTraits(acmeHarness, func(t *pbx.Traits) { change(&t.Lockout) })
}

// statingNoLimit is oneTokenHarness with a driver that knows no limit.
func statingNoLimit() Harness {
	return withTraits(oneTokenHarness(), func(t *pbx.Traits) { t.MaxTokens, t.NewestWins = 0, false })
}

func tookForWrong(e *pbx.Error) {
	if e.HTTPStatus == http.StatusUnauthorized {
		e.Kind, e.Sent = pbx.ErrInvalidCredentials, true
	}
}

// TestAnUntouchedDriverIsNotFailed: what the mutants are failed for is not that they
// are mutants. The drivers themselves pass in package conformance/reports and in
// examples/newdriver.
func TestAnUntouchedDriverIsNotFailed(t *testing.T) {
	for _, row := range []struct {
		harness Harness
		skipped string
	}{
		{yeastarHarness, "LOGIN-07 KEEPALIVE-04 KEEPALIVE-06 KEEPALIVE-07 KEEPALIVE-08 LOGOUT-05 LOCKOUT-05 LOCKOUT-08 LOCKOUT-09 EXPIRY-05 EXPIRY-06 EXPIRY-09"},
		{acmeHarness, "KEEPALIVE-04 LOGOUT-05 LOCKOUT-05 LOCKOUT-08 LOCKOUT-09 SESSION-07"},
	} {
		h := mutateAs(row.harness, func(*mutant) {})
		var skipped []string
		for _, r := range Rules() {
			got := r.try(t, h)
			if got.err != nil {
				t.Errorf("%s: %s: %v", h.Driver, r.ID, got.err)
			}
			if got.skipped != "" {
				skipped = append(skipped, r.ID)
			}
		}
		if got := strings.Join(skipped, " "); got != row.skipped {
			t.Errorf("%s: skipped are %s, want %s", h.Driver, got, row.skipped)
		}
	}
}

// What breaks any rule is tried with the simplest.
func TestWhateverTheRule(t *testing.T) {
	goodLogin := ruleOf(t, "LOGIN-01")
	for _, row := range []struct {
		name    string
		harness Harness
		says    string
	}{
		{"a panic fails it", mutate(func(m *mutant) {
			m.login = func(context.Context) (*pbx.Token, error) {
				missing := map[bool]map[string]string{}
				missing[true]["x"] = "y"
				return nil, nil
			}
		}), "Login panics: assignment to entry in nil map (mutant_test.go:"},
		{"a panic on opening fails it", broken(func(pbx.Config, opener) (pbx.Authenticator, error) {
			panic("not yet")
		}), "opening the driver: the driver panics: not yet (mutant_test.go:"},
		{"a panic of the simulator fails it", func() Harness {
			h := yeastarHarness
			h.Simulator = func(*pbxsim.Options) *pbxsim.PBX { panic("not yet") }
			return h
		}(), "panic: not yet (mutant_test.go:"},
		{"a call that does not return until the connection is cut fails it", mutate(func(m *mutant) {
			m.login = func(ctx context.Context) (*pbx.Token, error) {
				time.Sleep(2 * time.Hour)
				return m.fullDriver.Login(ctx)
			}
		}), "Login does not return within 1h0m0s"},
		{"a call that never returns fails it", mutate(func(m *mutant) {
			m.login = func(context.Context) (*pbx.Token, error) { select {} }
		}), "wait without end"},
		{"a response whose body is not closed fails it", mutate(func(m *mutant) {
			m.login = func(ctx context.Context) (*pbx.Token, error) {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.fullDriver.Traits().URL, nil)
				if err != nil {
					return nil, err
				}
				if _, err := m.fullDriver.Transport().RoundTrip(r); err != nil {
					return nil, err
				}
				return m.fullDriver.Login(ctx)
			}
		}), "response bodies that are not closed, each of which keeps a connection: 1"},
		{"a goroutine that is left behind fails it", mutate(func(m *mutant) {
			m.login = func(ctx context.Context) (*pbx.Token, error) {
				go func() { select {} }()
				return m.fullDriver.Login(ctx)
			}
		}), "wait without end"},
		{"an error of a megabyte fails it", mutate(func(m *mutant) {
			m.login = func(ctx context.Context) (*pbx.Token, error) {
				return nil, &pbx.Error{Driver: yeastar.Name, Op: pbx.OpLogin, Message: strings.Repeat("x", 1<<20)}
			}
		}), "an error of Login has 1024 KiB"},
		{"a password in the log fails it", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
			cfg.Logger.Trace().Str("password", cfg.Password.Reveal()).Msg("opening")
			return good(cfg)
		}), "the password shows in the log"},
		{"a password in an exported or unexported field fails it", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
			auth, err := good(cfg)
			return struct {
				pbx.Authenticator
				password string
			}{auth, cfg.Password.Reveal()}, err
		}), "the password shows in the Authenticator"},
		{"a request to another host fails it", mutate(func(m *mutant) {
			m.login = func(ctx context.Context) (*pbx.Token, error) {
				if r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://time.example.com/", nil); err == nil {
					if resp, err := m.fullDriver.Transport().RoundTrip(r); err == nil {
						resp.Body.Close()
					}
				}
				return m.fullDriver.Login(ctx)
			}
		}), "a request goes to time.example.com, which is not the host in Config.URL"},
		{"a request's body in the standard log fails it", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
			base := cfg.Transport
			cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				body, err := r.GetBody()
				if err != nil {
					return nil, err
				}
				text, _ := io.ReadAll(body)
				log.Printf("sending %s", text)
				return base.RoundTrip(r)
			})
			return good(cfg)
		}), "the password shows in the standard log"},
		{"the beginning of a token in a log line fails it", broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
			auth, err := good(cfg)
			if err != nil {
				return nil, err
			}
			m := &mutant{fullDriver: auth.(fullDriver)}
			m.login = func(ctx context.Context) (*pbx.Token, error) {
				token, err := m.fullDriver.Login(ctx)
				if err == nil {
					cfg.Logger.Debug().Msg("got " + token.Value.Reveal()[:16] + "…")
				}
				return token, err
			}
			return m, nil
		}), "the token shows in the log"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := goodLogin.try(t, row.harness)
			if got.err == nil || !strings.Contains(got.err.Error(), row.says) {
				t.Errorf("%v\nwant %q", got.err, row.says)
			}
		})
	}
}

func TestADriverThatDoesNotDescribeItselfIsTriedForItsKeepAlive(t *testing.T) {
	h := broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		return mute{auth}, err
	})
	for id, want := range map[string]string{
		"KEEPALIVE-01": "the brand has no keep-alive",
		"KEEPALIVE-04": "",
		"TOKEN-01":     "the driver does not implement pbx.Requester",
		"LOCKOUT-04":   "the driver does not say after how many wrong logins the PBX locks (Traits.Lockout)",
		"SESSION-04":   "",
	} {
		got := ruleOf(t, id).try(t, h)
		if got.err != nil || got.skipped != want {
			t.Errorf("%s: skipped: %q, error: %v; want skipped: %q", id, got.skipped, got.err, want)
		}
	}
}

// mute has no keep-alive and none of the optional interfaces.
type mute struct{ pbx.Authenticator }

func (mute) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	return nil, &pbx.Error{Driver: yeastar.Name, Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported}
}

func TestAHarnessIsChecked(t *testing.T) {
	for want, change := range map[string]func(*Harness){
		"Driver and Simulator must be set": func(h *Harness) { h.Simulator = nil },
		"set Call, since it cannot be derived from the driver's Ping: the driver does not implement pbx.Pinger": func(h *Harness) {
			*h = broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
				auth, err := good(cfg)
				return requesterOnly{auth, auth.(pbx.Requester)}, err
			})
			h.Call = nil
		},
		`Harness: opening the driver: yeastar: open: configuration: unknown option "familly"`: func(h *Harness) {
			h.Call, h.Options = nil, map[string]string{"familly": "s-v1"}
		},
		"CONFIG-02 is retired: see CONFIG": func(h *Harness) { h.Skip = map[string]string{"CONFIG-02": "older"} },
		`no driver is registered as "x"`:   func(h *Harness) { h.Driver = "x" },
		`there is no rule "LOGIN-99"`:      func(h *Harness) { h.Skip = map[string]string{"LOGIN-99": "misspelt"} },
		"LOGIN-01 is skipped without a re": func(h *Harness) { h.Skip = map[string]string{"LOGIN-01": ""} },
	} {
		h := yeastarHarness
		change(&h)
		if _, err := h.ready(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := yeastarHarness.ready(); err != nil {
		t.Error(err)
	}
}

// A brand's keep-alive is a request that comes to mind first for Ping.
func TestAHarmlessRequestThatIsNoneIsNamed(t *testing.T) {
	h := yeastarHarness
	h.Call = func(base string) *http.Request {
		return httptest.NewRequest(http.MethodPost, base+"/api/v1.1.0/heartbeat", strings.NewReader("{}"))
	}
	got := ruleOf(t, "TOKEN-01").try(t, h)
	if want := `the dialect takes the harmless request for "keepalive", want "request"`; got.err == nil || !strings.Contains(got.err.Error(), want) {
		t.Errorf("%v, want %s", got.err, want)
	}
}

// requesterOnly has no other optional interface.
type requesterOnly struct {
	pbx.Authenticator
	pbx.Requester
}

func TestASkippedRuleIsNotTried(t *testing.T) {
	h := mutate(func(m *mutant) {
		m.login = func(context.Context) (*pbx.Token, error) { panic("tried") }
	})
	h.Skip = map[string]string{"LOGIN-01": "no reason"}
	got := ruleOf(t, "LOGIN-01").try(t, h)
	if got.skipped != "no reason" || got.err != nil {
		t.Errorf("%+v", got)
	}
}

func ruleOf(t *testing.T, id string) Rule {
	t.Helper()
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		t.Fatalf("there is no rule %s", id)
	}
	return rules[i]
}
