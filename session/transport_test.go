package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/internal/resetting"
	"github.com/pbxauth/pbx/session"
)

// roundTrip is a PBX's side of an application's own requests.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func answering(status int) roundTrip {
	return func(r *http.Request) (*http.Response, error) { return answer(r, status, "fine"), nil }
}

func get(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// inspecting is a fake that reads "refused" out of a 200.
type inspecting struct{ *fake }

func (inspecting) Inspect(_ *http.Response, body []byte, _ *pbx.Token) error {
	if bytes.HasPrefix(body, []byte("refused")) {
		return &pbx.Error{Driver: "fake", Op: pbx.OpRequest, Kind: pbx.ErrTokenRejected, Sent: true}
	}
	return nil
}

// gate refuses every token but the one that it was given, and counts.
type gate struct {
	mu     sync.Mutex
	good   string
	bodies []string
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bodies = append(g.bodies, string(body))
	if r.Header.Get("Authorization") != "Bearer "+g.good {
		return answer(r, 200, "refused"), nil
	}
	return answer(r, 200, "welcome"), nil
}

func TestARefusedTokenIsReplacedAndTheRequestRepeatedOnce(t *testing.T) {
	f := &fake{life: time.Hour}
	during(t, inspecting{f}, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		g := &gate{good: "token-2"}
		client := &http.Client{Transport: s.Transport(g)}
		resp, err := client.Post("http://pbx.test/call", "text/plain", strings.NewReader("the body"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if string(body) != "welcome" {
			t.Fatalf("answer %q", body)
		}
		if len(g.bodies) != 2 || g.bodies[0] != "the body" || g.bodies[1] != "the body" {
			t.Fatalf("the PBX saw %q", g.bodies)
		}
		wantCounts(t, f, 2, 0, 0)
	})
}

func TestARequestIsNeverRepeatedTwice(t *testing.T) {
	f := &fake{life: time.Hour}
	during(t, inspecting{f}, func(t *testing.T, s *session.Session) {
		g := &gate{good: "no token at all"}
		client := &http.Client{Transport: s.Transport(g)}
		resp := get(t, client, "http://pbx.test/call")
		if resp.StatusCode != 200 || len(g.bodies) != 2 {
			t.Fatalf("%d requests", len(g.bodies))
		}
	})
}

func TestABodyThatCannotBeHadAgainIsNotRepeated(t *testing.T) {
	f := &fake{life: time.Hour}
	during(t, inspecting{f}, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		g := &gate{good: "token-2"}
		client := &http.Client{Transport: s.Transport(g)}
		post := func() string {
			resp, err := client.Post("http://pbx.test/call", "text/plain", io.MultiReader(strings.NewReader("streamed")))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			return string(body)
		}
		if got := post(); got != "refused" {
			t.Fatalf("answer %q: it must come through as it was", got)
		}
		if got := post(); got != "welcome" { // the token was replaced all the same
			t.Fatalf("answer %q", got)
		}
		if len(g.bodies) != 2 {
			t.Fatalf("the PBX saw %q", g.bodies)
		}
	})
}

func TestTenThousandRequestsAtARestartCauseOneLogin(t *testing.T) {
	f := &fake{life: time.Hour, takes: 100 * time.Millisecond}
	during(t, inspecting{f}, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		g := &gate{good: "token-2"}
		client := &http.Client{Transport: s.Transport(g)}
		var requests sync.WaitGroup
		for range 10_000 {
			requests.Go(func() {
				resp, err := client.Get("http://pbx.test/call")
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(resp.Body)
				if string(body) != "welcome" {
					t.Errorf("answer %q", body)
				}
			})
		}
		requests.Wait()
		wantCounts(t, f, 2, 0, 0)
	})
}

func TestWithoutAnInspectorHTTP401IsTheRefusal(t *testing.T) {
	f := &fake{life: time.Hour}
	during(t, f, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(answering(401))}
		get(t, client, "http://pbx.test/call")
		mustToken(t, s)
		if logins, _, _ := f.counts(); logins != 2 { // the second refusal may be about the call
			t.Fatalf("%d logins", logins)
		}
	})
}

func TestTheTokenGoesToThePBXOnly(t *testing.T) {
	for _, row := range []struct {
		name, pbx, url string
		authorized     bool
		refusal        string
	}{
		{"the PBX", "https://pbx.test:8088", "https://pbx.test:8088/api/call", true, ""},
		{"its name in capitals", "https://pbx.test:8088", "https://PBX.test:8088/api/call", true, ""},
		{"the scheme's own port, spelled out", "https://pbx.test", "https://pbx.test:443/api/call", true, ""},
		{"another host", "https://pbx.test:8088", "https://evil.test:8088/api/call", false, "goes to https://evil.test:8088, and this client talks to its PBX only, which is https://pbx.test:8088"},
		{"another name for the same machine", "http://127.0.0.1:8088", "http://localhost:8088/api/call", false, "this client talks to its PBX only"},
		{"another port", "https://pbx.test:8088", "https://pbx.test/api/call", false, "goes to https://pbx.test, and this client talks to its PBX only, which is https://pbx.test:8088"},
		{"plain http", "https://pbx.test:8088", "http://pbx.test:8088/api/call", false, "goes to http://pbx.test:8088, and"},
		{"anywhere, if the driver does not say where the PBX is", "", "http://pbx.test/call", true, ""},
		{"nowhere", "https://pbx.test:8088", "/api/call", false, "not sent: the URL has no host: build it on Session.URL, https://pbx.test:8088, or use Session.Do"},
		{"an interface of this machine", "http://[fe80::1%25eth0]", "http://[FE80::1%25eth0]/call", true, ""},
		{"another interface", "http://[fe80::1%25eth0]", "http://[fe80::1%25ETH0]/call", false, "goes to http://[fe80::1%25ETH0], and"},
		{"another host, and a password for it", "http://pbx.test", "http://u:p@evil.test/call", false, "goes to http://evil.test, and"},
		{"an address that is none", "pbx.test", "https://pbx.test/api/call", false, "cannot be read"},
		{"an address that is none, with a port", "pbx.test:8088", "https://evil.test/api/call", false, "cannot be read"},
		{"an address that cannot be read", "https://[::1", "https://evil.test/api/call", false, "cannot be read"},
	} {
		t.Run(row.name, func(t *testing.T) {
			during(t, &fake{life: time.Hour, traits: pbx.Traits{URL: row.pbx}}, func(t *testing.T, s *session.Session) {
				var seen string
				client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
					seen = r.Header.Get("Authorization")
					return answer(r, 200, ""), nil
				}))}
				if row.refusal != "" {
					_, err := client.Get(row.url)
					wantKind(t, err, pbx.ErrConfig)
					if !strings.Contains(err.Error(), row.refusal) {
						t.Errorf("the error is %v", err)
					}
					return
				}
				get(t, client, row.url)
				if (seen != "") != row.authorized {
					t.Fatalf("Authorization: %q", seen)
				}
				if s.URL() != row.pbx {
					t.Errorf("URL is %q", s.URL())
				}
			})
		})
	}
}

