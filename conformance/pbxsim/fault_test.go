package pbxsim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestFaultsApplyInOrderToMatchingRequests(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{On: pbxsim.Logout, Body: []byte("never mind")})
		p.Fault(pbxsim.Fault{On: pbxsim.Login, Times: 2, Body: []byte("first")})
		p.Fault(pbxsim.Fault{Body: []byte("any")})
		p.Fault(pbxsim.Fault{On: pbxsim.Login, Times: -1, Body: []byte("always")})
		want(t, s, bad, "first", "first", "any", "always", "always", "always")
		want(t, s, "/request?token=made-up", unknown)
		want(t, s, "/logout?token=made-up", "never mind", unknown)
		p.ClearFaults()
		want(t, s, bad, wrong)
	})
}

func TestAResponseOfAFaultTouchesNoAccount(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Times: 10, Status: 503})
		for range 5 {
			say(t, s, bad)
			say(t, s, good)
		}
		wantCounts := pbxsim.Counts{Requests: 10, Logins: 10, Faults: 10}
		if diff := cmp.Diff(wantCounts, p.Counts()); diff != "" {
			t.Errorf("Counts (-want +got):\n%s", diff)
		}
	})
}

func TestResponsesOfFaults(t *testing.T) {
	type answer struct {
		Status      int
		ContentType string
		Length      int64
		Body        string
		Err         error
	}
	tests := []struct {
		name  string
		fault pbxsim.Fault
		want  answer
	}{
		{"status alone is an empty answer", pbxsim.Fault{Status: 200}, answer{200, "", 0, "", nil}},
		{"body alone is a 200", pbxsim.Fault{Body: []byte("text")}, answer{200, "text/plain; charset=utf-8", 4, "text", nil}},
		{"a page is HTML", pbxsim.Fault{Status: 502, Body: []byte(pbxsim.HTMLPage)},
			answer{502, "text/html; charset=utf-8", int64(len(pbxsim.HTMLPage)), pbxsim.HTMLPage, nil}},
		{"headers go with it", pbxsim.Fault{Status: 429, Header: http.Header{"Content-Type": {"application/json"}}},
			answer{429, "application/json", 0, "", nil}},
		{"half a body", pbxsim.Fault{Body: []byte("12345678"), Truncate: true},
			answer{200, "text/plain; charset=utf-8", 8, "1234", io.ErrUnexpectedEOF}},
		{"half a true body", pbxsim.Fault{Truncate: true},
			answer{200, "text/plain; charset=utf-8", 14, "wrong p", io.ErrUnexpectedEOF}},
		{"a true answer without a type", pbxsim.Fault{Header: http.Header{"Content-Type": nil}},
			answer{200, "", 14, "wrong password", nil}},
		{"a true answer with another header", pbxsim.Fault{Header: http.Header{"Content-Type": {"text/html"}}},
			answer{200, "text/html", 14, "wrong password", nil}},
	}
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for _, tt := range tests {
			p.Fault(tt.fault)
			resp, body, err := ask(s.Client(), s.URL+bad)
			if resp == nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			got := answer{resp.StatusCode, resp.Header.Get("Content-Type"), resp.ContentLength, body, err}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b error) bool { return errors.Is(b, a) || errors.Is(a, b) })); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
			p.Unlock("127.0.0.1")
		}
	})
}

func TestAHugeBodyIsAllThere(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		const size = 3<<20 + 1
		p.Fault(pbxsim.Fault{Huge: size})
		resp, body, err := ask(s.Client(), s.URL+good)
		if err != nil || len(body) != size || resp.ContentLength != size {
			t.Errorf("%d bytes, error %v; want %d", len(body), err, size)
		}
		if len(bytes.TrimSpace([]byte(body))) > 0 {
			t.Error("not white space")
		}
	})
}

func TestAHugeBodyNeedNotBeRead(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Huge: 1 << 50})
		resp, err := s.Client().Post(s.URL+good, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		login(t, s)
	})
}

func TestDroppedConnections(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{On: pbxsim.Login, Drop: pbxsim.DropBefore})
		if _, _, err := ask(s.Client(), s.URL+good); !errors.Is(err, io.EOF) {
			t.Errorf("DropBefore: %v, want EOF", err)
		}
		if got := p.Tokens("api"); len(got) != 0 {
			t.Errorf("DropBefore: %d tokens, want none", len(got))
		}

		p.Fault(pbxsim.Fault{On: pbxsim.Login, Drop: pbxsim.DropAfter})
		if _, _, err := ask(s.Client(), s.URL+good); !errors.Is(err, io.EOF) {
			t.Errorf("DropAfter: %v, want EOF", err)
		}
		if got := p.Tokens("api"); len(got) != 1 {
			t.Errorf("DropAfter: %d tokens, want one", len(got))
		}
		login(t, s)
	})
}

func TestALostResponseStillLocks(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Drop: pbxsim.DropAfter})
		p.Fault(pbxsim.Fault{Truncate: true})
		p.Fault(pbxsim.Fault{Drop: pbxsim.DropAfter, Hang: true})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			req, _ := http.NewRequestWithContext(ctx, "POST", s.URL+bad, nil)
			if resp, err := s.Client().Do(req); err == nil {
				if _, err := io.ReadAll(resp.Body); err == nil {
					t.Error("an answer came through")
				}
				resp.Body.Close()
			}
			cancel()
		}
		want(t, s, good, locked)
	})
}

func TestADelayedResponseComesOnTime(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Delay: 40 * time.Second})
		p.Fault(pbxsim.Fault{Delay: time.Second, Status: 503})
		start := time.Now()
		login(t, s)
		if took := time.Since(start); took != 40*time.Second {
			t.Errorf("took %v, want 40s", took)
		}
		start = time.Now()
		say(t, s, good)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
	})
}

func TestADelayedLoginHasHappenedForAClientThatLeft(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Delay: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "POST", s.URL+good, nil)
		if _, err := s.Client().Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline's", err)
		}
		if got := p.Tokens("api"); len(got) != 1 {
			t.Errorf("%d tokens, want one", len(got))
		}
	})
}

func TestAHangingRequestEndsWithItsClient(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "POST", s.URL+good, nil)
		if _, err := s.Client().Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline's", err)
		}
		if got := p.Tokens("api"); len(got) != 0 {
			t.Errorf("%d tokens, want none", len(got))
		}
	})
}

func TestAHangingOrDelayedRequestEndsWithTheServer(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Hang: true})
		p.Fault(pbxsim.Fault{Delay: time.Hour})
		start := time.Now()
		answered := make(chan error)
		for range 2 {
			go func() {
				_, _, err := ask(s.Client(), s.URL+good)
				answered <- err
			}()
		}
		synctest.Wait()
		s.Close()
		for range 2 {
			if err := <-answered; err == nil {
				t.Error("answered, in spite of the fault")
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("closing took %v", took)
		}
	})
}

func TestDateCanBeRemoved(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Header: http.Header{"date": nil}})
		resp, _, err := ask(s.Client(), s.URL+good)
		if err != nil {
			t.Fatal(err)
		}
		if date, ok := resp.Header["Date"]; ok {
			t.Errorf("Date: %q", date)
		}
	})
}

func TestARequestTooLongIsNotProcessed(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		resp, err := s.Client().Post(s.URL+good, "", strings.NewReader(strings.Repeat("x", 1<<20+1)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 400 || p.Counts().Logins != 0 {
			t.Errorf("status %d, %d logins; want 400 and none", resp.StatusCode, p.Counts().Logins)
		}
	})
}
