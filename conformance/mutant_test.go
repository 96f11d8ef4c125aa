package conformance

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	acme "github.com/pbxauth/pbx/examples/newdriver"
	"github.com/pbxauth/pbx/examples/newdriver/acmesim"
)

// healthy is the harness of a driver that keeps every rule.
var healthy = Harness{
	Driver:    yeastar.Name,
	Simulator: simulators.Of("yeastar")[0].New,
	Call: func(base string) *http.Request {
		r, _ := http.NewRequest(http.MethodPost, base+"/api/v1.1.0/deviceinfo/query", strings.NewReader("{}"))
		return r
	},
}

type opener func(pbx.Config) (pbx.Authenticator, error)

// trading is one with what healthy lacks: refresh tokens, lives that calls do
// not prolong, and a limited number of them.
var trading = Harness{
	Driver:    acme.Name,
	Simulator: acmesim.New,
	Call: func(base string) *http.Request {
		r, _ := http.NewRequest(http.MethodGet, base+"/v1/status", nil)
		return r
	},
}

// sick is healthy with a driver that make builds around the good one.
func sick(make func(cfg pbx.Config, good opener) (pbx.Authenticator, error)) Harness {
	return sickAs(healthy, make)
}

func sickAs(h Harness, make func(cfg pbx.Config, good opener) (pbx.Authenticator, error)) Harness {
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
	whole
	login     func(context.Context) (*pbx.Token, error)
	keepAlive func(context.Context, *pbx.Token) (*pbx.Token, error)
	logout    func(context.Context, *pbx.Token) error
	authorize func(*http.Request, *pbx.Token) error
	inspect   func(*http.Response, []byte, *pbx.Token) error
	transport http.RoundTripper
	traits    func() pbx.Traits
	print     func(context.Context, []byte) ([]byte, error)
}

// whole is a driver with all the optional interfaces.
type whole interface {
	pbx.Authenticator
	pbx.Requester
	pbx.Describer
	pbx.Fingerprinter
	fmt.Formatter
}

func (m *mutant) Login(ctx context.Context) (*pbx.Token, error) {
	if m.login != nil {
		return m.login(ctx)
	}
	return m.whole.Login(ctx)
}

func (m *mutant) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	if m.keepAlive != nil {
		return m.keepAlive(ctx, t)
	}
	return m.whole.KeepAlive(ctx, t)
}

func (m *mutant) Logout(ctx context.Context, t *pbx.Token) error {
	if m.logout != nil {
		return m.logout(ctx, t)
	}
	return m.whole.Logout(ctx, t)
}

func (m *mutant) Authorize(r *http.Request, t *pbx.Token) error {
	if m.authorize != nil {
		return m.authorize(r, t)
	}
	return m.whole.Authorize(r, t)
}

func (m *mutant) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	if m.inspect != nil {
		return m.inspect(r, body, t)
	}
	return m.whole.Inspect(r, body, t)
}

func (m *mutant) Transport() http.RoundTripper {
	if m.transport != nil {
		return m.transport
	}
	return m.whole.Transport()
}

func (m *mutant) Traits() pbx.Traits {
	if m.traits != nil {
		return m.traits()
	}
	return m.whole.Traits()
}

func (m *mutant) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	if m.print != nil {
		return m.print(ctx, key)
	}
	return m.whole.Fingerprint(ctx, key)
}

// mutate is sick with parts of the good driver replaced.
func mutate(replace func(m *mutant)) Harness { return mutateAs(healthy, replace) }

func mutateAs(h Harness, replace func(m *mutant)) Harness {
	return sickAs(h, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil {
			return nil, err
		}
		m := &mutant{whole: auth.(whole)}
		replace(m)
		return m, nil
	})
}

// misjudge is sick with a change to every error of a login.
func misjudge(change func(*pbx.Error)) Harness { return misjudgeAs(healthy, change) }

