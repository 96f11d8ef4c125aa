package pbxsim_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// outcome is the status of a request, or why there is none.
func outcome(t *testing.T, s *pbxsim.Server, method, path string) (int, error) {
	t.Helper()
	return outcomeWithin(t, 5*time.Second, s, method, path)
}

func outcomeWithin(t *testing.T, limit time.Duration, s *pbxsim.Server, method, path string) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, method, s.URL+path, nil)
	resp, err := s.Client().Transport.RoundTrip(req) // follows no redirect
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}

func TestOutages(t *testing.T) {
	tests := []struct {
		outage   pbxsim.Outage
		api, web int
		err      error
	}{
		{pbxsim.Refusing, 0, 0, syscall.ECONNREFUSED},
		{pbxsim.Resetting, 0, 0, syscall.ECONNRESET},
		{pbxsim.Silent, 0, 0, context.DeadlineExceeded},
		{pbxsim.BadGateway, 502, 502, nil},
		{pbxsim.Failing, 500, 500, nil},
		{pbxsim.Unavailable, 503, 503, nil},
		{pbxsim.Starting, 404, 404, nil},
		{pbxsim.APIDown, 502, 200, nil},
		{pbxsim.AsksForPassword, 401, 401, nil},
		{pbxsim.ProxyAsksForPassword, 407, 407, nil},
		{pbxsim.Forbidden, 403, 403, nil},
		{pbxsim.Redirecting, 302, 302, nil},
		{pbxsim.Maintaining, 200, 200, nil},
		{pbxsim.NoRoute, 404, 404, nil},
	}
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s)
		for _, tt := range tests {
			before := p.Counts()
			p.Down(tt.outage)
			limit := 5 * time.Second
			if tt.outage == pbxsim.Silent {
				limit = 50 * time.Millisecond
			}
			status, err := outcomeWithin(t, limit, s, "POST", bad)
			if status != tt.api || !errors.Is(err, tt.err) {
				t.Errorf("%s: the API: %d, %v; want %d, %v", tt.outage, status, err, tt.api, tt.err)
			}
			status, err = outcomeWithin(t, limit, s, "GET", "/")
			if status != tt.web || !errors.Is(err, tt.err) {
				t.Errorf("%s: a page: %d, %v; want %d, %v", tt.outage, status, err, tt.web, tt.err)
			}
			if got := p.Counts().WrongLogins; got != before.WrongLogins {
				t.Errorf("%s: a login was judged", tt.outage)
			}
			if got := p.Counts().Logins - before.Logins; tt.outage != pbxsim.Refusing && got != 1 {
				t.Errorf("%s: %d logins arrived, want one", tt.outage, got)
			}
			p.Up()
			want(t, s, "/request?token="+token, "ok")
		}
	})
}

func TestAnOutageReplacesAnother(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Down(pbxsim.Refusing)
		p.Down(pbxsim.Unavailable)
		if status, err := outcome(t, s, "POST", good); status != 503 {
			t.Errorf("%d, %v; want 503", status, err)
		}
		p.Up()
		p.Up()
		login(t, s)
	})
}

func TestUpOpensNoServerThatWasClosedBesides(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Down(pbxsim.Refusing)
		s.Close()
		p.Up()
		if _, err := outcome(t, s, "POST", good); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v, want connection refused", err)
		}
		s.Reopen()
		login(t, s)
	})
}

func TestAnOutageComesBeforeTheFaultsOfSingleRequests(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Body: []byte("later")})
		p.Down(pbxsim.BadGateway)
		say(t, s, good)
		p.Up()
		want(t, s, good, "later")
	})
}

func TestALateVerdictIsReachedAfterTheClientHasLeft(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{On: pbxsim.Login, Times: 2, Late: time.Minute})
		if _, err := outcome(t, s, "POST", bad); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline's", err)
		}
		if got := p.Counts().WrongLogins; got != 0 {
			t.Errorf("%d wrong logins at once, want none", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := p.Counts().WrongLogins; got != 1 {
			t.Errorf("%d wrong logins after a minute, want one", got)
		}
		start := time.Now()
		want(t, s, bad, wrong) // a client that waits hears of it
		if took := time.Since(start); took != time.Minute {
			t.Errorf("took %v, want 1m", took)
		}
	})
}

func TestALateVerdictDoesNotOutliveTheServer(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Late: time.Hour})
		outcome(t, s, "POST", bad)
		start := time.Now()
		s.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("closing took %v", took)
		}
		if got := p.Counts().WrongLogins; got != 0 {
			t.Errorf("%d wrong logins, want none", got)
		}
	})
}

// The next request on the connection gets the response of the one before: a
// login another account's token.
func TestADoubledResponseMayBeTakenForTheNext(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.SetPassword("other", "secret")
		p.Fault(pbxsim.Fault{On: pbxsim.Login, Double: pbxsim.DoubleOnNext})
		first := login(t, s)
		want(t, s, "/login?user=other&password=secret", first)
		if got := p.Counts().Logins; got != 1 {
			t.Errorf("the PBX saw %d logins, want one", got)
		}
		s.Client().CloseIdleConnections()
		want(t, s, "/request?token="+first, "ok")
	})
}

// Go's client finds the second response on an idle connection, and drops both.
func TestADoubledResponseAtOnceSpoilsItsConnection(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		quietly(t)
		p.Fault(pbxsim.Fault{On: pbxsim.Login, Double: pbxsim.DoubleAtOnce})
		token := login(t, s)
		synctest.Wait()
		want(t, s, "/request?token="+token, "ok")
		if got := p.Counts().Logins; got != 1 {
			t.Errorf("the PBX saw %d logins, want one", got)
		}
	})
}

// quietly drops what net/http prints about a response that nobody asked for.
func quietly(t *testing.T) {
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
}

func TestAnOutageOfOneRequest(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.AsksForPassword.Fault())
		resp, _, err := ask(s.Client(), s.URL+good)
		if err != nil || resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != `Basic realm="Restricted"` {
			t.Errorf("%v, %v", resp, err)
		}
		login(t, s)
	})
}
