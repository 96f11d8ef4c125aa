package runtel_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

const key = "K-0123456789abcdef"

// keyed turns a configuration with an account into one with a key.
func keyed(cfg runtel.Config) runtel.Config {
	cfg.Username, cfg.Password, cfg.Key = "", pbx.Secret{}, pbx.NewSecret(key)
	return cfg
}

func TestAKeyIsATokenWithoutAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &platform{body: answered(`[]`)}
		p := open(t, server.at(runtel.Config{Key: pbx.NewSecret(key)}))
		login, err := p.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kept, err := p.KeepAlive(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range []*pbx.Token{login, kept} {
			want := &pbx.Token{Value: pbx.NewSecret(key), IssuedAt: time.Now()}
			if diff := cmp.Diff(want, token, cmp.Comparer(pbx.Secret.Equal)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		if err := p.Logout(t.Context(), login); err != nil {
			t.Error(err)
		}
		// The key was proven by the harmless request, and nothing else was sent.
		if len(server.requests) != 1 || server.requests[0].Envelope["action"] != "list" || server.requests[0].Authorization != "Bearer "+key {
			t.Errorf("sent %+v", server.requests)
		}
		if _, err := runtel.Account(login); !errors.Is(err, pbx.ErrNotSupported) {
			t.Errorf("the account of a key: error %v", err)
		}
		if got := p.Traits(); got.Lifetime != 0 || got.KeepAlive != pbx.KeepAliveNone {
			t.Errorf("traits %+v", got)
		}
	})
}

func TestARefusedKeyIsNoRefusedToken(t *testing.T) {
	reject := func(runtel.Failure) error { return pbx.ErrTokenRejected }
	for _, tt := range []struct {
		name     string
		status   int
		body     string
		classify func(runtel.Failure) error
		want     error
		login    error
	}{
		{"HTTP 401", 401, `{"code":401}`, nil, pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials},
		{"code 401", 200, `{"code":401,"notifies":["no ` + key + `"]}`, nil, pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials},
		{"HTTP 403", 403, nginx, nil, pbx.ErrConfig, pbx.ErrConfig},
		{"HTTP 502", 502, nginx, nil, pbx.ErrUnavailable, pbx.ErrUnavailable},
		// The request that proves the key may be refused to its user.
		{"code 403", 200, `{"code":403}`, nil, pbx.ErrForbidden, nil},
		{"Classify", 200, `{"code":1001}`, reject, pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials},
		{"good", 200, answered(`[]`), nil, nil, nil},
	} {
		server := &platform{status: tt.status, body: tt.body}
		p := open(t, server.at(runtel.Config{Key: pbx.NewSecret(key), Classify: tt.classify}))
		_, err := p.Login(t.Context())
		if !errors.Is(err, tt.login) || err != nil && failure(t, err).Op != pbx.OpLogin {
			t.Errorf("%s: the login's error %v, want %v", tt.name, err, tt.login)
		}
		resp, body := response(t, p, server, &pbx.Token{Value: pbx.NewSecret(key)})
		resp.Request = nil // the key is known all the same
		err = p.Inspect(resp, body, new(pbx.Token))
		if !errors.Is(err, tt.want) || errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v shows the key", tt.name, err)
		}
		if tt.name == "code 401" && !strings.Contains(err.Error(), "the PBX says: "+pbx.Redacted) {
			t.Errorf("%s: %v does not say what the platform says", tt.name, err)
		}
		if errors.Is(err, pbx.ErrInvalidCredentials) && !strings.Contains(err.Error(), "make another one") {
			t.Errorf("%s: %v does not say what to do", tt.name, err)
		}
		if got := server.requests[0].Authorization; got != "Bearer "+key {
			t.Errorf("Authorization %q", got)
		}
	}
}