func TestARedirectToAnotherHostIsNotFollowed(t *testing.T) {
	for _, known := range []string{"http://pbx.test", ""} {
		during(t, &fake{life: time.Hour, traits: pbx.Traits{URL: known}}, func(t *testing.T, s *session.Session) {
			seen := map[string]string{}
			client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
				seen[r.URL.Host] = r.Header.Get("Authorization") + r.URL.RawQuery
				resp := answer(r, 200, "")
				if r.URL.Host == "pbx.test" {
					resp.StatusCode = 302
					resp.Header.Set("Location", "http://evil.test/?token="+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
				}
				return resp, nil
			}))}
			_, err := client.Get("http://pbx.test/call")
			wantKind(t, err, pbx.ErrConfig)
			if _, asked := seen["evil.test"]; asked || seen["pbx.test"] == "" || strings.Contains(err.Error(), "token-1") {
				t.Fatalf("seen %q, error %v", seen, err)
			}
		})
	}
}

func TestClientFollowsNoRedirect(t *testing.T) {
	f := withRoundTrip{&fake{life: time.Hour}, func(r *http.Request) (*http.Response, error) {
		resp := answer(r, 302, "")
		resp.Header.Set("Location", "http://evil.test/")
		return resp, nil
	}}
	during(t, f, func(t *testing.T, s *session.Session) {
		if resp := get(t, s.Client(), "http://pbx.test/call"); resp.StatusCode != 302 {
			t.Fatalf("status %d", resp.StatusCode)
		}
	})
}

// withRoundTrip is a driver with connections of its own.
type withRoundTrip struct {
	*fake
	send roundTrip
}

func (w withRoundTrip) Transport() http.RoundTripper { return w.send }

func TestNoErrorOfARequestQuotesTheToken(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Get", URL: r.URL.String() + "?token=token-1", Err: errors.New("no route")}
		}))}
		_, err := client.Get("http://pbx.test/call")
		if err == nil || strings.Contains(err.Error(), "token-1") {
			t.Fatalf("error is %v", err)
		}
	})
}

func TestTheResponsesRequestIsTheClientsOwn(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(answering(200))}
		if resp := get(t, client, "http://pbx.test/call"); resp.Request.Header.Get("Authorization") != "" {
			t.Fatal("the answer carries the authorized request")
		}
	})
}

func TestBodiesComeThroughWhole(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789"), 100_000)
	broken := errors.New("the line went dead")
	for _, row := range []struct {
		name, media string
		body        io.Reader
		want        []byte
		err         error
	}{
		{"empty", "application/json", bytes.NewReader(nil), nil, nil},
		{"large", "application/json", bytes.NewReader(large), large, nil},
		{"a recording", "audio/wav", bytes.NewReader(large), large, nil},
		{"broken off", "application/json", io.MultiReader(strings.NewReader("half"), &failing{broken}), []byte("half"), broken},
	} {
		t.Run(row.name, func(t *testing.T) {
			during(t, inspecting{&fake{life: time.Hour}}, func(t *testing.T, s *session.Session) {
				closed := false
				client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
					resp := answer(r, 200, "")
					resp.Header.Set("Content-Type", row.media)
					resp.Body = closing{row.body, &closed}
					return resp, nil
				}))}
				resp, err := client.Get("http://pbx.test/call")
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				if !errors.Is(err, row.err) || !bytes.Equal(got, row.want) {
					t.Fatalf("%d bytes and %v, want %d and %v", len(got), err, len(row.want), row.err)
				}
				resp.Body.Close()
				if !closed {
					t.Fatal("the PBX's body was not closed")
				}
			})
		})
	}
}

// failing returns its error once.
type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) {
	err := f.err
	f.err = io.EOF
	return 0, err
}

type closing struct {
	io.Reader
	closed *bool
}

func (c closing) Close() error { *c.closed = true; return nil }

func TestAStreamIsNotWaitedFor(t *testing.T) {
	for _, media := range []string{"text/event-stream", "application/stream+json", "application/x-ndjson", "multipart/x-mixed-replace; boundary=x", "audio/wav", "application/octet-stream"} {
		during(t, inspecting{&fake{life: time.Hour}}, func(t *testing.T, s *session.Session) {
			reader, writer := io.Pipe()
			client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 200, "")
				resp.Header.Set("Content-Type", media)
				resp.Body = reader
				return resp, nil
			}))}
			resp, err := client.Get("http://pbx.test/events") // would block on the silent pipe
			if err != nil {
				t.Fatalf("%s: %v", media, err)
			}
			writer.Close()
			resp.Body.Close()
		})
	}
}

// A refusal that nobody could read must not pass for traffic that the PBX took.
func TestACompressedResponseDoesNotProlongTheToken(t *testing.T) {
	f := &fake{life: 30 * time.Minute, traits: pbx.Traits{Sliding: true}}
	during(t, inspecting{f}, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, "\x1f\x8b and so on")
			resp.Header.Set("Content-Encoding", "gzip")
			return resp, nil
		}))}
		mustToken(t, s)
		for range 60 {
			time.Sleep(time.Minute)
			get(t, client, "http://pbx.test/call")
		}
		if _, beats, _ := f.counts(); beats < 2 {
			t.Errorf("%d keep-alives in an hour", beats)
		}
	})
}

func TestWithoutATokenARequestGetsTheSessionsError(t *testing.T) {
	during(t, &fake{login: fails(pbx.ErrInvalidCredentials, true)}, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(answering(200))}
		_, err := client.Get("http://pbx.test/call")
		wantKind(t, err, pbx.ErrInvalidCredentials)
	})
}

// plain has the three methods and nothing else.
type plain struct{ f *fake }

func (p plain) Login(ctx context.Context) (*pbx.Token, error) { return p.f.Login(ctx) }
func (p plain) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	return p.f.KeepAlive(ctx, t)
}
func (p plain) Logout(ctx context.Context, t *pbx.Token) error { return p.f.Logout(ctx, t) }

