package wire_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

var refused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// dialling tells the trace that it looks for a connection, as an http.Transport
// does, and then fails as often as it should.
func dialling(failures int, attempts *int) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		*attempts++
		httptrace.ContextClientTrace(r.Context()).GetConn(r.URL.Host)
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != string(login.Body) {
			return nil, fmt.Errorf("attempt %d has the body %q", *attempts, body)
		}
		if *attempts <= failures {
			return nil, refused
		}
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("ok"))}, nil
	}
}

func TestWhatWasNeverSentIsTriedThreeTimes(t *testing.T) {
	for failures, want := range map[int]struct {
		attempts int
		took     time.Duration
	}{
		0: {1, 0},
		1: {2, 250 * time.Millisecond},
		2: {3, 750 * time.Millisecond},
		9: {3, 750 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			attempts, start := 0, time.Now()
			_, err := open(t, over("pbx.example.com", dialling(failures, &attempts))).Do(t.Context(), login)
			if attempts != want.attempts || time.Since(start) != want.took {
				t.Errorf("%d failures: %d attempts in %s, want %d in %s", failures, attempts, time.Since(start), want.attempts, want.took)
			}
			if failures < 3 {
				if err != nil {
					t.Errorf("%d failures: %v", failures, err)
				}
				return
			}
			wantFailure(t, err, pbx.ErrUnavailable, false, "no connection to pbx.example.com:8088")
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%v does not match its cause", err)
			}
		})
	}
}

func TestARefusedConnectionWasNotSent(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	s.Close()
	_, err := open(t, settings(s.URL)).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrUnavailable, false, "no connection to "+s.Listener.Addr().String())
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v does not match its cause", err)
	}
}

// Each of these may have been a login, so each reaches the PBX once.
func TestWhatMayHaveArrivedIsSentOnce(t *testing.T) {
	drop := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(code)
		}
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		status  int    // of an answer, or
		failure string // part of the error
	}{
		"500":          {status(500), 500, ""},
		"503":          {status(503), 503, ""},
		"429":          {status(429), 429, ""},
		"408":          {status(408), 408, ""},
		"401":          {status(401), 401, ""},
		"dropped":      {drop, 0, "no response from"},
		"truncated":    {truncated, 0, "broke off: unexpected EOF"},
		"cut in chunk": {cutInChunk, 0, "broke off: unexpected EOF"},
		"cut in head":  {raw("HTTP/1.1 200 OK\r\nContent-Le"), 0, "a broken response from"},
		"not HTTP":     {raw(`{"token":"x"}`), 0, "a broken response from"},

		// Words that mean something only where they are net/http's own.
		"not a proxy's": {raw("HTTP/1.1 200 OK\r\nProxy Authentication Required\r\n\r\n"), 0, "a broken response from"},
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			t.Run(name+"/"+method, func(t *testing.T) {
				s := serve(t, test.handler)
				req := login
				req.Method = method
				x, err := open(t, settings(s.URL)).Do(t.Context(), req)
				if test.failure != "" {
					wantFailure(t, err, pbx.ErrUnavailable, true, test.failure)
				} else if err != nil || x.Response.Status != test.status {
					t.Errorf("%v, %v; want status %d", x, err, test.status)
				}
				if got := s.requests.Load(); got != 1 {
					t.Errorf("the server got %d requests, want 1", got)
				}
			})
		}
	}
}

func truncated(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	io.WriteString(w, `{"status":`)
}

func cutInChunk(w http.ResponseWriter, r *http.Request) {
	raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{")(w, r)
}

// raw answers so many bytes and closes the connection.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, answer)
		conn.Close()
	}
}

func TestATransportThatReportsNothingMayHaveSent(t *testing.T) {
	attempts := 0
	_, err := open(t, over("pbx.example.com", func(*http.Request) (*http.Response, error) {
		attempts++
		return nil, refused
	})).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrUnavailable, true, "no response from pbx.example.com:8088")
	if attempts != 1 || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%d attempts, %v", attempts, err)
	}
}

// An answer proves that the request was sent, whatever the transport reported.
func TestARequestWhoseResponseBreaksOffWasSent(t *testing.T) {
	_, err := open(t, over("pbx.example.com", func(r *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(r.Context()).GetConn(r.URL.Host)
		return &http.Response{StatusCode: 207, Body: io.NopCloser(iotest.ErrReader(syscall.ECONNRESET))}, nil
	})).Do(t.Context(), login)
	failure := wantFailure(t, err, pbx.ErrUnavailable, true, "broke off: connection reset by peer")
	if failure.HTTPStatus != 207 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("status %d, %v", failure.HTTPStatus, err)
	}
}