func misjudgeAs(h Harness, change func(*pbx.Error)) Harness {
	return mutateAs(h, func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.whole.Login(ctx)
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

// tlsSick is sick with other settings in TLS than it was given, for connections
// of its own.
func tlsSick(change func(*pbx.TLS)) Harness {
	return sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if cfg.Transport == nil {
			change(&cfg.TLS)
		}
		return good(cfg)
	})
}

// patiently repeats a login as long as it fails as told, three times in all.
func patiently(when func(error) bool) Harness {
	return mutate(func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.whole.Login(ctx)
			for range 2 {
				if !when(err) {
					break
				}
				time.Sleep(time.Second)
				token, err = m.whole.Login(ctx)
			}
			return token, err
		}
	})
}

// hoarding keeps the last token and returns it from every later login.
func hoarding() Harness {
	return mutate(func(m *mutant) {
		var kept atomic.Pointer[pbx.Token]
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			if token := kept.Load(); token != nil {
				return token, nil
			}
			token, err := m.whole.Login(ctx)
			kept.Store(token)
			return token, err
		}
	})
}

// shared gives all who log in at the same time the outcome of the first.
func shared() Harness {
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
			f.token, f.err = m.whole.Login(ctx)
			mu.Lock()
			current = nil
			mu.Unlock()
			close(f.landed)
			return f.token, f.err
		}
	})
}