func TestWithoutAnAuthorizerThereAreTokensAndNoClient(t *testing.T) {
	during(t, plain{&fake{life: time.Hour}}, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		_, err := s.Client().Get("http://127.0.0.1/call")
		wantKind(t, err, pbx.ErrNotSupported)
	})
}

func TestTheWaitForARequestWithoutADeadlineIsBounded(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))}
		start := time.Now()
		_, err := client.Get("http://pbx.test/call")
		wantKind(t, err, pbx.ErrUnavailable)
		wantKind(t, err, context.DeadlineExceeded)
		if took := time.Since(start); took != 30*time.Second {
			t.Fatalf("it took %s", took)
		}
	})
}

func TestTheWaitForAResponseThatStopsAfterItsHeaderIsBounded(t *testing.T) {
	during(t, inspecting{&fake{life: time.Hour}}, func(t *testing.T, s *session.Session) {
		closed := false
		client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, "")
			resp.Body = closing{slow{r.Context()}, &closed}
			return resp, nil
		}))}
		start := time.Now()
		_, err := client.Get("http://pbx.test/call")
		wantKind(t, err, pbx.ErrUnavailable)
		if took := time.Since(start); took != 30*time.Second || !closed {
			t.Fatalf("it took %s, closed: %v", took, closed)
		}
	})
}

func TestAWebSocketGoesThroughASession(t *testing.T) {
	during(t, inspecting{&fake{life: time.Hour}}, func(t *testing.T, s *session.Session) {
		near, far := net.Pipe()
		client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			context.AfterFunc(r.Context(), func() { near.Close() })
			resp := answer(r, 101, "")
			resp.Body = near
			return resp, nil
		}))}
		resp, err := client.Get("http://pbx.test/events") // would block on the silent connection
		if err != nil {
			t.Fatal(err)
		}
		socket, ok := resp.Body.(io.ReadWriteCloser)
		if !ok {
			t.Fatal("the connection cannot be written to")
		}
		go io.Copy(far, far) // an echo
		io.WriteString(socket, "hello")
		got := make([]byte, 5)
		if _, err := io.ReadFull(socket, got); err != nil || string(got) != "hello" {
			t.Fatalf("read %q, %v", got, err)
		}
		socket.Close()
	})
}

func TestABodyMayTakeLongerThanTheDeadlineForItsBeginning(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		var sent *http.Request
		client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			sent = r
			resp := answer(r, 200, "")
			resp.Header.Set("Content-Type", "audio/wav")
			resp.Body, resp.ContentLength = io.NopCloser(slow{r.Context()}), -1
			return resp, nil
		}))}
		resp, err := client.Get("http://pbx.test/recording")
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "done" {
			t.Fatalf("body %q, %v", body, err)
		}
		if err := sent.Context().Err(); err != nil {
			t.Fatalf("the request was ended under its reader: %v", err)
		}
		resp.Body.Close()
		if sent.Context().Err() == nil {
			t.Fatal("the request's context is not released")
		}
	})
}

// slow is a body that takes an hour.
type slow struct{ ctx context.Context }

func (s slow) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Hour):
		return copy(p, "done"), io.EOF
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

func TestOneRequestThatIsAlwaysRefusedDoesNotSpoilTheOthers(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/admin" {
				return answer(r, 401, ""), nil
			}
			return answer(r, 200, "{}"), nil
		}))}
		for i := range 3600 {
			if i%10 == 0 {
				get(t, client, "http://pbx.test/admin")
			}
			if resp := get(t, client, "http://pbx.test/call"); resp.StatusCode != 200 {
				t.Fatalf("call %d: status %d", i, resp.StatusCode)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestALocationThatQuotesTheTokenIsCut(t *testing.T) {
	for location, want := range map[string]string{
		"https://evil.test/a?t=a%2bb%2fc%3d%3d": "https://evil.test/a",
		"https://evil.test/a?x=1&t=a+b/c==":     "https://evil.test/a",
		"https://evil.test/a%2Bb/c==":           "",
		"/%zz?t=a%2Bb%2Fc%3D%3D":                "", // http.Client would quote what it cannot read
		"https://evil.test/a#a+b/c==":           "https://evil.test/a",
		"https://evil.test/a?x=1":               "https://evil.test/a?x=1",
	} {
		f := &fake{life: time.Hour}
		f.login = func(context.Context) (*pbx.Token, error) { return f.dated("a+b/c=="), nil }
		during(t, f, func(t *testing.T, s *session.Session) {
			client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 201, "")
				resp.Header.Set("Location", location)
				return resp, nil
			}))}
			if got := get(t, client, "http://pbx.test/call").Header.Get("Location"); got != want {
				t.Errorf("%s becomes %s, want %s", location, got, want)
			}
		})
	}
}

func TestAWebPageDoesNotProlongTheToken(t *testing.T) {
	f := &fake{life: 30 * time.Minute, traits: pbx.Traits{Sliding: true}}
	during(t, inspecting{f}, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			return answer(r, 200, "<!DOCTYPE html><html>login, please</html>"), nil
		}))}
		for range 60 {
			get(t, client, "http://pbx.test/call")
			time.Sleep(time.Minute)
		}
		if _, beats, _ := f.counts(); beats < 2 {
			t.Fatalf("%d keep-alives in an hour of web pages", beats)
		}
	})
}

// panicking is a driver whose part in a request panics.
type panicking struct {
	*fake
	inAuthorize, inInspect bool
}

func (p panicking) Authorize(r *http.Request, t *pbx.Token) error {
	if p.inAuthorize {
		panic("the token is " + t.Value.Reveal())
	}
	return p.fake.Authorize(r, t)
}

func (p panicking) Inspect(*http.Response, []byte, *pbx.Token) error {
	if p.inInspect {
		panic("the token is token-1")
	}
	return nil
}

func TestAPanicOfTheDriverDoesNotReachTheApplication(t *testing.T) {
	during(t, panicking{fake: &fake{life: time.Hour}, inAuthorize: true}, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(answering(200))}
		_, err := client.Get("http://pbx.test/call")
		wantKind(t, err, pbx.ErrUnavailable)
		if strings.Contains(err.Error(), "token-1") {
			t.Errorf("error is %v", err)
		}
	})
	during(t, panicking{fake: &fake{life: time.Hour}, inInspect: true}, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(answering(200))}
		if resp := get(t, client, "http://pbx.test/call"); resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