// hang answers nothing until the request is given up.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, fmt.Errorf("gave up: %w", context.Cause(r.Context()))
}

func TestARequestWithoutADeadlineGetsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := open(t, over("pbx.example.com", hang)).Do(context.Background(), login)
		wantFailure(t, err, pbx.ErrUnavailable, true, "no response from pbx.example.com:8088: context deadline exceeded")
		if took := time.Since(start); took != wire.Timeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("gave up after %s with %v, want %s", took, err, wire.Timeout)
		}
	})
}

func TestTheContextsDeadlineHolds(t *testing.T) {
	for _, limit := range []time.Duration{time.Second, 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			start := time.Now()
			_, err := open(t, over("pbx.example.com", hang)).Do(ctx, login)
			if took := time.Since(start); took != limit || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("gave up after %s with %v, want %s", took, err, limit)
			}
		})
	}
}

func TestACancelledRequestIsNotSent(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, cfg := range map[string]pbx.Config{
		"transport": settings(s.URL),
		"silent":    over("pbx.example.com", func(*http.Request) (*http.Response, error) { panic("sent") }),
	} {
		_, err := open(t, cfg).Do(ctx, login)
		wantFailure(t, err, pbx.ErrUnavailable, false, "context canceled")
		if !errors.Is(err, context.Canceled) || s.connections.Load() != 0 {
			t.Errorf("%s: %v, %d connections", name, err, s.connections.Load())
		}
	}
}

func TestACancelledRequestIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts, start := 0, time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := open(t, over("pbx.example.com", dialling(9, &attempts))).Do(ctx, login)
		wantFailure(t, err, pbx.ErrUnavailable, false, "because the URL has none): context deadline exceeded")
		if attempts != 1 || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%d attempts in %s", attempts, time.Since(start))
		}
	})
}

func TestARequestCancelledOnItsWayWasSent(t *testing.T) {
	for name, head := range map[string]bool{"before the head": false, "before the body": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) // or the server would not notice the end
				if head {
					io.WriteString(w, `{"token":`)
					w.(http.Flusher).Flush()
				}
				cancel()
				<-r.Context().Done()
			})
			_, err := open(t, settings(s.URL)).Do(ctx, login)
			wantFailure(t, err, pbx.ErrUnavailable, true, "context canceled")
			if !errors.Is(err, context.Canceled) || s.requests.Load() != 1 {
				t.Errorf("%v, %d requests", err, s.requests.Load())
			}
		})
	}
}

// A context may end with a cause, as that of an errgroup or of signal.NotifyContext, which
// net/http returns. It says nothing about the PBX.
func TestTheCauseOfAContextsEndIsNotThePBXs(t *testing.T) {
	elsewhere := &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{{}}, Err: x509.UnknownAuthorityError{}}
	for name, answer := range map[string]string{"before the head": "", "before the body": `{"token":`} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if answer != "" {
					io.WriteString(w, answer)
					w.(http.Flusher).Flush()
				}
				cancel(elsewhere)
				<-r.Context().Done()
			})
			_, err := open(t, settings(s.URL)).Do(ctx, login)
			wantFailure(t, err, pbx.ErrUnavailable, true, "context canceled")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v does not match the context's error", err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, elsewhere)
		defer cancel()
		_, err := open(t, over("pbx.example.com", func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		})).Do(ctx, login)
		wantFailure(t, err, pbx.ErrUnavailable, true, "context deadline exceeded")
	})
}

// get sends a request of the application's.
func get(t *testing.T, c *wire.Client) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL()+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

// All PBXs share connections: the failure of one must not cost the others theirs.
func TestAFailureLeavesOtherConnectionsAlone(t *testing.T) {
	good := serve(t, func(http.ResponseWriter, *http.Request) {})
	bad := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	c := open(t, settings(good.URL))
	for range 3 {
		get(t, c)
		if _, err := open(t, settings(bad.URL)).Do(t.Context(), login); err == nil {
			t.Fatal("no failure")
		}
	}
	if got := good.connections.Load(); got != 1 {
		t.Errorf("%d connections to the PBX that works, want 1", got)
	}
}