// bumped is t with its end moved on, whatever the PBX says.
func bumped(t *pbx.Token) *pbx.Token {
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
	{"CONFIG-01", "logs in when it is opened", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err == nil {
			go auth.Login(context.Background())
		}
		return auth, err
	}), "1 requests are sent"},
	{"CONFIG-02", "takes an empty password for one", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if cfg.Password.IsZero() && cfg.Credentials == nil {
			cfg.Password = pbx.NewSecret("admin")
		}
		return good(cfg)
	}), "an empty Password: it succeeds"},
	{"CONFIG-04", "sends passwords in clear to anybody", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		cfg.AllowPlainHTTP = true
		return good(cfg)
	}), "http://pbx.example.com: it succeeds"},
	{"CONFIG-05", "asks the vault once and for all", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
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
			return m.whole.Fingerprint(ctx, []byte("one key for everybody"))
		}
	}), "under another key the fingerprint is the same"},
	{"CONFIG-07", "asks for the credentials twice in one attempt", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil || cfg.Credentials == nil {
			return auth, err
		}
		return &mutant{whole: auth.(whole), print: func(ctx context.Context, key []byte) ([]byte, error) {
			return auth.(whole).Fingerprint(pbx.WithAttempt(ctx), key)
		}}, nil
	}), "a login of the attempt"},
	{"LOGIN-01", "logs in twice, to be sure", mutate(func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			if _, err := m.whole.Login(ctx); err != nil {
				return nil, err
			}
			return m.whole.Login(ctx)
		}
	}), "2 login requests"},
	{"LOGIN-02", "keeps its token", hoarding(), "the same token"},
	{"LOGIN-03", "takes HTTP 200 for success", naively(), "it succeeds"},
	{"LOGIN-04", "keeps an empty token", naively(), "it succeeds"},
	{"LOGIN-05", "retries a login when the PBX is in trouble", patiently(func(err error) bool { return errors.Is(err, pbx.ErrUnavailable) }), "HTTP 500: the login is sent 2 times"},
	{"LOGIN-06", "puts JSON together with Sprintf", naively(), "has not issued the token"},
	{"LOGIN-07", "takes a full PBX for a wrong password", misjudgeAs(trading, func(e *pbx.Error) { e.Kind = pbx.ErrInvalidCredentials }), `want an error of kind "too many sessions"`},
	{"LOGIN-07", "makes room by ending its last token", mutateAs(trading, func(m *mutant) {
		var mu sync.Mutex
		var last *pbx.Token
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.whole.Login(ctx)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, pbx.ErrTooManySessions) && last != nil {
				m.whole.Logout(ctx, last)
				token, err = m.whole.Login(ctx)
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
				return m.whole.Inspect(r, body, t)
			}
			return nil
		}
	}), "a token that was ended: it succeeds"},
	{"TOKEN-03", "takes a recording for a failure", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			if !json.Valid(body) {
				return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrProtocol, Sent: true}
			}
			return m.whole.Inspect(r, body, t)
		}
	}), "unexpected response"},
	{"TOKEN-04", "logs in again whatever is wrong", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			return edited(m.whole.Inspect(r, body, t), func(e *pbx.Error) { e.Kind = pbx.ErrTokenRejected })
		}
	}), "is taken for a refused token"},
	{"TOKEN-05", "moves the end of the token that it was given", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.whole.KeepAlive(ctx, t)
			if err == nil {
				*t = *next
			}
			return t, err
		}
	}), "KeepAlive changes the token"},

	{"KEEPALIVE-01", "moves the end on and sends nothing", mutate(func(m *mutant) {
		m.keepAlive = func(_ context.Context, t *pbx.Token) (*pbx.Token, error) { return bumped(t), nil }
	}), "ends no later than without"},
	{"KEEPALIVE-01", "does not move the end on", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			_, err := m.whole.KeepAlive(ctx, t)
			return t, err
		}
	}), "is not moved on"},
	{"KEEPALIVE-02", "does not read the heartbeat's answer", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			if _, err := m.whole.KeepAlive(ctx, t); errors.Is(err, pbx.ErrUnavailable) {
				return nil, err
			}
			return bumped(t), nil
		}
	}), "a web page: it succeeds"},
	{"KEEPALIVE-02", "returns the old token with the error", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.whole.KeepAlive(ctx, t)
			if err != nil {
				return t, err
			}
			return next, nil
		}
	}), "together with an error"},
	{"KEEPALIVE-03", "takes a dead token for a PBX in trouble", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.whole.KeepAlive(ctx, t)
			return next, edited(err, func(e *pbx.Error) { e.Kind = pbx.ErrUnavailable })
		}
	}), `want an error of kind "token rejected"`},
	{"KEEPALIVE-04", "makes up a keep-alive", mutate(func(m *mutant) {
		m.traits = func() pbx.Traits {
			traits := m.whole.Traits()
			traits.KeepAlive = pbx.KeepAliveNone
			return traits
		}
	}), "a request is sent"},
	{"KEEPALIVE-05", "counts the end of a kept token from the answer", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.whole.KeepAlive(ctx, t)
			if err != nil {
				return nil, err
			}
			return bumped(next), nil
		}
	}), "ExpiresAt is 20s after"},
	{"KEEPALIVE-06", "uses a rotated refresh token again", mutateAs(trading, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.whole.KeepAlive(ctx, t)
			if err != nil {
				return nil, err
			}
			kept := *next
			kept.Refresh = t.Refresh
			return &kept, nil
		}
	}), "refresh 1 returns the refresh token that it has used up"},
	{"KEEPALIVE-06", "sends a refresh again when its answer is lost", mutateAs(trading, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.whole.KeepAlive(ctx, t)
			for range 2 {
				if !errors.Is(err, pbx.ErrUnavailable) {
					break
				}
				next, err = m.whole.KeepAlive(ctx, t)
			}
			return next, err
		}
	}), "the refresh is sent 2 times"},
	{"KEEPALIVE-07", "makes do with half a pair", mutateAs(trading, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.whole.KeepAlive(ctx, t)
			if errors.Is(err, pbx.ErrProtocol) {
				half := *t
				half.Refresh = pbx.Secret{}
				return &half, nil
			}
			return next, err
		}
	}), "without a refresh token: it succeeds"},
	{"KEEPALIVE-08", "gives up when the access token has run out", mutateAs(trading, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			if time.Now().After(t.ExpiresAt) {
				return nil, &pbx.Error{Driver: acme.Name, Op: pbx.OpKeepAlive, Kind: pbx.ErrTokenRejected}
			}
			return m.whole.KeepAlive(ctx, t)
		}
	}), "a good keep-alive fails"},

	{"LOGOUT-01", "forgets the token without a word to the PBX", mutate(func(m *mutant) {
		m.logout = func(context.Context, *pbx.Token) error { return nil }
	}), "lives on"},
	{"LOGOUT-02", "complains about a token that is gone", mutate(func(m *mutant) {
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			if err := m.whole.Logout(ctx, t); err != nil {
				return err
			}
			_, err := m.whole.KeepAlive(ctx, t)
			if errors.Is(err, pbx.ErrTokenRejected) && t.ExpiresAt.IsZero() {
				return nil
			}
			return err
		}
	}), "the first logout"},
	{"LOGOUT-03", "does not care whether the logout arrived", mutate(func(m *mutant) {
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			m.whole.Logout(ctx, t)
			return nil
		}
	}), "HTTP 500: it succeeds"},
	{"LOGOUT-04", "logs in to log out", mutate(func(m *mutant) {
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			if _, err := m.whole.Login(ctx); err != nil {
				return err
			}
			return m.whole.Logout(ctx, t)
		}
	}), "the logout logs in"},

	{"LOCKOUT-01", "tries a wrong password again", patiently(func(err error) bool { return errors.Is(err, pbx.ErrInvalidCredentials) }), "sent 3 times"},
	{"LOCKOUT-02", "tells a locked caller that the password is wrong", misjudge(func(e *pbx.Error) { e.Kind = pbx.ErrInvalidCredentials }), `want an error of kind "locked out"`},
	{"LOCKOUT-03", "knocks at a locked door", patiently(func(err error) bool { return errors.Is(err, pbx.ErrLocked) }), "sent 3 times"},
	{"LOCKOUT-04", "promises more tries than there are", mutate(func(m *mutant) {
		m.traits = func() pbx.Traits {
			traits := m.whole.Traits()
			traits.Lockout.Attempts = 10
			return traits
		}
	}), "locks after 5 wrong logins, Traits says 10"},

	{"EXPIRY-01", "counts a token's life from the answer", mutate(func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.whole.Login(ctx)
			if err != nil {
				return nil, err
			}
			return bumped(token), nil
		}
	}), "IssuedAt is 20s after"},
	{"EXPIRY-02", "does not know the code for a token that has run out", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			err := m.whole.Inspect(r, body, t)
			var failure *pbx.Error
			if errors.As(err, &failure) && failure.Code == "20006" {
				failure.Kind = nil
			}
			return err
		}
	}), `want an error of kind "token rejected"`},
	{"EXPIRY-03", "promises a life of two hours", mutate(func(m *mutant) {
		m.traits = func() pbx.Traits {
			traits := m.whole.Traits()
			traits.Lifetime = 2 * time.Hour
			return traits
		}
	}), "Traits says that a token lives for 2h0m0s"},
	{"EXPIRY-04", "does not know the code for a token that was forgotten", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.whole.KeepAlive(ctx, t)
			return next, edited(err, func(e *pbx.Error) {
				if e.Code == "20004" {
					e.Kind = nil
				}
			})
		}
	}), "a keep-alive: it returns kind <nil>"},
	{"EXPIRY-05", "counts a refresh token's life from the answer", mutateAs(trading, func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.whole.Login(ctx)
			if err != nil {
				return nil, err
			}
			later := *token
			later.RefreshExpiresAt = time.Now().Add(24 * time.Hour)
			return &later, nil
		}
	}), "after the login: RefreshExpiresAt is 20s after"},
	{"EXPIRY-06", "takes a refresh token that has run out for a PBX in trouble", mutateAs(trading, func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			next, err := m.whole.KeepAlive(ctx, t)
			return next, edited(err, func(e *pbx.Error) { e.Kind = pbx.ErrUnavailable })
		}
	}), `want an error of kind "token rejected"`},

	{"CONTEXT-01", "ignores its context", mutate(func(m *mutant) {
		m.keepAlive = func(_ context.Context, t *pbx.Token) (*pbx.Token, error) {
			return m.whole.KeepAlive(context.Background(), t)
		}
	}), "KeepAlive returns 25s after"},
	{"CONTEXT-02", "hides why it gave up", mutate(func(m *mutant) {
		m.logout = func(ctx context.Context, t *pbx.Token) error {
			return edited(m.whole.Logout(ctx, t), func(e *pbx.Error) { e.Err = errors.New("i/o timeout") })
		}
	}), "Logout: the error does not match"},
	{"CONTEXT-03", "logs in for a caller that has left", mutate(func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			if ctx.Err() == nil {
				return m.whole.Login(ctx)
			}
			m.whole.Login(context.WithoutCancel(ctx))
			return m.whole.Login(ctx)
		}
	}), "Login sends a request"},

	{"TRANSPORT-01", "takes a PBX in trouble for another brand's", misjudge(func(e *pbx.Error) {
		if e.HTTPStatus/100 == 5 {
			e.Kind = pbx.ErrProtocol
		}
	}), `want an error of kind "unavailable"`},
	{"TRANSPORT-02", "takes HTTP 429 for a wrong password", misjudge(func(e *pbx.Error) { e.Kind = pbx.ErrInvalidCredentials }), `want an error of kind "locked out" or "unavailable"`},
	{"TRANSPORT-03", "does not read Retry-After", misjudge(func(e *pbx.Error) { e.RetryAfter = 0 }), "RetryAfter is 0s, want 2m0s"},
	{"TRANSPORT-03", "obeys a Retry-After of a week", misjudge(func(e *pbx.Error) {
		if e.RetryAfter == time.Hour {
			e.RetryAfter = 7 * 24 * time.Hour
		}
	}), "RetryAfter is 168h0m0s, want 1h0m0s"},
	{"TRANSPORT-04", "follows redirects", naively(), "Login follows HTTP 301"},
	{"TRANSPORT-05", "says that it has sent what it has not", misjudge(func(e *pbx.Error) { e.Sent = true }), "Sent is true, want false"},
	{"TRANSPORT-06", "says that it has not sent what it has", misjudge(func(e *pbx.Error) { e.Sent = false }), "Sent is false, want true"},

	{"TLS-01", "trusts the system's authorities and no others", tlsSick(func(settings *pbx.TLS) {
		if settings.PinSHA256 == "" {
			settings.RootCAs, settings.CAFile = nil, ""
		}
	}), "RootCAs: a good login fails"},
	{"TLS-01", "sends the application's requests over other connections", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil || cfg.Transport != nil {
			return auth, err
		}
		return &mutant{whole: auth.(whole), transport: http.DefaultTransport}, nil
	}), "the call gets no answer"},
	{"TLS-02", "switches verification off, since it fails everywhere", tlsSick(func(settings *pbx.TLS) {
		*settings = pbx.TLS{InsecureSkipVerify: true}
	}), "1 requests reach a PBX that is not trusted"},
	{"TLS-02", "says that a certificate is bad, and not what to do", misjudge(func(e *pbx.Error) { e.Message = "bad certificate" }), "does not tell the pin"},
	{"TLS-03", "wants a factory certificate to be vouched for", tlsSick(func(settings *pbx.TLS) {
		if settings.PinSHA256 != "" {
			settings.RootCAs = x509.NewCertPool()
		}
	}), "a good login fails"},
	{"TLS-04", "takes a pin for a wish to switch verification off", tlsSick(func(settings *pbx.TLS) {
		if settings.PinSHA256 != "" {
			*settings = pbx.TLS{InsecureSkipVerify: true}
		}
	}), "1 requests reach a PBX that is not trusted"},
	{"TLS-05", "passes a pin over where it is given a client", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if cfg.Transport != nil {
			cfg.TLS = pbx.TLS{}
		}
		return good(cfg)
	}), "it succeeds"},
	{"TLS-06", "takes a certificate that is refused for a PBX in trouble", misjudge(func(e *pbx.Error) { e.Kind = pbx.ErrUnavailable }), `want an error of kind "configuration"`},

	{"PROTOCOL-01", "takes a web page for a PBX in trouble", misjudge(func(e *pbx.Error) { e.Kind = pbx.ErrUnavailable }), `want an error of kind "unexpected response"`},
	{"PROTOCOL-02", "says that half an answer means nothing was sent", misjudge(func(e *pbx.Error) { e.Sent = false }), "Sent is false, want true"},
	{"PROTOCOL-03", "reads whatever comes", naively(), "16 MiB are read"},
	{"PROTOCOL-04", "does not say who it is", misjudge(func(e *pbx.Error) { e.Driver = "" }), `the error is of driver ""`},

	{"SECRETS-01", "quotes the answer in its error", naively(), "shows in an error of Login"},
	{"SECRETS-02", "passes the whole answer on", naively(), "shows in a token's Details"},
	{"SECRETS-03", "passes net/http's error on", naively(), "the token shows in an error of Logout"},
	{"SECRETS-04", "quotes the URL that it cannot read", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		if err != nil {
			return nil, edited(err, func(e *pbx.Error) { e.Message = "cannot use " + cfg.URL })
		}
		return auth, nil
	}), "the password shows in the error of opening"},

	{"CONCURRENCY-01", "lets logins share a flight", shared(), "the same token"},
	{"CONCURRENCY-02", "mixes up the tokens of its callers", mutate(func(m *mutant) {
		var mu sync.Mutex
		var last *pbx.Token
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			mu.Lock()
			last = t
			mu.Unlock()
			time.Sleep(time.Millisecond) // while the others come
			mu.Lock()
			defer mu.Unlock()
			return m.whole.KeepAlive(ctx, last)
		}
	}), "returns another's token"},
	{"CONCURRENCY-03", "cancels a login for all when the first caller leaves", shared(), "the other login: a good login fails"},

	{"SESSION-01", "hands its dead token out again", hoarding(), "dead token"},
	{"SESSION-02", "takes a wrong password for a PBX in trouble", patiently(func(err error) bool { return err != nil }), "3 logins are sent"},
	{"SESSION-03", "never notices that a token was refused", mutate(func(m *mutant) {
		m.inspect = func(r *http.Response, body []byte, t *pbx.Token) error {
			return edited(m.whole.Inspect(r, body, t), func(e *pbx.Error) { e.Kind = nil })
		}
	}), "the call after the restart"},
	{"SESSION-04", "promises tokens a longer life than they have", mutate(func(m *mutant) {
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			token, err := m.whole.Login(ctx)
			if err != nil {
				return nil, err
			}
			longer := *token
			longer.ExpiresAt = token.IssuedAt.Add(2 * time.Hour)
			return &longer, nil
		}
	}), "hands out a dead token"},
	{"SESSION-05", "forgets the token without a word to the PBX", mutate(func(m *mutant) {
		m.logout = func(context.Context, *pbx.Token) error { return nil }
	}), "lives on"},
	{"SESSION-06", "takes a PBX in trouble for a wrong password", misjudge(func(e *pbx.Error) {
		if e.HTTPStatus == http.StatusServiceUnavailable {
			e.Kind = pbx.ErrInvalidCredentials
		}
	}), "10m0s later the session has no living token"},
	{"SESSION-07", "says that calls prolong a token, and they do not", mutateAs(trading, func(m *mutant) {
		m.traits = func() pbx.Traits {
			traits := m.whole.Traits()
			traits.Sliding = true
			return traits
		}
	}), "tokens are refused"},
	{"SESSION-08", "says that a lock ends in a second", misjudge(func(e *pbx.Error) {
		if e.Kind == pbx.ErrLocked {
			e.RetryAfter = time.Second
		}
	}), "logins under a lock of 10m0s, want 3 at most"},
	{"SESSION-09", "never notices another password in the vault", mutate(func(m *mutant) {
		m.print = func(_ context.Context, key []byte) ([]byte, error) { return key, nil }
	}), "five minutes after the password was changed"},
	{"SESSION-09", "has the session try a wrong password again and again", mutate(func(m *mutant) {
		m.print = func(context.Context, []byte) ([]byte, error) { return []byte(time.Now().String()), nil }
	}), "the wrong password is sent "},
	{"SESSION-10", "opens another session with every keep-alive", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
			m.whole.Login(ctx)
			return m.whole.KeepAlive(ctx, t)
		}
	}), "tokens are alive"},
	{"SESSION-10", "logs in to keep alive", mutate(func(m *mutant) {
		m.keepAlive = func(ctx context.Context, _ *pbx.Token) (*pbx.Token, error) { return m.whole.Login(ctx) }
	}), "logins, want 8 at most"},
}