func TestAKeyThatThePBXNoLongerAcceptsStopsTheTraffic(t *testing.T) {
	f := revoked{&fake{}}
	during(t, f, func(t *testing.T, s *session.Session) {
		client := &http.Client{Transport: s.Transport(answering(200))}
		get(t, client, "http://pbx.test/call")
		_, err := client.Get("http://pbx.test/call")
		wantKind(t, err, pbx.ErrInvalidCredentials)
		wantState(t, s, session.Rejected)
		wantCounts(t, f.fake, 1, 0, 0)
	})
}

// revoked reads every response as a refusal of the credentials.
type revoked struct{ *fake }

func (revoked) Inspect(*http.Response, []byte, *pbx.Token) error {
	return &pbx.Error{Driver: "fake", Op: pbx.OpRequest, Kind: pbx.ErrInvalidCredentials, Sent: true}
}

// unconnected is a fake without connections of its own.
type unconnected struct{ *fake }

func (unconnected) Transport() http.RoundTripper { return nil }

func over(base http.RoundTripper, s *session.Session) *http.Client {
	return &http.Client{Transport: s.Transport(base)}
}

func TestWithoutConnectionsOfTheDriversOwnCallsGoOverTheDefaultOnes(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	http.DefaultTransport = answering(204)
	during(t, unconnected{&fake{}}, func(t *testing.T, s *session.Session) {
		if resp := get(t, s.Client(), "http://pbx.test/call"); resp.StatusCode != 204 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

// judgingEach asks a func about every response.
type judgingEach struct {
	*fake
	judge func(*http.Response, []byte) error
}

func (j judgingEach) Inspect(r *http.Response, body []byte, _ *pbx.Token) error {
	return j.judge(r, body)
}

// mute cannot put its token into a request.
type mute struct{ *fake }

func (mute) Authorize(*http.Request, *pbx.Token) error { return errors.New("the body is not JSON") }

func TestARequestsBodyIsClosedWhateverHappens(t *testing.T) {
	f := &fake{life: time.Hour}
	for name, auth := range map[string]pbx.Authenticator{
		"there is no token":             &fake{login: fails(pbx.ErrInvalidCredentials, true)},
		"there is no place for it":      plain{f},
		"it cannot be put there":        mute{f},
		"there is no second token":      inspecting{&fake{life: time.Hour}},
		"the PBX takes it":              f,
		"without a body, and no token":  &fake{login: fails(pbx.ErrInvalidCredentials, true)},
		"without a body, nor its place": plain{f},
	} {
		t.Run(name, func(t *testing.T) {
			during(t, auth, func(t *testing.T, s *session.Session) {
				opened, closed := 0, 0
				open := func() (io.ReadCloser, error) {
					opened++
					return counting{strings.NewReader("x"), &closed}, nil
				}
				r, _ := http.NewRequest(http.MethodPost, "http://pbx.test/call", nil)
				if !strings.HasPrefix(name, "without") {
					r.Body, _ = open()
					r.GetBody = open
				}
				sent := 0
				resp, err := s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
					sent++
					if r.Body != nil {
						r.Body.Close()
					}
					if i, ok := auth.(inspecting); ok {
						i.set(func() { i.login = fails(pbx.ErrInvalidCredentials, true) })
						return answer(r, 200, "refused"), nil
					}
					return answer(r, 200, ""), nil
				})).RoundTrip(r)
				if opened != closed {
					t.Errorf("%d bodies were opened and %d closed", opened, closed)
				}
				if good := name == "the PBX takes it"; good != (err == nil) || good != (resp != nil) {
					t.Errorf("answer %v, error %v", resp, err)
				}
				if _, muted := auth.(mute); muted && sent != 0 {
					t.Error("a request went out without its token")
				}
			})
		})
	}
}

type counting struct {
	io.Reader
	closed *int
}

func (c counting) Close() error { *c.closed++; return nil }

func TestWhatARepetitionNeedsAndBrings(t *testing.T) {
	cause := errors.New("no route")
	for _, row := range []struct {
		name      string
		body      io.ReadCloser
		getBody   func() (io.ReadCloser, error)
		second    error
		sent      int
		want      string
		wantError error
	}{
		{"an empty body needs nothing", http.NoBody, nil, nil, 2, "welcome", nil},
		{"a body that cannot be had again after all", io.NopCloser(strings.NewReader("x")), func() (io.ReadCloser, error) { return nil, cause }, nil, 1, "refused", nil},
		{"the repetition fails", nil, nil, cause, 2, "", cause},
	} {
		t.Run(row.name, func(t *testing.T) {
			during(t, inspecting{&fake{life: time.Hour}}, func(t *testing.T, s *session.Session) {
				closed, sent := 0, 0
				r, _ := http.NewRequest(http.MethodPost, "http://pbx.test/call", nil)
				r.Body, r.GetBody = row.body, row.getBody
				resp, err := s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
					if sent++; sent == 2 {
						return answer(r, 200, "welcome"), row.second
					}
					resp := answer(r, 200, "refused")
					resp.Body = counting{resp.Body, &closed}
					return resp, nil
				})).RoundTrip(r)
				if sent != row.sent || !errors.Is(err, row.wantError) {
					t.Fatalf("%d requests, error %v", sent, err)
				}
				if sent == 2 && closed != 1 {
					t.Error("the refusal's body is left open")
				}
				if err != nil {
					return
				}
				if body, _ := io.ReadAll(resp.Body); string(body) != row.want || resp.Request != r {
					t.Errorf("answer %q, to the caller's own request: %v", body, resp.Request == r)
				}
			})
		})
	}
}

func TestTheErrorOfAFailedRequestIsTheConnectionsOwn(t *testing.T) {
	cause := errors.New("no route")
	during(t, &fake{}, func(t *testing.T, s *session.Session) {
		var ctx context.Context
		_, err := over(roundTrip(func(r *http.Request) (*http.Response, error) { ctx = r.Context(); return nil, cause }), s).Get("http://pbx.test/call")
		wantKind(t, err, cause)
		if ctx.Err() == nil {
			t.Error("the request's context is not released")
		}
	})
}