// A failure that the vendor does not explain may mean that the request which proves
// the key is not for its user. The key is used, and its requests report the failure.
func TestAnUnknownFailureDoesNotSpeakAgainstAKey(t *testing.T) {
	server := &platform{body: `{"code":1001,"notifies":["not here"]}`}
	p := open(t, server.at(runtel.Config{Key: pbx.NewSecret(key)}))
	login, err := p.Login(t.Context())
	if err != nil || login.Value.Reveal() != key {
		t.Fatalf("token %v, error %v", login, err)
	}
	resp, body := response(t, p, server, login)
	if err := p.Inspect(resp, body, login); failure(t, err).Code != "1001" || failure(t, err).Kind != nil {
		t.Errorf("a request's error %v, want the code and no kind", err)
	}
}

func TestASessionWithAKeyNeverExpires(t *testing.T) {
	for _, mode := range []runtelsim.FailureMode{runtelsim.HTTP401, runtelsim.Code401, runtelsim.HTTP403, runtelsim.HTML, runtelsim.Empty} {
		simulated(t, runtelsim.Options{Failure: mode}, pbxsim.Options{}, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
			sim.AddKey(key)
			s := session.New(open(t, keyed(cfg)), &session.Options{Guard: &session.Guard{}})
			for range 60 {
				if status, body := call(t, s, server.URL); status != 200 || !strings.Contains(body, `"code":200`) {
					t.Fatalf("%s: HTTP %d %s", mode, status, body)
				}
				time.Sleep(24 * time.Hour)
			}
			sim.Revoke(key)
			refused, pings := 1, 0 // then the session keeps it to itself
			switch mode {
			case runtelsim.HTTP403:
				refused = 10 // 403 on a call is about the call
			case runtelsim.HTML, runtelsim.Empty:
				pings = 1 // which decides, and then the request has no key
			}
			for i := range 10 {
				if i < refused {
					status, body, err := try(t, s, server.URL)
					if err == nil && status == 200 && strings.Contains(body, `"code":200`) {
						t.Errorf("%s: a revoked key works", mode)
					}
					if (err != nil) != (pings > 0) {
						t.Errorf("%s: %v", mode, err)
					}
				} else if _, err := s.Token(t.Context()); !errors.Is(err, pbx.ErrInvalidCredentials) {
					t.Errorf("%s: the session says %v", mode, err)
				}
				time.Sleep(time.Minute)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			proof := 1 // of the key, at the login
			want := pbxsim.Counts{Requests: proof + 60 + refused + pings, AppRequests: proof + 60, RefusedTokens: refused + pings}
			if diff := cmp.Diff(want, sim.Counts()); diff != "" {
				t.Errorf("%s: the platform saw (-want +got):\n%s", mode, diff)
			}
		})
	}
}

// A 401 that is not the platform's words, as to a recording that another server has,
// leaves it to the request of Ping.
func TestOneRequestThatIsRefusedWithoutWordsKeepsTheKey(t *testing.T) {
	simulated(t, runtelsim.Options{}, pbxsim.Options{}, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
		sim.AddKey(key)
		s := session.New(open(t, keyed(cfg)), &session.Options{Guard: new(session.Guard)})
		defer s.Close(t.Context())
		for range 3 {
			if status, body := call(t, s, server.URL); status != 200 {
				t.Fatalf("HTTP %d %s", status, body)
			}
			sim.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Status: 401, Body: []byte(nginx), Times: 1})
			if status, body := call(t, s, server.URL); status != 401 {
				t.Fatalf("HTTP %d %s", status, body)
			}
			time.Sleep(time.Hour)
		}
		if got := s.Status(); got.State != session.Live {
			t.Errorf("%s", got)
		}
	})
}

// call makes a call of the application through a session.
func call(t *testing.T, s *session.Session, base string) (status int, body string) {
	t.Helper()
	status, body, err := try(t, s, base)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

// try is call where the session may refuse.
func try(t *testing.T, s *session.Session, base string) (status int, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", base+"/api/", strings.NewReader(`{"action":"list","obj":"Call","action_id":"1","params":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}