func TestAnUntouchedDriverIsNotFailed(t *testing.T) {
	for _, row := range []struct {
		harness Harness
		skipped string
	}{
		{healthy, "LOGIN-07 KEEPALIVE-04 KEEPALIVE-06 KEEPALIVE-07 KEEPALIVE-08 EXPIRY-05 EXPIRY-06"},
		{trading, "KEEPALIVE-04 SESSION-07"},
	} {
		for _, h := range []Harness{row.harness, mutateAs(row.harness, func(*mutant) {})} {
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
		}), "Login panics: assignment to entry in nil map"},
		{"a panic on opening fails it", sick(func(pbx.Config, opener) (pbx.Authenticator, error) {
			panic("not yet")
		}), "opening the driver: the driver panics: not yet"},
		{"a panic of the simulator fails it", func() Harness {
			h := healthy
			h.Simulator = func(*pbxsim.Options) *pbxsim.PBX { panic("not yet") }
			return h
		}(), "panic: not yet"},
		{"a call that does not return until the connection is cut fails it", mutate(func(m *mutant) {
			m.login = func(ctx context.Context) (*pbx.Token, error) {
				time.Sleep(2 * time.Hour)
				return m.whole.Login(ctx)
			}
		}), "Login does not return within 1h0m0s"},
		{"a call that never returns fails it", mutate(func(m *mutant) {
			m.login = func(context.Context) (*pbx.Token, error) { select {} }
		}), "wait for ever"},
		{"a goroutine that is left behind fails it", mutate(func(m *mutant) {
			m.login = func(ctx context.Context) (*pbx.Token, error) {
				go func() { select {} }()
				return m.whole.Login(ctx)
			}
		}), "wait for ever"},
		{"a password in the log fails it", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
			cfg.Logger.Trace().Str("password", cfg.Password.Reveal()).Msg("opening")
			return good(cfg)
		}), "the password shows in the log"},
		{"a password in an exported or unexported field fails it", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
			auth, err := good(cfg)
			return struct {
				pbx.Authenticator
				password string
			}{auth, cfg.Password.Reveal()}, err
		}), "the password shows in the Authenticator"},
		{"the beginning of a token in a log line fails it", sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
			auth, err := good(cfg)
			if err != nil {
				return nil, err
			}
			m := &mutant{whole: auth.(whole)}
			m.login = func(ctx context.Context) (*pbx.Token, error) {
				token, err := m.whole.Login(ctx)
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
	h := sick(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		auth, err := good(cfg)
		return mute{auth}, err
	})
	for id, want := range map[string]string{
		"KEEPALIVE-01": "the brand has no keep-alive",
		"KEEPALIVE-04": "",
		"TOKEN-01":     "the driver is no pbx.Requester",
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
		"must be set":                      func(h *Harness) { h.Call = nil },
		`no driver is registered as "x"`:   func(h *Harness) { h.Driver = "x" },
		`there is no rule "LOGIN-99"`:      func(h *Harness) { h.Skip = map[string]string{"LOGIN-99": "misspelt"} },
		"LOGIN-01 is skipped without a re": func(h *Harness) { h.Skip = map[string]string{"LOGIN-01": ""} },
	} {
		h := healthy
		change(&h)
		if err := h.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := healthy.check(); err != nil {
		t.Error(err)
	}
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