func TestNoErrorOfARequestQuotesTheTokenInWhateverSpelling(t *testing.T) {
	for _, quoted := range []string{"a+b/c==", "a%2Bb%2Fc%3D%3D"} {
		f := &fake{}
		f.login = func(context.Context) (*pbx.Token, error) { return f.dated("a+b/c=="), nil }
		during(t, f, func(t *testing.T, s *session.Session) {
			_, err := over(roundTrip(func(r *http.Request) (*http.Response, error) { return nil, errors.New("no route for " + quoted) }), s).Get("http://pbx.test/call")
			wantKind(t, err, pbx.ErrUnavailable)
			var failure *pbx.Error
			if !errors.As(err, &failure) || !failure.Sent || strings.Contains(err.Error(), quoted) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestALocationThatCannotBeReadAndQuotesTheTokenIsTakenAway(t *testing.T) {
	f := &fake{}
	f.login = func(context.Context) (*pbx.Token, error) { return f.dated("a+b/c=="), nil }
	during(t, f, func(t *testing.T, s *session.Session) {
		resp := get(t, over(roundTrip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 201, "")
			resp.Header.Set("Location", "https://evil.test/%zz?t=a+b/c==")
			return resp, nil
		}), s), "http://pbx.test/call")
		if got := resp.Header.Get("Location"); got != "" {
			t.Errorf("it becomes %s", got)
		}
	})
}

func TestTheTokenGoesToThePBXHoweverItsPortIsSpelled(t *testing.T) {
	for _, row := range []struct {
		pbx, url   string
		authorized bool
	}{
		{"http://pbx.test", "http://pbx.test:80/call", true},
		{"http://pbx.test:80", "http://pbx.test/call", true},
		{"http://pbx.test:443", "http://pbx.test/call", false},
		{"http://pbx.test", "http://pbx.test:443/call", false},
	} {
		during(t, &fake{traits: pbx.Traits{URL: row.pbx}}, func(t *testing.T, s *session.Session) {
			seen := ""
			over(roundTrip(func(r *http.Request) (*http.Response, error) {
				seen = r.Header.Get("Authorization")
				return answer(r, 200, ""), nil
			}), s).Get(row.url)
			if (seen != "") != row.authorized {
				t.Errorf("%s of %s: Authorization: %q", row.url, row.pbx, seen)
			}
		})
	}
}

func TestARedirectWithinThePBXKeepsTheTokenThoughItsAddressIsNotKnown(t *testing.T) {
	during(t, &fake{}, func(t *testing.T, s *session.Session) {
		seen := map[string]string{}
		get(t, over(roundTrip(func(r *http.Request) (*http.Response, error) {
			seen[r.URL.Path] = r.Header.Get("Authorization")
			resp := answer(r, 200, "")
			if r.URL.Path == "/call" {
				resp.StatusCode = 302
				resp.Header.Set("Location", "/there")
			}
			return resp, nil
		}), s), "http://pbx.test/call")
		if seen["/there"] != "Bearer token-1" {
			t.Errorf("seen %q", seen)
		}
	})
}

func TestARequestWithoutABodyIsNotSentAgainByTheConnection(t *testing.T) {
	for _, method := range []string{"", "GET", "HEAD", "OPTIONS", "TRACE"} {
		for _, body := range []io.ReadCloser{nil, http.NoBody} {
			during(t, &fake{}, func(t *testing.T, s *session.Session) {
				r, _ := http.NewRequest("GET", "http://pbx.test/call", nil)
				r.Method, r.Body = method, body
				_, err := s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.Body == nil || r.Body == http.NoBody || r.GetBody != nil {
						t.Errorf("%q with the body %v may be sent twice", method, body)
					} else if got, err := io.ReadAll(r.Body); len(got) > 0 || err != nil {
						t.Errorf("%q: the body is %q, %v", method, got, err)
					}
					return answer(r, 200, ""), nil
				})).RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// Over HTTP/2 net/http repeats a request without a body, whatever its method, and without a
// pause, as long as the server ends it so.
func TestARequestWithoutABodyIsSentOnceOverHTTP2(t *testing.T) {
	home, got, base := resetting.Serve(t)
	s, end := on(&session.Guard{}, &fake{traits: pbx.Traits{URL: home}})
	defer end()
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		for _, deadline := range []bool{false, true} {
			got.Store(0)
			ctx := t.Context()
			if deadline {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Minute)
				defer cancel()
			}
			r, _ := http.NewRequestWithContext(ctx, method, home+"/call", nil)
			_, err := over(base, s).Do(r)
			if n := got.Load(); err == nil || n != 1 {
				t.Errorf("%s is sent %d times: %v", method, n, err)
			}
		}
	}
}

func TestATraceOfARequestSeesNoHeaderWithTheToken(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		base := roundTrip(func(r *http.Request) (*http.Response, error) {
			r.Write(io.Discard) // net/http's own, with its trace
			return answer(r, 200, ""), nil
		})
		var seen []string
		written := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			WroteHeaderField: func(name string, values []string) { seen = append(seen, name+": "+strings.Join(values, ",")) },
			WroteRequest:     func(httptrace.WroteRequestInfo) { written++ },
		})
		for _, ctx := range []context.Context{ctx, httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{})} {
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://pbx.test/call", nil)
			r.Header.Set("X-Trace", "7")
			if _, err := over(base, s).Do(r); err != nil {
				t.Fatal(err)
			}
		}
		if all := strings.Join(seen, "\n"); strings.Contains(all, "token-1") || !strings.Contains(all, "X-Trace: 7") || written != 1 {
			t.Errorf("the trace saw %q, and %d requests", seen, written)
		}
	})
}

func TestAnInspectorSeesTheRequestAsItWasAuthorizedAndTheBodysBeginning(t *testing.T) {
	seen := -1
	auth := judgingEach{&fake{}, func(r *http.Response, body []byte) error {
		if r.Request.Header.Get("Authorization") != "Bearer token-1" {
			t.Error("the request is not the one that was sent")
		}
		seen = len(body)
		return nil
	}}
	during(t, auth, func(t *testing.T, s *session.Session) {
		for size, want := range map[int]int{0: 0, 1: 1, 100_000: 64 << 10} {
			for _, told := range []int64{-1, int64(size), 1 << 60} {
				resp, err := over(roundTrip(func(r *http.Request) (*http.Response, error) {
					resp := answer(r, 200, strings.Repeat("x", size))
					resp.Request, resp.ContentLength = nil, told
					return resp, nil
				}), s).Get("http://pbx.test/call")
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(resp.Body); len(body) != size || seen != want || err != nil {
					t.Errorf("of %d bytes %d came through and %d were shown (%v)", size, len(body), seen, err)
				}
			}
		}
	})
}