// A PBX that sends more than one response to a request, or a body longer than it
// announced, must not have the rest read as the response to somebody's login, nor
// logged by net/http with a token in it.
func TestADriversRequestHasAConnectionOfItsOwn(t *testing.T) {
	const doubled = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"t\":\"A\"}"
	var std bytes.Buffer
	log.SetOutput(&std)
	defer log.SetOutput(os.Stderr)
	first := true
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/x" { // the application's: its connection is kept
			return
		}
		if !r.Close {
			t.Error("the driver's request wants to keep its connection")
		}
		if !first {
			io.WriteString(w, `{"t":"B"}`)
			return
		}
		first = false
		conn, _, _ := w.(http.Hijacker).Hijack()
		defer conn.Close()
		io.WriteString(conn, doubled+doubled+"canary")
	})
	c := open(t, settings(s.URL))
	get(t, c)
	for _, want := range []string{"A", "B", "B"} {
		x, err := c.Do(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(x.Response.Body); got != `{"t":"`+want+`"}` {
			t.Errorf("%s, want %s's token", got, want)
		}
	}
	if got := s.connections.Load(); got != 4 {
		t.Errorf("%d connections, want one per request", got)
	}
	if std.Len() > 0 {
		t.Errorf("net/http logged: %s", &std)
	}
}

// Small servers cannot read chunked bodies.
func TestEveryRequestHasALength(t *testing.T) {
	for _, method := range []string{"", http.MethodPost, http.MethodPut, http.MethodGet, http.MethodHead, http.MethodDelete} {
		for _, body := range []string{"", "{}"} {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got, err := io.ReadAll(r.Body)
				if r.TransferEncoding != nil || r.ContentLength != int64(len(body)) || string(got) != body || err != nil {
					t.Errorf("%s %q: length %d, transfer encoding %q, body %q, %v", r.Method, body, r.ContentLength, r.TransferEncoding, got, err)
				}
				if method == "" && r.Method != http.MethodPost {
					t.Errorf("method %s, want POST", r.Method)
				}
			})
			req := wire.Request{Op: pbx.OpRequest, Method: method, Path: "/x"}
			if body != "" {
				req.Body = []byte(body)
			}
			if _, err := open(t, settings(s.URL)).Do(t.Context(), req); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestARequestThatCannotBeMadeIsNotSent(t *testing.T) {
	req := login
	req.Method = "NO METHOD"
	_, err := open(t, settings("pbx.example.com")).Do(t.Context(), req)
	if failure := wantFailure(t, err, pbx.ErrConfig, false, "https://pbx.example.com:8088"); failure.Op != pbx.OpLogin {
		t.Errorf("op %q", failure.Op)
	}
}

// A transport of the application's may look names up itself.
func TestANameThatIsNotFoundMatchesItsCause(t *testing.T) {
	_, err := open(t, over("pbx.example.com", func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("looking up: %w", &net.DNSError{Err: "no such host", Name: "pbx.example.com", IsNotFound: true})
	})).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrUnavailable, true, "no such host")
	if cause := (*net.DNSError)(nil); !errors.As(err, &cause) || !cause.IsNotFound {
		t.Errorf("%v lost its cause", err)
	}
}

// net/http says only in the text of an error that the server spoke first.
func TestAServerThatSpeaksFirstIsNoOutage(t *testing.T) {
	cfg := over("pbx.example.com", func(*http.Request) (*http.Response, error) {
		return nil, errors.New("readLoopPeekFailLocked: %!w(<nil>)")
	})
	_, err := open(t, cfg).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrConfig, false, "speaks before it is asked")
}

// People take the port of another service for the brand's.
func TestAServiceThatIsKnownByItsGreetingIsNamed(t *testing.T) {
	endpoint := brand
	endpoint.Greetings = []wire.Greeting{{Prefix: "Some Manager", Advice: "this is the manager's port"}, {Prefix: "SSH-2", Advice: "this is the port of SSH"}}
	greeting := func(text string) string { return serve(t, raw(text)).URL }
	first := over("pbx.example.com", func(*http.Request) (*http.Response, error) {
		return nil, errors.New("readLoopPeekFailLocked: %!w(<nil>)")
	})
	for name, tt := range map[string]struct {
		cfg  pbx.Config
		want string
	}{
		"two words":          {settings(greeting("Some Manager/9.0.0\r\n")), ": this is the manager's port"},
		"one word":           {settings(greeting("SSH-2.0-OpenSSH_9.2\r\n")), ": this is the port of SSH"},
		"before it is asked": {first, "check the URL's port; perhaps this is the manager's port"},
	} {
		c, err := wire.New(endpoint, tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Do(t.Context(), login)
		if failure := wantFailure(t, err, pbx.ErrConfig, false, tt.want); failure.Setting != "URL" {
			t.Errorf("%s: setting %q", name, failure.Setting)
		}
	}
}

func TestARequestThatWaitsForEventsIsNotCutBeforeItsOwnDeadline(t *testing.T) {
	if got := wire.HeaderTimeout(open(t, settings("pbx.example.com"))); got < time.Hour {
		t.Errorf("the response is waited for %s, whatever the request's deadline", got)
	}
}