func TestAResponseWithoutABodyIsAnEmptyOne(t *testing.T) {
	during(t, inspecting{&fake{}}, func(t *testing.T, s *session.Session) {
		resp, err := s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, "")
			resp.Body = nil
			return resp, nil
		})).RoundTrip(httpGet())
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); len(body) > 0 || err != nil {
			t.Errorf("body %q, %v", body, err)
		}
	})
}

func httpGet() *http.Request {
	r, _ := http.NewRequest(http.MethodGet, "http://pbx.test/call", nil)
	return r
}

func TestMediaAreNotWaitedFor(t *testing.T) {
	for _, media := range []string{"audio/wav", "Video/MP4; codecs=x", "image/png", "application/octet-stream", "text/event-stream"} {
		during(t, inspecting{&fake{}}, func(t *testing.T, s *session.Session) {
			start := time.Now()
			resp, err := over(roundTrip(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 200, "")
				resp.Header.Set("Content-Type", media)
				resp.Body, resp.ContentLength = io.NopCloser(slow{r.Context()}), -1
				return resp, nil
			}), s).Get("http://pbx.test/recording")
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("%s: the answer took %s", media, took)
			}
			resp.Body.Close()
		})
	}
}

func TestARequestsOwnDeadlineHolds(t *testing.T) {
	during(t, &fake{}, func(t *testing.T, s *session.Session) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		resp, err := s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(10 * time.Minute):
				return answer(r, 200, ""), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})).RoundTrip(httpGet().WithContext(ctx))
		if err != nil || time.Since(start) != 10*time.Minute {
			t.Fatalf("after %s: %v", time.Since(start), err)
		}
		resp.Body.Close()
	})
}

func TestARequestWithoutAResponseCountsAsSent(t *testing.T) {
	during(t, &fake{}, func(t *testing.T, s *session.Session) {
		_, err := over(roundTrip(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }), s).Get("http://pbx.test/call")
		var failure *pbx.Error
		if !errors.As(err, &failure) || !failure.Sent {
			t.Errorf("error is %v", err)
		}
	})
}

func TestWhichResponsesProlongTheToken(t *testing.T) {
	for _, row := range []struct {
		name   string
		status int
		body   string
		counts bool
	}{
		{"an answer", 200, `{"status":"Success","data":[{"id":1}]}`, true},
		{"one without a body", 204, "", true},
		{"a web page", 200, "<!DOCTYPE html><html>login, please</html>", false},
		{"a web page without a type", 200, "<html>login, please</html>", false},
		{"one after an empty line", 200, "\n  <!doctype html><html>login, please</html>", false},
		{"one after a byte order mark", 200, "\xef\xbb\xbf<!DOCTYPE html><html>login, please</html>", false},
		{"one after a comment", 200, "<!-- login --><html>login, please</html>", false},
		{"one in XHTML", 200, `<?xml version="1.0"?>` + "\n" + `<!DOCTYPE html PUBLIC "x"><html>login, please</html>`, false},
		{"a part of one", 200, "<head><title>login, please</title></head>", false},
		{"an answer in XML", 200, `<?xml version="1.0"?>` + "\n" + `<response status="Success"/>`, true},
		{"a redirect", 302, "", false},
		{"a path that is not there", 404, `{"status":"Failed"}`, false},
		{"a PBX in trouble", 500, `{"status":"Failed"}`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			during(t, inspecting{&fake{life: time.Hour, traits: pbx.Traits{Sliding: true}}}, func(t *testing.T, s *session.Session) {
				mustToken(t, s)
				before := s.Status().ExpiresAt
				time.Sleep(time.Minute)
				get(t, over(roundTrip(func(r *http.Request) (*http.Response, error) { return answer(r, row.status, row.body), nil }), s), "http://pbx.test/call")
				if after := s.Status().ExpiresAt; after.After(before) != row.counts {
					t.Errorf("the token ended at %s and ends at %s", before, after)
				}
			})
		})
	}
}

func TestARefusalUnderHTTP200IsNoProofThatThePBXTakesTheToken(t *testing.T) {
	during(t, inspecting{&fake{life: time.Hour}}, func(t *testing.T, s *session.Session) {
		client := over(roundTrip(func(r *http.Request) (*http.Response, error) { return answer(r, 200, "refused"), nil }), s)
		for range 3 {
			get(t, client, "http://pbx.test/call")
		}
		_, err := client.Get("http://pbx.test/call")
		wantKind(t, err, pbx.ErrTokenRejected)
		wantState(t, s, session.Unavailable)
	})
}

func TestAResponseAboutAnEarlierTokenSaysNothingOfThisOne(t *testing.T) {
	f := &fake{life: time.Hour}
	during(t, f, func(t *testing.T, s *session.Session) {
		get(t, over(roundTrip(func(r *http.Request) (*http.Response, error) {
			for range 3 {
				s.Invalidate(mustToken(t, s))
			}
			mustToken(t, s)
			return answer(r, 200, "{}"), nil
		}), s), "http://pbx.test/call")
		s.Invalidate(mustToken(t, s)) // the fourth early one
		wantState(t, s, session.Unavailable)
	})
	f = &fake{life: time.Hour}
	during(t, f, func(t *testing.T, s *session.Session) { // and where there is none
		get(t, over(roundTrip(func(r *http.Request) (*http.Response, error) {
			f.set(func() { f.login = fails(pbx.ErrUnavailable, false) })
			s.Invalidate(mustToken(t, s))
			time.Sleep(100 * time.Millisecond)
			return answer(r, 200, "{}"), nil
		}), s), "http://pbx.test/call")
		wantState(t, s, session.Unavailable)
	})
}

func TestNoHeaderOfAResponseQuotesTheToken(t *testing.T) {
	f := &fake{life: time.Hour}
	f.login = func(context.Context) (*pbx.Token, error) { return f.dated("a+b/c=="), nil }
	during(t, f, func(t *testing.T, s *session.Session) {
		resp := get(t, over(roundTrip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, "")
			for _, name := range []string{"Set-Cookie", "Refresh", "Link", "Content-Location"} {
				resp.Header.Set(name, "x=a%2Bb%2fc%3d%3d")
			}
			resp.Header["Location"] = []string{"/next", "/next?token=a+b/c=="}
			resp.Header.Set("Content-Language", "de")
			return resp, nil
		}), s), "http://pbx.test/call")
		for _, name := range []string{"Set-Cookie", "Refresh", "Link", "Content-Location"} {
			if got := resp.Header.Get(name); got != "" {
				t.Errorf("%s: %s", name, got)
			}
		}
		if got := resp.Header["Location"]; len(got) != 2 || got[1] != "/next" || resp.Header.Get("Content-Language") != "de" {
			t.Errorf("%v", resp.Header)
		}
	})
}

func TestAnErrorWhileABodyIsReadQuotesNoToken(t *testing.T) {
	f := &fake{life: time.Hour}
	f.login = func(context.Context) (*pbx.Token, error) { return f.dated("a+b/c=="), nil }
	during(t, f, func(t *testing.T, s *session.Session) {
		for _, inspected := range []string{"application/json", "audio/wav"} {
			resp, err := over(roundTrip(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 200, "")
				resp.Header.Set("Content-Type", inspected)
				resp.ContentLength = -1
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(errors.New(`malformed trailer: "X: a%2Bb%2fc%3d%3d"`))))
				return resp, nil
			}), s).Get("http://pbx.test/call")
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil || strings.Contains(err.Error(), "c%3d") {
				t.Errorf("%s: error is %v", inspected, err)
			}
		}
	})
}

func TestARequestWithAnOpaqueURLIsNotSent(t *testing.T) {
	for _, home := range []string{"http://pbx.test", ""} {
		during(t, &fake{life: time.Hour, traits: pbx.Traits{URL: home}}, func(t *testing.T, s *session.Session) {
			sent := 0
			client := over(roundTrip(func(r *http.Request) (*http.Response, error) {
				sent++
				return answer(r, 200, ""), nil
			}), s)
			_, err := client.Do(&http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: "pbx.test", Opaque: "//evil.test/call"}, Header: http.Header{}})
			wantKind(t, err, pbx.ErrConfig)
			if sent != 0 {
				t.Error("it is sent")
			}
		})
	}
}

// A reverse proxy hands on the Host that its client chose.
func TestARequestWithAHostOfItsOwnIsSentToThePBX(t *testing.T) {
	during(t, &fake{life: time.Hour, traits: pbx.Traits{URL: "http://pbx.test"}}, func(t *testing.T, s *session.Session) {
		ask := func() *http.Request {
			r := httptest.NewRequest(http.MethodGet, "http://pbx.test/call", nil)
			r.Host = "evil.test"
			return r
		}
		toPBX := func(r *http.Request) error {
			var sent strings.Builder
			r.WriteProxy(&sent)
			if !strings.HasPrefix(sent.String(), "GET http://pbx.test/call HTTP/1.1\r\nHost: pbx.test\r\n") {
				t.Errorf("a proxy is sent %q", sent.String())
			}
			return nil
		}
		client := over(roundTrip(func(r *http.Request) (*http.Response, error) { return answer(r, 200, ""), toPBX(r) }), s)
		resp, err := client.Transport.RoundTrip(ask())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		r := ask()
		if err := s.Authorize(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		toPBX(r)
	})
}

func TestARequestWithoutAURLIsAnErrorAndItsBodyIsClosed(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		for name, send := range map[string]func(*http.Request) (*http.Response, error){
			"Transport": s.Transport(answering(200)).RoundTrip, "Do": s.Do,
		} {
			closed := 0
			_, err := send(&http.Request{Method: http.MethodPost, Body: counting{strings.NewReader("x"), &closed}})
			wantKind(t, err, pbx.ErrConfig)
			if closed != 1 {
				t.Errorf("%s: the body was closed %d times", name, closed)
			}
		}
		_, err := s.Do(nil)
		wantKind(t, err, pbx.ErrConfig)
	})
}

func TestDoClosesABodyThatItCannotSendAndAuthorizeLeavesItOpen(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) { // it does not say where the PBX is
		closed := 0
		r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/call"}, Body: counting{strings.NewReader("x"), &closed}}
		wantKind(t, s.Authorize(t.Context(), r), pbx.ErrConfig)
		if closed != 0 || r.Header != nil || r.URL.Host != "" {
			t.Errorf("a request that was refused is changed: %+v, closed %d times", r, closed)
		}
		_, err := s.Do(r)
		wantKind(t, err, pbx.ErrConfig)
		if closed != 1 {
			t.Errorf("the body was closed %d times", closed)
		}
	})
}

func TestABaseThatReturnsNothingIsAnError(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		_, err := s.Transport(roundTrip(func(*http.Request) (*http.Response, error) { return nil, nil })).RoundTrip(httpGet())
		wantKind(t, err, pbx.ErrUnavailable)
	})
}

// A refusal comes in the body, under HTTP 200. Without the whole of it nobody knows.
func TestAResponseThatWasNotReadIsNoProofThatThePBXTakesTheToken(t *testing.T) {
	broken := iotest.ErrReader(io.ErrUnexpectedEOF)
	for _, row := range []struct {
		name, method string
		body         io.Reader
		counts       bool
	}{
		{"it breaks off at once", http.MethodGet, broken, false},
		{"it breaks off in the middle", http.MethodGet, io.MultiReader(strings.NewReader("ref"), broken), false},
		{"it has a header only", http.MethodHead, strings.NewReader(""), false},
		{"it is empty", http.MethodGet, strings.NewReader(""), true},
	} {
		t.Run(row.name, func(t *testing.T) {
			during(t, inspecting{&fake{life: time.Hour, traits: pbx.Traits{Sliding: true}}}, func(t *testing.T, s *session.Session) {
				mustToken(t, s)
				before := s.Status().ExpiresAt
				time.Sleep(time.Minute)
				r := httpGet()
				r.Method = row.method
				resp, err := s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
					resp := answer(r, 200, "")
					resp.Body, resp.ContentLength = io.NopCloser(row.body), 7
					return resp, nil
				})).RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if after := s.Status().ExpiresAt; after.After(before) != row.counts {
					t.Errorf("the token ended at %s and ends at %s", before, after)
				}
			})
		})
	}
}

func TestNoStatusLineAndNoTrailerQuotesTheToken(t *testing.T) {
	f := &fake{life: time.Hour}
	during(t, f, func(t *testing.T, s *session.Session) {
		for _, size := range []int{0, 200_000} { // the trailer comes after the body, of which 64 KB are read at once
			resp, err := over(roundTrip(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 404, "")
				resp.Status, resp.ContentLength = "404 no such page for token-1", -1
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", size)), &ending{func() {
					resp.Trailer = http.Header{"X-Trace": {"token-1"}, "X-Sum": {"7"}}
				}}))
				return resp, nil
			}), s).Get("http://pbx.test/call")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.Status != "404 Not Found" || len(resp.Trailer) != 1 || resp.Trailer.Get("X-Sum") != "7" {
				t.Errorf("status %q, trailer %v", resp.Status, resp.Trailer)
			}
		}
	})
}

// ending does something at its end.
type ending struct{ then func() }

func (e *ending) Read([]byte) (int, error) {
	e.then()
	return 0, io.EOF
}

// The drivers read other statuses than 2xx as failures, and a frame is not HTTP.
func TestAResponseThatSwitchesProtocolsIsNoFailureAndItsFramesAreNotLookedAt(t *testing.T) {
	looks := 0
	auth := judgingEach{&fake{life: time.Hour}, func(*http.Response, []byte) error {
		looks++
		return &pbx.Error{Driver: "fake", Op: pbx.OpRequest, Kind: pbx.ErrTokenRejected, Sent: true}
	}}
	during(t, sending{auth, func(r *http.Request) (*http.Response, error) { return answer(r, 101, "refused"), nil }}, func(t *testing.T, s *session.Session) {
		resp, err := s.Do(httpGet())
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "refused" || err != nil || looks != 0 {
			t.Errorf("body %q, %v, looked at %d times", body, err, looks)
		}
		resp.Body.Close()
		wantState(t, s, session.Live)
	})
}

// sending is one that judges each response of connections of its own.
type sending struct {
	judgingEach
	send roundTrip
}

func (s sending) Transport() http.RoundTripper { return s.send }

func TestDoSendsTheTrailerThatTheBodyFillsIn(t *testing.T) {
	got := ""
	auth := withRoundTrip{&fake{life: time.Hour, traits: pbx.Traits{URL: "http://pbx.test"}}, func(r *http.Request) (*http.Response, error) {
		io.Copy(io.Discard, r.Body)
		got = r.Trailer.Get("X-Sum")
		return answer(r, 200, ""), nil
	}}
	during(t, auth, func(t *testing.T, s *session.Session) {
		r, _ := http.NewRequest(http.MethodPost, "/call", nil)
		r.Trailer = http.Header{"X-Sum": nil}
		r.Body = io.NopCloser(&ending{func() { r.Trailer.Set("X-Sum", "7") }})
		if _, err := s.Do(r); err != nil || got != "7" {
			t.Errorf("the trailer is %q, %v", got, err)
		}
		if r.URL.Host != "" || r.Header.Get("Authorization") != "" {
			t.Errorf("the application's request is changed: %v %v", r.URL, r.Header)
		}
	})
}

func TestAnErrorAboutAnotherHostIsOneLine(t *testing.T) {
	during(t, &fake{life: time.Hour, traits: pbx.Traits{URL: "http://pbx.test"}}, func(t *testing.T, s *session.Session) {
		r := httpGet()
		r.URL.Host = "evil.test\r\nlevel=info"
		_, err := s.Transport(answering(200)).RoundTrip(r)
		wantKind(t, err, pbx.ErrConfig)
		if strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("error is %q", err)
		}
	})
}

// net/http's RoundTrip waits until a Read of the body returns, also after the
// request's context has ended.
func TestABodyThatBlocksDoesNotHoldUpItsRequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	connections := &http.Transport{}
	defer connections.CloseIdleConnections()
	for _, own := range []bool{true, false} { // a deadline
		s := session.New(&fake{life: time.Hour}, &session.Options{Guard: &session.Guard{}, Timeout: 50 * time.Millisecond})
		defer s.Close(context.Background())
		mustToken(t, s)
		ctx := context.Background()
		if own {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
		}
		reader, writer := io.Pipe()
		go writer.Write([]byte("the beginning"))
		body := &countingPipe{PipeReader: reader}
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, body)
		failed := make(chan error, 1)
		go func() {
			_, err := s.Transport(connections).RoundTrip(r)
			failed <- err
		}()
		select {
		case err := <-failed:
			wantKind(t, err, context.DeadlineExceeded)
		case <-time.After(10 * time.Second):
			t.Fatal("the request waits for its body")
		}
		if n := body.closed.Load(); n != 1 {
			t.Errorf("the body was closed %d times", n)
		}
	}
}

type countingPipe struct {
	*io.PipeReader
	closed atomic.Int32
}

func (c *countingPipe) Close() error {
	c.closed.Add(1)
	return c.PipeReader.Close()
}

// net/http reports whichever it meets first: the end of the context, or the Read
// of the body that this has closed.
func TestABodyOfARequestThatHasEndedSaysWhy(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		reader, _ := io.Pipe()
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://pbx.test/call", reader)
		_, err := s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			_, err := io.ReadAll(r.Body)
			return nil, err
		})).RoundTrip(r)
		wantKind(t, err, context.DeadlineExceeded)
	})
}

func TestARepetitionSendsTheTrailerThatItsOwnBodyFillsIn(t *testing.T) {
	during(t, inspecting{&fake{life: time.Hour}}, func(t *testing.T, s *session.Session) {
		var r *http.Request
		opened := 0
		open := func() (io.ReadCloser, error) {
			opened++
			sum := strconv.Itoa(opened)
			return io.NopCloser(&ending{func() { r.Trailer.Set("X-Sum", sum) }}), nil
		}
		r, _ = http.NewRequest(http.MethodPost, "http://pbx.test/call", nil)
		r.Body, _ = open()
		r.GetBody, r.Trailer = open, http.Header{"X-Sum": nil}
		var sent []string
		if _, err := s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			if sent = append(sent, r.Trailer.Get("X-Sum")); len(sent) == 1 {
				return answer(r, 200, "refused"), nil
			}
			return answer(r, 200, "welcome"), nil
		})).RoundTrip(r); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(sent, []string{"1", "2"}) {
			t.Errorf("the trailers are %q", sent)
		}
	})
}

func TestAClientClosesTheIdleConnectionsOfItsBase(t *testing.T) {
	during(t, &fake{life: time.Hour}, func(t *testing.T, s *session.Session) {
		base := &idling{roundTrip: answering(200)}
		over(base, s).CloseIdleConnections()
		over(answering(200), s).CloseIdleConnections()
		s.Client().CloseIdleConnections()
		if base.closed != 1 {
			t.Errorf("closed %d times", base.closed)
		}
	})
}

type idling struct {
	roundTrip
	closed int
}

func (i *idling) CloseIdleConnections() { i.closed++ }
